//! The outcomes of a decision: [`Permit`] or [`Denial`], and what lies between.

use std::borrow::Cow;
use std::sync::Arc;

use keyward_model::{
    ApiId, CallerId, CredentialId, DenyReason, GatewayId, GrantId, HeaderName, KeySetUrl, PluginId,
    SignatureScheme, Stage, Timestamp,
};

use crate::snapshot::{Part, Scope};

/// Proof that a request may go upstream. Made by [`authorize`](crate::authorize) alone, consumed by the upstream call.
#[derive(Debug)]
#[must_use = "a permit that is not consumed by an upstream call permits nothing"]
pub struct Permit {
    pub(crate) basis: Basis,
    pub(crate) caller: Option<CallerId>,
    pub(crate) credential: Option<CredentialId>,
    pub(crate) api: ApiId,
    pub(crate) stage: Stage,
    pub(crate) gateway: GatewayId,
    /// What it was proven by to the plugin that it rests on.
    pub(crate) admitted_by: Option<CredentialId>,
    /// What the grant narrows to, if it does.
    pub(crate) scope: Option<Arc<Scope>>,
}

/// What a [`Permit`] rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// The API admits anyone, and nothing was presented that would have had to verify.
    Anyone,
    /// This grant, the lowest id of those that match.
    Grant(GrantId),
    /// This plugin, which admits those who present what it was told, where it is bound.
    Plugin(PluginId),
}

impl Permit {
    /// What it rests on.
    pub fn basis(&self) -> Basis {
        self.basis
    }

    /// The grant it rests on, if it does.
    pub fn grant(&self) -> Option<GrantId> {
        match self.basis {
            Basis::Anyone | Basis::Plugin(_) => None,
            Basis::Grant(grant) => Some(grant),
        }
    }

    /// The plugin it rests on, if it does.
    pub fn plugin(&self) -> Option<PluginId> {
        match self.basis {
            Basis::Plugin(plugin) => Some(plugin),
            Basis::Anyone | Basis::Grant(_) => None,
        }
    }

    /// Who calls; `None` for anyone, and for whoever a plugin admits.
    pub fn caller(&self) -> Option<CallerId> {
        self.caller
    }

    /// By which credential.
    pub fn credential(&self) -> Option<CredentialId> {
        self.credential
    }

    /// Which API.
    pub fn api(&self) -> ApiId {
        self.api
    }

    /// Which stage.
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// On which gateway.
    pub fn gateway(&self) -> GatewayId {
        self.gateway
    }
}

/// A refusal, with its one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The reason.
    pub reason: DenyReason,
    /// Whose wire words the caller reads.
    pub dialect: Dialect,
    /// The vendor's message, such as ``Invalid Signature, Server StringToSign:`…` ``. Holds only what the caller sent.
    pub message: Option<Box<str>>,
    /// The specific cause, where it can be told, and what to do. Public.
    pub hint: Option<Cow<'static, str>>,
    /// Who was proven to call before the refusal (for the access record; never for the answer).
    pub caller: Option<CallerId>,
    /// By which credential.
    pub credential: Option<CredentialId>,
    /// The grant that came nearest, where the reason is about grants.
    pub grant: Option<GrantId>,
    /// The API that was resolved, and its stage.
    pub target: Option<(ApiId, Stage)>,
    /// A fetched key set that might be out of date, because of which it is refused.
    pub key_set: Option<Box<KeySetUrl>>,
}

impl Denial {
    /// A refusal for this reason, with nothing else known.
    pub fn new(reason: DenyReason) -> Self {
        Self {
            reason,
            dialect: Dialect::Plain,
            message: None,
            hint: None,
            caller: None,
            credential: None,
            grant: None,
            target: None,
            key_set: None,
        }
    }

    /// The same, with a hint.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Whose wire words a caller reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// problem+json alone.
    Plain,
    /// Alibaba Cloud API Gateway's `X-Ca-Error-*`.
    Alibaba,
    /// Tencent Cloud API Gateway's messages.
    Tencent,
}

/// What came of looking at what a request presents.
#[derive(Debug)]
pub enum Authentication<'s> {
    /// Nothing was presented, and the API admits anyone.
    Absent,
    /// A credential was presented and its proof held.
    Verified(Box<Verified<'s>>),
    /// The verdict needs the body: read it whole and ask again.
    NeedsBody(BodyNeed),
}

/// What of a body a verdict needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyNeed {
    /// The whole body takes part in what was signed.
    Whole,
    /// Only a digest of it does. A body above the holding limit may stream where the API says so, if its end is
    /// withheld until [`DigestCheck`] holds.
    Digest,
}

/// Who was proven to call, and what goes with it.
#[derive(Debug)]
pub struct Verified<'s> {
    /// The caller, with its grants.
    pub caller: &'s crate::CallerEntry,
    /// The credential that proved it.
    pub credential: &'s crate::CredentialEntry,
    /// The plugin that admits it: `caller` is then the plugin's own, in no list of callers.
    pub plugin: Option<&'s Arc<crate::PluginEntry>>,
    /// The scheme it signed by, if it did.
    pub scheme: Option<SignatureScheme>,
    /// A nonce to be remembered before the request may pass.
    pub nonce: Option<NonceUse>,
    /// Claims to hand to the service.
    pub claims: Vec<(HeaderName, String)>,
    /// Does the credential go on to the service (a JWT whose consumer says `forward`)?
    pub forward_credential: bool,
    /// A digest that a streamed body must have; `None` where none was sent or the body was read whole.
    pub digest: Option<DigestCheck>,
    /// Where it stood, if in one named place.
    pub(crate) place: Option<(Part, &'s str)>,
}

/// A one-time value, to be remembered per application until it can no longer be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NonceUse {
    /// Whose nonce: the scope.
    pub caller: CallerId,
    /// The value, 1 to 128 characters.
    pub nonce: Box<str>,
    /// From this moment on the request would be refused by its timestamp anyway.
    pub until: Timestamp,
    /// The timestamp that was signed with it.
    pub timestamp: Option<Timestamp>,
    /// Does the API require nonces (so that forgetting one must close the door)?
    pub required: bool,
}

/// The MD5 digest that a streamed body must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DigestCheck {
    /// The 16 raw bytes of the MD5.
    pub md5: [u8; 16],
}
