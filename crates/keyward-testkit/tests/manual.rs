//! The manual says what is so: its examples are read, its tables are compared with a running node, its links lead somewhere.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use keyward_api::{Access, FieldProblem, Route, WorldFile};
use keyward_model::{Role, permission};
use keyward_testkit::gateway::Gateway;
use keyward_testkit::request::Request;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(page: &str) -> String {
    std::fs::read_to_string(root().join(page)).unwrap_or_else(|error| panic!("{page}: {error}"))
}

/// Every page of the manual: those beside the README, and those in docs.
fn pages() -> Vec<String> {
    let mut pages = Vec::new();
    for folder in ["", "docs/", "docs/nouns/", "docs/decisions/"] {
        for entry in std::fs::read_dir(root().join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if Path::new(&name).extension().is_some_and(|extension| extension == "md") {
                pages.push(format!("{folder}{name}"));
            }
        }
    }
    assert!(pages.len() > 10, "{pages:?}");
    pages
}

/// The blocks of a page that are marked as this language.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut open: Option<(bool, String)> = None;
    for line in read(page).lines() {
        match (line.trim().strip_prefix("```"), &mut open) {
            (Some(mark), None) => open = Some((mark == language, String::new())),
            (Some(_), Some((wanted, text))) => {
                blocks.extend(wanted.then(|| std::mem::take(text)));
                open = None;
            }
            (None, Some((_, text))) => text.extend([line, "\n"]),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "{page} has a block without an end");
    blocks
}

fn parse(text: &str) -> Result<WorldFile, Vec<FieldProblem>> {
    WorldFile::parse(text, &|name| Some(format!("the-value-of-{name}")))
}

/// A block as a whole file: one that begins with `# within an api` stands where an API's fields stand.
fn whole(block: &str) -> String {
    match block.strip_prefix("# within an api\n") {
        None => block.to_owned(),
        Some(fields) => {
            let fields: String = fields.lines().map(|line| format!("    {line}\n")).collect();
            format!("version: 1\napis:\n  - name: orders\n    admits: [app_signature]\n{fields}")
        }
    }
}

#[test]
fn every_world_in_the_manual_is_read() {
    let mut found = 0;
    for page in pages() {
        for block in blocks(&page, "yaml") {
            found += 1;
            if let Err(problems) = parse(&whole(&block)) {
                let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
                panic!("{page}: {}\n{block}", problems.join("\n"));
            }
        }
    }
    assert!(found >= 4, "only {found} examples were found");
}

#[tokio::test]
async fn the_small_world_can_be_applied() {
    let world = blocks("docs/world-file.md", "yaml").remove(0);
    let gateway = Gateway::start(&world).await;
    assert_eq!(gateway.call(&Request::get("gw.test", "/orders/1")).await.status, 401);
}

/// The texts in these lists of the world file's readers, such as `allowed: &["name", …]`.
fn lists(start: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(root().join("crates/keyward-api/src")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        for list in text.split(start).skip(1) {
            let list = list.split(']').next().unwrap_or_default();
            found.extend(list.split('"').skip(1).step_by(2).map(str::to_owned));
        }
    }
    found
}

#[test]
fn every_field_of_the_world_file_is_on_its_page() {
    let examples = blocks("docs/world-file.md", "yaml").join("\n");
    let fields = lists("allowed: &[");
    assert!(fields.len() > 60, "{fields:?}");
    // What only the admin API describes.
    let elsewhere =
        ["password", "roles", "identities", "role", "issuer", "subject", "accounts", "to", "apis", "grants"];
    for field in fields.into_iter().filter(|field| !elsewhere.contains(&field.as_str())) {
        let there = |mark: char| examples.contains(&format!("{mark}{field}:"));
        assert!(
            [' ', '{', '\n', '('].into_iter().any(there) || examples.starts_with(&field),
            "`{field}` is missing"
        );
    }
}

#[test]
fn what_is_refused_by_name_is_on_the_page_and_is_refused() {
    let page = read("docs/world-file.md");
    let table = page.split("## Not supported by this version").nth(1).unwrap();
    for name in lists("later: &[") {
        assert!(table.contains(&format!("`{name}`")), "`{name}` is missing");
    }
    let service = "services: [{name: a, endpoints: [\"http://a\"]";
    let api = "apis: [{name: a, admits: [anyone]";
    for wrong in [
        "operators: []",
        "budgets: []",
        "gateways: [{name: a, listeners: []}]",
        &format!("{service}, kind: ai}}]"),
        &format!("{service}, provider: openai}}]"),
        &format!("{service}, tls: {{}}}}]"),
        &format!("{service}, auth: {{api_keys: []}}}}]"),
        "services: [{name: a, endpoints: [\"https://a\"]}]",
        &format!("{api}, kind: mcp}}]"),
        &format!("{api}, protocols: []}}]"),
        &format!("{api}, models: []}}]"),
        &format!("{api}, mcp: {{}}}}]"),
        &format!("{api}, agent: {{}}}}]"),
        &format!("{api}, operations: [{{model: x, path: /}}]}}]"),
        &format!("{api}, operations: [{{tool: x, path: /}}]}}]"),
        &format!("{api}, operations: [{{skill: x, path: /}}]}}]"),
    ] {
        let problems = parse(&format!("version: 1\n{wrong}\n")).expect_err(wrong);
        assert!(
            problems.iter().any(|p| p.message.contains("not supported by this version")),
            "{wrong}: {problems:?}"
        );
    }
}

/// What stands in backticks in the first cells of the table below this heading.
fn first_cells(page: &str, heading: &str) -> BTreeSet<String> {
    let text = read(page);
    let section = text.split(&format!("\n## {heading}\n")).nth(1).unwrap_or_else(|| panic!("no {heading}"));
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let cells = rows.map(|row| row.split(" | ").next().unwrap_or_default());
    cells.flat_map(|cell| cell.split('`').skip(1).step_by(2).map(str::to_owned)).collect()
}

const WORLD: &str = "version: 1\nservices: [{name: s, endpoints: [\"${UPSTREAM}\"]}]\n\
    apis: [{name: a, admits: [anyone], stages: {RELEASE: {service: s}}}]\n";

#[tokio::test]
async fn the_page_of_metrics_lists_what_a_node_tells() {
    let gateway = Gateway::start(WORLD).await;
    let page = gateway.admin(Request::get("localhost", "/metrics")).await;
    let text = String::from_utf8(page.body.clone()).unwrap();
    let told: BTreeSet<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .map(|line| line.split(' ').next().unwrap_or_default().to_owned())
        .collect();
    // Those of custom plugins are there once one runs: their own tests read the page.
    let listed = first_cells("docs/operating.md", "Metrics").into_iter();
    let listed: BTreeSet<String> = listed.filter(|name| !name.starts_with("keyward_plugin_")).collect();
    assert_eq!(listed, told);
}

#[tokio::test]
async fn the_page_of_the_access_log_lists_its_fields() {
    let gateway = Gateway::start(WORLD).await;
    let answer = gateway.call(&Request::get("gw.test", "/x")).await;
    let record = gateway.record_of(&answer).await;
    let told: BTreeSet<String> = record.as_object().unwrap().keys().cloned().collect();
    assert_eq!(first_cells("docs/operating.md", "The access log"), told);
}

#[tokio::test]
async fn the_page_of_the_data_folder_lists_its_files() {
    let gateway = Gateway::start(WORLD).await;
    gateway.call(&Request::get("gw.test", "/x")).await;
    let folder = gateway.node().data().to_owned();
    let name = |path: &Path| {
        let below = path.strip_prefix(&folder).unwrap();
        let first = below.components().next().unwrap().as_os_str().to_str().unwrap().to_owned();
        if below.components().count() > 1 { format!("{first}/") } else { first }
    };
    let found: BTreeSet<String> = gateway.data_files().iter().map(|(path, _)| name(path)).collect();
    let mut told = first_cells("docs/operating.md", "The data folder");
    // Only after starts that failed; the binary's tests read it.
    assert!(told.remove("failed-starts"));
    // Only where a quota counted.
    assert!(told.remove("quotas"));
    // Only of `keyward serve`.
    assert!(told.remove("take-over.sock"));
    assert_eq!(told, found);
}

#[test]
fn the_defaults_on_the_page_are_the_defaults() {
    let limits = keyward_model::GatewayLimits::default();
    let kib = |bytes: u64| bytes / 1024;
    let fixed = keyward_http::Limits::default();
    let replay = keyward_gateway::ReplayOptions::default();
    let timeouts = keyward_model::ServiceTimeouts::default();
    let page = read("docs/operating.md").replace(',', "");
    for line in [
        format!("| `head_bytes` | {} KiB |", kib(limits.head_bytes.into())),
        format!("| `headers` | {} lines |", limits.headers),
        format!("| `body_bytes` | {} MiB |", kib(limits.body_bytes) / 1024),
        format!("| `header_timeout_ms` | {} s |", limits.header_timeout_ms / 1000),
        format!("| `connect_ms` | {} s |", timeouts.connect_ms / 1000),
        format!("| `first_byte_ms` | {} s", timeouts.first_byte_ms / 1000),
        format!("| `idle_ms` | {} s", timeouts.idle_ms / 1000),
        format!("| request target | {} KiB |", kib(fixed.target_bytes as u64)),
        format!("| bodies held at once * | {} MiB |", kib(fixed.held_bytes as u64) / 1024),
        format!("| pause between two pieces of a request body | {} s |", fixed.body_idle_timeout.as_secs()),
        format!("| {} bytes a second", fixed.body_rate_min),
        format!("| a client that takes nothing of its answer | {} s |", fixed.write_idle_timeout.as_secs()),
        format!("| a client's connection without a request | {} s |", fixed.idle_timeout.as_secs()),
        format!("| client connections * | {} |", fixed.connections),
        format!("| connections per core to one endpoint | {} of which", fixed.upstream_connections),
        format!("of which {} are kept idle", fixed.upstream_idle),
        format!("idle for {} s", fixed.upstream_idle_timeout.as_secs()),
        format!("| nonces remembered * | {} in all", replay.capacity),
        format!(" {} per application |", replay.per_application),
    ] {
        assert!(page.contains(&line), "the page does not say `{line}`");
    }
}

/// The anchor that a heading gets.
fn anchor(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    heading.to_lowercase().chars().filter(kept).map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn anchors(path: &Path) -> BTreeSet<String> {
    let text = std::fs::read_to_string(path).unwrap();
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings.map(|line| anchor(line.trim_start_matches('#').trim())).collect()
}

#[test]
fn every_link_within_the_manual_leads_somewhere() {
    let mut followed = 0;
    for page in pages() {
        let folder = root().join(&page).parent().unwrap().to_owned();
        for link in read(&page).split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (file, place) = link.split_once('#').unwrap_or((link, ""));
            let path = if file.is_empty() { root().join(&page) } else { folder.join(file) };
            assert!(path.exists(), "{page}: {link} leads nowhere");
            assert!(place.is_empty() || anchors(&path).contains(place), "{page}: {link} names no heading");
            followed += 1;
        }
    }
    assert!(followed > 20, "only {followed} links were found");
}

#[test]
fn every_file_that_the_manual_names_exists() {
    for page in pages().into_iter().filter(|page| page != "docs/cli.md") {
        for text in read(&page).split('`').skip(1).step_by(2) {
            let ours = ["crates/", "docs/", "spec/", "scripts/", "xtask/", "bench/", "fuzz/"];
            let is_path = ours.iter().any(|folder| text.starts_with(folder))
                && !text.contains(['*', '<', ' ', '…', 'N', '{']);
            assert!(!is_path || root().join(text).exists(), "{page}: there is no `{text}`");
        }
    }
}

/// A page about nouns: its file below `docs`, the nouns of the route table that it is about, and the schemas of the
/// contract whose fields it lists.
type NounPage = (&'static str, &'static [&'static str], &'static [&'static str]);

/// Every noun of the route table is on one of these.
const NOUN_PAGES: [NounPage; 18] = [
    ("nouns/accounts.md", &["account"], &["Account"]),
    ("nouns/gateways.md", &["gateway"], &["Gateway", "Limits"]),
    ("nouns/nodes.md", &["node"], &["Node"]),
    (
        "nouns/secrets.md",
        &["secret"],
        &[
            "Secret",
            "HeldFrom",
            "VaultField",
            "Previous",
            "SecretRotation",
            "SecretRollback",
            "SecretStatus",
            "Reference",
        ],
    ),
    ("nouns/modules.md", &["module"], &["Module", "Wasm", "Sees", "WasmLimits"]),
    ("nouns/plugins.md", &["plugin"], &["Plugin", "PluginKindView"]),
    ("nouns/services.md", &["service"], &["Service", "Endpoint", "Timeouts"]),
    ("nouns/apis.md", &["api", "stage"], &["Api", "OperationName", "StageBinding", "Signature"]),
    (
        "nouns/applications.md",
        &["application", "key_pair", "app_code", "caller"],
        &["NewApplication", "KeyPair", "Opaque"],
    ),
    (
        "nouns/consumers.md",
        &["consumer", "api_key", "jwt"],
        &["NewConsumer", "ApiKey", "Jwt", "RemoteKeys", "Token", "IdentityClaim"],
    ),
    (
        "nouns/credentials.md",
        &["credential", "leak"],
        &["Credential", "CredentialChange", "CredentialReset", "CredentialRotation", "Leak"],
    ),
    ("nouns/groups.md", &["group", "member"], &["Group"]),
    ("nouns/grants.md", &["grant", "decision"], &["Grant", "GrantBatch"]),
    (
        "nouns/operators.md",
        &["operator", "operator_token", "session"],
        &["Operator", "RoleHeld", "OpenIdentity", "OperatorToken"],
    ),
    ("nouns/audit.md", &["audit"], &["AuditEntry"]),
    ("nouns/usage.md", &["usage"], &["Usage"]),
    ("nouns/access-review.md", &["access_review"], &["ReviewItem"]),
    ("README.md", &["health", "metrics", "contract", "world"], &[]),
];

/// Who may call a route, as the pages say it.
fn who_may(route: Route) -> String {
    if route.about().access == Access::Open {
        return "everybody who reaches the admin address".to_owned();
    }
    let permission = permission(route.noun(), route.action());
    let roles: Vec<&str> =
        Role::ALL.into_iter().filter(|role| permission.roles.contains(role)).map(Role::as_str).collect();
    let roles = if roles.len() == Role::ALL.len() { "every role".to_owned() } else { roles.join(", ") };
    if permission.everywhere { format!("{roles}, held everywhere") } else { roles }
}

#[test]
fn every_noun_has_a_page_with_its_routes_and_who_may() {
    for &route in Route::ALL {
        let page = NOUN_PAGES.iter().find(|(_, nouns, _)| nouns.contains(&route.noun()));
        let (page, ..) = page.unwrap_or_else(|| panic!("no page is about `{}`", route.noun()));
        let text = read(&format!("docs/{page}"));
        let what = format!("| {} | ", route.summary());
        let rest = format!(" | `{} {}` | {} |", route.method().as_str(), route.path(), who_may(route));
        let told = text.lines().any(|line| line.starts_with(&what) && line.ends_with(&rest));
        assert!(told, "docs/{page} has no row `{what}COMMAND{rest}`");
    }
}

#[test]
fn every_command_is_on_the_page_of_its_noun_and_is_one() {
    let headings: BTreeSet<String> = read("docs/cli.md")
        .lines()
        .filter(|line| line.starts_with('#'))
        .filter_map(|line| Some(line.split('`').nth(1)?.to_owned()))
        .collect();
    assert!(headings.len() > 80, "{headings:?}");
    let pages: String = NOUN_PAGES.iter().map(|(page, ..)| read(&format!("docs/{page}"))).collect();
    // What runs a node or works on files, and calls no route of its own.
    let elsewhere = ["serve", "sign", "completion", "backup", "restore"];
    for heading in &headings {
        let is_group = headings.iter().any(|other| other.starts_with(&format!("{heading} ")));
        let is_elsewhere = elsewhere.iter().any(|name| *heading == format!("keyward {name}"));
        let told = pages.contains(&format!("`{heading}`"));
        assert!(is_group || is_elsewhere || told, "no page of a noun names `{heading}`");
    }
    for row in pages.lines().filter(|line| line.starts_with("| ") && line.contains(" | `keyward ")) {
        let command = row.split(" | `").nth(1).and_then(|rest| rest.split('`').next()).unwrap_or_default();
        assert!(headings.contains(command), "there is no `{command}`: {row}");
    }
}

#[test]
fn every_field_of_a_noun_is_on_its_page_as_the_contract_says_it() {
    let contract: serde_json::Value = serde_json::from_str(&read("spec/openapi.json")).unwrap();
    for (page, _, schemas) in NOUN_PAGES {
        let text = read(&format!("docs/{page}"));
        for schema in schemas {
            let fields = contract["components"]["schemas"][schema]["properties"].as_object();
            for (field, about) in fields.unwrap_or_else(|| panic!("there is no schema `{schema}`")) {
                let meaning = about["description"].as_str().unwrap_or_default();
                let start = format!("| `{field}` | {meaning} |");
                let rows: Vec<String> = text
                    .lines()
                    .filter(|line| line.starts_with(&start))
                    .map(|line| line.replace(',', ""))
                    .collect();
                assert!(!rows.is_empty(), "docs/{page} has no row `{start}` of `{schema}`");
                // Of what is only answered, no bounds are told.
                let bounds = [&about["minimum"], &about["maximum"]].map(serde_json::Value::as_u64);
                let [Some(least), Some(most)] = bounds else { continue };
                let bounds = format!(" | {least} to {most} |");
                assert!(
                    rows.iter().any(|row| row.ends_with(&bounds)),
                    "docs/{page}: `{field}` of `{schema}` must say `{bounds}`"
                );
            }
        }
    }
}

#[test]
fn every_code_that_a_page_of_a_noun_names_is_one() {
    for (page, ..) in NOUN_PAGES.iter().filter(|(page, ..)| page.starts_with("nouns/")) {
        let page = format!("docs/{page}");
        for code in first_cells(&page, "What goes wrong") {
            let known = keyward_api::Code::ALL.iter().any(|known| known.code == code);
            assert!(known, "{page}: there is no code `{code}`");
        }
    }
}
