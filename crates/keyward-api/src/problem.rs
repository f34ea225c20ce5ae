//! What went wrong, as the admin API says it (RFC 9457).

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::document::SyntaxError;

/// The media type of a [`Problem`].
pub const PROBLEM_JSON: &str = "application/problem+json";

/// Why a request to the admin API was refused. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Problem {
    /// `urn:keyward:problem:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// The HTTP status.
    pub status: u16,
    /// Stable, for programs: `name_taken`.
    #[schemars(with = "crate::codes::Code")]
    pub code: String,
    /// For people: what is wrong and what to do.
    pub title: String,
    /// Every part of the request that is wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<FieldProblem>,
    /// Who uses the thing that should go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<crate::Mention>,
    /// When it may be tried again, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u64>,
    /// The revision that the answer rests on; absent for those who are not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
}

/// One thing that is wrong with a document, and where.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct FieldProblem {
    /// Line, from 1; 0 where there is none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub line: u32,
    /// Column, from 1; 0 where there is none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub column: u32,
    /// Path within the document, such as `applications[0].key_pairs[1].app_key`; empty for the whole.
    pub path: String,
    /// What is wrong and what is allowed.
    pub message: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Problem {
    /// A problem with this status and code.
    pub fn new(status: u16, code: &str, title: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:keyward:problem:{code}"),
            status,
            code: code.to_owned(),
            title: title.into(),
            problems: Vec::new(),
            users: Vec::new(),
            retry_after_s: None,
            revision: None,
        }
    }

    /// Most parts that are named: nobody reads on, and an answer must not be larger than what it refuses.
    const NAMED_MAX: usize = 1_000;

    /// A document that is wrong in these ways.
    pub fn invalid(status: u16, code: &str, mut problems: Vec<FieldProblem>) -> Self {
        let title = match problems.as_slice() {
            [one] => one.to_string(),
            all if all.len() > Self::NAMED_MAX => format!(
                "{} things are wrong, of which the first {} are named; nothing was changed",
                all.len(),
                Self::NAMED_MAX
            ),
            all => format!("{} things are wrong; nothing was changed", all.len()),
        };
        problems.truncate(Self::NAMED_MAX);
        Self { problems, ..Self::new(status, code, title) }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.title)?;
        if self.problems.len() > 1 {
            self.problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))?;
        }
        self.users.iter().try_for_each(|user| match user.name.as_str() {
            // A grant is known by its description, and it need not have one.
            "" => write!(f, "\n  used by {} {}", user.noun, user.id),
            name => write!(f, "\n  used by {} `{name}` ({})", user.noun, user.id),
        })
    }
}

impl std::error::Error for Problem {}

/// `3:7: applications[0].name: …`; parts that are not known are left out.
impl fmt::Display for FieldProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "{}:{}: ", self.line, self.column)?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

impl From<SyntaxError> for FieldProblem {
    fn from(error: SyntaxError) -> Self {
        Self { line: error.at.line, column: error.at.column, path: String::new(), message: error.message }
    }
}
