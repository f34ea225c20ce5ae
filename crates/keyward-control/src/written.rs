//! What writes answer.

use keyward_model::{Noun, Place, Revision};

use crate::{Minted, User};

/// The answer to a write that was committed and is in effect on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written<T> {
    /// The revision from which it holds. Where nothing had to change, the current one.
    pub revision: Revision,
    /// The object as it is now.
    pub object: T,
    /// What is allowed but unwise.
    pub warnings: Vec<Warning>,
}

/// The answer to a write that may have made credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created<T> {
    /// The revision from which it holds.
    pub revision: Revision,
    /// The object as it is now.
    pub object: T,
    /// Values that were generated: shown this once.
    pub minted: Vec<Minted>,
    /// What is allowed but unwise.
    pub warnings: Vec<Warning>,
}

/// The answer to a deletion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deleted {
    /// The revision from which it is gone; for a dry run the current one.
    pub revision: Revision,
    /// Was it only counted?
    pub dry_run: bool,
    /// What went (or would go) along, in order of dependence; the object itself is not among them.
    /// Credentials are counted under their caller's noun in [`Deleted::credentials`].
    pub along: Vec<User>,
    /// How many credentials went along.
    pub credentials: u64,
}

/// Something that is allowed but unwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Stable, for programs: `weak_secret`.
    pub code: &'static str,
    /// Where in the document or the spec.
    pub place: Place,
    /// About what.
    pub noun: Noun,
    /// For people.
    pub text: String,
}
