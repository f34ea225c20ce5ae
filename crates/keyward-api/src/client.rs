//! A typed client of the admin API.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::routes::{Method, Route, encode};
use crate::{
    Account, Api, Application, Consumer, Gateway, Grant, Group, Module, Operator, Plugin, Problem, Secret,
    Service,
};

/// Speaks to a node's admin address.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    bearer: String,
    /// Do the answers to changes wait for all nodes?
    for_cluster: bool,
}

/// Why a call had no useful answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The address is not one.
    #[error("`{0}` is not an admin address; write it like http://127.0.0.1:9080")]
    Address(String),
    /// Nobody answers there.
    #[error("nothing answers at {base}: {cause}")]
    Unreachable {
        /// The admin address.
        base: String,
        /// What the network said.
        cause: String,
    },
    /// Somebody was there, but no whole answer came: what was asked for may have been done.
    #[error(
        "the connection to {base} broke before the answer was here ({cause}), so what was asked for may have been done; look before you try again"
    )]
    Broken {
        /// The admin address.
        base: String,
        /// What the network said.
        cause: String,
    },
    /// The node refused.
    #[error(transparent)]
    Refused(Box<Problem>),
    /// The answer is not what this client understands.
    #[error("{base} does not answer like a Keyward node ({what}); check --admin")]
    Unreadable {
        /// The admin address.
        base: String,
        /// What came instead.
        what: String,
    },
}

/// A request to be sent.
#[derive(Clone, Debug)]
pub struct Call<'c> {
    route: Route,
    path: String,
    query: Vec<(&'static str, String)>,
    body: Option<(&'static str, std::borrow::Cow<'c, [u8]>)>,
}

impl<'c> Call<'c> {
    /// A call of this route, with these segments in the place of its parameters.
    pub fn new<'s>(route: Route, segments: impl IntoIterator<Item = &'s str>) -> Self {
        Self { route, path: route.fill(segments), query: Vec::new(), body: None }
    }

    /// With this query parameter, if there is a value.
    #[must_use]
    pub fn query(mut self, name: &'static str, value: Option<impl ToString>) -> Self {
        self.query.extend(value.map(|value| (name, value.to_string())));
        self
    }

    /// With this JSON text as its body.
    #[must_use]
    pub fn json(mut self, body: impl Into<std::borrow::Cow<'c, [u8]>>) -> Self {
        self.body = Some(("application/json", body.into()));
        self
    }

    fn target(&self) -> String {
        let mut target = self.path.clone();
        for (at, (name, value)) in self.query.iter().enumerate() {
            target.push(if at == 0 { '?' } else { '&' });
            target.push_str(name);
            target.push('=');
            target.push_str(&encode(value));
        }
        target
    }
}

impl Client {
    /// A client of the node whose admin address this is (`http://HOST:PORT`), with an operator's token.
    ///
    /// # Errors
    /// The address is not one that this client can speak to.
    pub fn new(admin: &str, bearer: impl Into<String>) -> Result<Self, ClientError> {
        let base = admin.trim_end_matches('/');
        let address = || ClientError::Address(admin.to_owned());
        if !base.starts_with("http://") {
            return Err(address());
        }
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(5))
            .build()
            .map_err(|_| address())?;
        Ok(Self { http, base: base.to_owned(), bearer: bearer.into(), for_cluster: false })
    }

    /// The same, where the answers to changes wait until all nodes have applied them.
    #[must_use]
    pub fn waiting_for_cluster(self) -> Self {
        Self { for_cluster: true, ..self }
    }

    /// Sends a call and reads its JSON answer.
    ///
    /// # Errors
    /// Nobody answers, the node refuses, or its answer cannot be read.
    pub async fn send<T: DeserializeOwned>(&self, call: Call<'_>) -> Result<T, ClientError> {
        let body = self.send_for_bytes(call).await?;
        serde_json::from_slice(&body).map_err(|error| self.unreadable(error))
    }

    /// Sends a call and gives the bytes of its answer.
    ///
    /// # Errors
    /// Nobody answers, or the node refuses.
    pub async fn send_for_bytes(&self, call: Call<'_>) -> Result<Vec<u8>, ClientError> {
        let method = match call.route.method() {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Put => reqwest::Method::PUT,
            Method::Patch => reqwest::Method::PATCH,
            Method::Delete => reqwest::Method::DELETE,
        };
        let waits = self.for_cluster && call.route.takes_wait();
        let call = call.query("wait", waits.then_some("cluster"));
        let mut request =
            self.http.request(method, format!("{}{}", self.base, call.target())).bearer_auth(&self.bearer);
        if let Some((media, body)) = call.body {
            request = request.header("content-type", media).body(body.into_owned());
        }
        let response = request.send().await.map_err(|error| self.no_answer(&error))?;
        let status = response.status();
        let body = response.bytes().await.map_err(|error| self.no_answer(&error))?;
        if status.is_success() {
            return Ok(body.to_vec());
        }
        match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) => Err(ClientError::Refused(Box::new(problem))),
            Err(_) => Err(self.unreadable(format_args!("status {}", status.as_u16()))),
        }
    }

    fn no_answer(&self, error: &reqwest::Error) -> ClientError {
        let mut cause: &dyn std::error::Error = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        let (base, cause) = (self.base.clone(), cause.to_string());
        if error.is_connect() {
            ClientError::Unreachable { base, cause }
        } else {
            ClientError::Broken { base, cause }
        }
    }

    fn unreadable(&self, what: impl std::fmt::Display) -> ClientError {
        ClientError::Unreadable { base: self.base.clone(), what: what.to_string() }
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("base", &self.base).finish_non_exhaustive()
    }
}

/// A noun that can be listed, shown, created, changed and (most) deleted.
pub trait Resource: Serialize + DeserializeOwned + Send {
    /// Its list.
    const LIST: Route;
    /// Makes one.
    const CREATE: Route;
    /// Shows one.
    const SHOW: Route;
    /// Changes one.
    const CHANGE: Route;
    /// Deletes one; absent: it cannot be deleted.
    const DELETE: Option<Route>;
    /// Enables and disables one; absent: it has no such state.
    const SWITCH: Option<(Route, Route)>;
}

macro_rules! resources {
    ($($dto:ident: $list:ident $create:ident $show:ident $change:ident $delete:expr, $switch:expr;)*) => {$(
        impl Resource for $dto {
            const LIST: Route = Route::$list;
            const CREATE: Route = Route::$create;
            const SHOW: Route = Route::$show;
            const CHANGE: Route = Route::$change;
            const DELETE: Option<Route> = $delete;
            const SWITCH: Option<(Route, Route)> = $switch;
        }
    )*};
}

resources! {
    Account: ListAccounts CreateAccount ShowAccount ChangeAccount Some(Route::DeleteAccount), Some((Route::EnableAccount, Route::DisableAccount));
    Gateway: ListGateways CreateGateway ShowGateway ChangeGateway Some(Route::DeleteGateway), None;
    Secret: ListSecrets CreateSecret ShowSecret ChangeSecret Some(Route::DeleteSecret), Some((Route::EnableSecret, Route::DisableSecret));
    Service: ListServices CreateService ShowService ChangeService Some(Route::DeleteService), Some((Route::EnableService, Route::DisableService));
    Module: ListModules CreateModule ShowModule ChangeModule Some(Route::DeleteModule), Some((Route::EnableModule, Route::DisableModule));
    Api: ListApis CreateApi ShowApi ChangeApi Some(Route::DeleteApi), Some((Route::EnableApi, Route::DisableApi));
    Application: ListApplications CreateApplication ShowApplication ChangeApplication Some(Route::DeleteApplication), Some((Route::EnableApplication, Route::DisableApplication));
    Consumer: ListConsumers CreateConsumer ShowConsumer ChangeConsumer Some(Route::DeleteConsumer), Some((Route::EnableConsumer, Route::DisableConsumer));
    Group: ListGroups CreateGroup ShowGroup ChangeGroup Some(Route::DeleteGroup), Some((Route::EnableGroup, Route::DisableGroup));
    Operator: ListOperators CreateOperator ShowOperator ChangeOperator Some(Route::DeleteOperator), Some((Route::EnableOperator, Route::DisableOperator));
    Grant: ListGrants CreateGrant ShowGrant ChangeGrant None, None;
    Plugin: ListPlugins CreatePlugin ShowPlugin ChangePlugin Some(Route::DeletePlugin), Some((Route::EnablePlugin, Route::DisablePlugin));
}
