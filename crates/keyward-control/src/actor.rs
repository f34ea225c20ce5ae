//! Who does something in the admin plane.

use std::fmt;

use crate::ControlError;

/// Who does something in the admin plane. Goes into every audit entry.
///
/// Operators with roles come later; until then whoever holds the node's local token may do everything.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Actor {
    /// The holder of the node's `admin-token`.
    LocalToken,
    /// The node itself, with a world file named on its command line (`serve --apply`).
    Start,
}

impl Actor {
    /// May this actor do this? Every use case asks, also those that only read.
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`](crate::ErrorKind::Forbidden): none of today's actors, who may do everything.
    pub(crate) fn may(&self, action: &'static str) -> Result<(), ControlError> {
        match self {
            Self::LocalToken | Self::Start => {
                tracing::trace!(actor = %self, action, "allowed");
                Ok(())
            }
        }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LocalToken => "local-token",
            Self::Start => "start",
        })
    }
}
