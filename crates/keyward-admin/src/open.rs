//! How an admin server is set up, and what its handlers share.

use std::fmt;
use std::sync::Arc;

use keyward_control::{Clock, Control, OpenId};

use crate::AdminToken;

/// How an admin server is set up.
pub struct AdminOptions {
    /// The use cases.
    pub control: Control,
    /// The local token; absent: nobody is let in by one.
    pub token: Option<AdminToken>,
    /// Host names under which the server may be called, besides `localhost` and IP addresses.
    pub hosts: Vec<String>,
    /// The provider through which operators may sign in; absent: by passwords alone.
    pub open_id: Option<OpenId>,
    /// Answers `/metrics`: the text that Prometheus reads.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// Is `/metrics` open to everybody who reaches the admin address?
    pub metrics_open: bool,
    /// Tells what time it is where a question names none.
    pub clock: Arc<dyn Clock>,
    /// Does the data plane take requests? For readiness.
    pub gateway_ready: Arc<dyn Fn() -> bool + Send + Sync>,
}

/// What handlers share. Cheap to clone.
#[derive(Clone)]
pub struct Admin(Arc<AdminOptions>);

impl Admin {
    /// Sets the handlers up.
    pub fn new(options: AdminOptions) -> Self {
        Self(Arc::new(options))
    }

    pub(crate) fn options(&self) -> &AdminOptions {
        &self.0
    }

    pub(crate) fn control(&self) -> &Control {
        &self.0.control
    }
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Admin(…)")
    }
}
