//! What is done with a noun, and which roles may do it: the one role table.

use std::fmt;

use crate::Role;

/// What is done with a noun. Roles are granted by these words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    /// See many.
    List,
    /// Make one.
    Create,
    /// See one.
    Show,
    /// Change one.
    Change,
    /// Delete one.
    Delete,
    /// Let it take effect.
    Enable,
    /// Let it take no effect.
    Disable,
    /// Give a credential a new value.
    Reset,
    /// Give a credential a successor, and an end.
    Rotate,
    /// Show a secret value again.
    Reveal,
    /// Refer to a secret.
    Use,
    /// Tell of a value that leaked, so that it proves nothing any more.
    Report,
    /// End a grant.
    Revoke,
    /// Make a whole world so.
    Apply,
    /// Write a whole world, or the audit.
    Export,
    /// Ask what would be decided.
    Explain,
    /// Check that the audit is whole.
    Verify,
}

impl Action {
    /// The word, in lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Create => "create",
            Self::Show => "show",
            Self::Change => "change",
            Self::Delete => "delete",
            Self::Enable => "enable",
            Self::Disable => "disable",
            Self::Reset => "reset",
            Self::Rotate => "rotate",
            Self::Reveal => "reveal",
            Self::Use => "use",
            Self::Report => "report",
            Self::Revoke => "revoke",
            Self::Apply => "apply",
            Self::Export => "export",
            Self::Explain => "explain",
            Self::Verify => "verify",
        }
    }

    /// Does it change nothing and show no secret?
    pub const fn reads(self) -> bool {
        matches!(self, Self::List | Self::Show | Self::Export | Self::Explain | Self::Verify)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who may do something, and where the role must be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permission {
    /// These roles may.
    pub roles: &'static [Role],
    /// Must the role be held everywhere, because what is touched belongs to no account?
    pub everywhere: bool,
}

/// Who may do `action` with `noun`. A noun that is not known is the owners'.
pub fn permission(noun: &str, action: Action) -> Permission {
    use Role::{Admin, Auditor, Developer, Owner, Viewer};
    const OWNERS: &[Role] = &[Owner];
    const ADMINS: &[Role] = &[Owner, Admin];
    const WRITERS: &[Role] = &[Owner, Admin, Developer];
    const OVERSEERS: &[Role] = &[Owner, Admin, Auditor];
    const ALL: &[Role] = &[Owner, Admin, Developer, Auditor, Viewer];
    let everywhere = matches!(
        (noun, action),
        ("account", Action::Create | Action::Delete)
            | ("gateway" | "node", Action::Create | Action::Change | Action::Delete)
            | ("audit", Action::Verify)
            | ("metrics", _)
    );
    let roles = match (noun, action) {
        (_, Action::Reveal | Action::Use) => ADMINS,
        ("audit" | "access_review", _) => OVERSEERS,
        ("operator", Action::List | Action::Show) => OVERSEERS,
        ("operator", _) => OWNERS,
        // Of one's own; another's is the operator's to manage.
        ("operator_token" | "session", _) | ("leak", Action::Report) => ALL,
        (_, action) if action.reads() => ALL,
        ("account", _) => OWNERS,
        ("gateway" | "node" | "group" | "member" | "grant" | "secret", _) => ADMINS,
        (
            "world" | "service" | "api" | "stage" | "plugin" | "application" | "key_pair" | "app_code"
            | "consumer" | "api_key" | "jwt" | "credential" | "caller",
            _,
        ) => WRITERS,
        _ => OWNERS,
    };
    Permission { roles, everywhere }
}
