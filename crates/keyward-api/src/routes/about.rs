//! What a caller must know about a route beside its method and path.

use schemars::generate::SchemaGenerator;
use schemars::{JsonSchema, Schema};

use super::parameter::{Form, Parameter};
use crate::{Answer, List};

/// Makes the schema of a description or an answer.
pub type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// What a caller must know about a route. Entries of the route table are made of the functions below.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// Its query parameters.
    pub query: &'static [Parameter],
    /// What `{id}` of its path may say.
    pub id: Form,
    /// What it reads.
    pub body: Body,
    /// What it answers.
    pub answer: Answers,
    /// Does it honour `If-Match`?
    pub if_match: bool,
    /// Who may call it.
    pub access: Access,
    /// Statuses of problems beside those that follow from the rest.
    pub also: &'static [u16],
}

/// What a route reads.
#[derive(Clone, Copy, Debug)]
pub enum Body {
    /// Nothing: a body is not looked at.
    None,
    /// A description as JSON, of which this is an example.
    Json(SchemaOf, &'static str),
    /// What of a description changes (RFC 7396), of which this is an example.
    Change(SchemaOf, &'static str),
    /// A world file, as YAML or JSON.
    World,
}

/// What a route answers when it did what was asked.
#[derive(Clone, Copy, Debug)]
pub enum Answers {
    /// An object that was made, with its place in `Location` and its ETag: 201.
    Made(SchemaOf),
    /// An object with its ETag: 200.
    Tagged(SchemaOf),
    /// Anything else as JSON: 200.
    Json(SchemaOf),
    /// A text of this media type that rests on a revision: 200.
    Written(&'static str),
    /// A text of this media type that rests on nothing: 200.
    Text(&'static str),
    /// Nothing but an address elsewhere, for browsers: 303.
    Elsewhere,
}

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Operators, as their role allows.
    Operator,
    /// Everybody who reaches the admin address.
    Open,
}

impl Body {
    /// The media types in which it is read; empty where nothing is read.
    pub const fn media(self) -> &'static [&'static str] {
        match self {
            Self::None => &[],
            Self::Json(..) => &["application/json"],
            Self::Change(..) => &["application/merge-patch+json", "application/json"],
            Self::World => &["application/yaml", "application/json", "application/x-yaml", "text/yaml"],
        }
    }
}

impl Answers {
    /// The status of such an answer.
    pub const fn status(self) -> u16 {
        match self {
            Self::Made(_) => 201,
            Self::Elsewhere => 303,
            _ => 200,
        }
    }
}

fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// A route that reads no body and gives this answer.
const fn about(query: &'static [Parameter], answer: Answers) -> About {
    About {
        query,
        id: Form::Name,
        body: Body::None,
        answer,
        if_match: false,
        access: Access::Operator,
        also: &[],
    }
}

/// Gives a page of a list of these.
pub(super) const fn list<T: JsonSchema>(query: &'static [Parameter]) -> About {
    about(query, Answers::Json(schema_of::<List<T>>))
}

/// Gives one of these, which have an ETag.
pub(super) const fn one<T: JsonSchema>(query: &'static [Parameter]) -> About {
    about(query, Answers::Tagged(schema_of::<Answer<T>>))
}

/// Gives one of these, which have none.
pub(super) const fn plain<T: JsonSchema>(query: &'static [Parameter]) -> About {
    about(query, Answers::Json(schema_of::<T>))
}

/// Makes a `T` of a description like this example.
pub(super) const fn made<T: JsonSchema>(query: &'static [Parameter]) -> About {
    about(query, Answers::Made(schema_of::<Answer<T>>))
}

/// Gives a text of this media type that rests on a revision.
pub(super) const fn written(query: &'static [Parameter], media: &'static str) -> About {
    about(query, Answers::Written(media))
}

/// Gives a text of this media type.
pub(super) const fn text(media: &'static str) -> About {
    about(&[], Answers::Text(media))
}

/// Sends browsers elsewhere.
pub(super) const fn redirect() -> About {
    about(&[], Answers::Elsewhere)
}

impl About {
    /// It reads a `T`, like this example.
    #[must_use]
    pub(super) const fn takes<T: JsonSchema>(self, example: &'static str) -> Self {
        Self { body: Body::Json(schema_of::<T>, example), ..self }
    }

    /// It reads what of a `T` changes, like this example, and honours `If-Match`.
    #[must_use]
    pub(super) const fn changes<T: JsonSchema>(self, example: &'static str) -> Self {
        Self { body: Body::Change(schema_of::<T>, example), if_match: true, ..self }
    }

    /// It reads a world file.
    #[must_use]
    pub(super) const fn takes_world(self) -> Self {
        Self { body: Body::World, ..self }
    }

    /// It honours `If-Match`.
    #[must_use]
    pub(super) const fn if_match(self) -> Self {
        Self { if_match: true, ..self }
    }

    /// Its object is named by id alone, and ids begin so.
    #[must_use]
    pub(super) const fn by_id(self, prefix: &'static str) -> Self {
        Self { id: Form::Id(prefix), ..self }
    }

    /// It may answer with problems of these statuses, too.
    #[must_use]
    pub(super) const fn also(self, also: &'static [u16]) -> Self {
        Self { also, ..self }
    }

    /// Its object is a caller, named by id alone.
    #[must_use]
    pub(super) const fn by_caller_id(self) -> Self {
        Self { id: Form::CallerId, ..self }
    }

    /// It is open to everybody who reaches the admin address.
    #[must_use]
    pub(super) const fn open(self) -> Self {
        Self { access: Access::Open, ..self }
    }
}
