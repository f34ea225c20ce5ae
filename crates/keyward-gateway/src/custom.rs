//! The seam to whoever runs custom plugins. This crate knows no WebAssembly: it tells what a request is, and hears what became of it.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use keyward_access::CustomPlugin;
use keyward_http::Dropped;
use keyward_model::owned::{is_ours_in_answers, is_owned};

/// Word that is awaited on a core. It may come from any thread; nothing of it may block.
pub type CustomWait<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// Names, in lower case, and values. Those that begin with `:` stand for parts of the first line.
pub type CustomFields = Vec<(String, Vec<u8>)>;

/// Runs custom plugins, on threads of its own.
pub trait CustomPlugins: fmt::Debug + Send + Sync + 'static {
    /// What runs this plugin: the same for all cores, as long as the digest is the same. Answers at once; what does not run yet is
    /// started elsewhere. What runs goes on for whoever has it, also when there is another in its place.
    fn running(&self, plugin: &Arc<CustomPlugin>) -> Arc<dyn CustomRunner>;
}

/// A plugin that runs, or is about to.
pub trait CustomRunner: fmt::Debug + Send + Sync + 'static {
    /// A call begins, once the plugin runs.
    ///
    /// The error says why it cannot: lower case, no full stop, with nothing that came from the plugin.
    fn begin(&self, facts: CustomFacts) -> CustomWait<'static, Result<Box<dyn CustomExchange>, String>>;
}

/// One request and its answer, as a plugin sees them. Dropping it ends them for the plugin.
pub trait CustomExchange: 'static {
    /// What the plugin makes of the request.
    fn request(&mut self, message: CustomMessage) -> CustomWait<'_, CustomAnswer>;

    /// What the plugin makes of the answer.
    fn response(&mut self, message: CustomMessage) -> CustomWait<'_, CustomAnswer>;
}

/// What a plugin may know of a call besides its message.
#[derive(Clone, Debug)]
pub struct CustomFacts {
    /// The id of the request.
    pub request_id: String,
    /// The client; port 0 where a proxy stands between.
    pub source: SocketAddr,
    /// Id of the caller, or of the plugin that admitted it.
    pub caller_id: Option<String>,
    /// Name of the caller.
    pub caller_name: Option<String>,
    /// Name of the API.
    pub api: String,
    /// The stage.
    pub stage: String,
    /// Id of the grant that the permit rests on.
    pub grant: Option<String>,
}

/// A request or an answer, as far as the plugin is to see it.
#[derive(Default)]
pub struct CustomMessage {
    /// The head: `:method`, `:path`, `:authority` and `:scheme`, or `:status`, then its fields.
    pub fields: CustomFields,
    /// The body.
    pub body: CustomBody,
}

/// The body of a message.
#[derive(Default)]
pub enum CustomBody {
    /// There is none.
    #[default]
    None,
    /// There is one that the plugin does not see.
    Unseen,
    /// All of it.
    Whole(Vec<u8>),
}

/// What a plugin made of a message.
pub enum CustomAnswer {
    /// It goes on. What is `None` is as it was.
    Continue {
        /// The whole head.
        fields: Option<CustomFields>,
        /// The whole body.
        body: Option<Vec<u8>>,
    },
    /// The plugin answers.
    Reply {
        /// 200 to 599.
        status: u16,
        /// The head.
        fields: CustomFields,
        /// The body.
        body: Vec<u8>,
    },
    /// The plugin wants the call ended without an answer.
    Close,
    /// There is no answer of the plugin. Why: lower case, no full stop, with nothing that came from the plugin.
    Failed(String),
}

/// A head that a plugin may want to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CustomHead {
    /// Of the request.
    Request,
    /// Of the answer, or of one that the plugin gives.
    Answer,
    /// Of a call that the plugin makes.
    CallOut,
}

impl CustomHead {
    /// May a plugin set a field of this name?
    ///
    /// Never what belongs to a connection or frames a message, `host`, or what only Keyward says. What was decided on stays: of a
    /// request's first line only the query may change, which stands in `:path`.
    pub fn may_set(self, name: &str) -> bool {
        match self {
            Self::Request if name.starts_with(':') => name == ":path",
            Self::Answer if name.starts_with(':') => name == ":status",
            Self::CallOut if name.starts_with(':') => true,
            Self::Request | Self::CallOut => !is_owned(name),
            Self::Answer => !Dropped::of(&[]).drops(name) && !is_ours_in_answers(name),
        }
    }
}

impl fmt::Debug for CustomAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Continue { .. } => f.write_str("Continue"),
            Self::Reply { status, .. } => write!(f, "Reply({status})"),
            Self::Close => f.write_str("Close"),
            Self::Failed(why) => write!(f, "Failed({why})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::CustomHead::{Answer, CallOut, Request};

    #[test]
    fn what_is_keywards_or_the_connections_no_plugin_sets() {
        for (head, name, may) in [
            (Request, "x-team", true),
            (Request, "authorization", true),
            (Request, ":path", true),
            (Request, ":method", false),
            (Request, ":authority", false),
            (Request, "host", false),
            (Request, "content-length", false),
            (Request, "transfer-encoding", false),
            (Request, "connection", false),
            (Request, "x_keyward_caller_id", false),
            (Request, "x-forwarded-for", false),
            (Answer, "set-cookie", true),
            (Answer, ":status", true),
            (Answer, "content-length", false),
            (Answer, "connection", false),
            (Answer, "x-ca-request-id", false),
            (Answer, "x-keyward-account", false),
            (CallOut, ":method", true),
            (CallOut, "x-token", true),
            (CallOut, "host", false),
            (CallOut, "x-keyward-caller-id", false),
        ] {
            assert_eq!(head.may_set(name), may, "{head:?} {name}");
        }
    }
}
