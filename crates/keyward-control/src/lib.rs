//! Keyward's use cases: what an operator can do, one file per noun.
//!
//! [`Control`] is the way in. Every write is one transaction of the store (rows, audit entry, change log, next
//! revision); the [`Snapshot`](keyward_access::Snapshot) that follows from it is compiled before the commit, so that what
//! would not compile is refused, and published before the write is answered.
//!
//! There is no HTTP here and no wire form: the admin server maps its DTOs to the model's `*Spec` types.

mod accounts;
mod actor;
mod apis;
mod applications;
mod apply;
mod audit;
mod callers;
mod clock;
mod consumers;
mod control;
mod credentials;
mod dirty;
mod egress;
mod error;
mod explain;
mod export;
mod follow;
mod gateways;
mod gather;
mod grants;
mod groups;
mod held;
mod job;
mod key_sets;
mod leaks;
mod load;
mod minter;
mod modules;
mod nodes;
mod object;
mod once;
mod open_id;
mod operators;
mod page;
mod password;
mod past;
mod plan;
mod plugins;
mod reference;
mod review;
mod rotation;
mod secrets;
mod services;
mod sessions;
mod shared;
mod usage;
mod views;
mod writer;
mod written;

pub use accounts::{AccountView, Accounts};
pub use actor::{Acting, Actor};
pub use apis::{ApiView, Apis};
pub use applications::{ApplicationView, Applications};
pub use apply::{Applied, ApplyOptions, CompiledWorld, Touched, compile_world};
pub use audit::{Audit, AuditCheck, AuditMark, AuditQuery};
pub use callers::{Callers, ForeignCaller};
pub use clock::{Clock, SystemClock};
pub use consumers::{ConsumerView, Consumers};
pub use control::{Asking, Control, ControlOptions};
pub use credentials::{CredentialChange, CredentialView, Credentials, Revealed};
pub use error::{ControlError, ErrorKind, Problem, User};
pub use explain::{Ask, AskedCaller, Explained, PermittedCaller, WhoCan};
pub use gateways::{GatewayView, Gateways};
pub use grants::{GrantFilter, GrantView, Grants, Revoked};
pub use groups::{GroupView, Groups};
pub use held::{HeldCounts, HeldKeeper, HeldOptions, HeldRules, VaultAddress, VaultLogin, VaultOptions};
pub use key_sets::{KeySetHealth, KeySetKeeper, KeySetOptions};
pub use keyward_store::AuditRow;
pub use keyward_store::GrantState;
pub use minter::{
    Minted, Minter, Random, RandomFailed, SeededRandom, SystemRandom, looks_generated, request_id,
};
pub use modules::{ModuleView, Modules};
pub use nodes::{ClusterApplied, Lagging, NodeInfo, NodeRef, NodeView, Nodes};
pub use once::{Before, DONE_MEANWHILE, Once};
pub use open_id::{BegunSignIn, OpenId, OpenIdOptions, Returned};
pub use operators::{MintedToken, OperatorTokenView, OperatorView, Operators};
pub use page::{ListFilter, Order, Page};
pub use plugins::{PluginFilter, PluginView, Plugins};
pub use reference::ObjectRef;
pub use review::{Found, Review, ReviewQuery};
pub use rotation::Rotation;
pub use secrets::{ReferenceView, SecretView, Secrets};
pub use services::{ServiceView, Services};
pub use sessions::{Known, NewSession, Sessions};
pub use usage::{Usage, UsageFilter, UsageKeeper, UsageOptions, UsageView};
pub use written::{Created, Deleted, Warning, Written};

/// The name of the account and of the gateway that exist from the start.
pub const DEFAULT: &str = "default";
