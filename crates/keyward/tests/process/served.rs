//! `keyward serve` in a process of its own.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use keyward_testkit::client::{self, Answer};
use keyward_testkit::request::Request;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// The key of the consumer that the [`world`] has and grants.
pub(crate) const KEY: &str = "key-of-ann-0123456789-abcdefgh";

/// One API before this upstream, for one consumer.
pub(crate) fn world(upstream: &str) -> String {
    format!(
        "version: 1\nservices: [{{name: origin, kind: http, endpoints: [\"{upstream}\"]}}]\n\
         apis: [{{name: orders, kind: rest, hosts: [gw.test], base_path: /orders, admits: [api_key], stages: \
         {{RELEASE: {{service: origin}}}}}}]\n\
         consumers: [{{name: ann, api_key: {{sources: [bearer], keys: [{KEY}]}}}}]\n\
         grants: [{{to: {{consumer: ann}}, api: orders}}]\n"
    )
}

/// A call that is granted.
pub(crate) fn call() -> Request {
    Request::get("gw.test", "/orders/1").bearer(KEY)
}

/// `keyward` with these arguments, and nothing from this process's environment that it heeds.
pub(crate) fn keyward() -> Command {
    within(&[])
}

/// The same, run by another program.
fn within(runner: &[OsString]) -> Command {
    let binary = OsString::from(env!("CARGO_BIN_EXE_keyward"));
    let mut words = runner.iter().chain([&binary]);
    let mut command = Command::new(words.next().unwrap());
    command.args(words);
    let heeded = ["ADMIN_TOKEN", "ADMIN", "DATA", "STORE", "REPLAY_REDIS", "APP_SECRET", "LOG"];
    heeded.iter().for_each(|name| {
        command.env_remove(format!("KEYWARD_{name}"));
    });
    command
}

/// A folder for a node, and how it is started there.
#[derive(Debug)]
pub(crate) struct Place {
    root: TempDir,
    data: PathBuf,
    arguments: Vec<OsString>,
    runner: Vec<OsString>,
    piped: bool,
}

impl Place {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let data = root.path().join("data");
        Self { root, data, arguments: Vec::new(), runner: Vec::new(), piped: false }
    }

    /// With these arguments of `serve`.
    pub(crate) fn with<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Run by this program.
    pub(crate) fn under<A: Into<OsString>>(mut self, runner: impl IntoIterator<Item = A>) -> Self {
        self.runner = runner.into_iter().map(Into::into).collect();
        self
    }

    /// With a pipe for what it says, which nobody reads.
    pub(crate) fn unread(mut self) -> Self {
        self.piped = true;
        self
    }

    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Writes a file for it.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let file = self.file(name);
        fs::write(&file, text).unwrap();
        file
    }

    /// What its processes said.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(self.file("said")).unwrap_or_default()
    }

    /// Starts it. `Err`: what it said before it ended.
    pub(crate) fn start(&self) -> Result<Served, String> {
        self.until_ready(self.spawn())
    }

    /// Starts its process, which may not become ready for a while.
    pub(crate) fn spawn(&self) -> Child {
        let mut command = within(&self.runner);
        command.args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
            "--workers",
            "1",
            "--data",
        ]);
        command.arg(&self.data).args(&self.arguments).current_dir(self.root.path());
        let said = File::options().append(true).create(true).open(self.file("said")).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command.stderr(if self.piped { Stdio::piped() } else { Stdio::from(said) });
        command.spawn().unwrap()
    }

    /// Waits for the line of a process that was spawned here. `Err`: what it said before it ended.
    pub(crate) fn until_ready(&self, mut child: Child) -> Result<Served, String> {
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        let &["ready", gateway, admin] = words.as_slice() else {
            let _ = child.wait();
            return Err(self.said());
        };
        let address = |word: &str| word.rsplit('/').next().unwrap().parse().unwrap();
        let (gateway, admin) = (address(gateway), address(admin));
        let root = match self.runner.iter().any(|word| word == "unshare") {
            true => PathBuf::from(format!("/proc/{}/root", child.id())),
            false => PathBuf::from("/"),
        };
        let data = root.join(self.data.strip_prefix("/").unwrap());
        let id = fs::read_to_string(data.join("keyward.lock")).unwrap().trim().parse().unwrap();
        let token = fs::read_to_string(data.join("admin-token")).unwrap().trim().to_owned();
        Ok(Served { child, id, gateway, admin, token, data, _out: out })
    }

    /// Starts it, and makes this world there.
    pub(crate) async fn start_with(&self, world: &str) -> Served {
        let served = self.start().unwrap_or_else(|said| panic!("it does not start: {said}"));
        served.apply(world).await;
        served
    }
}

/// A node that runs. It is killed when the test ends.
#[derive(Debug)]
pub(crate) struct Served {
    child: Child,
    /// Its own process: `child` may be another that runs it.
    id: i32,
    pub(crate) gateway: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) token: String,
    /// Its data folder, as this process sees it.
    pub(crate) data: PathBuf,
    _out: BufReader<ChildStdout>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.end_with(Signal::KILL);
        let _ = self.child.wait();
    }
}

impl Served {
    pub(crate) fn id(&self) -> i32 {
        self.id
    }

    fn end_with(&self, signal: Signal) {
        // It may have ended by itself.
        let _ = Pid::from_raw(self.id).map(|id| kill_process(id, signal));
    }

    /// Kills it: it is told nothing and does nothing more.
    pub(crate) fn kill(self) {
        drop(self);
    }

    /// Waits until it has ended by itself; its exit code.
    pub(crate) fn ended(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// Ends it in order; its exit code.
    pub(crate) fn stop(mut self) -> Option<i32> {
        self.end_with(Signal::TERM);
        self.child.wait().unwrap().code()
    }

    /// Makes one call on a connection of its own.
    pub(crate) async fn call(&self, request: &Request) -> Answer {
        client::call(self.gateway, request).await.unwrap()
    }

    /// Makes one call of the admin API.
    pub(crate) async fn admin(&self, request: Request) -> Answer {
        client::call(self.admin, &request.bearer(&self.token)).await.unwrap()
    }

    pub(crate) async fn show(&self, path: &str) -> serde_json::Value {
        let shown = self.admin(Request::get("localhost", path)).await;
        assert_eq!(shown.status, 200, "{path}: {}", shown.text());
        shown.json()
    }

    /// Every object of a list.
    pub(crate) async fn all(&self, path: &str) -> Vec<serde_json::Value> {
        let (mut all, mut after) = (Vec::new(), String::new());
        loop {
            let sign = if path.contains('?') { '&' } else { '?' };
            let mut page = self.show(&format!("{path}{sign}limit=1000{after}")).await;
            all.append(page["items"].as_array_mut().unwrap());
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => return all,
            }
        }
    }

    /// Every node of its list.
    pub(crate) async fn nodes(&self) -> Vec<serde_json::Value> {
        self.show("/v1/nodes").await["items"].as_array().unwrap().clone()
    }

    /// Applies a world file.
    pub(crate) async fn apply(&self, world: &str) {
        let file =
            Request::get("localhost", "/v1/apply").method("POST").header("Content-Type", "application/yaml");
        let applied = self.admin(file.body(world)).await;
        assert_eq!(applied.status, 200, "{}", applied.text());
    }

    /// Makes an object.
    pub(crate) async fn create(&self, path: &str, body: &str) -> Answer {
        self.admin(create(path, body)).await
    }

    /// A metric without labels, or with these.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let page = self.admin(Request::get("localhost", "/metrics")).await.text();
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
        line.unwrap_or_else(|| panic!("there is no {name}: {page}"))
    }
}

/// The request that makes an object.
pub(crate) fn create(path: &str, body: &str) -> Request {
    Request::get("localhost", path).method("POST").header("Content-Type", "application/json").body(body)
}

/// Runs a command that must succeed.
pub(crate) fn succeed(command: &mut Command) -> String {
    let output: Output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a command that must fail; its exit code and what it complained.
pub(crate) fn fail(command: &mut Command) -> (Option<i32>, String) {
    let output = command.output().unwrap();
    assert!(!output.status.success(), "{command:?}");
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}
