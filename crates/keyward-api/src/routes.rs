//! The one route table, from which the router, the client, the role table and the contract come.

mod about;
mod parameter;

pub use about::{About, Access, Answers, Body, SchemaOf};
pub use parameter::{Form, Parameter};

use about::{list, made, one, plain, redirect, text, written};
use parameter::{
    ACCOUNTS, APIS, APPLY, AUDIT, AUDIT_EXPORT, AUDIT_MARK, DELETE, DRY, EXPLAIN, EXPORT, FIND, GRANTS, LIST,
    NAMED, NONE, ONE, PLUGINS, REFERENCES, RENOUNCE, REVIEW, TAGGED, USAGE, WHO_CAN,
};

use crate::consumers::Consumer;
use crate::credentials::{CredentialChange, CredentialReset, CredentialRotation, GivenOpaque, KeyPair, Leak};
use crate::groups::GivenMember;
use crate::{
    Account, Answer, Api, Application, Applied, AuditCheck, AuditEntry, BootstrapAnswer, Credential, Deleted,
    Done, Explanation, ForeignCaller, Gateway, Grant, GrantBatch, GrantsGiven, Group, Jwt, Module,
    NewApplication, NewConsumer, Node, Operator, OperatorToken, PasswordChange, Plugin, PluginKindView,
    Reference, Revealed, RevealedSecret, ReviewItem, Revoked, Secret, SecretRollback, SecretRotation,
    Service, SignIn, StageBinding, Stored, StoredToken, Usage, WhoAmI, WhoCan,
};

pub use keyward_model::Action;

/// The methods that routes have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// Reads.
    Get,
    /// Makes, or does.
    Post,
    /// Sets.
    Put,
    /// Changes what is sent.
    Patch,
    /// Removes.
    Delete,
}

impl Method {
    /// As on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

macro_rules! routes {
    ($(#[doc = $summary:literal] $route:ident = $method:ident $path:literal, $noun:literal $action:ident: $about:expr;)*) => {
        /// One thing that the admin API can do.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Route {
            $(#[doc = concat!("`", stringify!($method), " ", $path, "`:", $summary)] $route,)*
        }

        impl Route {
            /// Every route.
            pub const ALL: &'static [Self] = &[$(Self::$route,)*];

            /// Its method.
            pub const fn method(self) -> Method {
                match self { $(Self::$route => Method::$method,)* }
            }

            /// Its path, in which `{name}` stands for one segment.
            pub const fn path(self) -> &'static str {
                match self { $(Self::$route => $path,)* }
            }

            /// What it is about.
            pub const fn noun(self) -> &'static str {
                match self { $(Self::$route => $noun,)* }
            }

            /// What it does.
            pub const fn action(self) -> Action {
                match self { $(Self::$route => Action::$action,)* }
            }

            /// What it does, in a sentence without its full stop.
            pub fn summary(self) -> &'static str {
                match self { $(Self::$route => $summary,)* }.trim().trim_end_matches('.')
            }

            /// Its own name, which generated clients call it by.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$route => stringify!($route),)* }
            }

            /// What else a caller must know about it.
            pub const fn about(self) -> About {
                match self { $(Self::$route => $about,)* }
            }
        }
    };
}

routes! {
    /// Say that the process answers.
    Alive = Get "/healthz", "health" Show: text("text/plain").open();
    /// Say whether the node takes requests and changes.
    Ready = Get "/readyz", "health" Show: text("text/plain").open();
    /// Write the figures that Prometheus reads.
    Metrics = Get "/metrics", "metrics" Show: text("text/plain");
    /// Write this contract: OpenAPI 3.1.
    Contract = Get "/openapi.json", "contract" Show: text("application/json");
    /// Show this contract as a page.
    ContractPage = Get "/docs", "contract" Show: text("text/html");

    /// Show the page on which browsers sign in.
    SignInPage = Get "/sign-in", "session" Show: text("text/html").open();
    /// Give what that page runs.
    SignInScript = Get "/sign-in.js", "session" Show: text("text/javascript").open();
    /// Send a browser to the OpenID provider through which operators sign in, if there is one.
    BeginSignIn = Get "/sign-in/oidc", "session" Show: redirect().open().also(&[404, 503]);
    /// Take a browser back from the provider, and begin its session. Browsers are answered with a page, also where it is refused.
    FinishSignIn = Get "/sign-in/oidc/return", "session" Show: text("text/html").open().also(&[401, 404, 429, 503]);
    /// Make the first operator, who owns everything, with the one-time password that the node printed; sign it in.
    Bootstrap = Post "/v1/bootstrap", "session" Create:
        plain::<WhoAmI>(NONE).takes::<BootstrapAnswer>(r#"{"one_time_password": "kw_bootstrap_…", "name": "alice", "password": "correct horse battery"}"#).open().also(&[401, 410, 429]);
    /// Sign in by name and password: the answer sets the session's cookie.
    SignIn = Post "/v1/session", "session" Create:
        plain::<WhoAmI>(NONE).takes::<SignIn>(r#"{"name": "alice", "password": "correct horse battery"}"#).open().also(&[401, 429]);
    /// Say who is calling, and what it may do.
    ShowSession = Get "/v1/session", "session" Show: plain::<WhoAmI>(NONE);
    /// Sign out.
    SignOut = Delete "/v1/session", "session" Delete: plain::<Done>(NONE);
    /// Give oneself a new password; whoever is signed in so far is signed out.
    ChangeOwnPassword = Post "/v1/session/password", "session" Change:
        plain::<Done>(NONE).takes::<PasswordChange>(r#"{"old_password": "correct horse battery", "password": "battery horse correct"}"#);

    /// List operators, oldest first.
    ListOperators = Get "/v1/operators", "operator" List: list::<Stored<Operator>>(LIST);
    /// Make an operator.
    CreateOperator = Post "/v1/operators", "operator" Create:
        made::<Stored<Operator>>(NONE).takes::<Operator>(r#"{"name": "bob", "password": "correct horse battery", "roles": [{"role": "developer", "account": "default"}]}"#);
    /// Show an operator.
    ShowOperator = Get "/v1/operators/{id}", "operator" Show: one::<Stored<Operator>>(NONE);
    /// Change an operator: only what is sent changes.
    ChangeOperator = Patch "/v1/operators/{id}", "operator" Change:
        one::<Stored<Operator>>(NONE).changes::<Operator>(r#"{"roles": [{"role": "auditor"}]}"#);
    /// Delete an operator, with its tokens and sessions.
    DeleteOperator = Delete "/v1/operators/{id}", "operator" Delete: plain::<Deleted>(DRY).if_match();
    /// Let an operator act again.
    EnableOperator = Post "/v1/operators/{id}/enable", "operator" Enable:
        one::<Stored<Operator>>(NONE).if_match();
    /// Let an operator do nothing, at once.
    DisableOperator = Post "/v1/operators/{id}/disable", "operator" Disable:
        one::<Stored<Operator>>(NONE).if_match();
    /// List the tokens that act for an operator, without their values.
    ListOperatorTokens = Get "/v1/operators/{id}/tokens", "operator_token" List: list::<StoredToken>(NONE);
    /// Make a token that acts for an operator, with at most what one has oneself.
    CreateOperatorToken = Post "/v1/operators/{id}/tokens", "operator_token" Create:
        made::<StoredToken>(NONE).takes::<OperatorToken>(r#"{"name": "ci", "role": "developer", "accounts": ["default"]}"#);
    /// End a token, at once.
    DeleteOperatorToken = Delete "/v1/operator-tokens/{id}", "operator_token" Delete:
        plain::<Deleted>(NONE).by_id("otk_");

    /// List what was done, oldest first.
    ListAudit = Get "/v1/audit", "audit" List: list::<AuditEntry>(AUDIT);
    /// Write what was done as lines of JSON, all that is asked for.
    ExportAudit = Get "/v1/audit/export", "audit" Export: written(AUDIT_EXPORT, "application/x-ndjson");
    /// Check that nothing of the audit was changed, removed or put in.
    VerifyAudit = Get "/v1/audit/verify", "audit" Verify: plain::<AuditCheck>(AUDIT_MARK).also(&[409]);

    /// Make everything so as a world file names it, in one transaction.
    Apply = Post "/v1/apply", "world" Apply: plain::<Applied>(APPLY).takes_world();
    /// Write everything, or what belongs to one account, as a world file without secret values.
    Export = Get "/v1/export", "world" Export: written(EXPORT, "application/yaml");
    /// Ask whether a call would be permitted, and why (not).
    Explain = Get "/v1/explain", "decision" Explain: plain::<Answer<Explanation>>(EXPLAIN);
    /// List who may call, with the grant each rests on.
    WhoCan = Get "/v1/who-can", "decision" Explain: plain::<WhoCan>(WHO_CAN);

    /// List accounts, oldest first.
    ListAccounts = Get "/v1/accounts", "account" List: list::<Stored<Account>>(ACCOUNTS);
    /// Make an account.
    CreateAccount = Post "/v1/accounts", "account" Create:
        made::<Stored<Account>>(NONE).takes::<Account>(r#"{"name": "partner", "reveal": false}"#);
    /// Show an account.
    ShowAccount = Get "/v1/accounts/{id}", "account" Show: one::<Stored<Account>>(NONE);
    /// Change an account: only what is sent changes.
    ChangeAccount = Patch "/v1/accounts/{id}", "account" Change:
        one::<Stored<Account>>(NONE).changes::<Account>(r#"{"description": "it is new"}"#);
    /// Delete an account; refused while anything uses it.
    DeleteAccount = Delete "/v1/accounts/{id}", "account" Delete: plain::<Deleted>(DRY).if_match();
    /// Let an account take effect again.
    EnableAccount = Post "/v1/accounts/{id}/enable", "account" Enable: one::<Stored<Account>>(NONE).if_match();
    /// Let an account take no effect, at once.
    DisableAccount = Post "/v1/accounts/{id}/disable", "account" Disable:
        one::<Stored<Account>>(NONE).if_match();

    /// List gateways, oldest first.
    ListGateways = Get "/v1/gateways", "gateway" List: list::<Stored<Gateway>>(NAMED);
    /// Make a gateway.
    CreateGateway = Post "/v1/gateways", "gateway" Create:
        made::<Stored<Gateway>>(NONE).takes::<Gateway>(r#"{"name": "edge", "trusted_proxies": ["10.0.0.0/8"]}"#);
    /// Show a gateway.
    ShowGateway = Get "/v1/gateways/{id}", "gateway" Show: one::<Stored<Gateway>>(NONE);
    /// Change a gateway: only what is sent changes.
    ChangeGateway = Patch "/v1/gateways/{id}", "gateway" Change:
        one::<Stored<Gateway>>(NONE).changes::<Gateway>(r#"{"description": "it is new"}"#);
    /// Delete a gateway; refused while anything uses it.
    DeleteGateway = Delete "/v1/gateways/{id}", "gateway" Delete: plain::<Deleted>(DRY).if_match();

    /// List the nodes that follow the store, and how far each has come.
    ListNodes = Get "/v1/nodes", "node" List: list::<Node>(NONE);
    /// Forget a node that will not come back: nobody waits for it any more.
    ForgetNode = Delete "/v1/nodes/{id}", "node" Delete: plain::<Deleted>(NONE).by_id("node_");

    /// List secrets, oldest first, without their values.
    ListSecrets = Get "/v1/secrets", "secret" List: list::<Stored<Secret>>(LIST);
    /// Make a secret: with the value that is given, a generated one, or one that is held elsewhere.
    CreateSecret = Post "/v1/secrets", "secret" Create:
        made::<Stored<Secret>>(NONE).takes::<Secret>(r#"{"name": "partner_key", "description": "of the shop"}"#);
    /// Show a secret, without its value.
    ShowSecret = Get "/v1/secrets/{id}", "secret" Show: one::<Stored<Secret>>(ONE);
    /// Change a secret: only what is sent changes.
    ChangeSecret = Patch "/v1/secrets/{id}", "secret" Change:
        one::<Stored<Secret>>(ONE).changes::<Secret>(r#"{"description": "it is new"}"#);
    /// Delete a secret; refused while anything refers to it.
    DeleteSecret = Delete "/v1/secrets/{id}", "secret" Delete: plain::<Deleted>(DELETE).if_match();
    /// Let a secret take effect again.
    EnableSecret = Post "/v1/secrets/{id}/enable", "secret" Enable: one::<Stored<Secret>>(ONE).if_match();
    /// Let a secret take no effect, at once; with `dry_run`, say what that would break.
    DisableSecret = Post "/v1/secrets/{id}/disable", "secret" Disable: one::<Stored<Secret>>(ONE).if_match();
    /// Give a secret another value; the old one goes on proving who calls for a while.
    RotateSecret = Post "/v1/secrets/{id}/rotate", "secret" Rotate:
        one::<Stored<Secret>>(ONE).takes::<SecretRotation>(r#"{"overlap_s": 3600}"#).if_match();
    /// Give a secret its value before back.
    RollBackSecret = Post "/v1/secrets/{id}/rollback", "secret" Rotate:
        one::<Stored<Secret>>(ONE).takes::<SecretRollback>(r#"{"overlap_s": 3600}"#).if_match();
    /// Show the value of a secret. Audited.
    RevealSecret = Post "/v1/secrets/{id}/reveal", "secret" Reveal: plain::<Answer<RevealedSecret>>(ONE);
    /// List who refers to a secret.
    ListReferences = Get "/v1/secrets/{id}/references", "secret" List: list::<Reference>(REFERENCES);

    /// List services, oldest first.
    ListServices = Get "/v1/services", "service" List: list::<Stored<Service>>(LIST);
    /// Make a service.
    CreateService = Post "/v1/services", "service" Create:
        made::<Stored<Service>>(NONE).takes::<Service>(r#"{"name": "orders", "endpoints": ["http://127.0.0.1:9000"]}"#);
    /// Show a service.
    ShowService = Get "/v1/services/{id}", "service" Show: one::<Stored<Service>>(ONE);
    /// Change a service: only what is sent changes.
    ChangeService = Patch "/v1/services/{id}", "service" Change:
        one::<Stored<Service>>(ONE).changes::<Service>(r#"{"description": "it is new"}"#);
    /// Delete a service; refused while anything uses it.
    DeleteService = Delete "/v1/services/{id}", "service" Delete: plain::<Deleted>(DELETE).if_match();
    /// Let a service take effect again.
    EnableService = Post "/v1/services/{id}/enable", "service" Enable: one::<Stored<Service>>(ONE).if_match();
    /// Let a service take no effect, at once.
    DisableService = Post "/v1/services/{id}/disable", "service" Disable:
        one::<Stored<Service>>(ONE).if_match();

    /// List modules, oldest first, the digest in place of the code.
    ListModules = Get "/v1/modules", "module" List: list::<Stored<Module>>(LIST);
    /// Upload a module, so that plugins can be made of it. It is compiled before it is kept.
    CreateModule = Post "/v1/modules", "module" Create:
        made::<Stored<Module>>(NONE).takes::<Module>(r#"{"name": "hello", "wasm": {"base64": "AGFzbQEAAAA="}}"#);
    /// Show a module, the digest in place of the code.
    ShowModule = Get "/v1/modules/{id}", "module" Show: one::<Stored<Module>>(ONE);
    /// Change a module, or give it other code: only what is sent changes, and no call is dropped.
    ChangeModule = Patch "/v1/modules/{id}", "module" Change:
        one::<Stored<Module>>(ONE).changes::<Module>(r#"{"on_failure": "skip"}"#);
    /// Delete a module; refused while a plugin runs it.
    DeleteModule = Delete "/v1/modules/{id}", "module" Delete: plain::<Deleted>(DELETE).if_match();
    /// Let a module take effect again.
    EnableModule = Post "/v1/modules/{id}/enable", "module" Enable: one::<Stored<Module>>(ONE).if_match();
    /// Let a module take no effect, at once: its plugins close what they are bound to.
    DisableModule = Post "/v1/modules/{id}/disable", "module" Disable: one::<Stored<Module>>(ONE).if_match();

    /// List APIs, oldest first.
    ListApis = Get "/v1/apis", "api" List: list::<Stored<Api>>(APIS);
    /// Make an API.
    CreateApi = Post "/v1/apis", "api" Create:
        made::<Stored<Api>>(NONE).takes::<Api>(r#"{"name": "orders", "base_path": "/orders", "admits": ["app_signature"], "stages": {"RELEASE": {"service": "orders"}}}"#);
    /// Show an API.
    ShowApi = Get "/v1/apis/{id}", "api" Show: one::<Stored<Api>>(ONE);
    /// Change an API: only what is sent changes.
    ChangeApi = Patch "/v1/apis/{id}", "api" Change:
        one::<Stored<Api>>(ONE).changes::<Api>(r#"{"description": "it is new"}"#);
    /// Delete an API, with what it owns.
    DeleteApi = Delete "/v1/apis/{id}", "api" Delete: plain::<Deleted>(DELETE).if_match();
    /// Let an API take effect again.
    EnableApi = Post "/v1/apis/{id}/enable", "api" Enable: one::<Stored<Api>>(ONE).if_match();
    /// Let an API take no effect, at once.
    DisableApi = Post "/v1/apis/{id}/disable", "api" Disable: one::<Stored<Api>>(ONE).if_match();
    /// Publish a stage, or bind a published one anew.
    PublishStage = Put "/v1/apis/{id}/stages/{stage}", "stage" Create:
        one::<Stored<Api>>(ONE).takes::<StageBinding>(r#"{"service": "orders"}"#).if_match();
    /// Unpublish a stage; one that is not published stays so.
    UnpublishStage = Delete "/v1/apis/{id}/stages/{stage}", "stage" Delete:
        one::<Stored<Api>>(ONE).if_match();

    /// List applications, oldest first.
    ListApplications = Get "/v1/applications", "application" List: list::<Stored<Application>>(TAGGED);
    /// Make an application, also with its first grants: all of it or nothing.
    CreateApplication = Post "/v1/applications", "application" Create:
        made::<Stored<Application>>(NONE).takes::<NewApplication>(r#"{"name": "shop", "tags": {"team": "web"}, "grants": [{"api": "orders"}]}"#);
    /// Show an application.
    ShowApplication = Get "/v1/applications/{id}", "application" Show: one::<Stored<Application>>(ONE);
    /// Change an application: only what is sent changes.
    ChangeApplication = Patch "/v1/applications/{id}", "application" Change:
        one::<Stored<Application>>(ONE).changes::<Application>(r#"{"description": "it is new"}"#);
    /// Delete an application, with what it owns.
    DeleteApplication = Delete "/v1/applications/{id}", "application" Delete:
        plain::<Deleted>(DELETE).if_match();
    /// Let an application take effect again.
    EnableApplication = Post "/v1/applications/{id}/enable", "application" Enable:
        one::<Stored<Application>>(ONE).if_match();
    /// Let an application take no effect, at once.
    DisableApplication = Post "/v1/applications/{id}/disable", "application" Disable:
        one::<Stored<Application>>(ONE).if_match();
    /// List the key pairs of an application, without their secrets.
    ListKeyPairs = Get "/v1/applications/{id}/key-pairs", "key_pair" List: list::<Credential>(ONE);
    /// Add a key pair: generated, or with what is given.
    AddKeyPair = Post "/v1/applications/{id}/key-pairs", "key_pair" Create:
        made::<Credential>(ONE).takes::<KeyPair>(r#"{"scheme": "alibaba"}"#);
    /// List the AppCodes of an application, without their values.
    ListAppCodes = Get "/v1/applications/{id}/app-codes", "app_code" List: list::<Credential>(ONE);
    /// Add an AppCode: generated, or the one that is given.
    AddAppCode = Post "/v1/applications/{id}/app-codes", "app_code" Create:
        made::<Credential>(ONE).takes::<GivenOpaque>("{}");

    /// List consumers, oldest first.
    ListConsumers = Get "/v1/consumers", "consumer" List: list::<Stored<Consumer>>(TAGGED);
    /// Make a consumer, also with its first grants: all of it or nothing.
    CreateConsumer = Post "/v1/consumers", "consumer" Create:
        made::<Stored<Consumer>>(NONE).takes::<NewConsumer>(r#"{"name": "analytics", "api_key": {"sources": ["bearer"]}, "grants": [{"api": "orders"}]}"#);
    /// Show a consumer.
    ShowConsumer = Get "/v1/consumers/{id}", "consumer" Show: one::<Stored<Consumer>>(ONE);
    /// Change a consumer: only what is sent changes.
    ChangeConsumer = Patch "/v1/consumers/{id}", "consumer" Change:
        one::<Stored<Consumer>>(ONE).changes::<Consumer>(r#"{"description": "it is new"}"#);
    /// Delete a consumer, with what it owns.
    DeleteConsumer = Delete "/v1/consumers/{id}", "consumer" Delete: plain::<Deleted>(DELETE).if_match();
    /// Let a consumer take effect again.
    EnableConsumer = Post "/v1/consumers/{id}/enable", "consumer" Enable:
        one::<Stored<Consumer>>(ONE).if_match();
    /// Let a consumer take no effect, at once.
    DisableConsumer = Post "/v1/consumers/{id}/disable", "consumer" Disable:
        one::<Stored<Consumer>>(ONE).if_match();
    /// List the API keys of a consumer, without their values.
    ListApiKeys = Get "/v1/consumers/{id}/api-keys", "api_key" List: list::<Credential>(ONE);
    /// Add an API key: generated, or the one that is given.
    AddApiKey = Post "/v1/consumers/{id}/api-keys", "api_key" Create:
        made::<Credential>(ONE).takes::<GivenOpaque>("{}");
    /// Show how the tokens of a consumer are verified.
    ShowJwt = Get "/v1/consumers/{id}/jwt", "jwt" Show: one::<Credential>(ONE);
    /// Set how the tokens of a consumer are verified.
    SetJwt = Put "/v1/consumers/{id}/jwt", "jwt" Create:
        one::<Credential>(ONE).takes::<Jwt>(r#"{"symmetric": true, "issuer": "https://issuer.example"}"#).if_match();

    /// Look a caller of any account up by its exact id: its name is all there is to see.
    LookUpCaller = Get "/v1/callers/{id}", "caller" Show:
        plain::<Answer<ForeignCaller>>(NONE).by_caller_id();

    /// Find the key pair with this AppKey.
    FindCredential = Get "/v1/credentials", "credential" List: list::<Credential>(FIND);
    /// Show a credential, without its value.
    ShowCredential = Get "/v1/credentials/{id}", "credential" Show: one::<Credential>(NONE).by_id("crd_");
    /// Change when a credential ends, whether it proves anything, or the scheme of a key pair.
    ChangeCredential = Patch "/v1/credentials/{id}", "credential" Change:
        one::<Credential>(NONE).by_id("crd_").changes::<CredentialChange>(r#"{"valid_until": "2027-01-01T00:00:00Z"}"#);
    /// Delete a credential.
    DeleteCredential = Delete "/v1/credentials/{id}", "credential" Delete:
        plain::<Deleted>(NONE).by_id("crd_").if_match();
    /// Let a credential prove its caller again.
    EnableCredential = Post "/v1/credentials/{id}/enable", "credential" Enable:
        one::<Credential>(NONE).by_id("crd_").if_match();
    /// Let a credential prove nothing, at once.
    DisableCredential = Post "/v1/credentials/{id}/disable", "credential" Disable:
        one::<Credential>(NONE).by_id("crd_").if_match();
    /// Give a credential a new value; the old one proves nothing any more.
    ResetCredential = Post "/v1/credentials/{id}/reset", "credential" Reset:
        one::<Credential>(NONE).by_id("crd_").takes::<CredentialReset>("{}").if_match();
    /// Give a credential a successor beside it; the old one goes on for the overlap.
    RotateCredential = Post "/v1/credentials/{id}/rotate", "credential" Rotate:
        made::<Credential>(NONE).by_id("crd_").takes::<CredentialRotation>(r#"{"overlap_s": 604800}"#).if_match();
    /// Present a value that leaked: if it is one, it proves nothing any more. The answer does not say whether it was.
    ReportLeak = Post "/v1/leaks", "leak" Report: plain::<Done>(NONE).takes::<Leak>(r#"{"value": "kw_key_…"}"#);
    /// Show a credential's value again; the audit trail says so.
    RevealCredential = Post "/v1/credentials/{id}/reveal", "credential" Reveal:
        plain::<Answer<Revealed>>(NONE).by_id("crd_");

    /// List groups, oldest first.
    ListGroups = Get "/v1/groups", "group" List: list::<Stored<Group>>(LIST);
    /// Make a group.
    CreateGroup = Post "/v1/groups", "group" Create:
        made::<Stored<Group>>(NONE).takes::<Group>(r#"{"name": "staff", "members": [{"consumer": "analytics"}]}"#);
    /// Show a group.
    ShowGroup = Get "/v1/groups/{id}", "group" Show: one::<Stored<Group>>(ONE);
    /// Change a group: only what is sent changes.
    ChangeGroup = Patch "/v1/groups/{id}", "group" Change:
        one::<Stored<Group>>(ONE).changes::<Group>(r#"{"description": "it is new"}"#);
    /// Delete a group; refused while anything uses it.
    DeleteGroup = Delete "/v1/groups/{id}", "group" Delete: plain::<Deleted>(DELETE).if_match();
    /// Let a group take effect again.
    EnableGroup = Post "/v1/groups/{id}/enable", "group" Enable: one::<Stored<Group>>(ONE).if_match();
    /// Let a group take no effect, at once.
    DisableGroup = Post "/v1/groups/{id}/disable", "group" Disable: one::<Stored<Group>>(ONE).if_match();
    /// Add a member; one that already belongs to the group stays.
    AddMember = Post "/v1/groups/{id}/members", "member" Create:
        one::<Stored<Group>>(ONE).takes::<GivenMember>(r#"{"consumer": "analytics"}"#).if_match();
    /// Remove a member: takes effect at once, like a revocation.
    RemoveMember = Delete "/v1/groups/{id}/members/{kind}/{name}", "member" Delete:
        one::<Stored<Group>>(ONE).if_match();

    /// List grants, oldest first: all, those on an API, those for a caller.
    ListGrants = Get "/v1/grants", "grant" List: list::<Stored<Grant>>(GRANTS);
    /// Let a caller or group call an API.
    CreateGrant = Post "/v1/grants", "grant" Create:
        made::<Stored<Grant>>(NONE).takes::<Grant>(r#"{"to": {"application": "shop"}, "api": "orders", "stages": ["RELEASE"]}"#);
    /// Give several grants on the same terms, 100 at most: all of them or none.
    CreateGrants = Post "/v1/grants/batch", "grant" Create:
        plain::<GrantsGiven>(NONE).takes::<GrantBatch>(r#"{"to": [{"application": "shop"}, {"consumer": "analytics"}], "apis": ["orders"], "stages": ["RELEASE"]}"#);
    /// Show a grant.
    ShowGrant = Get "/v1/grants/{id}", "grant" Show: one::<Stored<Grant>>(NONE).by_id("grt_");
    /// Change when a grant holds, or its description; for anything else revoke it and give another.
    ChangeGrant = Patch "/v1/grants/{id}", "grant" Change:
        one::<Stored<Grant>>(NONE).by_id("grt_").changes::<Grant>(r#"{"valid_until": "2027-01-01T00:00:00Z"}"#);
    /// End a grant, for good and at once.
    RevokeGrant = Post "/v1/grants/{id}/revoke", "grant" Revoke:
        one::<Revoked>(NONE).by_id("grt_").if_match();
    /// Give up a grant on behalf of the caller it is for, for good and at once.
    RenounceGrant = Post "/v1/grants/{id}/renounce", "grant" Revoke:
        one::<Revoked>(RENOUNCE).by_id("grt_").if_match();

    /// List plugins, oldest first: all, those bound to an API or a gateway, those of one kind.
    ListPlugins = Get "/v1/plugins", "plugin" List: list::<Stored<Plugin>>(PLUGINS);
    /// Bind a plugin to a gateway, an API or an operation.
    CreatePlugin = Post "/v1/plugins", "plugin" Create:
        made::<Stored<Plugin>>(NONE).takes::<Plugin>(r#"{"plugin": "key-auth", "on": {"api": "orders"}, "config": {"credentials": ["$ref{partner_key}"], "keys": ["apikey", "x-api-key"]}}"#);
    /// Show a plugin, without the secrets that are written out in it.
    ShowPlugin = Get "/v1/plugins/{id}", "plugin" Show: one::<Stored<Plugin>>(NONE).by_id("plg_");
    /// Change a plugin: only what is sent changes.
    ChangePlugin = Patch "/v1/plugins/{id}", "plugin" Change:
        one::<Stored<Plugin>>(NONE).by_id("plg_").changes::<Plugin>(r#"{"config": {"in_query": false}}"#);
    /// Delete a plugin.
    DeletePlugin = Delete "/v1/plugins/{id}", "plugin" Delete: plain::<Deleted>(DRY).by_id("plg_").if_match();
    /// Let a plugin take effect again.
    EnablePlugin = Post "/v1/plugins/{id}/enable", "plugin" Enable:
        one::<Stored<Plugin>>(NONE).by_id("plg_").if_match();
    /// Let a plugin take no effect, at once.
    DisablePlugin = Post "/v1/plugins/{id}/disable", "plugin" Disable:
        one::<Stored<Plugin>>(NONE).by_id("plg_").if_match();
    /// List the built-in plugins, with the JSON Schema of what each can be told.
    ListPluginKinds = Get "/v1/plugin-kinds", "plugin" List: list::<PluginKindView>(NONE);

    /// List what somebody should look at: what is unused, ends soon, is weak or leads nowhere.
    ReviewAccess = Get "/v1/access-review", "access_review" List: list::<ReviewItem>(REVIEW);
    /// List calls per day (UTC), caller, API and outcome, the oldest day first.
    ListUsage = Get "/v1/usage", "usage" List: list::<Usage>(USAGE);
}

/// What every write takes beside parameters of its own. A switch each, thrown when it is built.
struct Writes {
    idempotency_key: bool,
    dry_run: bool,
    wait: bool,
}

const WRITES: Writes = Writes { idempotency_key: true, dry_run: true, wait: true };

impl Route {
    /// Does it take what every write takes: is it one about the configuration, and not about who is calling?
    const fn takes_options(self) -> bool {
        self.is_write()
            && !matches!(self.noun().as_bytes(), b"session")
            && !matches!(self.action(), Action::Reveal)
    }

    /// Does it change anything?
    pub const fn is_write(self) -> bool {
        !matches!(self.method(), Method::Get)
    }

    /// Does it take `Idempotency-Key`?
    pub const fn takes_idempotency_key(self) -> bool {
        self.takes_options() && WRITES.idempotency_key
    }

    /// Can its answer wait for all nodes?
    pub const fn takes_wait(self) -> bool {
        self.takes_options() && WRITES.wait
    }

    /// Its query parameters.
    pub fn query(self) -> impl Iterator<Item = Parameter> {
        let own = self.about().query;
        let more = [(parameter::DRY_RUN, WRITES.dry_run), (parameter::WAIT, WRITES.wait)];
        let more = more.into_iter().filter(move |(parameter, on)| {
            *on && self.takes_options() && own.iter().all(|known| known.name != parameter.name)
        });
        own.iter().copied().chain(more.map(|(parameter, _)| parameter))
    }

    /// The parameters of its path, in their order.
    pub fn segments(self) -> impl Iterator<Item = Parameter> {
        let names = self.path().split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        names.map(move |name| segment(name, self.about().id))
    }

    /// The path with these segments in the place of its parameters, percent-encoded.
    pub fn fill<'s>(self, segments: impl IntoIterator<Item = &'s str>) -> String {
        let mut segments = segments.into_iter();
        let fill = |part: &str| match part.starts_with('{') {
            true => encode(segments.next().unwrap_or_default()),
            false => part.to_owned(),
        };
        self.path().split('/').map(fill).collect::<Vec<_>>().join("/")
    }
}

/// What a parameter of a path is.
const fn segment(name: &'static str, id: Form) -> Parameter {
    let by_id = matches!(id, Form::Id(_) | Form::CallerId);
    match name.as_bytes() {
        b"stage" => Parameter::new(name, Form::Stage, "The stage"),
        b"kind" => Parameter::new(name, Form::Choice(&["applications", "consumers"]), "What the member is"),
        b"name" => Parameter::new(name, Form::Name, "Its name"),
        _ if by_id => Parameter::new(name, id, "Its id"),
        _ => Parameter::new(name, id, "Its name or id"),
    }
    .required()
}

/// Percent-encodes everything that is not unreserved (RFC 3986).
pub(crate) fn encode(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::with_capacity(text.len()), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_two_routes_are_the_same() {
        let seen: BTreeSet<_> =
            Route::ALL.iter().map(|route| (route.method().as_str(), route.path())).collect();
        assert_eq!(seen.len(), Route::ALL.len());
    }

    #[test]
    fn reads_are_get_and_get_only_reads() {
        for route in Route::ALL {
            assert_eq!(route.method() == Method::Get, route.action().reads(), "{route:?}");
        }
    }

    #[test]
    fn parameters_and_summaries_are_whole() {
        for route in Route::ALL {
            assert!(!route.summary().is_empty() && !route.summary().ends_with('.'), "{route:?}");
            let mut names: Vec<_> = route.query().chain(route.segments()).map(|known| known.name).collect();
            let count = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), count, "{route:?} has a parameter twice");
            assert_eq!(route.segments().count(), route.path().matches('{').count(), "{route:?}");
        }
    }

    #[test]
    fn what_reads_a_body_is_a_write_and_an_example_is_json() {
        for route in Route::ALL {
            match route.about().body {
                Body::None => {}
                Body::World => assert!(route.is_write()),
                Body::Json(_, example) | Body::Change(_, example) => {
                    assert!(route.is_write(), "{route:?}");
                    assert!(serde_json::from_str::<serde_json::Value>(example).is_ok(), "{route:?}");
                }
            }
        }
    }

    #[test]
    fn segments_are_encoded() {
        assert_eq!(Route::ShowApi.fill(["web shop/订"]), "/v1/apis/web%20shop%2F%E8%AE%A2");
        assert_eq!(
            Route::RemoveMember.fill(["staff", "consumers", "a:b"]),
            "/v1/groups/staff/members/consumers/a%3Ab"
        );
    }
}
