//! A shape as a JSON Schema (draft 2020-12).

use serde_json::{Map, Value, json};

use super::shape::{Format, Member, Need, Shape};

/// The JSON Schema of a shape. A field that is a secret is marked `"secret": true` and `writeOnly`.
pub fn json_schema(title: &str, description: &str, shape: &Shape) -> Value {
    let mut schema = schema_of(shape);
    if let Value::Object(members) = &mut schema {
        members.insert("$schema".into(), json!("https://json-schema.org/draft/2020-12/schema"));
        members.insert("title".into(), json!(title));
        members.insert("description".into(), json!(description));
    }
    schema
}

fn schema_of(shape: &Shape) -> Value {
    match shape {
        Shape::Text { least, most, format } => {
            let mut schema = json!({"type": "string", "minLength": least, "maxLength": most});
            put_format(&mut schema, format);
            schema
        }
        Shape::Secret { most } => {
            json!({"type": "string", "minLength": 1, "maxLength": most, "secret": true, "writeOnly": true})
        }
        Shape::Whole { least, most } => json!({"type": "integer", "minimum": least, "maximum": most}),
        Shape::Flag => json!({"type": "boolean"}),
        Shape::OneOf(texts) => json!({"type": "string", "enum": texts}),
        Shape::List { of, least, most } => {
            json!({"type": "array", "items": schema_of(of), "minItems": least, "maxItems": most})
        }
        Shape::Object(members) => schema_of_object(members),
        Shape::Map { of, names, most } => {
            let mut name = json!({"type": "string"});
            put_format(&mut name, names);
            json!({
                "type": "object",
                "additionalProperties": schema_of(of),
                "propertyNames": name,
                "maxProperties": most,
            })
        }
        Shape::Either(shapes) => json!({"anyOf": shapes.iter().map(schema_of).collect::<Vec<_>>()}),
        Shape::Any => json!({}),
        Shape::Schema => json!({"type": ["object", "boolean"]}),
    }
}

fn put_format(schema: &mut Value, format: &Format) {
    if let (Value::Object(members), false) = (schema, format.pattern.is_empty()) {
        members.insert("pattern".into(), json!(format.pattern));
    }
}

fn schema_of_object(members: &[Member]) -> Value {
    let mut properties = Map::new();
    for member in members {
        let mut schema = schema_of(&member.shape);
        if let Value::Object(schema) = &mut schema {
            schema.insert("description".into(), json!(member.help));
            if let Need::Default(text) = member.need {
                schema.insert("default".into(), serde_json::from_str(text).unwrap_or(Value::Null));
            }
        }
        properties.insert(member.name.to_owned(), schema);
    }
    let required = members.iter().filter(|member| member.need == Need::Required);
    let required: Vec<&str> = required.map(|member| member.name).collect();
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}
