//! The admin contract: the world file, the descriptions of every noun, the route table, problems, and a client.
//!
//! The same field names stand in a world file and in the admin API. Descriptions are read strictly, and every
//! problem with one is reported with its place. What is read becomes the model's `*Spec` types; there is no use
//! case and no I/O here other than the client's.

mod accounts;
mod answers;
mod apis;
mod applications;
mod audit;
mod brief;
mod callers;
mod client;
mod codes;
mod consumers;
mod credentials;
mod document;
mod dollar;
mod explain;
mod forms;
mod gateways;
mod grants;
mod groups;
mod jwt;
mod modules;
mod nodes;
mod noun;
mod openapi;
mod operations;
mod operators;
mod plugins;
mod problem;
mod read;
mod review;
mod routes;
mod secrets;
mod services;
mod sessions;
mod text;
mod usage;
mod world;

pub use accounts::Account;
pub use answers::{
    Answer, Applied, Credential, Deleted, JwtSettings, KeySetHealth, List, Mention, Minted, Revealed,
    Revoked, Stored, Warning,
};
pub use apis::{Api, Parameter, ParameterTarget, Signature, StageBinding};
pub use applications::Application;
pub use audit::{AuditCheck, AuditEntry};
pub use callers::{ForeignCaller, NewApplication, NewApplicationSpec, NewConsumer, NewConsumerSpec};
pub use client::{Call, Client, ClientError, Resource};
pub use codes::Code;
pub use consumers::{ApiKey, Consumer, Source};
pub use credentials::{CredentialChange, CredentialReset, CredentialRotation, KeyPair, Leak, Opaque};
pub use explain::{Explanation, NearMiss, Permitted, WhoCan};
pub use gateways::{Gateway, Limits};
pub use grants::{FirstGrant, Grant, GrantBatch, GrantBatchSpec, GrantTerms, Grantee, GrantsGiven};
pub use groups::{Group, Member};
pub use jwt::{ClaimHeader, IdentityClaim, Jwt, RemoteKeys, Token};
pub use modules::{Module, Sees, Wasm, WasmLimits};
pub use nodes::{Cluster, LaggingNode, Node, NodeName};
pub use noun::Described;
pub use openapi::{SESSION_COOKIE, openapi};
pub use operations::OperationName;
pub use operators::{OpenIdentity, Operator, OperatorToken, RoleHeld, StoredToken};
pub use plugins::{Limit, Plugin, PluginKindView, PluginTarget};
pub use problem::{FieldProblem, PROBLEM_JSON, Problem};
pub use review::ReviewItem;
pub use routes::{
    About, Access, Action, Answers, Body, Form, Method, Parameter as RouteParameter, Route, SchemaOf,
};
pub use secrets::{
    HeldFrom, Previous, Reference, RevealedSecret, Secret, SecretRollback, SecretRotation, SecretStatus,
    VaultField, is_secret_value,
};
pub use services::{Auth, AuthHeader, Endpoint, Service, Timeouts};
pub use sessions::{BootstrapAnswer, Done, PasswordChange, SignIn, WhoAmI};
pub use usage::Usage;
pub use world::{WorldFile, write_json, write_yaml};
