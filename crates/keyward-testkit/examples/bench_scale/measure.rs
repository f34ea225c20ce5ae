//! What is measured: calls of the admin API on one kept connection, one after the other, answered by a node in this process.

use std::time::{Duration, Instant};

use keyward::Node;
use keyward_testkit::client::{Answer, Connection};
use keyward_testkit::request::Request;
use serde_json::{Map, Value, json};

use crate::seed::{Seeded, app_key, name};

/// Items of a page where pages are compared, and calls of each kind.
const PAGE: usize = 100;
const CALLS: usize = 200;
const WRITES: usize = 100;
/// Calls of a kind that may have to look at every row.
const SLOW_CALLS: usize = 5;

/// What came of it.
pub(crate) struct Figures(Map<String, Value>);

/// One connection to a node's admin address.
struct Admin {
    connection: Connection,
    token: String,
}

impl Admin {
    async fn to(node: &Node) -> Self {
        let token = node.admin_token().expect("a local token").expose_secret().to_owned();
        Self { connection: Connection::open(node.admin_addr()).await.expect("a connection"), token }
    }

    async fn call(&mut self, method: &str, target: &str, body: &str) -> (Answer, Duration) {
        let mut request = Request::get("localhost", target).method(method).bearer(&self.token);
        if !body.is_empty() {
            request = request.header("Content-Type", "application/json").body(body);
        }
        let began = Instant::now();
        let answer = self.connection.call(&request).await.expect("an answer");
        let took = began.elapsed();
        assert!(answer.status < 300, "{target}: {}", answer.text());
        (answer, took)
    }

    async fn list(&mut self, query: &str) -> (Value, Duration) {
        let (answer, took) = self.call("GET", &format!("/v1/applications?{query}"), "").await;
        (answer.json(), took)
    }
}

impl Figures {
    pub(crate) fn new(store: &str, applications: usize) -> Self {
        let figures = json!({"store": store, "applications": applications});
        Self(figures.as_object().cloned().unwrap_or_default())
    }

    pub(crate) fn set(&mut self, name: &str, figure: f64) {
        self.0.insert(name.to_owned(), json!((figure * 1_000.0).round() / 1_000.0));
    }

    pub(crate) fn done(self) -> Value {
        Value::Object(self.0)
    }

    fn times(&mut self, name: &str, mut times: Vec<Duration>) {
        times.sort_unstable();
        let at = |part: f64| {
            let at = ((times.len() as f64 * part).ceil() as usize).clamp(1, times.len()) - 1;
            (times[at].as_secs_f64() * 1e6).round() / 1e3
        };
        let figures = json!({"p50_ms": at(0.5), "p99_ms": at(0.99), "max_ms": at(1.0), "calls": times.len()});
        self.0.insert(name.to_owned(), figures);
    }

    /// Reads by the admin API.
    pub(crate) async fn reads(&mut self, node: &Node, seeded: &Seeded) {
        let mut admin = Admin::to(node).await;
        self.walk(&mut admin, seeded).await;
        for (sort, of) in [
            ("created", "by age"),
            ("-created", "by age, last first"),
            ("name", "by name"),
            ("-name", "by name, last first"),
        ] {
            for place in ["first", "middle", "last"] {
                let query = page_query(&mut admin, seeded, sort, place).await;
                let mut times = Vec::new();
                for _ in 0..CALLS {
                    let (page, took) = admin.list(&query).await;
                    assert!(page["items"].as_array().is_some_and(|items| !items.is_empty()), "{query}");
                    times.push(took);
                }
                self.times(&format!("page: {of}, {place}"), times);
            }
        }
        let some = |step: usize| (step * 7_919 + 13) % seeded.applications;
        let mut times = Vec::new();
        for step in 0..CALLS {
            let (page, took) = admin.list(&format!("app_key={}", app_key(some(step)))).await;
            assert_eq!(page["items"][0]["name"], name(some(step)), "{page}");
            times.push(took);
        }
        self.times("filter: AppKey", times);
        let mut times = Vec::new();
        for step in 0..CALLS {
            let target = format!("/v1/applications/{}", name(some(step)));
            times.push(admin.call("GET", &target, "").await.1);
        }
        self.times("show: by name", times);
        for (query, of, calls) in [
            ("state=disabled", "disabled", CALLS),
            ("state=disabled&sort=name", "disabled, by name", CALLS),
            ("account=default&limit=100", "account", CALLS),
            ("account=default&sort=name&limit=100", "account, by name", CALLS),
            ("tag=team%3Drare", "a tag that few have", SLOW_CALLS),
            (&format!("name={}", &name(some(1))[4..]), "a part of a name", SLOW_CALLS),
        ] {
            let mut times = Vec::new();
            for _ in 0..calls {
                let (page, took) = admin.list(query).await;
                assert!(page["items"].as_array().is_some_and(|items| !items.is_empty()), "{query}");
                times.push(took);
            }
            self.times(&format!("filter: {of}"), times);
        }
    }

    /// Every page of the list, one after the other, a thousand items each: the first tenth of them against the last.
    async fn walk(&mut self, admin: &mut Admin, seeded: &Seeded) {
        let (mut times, mut items, mut after) = (Vec::new(), 0, String::new());
        loop {
            let (page, took) = admin.list(&format!("limit=1000{after}")).await;
            times.push(took);
            items += page["items"].as_array().map_or(0, Vec::len);
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => break,
            }
        }
        assert!(items >= seeded.applications, "every application was on one page: {items}");
        // The last page is not whole.
        times.pop();
        let tenth = (times.len() / 10).max(1);
        self.set("walk_s", times.iter().map(Duration::as_secs_f64).sum());
        self.times("walk: first tenth of the pages", times[..tenth].to_vec());
        self.times("walk: last tenth of the pages", times[times.len() - tenth..].to_vec());
    }

    /// Writes by the admin API: each is answered when the node applies it.
    pub(crate) async fn writes(&mut self, when: &str, node: &Node) {
        let mut admin = Admin::to(node).await;
        let (mut created, mut changed, mut deleted) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..WRITES {
            let name = format!("written-{when}-{number}");
            let target = format!("/v1/applications/{name}");
            created.push(admin.call("POST", "/v1/applications", &json!({"name": name}).to_string()).await.1);
            changed.push(admin.call("PATCH", &target, r#"{"description": "changed"}"#).await.1);
            deleted.push(admin.call("DELETE", &target, "").await.1);
        }
        self.times(&format!("write: create, {when}"), created);
        self.times(&format!("write: change, {when}"), changed);
        self.times(&format!("write: delete, {when}"), deleted);
    }
}

/// The query of a page there, with the cursor that the page before it gave.
async fn page_query(admin: &mut Admin, seeded: &Seeded, sort: &str, place: &str) -> String {
    let opposite = sort.strip_prefix('-').map_or_else(|| format!("-{sort}"), str::to_owned);
    let plain = format!("sort={sort}&limit={PAGE}");
    let cursor = match place {
        "first" => return plain,
        // A cursor names the item after which a page begins; that item, read from the other end, is the one a page from the end.
        "last" => last_item(admin, &format!("sort={opposite}&limit={}", PAGE + 1)).await,
        _ => match sort.ends_with("created") {
            true => seeded.ids.values().nth(seeded.ids.len() / 2).expect("an id").clone(),
            false => {
                // Names begin with a hash, so half of them are below this.
                let (page, _) = admin.list(&format!("name=app-8000&limit={PAGE}")).await;
                cursor_of(&page["items"][0])
            }
        },
    };
    let cursor = if sort.ends_with("created") {
        cursor.split('.').next().unwrap_or_default().to_owned()
    } else {
        cursor
    };
    format!("{plain}&after={cursor}")
}

async fn last_item(admin: &mut Admin, query: &str) -> String {
    let (page, _) = admin.list(query).await;
    cursor_of(page["items"].as_array().and_then(|items| items.last()).expect("an item"))
}

/// As `next` is written: the id; sorted by name, the name as well.
fn cursor_of(item: &Value) -> String {
    use base64::Engine as _;
    let text = |name: &str| item[name].as_str().expect(name).to_owned();
    format!("{}.{}", text("id"), base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text("name")))
}

pub(crate) fn seconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64()
}

/// What this process has in memory, in MiB.
pub(crate) fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a figure");
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kib / 1_024.0
}

/// For people.
pub(crate) fn print(figures: &Value) {
    let figure = |name: &str| figures[name].as_f64().unwrap_or_default();
    println!(
        "\n{} with {} applications: written in {:.0} s, {:.0} MiB on disk; a node starts in {:.1} s and takes {:.0} MiB",
        figures["store"].as_str().unwrap_or_default(),
        figures["applications"],
        figure("seed_s"),
        figure("store_mib"),
        figure("start_s"),
        figure("node_mib"),
    );
    println!("all pages of the list one after the other, a thousand items each: {:.1} s", figure("walk_s"));
    println!("{:<38} {:>9} {:>9} {:>9}", "milliseconds", "p50", "p99", "max");
    for (name, times) in figures.as_object().into_iter().flatten().filter(|(_, value)| value.is_object()) {
        let of = |part: &str| times[part].as_f64().unwrap_or_default();
        println!("{name:<38} {:>9.2} {:>9.2} {:>9.2}", of("p50_ms"), of("p99_ms"), of("max_ms"));
    }
}
