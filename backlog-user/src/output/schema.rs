//! Validates printed lines against docs/schema.json (tests only). It is strict: an unknown field is
//! an error here, although readers must ignore it.

use std::collections::BTreeSet;

use jsonschema::Validator;
use serde_json::{Map, Value};

/// The published schema.
fn published() -> Value {
    serde_json::from_str(include_str!("../../../docs/schema.json")).unwrap()
}

/// Rejects unknown fields in objects with named fields.
fn strict(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if fields.contains_key("properties") && !fields.contains_key("additionalProperties") {
                // Alternatives next to the fields add further fields, which are known as well.
                fields.insert("unevaluatedProperties".into(), false.into());
                fields.values_mut().for_each(|part| match part {
                    Value::Array(_) => {}
                    part => strict(part),
                });
            } else {
                fields.values_mut().for_each(strict);
            }
        }
        Value::Array(values) => values.iter_mut().for_each(strict),
        _ => {}
    }
}

/// The validator for one type of line.
fn validator(schema: &Value, kind: &str) -> Validator {
    assert!(schema["$defs"].get(kind).is_some(), "docs/schema.json has no `{kind}`");
    let mut one = Map::new();
    one.insert("$ref".into(), format!("#/$defs/{kind}").into());
    one.insert("$defs".into(), schema["$defs"].clone());
    jsonschema::draft202012::new(&one.into()).unwrap()
}

/// Validates an object against the schema of its type.
pub(crate) fn check(object: &Value) {
    let mut schema = published();
    strict(&mut schema);
    let kind = object["type"].as_str().unwrap();
    let errors: Vec<String> = validator(&schema, kind)
        .iter_errors(object)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{errors:#?}\n{object:#}");
}

/// Validates lines, and returns their types.
pub(crate) fn check_lines(text: &str) -> BTreeSet<String> {
    let objects = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let check_one = |object: Value| {
        check(&object);
        object["type"].as_str().unwrap().to_owned()
    };
    objects.map(check_one).collect()
}

#[test]
fn it_is_a_schema_and_no_line_is_of_two_types() {
    let schema = published();
    jsonschema::draft202012::meta::validate(&schema).unwrap();
    let types = schema["oneOf"].as_array().unwrap();
    let whole = jsonschema::draft202012::new(&schema).unwrap();
    let clock = serde_json::json!({
        "type": "clock", "time": "2026-01-01T00:00:00.000000000Z", "mono_ns": 1, "step_s": 0.5,
        "a later version says more": true,
    });
    assert!(whole.is_valid(&clock));
    for one in types {
        let kind = one["$ref"].as_str().unwrap().strip_prefix("#/$defs/").unwrap();
        let constant = &schema["$defs"][kind]["properties"]["type"]["const"];
        assert_eq!(constant, kind);
    }
}

#[test]
#[should_panic(expected = "undocumented")]
fn a_field_that_is_not_documented_is_found() {
    check(&serde_json::json!({
        "type": "clock", "time": "2026-01-01T00:00:00.000000000Z", "mono_ns": 1, "step_s": 0.5,
        "undocumented": 1,
    }));
}
