//! The schemas of the contract: of what is given, of what changes, of what is shown.
//!
//! One description has three of them, for what may be left out differs. Those of what is given have the plain name;
//! what changes is called `…Change`, and what is shown `…Shown` where it differs from what is given.

use std::collections::BTreeSet;

use schemars::Schema;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value, json};

use crate::routes::SchemaOf;

const PLACE: &str = "#/components/schemas/";

/// Collects the schemas of a document.
pub(super) struct Schemas {
    given: SchemaGenerator,
    shown: SchemaGenerator,
    changes: BTreeSet<String>,
}

/// A reference to what is shown, until it is known whether it differs from what is given.
const SHOWN: &str = "#/shown/";

impl Schemas {
    pub(super) fn new() -> Self {
        let settings = |place: &'static str| {
            SchemaSettings::draft2020_12().with(|settings| {
                settings.definitions_path = place.into();
                settings.meta_schema = None;
            })
        };
        Self {
            given: settings("/components/schemas").for_deserialize().into_generator(),
            shown: settings("/shown").for_serialize().into_generator(),
            changes: BTreeSet::new(),
        }
    }

    /// The schema of what is given.
    pub(super) fn given(&mut self, schema: SchemaOf) -> Value {
        schema(&mut self.given).to_value()
    }

    /// The schema of what of it changes.
    pub(super) fn change(&mut self, schema: SchemaOf) -> Value {
        let whole = self.given(schema);
        match whole.get("$ref").and_then(Value::as_str).and_then(|to| to.strip_prefix(PLACE)) {
            // It is one already.
            Some(name) if name.ends_with("Change") => whole,
            Some(name) => {
                self.changes.insert(name.to_owned());
                json!({"$ref": format!("{PLACE}{name}Change")})
            }
            None => whole,
        }
    }

    /// The schema of what is shown.
    pub(super) fn shown(&mut self, schema: impl FnOnce(&mut SchemaGenerator) -> Schema) -> Value {
        schema(&mut self.shown).to_value()
    }

    /// The schema of a world file.
    pub(super) fn world(&mut self) -> Value {
        let nouns: [(&str, SchemaOf); 12] = [
            ("accounts", |generator| generator.subschema_for::<Vec<crate::Account>>()),
            ("gateways", |generator| generator.subschema_for::<Vec<crate::Gateway>>()),
            ("secrets", |generator| generator.subschema_for::<Vec<crate::Secret>>()),
            ("services", |generator| generator.subschema_for::<Vec<crate::Service>>()),
            ("modules", |generator| generator.subschema_for::<Vec<crate::Module>>()),
            ("apis", |generator| generator.subschema_for::<Vec<crate::Api>>()),
            ("applications", |generator| generator.subschema_for::<Vec<crate::Application>>()),
            ("consumers", |generator| generator.subschema_for::<Vec<crate::Consumer>>()),
            ("groups", |generator| generator.subschema_for::<Vec<crate::Group>>()),
            ("grants", |generator| generator.subschema_for::<Vec<crate::Grant>>()),
            ("plugins", |generator| generator.subschema_for::<Vec<crate::Plugin>>()),
            ("limits", |generator| generator.subschema_for::<Vec<crate::Limit>>()),
        ];
        let mut properties = Map::new();
        properties.insert("version".to_owned(), json!({"type": "integer", "enum": [1]}));
        for (name, schema) in nouns {
            properties.insert(name.to_owned(), self.given(schema));
        }
        json!({
            "type": "object",
            "description": "A world file; `docs/world-file.md` describes it.",
            "properties": properties,
            "required": ["version"],
            "additionalProperties": false,
        })
    }

    /// Every schema by its name; references to what is shown are put right in the rest of the document too.
    pub(super) fn finish(mut self, document: &mut Value) -> Map<String, Value> {
        let mut given = self.given.take_definitions(true);
        let mut shown = self.shown.take_definitions(true);
        let mut all = changes(&given, self.changes);
        given.values_mut().for_each(close);
        shown.values_mut().for_each(settle);
        let differing = differing(&given, &shown);
        let mut name_it = |to: &mut String| {
            if let Some(name) = to.strip_prefix(SHOWN) {
                *to = format!("{PLACE}{}", shown_name(name, &differing));
            }
        };
        shown.values_mut().for_each(|schema| each_reference(schema, &mut name_it));
        each_reference(document, &mut name_it);
        all.extend(shown.into_iter().map(|(name, schema)| (shown_name(&name, &differing), schema)));
        all.extend(given);
        all
    }
}

fn shown_name(name: &str, differing: &BTreeSet<String>) -> String {
    if differing.contains(name) { format!("{name}Shown") } else { name.to_owned() }
}

/// The names under which something else is given than shown, or that refer to such.
fn differing(given: &Map<String, Value>, shown: &Map<String, Value>) -> BTreeSet<String> {
    let alike = |schema: &Value| schema.to_string().replace(SHOWN, PLACE);
    let differs = |(name, schema): &(&String, &Value)| {
        given.get(*name).map(Value::to_string).is_some_and(|given| given != alike(schema))
    };
    let mut found: BTreeSet<String> = shown.iter().filter(differs).map(|(name, _)| name.clone()).collect();
    loop {
        let refers = |schema: &Value| {
            let mut refers = false;
            each_reference(&mut schema.clone(), &mut |to| {
                refers |= to.strip_prefix(SHOWN).is_some_and(|name| found.contains(name));
            });
            refers
        };
        let more: Vec<String> = shown
            .iter()
            .filter(|(name, schema)| given.contains_key(*name) && !found.contains(*name) && refers(schema))
            .map(|(name, _)| name.clone())
            .collect();
        if more.is_empty() {
            return found;
        }
        found.extend(more);
    }
}

/// What changes of these, and of the mappings within them.
fn changes(given: &Map<String, Value>, wanted: BTreeSet<String>) -> Map<String, Value> {
    let mut made = Map::new();
    let mut wanted: Vec<String> = wanted.into_iter().collect();
    while let Some(name) = wanted.pop() {
        let new_name = format!("{name}Change");
        if let (Some(schema), false) = (given.get(&name), made.contains_key(&new_name)) {
            let change = change_of(schema, given, &mut wanted);
            made.insert(new_name, change);
        }
    }
    made
}

/// A mapping of which every field may be left out, and most may be `null`: that means the default.
fn change_of(schema: &Value, given: &Map<String, Value>, wanted: &mut Vec<String>) -> Value {
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let mut properties = Map::new();
    for (name, field) in fields_of(schema) {
        let mut field = field_change(field, given, wanted);
        if let Value::Object(field) = &mut field {
            field.remove("default");
        }
        if !required.contains(&name.as_str()) {
            nullable(&mut field);
        }
        properties.insert(name.clone(), field);
    }
    let mut change = json!({"type": "object", "properties": properties, "additionalProperties": false});
    if let (Some(about), Value::Object(change)) = (schema.get("description"), &mut change) {
        change.insert("description".to_owned(), about.clone());
    }
    change
}

/// The fields of a mapping, or of all the alternatives that it has.
fn fields_of(schema: &Value) -> Vec<(&String, &Value)> {
    let alternatives = schema
        .get("oneOf")
        .and_then(Value::as_array)
        .map_or_else(|| vec![schema], |all| all.iter().collect());
    let all = alternatives.into_iter().filter_map(|one| one.get("properties")?.as_object()).flatten();
    let mut fields: Vec<(&String, &Value)> = Vec::new();
    for (name, field) in all {
        match fields.iter_mut().find(|(known, _)| *known == name) {
            None => fields.push((name, field)),
            Some(known) if known.1.get("type").is_some_and(|kind| kind == "null") => known.1 = field,
            Some(_) => {}
        }
    }
    fields
}

/// A field as it changes: mappings are merged, anything else is replaced.
fn field_change(field: &Value, given: &Map<String, Value>, wanted: &mut Vec<String>) -> Value {
    let mut field = field.clone();
    each_outer_reference(&mut field, &mut |to| {
        let Some(name) = to.strip_prefix(PLACE).map(str::to_owned) else { return };
        if given.get(&name).is_some_and(|schema| !fields_of(schema).is_empty()) {
            *to = format!("{PLACE}{name}Change");
            wanted.push(name);
        }
    });
    field
}

/// Lets nothing be there that is not named, and `null` where something may be left out.
fn close(schema: &mut Value) {
    let Value::Object(fields) = schema else { return };
    for inner in ["items", "additionalProperties"] {
        fields.get_mut(inner).into_iter().for_each(close);
    }
    if let Some(values) = fields.get_mut("additionalProperties").filter(|values| values.is_object()) {
        nullable(values);
    }
    for inner in ["anyOf", "oneOf", "allOf"] {
        fields.get_mut(inner).and_then(Value::as_array_mut).into_iter().flatten().for_each(close);
    }
    let required = required(fields);
    let Some(Value::Object(properties)) = fields.get_mut("properties") else { return };
    for (name, field) in properties {
        close(field);
        if !required.contains(name) {
            nullable(field);
        }
    }
    fields.entry("additionalProperties").or_insert(Value::Bool(false));
}

/// What may be left out is never shown as `null`, and a default is no matter of what is shown.
fn settle(schema: &mut Value) {
    let Value::Object(fields) = schema else { return };
    let required = required(fields);
    let Some(Value::Object(properties)) = fields.get_mut("properties") else { return };
    for (name, field) in properties {
        if let Value::Object(field) = field {
            field.remove("default");
            field.remove("writeOnly");
        }
        if !required.contains(name) {
            never_null(field);
        }
    }
}

fn required(fields: &Map<String, Value>) -> BTreeSet<String> {
    let names = fields.get("required").and_then(Value::as_array).into_iter().flatten();
    names.filter_map(Value::as_str).map(ToOwned::to_owned).collect()
}

/// Lets it be `null`, too.
fn nullable(schema: &mut Value) {
    let Value::Object(fields) = schema else { return };
    let null = json!({"type": "null"});
    if let Some(Value::Array(any)) = fields.get_mut("anyOf") {
        if !any.contains(&null) {
            any.push(null);
        }
        return;
    }
    match (fields.get("type").cloned(), fields.contains_key("enum")) {
        (Some(Value::String(kind)), false) => {
            if kind != "null" {
                fields.insert("type".to_owned(), json!([kind, "null"]));
            }
        }
        (Some(Value::Array(kinds)), _) if kinds.contains(&json!("null")) => {}
        _ => {
            let mut outer = Map::new();
            for kept in ["description", "default"] {
                outer.extend(fields.remove(kept).map(|value| (kept.to_owned(), value)));
            }
            outer
                .insert("anyOf".to_owned(), json!([Value::Object(std::mem::take(fields)), {"type": "null"}]));
            *fields = outer;
        }
    }
}

/// Undoes that.
fn never_null(schema: &mut Value) {
    let Value::Object(fields) = schema else { return };
    if let Some(Value::Array(kinds)) = fields.get_mut("type") {
        kinds.retain(|kind| kind != "null");
        if let [kind] = kinds.as_slice() {
            let kind = kind.clone();
            fields.insert("type".to_owned(), kind);
        }
    }
    let Some(Value::Array(any)) = fields.get_mut("anyOf") else { return };
    any.retain(|one| one != &json!({"type": "null"}));
    if let [Value::Object(one)] = any.as_slice() {
        let one = one.clone();
        fields.remove("anyOf");
        fields.extend(one);
    }
}

/// Calls this with every reference.
fn each_reference(value: &mut Value, call: &mut impl FnMut(&mut String)) {
    match value {
        Value::Object(fields) => fields.iter_mut().for_each(|(name, value)| match value {
            Value::String(to) if name == "$ref" => call(to),
            value => each_reference(value, call),
        }),
        Value::Array(items) => items.iter_mut().for_each(|item| each_reference(item, call)),
        _ => {}
    }
}

/// Calls this with the references that this schema is, or is one of, and not with those of items within.
fn each_outer_reference(value: &mut Value, call: &mut impl FnMut(&mut String)) {
    let Value::Object(fields) = value else { return };
    if let Some(Value::String(to)) = fields.get_mut("$ref") {
        call(to);
    }
    for inner in ["anyOf", "oneOf", "allOf"] {
        let all = fields.get_mut(inner).and_then(Value::as_array_mut);
        all.into_iter().flatten().for_each(|one| each_outer_reference(one, call));
    }
}
