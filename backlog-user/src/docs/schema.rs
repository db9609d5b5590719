//! Generates the JSON Schema of all lines from their types.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::commands::{compare, doctor, listeners};
use crate::output::json;

/// Adds the kinds of lines of one command, in order.
pub(super) type Kinds = fn(&mut SchemaGenerator) -> Value;

/// The lines of a run.
pub(super) const TRACE: Kinds = kinds::<json::line::Line<'_>>;
/// The lines of `listeners`.
pub(super) const LISTENERS: Kinds = kinds::<listeners::json::Line<'_>>;
/// The line of `doctor`.
pub(super) const DOCTOR: Kinds = kinds::<doctor::report::Line<'_>>;

/// The lines of `compare`.
pub(super) const COMPARE: Kinds = kinds::<compare::json::Line<'_>>;

const DESCRIPTION: &str = "One line of backlog-trace -o json, of listeners or compare -o json, or \
                           the object of doctor -o json. Fields are only added within a schema: whoever reads \
                           them lets unknown ones pass.";

/// The maximum line width of the file.
const WIDTH: usize = 100;

/// Everything that `-o json` prints.
const ALL: [Kinds; 4] = [TRACE, LISTENERS, DOCTOR, COMPARE];

fn kinds<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    T::json_schema(generator).into()
}

fn generator() -> SchemaGenerator {
    SchemaSettings::draft2020_12().for_serialize().into_generator()
}

/// The variants of a command's line enum, by their `type`.
fn variants(mut kinds: Value) -> Vec<(String, Value)> {
    let Value::Array(variants) = kinds["oneOf"].take() else { panic!("no enum: {kinds}") };
    let name = |line: &Value| line["properties"]["type"]["const"].as_str().unwrap().to_owned();
    variants.into_iter().map(|line| (name(&line), line)).collect()
}

/// The names of a command's lines.
pub(super) fn names(kinds: Kinds) -> Vec<String> {
    variants(kinds(&mut generator())).into_iter().map(|(name, _)| name).collect()
}

/// A variant, with the fields of the struct that it refers to inlined.
fn line(mut variant: Value, defs: &mut Map<String, Value>) -> Value {
    let to = variant["$ref"].as_str().unwrap().strip_prefix("#/$defs/").unwrap().to_owned();
    let mut fields = defs.remove(&to).unwrap();
    for list in ["properties", "required"] {
        match (&mut variant[list], fields[list].take()) {
            (Value::Object(all), Value::Object(more)) => all.extend(more),
            (Value::Array(all), Value::Array(more)) => all.extend(more),
            (all, more) => panic!("{to}: {list}: {all} and {more}"),
        }
    }
    let Value::Object(mut line) = variant else { panic!("{to}") };
    line.retain(|name, _| name != "$ref");
    line.into()
}

/// The whole schema.
pub(super) fn schema() -> Value {
    let mut generator = generator();
    let lines: Vec<_> = ALL.into_iter().flat_map(|kinds| variants(kinds(&mut generator))).collect();
    let mut types = generator.take_definitions(true);
    let refs: Vec<Value> =
        lines.iter().map(|(name, _)| json!({"$ref": format!("#/$defs/{name}")})).collect();
    let mut defs: Map<String, Value> =
        lines.into_iter().map(|(name, variant)| (name, line(variant, &mut types))).collect();
    for (name, def) in types {
        let before = defs.insert(snake(&name), def);
        assert!(before.is_none(), "two definitions of {name}");
    }
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "backlog-trace, schema 1",
        "description": DESCRIPTION,
        "oneOf": refs,
        "$defs": defs,
    });
    tidy(&mut schema);
    schema
}

/// Removes details of Rust, and names the definitions like fields.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            // Readers must ignore unknown fields.
            fields.retain(|name, value| name != "additionalProperties" || *value != false);
            let is_number = |format: &Value| format.as_str().is_some_and(|name| name != "ip");
            fields.retain(|name, value| name != "format" || !is_number(value));
            if let Some(Value::String(text)) = fields.get_mut("description") {
                *text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            }
            if let Some(Value::String(to)) = fields.get_mut("$ref") {
                *to = to
                    .strip_prefix("#/$defs/")
                    .map_or_else(|| panic!("{to}"), |name| format!("#/$defs/{}", snake(name)));
            }
            fields.values_mut().for_each(tidy);
        }
        Value::Array(values) => values.iter_mut().for_each(tidy),
        _ => {}
    }
}

/// Converts `ListenerFields` to `listener_fields`.
fn snake(name: &str) -> String {
    let mut text = String::new();
    for char in name.chars() {
        if char.is_uppercase() && !text.is_empty() && !text.ends_with('_') {
            text.push('_');
        }
        text.extend(char.to_lowercase());
    }
    text
}

/// Formats a value; one that fits on a line gets a single line.
pub(super) fn text(value: &Value, indent: usize) -> String {
    let flat = value.to_string();
    let is_leaf = !flat.contains(":{") && !flat.contains("[{");
    if is_leaf && indent + flat.len() <= WIDTH {
        return flat;
    }
    let inner = " ".repeat(indent + 2);
    let lines = |items: Vec<String>| items.join(&format!(",\n{inner}"));
    let end = " ".repeat(indent);
    match value {
        Value::Object(fields) => {
            let field = |(name, value): (&String, &Value)| {
                format!("{}: {}", Value::from(name.as_str()), text(value, indent + 2))
            };
            format!("{{\n{inner}{}\n{end}}}", lines(fields.iter().map(field).collect()))
        }
        Value::Array(items) => {
            let items = items.iter().map(|item| text(item, indent + 2)).collect();
            format!("[\n{inner}{}\n{end}]", lines(items))
        }
        _ => flat,
    }
}
