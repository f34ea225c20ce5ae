//! A real OpenBao on loopback, with a store of its own on disk: a test starts it, kills it, and starts it again.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use keyward_control::{VaultLogin, VaultOptions};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::gateway::until_async;
use crate::port::free_port;

/// Where `scripts/setup.sh test` puts it.
const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/openbao/bin/bao");

/// An OpenBao of its own. It ends with this, and also when the test's process is killed.
#[derive(Debug)]
pub struct OpenBao {
    port: u16,
    folder: TempDir,
    child: Option<Child>,
    root: String,
    unseal: String,
}

impl OpenBao {
    /// Starts one with a key-value store (version 2) at `secret`.
    ///
    /// # Panics
    /// If it does not start: `scripts/setup.sh test` installs it.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut bao =
            Self { port: free_port(), folder, child: None, root: String::new(), unseal: String::new() };
        let (port, among, data) = (bao.port, free_port(), bao.folder.path().join("data"));
        std::fs::create_dir(&data).expect("a folder");
        let config = format!(
            "storage \"raft\" {{ path = \"{}\"\n node_id = \"one\"\n performance_multiplier = 1 }}\n\
             listener \"tcp\" {{ address = \"127.0.0.1:{port}\"\n cluster_address = \"127.0.0.1:{among}\"\n tls_disable = true }}\n\
             api_addr = \"http://127.0.0.1:{port}\"\ncluster_addr = \"https://127.0.0.1:{among}\"\n",
            data.display()
        );
        std::fs::write(bao.folder.path().join("bao.hcl"), config).expect("a configuration");
        bao.spawn();
        let asked = json!({"secret_shares": 1, "secret_threshold": 1});
        let keys = until_async(async || {
            let (status, keys) = bao.call(Method::PUT, "sys/init", Some(asked.clone())).await?;
            (status == 200).then_some(keys)
        });
        let keys = keys.await.expect("an OpenBao");
        bao.root = keys["root_token"].as_str().expect("a root token").to_owned();
        bao.unseal = keys["keys"][0].as_str().expect("a key").to_owned();
        bao.open().await;
        let store = json!({"type": "kv", "options": {"version": "2"}});
        bao.does(Method::POST, "sys/mounts/secret", store).await;
        bao.does(Method::POST, "sys/auth/approle", json!({"type": "approle"})).await;
        let policy = json!({"policy": "path \"secret/data/*\" { capabilities = [\"read\"] }"});
        bao.does(Method::POST, "sys/policies/acl/reader", policy).await;
        bao
    }

    fn spawn(&mut self) {
        let config = self.folder.path().join("bao.hcl");
        let log = std::fs::File::create(self.folder.path().join("bao.log")).expect("a log");
        // The parent's end is the child's: a test that is killed leaves nothing behind.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", PROGRAM, "server"]).arg("-config").arg(config);
        command.env_remove("BAO_ADDR").stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.child = Some(command.spawn().expect("OpenBao; scripts/setup.sh test installs it"));
    }

    /// Starts it again at the same address, with what it had, after [`OpenBao::kill`].
    ///
    /// # Panics
    /// If it does not start.
    pub async fn run(&mut self) {
        self.spawn();
        self.open().await;
    }

    /// Kills it in the middle of whatever it does.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    async fn open(&self) {
        let key = json!({"key": self.unseal});
        let opened = until_async(async || {
            let (status, answer) = self.call(Method::PUT, "sys/unseal", Some(key.clone())).await?;
            (status == 200 && answer["sealed"] == false).then_some(())
        });
        opened.await.expect("an open OpenBao");
        // It is the active one a moment later than it is open.
        let ready = until_async(async || {
            let (status, _) = self.call(Method::GET, "sys/health", None).await?;
            (status == 200).then_some(())
        });
        ready.await.expect("an OpenBao that answers");
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Writes fields at a path of `secret`, as a new version.
    ///
    /// # Panics
    /// If they cannot be written.
    pub async fn put(&self, path: &str, fields: Value) {
        self.does(Method::POST, &format!("secret/data/{path}"), json!({"data": fields})).await;
    }

    /// Deletes the newest version at a path.
    ///
    /// # Panics
    /// If it cannot be deleted.
    pub async fn delete(&self, path: &str) {
        let deleted = self.call(Method::DELETE, &format!("secret/data/{path}"), None).await;
        assert_eq!(deleted.map(|(status, _)| status), Some(204));
    }

    /// A file with the root token.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn token_file(&self) -> PathBuf {
        self.file("token", &self.root)
    }

    /// A file beside its own.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn file(&self, name: &str, content: &str) -> PathBuf {
        let file = self.folder.path().join(name);
        std::fs::write(&file, content).expect("a file");
        file
    }

    /// An AppRole that may read `secret`, with tokens that hold for so long.
    ///
    /// # Panics
    /// If it cannot be made.
    pub async fn app_role(&self, ttl: &str, ttl_max: &str) -> VaultLogin {
        let role = json!({"token_policies": ["reader"], "token_ttl": ttl, "token_max_ttl": ttl_max});
        self.does(Method::POST, "auth/approle/role/keyward", role).await;
        let id = self.call(Method::GET, "auth/approle/role/keyward/role-id", None).await.expect("a role").1;
        let secret = self.does(Method::POST, "auth/approle/role/keyward/secret-id", json!({})).await;
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let file = self.file("secret-id", &text(&secret["data"]["secret_id"]));
        VaultLogin::AppRole { role_id: text(&id["data"]["role_id"]), secret_id_file: file }
    }

    /// Revokes every token that AppRoles were given.
    ///
    /// # Panics
    /// If they cannot be.
    pub async fn revoke_app_role_tokens(&self) {
        self.does(Method::PUT, "sys/leases/revoke-prefix/auth/approle", json!({})).await;
    }

    /// How a node uses it, reading each value every `refresh`.
    ///
    /// # Panics
    /// If its address is not one.
    pub fn options(&self, login: VaultLogin, refresh: Duration, keep: Duration) -> VaultOptions {
        let address = self.url().parse().expect("an address");
        VaultOptions { address, login, namespace: None, ca_file: None, refresh, keep }
    }

    async fn does(&self, method: Method, path: &str, body: Value) -> Value {
        let (status, answer) = self.call(method, path, Some(body)).await.expect("an answer");
        assert!((200..300).contains(&status), "{path}: {status} {answer}");
        answer
    }

    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Option<(u16, Value)> {
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build().ok()?;
        let mut asked = client.request(method, format!("{}/v1/{path}", self.url()));
        if !self.root.is_empty() {
            asked = asked.header("X-Vault-Token", &self.root);
        }
        if let Some(body) = body {
            asked = asked.json(&body);
        }
        let answer = asked.send().await.ok()?;
        let status = answer.status().as_u16();
        Some((status, answer.json().await.unwrap_or_default()))
    }
}

impl Drop for OpenBao {
    fn drop(&mut self) {
        self.kill();
    }
}
