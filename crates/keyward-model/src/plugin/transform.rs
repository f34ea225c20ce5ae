//! `transform`: changes what goes to the service, and what comes back.

use serde_json::Value;

use super::given::{FIELD_VALUE, Given, HEADER, check_settable, no_secret};
use super::held_body;
use super::json::ConfigError;
use super::shape::{Format, Member, Need, Shape};
use crate::SecretText;

/// What is changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transform {
    /// On the way to the service.
    pub request: RequestChange,
    /// On the way back.
    pub response: ResponseChange,
    /// Largest body that is changed, in bytes; larger requests are refused, larger answers too.
    pub body_bytes: u32,
}

/// Changes of requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestChange {
    /// Of header fields.
    pub headers: PartChange,
    /// Of query parameters.
    pub query: PartChange,
    /// Of the fields of a JSON body.
    pub body: BodyChange,
    /// From one place to another, before everything else.
    pub map: Vec<Mapping>,
}

/// Changes of answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseChange {
    /// Of header fields.
    pub headers: PartChange,
    /// Of the fields of a JSON body.
    pub body: BodyChange,
}

/// Changes of header fields or query parameters, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartChange {
    /// These go.
    pub remove: Vec<Box<str>>,
    /// These get another name; what had that one goes.
    pub rename: Vec<Rename>,
    /// These are as given, once.
    pub set: Vec<NamedValue>,
    /// These are added to what there is.
    pub add: Vec<NamedValue>,
}

/// Changes of the fields of a JSON body, in this order. Fields are named by JSON pointers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BodyChange {
    /// These go.
    pub remove: Vec<Box<str>>,
    /// These go to another place.
    pub rename: Vec<Rename>,
    /// These are as given.
    pub set: Vec<BodyField>,
}

/// A name and a value. The value may refer to secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedValue {
    /// The name.
    pub name: Box<str>,
    /// The value.
    pub value: SecretText,
}

/// A field of a JSON body and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodyField {
    /// Its JSON pointer.
    pub pointer: Box<str>,
    /// Its value.
    pub value: Value,
}

/// Another name for something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rename {
    /// What it was called.
    pub from: Box<str>,
    /// What it is called.
    pub to: Box<str>,
}

/// What is copied from one place of a request to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// From where.
    pub from: ValuePlace,
    /// To where; what is there goes.
    pub to: ValuePlace,
}

/// A place of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValuePlace {
    /// A header field.
    Header(Box<str>),
    /// A query parameter.
    Query(Box<str>),
    /// A field of a JSON body, by its JSON pointer.
    Body(Box<str>),
}

const PARAMETER: Format = Format {
    what: "the name of a query parameter: 1 to 256 characters, no control characters",
    pattern: r"^[^\u0000-\u001f\u007f]{1,256}$",
    exact: true,
    holds: |text| {
        (1..=256).contains(&text.chars().count()) && text.chars().all(|c| c > '\u{1f}' && c != '\u{7f}')
    },
};

const POINTER: Format = Format {
    what: "a JSON pointer: write it like /customer/name",
    pattern: "^(/([^/~]|~[01])*)+$",
    exact: true,
    holds: is_pointer,
};

fn is_pointer(text: &str) -> bool {
    let escaped = |part: &str| part.is_empty() || part.starts_with(['0', '1']);
    text.starts_with('/') && text.split('~').skip(1).all(|part| escaped(part) && !part.is_empty())
}

const MOST: usize = 64;

macro_rules! part_shape {
    ($name:ident, $format:expr, $value:expr) => {
        const $name: Shape = Shape::Object(&[
            Member {
                name: "remove",
                shape: Shape::List { of: &Shape::format(256, $format), least: 0, most: MOST },
                need: Need::Default("[]"),
                help: "These go.",
            },
            Member {
                name: "rename",
                shape: Shape::List {
                    of: &Shape::Object(&[
                        Member {
                            name: "from",
                            shape: Shape::format(256, $format),
                            need: Need::Required,
                            help: "What it was called.",
                        },
                        Member {
                            name: "to",
                            shape: Shape::format(256, $format),
                            need: Need::Required,
                            help: "What it is called.",
                        },
                    ]),
                    least: 0,
                    most: MOST,
                },
                need: Need::Default("[]"),
                help: "These get another name.",
            },
            Member {
                name: "set",
                shape: Shape::List { of: &$value, least: 0, most: MOST },
                need: Need::Default("[]"),
                help: "These are as given, once.",
            },
            Member {
                name: "add",
                shape: Shape::List { of: &$value, least: 0, most: MOST },
                need: Need::Default("[]"),
                help: "These are added.",
            },
        ]);
    };
}

const VALUE: Member = Member {
    name: "value",
    shape: Shape::Secret { most: 4_096 },
    need: Need::Required,
    help: "Its value; may refer to secrets.",
};

const HEADER_VALUE: Shape = Shape::Object(&[
    Member { name: "name", shape: Shape::format(256, HEADER), need: Need::Required, help: "Its name." },
    VALUE,
]);

/// What goes to clients is no secret, and refers to none.
const ANSWER_VALUE: Shape = Shape::Object(&[
    Member { name: "name", shape: Shape::format(256, HEADER), need: Need::Required, help: "Its name." },
    Member {
        name: "value",
        shape: Shape::Text { least: 0, most: 4_096, format: FIELD_VALUE },
        need: Need::Required,
        help: "Its value.",
    },
]);

const PARAMETER_VALUE: Shape = Shape::Object(&[
    Member { name: "name", shape: Shape::format(256, PARAMETER), need: Need::Required, help: "Its name." },
    VALUE,
]);

part_shape!(HEADERS, HEADER, HEADER_VALUE);
part_shape!(QUERY, PARAMETER, PARAMETER_VALUE);
part_shape!(ANSWER_HEADERS, HEADER, ANSWER_VALUE);

const POINTERS: Shape = Shape::List { of: &Shape::format(256, POINTER), least: 0, most: MOST };

const BODY: Shape = Shape::Object(&[
    Member { name: "remove", shape: POINTERS, need: Need::Default("[]"), help: "These go." },
    Member {
        name: "rename",
        shape: Shape::List {
            of: &Shape::Object(&[
                Member {
                    name: "from",
                    shape: Shape::format(256, POINTER),
                    need: Need::Required,
                    help: "Where it was.",
                },
                Member {
                    name: "to",
                    shape: Shape::format(256, POINTER),
                    need: Need::Required,
                    help: "Where it is.",
                },
            ]),
            least: 0,
            most: MOST,
        },
        need: Need::Default("[]"),
        help: "These go to another place.",
    },
    Member {
        name: "set",
        shape: Shape::List {
            of: &Shape::Object(&[
                Member {
                    name: "pointer",
                    shape: Shape::format(256, POINTER),
                    need: Need::Required,
                    help: "Which field.",
                },
                Member {
                    name: "value",
                    shape: Shape::Any,
                    need: Need::Required,
                    help: "Its value: any JSON.",
                },
            ]),
            least: 0,
            most: MOST,
        },
        need: Need::Default("[]"),
        help: "These are as given.",
    },
]);

const PLACE: Shape = Shape::Object(&[
    Member {
        name: "in",
        shape: Shape::OneOf(&["header", "query", "body"]),
        need: Need::Required,
        help: "In a header field, a query parameter or a field of the JSON body.",
    },
    Member {
        name: "name",
        shape: Shape::format(256, PARAMETER),
        need: Need::Required,
        help: "Its name; in the body its JSON pointer.",
    },
]);

const MAPPING: Shape = Shape::Object(&[
    Member { name: "from", shape: PLACE, need: Need::Required, help: "From where." },
    Member { name: "to", shape: PLACE, need: Need::Required, help: "To where; what is there goes." },
]);

const fn part(name: &'static str, shape: Shape, help: &'static str) -> Member {
    Member { name, shape, need: Need::Default("{}"), help }
}

impl Transform {
    pub(super) const SHAPE: Shape = Shape::Object(&[
        part(
            "request",
            Shape::Object(&[
                part("headers", HEADERS, "Changes of header fields: remove, rename, set, add."),
                part("query", QUERY, "Changes of query parameters: remove, rename, set, add."),
                part("body", BODY, "Changes of the fields of a JSON body: remove, rename, set."),
                Member {
                    name: "map",
                    shape: Shape::List { of: &MAPPING, least: 0, most: MOST },
                    need: Need::Default("[]"),
                    help: "Copies from one place to another, before everything else.",
                },
            ]),
            "Changes of what goes to the service.",
        ),
        part(
            "response",
            Shape::Object(&[
                part("headers", ANSWER_HEADERS, "Changes of header fields."),
                part("body", BODY, "Changes of the fields of a JSON body."),
            ]),
            "Changes of what comes back.",
        ),
        held_body("Largest body that is changed, in bytes; larger ones are refused."),
    ]);

    pub(super) fn read(given: Given<'_>) -> Result<Self, ConfigError> {
        let (request, response) = (given.object("request"), given.object("response"));
        let read = Self {
            request: RequestChange {
                headers: part_change(request.object("headers")),
                query: part_change(request.object("query")),
                body: body_change(request.object("body")),
                map: request.list("map").map(mapping).collect(),
            },
            response: ResponseChange {
                headers: plain_change(response.object("headers"))?,
                body: body_change(response.object("body")),
            },
            body_bytes: given.whole("body_bytes"),
        };
        check_headers("request.headers", &read.request.headers)?;
        check_headers("response.headers", &read.response.headers)?;
        for (at, mapping) in read.request.map.iter().enumerate() {
            check_place(&format!("request.map[{at}].from.name"), &mapping.from, false)?;
            check_place(&format!("request.map[{at}].to.name"), &mapping.to, true)?;
        }
        let (request, response) = (&read.request, &read.response);
        let nothing = request == &RequestChange::default() && response == &ResponseChange::default();
        if nothing {
            return Err(ConfigError::rule(
                "request",
                "it changes nothing: give `request`, `response` or both",
            ));
        }
        Ok(read)
    }

    /// Does it need the request's body?
    pub fn changes_request_bodies(&self) -> bool {
        let in_body = |place: &ValuePlace| matches!(place, ValuePlace::Body(_));
        self.request.body != BodyChange::default()
            || self.request.map.iter().any(|mapping| in_body(&mapping.from) || in_body(&mapping.to))
    }

    /// Does it need the answer's body?
    pub fn changes_answer_bodies(&self) -> bool {
        self.response.body != BodyChange::default()
    }
}

fn part_change(given: Given<'_>) -> PartChange {
    let named =
        |given: Given<'_>| NamedValue { name: given.text("name").into(), value: given.secret("value") };
    PartChange {
        remove: given.texts("remove"),
        rename: given.list("rename").map(rename).collect(),
        set: given.list("set").map(named).collect(),
        add: given.list("add").map(named).collect(),
    }
}

/// Changes of answers, whose values go to clients.
fn plain_change(given: Given<'_>) -> Result<PartChange, ConfigError> {
    let named = |list: &'static str| {
        let values = given.list(list).enumerate().map(move |(at, given)| {
            let path = format!("response.headers.{list}[{at}].value");
            Ok(NamedValue { name: given.text("name").into(), value: no_secret(&path, given.text("value"))? })
        });
        values.collect::<Result<Vec<_>, ConfigError>>()
    };
    Ok(PartChange {
        remove: given.texts("remove"),
        rename: given.list("rename").map(rename).collect(),
        set: named("set")?,
        add: named("add")?,
    })
}

fn body_change(given: Given<'_>) -> BodyChange {
    let field = |given: Given<'_>| BodyField {
        pointer: given.text("pointer").into(),
        value: given.value("value").clone(),
    };
    BodyChange {
        remove: given.texts("remove"),
        rename: given.list("rename").map(rename).collect(),
        set: given.list("set").map(field).collect(),
    }
}

fn rename(given: Given<'_>) -> Rename {
    Rename { from: given.text("from").into(), to: given.text("to").into() }
}

fn mapping(given: Given<'_>) -> Mapping {
    let place = |given: Given<'_>| {
        let name = given.text("name").into();
        match given.text("in") {
            "header" => ValuePlace::Header(name),
            "query" => ValuePlace::Query(name),
            _ => ValuePlace::Body(name),
        }
    };
    Mapping { from: place(given.object("from")), to: place(given.object("to")) }
}

/// What Keyward writes itself is neither set nor taken away.
fn check_headers(path: &str, change: &PartChange) -> Result<(), ConfigError> {
    let named = |list: &str, at: usize, name: &str| check_settable(&format!("{path}.{list}[{at}]"), name);
    let mut removed = change.remove.iter().enumerate();
    removed.try_for_each(|(at, name)| named("remove", at, name))?;
    let mut renamed = change.rename.iter().enumerate();
    renamed.try_for_each(|(at, rename)| {
        named("rename", at, &rename.from).and_then(|()| named("rename", at, &rename.to))
    })?;
    for (list, values) in [("set", &change.set), ("add", &change.add)] {
        let mut values = values.iter().enumerate();
        values.try_for_each(|(at, value)| {
            named(list, at, &value.name)?;
            let sound = value
                .value
                .plain()
                .is_none_or(|text| (super::given::FIELD_VALUE.holds)(text.expose_secret()));
            let refuse = || {
                ConfigError::rule(
                    &format!("{path}.{list}[{at}].value"),
                    "is not a header value: no control characters, no blank at its ends",
                )
            };
            sound.then_some(()).ok_or_else(refuse)
        })?;
    }
    Ok(())
}

fn check_place(path: &str, place: &ValuePlace, is_set: bool) -> Result<(), ConfigError> {
    match place {
        ValuePlace::Query(_) => Ok(()),
        ValuePlace::Body(pointer) if is_pointer(pointer) => Ok(()),
        ValuePlace::Body(_) => {
            Err(ConfigError::rule(path, "is not a JSON pointer: write it like /customer/name"))
        }
        ValuePlace::Header(name) if name.parse::<crate::HeaderName>().is_err() => {
            Err(ConfigError::rule(path, "is not a header name: use letters, digits and `-`"))
        }
        ValuePlace::Header(name) if is_set => check_settable(path, name),
        ValuePlace::Header(_) => Ok(()),
    }
}
