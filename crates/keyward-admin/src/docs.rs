//! The contract as a page: made from the same document that programs read, with nothing to load and nothing to run.

#![expect(clippy::indexing_slicing, reason = "a JSON value indexed by what it has not gives null")]

use std::fmt::{self, Write as _};

use serde_json::{Map, Value};

/// The page.
pub(crate) fn page(document: &Value) -> String {
    let mut html = String::with_capacity(512 << 10);
    // Writing to a String does not fail.
    let _ = write_page(&mut html, document);
    html
}

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

const STYLE: &str = "\
:root{color-scheme:light dark;--line:#8884;--soft:#8881;--accent:#2a6fb0}\
*{box-sizing:border-box}body{margin:0;font:15px/1.5 system-ui,sans-serif;display:grid;grid-template-columns:15rem minmax(0,1fr)}\
nav{position:sticky;top:0;height:100vh;overflow:auto;padding:1rem;border-right:1px solid var(--line)}\
nav a{display:block;padding:.1rem 0;text-decoration:none;color:inherit}nav a:hover{color:var(--accent)}\
main{padding:1rem 2rem 6rem;max-width:70rem}h1{margin-top:0}h2{margin-top:3rem;border-bottom:1px solid var(--line)}\
article{margin:1.5rem 0;padding:1rem;border:1px solid var(--line);border-radius:.5rem}\
article h3{margin:0;font:600 1rem ui-monospace,monospace;overflow-wrap:anywhere}\
.m{display:inline-block;min-width:4.5rem;color:var(--accent)}table{border-collapse:collapse;width:100%;margin:.3rem 0 1rem}\
th,td{text-align:left;vertical-align:top;padding:.25rem .6rem .25rem 0;border-bottom:1px solid var(--line)}\
th{font-weight:600}code,pre{font:13px/1.45 ui-monospace,monospace}pre{background:var(--soft);padding:.7rem;border-radius:.4rem;overflow:auto}\
h4{margin:.8rem 0 0}td p{margin:0}.soft{opacity:.7}\
@media(max-width:50rem){body{display:block}nav{position:static;height:auto;columns:3}}";

fn write_page(html: &mut String, document: &Value) -> fmt::Result {
    let info = &document["info"];
    let title = text(&info["title"]);
    write!(html, "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">")?;
    write!(html, "<meta name=\"viewport\" content=\"width=device-width\"><title>{}</title>", Escaped(title))?;
    write!(html, "<style>{STYLE}</style></head><body><nav><strong>{}</strong>", Escaped(title))?;
    let nouns = list(&document["tags"]).iter().map(|tag| text(&tag["name"]));
    for noun in nouns.clone() {
        write!(html, "<a href=\"#noun-{0}\">{0}</a>", Escaped(noun))?;
    }
    write!(html, "<a href=\"#forms\">forms</a></nav><main><h1>{}</h1>", Escaped(title))?;
    for paragraph in text(&info["description"]).split("\n\n") {
        write!(html, "<p>{}</p>", Marked(paragraph))?;
    }
    write!(
        html,
        "<p>Version {}. The same as a document: <a href=\"openapi.json\"><code>openapi.json</code></a>.</p>",
        Escaped(text(&info["version"]))
    )?;
    for noun in nouns {
        write!(html, "<section id=\"noun-{0}\"><h2>{0}</h2>", Escaped(noun))?;
        for (path, method, operation) in
            operations(document).filter(|(.., operation)| operation["tags"][0] == noun)
        {
            write_operation(html, document, path, method, operation)?;
        }
        html.push_str("</section>");
    }
    write_forms(html, &document["components"]["schemas"])?;
    html.push_str("</main></body></html>\n");
    Ok(())
}

fn operations(document: &Value) -> impl Iterator<Item = (&str, &'static str, &Value)> {
    let paths = document["paths"].as_object().into_iter().flatten();
    paths.flat_map(|(path, methods)| {
        METHODS.into_iter().filter_map(move |method| Some((path.as_str(), method, methods.get(method)?)))
    })
}

fn write_operation(
    html: &mut String,
    document: &Value,
    path: &str,
    method: &str,
    operation: &Value,
) -> fmt::Result {
    let id = text(&operation["operationId"]);
    let verb = method.to_ascii_uppercase();
    write!(
        html,
        "<article id=\"{0}\"><h3><span class=\"m\">{verb}</span><a href=\"#{0}\">{1}</a></h3>",
        Escaped(id),
        Escaped(path)
    )?;
    write!(html, "<p>{}.</p>", Marked(text(&operation["summary"])))?;
    write_parameters(html, list(&operation["parameters"]))?;
    let body = &operation["requestBody"]["content"];
    if let Some(media) = body.as_object().and_then(|body| body.iter().next()) {
        write_body(html, document, body, media.1)?;
    }
    write_answers(html, document, &operation["responses"])?;
    write_example(html, path, &verb, operation)?;
    html.push_str("</article>");
    Ok(())
}

fn write_parameters(html: &mut String, parameters: &[Value]) -> fmt::Result {
    if parameters.is_empty() {
        return Ok(());
    }
    html.push_str("<h4>Parameters</h4><table><tr><th>name</th><th>in</th><th>what it may say</th><th>what it is for</th></tr>");
    for parameter in parameters {
        let required = if parameter["required"] == true { ", required" } else { "" };
        write!(
            html,
            "<tr><td><code>{}</code></td><td>{}{required}</td><td>{}</td><td>{}</td></tr>",
            Escaped(text(&parameter["name"])),
            Escaped(text(&parameter["in"])),
            Form(&parameter["schema"]),
            Marked(text(&parameter["description"]))
        )?;
    }
    html.push_str("</table>");
    Ok(())
}

fn write_body(html: &mut String, document: &Value, body: &Value, media: &Value) -> fmt::Result {
    let types: Vec<&str> = body.as_object().into_iter().flatten().map(|(media, _)| media.as_str()).collect();
    write!(html, "<h4>Body</h4><p class=\"soft\"><code>{}</code></p>", Escaped(&types.join(", ")))?;
    let schema = &media["schema"];
    let whole = reference(schema).map_or(schema, |name| &document["components"]["schemas"][name]);
    if whole["properties"].is_object() {
        write_fields(html, whole)
    } else {
        write!(html, "<p>{}</p>", Form(schema))
    }
}

fn write_fields(html: &mut String, schema: &Value) -> fmt::Result {
    let required: Vec<&str> = list(&schema["required"]).iter().map(text).collect();
    html.push_str("<table><tr><th>field</th><th>what it may say</th><th>what it is for</th></tr>");
    let fields = schema["properties"].as_object().into_iter().flatten();
    let (first, rest): (Vec<_>, Vec<_>) = fields.partition(|(name, _)| required.contains(&name.as_str()));
    for (name, field) in first.into_iter().chain(rest) {
        let mark =
            if required.contains(&name.as_str()) { " <span class=\"soft\">required</span>" } else { "" };
        write!(
            html,
            "<tr><td><code>{}</code>{mark}</td><td>{}</td><td>{}</td></tr>",
            Escaped(name),
            Form(field),
            Marked(text(&field["description"]))
        )?;
    }
    html.push_str("</table>");
    Ok(())
}

fn write_answers(html: &mut String, document: &Value, responses: &Value) -> fmt::Result {
    html.push_str("<h4>Answers</h4><table><tr><th>status</th><th>what it says</th><th>form</th></tr>");
    for (status, response) in responses.as_object().into_iter().flatten() {
        let whole = match text(&response["$ref"]).strip_prefix('#') {
            Some(place) => document.pointer(place).unwrap_or(&Value::Null),
            None => response,
        };
        let content = whole["content"].as_object().and_then(|content| content.iter().next());
        let schema = content.map_or(&Value::Null, |(_, content)| &content["schema"]);
        let media = content.map_or("", |(media, _)| media.as_str());
        let headers: Vec<&str> =
            whole["headers"].as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
        write!(html, "<tr><td>{}</td><td>{}", Escaped(status), Marked(text(&whole["description"])))?;
        if !headers.is_empty() {
            write!(html, " <span class=\"soft\">with {}</span>", Escaped(&headers.join(", ")))?;
        }
        write!(html, "</td><td>{} <span class=\"soft\">{}</span></td></tr>", Form(schema), Escaped(media))?;
    }
    html.push_str("</table>");
    Ok(())
}

fn write_example(html: &mut String, path: &str, verb: &str, operation: &Value) -> fmt::Result {
    let mut line = "curl -H \"Authorization: Bearer $KEYWARD_ADMIN_TOKEN\"".to_owned();
    if verb != "GET" {
        let _ = write!(line, " -X {verb}");
    }
    let content = operation["requestBody"]["content"].as_object();
    let json = content.and_then(|content| content.iter().find(|(media, _)| media.ends_with("json")));
    if let Some((media, content)) = json {
        let _ = write!(line, " \\\n  -H 'Content-Type: {media}' -d '{}'", content["example"]);
    }
    let _ = write!(line, " \\\n  \"http://127.0.0.1:9080{path}\"");
    write!(html, "<h4>Example</h4><pre>{}</pre>", Escaped(&line))
}

fn write_forms(html: &mut String, schemas: &Value) -> fmt::Result {
    html.push_str("<section id=\"forms\"><h2>forms</h2>");
    for (name, schema) in schemas.as_object().into_iter().flatten() {
        write!(html, "<article id=\"form-{0}\"><h3>{0}</h3>", Escaped(name))?;
        for paragraph in text(&schema["description"]).split("\n\n") {
            write!(html, "<p>{}</p>", Marked(paragraph))?;
        }
        if schema["properties"].is_object() {
            write_fields(html, schema)?;
        } else {
            write!(html, "<p>{}</p>", Form(schema))?;
        }
        html.push_str("</article>");
    }
    html.push_str("</section>");
    Ok(())
}

/// A schema in a few words.
struct Form<'d>(&'d Value);

impl fmt::Display for Form<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let schema = self.0;
        if let Some(name) = reference(schema) {
            write!(f, "<a href=\"#form-{0}\">{0}</a>", Escaped(name))?;
        } else if let Some(fields) = schema.as_object() {
            write_kind(f, fields)?;
        }
        match schema.get("default") {
            Some(default) => write!(
                f,
                " <span class=\"soft\">default <code>{}</code></span>",
                Escaped(&default.to_string())
            ),
            None => Ok(()),
        }
    }
}

fn write_kind(f: &mut fmt::Formatter<'_>, fields: &Map<String, Value>) -> fmt::Result {
    for any in ["anyOf", "oneOf", "allOf"] {
        // That something may be `null` where it may be left out is said once, above.
        let all = list(fields.get(any).unwrap_or(&Value::Null)).iter().filter(|one| one["type"] != "null");
        for (place, one) in all.enumerate() {
            write!(f, "{}{}", if place > 0 { " or " } else { "" }, Form(one))?;
        }
    }
    if let Some(words) = fields.get("enum").and_then(Value::as_array) {
        for (place, word) in words.iter().enumerate() {
            write!(f, "{}<code>{}</code>", if place > 0 { ", " } else { "" }, Escaped(&word.to_string()))?;
        }
        return Ok(());
    }
    let kinds: Vec<&str> = match fields.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().map(text).filter(|kind| *kind != "null").collect(),
        Some(kind) => vec![text(kind)],
        None => Vec::new(),
    };
    write!(f, "{}", Escaped(&kinds.join(" or ")))?;
    if let Some(items) = fields.get("items") {
        write!(f, " of {}", Form(items))?;
    }
    if let Some(values) = fields.get("additionalProperties").filter(|values| values.is_object()) {
        write!(f, " of {}", Form(values))?;
    }
    if let Some(Value::Object(properties)) = fields.get("properties") {
        for (place, (name, field)) in
            properties.iter().filter(|(_, field)| field["type"] != "null").enumerate()
        {
            write!(
                f,
                "{}<code>{}</code>: {}",
                if place > 0 { ", " } else { " with " },
                Escaped(name),
                Form(field)
            )?;
        }
    }
    for (name, before, after) in LIMITS {
        if let Some(limit) = fields.get(name) {
            write!(f, ", {before}<code>{}</code>{after}", Escaped(&limit.to_string()))?;
        }
    }
    Ok(())
}

/// Keywords of schemas, as people say them.
const LIMITS: [(&str, &str, &str); 9] = [
    ("format", "", ""),
    ("minLength", "at least ", " characters"),
    ("maxLength", "at most ", " characters"),
    ("minimum", "from ", ""),
    ("maximum", "to ", ""),
    ("minItems", "at least ", " of them"),
    ("maxItems", "at most ", " of them"),
    ("maxProperties", "at most ", " of them"),
    ("pattern", "like ", ""),
];

fn reference(schema: &Value) -> Option<&str> {
    schema.get("$ref")?.as_str()?.rsplit('/').next()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A text as it stands in a page.
struct Escaped<'t>(&'t str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            c => f.write_char(c),
        })
    }
}

/// The same with what stands between backticks as code, and lines kept apart.
struct Marked<'t>(&'t str);

impl fmt::Display for Marked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (line, text) in self.0.split('\n').enumerate() {
            if line > 0 {
                f.write_str("<br>")?;
            }
            for (place, part) in text.split('`').enumerate() {
                if place % 2 == 1 {
                    write!(f, "<code>{}</code>", Escaped(part))?;
                } else {
                    write!(f, "{}", Escaped(part))?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_shows_every_route_and_loads_nothing() {
        let document = keyward_api::openapi();
        let page = page(&document);
        for route in keyward_api::Route::ALL {
            assert!(page.contains(&format!("<article id=\"{}\">", route.name())), "{route:?}");
        }
        for loads in ["<script", "<link", "<img", " src=", "url(", "@import", "<iframe", "href=\"http"] {
            assert!(!page.contains(loads), "{loads}");
        }
        for name in document["components"]["schemas"].as_object().unwrap().keys() {
            assert!(page.contains(&format!("id=\"form-{name}\"")), "{name}");
        }
    }

    #[test]
    fn every_link_of_the_page_leads_somewhere() {
        let page = page(&keyward_api::openapi());
        for link in page.split("href=\"#").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(page.contains(&format!("id=\"{link}\"")), "{link}");
        }
    }

    #[test]
    fn what_a_document_says_cannot_break_out_of_its_place() {
        assert_eq!(Escaped("<a href='x'>&\"").to_string(), "&lt;a href=&#39;x&#39;&gt;&amp;&quot;");
        assert_eq!(Marked("a `<b>` c").to_string(), "a <code>&lt;b&gt;</code> c");
    }
}
