//! The demo: a world in which every kind of credential opens one API, and commands to try it with.

use std::fmt::Write as _;
use std::time::Duration;

use keyward_api::WorldFile;
use keyward_control::{Actor, ApplyOptions, Control, CredentialView, GrantFilter, ObjectRef};
use keyward_model::{Plaintext, Qualified};

use crate::cli::Failure;
use crate::cli::output::note;
use crate::{EchoService, Node, token};

const WORLD: &str = include_str!("demo.yaml");

/// How long the demo's token lives.
const TOKEN_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// A running demo: its echo service.
pub(crate) struct Demo {
    echo: EchoService,
}

/// What the commands need: values shown again, and ids.
struct Shown {
    app_code: Plaintext,
    api_key: Plaintext,
    token: String,
    grant: String,
}

impl Demo {
    /// Starts the echo service.
    pub(crate) async fn start() -> Result<Self, Failure> {
        let echo = EchoService::start(0).await;
        let echo =
            echo.map_err(|error| Failure::new(format!("the demo's echo service does not start: {error}")))?;
        Ok(Self { echo })
    }

    /// Makes the demo world so, and says what to try with it.
    pub(crate) async fn show(&self, node: &Node) -> Result<(), Failure> {
        self.apply(node.control()).await?;
        let shown = shown(node).await?;
        note(&commands(node, &shown));
        Ok(())
    }

    async fn apply(&self, control: &Control) -> Result<(), Failure> {
        let echo = self.echo.address().to_string();
        let environment = |name: &str| (name == "ECHO").then(|| echo.clone());
        let read = WorldFile::parse(WORLD, &environment);
        let file = read.map_err(|problems| Failure::new(format!("the demo world is wrong: {problems:?}")))?;
        let options = ApplyOptions::default();
        let applied = control.apply(&Actor::Start, file.world, options).await;
        applied.map(drop).map_err(|error| Failure::new(format!("the demo world does not fit here: {error}")))
    }
}

async fn shown(node: &Node) -> Result<Shown, Failure> {
    let control = node.control();
    let shop = control.applications().get(&Actor::Start, named("demo-shop")?).await.map_err(Failure::new)?;
    let analytics =
        control.consumers().get(&Actor::Start, named("demo-analytics")?).await.map_err(Failure::new)?;
    let robot = control.consumers().get(&Actor::Start, named("demo-robot")?).await.map_err(Failure::new)?;
    let key_set = reveal(control, &robot.credentials, "jwt").await?;
    let now = node.gateway().clock.now();
    let token = token::mint(&key_set, ("uid", "demo-robot"), now, TOKEN_LIFETIME);
    Ok(Shown {
        app_code: reveal(control, &shop.credentials, "app_code").await?,
        api_key: reveal(control, &analytics.credentials, "api_key").await?,
        token: token.ok_or_else(|| Failure::new("the demo's key set has no symmetric key"))?,
        grant: first_grant(control, analytics.id).await?,
    })
}

fn named<I>(name: &str) -> Result<ObjectRef<I>, Failure> {
    let parse = |text: &str| text.parse().map_err(Failure::new);
    Ok(ObjectRef::Named(Qualified { account: parse("default")?, name: parse(name)? }))
}

async fn reveal(control: &Control, credentials: &[CredentialView], kind: &str) -> Result<Plaintext, Failure> {
    let missing = || Failure::new(format!("the demo's {kind} is gone; start with another data folder"));
    let credential = credentials.iter().find(|credential| credential.kind == kind).ok_or_else(missing)?;
    let revealed = control.credentials().reveal(&Actor::Start, credential.id).await.map_err(Failure::new)?;
    Ok(revealed.value)
}

async fn first_grant(control: &Control, caller: keyward_model::CallerId) -> Result<String, Failure> {
    let filter =
        GrantFilter { caller: Some(ObjectRef::Id(caller)), limit: Some(1), ..GrantFilter::default() };
    let page = control.grants().list(&Actor::Start, filter).await.map_err(Failure::new)?;
    let grant = page.items.first().ok_or_else(|| Failure::new("the demo's grant is gone"))?;
    Ok(grant.id.to_string())
}

/// What to paste.
fn commands(node: &Node, shown: &Shown) -> String {
    let keyward = this_binary();
    let url = format!("http://{}/orders", node.gateway_addr());
    let at = reach(node);
    let (app_code, api_key) = (shown.app_code.expose_secret(), shown.api_key.expose_secret());
    let (token, grant) = (&shown.token, &shown.grant);
    let mut text = String::new();
    let mut say = |what: &str, command: String| {
        let _ = write!(text, "\n  # {what}\n  {command}\n");
    };
    say("no credential: refused, with the reason", format!("curl -i {url}/1"));
    say("signed as Alibaba's clients do", format!("{keyward} sign{at} --application demo-shop {url}/1 | sh"));
    say("signed as Tencent's clients do", format!("{keyward} sign{at} --app-key demo-till {url}/1 | sh"));
    say(
        "signed by a Tencent key pair (header lines only)",
        format!("{keyward} sign{at} --app-key demo-till-pair {url}/1 | sh"),
    );
    say("an AppCode", format!("curl -i -H 'Authorization: APPCODE {app_code}' {url}/1"));
    say("an API key", format!("curl -i -H 'Authorization: Bearer {api_key}' {url}/1"));
    say("a JWT", format!("curl -i -H 'Authorization: Bearer {token}' {url}/1"));
    say(
        "an API key, but its grant covers GET /{id} alone: 403, with the reason",
        format!("curl -i -X POST -H 'Authorization: Bearer {api_key}' {url}/"),
    );
    say(
        "why, asked before the fact",
        format!("{keyward} explain{at} --api demo-orders --consumer demo-analytics --operation 'POST /'"),
    );
    say(
        "revoke that grant, and the very next call is refused",
        format!("{keyward} grant revoke{at} {grant} && curl -i -H 'Authorization: Bearer {api_key}' {url}/1"),
    );
    format!(
        "\nKeyward runs with a demo world. Copy any of these into another terminal:\n{text}\n\
         What next: `{keyward} app list{at}`, `{keyward} who-can{at} --api demo-orders`, `{keyward} export{at}`,\n\
         then write a world file of your own and `{keyward} apply{at} -f FILE`. Ctrl-C ends the node.\n"
    )
}

/// The options by which commands find this node, where it is not where they look by themselves.
fn reach(node: &Node) -> String {
    let mut options = String::new();
    if node.admin_addr().to_string() != crate::cli::remote::ADMIN_DEFAULT {
        let _ = write!(options, " --admin http://{}", node.admin_addr());
    }
    if node.data() != std::path::Path::new("data") {
        let _ = write!(options, " --data {}", node.data().display());
    }
    options
}

/// How a shell in this folder calls this binary.
fn this_binary() -> String {
    let Ok(path) = std::env::current_exe() else { return "keyward".to_owned() };
    let here = std::env::current_dir().ok();
    let below = here.as_deref().and_then(|here| path.strip_prefix(here).ok());
    below.map_or_else(|| path.display().to_string(), |below| format!("./{}", below.display()))
}
