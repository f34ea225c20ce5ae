//! What `request-block` and `request-validation` look for, compiled once. Neither takes more time than in proportion to
//! what it is shown, whatever it was told.

use std::borrow::Cow;
use std::fmt;

use jsonschema::{PatternOptions, Validator};
use keyward_model::{RequestBlock, RequestValidation, StrictJson};
use regex::bytes::{RegexSet, RegexSetBuilder};
use serde_json::Value;

use crate::authenticate::query;

/// Most memory that the patterns of one list take, in bytes.
const PATTERNS_SIZE_MAX: usize = 4 * 1024 * 1024;

/// What must not be in a call.
#[derive(Debug)]
pub struct BlockRules {
    /// As it was configured.
    pub config: RequestBlock,
    urls: Option<RegexSet>,
    headers: Option<RegexSet>,
    bodies: Option<RegexSet>,
}

impl BlockRules {
    pub(crate) fn compile(config: RequestBlock) -> Result<Self, String> {
        let set = |field: &str, texts: &[Box<str>], patterns: &[Box<str>]| {
            let escaped = texts.iter().map(|text| regex::escape(text));
            let all: Vec<String> = escaped.chain(patterns.iter().map(ToString::to_string)).collect();
            if all.is_empty() {
                return Ok(None);
            }
            let built = RegexSetBuilder::new(&all)
                .case_insensitive(!config.case_sensitive)
                .size_limit(PATTERNS_SIZE_MAX)
                .dfa_size_limit(PATTERNS_SIZE_MAX)
                .build();
            built.map(Some).map_err(|error| format!("`{field}`: {}", told(&error)))
        };
        let exact: Vec<Box<str>> =
            config.exact_urls.iter().map(|url| format!("^{}$", regex::escape(url)).into()).collect();
        let url_patterns: Vec<Box<str>> = config.url_patterns.iter().chain(&exact).cloned().collect();
        Ok(Self {
            urls: set("url_patterns", &config.urls, &url_patterns)?,
            headers: set("header_patterns", &config.headers, &config.header_patterns)?,
            bodies: set("body_patterns", &config.bodies, &config.body_patterns)?,
            config,
        })
    }

    /// Is there something in the URL, as it came or decoded?
    pub fn blocks_url(&self, path: &str, query: Option<&str>) -> bool {
        let Some(urls) = &self.urls else { return false };
        let mut url = path.to_owned();
        if let Some(query) = query {
            url.push('?');
            url.push_str(query);
        }
        let decoded = query::decode(&url);
        urls.is_match(url.as_bytes()) || matches!(decoded, Cow::Owned(_)) && urls.is_match(&decoded)
    }

    /// Is there something in this header field?
    pub fn blocks_field(&self, name: &str, value: &[u8]) -> bool {
        let Some(headers) = &self.headers else { return false };
        let mut line = Vec::with_capacity(name.len() + value.len() + 2);
        line.extend(name.bytes().map(|byte| byte.to_ascii_lowercase()));
        line.extend_from_slice(b": ");
        line.extend_from_slice(value);
        headers.is_match(&line)
    }

    /// Is there something in the body?
    pub fn blocks_body(&self, body: &[u8]) -> bool {
        self.bodies.as_ref().is_some_and(|bodies| bodies.is_match(body))
    }
}

fn told(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(_) => "the patterns take too much memory: make them simpler".into(),
        error => {
            format!("a pattern cannot be read: {}", error.to_string().lines().last().unwrap_or_default())
        }
    }
}

/// What a call must be like.
pub struct CallSchemas {
    /// As it was configured.
    pub config: RequestValidation,
    body: Option<Validator>,
    headers: Option<Validator>,
    query: Option<Validator>,
}

impl fmt::Debug for CallSchemas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallSchemas").finish_non_exhaustive()
    }
}

impl CallSchemas {
    pub(crate) fn compile(config: RequestValidation) -> Result<Self, String> {
        let compiled = |field: &str, schema: &Option<StrictJson>| {
            let Some(schema) = schema else { return Ok(None) };
            let patterns = PatternOptions::regex().size_limit(PATTERNS_SIZE_MAX);
            let built = jsonschema::options().with_pattern_options(patterns).build(schema.value());
            built.map(Some).map_err(|error| format!("`{field}`: it is no JSON Schema: {error}"))
        };
        Ok(Self {
            body: compiled("body", &config.body)?,
            headers: compiled("headers", &config.headers)?,
            query: compiled("query", &config.query)?,
            config,
        })
    }

    /// Does it look into bodies?
    pub fn looks_into_bodies(&self) -> bool {
        self.body.is_some()
    }

    /// Does it look at header fields?
    pub fn looks_at_headers(&self) -> bool {
        self.headers.is_some()
    }

    /// What is wrong with the body, without what it holds.
    pub fn check_body(&self, body: &[u8]) -> Result<(), String> {
        let Some(schema) = &self.body else { return Ok(()) };
        let text =
            std::str::from_utf8(body).map_err(|_| "the body is not JSON: it is not UTF-8".to_owned())?;
        let json = StrictJson::parse(text).map_err(|error| format!("the body {error}"))?;
        check(schema, json.value(), "the body")
    }

    /// What is wrong with the header fields.
    pub fn check_headers<'f>(&self, fields: impl Iterator<Item = (&'f str, &'f [u8])>) -> Result<(), String> {
        let Some(schema) = &self.headers else { return Ok(()) };
        let mut object = serde_json::Map::new();
        for (name, value) in fields {
            put(&mut object, name.to_ascii_lowercase(), String::from_utf8_lossy(value).into_owned());
        }
        check(schema, &Value::Object(object), "the header fields")
    }

    /// What is wrong with the query.
    pub fn check_query(&self, query: Option<&str>) -> Result<(), String> {
        let Some(schema) = &self.query else { return Ok(()) };
        let mut object = serde_json::Map::new();
        for (name, value) in query.into_iter().flat_map(query::pairs) {
            let value = String::from_utf8_lossy(&query::decode(value)).into_owned();
            put(&mut object, query::decode_name(name).into_owned(), value);
        }
        check(schema, &Value::Object(object), "the query")
    }
}

/// A name that is repeated has a list of values.
fn put(object: &mut serde_json::Map<String, Value>, name: String, value: String) {
    let value = Value::String(value);
    match object.get_mut(&name) {
        None => {
            object.insert(name, value);
        }
        Some(Value::Array(values)) => values.push(value),
        Some(one) => *one = Value::Array(vec![one.take(), value]),
    }
}

/// The first thing that is wrong: where, and which rule; never what stands there.
fn check(schema: &Validator, value: &Value, what: &str) -> Result<(), String> {
    schema.validate(value).map_err(|error| {
        let (path, rule) = (error.instance_path().to_string(), error.schema_path().to_string());
        let at = if path.is_empty() { String::new() } else { format!(" at `{path}`") };
        format!("{what} does not hold to `{rule}`{at}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyward_model::{BuiltIn, BuiltInConfig, PluginConfig, PluginKind};

    fn read(kind: BuiltIn, config: &str) -> BuiltInConfig {
        PluginConfig::parse(&PluginKind::BuiltIn(kind), config).unwrap().read(kind).unwrap()
    }

    fn block(config: &str) -> Result<BlockRules, String> {
        match read(BuiltIn::RequestBlock, config) {
            BuiltInConfig::RequestBlock(config) => BlockRules::compile(*config),
            _ => panic!("another kind"),
        }
    }

    fn schemas(config: &str) -> Result<CallSchemas, String> {
        match read(BuiltIn::RequestValidation, config) {
            BuiltInConfig::RequestValidation(config) => CallSchemas::compile(*config),
            _ => panic!("another kind"),
        }
    }

    #[test]
    fn urls_are_looked_at_as_they_came_and_decoded() {
        let rules =
            block(r#"{"urls":["swagger"],"exact_urls":["/a?b=c"],"url_patterns":["^/x/[0-9]+$"]}"#).unwrap();
        for (path, query) in [
            ("/swagger.html", None),
            ("/api", Some("page=swagger")),
            ("/%73wagger", None),
            ("/a", Some("b=c")),
            ("/x/12", None),
        ] {
            assert!(rules.blocks_url(path, query), "{path} {query:?}");
        }
        for (path, query) in
            [("/Swagger", None), ("/a", Some("b=cd")), ("/x/12a", None), ("/x", Some("/x/1"))]
        {
            assert!(!rules.blocks_url(path, query), "{path} {query:?}");
        }
    }

    #[test]
    fn case_counts_only_where_it_should() {
        let rules =
            block(r#"{"headers":["User-Agent: CURL"],"bodies":["a.c"],"case_sensitive":false}"#).unwrap();
        assert!(rules.blocks_field("USER-AGENT", b"curl/8"));
        assert!(rules.blocks_body(b"xA.Cx") && !rules.blocks_body(b"abc"));
        assert!(!rules.blocks_url("/a.c", None));
    }

    #[test]
    fn patterns_that_cannot_be_had_are_refused() {
        for config in [
            r#"{"url_patterns":["("]}"#,
            r#"{"body_patterns":["(?=a)"]}"#,
            r#"{"header_patterns":["((a{1,999}){1,999}){1,999}"]}"#,
        ] {
            assert!(block(config).is_err(), "{config}");
        }
    }

    #[test]
    fn bodies_are_held_to_their_schema_and_not_shown() {
        let schemas = schemas(
            r##"{"body":{"type":"object","required":["a"],"properties":{"a":{"$ref":"#/$defs/n"}},"$defs":{"n":{"type":"integer"}}}}"##,
        )
        .unwrap();
        assert_eq!(schemas.check_body(br#"{"a":1}"#), Ok(()));
        for body in [&b"{\"a\":\"hunter2\"}"[..], b"{}", b"[]", b"", b"{\"a\":1,\"a\":2}", b"\xff"] {
            let error = schemas.check_body(body).unwrap_err();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn headers_and_query_are_objects_of_texts() {
        let schemas = schemas(
            r#"{"headers":{"required":["x-a"],"properties":{"x-a":{"pattern":"^[0-9]+$"}}},
                "query":{"properties":{"p":{"type":"string"},"q":{"type":"array","maxItems":2}},"required":["q"]}}"#,
        )
        .unwrap();
        assert_eq!(schemas.check_headers([("X-A", &b"12"[..])].into_iter()), Ok(()));
        assert!(schemas.check_headers([("X-A", &b"x"[..])].into_iter()).is_err());
        assert!(schemas.check_headers([].into_iter()).is_err());
        assert_eq!(schemas.check_query(Some("q=1&%71=2&p=a")), Ok(()));
        assert!(schemas.check_query(Some("q=1&q=2&q=3")).is_err());
        assert!(schemas.check_query(Some("q=1&q=2&p=a&p=b")).is_err());
        assert!(schemas.check_query(None).is_err());
    }

    #[test]
    fn what_is_no_schema_is_refused() {
        assert!(schemas(r#"{"body":{"type":"nothing"}}"#).is_err());
        assert!(schemas(r#"{"body":{"pattern":"("}}"#).is_err());
    }
}
