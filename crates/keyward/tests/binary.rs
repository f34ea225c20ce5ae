//! The binary as it is run: what it prints where, how it ends, and the commands against a running node.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

const WORLD: &str = r#"
version: 1
services: [{name: origin, endpoints: ["http://127.0.0.1:9"]}]
apis:
  - {name: orders, base_path: /orders, admits: [app_signature, api_key], stages: {RELEASE: {service: origin}}}
applications:
  - {name: shop, key_pairs: [{app_key: shop-key, app_secret: "${SHOP_SECRET}"}]}
consumers:
  - {name: ann, api_key: {keys: ["ann-key-0123456789abcdef"]}}
grants:
  - {to: {application: shop}, api: orders}
"#;

fn keyward(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keyward"));
    command
        .current_dir(folder)
        .env_remove("KEYWARD_ADMIN_TOKEN")
        .env_remove("KEYWARD_ADMIN")
        .env_remove("KEYWARD_DATA")
        .env_remove("KEYWARD_STORE");
    command
        .env_remove("KEYWARD_APP_SECRET")
        .env_remove("KEYWARD_LOG")
        .env("SHOP_SECRET", "shop-secret-0123456789");
    command
}

/// A node in a process of its own. It is killed when the test ends.
struct Served {
    child: Child,
    folder: tempfile::TempDir,
    gateway: String,
    admin: String,
    rest: BufReader<std::process::ChildStdout>,
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Served {
    fn start(options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("world.yaml"), WORLD).unwrap();
        let mut command = keyward(folder.path());
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--workers", "1"])
            .args(options);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut rest = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        rest.read_line(&mut line).unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words.first(), Some(&"ready"), "{line:?}");
        let gateway = words[1].strip_prefix("gateway=").unwrap().to_owned();
        let admin = words[2].strip_prefix("admin=").unwrap().to_owned();
        assert_eq!((words.len(), line.ends_with('\n')), (3, true), "{line:?}");
        Self { child, folder, gateway, admin, rest }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        keyward(self.folder.path()).args(arguments).args(["--admin", &self.admin]).output().unwrap()
    }

    /// Runs a command that must succeed, and gives what it printed.
    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let text = self.ok(&[arguments, &["--output", "json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}"))
    }

    /// Runs a command that must fail with this code, and gives what it complained.
    fn fails(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        assert_eq!(output.stdout, b"", "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    }
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args([format!("-{name}"), child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

#[test]
fn a_node_prints_one_line_and_ends_with_zero_when_told() {
    for name in ["TERM", "INT"] {
        let mut served = Served::start(&[]);
        signal(&served.child, name);
        assert_eq!(served.child.wait().unwrap().code(), Some(0), "{name}");
        let mut rest = String::new();
        served.rest.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "", "nothing but the ready line goes to standard output");
        let data = served.folder.path().join("data");
        use std::os::unix::fs::PermissionsExt as _;
        for entry in std::fs::read_dir(&data).unwrap() {
            let path = entry.unwrap().path();
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{} is its owner's alone", path.display());
        }
    }
}

#[test]
fn a_store_that_is_none_stops_the_start_without_showing_its_password() {
    let folder = tempfile::tempdir().unwrap();
    let addresses = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    for url in ["mysql://u:hunter2@h/d", "postgres://u:hunter2@127.0.0.1:1/d"] {
        let given =
            keyward(folder.path()).arg("serve").args(addresses).env("KEYWARD_STORE", url).output().unwrap();
        let named =
            keyward(folder.path()).arg("serve").args(addresses).args(["--store", url]).output().unwrap();
        for output in [given, named] {
            let text = String::from_utf8(output.stderr).unwrap();
            assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{url}: {text}");
            assert!(text.contains("store") && !text.contains("hunter2"), "{text}");
        }
    }
    let mut help = keyward(folder.path());
    help.args(["serve", "--help"]).env("KEYWARD_STORE", "postgres://u:hunter2@h/d");
    let help = String::from_utf8(help.output().unwrap().stdout).unwrap();
    assert!(help.contains("KEYWARD_STORE") && !help.contains("hunter2"), "{help}");
}

#[test]
fn a_bad_world_file_stops_the_start_with_its_places() {
    let folder = tempfile::tempdir().unwrap();
    let start = |text: &str| {
        std::fs::write(folder.path().join("world.yaml"), text).unwrap();
        let serve = ["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--apply", "world.yaml"];
        let output = keyward(folder.path()).args(serve).output().unwrap();
        assert_eq!(output.stdout, b"");
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, text) = start("version: 1\napis:\n  - {name: a}\n  - {name: b, admits: [jwt], colour: red}\n");
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("world.yaml:3:5: apis[0]: `admits` is missing"), "{text}");
    assert!(text.contains("world.yaml:4:30: apis[1].colour: "), "{text}");
    let (code, text) = start("version: 1\ngrants:\n  - {to: {application: gone}, api: orders}\n");
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("world.yaml:3:10: grants[0].to"), "{text}");
    let (code, text) = start("version: [");
    assert_eq!((code, text.contains("world.yaml:1:10: ")), (Some(2), true), "{text}");
    std::fs::remove_file(folder.path().join("world.yaml")).unwrap();
    let missing = keyward(folder.path())
        .args(["serve", "--admin", "127.0.0.1:0", "--apply", "gone.yaml"])
        .output()
        .unwrap();
    assert_eq!(missing.status.code(), Some(2));
}

#[test]
fn a_world_is_applied_exported_and_asked_about() {
    let served = Served::start(&[]);
    let dry = served.ok(&["apply", "-f", "world.yaml", "--dry-run"]);
    assert!(dry.contains("would create api default/orders"), "{dry}");
    let applied = served.ok(&["apply", "-f", "world.yaml"]);
    assert!(applied.contains("created      application default/shop"), "{applied}");
    let again = served.json(&["apply", "-f", "world.yaml"]);
    assert_eq!((&again["created"], &again["changed"]), (&serde_json::json!([]), &serde_json::json!([])));

    let exported = served.ok(&["export"]);
    assert!(!exported.contains("shop-secret") && !exported.contains("ann-key"), "{exported}");
    std::fs::write(served.folder.path().join("export.yaml"), &exported).unwrap();
    let back = served.json(&["apply", "-f", "export.yaml", "--prune"]);
    for list in ["created", "changed", "removed", "minted"] {
        assert_eq!(back[list], serde_json::json!([]), "{back}");
    }

    let allowed = served.json(&["explain", "--api", "orders", "--application", "shop"]);
    assert_eq!((&allowed["decision"], allowed["grant"].is_string()), (&"allow".into(), true), "{allowed}");
    let denied = served.json(&["explain", "--api", "orders", "--consumer", "ann"]);
    assert_eq!(
        (&denied["decision"], &denied["reason"]),
        (&"deny".into(), &"grant_missing".into()),
        "{denied}"
    );
    let who = served.json(&["who-can", "--api", "orders"]);
    assert_eq!(who["items"][0]["name"], "shop", "{who}");
    assert!(served.ok(&["who-can", "--api", "orders"]).starts_with("NOUN"));
    let open = ["api", "create", "open", "--set", "admits=[anyone]", "--set", "base_path=/open"];
    served.ok(&[&open[..], &["--set", "stages={RELEASE: {service: origin}}"]].concat());
    assert!(served.ok(&["who-can", "--api", "open"]).contains("everybody who presents no credential"));
}

#[test]
fn what_is_wrong_with_a_file_is_said_with_its_place() {
    let served = Served::start(&[]);
    let write = |text: &str| std::fs::write(served.folder.path().join("bad.yaml"), text).unwrap();
    write("version: 1\napis:\n  - {name: a}\n");
    let text = served.fails(2, &["apply", "-f", "bad.yaml"]);
    assert!(
        text.contains("bad.yaml:3:5: apis[0]: `admits` is missing") && text.contains("nothing was changed"),
        "{text}"
    );
    write(
        "version: 1\nservices:\n  - {name: s, endpoints: [\"http://127.0.0.1:9\"]}\ngrants:\n  - to: {application: gone}\n    api: orders\n",
    );
    let text = served.fails(2, &["apply", "-f", "bad.yaml"]);
    assert!(text.contains("bad.yaml:5:"), "the node's problems get the file's lines: {text}");
    write("version: 1\naccounts: [{name: '${NOT_SET}'}]");
    assert!(served.fails(2, &["apply", "-f", "bad.yaml"]).contains("set NOT_SET"));
    assert!(served.fails(2, &["apply", "-f", "gone.yaml"]).contains("cannot be read"));
    assert!(served.fails(2, &["export", "--with-secrets"]).contains("not supported by this version"));
}

#[test]
fn nouns_are_administered() {
    let served = Served::start(&["--apply", "world.yaml"]);
    let made = served.json(&[
        "app",
        "create",
        "till",
        "--tag",
        "team=a",
        "--scheme",
        "tencent",
        "--description",
        "a till",
    ]);
    assert_eq!(
        (&made["name"], &made["tags"]["team"], &made["minted"][0]["kind"]),
        (&"till".into(), &"a".into(), &"key_pair".into()),
        "{made}"
    );
    assert!(served.ok(&["app", "list"]).contains("till"));
    let changed = served.json(&["app", "change", "till", "--set", "extension=tier=gold"]);
    assert_eq!(
        (&changed["extension"], &changed["description"]),
        (&"tier=gold".into(), &"a till".into()),
        "{changed}"
    );
    assert_eq!(served.json(&["app", "disable", "till"])["enabled"], false);
    assert_eq!(served.json(&["app", "enable", "till"])["enabled"], true);
    let reset = served.json(&["app", "reset", "till"]);
    assert_ne!(reset["minted"][0]["value"], made["minted"][0]["value"], "{reset}");
    let id = reset["id"].as_str().unwrap();
    assert_eq!(served.json(&["credential", "reveal", id])["value"], reset["minted"][0]["value"]);
    assert_eq!(served.json(&["app", "key-pair", "list", "till"])["items"][0]["scheme"], "tencent");
    assert_eq!(served.json(&["app", "app-code", "add", "till"])["kind"], "app_code");

    let consumer =
        served.json(&["consumer", "create", "bob", "--api-key", "--source", "header:X-Key", "--jwt"]);
    assert_eq!(consumer["minted"].as_array().unwrap().len(), 2, "{consumer}");
    served.json(&["consumer", "reset", "bob"]);
    assert_eq!(served.json(&["consumer", "jwt", "set", "bob", "--issuer", "me"])["jwt"]["issuer"], "me");

    served.json(&[
        "service",
        "create",
        "other",
        "--endpoint",
        "http://127.0.0.1:9 3",
        "--endpoint",
        "http://127.0.0.2:9",
    ]);
    let api = [
        "api",
        "create",
        "things",
        "--base-path",
        "/things",
        "--admit",
        "api_key,jwt",
        "--operation",
        "GET /{id}",
        "--stage",
        "RELEASE=other",
    ];
    assert_eq!(served.json(&api)["operations"][0]["path"], "/{id}");
    assert_eq!(
        served.json(&["api", "publish", "things", "TEST", "--service", "other"])["stages"]["TEST"]["service"],
        "other"
    );
    served.json(&["api", "unpublish", "things", "TEST"]);

    served.json(&["group", "create", "staff", "--member", "consumer:bob"]);
    assert_eq!(
        served.json(&["group", "add-member", "staff", "app:till"])["members"].as_array().unwrap().len(),
        2
    );
    served.json(&["group", "remove-member", "staff", "app:till"]);
    let grant = served.json(&[
        "grant",
        "create",
        "--to",
        "group:staff",
        "--api",
        "things",
        "--operation",
        "GET /{id}",
        "--description",
        "why",
    ]);
    let id = grant["id"].as_str().unwrap();
    assert_eq!(
        served.json(&["grant", "change", id, "--valid-until", "2099-01-01T00:00:00Z"])["valid_until"],
        "2099-01-01T00:00:00Z"
    );
    assert_eq!(served.json(&["grant", "list", "--consumer", "bob"])["items"].as_array().unwrap().len(), 1);
    assert_eq!(served.json(&["grant", "revoke", id])["grant"]["state"], "revoked");

    served.json(&["account", "create", "partner"]);
    served.json(&["gateway", "create", "edge", "--trusted-proxy", "10.0.0.0/8"]);
    assert!(served.ok(&["app", "delete", "till", "--dry-run"]).contains("would delete application till"));
    assert!(served.ok(&["app", "delete", "till"]).contains("deleted application till"));
    assert!(served.fails(1, &["app", "show", "till"]).contains("till"));
    assert!(served.fails(1, &["service", "delete", "origin"]).contains("used by api `orders`"));
    assert!(served.fails(2, &["app", "change", "shop"]).contains("nothing to change"));
}

#[test]
fn a_call_is_signed() {
    let served = Served::start(&["--apply", "world.yaml"]);
    let url = format!("{}/orders/1?b=2&a=1", served.gateway);
    let curl = served.ok(&["sign", "--application", "shop", &url]);
    assert!(
        curl.starts_with("curl ") && curl.contains("X-Ca-Signature: ") && curl.contains(&format!("'{url}'")),
        "{curl}"
    );
    assert!(!curl.contains("shop-secret"));
    let by_key = served.json(&[
        "sign",
        "--app-key",
        "shop-key",
        "POST",
        &url,
        "-d",
        "{}",
        "-H",
        "X-Tenant: 7",
        "--sign-header",
        "X-Tenant",
    ]);
    let text = by_key["string_to_sign"].as_str().unwrap();
    assert!(
        text.starts_with("POST\n") && text.contains("X-Tenant:7") && text.ends_with("/orders/1?a=1&b=2"),
        "{text}"
    );

    let offline = |scheme: &str| {
        let arguments =
            ["sign", "--app-key", "k", "--scheme", scheme, "http://a/b", "--admin", "http://127.0.0.1:1"];
        let output =
            keyward(served.folder.path()).env("KEYWARD_APP_SECRET", "s").args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(offline("tencent").contains("Authorization: hmac id=\"k\""));
    assert!(offline("tencent_key_pair").contains("headers=\"x-date"));
    assert!(served.fails(1, &["sign", "--application", "gone", &url]).contains("gone"));
    assert!(served.fails(2, &["sign", "--application", "shop", "orders"]).contains("is not a URL"));
}

#[test]
fn a_command_without_a_node_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let run = |token: Option<&str>| {
        let mut command = keyward(folder.path());
        command.args(["app", "list", "--admin", "http://127.0.0.1:1"]);
        if let Some(token) = token {
            command.env("KEYWARD_ADMIN_TOKEN", token);
        }
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(run(None).contains(
        "start a node with `keyward serve`, name its data folder with --data, or set KEYWARD_ADMIN_TOKEN"
    ));
    assert!(run(Some("x")).contains("nothing answers at http://127.0.0.1:1"));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let hangs_up = std::thread::spawn(move || {
        use std::io::Read as _;
        let (mut stream, _) = listener.accept().unwrap();
        assert_ne!(stream.read(&mut [0; 64]).unwrap(), 0);
    });
    let broken = keyward(folder.path())
        .env("KEYWARD_ADMIN_TOKEN", "x")
        .args(["app", "create", "a", "--admin", &address])
        .output()
        .unwrap();
    hangs_up.join().unwrap();
    assert!(String::from_utf8_lossy(&broken.stderr).contains("may have been done"));
    let served = Served::start(&[]);
    let wrong = keyward(folder.path())
        .env("KEYWARD_ADMIN_TOKEN", "x")
        .args(["app", "list", "--admin", &served.admin])
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("does not know this token"));
}

#[test]
fn a_node_without_a_local_token_lets_nobody_in() {
    let served = Served::start(&["--no-local-token"]);
    assert!(!served.folder.path().join("data/admin-token").exists());
    assert!(served.fails(1, &["app", "list"]).contains("there is no operator token"));
}

#[test]
fn the_demo_shows_the_same_secrets_again() {
    let folder = tempfile::tempdir().unwrap();
    let secrets = || {
        let serve =
            ["serve", "--demo", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--workers", "1"];
        let mut command = keyward(folder.path());
        let mut child = command.args(serve).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("ready "), "{line:?}");
        signal(&child, "TERM");
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        let text = String::from_utf8(output.stderr).unwrap();
        let word = |prefix: &str| {
            text.split(['\'', ' ', '\n']).find(|word| word.starts_with(prefix)).unwrap().to_owned()
        };
        for part in [
            "curl -i ",
            "sign ",
            "grant revoke ",
            "explain ",
            "APPCODE kw_code_",
            "Bearer kw_key_",
            "Bearer eyJ",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        (word("kw_code_"), word("kw_key_"))
    };
    assert_eq!(secrets(), secrets());
}

#[test]
fn completion_scripts_are_written() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let output = keyward(folder.path()).args(["completion", shell]).output().unwrap();
        assert!(output.status.success() && output.stdout.len() > 1_000, "{shell}");
    }
}

#[test]
fn a_mistake_is_told_with_what_to_do_next() {
    let served = Served::start(&["--apply", "world.yaml"]);
    served.ok(&["consumer", "api-key", "add", "ann"]);
    served.ok(&["account", "create", "partner"]);
    for (code, arguments, says) in [
        (1, "app create shop", "the application `shop` exists already: choose another name"),
        (1, "api create x", "keyward api create --help"),
        (1, "consumer jwt show ann", "keyward consumer jwt set ann --jwt"),
        (1, "app reset shop --app-code", "keyward app app-code list shop"),
        (2, "consumer reset ann", "keyward consumer api-key list ann"),
        (1, "sign --app shop --scheme tencent http://a/", "keyward app key-pair list shop"),
        (2, "app change shop --app-key other", "keyward app key-pair add"),
        (2, "api list --tag a=b", "an api has no tags"),
        (2, "gateway show default --account default", "leave --account out"),
        (2, "sign --app shop G@T http://a/", "write it like GET"),
    ] {
        let text = served.fails(code, &arguments.split(' ').collect::<Vec<_>>());
        assert!(text.contains(says), "{arguments}: {text}");
    }
    let token = |token: &str| {
        let mut command = keyward(served.folder.path());
        command.args(["app", "list", "--admin", &served.admin]).env("KEYWARD_ADMIN_TOKEN", token);
        command.output().unwrap()
    };
    assert!(String::from_utf8_lossy(&token("a\u{1}b").stderr).contains("characters that no token has"));
}

#[test]
fn people_get_tables_and_scripts_get_everything() {
    let served = Served::start(&["--apply", "world.yaml"]);
    let text = served.ok(&["app", "show", "shop"]);
    assert!(text.contains("name: shop") && text.contains("ORIGIN") && text.contains("shop-key"), "{text}");
    assert!(!text.contains("etag") && !text.contains("credentials:"), "{text}");
    assert!(served.json(&["app", "show", "shop"])["credentials"][0]["etag"].is_string());
    let made = served.ok(&["app", "create", "till"]);
    assert!(made.lines().last().unwrap().contains("kw_secret_"), "{made}");
    let explained = served.ok(&["explain", "--api", "orders", "--consumer", "ann"]);
    assert!(
        explained.contains("grant_missing") && explained.contains("Grant the API to the caller"),
        "{explained}"
    );
}

#[test]
fn a_grant_is_given_up_by_the_account_of_its_caller() {
    let served = Served::start(&["--apply", "world.yaml"]);
    served.ok(&["account", "create", "partner"]);
    served.ok(&["consumer", "create", "bob", "--account", "partner"]);
    let given = ["grant", "create", "--to", "consumer:bob", "--to-account", "partner", "--api", "orders"];
    let grant = served.json(&given)["id"].as_str().unwrap().to_owned();
    assert!(served.fails(1, &["grant", "renounce", &grant, "--app", "shop"]).contains("there is no grant"));
    let text = served.ok(&["grant", "renounce", &grant, "--consumer", "bob", "--account", "partner"]);
    assert!(text.contains("partner/bob may no longer call orders"), "{text}");
    assert_eq!(served.json(&["grant", "show", &grant])["state"], "revoked");
}
