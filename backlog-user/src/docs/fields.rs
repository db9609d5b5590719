//! The tables of docs/JSON.md, from the schema and the lists of columns.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::schema::{Kinds, names};
use crate::output::column::ColumnDoc;

/// The fields that all lines have; the page explains them once.
const COMMON: [&str; 3] = ["type", "time", "mono_ns"];

/// A section for each line of a command.
pub(super) fn lines(schema: &Value, kinds: Kinds) -> String {
    let section = |name: String| section(&name, &schema["$defs"][&name]);
    names(kinds).into_iter().map(section).collect::<Vec<_>>().join("\n")
}

/// A section for each object within lines.
pub(super) fn objects(schema: &Value) -> String {
    let (defs, lines) = (schema["$defs"].as_object().unwrap(), lines_of(schema));
    let mut objects: Vec<(&String, &Value)> = defs
        .iter()
        .filter(|(name, def)| !lines.contains(name.as_str()) && def.get("properties").is_some())
        .collect();
    objects.sort_by_key(|(name, _)| name.as_str());
    objects.into_iter().map(|(name, def)| section(name, def)).collect::<Vec<_>>().join("\n")
}

/// A row for each type of value that is not an object.
pub(super) fn values(schema: &Value) -> String {
    let defs = schema["$defs"].as_object().unwrap();
    let mut rows: Vec<String> = defs
        .iter()
        .filter(|(_, def)| def.get("properties").is_none())
        .map(|(name, def)| format!("| <a id=\"{name}\"></a>`{name}` | {} |\n", value(def)))
        .collect();
    rows.sort();
    format!("| type | value |\n|---|---|\n{}", rows.concat())
}

/// A table of columns.
pub(super) fn columns(columns: &[ColumnDoc]) -> String {
    let mut text = "| column | meaning |\n|---|---|\n".to_owned();
    for (name, meaning) in columns {
        let _ = writeln!(text, "| `{name}` | {meaning} |");
    }
    text
}

fn lines_of(schema: &Value) -> BTreeSet<&str> {
    let refs = schema["oneOf"].as_array().unwrap().iter();
    refs.map(|line| line["$ref"].as_str().unwrap().rsplit('/').next().unwrap()).collect()
}

fn section(name: &str, def: &Value) -> String {
    let mut text = format!("### `{name}`\n\n{}\n\n", description(def));
    text.push_str("| field | type | meaning |\n|---|---|---|\n");
    let required = def["required"].as_array().unwrap();
    for (field, schema) in def["properties"].as_object().unwrap() {
        if COMMON.contains(&field.as_str()) && def["properties"].get("type").is_some() {
            continue;
        }
        let missing = !required.iter().any(|name| name == field);
        let kind = if missing { kind(schema) + ", or missing" } else { kind(schema) };
        let _ = writeln!(text, "| `{field}` | {kind} | {} |", description(schema));
    }
    if let Some(alternatives) = def["oneOf"].as_array() {
        let alternatives: Vec<String> = alternatives.iter().map(kind).collect();
        let _ = writeln!(text, "\nWith one of {}.", alternatives.join(", "));
    }
    text
}

fn description(schema: &Value) -> String {
    schema["description"].as_str().unwrap_or_default().replace('|', "\\|")
}

/// The possible values of a type that is not an object.
fn value(def: &Value) -> String {
    let about = description(def);
    let about = if about.is_empty() { about } else { format!("{about} ") };
    let alternatives = def["oneOf"].as_array();
    if let Some(alternatives) =
        alternatives.filter(|all| all.iter().all(|one| one.get("const").is_some()))
    {
        let each = |one: &Value| format!("{}: {}", constant(&one["const"]), description(one));
        return about + &alternatives.iter().map(each).collect::<Vec<_>>().join("<br>");
    }
    about + &kind(def)
}

fn constant(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), |text| format!("`{text}`"))
}

/// A short name for the type of a field.
fn kind(schema: &Value) -> String {
    let Some(fields) = schema.as_object() else { return "any".to_owned() };
    if let Some(name) = fields.get("$ref").and_then(Value::as_str) {
        let name = name.rsplit('/').next().unwrap();
        return format!("[{name}](#{name})");
    }
    for one_of in ["anyOf", "oneOf"] {
        if let Some(Value::Array(all)) = fields.get(one_of) {
            return all.iter().map(kind).collect::<Vec<_>>().join(" or ");
        }
    }
    if let Some(value) = fields.get("const") {
        return constant(value);
    }
    if let Some(Value::Array(all)) = fields.get("enum") {
        return all.iter().map(constant).collect::<Vec<_>>().join(", ");
    }
    match fields.get("type") {
        Some(Value::Array(types)) => {
            let types = types.iter().filter_map(Value::as_str).map(|one| of_type(one, fields));
            types.collect::<Vec<_>>().join(" or ")
        }
        Some(Value::String(one)) => of_type(one, fields),
        _ => "any".to_owned(),
    }
}

fn of_type(name: &str, fields: &Map<String, Value>) -> String {
    match name {
        "array" => format!("array of {}", kind(&fields["items"])),
        "object" => match (fields.get("additionalProperties"), fields.get("properties")) {
            (Some(values), _) => format!("object of {}", kind(values)),
            (None, Some(Value::Object(properties))) => {
                let each = |(name, of): (&String, &Value)| format!("`{name}`: {}", kind(of));
                format!("{{{}}}", properties.iter().map(each).collect::<Vec<_>>().join(", "))
            }
            _ => "object".to_owned(),
        },
        other => other.to_owned(),
    }
}
