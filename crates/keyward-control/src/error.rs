//! What can go wrong with a use case, and what to do about it.

use std::fmt;

use keyward_model::{Noun, Place};
use keyward_store::StoreError;

/// Why a use case was refused. Nothing was changed, unless the code is `outcome_unknown`: then nobody knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlError {
    kind: ErrorKind,
    problems: Vec<Problem>,
    users: Vec<User>,
    retry_after_s: Option<u64>,
}

/// The kinds of refusal; each has one HTTP status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// What was given is wrong: 422.
    Invalid,
    /// What was named does not exist (or is not the actor's to see): 404.
    NotFound,
    /// It contradicts something that exists: 409.
    Conflict,
    /// It cannot go while others use it: 409, with the list.
    InUse,
    /// The actor, or the account's settings, do not allow it: 403.
    Forbidden,
    /// It is not known who asks: 401.
    Unauthenticated,
    /// It was there once, and is closed for good: 410.
    Gone,
    /// Too much was asked: 429.
    TooMany,
    /// The store does not take writes, or does not answer: 503.
    StoreUnavailable,
    /// The provider through which operators sign in does not answer: 503.
    ProviderUnavailable,
}

impl ErrorKind {
    /// The HTTP status of this kind.
    pub const fn status(self) -> u16 {
        match self {
            Self::Invalid => 422,
            Self::NotFound => 404,
            Self::Conflict | Self::InUse => 409,
            Self::Forbidden => 403,
            Self::Unauthenticated => 401,
            Self::Gone => 410,
            Self::TooMany => 429,
            Self::StoreUnavailable | Self::ProviderUnavailable => 503,
        }
    }
}

/// One thing that is wrong, where, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Stable, for programs: `name_taken`.
    pub code: &'static str,
    /// Where in the document or the spec; line and column are 0 where there are none.
    pub place: Place,
    /// For people: what is wrong and what is allowed; lower case, no full stop.
    pub text: String,
    /// The kind this problem has when it stands alone.
    pub kind: ErrorKind,
}

impl Problem {
    /// A problem of this kind at this place.
    pub fn new(kind: ErrorKind, code: &'static str, place: Place, text: impl Into<String>) -> Self {
        Self { code, place, text: text.into(), kind }
    }

    /// A problem of kind [`ErrorKind::Forbidden`] at this path within the spec.
    pub(crate) fn new_forbidden(code: &'static str, path: &str, text: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Forbidden, ..Self::invalid(code, path, text) }
    }

    /// A problem of kind [`ErrorKind::Invalid`] at this path within the spec.
    pub fn invalid(code: &'static str, path: impl Into<String>, text: impl Into<String>) -> Self {
        let place = Place { line: 0, column: 0, path: path.into() };
        Self::new(ErrorKind::Invalid, code, place, text)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place.path.as_str() {
            "" => f.write_str(&self.text),
            path => write!(f, "{path}: {}", self.text),
        }
    }
}

/// Something that uses the thing that should go.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct User {
    /// What it is.
    pub noun: Noun,
    /// Its id.
    pub id: String,
    /// Its name; for a grant its description, which may be empty.
    pub name: String,
}

impl ControlError {
    /// Its kind.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The stable code of the first problem.
    pub fn code(&self) -> &'static str {
        self.problems.first().map_or("unknown", |problem| problem.code)
    }

    /// The path of the first problem within what was given; empty where it is about no part of it.
    pub fn path(&self) -> &str {
        self.problems.first().map_or("", |problem| problem.place.path.as_str())
    }

    /// Everything that is wrong, in the order of what was given. Never empty.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Is it the master key that is missing, not to be used, or another store's? A node that has the right one goes on.
    pub fn is_sealed(&self) -> bool {
        matches!(self.code(), "master_key_missing" | "master_key_wrong" | "master_key_unusable")
    }

    /// When it may be tried again, in seconds, for [`ErrorKind::TooMany`].
    pub fn retry_after_s(&self) -> Option<u64> {
        self.retry_after_s
    }

    /// Who uses the thing that should go, for [`ErrorKind::InUse`].
    pub fn users(&self) -> &[User] {
        &self.users
    }
}

impl ControlError {
    /// An error about no part of what was given.
    pub(crate) fn new(kind: ErrorKind, code: &'static str, text: impl Into<String>) -> Self {
        Self::from(Problem::new(kind, code, Place::default(), text))
    }

    /// The same, to be tried again after so many seconds.
    pub(crate) fn after_s(self, seconds: u64) -> Self {
        Self { retry_after_s: Some(seconds), ..self }
    }

    pub(crate) fn set_kind(&mut self, kind: ErrorKind) {
        self.kind = kind;
    }

    /// The same, with paths as whoever gave only a part of the spec knows them.
    pub(crate) fn map_paths(mut self, path: impl Fn(&str) -> String) -> Self {
        for problem in &mut self.problems {
            problem.place.path = path(&problem.place.path);
        }
        self
    }

    /// Something that was named does not exist.
    pub(crate) fn not_found(noun: &str, what: impl fmt::Display) -> Self {
        Self::new(ErrorKind::NotFound, "not_found", format!("there is no {noun} {what}"))
    }

    /// It cannot go while these use it.
    pub(crate) fn in_use(what: impl fmt::Display, users: Vec<User>) -> Self {
        let list: Vec<String> = users.iter().take(20).map(ToString::to_string).collect();
        let more = match users.len().saturating_sub(list.len()) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let text = format!("{what} is in use by {}{more}: change or delete these first", list.join(", "));
        Self { users, ..Self::new(ErrorKind::InUse, "in_use", text) }
    }
}

impl From<Problem> for ControlError {
    fn from(problem: Problem) -> Self {
        Self { kind: problem.kind, problems: vec![problem], users: Vec::new(), retry_after_s: None }
    }
}

impl From<Vec<Problem>> for ControlError {
    /// The kind is that of the gravest: a store that does not answer, then what is wrong by itself, then the first one's.
    fn from(problems: Vec<Problem>) -> Self {
        let has = |kind| problems.iter().any(|problem| problem.kind == kind);
        let kind = [ErrorKind::StoreUnavailable, ErrorKind::Invalid].into_iter().find(|&kind| has(kind));
        let kind = kind.or(problems.first().map(|problem| problem.kind)).unwrap_or(ErrorKind::Invalid);
        Self { kind, problems, users: Vec::new(), retry_after_s: None }
    }
}

impl From<StoreError> for ControlError {
    fn from(error: StoreError) -> Self {
        let (kind, code) = match &error {
            StoreError::Contradiction(_) => (ErrorKind::Conflict, "contradiction"),
            StoreError::Locked { .. } => (ErrorKind::StoreUnavailable, "store_locked"),
            StoreError::MasterKeyMissing(_) => (ErrorKind::StoreUnavailable, "master_key_missing"),
            StoreError::MasterKeyWrong(_) => (ErrorKind::StoreUnavailable, "master_key_wrong"),
            StoreError::MasterKeyFile { .. } => (ErrorKind::StoreUnavailable, "master_key_unusable"),
            StoreError::Folder { .. } => (ErrorKind::StoreUnavailable, "data_folder_unusable"),
            StoreError::Newer => (ErrorKind::StoreUnavailable, "store_newer"),
            StoreError::Address(_) => (ErrorKind::StoreUnavailable, "store_address"),
            StoreError::AnotherStore => (ErrorKind::StoreUnavailable, "another_store"),
            StoreError::WentBack { .. } => (ErrorKind::StoreUnavailable, "store_went_back"),
            StoreError::NotLetIn(_) => (ErrorKind::StoreUnavailable, "store_refused"),
            StoreError::Away { .. } => (ErrorKind::StoreUnavailable, "store_away"),
            StoreError::Copy(_) => (ErrorKind::StoreUnavailable, "copy_unusable"),
            StoreError::Text => (ErrorKind::Invalid, "text_malformed"),
            StoreError::OutcomeUnknown(_) => (ErrorKind::StoreUnavailable, "outcome_unknown"),
            StoreError::WritesRefused(_) => (ErrorKind::StoreUnavailable, "writes_refused"),
            StoreError::DiskFull(_) => (ErrorKind::StoreUnavailable, "disk_full"),
            StoreError::Unavailable(_) => (ErrorKind::StoreUnavailable, "store_unavailable"),
            StoreError::Damaged(_) => (ErrorKind::StoreUnavailable, "row_damaged"),
        };
        Self::new(kind, code, error.to_string())
    }
}

impl From<crate::RandomFailed> for ControlError {
    fn from(error: crate::RandomFailed) -> Self {
        Self::new(ErrorKind::StoreUnavailable, "random_failed", error.to_string())
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name.as_str() {
            "" => write!(f, "{} {}", self.noun.singular(), self.id),
            name => write!(f, "{} `{name}`", self.noun.singular()),
        }
    }
}

impl fmt::Display for ControlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.problems.iter().enumerate() {
            let separator = if at == 0 { "" } else { "; " };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ControlError {}
