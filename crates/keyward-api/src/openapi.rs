//! The contract as a document: OpenAPI 3.1, made from the route table and the forms of descriptions and answers.

mod schemas;

use serde_json::{Map, Value, json};

use crate::PROBLEM_JSON;
use crate::routes::{Access, Answers, Body, Form, Parameter, Route};
use schemas::Schemas;

/// The document.
pub fn openapi() -> Value {
    let mut schemas = Schemas::new();
    let mut paths = Map::new();
    for &route in Route::ALL {
        let operation = operation(route, &mut schemas);
        let path = paths.entry(route.path()).or_insert_with(|| json!({}));
        if let Value::Object(methods) = path {
            methods.insert(route.method().as_str().to_ascii_lowercase(), operation);
        }
    }
    let problem = schemas.shown(|generator| generator.subschema_for::<crate::Problem>());
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Keyward admin API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": INTRODUCTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}, {"session": []}],
        "tags": tags(),
        "paths": paths,
        "components": {
            "responses": problems(&problem),
            "headers": headers(),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "An operator's token."},
                "session": {"type": "apiKey", "in": "cookie", "name": SESSION_COOKIE, "description": "A session of the console."},
            },
        },
    });
    let schemas = schemas.finish(&mut document);
    if let Some(Value::Object(components)) = document.get_mut("components") {
        components.insert("schemas".to_owned(), Value::Object(schemas));
    }
    document
}

/// The cookie that carries a session.
pub const SESSION_COOKIE: &str = "__Host-keyward-session";

const INTRODUCTION: &str = "\
Everything that Keyward's configuration can say, read and written over HTTP.

Every answer names the revision that it rests on. The answer to a write comes when this node applies it. What is not \
known is refused: fields, parameters, media types. Problems are `application/problem+json` with a stable `code`, and \
name every part of the request that is wrong. In descriptions `null` is as good as absent; in a change it means the \
default.";

fn tags() -> Vec<Value> {
    let mut nouns: Vec<&str> = Vec::new();
    for route in Route::ALL {
        if !nouns.contains(&route.noun()) {
            nouns.push(route.noun());
        }
    }
    nouns.into_iter().map(|noun| json!({"name": noun})).collect()
}

fn operation(route: Route, schemas: &mut Schemas) -> Value {
    let about = route.about();
    let mut operation = json!({
        "operationId": route.name(),
        "summary": route.summary(),
        "tags": [route.noun()],
        "x-action": route.action().as_str(),
        "parameters": parameters(route),
        "responses": responses(route, schemas),
    });
    let Value::Object(fields) = &mut operation else { return operation };
    if about.access == Access::Open {
        fields.insert("security".to_owned(), json!([]));
    }
    if let Some(body) = body(about.body, schemas) {
        fields.insert("requestBody".to_owned(), body);
    }
    operation
}

fn parameters(route: Route) -> Vec<Value> {
    let segments = route.segments().map(|known| parameter("path", known));
    let query = route.query().map(|known| parameter("query", known));
    let mut all: Vec<Value> = segments.chain(query).collect();
    if route.about().if_match {
        all.push(json!({
            "name": "If-Match", "in": "header",
            "description": "Only if this still is the object's ETag, as it was shown with; `*`: any",
            "schema": {"type": "string", "minLength": 1, "maxLength": 22, "pattern": "^(\"[0-9]{1,20}\"|\\*)$"},
        }));
    }
    if route.takes_idempotency_key() {
        all.push(json!({
            "name": "Idempotency-Key", "in": "header",
            "description": "Sent again with the same body within 24 hours, the first answer is given again and nothing is done",
            "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
        }));
    }
    all
}

fn parameter(place: &str, known: Parameter) -> Value {
    let mut schema = form(known.form);
    if let (Some(default), Value::Object(fields)) = (known.default, &mut schema) {
        let default = match default {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            text => text.into(),
        };
        fields.insert("default".to_owned(), default);
    }
    json!({"name": known.name, "in": place, "required": known.required, "description": known.about, "schema": schema})
}

fn form(form: Form) -> Value {
    let named = |name: &str| json!({"allOf": [{"$ref": format!("#/components/schemas/{name}")}]});
    match form {
        Form::Name => named("Name"),
        Form::Id(prefix) => json!({"type": "string", "pattern": format!("^{prefix}[0-9a-f]{{32}}$")}),
        Form::CallerId => json!({"type": "string", "pattern": "^(app|con)_[0-9a-f]{32}$"}),
        Form::Text(most) => {
            json!({"type": "string", "maxLength": most, "pattern": r"^[^\x00-\x1F\x7F-\x9F]*$"})
        }
        Form::Flag => json!({"type": "boolean"}),
        Form::Number(least, most) => json!({"type": "integer", "minimum": least, "maximum": most}),
        Form::Moment => named("Moment"),
        Form::Day => named("Day"),
        Form::AppKey => named("AppKey"),
        Form::Stage => named("Stage"),
        Form::Tag => {
            json!({"type": "string", "maxLength": 512, "pattern": r"^[^\x00-\x1F\x7F-\x9F]*[=:][^\x00-\x1F\x7F-\x9F]*$"})
        }
        Form::Operation => {
            json!({"type": "string", "pattern": r"^[^ \x00-\x1F\x7F-\x9F]+ /[^\x00-\x1F\x7F-\x9F]*$"})
        }
        Form::Choice(words) => json!({"type": "string", "enum": words}),
    }
}

fn body(body: Body, schemas: &mut Schemas) -> Option<Value> {
    let (schema, example) = match body {
        Body::None => return None,
        Body::Json(schema, example) => (schemas.given(schema), serde_json::from_str(example).ok()),
        Body::Change(schema, example) => (schemas.change(schema), serde_json::from_str(example).ok()),
        Body::World => (schemas.world(), Some(json!({"version": 1, "applications": [{"name": "shop"}]}))),
    };
    // In YAML what is not quoted may be a text, so its fields have other types than those of JSON.
    let of_yaml = json!({"description": "A world file; `docs/world-file.md` describes it."});
    let media = |media: &&str| {
        let schema = if media.ends_with("json") { &schema } else { &of_yaml };
        ((*media).to_owned(), json!({"schema": schema, "example": example}))
    };
    let content: Map<String, Value> = body.media().iter().map(media).collect();
    Some(json!({"required": true, "content": content}))
}

fn responses(route: Route, schemas: &mut Schemas) -> Value {
    let about = route.about();
    let header = |name: &str| json!({"$ref": format!("#/components/headers/{name}")});
    let resting = || {
        let names = ["Keyward-Revision", "Keyward-Store", "Cache-Control"];
        names.into_iter().map(|name| (name.to_owned(), header(name))).collect::<Map<_, _>>()
    };
    let json_of = |schema: Value| json!({"application/json": {"schema": schema}});
    let text = |media: &str| {
        let schema = match media {
            "application/json" => json!({"type": "object"}),
            // A document of its own, which may be read as a mapping or as a text.
            "application/yaml" => json!({}),
            _ => json!({"type": "string"}),
        };
        json!({media: {"schema": schema}})
    };
    let mut headers = resting();
    let content = match about.answer {
        Answers::Made(schema) => {
            headers.insert("Location".to_owned(), header("Location"));
            headers.insert("ETag".to_owned(), header("ETag"));
            json_of(schemas.shown(schema))
        }
        Answers::Tagged(schema) => {
            headers.insert("ETag".to_owned(), header("ETag"));
            json_of(schemas.shown(schema))
        }
        Answers::Json(schema) => json_of(schemas.shown(schema)),
        Answers::Written(media) => text(media),
        Answers::Text(media) => {
            headers.clear();
            text(media)
        }
        Answers::Elsewhere => {
            headers.clear();
            headers.insert("Location".to_owned(), header("Elsewhere"));
            Value::Null
        }
    };
    let links = links(route);
    let done = match about.answer.status() {
        201 => "Made",
        303 => "Go there",
        _ => "Done",
    };
    let mut all = Map::new();
    let mut answer = json!({"description": done, "headers": headers, "content": content});
    if let (Value::Object(answer), true) = (&mut answer, content.is_null()) {
        answer.remove("content");
    }
    if let (Value::Object(answer), false) = (&mut answer, links.is_empty()) {
        answer.insert("links".to_owned(), Value::Object(links));
    }
    all.insert(about.answer.status().to_string(), answer);
    if route == Route::Ready {
        all.insert("503".to_owned(), json!({"description": "Not ready", "content": text("text/plain")}));
    }
    for status in route.problems() {
        all.entry(status.to_string())
            .or_insert_with(|| json!({"$ref": format!("#/components/responses/Problem{status}")}));
    }
    Value::Object(all)
}

/// What can be done with an object that was made: the routes about one of its noun.
fn links(route: Route) -> Map<String, Value> {
    if !matches!(route.about().answer, Answers::Made(_)) {
        return Map::new();
    }
    let place = match route.noun() {
        "key_pair" | "app_code" | "api_key" => "/v1/credentials/{id}".to_owned(),
        "operator_token" => "/v1/operator-tokens/{id}".to_owned(),
        _ => format!("{}/{{id}}", route.path()),
    };
    let about_it = Route::ALL.iter().filter(|other| other.path().starts_with(&place));
    let link = |other: &Route| {
        let id = json!({"operationId": other.name(), "parameters": {"id": "$response.body#/id"}});
        (other.name().to_owned(), id)
    };
    about_it.map(link).collect()
}

impl Route {
    /// The statuses of the problems that it may answer with.
    pub fn problems(self) -> Vec<u16> {
        let about = self.about();
        let rests = !matches!(about.answer, Answers::Text(_) | Answers::Elsewhere);
        let names = self.segments().next().is_some()
            || self.query().any(|known| matches!(known.form, Form::Name | Form::AppKey));
        let reads = !matches!(about.body, Body::None);
        let known = about.access == Access::Operator;
        if !known && !self.is_write() {
            return [&[421], about.also].concat();
        }
        let statuses = [
            (400, true),
            (401, known),
            (403, true),
            (404, names),
            (409, self.is_write()),
            (412, about.if_match),
            (413, reads),
            (415, reads),
            (421, true),
            (422, true),
            (500, true),
            (503, rests),
        ];
        let follow = statuses.into_iter().filter(|(_, may)| *may).map(|(status, _)| status);
        follow.chain(about.also.iter().copied()).collect()
    }
}

/// What each status of a problem says.
const STATUSES: [(u16, &str); 15] = [
    (400, "The request cannot be read"),
    (401, "A valid operator token or session is needed"),
    (403, "The operator, or the account's settings, do not allow it"),
    (404, "There is no such object"),
    (405, "The path has no such method"),
    (409, "It contradicts something that exists, or cannot go while others use it"),
    (410, "It was there and is gone for good"),
    (412, "The object was changed meanwhile"),
    (413, "The body is too large"),
    (415, "The body comes in a media type that is not read"),
    (421, "The request names a host that this admin server is not"),
    (422, "What was given is wrong; `problems` names every part that is"),
    (429, "Too many attempts; wait before the next"),
    (500, "Something failed that is not the caller's fault"),
    (503, "The store takes no changes, or what is needed elsewhere does not answer"),
];

fn problems(schema: &Value) -> Value {
    let response = |(status, description): &(u16, &str)| {
        let mut response = json!({
            "description": description,
            "content": {PROBLEM_JSON: {"schema": schema}},
        });
        let header = match status {
            401 => Some("WWW-Authenticate"),
            405 => Some("Allow"),
            _ => None,
        };
        if let (Some(name), Value::Object(fields)) = (header, &mut response) {
            fields.insert(
                "headers".to_owned(),
                json!({name: {"$ref": format!("#/components/headers/{name}")}}),
            );
        }
        (format!("Problem{status}"), response)
    };
    Value::Object(STATUSES.iter().map(response).collect())
}

fn headers() -> Value {
    let header =
        |about: &str, schema: Value| json!({"description": about, "required": true, "schema": schema});
    json!({
        "Keyward-Revision": header("The revision that the answer rests on", json!({"type": "integer", "minimum": 0})),
        "Keyward-Store": header("The store whose revisions they are: those of two stores are not comparable", json!({"type": "string"})),
        "Cache-Control": header("Nothing of the admin plane is kept", json!({"type": "string", "enum": ["no-store"]})),
        "ETag": header("The object's own last revision, for `If-Match`", json!({"type": "string", "pattern": "^\"[0-9]+\"$"})),
        "Location": header("Where the object is", json!({"type": "string", "pattern": "^/v1/"})),
        "Elsewhere": header("Where the browser goes on", json!({"type": "string", "format": "uri"})),
        "WWW-Authenticate": header("How to be let in", json!({"type": "string"})),
        "Allow": header("The methods that there are", json!({"type": "string"})),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn refs(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    match value.as_str() {
                        Some(to) if name == "$ref" => drop(found.insert(to.to_owned())),
                        _ => refs(value, found),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| refs(item, found)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_of_the_document_leads_somewhere_and_every_schema_is_referred_to() {
        let document = openapi();
        let mut found = BTreeSet::new();
        refs(&document, &mut found);
        for to in &found {
            let place = to.strip_prefix('#').expect("a reference within the document");
            assert!(document.pointer(place).is_some(), "{to}");
        }
        let schemas = document["components"]["schemas"].as_object().expect("schemas");
        for name in schemas.keys() {
            assert!(
                found.contains(&format!("#/components/schemas/{name}")),
                "{name} is referred to by nothing"
            );
        }
    }

    #[test]
    fn every_route_is_an_operation() {
        let document = openapi();
        for route in Route::ALL {
            let method = route.method().as_str().to_ascii_lowercase();
            let operation = &document["paths"][route.path()][&method];
            assert_eq!(operation["operationId"], route.name(), "{route:?}");
            assert_eq!(
                operation["parameters"].as_array().map(Vec::len).unwrap_or_default(),
                route.segments().count()
                    + route.query().count()
                    + usize::from(route.about().if_match)
                    + usize::from(route.takes_idempotency_key())
            );
        }
    }

    #[test]
    fn what_is_given_is_closed_and_may_leave_defaults_out() {
        let document = openapi();
        let account = &document["components"]["schemas"]["Account"];
        assert_eq!(account["additionalProperties"], false, "{account}");
        assert_eq!(account["required"], json!(["name"]), "{account}");
        let change = &document["components"]["schemas"]["AccountChange"];
        assert!(change.get("required").is_none(), "{change}");
        let shown = &document["components"]["schemas"]["StoredAccountAnswer"];
        let required: BTreeSet<&str> =
            shown["required"].as_array().expect("required").iter().filter_map(Value::as_str).collect();
        for field in
            ["id", "etag", "created", "changed", "revision", "name", "enabled", "reveal", "description"]
        {
            assert!(required.contains(field), "{field}: {shown}");
        }
    }
}
