//! The JSON Schema of values whose serialisation is written by hand (tests only).

use std::borrow::Cow;

use backlog_core::event::State;
use backlog_core::model::sizing::{Confidence, Cookies, Verdict};
use backlog_core::run::Backend;
use backlog_ebpf::cause::{Beside, Cause};
use backlog_ebpf::record::Kind;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use super::values::{ByCounter, EveryCount, Id, Name, Named, NonZeroCounts, Time};

/// Describes the rows of a table to a schema.
trait Rows: Name {
    /// What a row is.
    const ROW: &'static str;
    /// All rows.
    const ALL: &'static [Self];

    /// The meaning of a row, if its name does not explain it.
    fn meaning(self) -> Option<&'static str> {
        None
    }

    /// The title of a schema for one of the names.
    fn title() -> Cow<'static, str> {
        Self::ROW.into()
    }
}

/// Implements `Rows` for tables with a list of all rows.
macro_rules! rows {
    ($($type:ident $row:literal $(, $meaning:ident)?;)+) => {
        $(impl Rows for $type {
            const ROW: &'static str = $row;
            const ALL: &'static [Self] = &$type::ALL;

            $(fn $meaning(self) -> Option<&'static str> {
                Some($type::$meaning(self))
            })?
        })+
    };
}

rows! {
    Backend "backend";
    Beside "side_event", meaning;
    Cause "cause", meaning;
    Confidence "confidence";
    Cookies "cookies";
    Kind "record_kind";
    State "thread_state";
    Verdict "verdict";
}

impl<T: Rows> JsonSchema for Named<T> {
    fn schema_name() -> Cow<'static, str> {
        T::title()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names: Vec<&str> = T::ALL.iter().map(|row| row.name()).collect();
        json_schema!({"type": "string", "enum": names})
    }
}

impl<T: Rows> JsonSchema for EveryCount<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("{}_counts", T::ROW).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut properties = Map::new();
        for row in T::ALL {
            let mut count = generator.subschema_for::<u64>();
            if let Some(meaning) = row.meaning() {
                count.insert("description".into(), meaning.into());
            }
            properties.insert(row.name().into(), count.to_value());
        }
        let names: Vec<&String> = properties.keys().collect();
        json_schema!({"type": "object", "required": names, "properties": properties})
    }
}

impl<T: Rows> JsonSchema for NonZeroCounts<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("{}_non_zero_counts", T::ROW).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "propertyNames": generator.subschema_for::<Named<T>>(),
            "additionalProperties": generator.subschema_for::<u64>(),
        })
    }
}

impl<V: JsonSchema> JsonSchema for ByCounter<V> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("{}_by_counter", V::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let values = generator.subschema_for::<V>();
        json_schema!({"type": "object", "additionalProperties": values})
    }
}

impl JsonSchema for Time {
    fn schema_name() -> Cow<'static, str> {
        "time".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let date = "[0-9]{4}-[0-9]{2}-[0-9]{2}";
        let time = r"[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{9}";
        json_schema!({
            "description": "A moment by the wall clock: RFC 3339 in UTC, with nanoseconds.",
            "type": "string",
            "pattern": format!("^{date}T{time}Z$"),
        })
    }
}

impl JsonSchema for Id {
    fn schema_name() -> Cow<'static, str> {
        "id".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut number: Value = u32::json_schema(generator).into();
        number["description"] = json!("The tool's own number of a listener.");
        number.try_into().unwrap()
    }
}
