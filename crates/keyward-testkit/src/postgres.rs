//! A real PostgreSQL for tests: Debian's binaries, a folder of its own, a free port on loopback.
//!
//! It ends with the test process, however that ends: a shell that waits for the process' pipe to close sees to it.

use std::fs;
use std::io;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::{Pid, Signal, kill_process};

use crate::port::free_port;

/// Who runs the server where the tests run as root, which it refuses: `nobody`.
const NOBODY: u32 = 65_534;

/// How often a free port may turn out to be taken after all.
const PORTS: usize = 8;

/// Ends the server whose folder is `$1`, and removes the folder, once nobody holds the other end of its input any more.
const WATCH: &str = r#"
cat >/dev/null
pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null)
if [ -n "$pid" ] && [ "$(readlink "/proc/$pid/cwd")" = "$1/data" ]; then
  kill -QUIT "$pid"
  while [ -d "/proc/$pid" ]; do sleep 0.05; done
fi
rm -rf -- "$1"
"#;

/// A server.
#[derive(Debug)]
pub struct Postgres {
    folder: PathBuf,
    port: u16,
    options: &'static str,
    names: AtomicU32,
    /// Its input closes with this process.
    watch: Child,
}

/// A database of its own on a server.
#[derive(Debug)]
pub struct Database<'p> {
    server: &'p Postgres,
    name: String,
}

impl Postgres {
    /// The one server that the tests of this binary share. It ends with the process.
    ///
    /// # Panics
    /// If there is no PostgreSQL on this machine (`scripts/setup.sh test` installs it), or it does not start.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        // Only a failure of power needs what is synchronous to be so; here it would make every new database take a second.
        SHARED.get_or_init(|| Self::start_with("-c fsync=off"))
    }

    /// A server for tests that kill it.
    ///
    /// # Panics
    /// As [`Postgres::shared`].
    pub fn start() -> Self {
        Self::start_with("")
    }

    fn start_with(options: &'static str) -> Self {
        let folder = tempfile::Builder::new().prefix("keyward-pg-").tempdir().expect("a folder").keep();
        if is_root() {
            chown(&folder, Some(NOBODY), Some(NOBODY)).expect("the folder is given to nobody");
        }
        let watch = Command::new("sh")
            .args(["-c", WATCH, "sh"])
            .arg(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Not ended by Ctrl-C together with the tests, whose end it waits for.
            .process_group(0)
            .spawn()
            .expect("a shell");
        let mut init = tool("initdb");
        init.args(["--no-sync", "--auth=trust", "--username=keyward", "--encoding=UTF8", "--locale=C.UTF-8"]);
        succeed(init.arg("--pgdata").arg(folder.join("data")));
        let mut server = Self { folder, port: 0, options, names: AtomicU32::new(0), watch };
        let started = (0..PORTS).any(|_| {
            server.port = free_port();
            server.launch().is_ok()
        });
        assert!(started, "PostgreSQL does not start:\n{}", server.log());
        server
    }

    /// A new, empty database.
    ///
    /// # Panics
    /// If the server does not answer.
    pub fn database(&self) -> Database<'_> {
        let name = format!("keyward_{}", self.names.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name} TEMPLATE template0"));
        Database { server: self, name }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Kills it as a power failure would: no process of it lives on, and nothing was said to anybody.
    ///
    /// # Panics
    /// If it does not run.
    pub fn kill(&self) {
        let pid = self.pid().expect("a running server");
        // Its children first, for they might end an answer that they are at.
        for child in children_of(pid) {
            let _ = Pid::from_raw(child).map(|child| kill_process(child, Signal::KILL));
        }
        kill_process(Pid::from_raw(pid).expect("a process id"), Signal::KILL).expect("it is killed");
        while Path::new(&format!("/proc/{pid}/cwd")).exists() {
            std::thread::yield_now();
        }
    }

    /// Ends it in order; connections are cut.
    ///
    /// # Panics
    /// If it does not end.
    pub fn stop(&self) {
        succeed(tool("pg_ctl").args(["stop", "--wait", "--mode=fast", "--pgdata"]).arg(self.data()));
    }

    /// Starts it again on the same port, after [`Postgres::kill`] or [`Postgres::stop`].
    ///
    /// # Panics
    /// If it does not start.
    pub fn start_again(&self) {
        // What is left of a killed server may still hold its memory for a moment.
        let started = (0..100).any(|_| self.launch().is_ok());
        assert!(started, "PostgreSQL does not start again:\n{}", self.log());
    }

    fn launch(&self) -> io::Result<()> {
        let options = format!(
            "-c listen_addresses=127.0.0.1 -c port={} -c unix_socket_directories='' -c max_connections=300 \
             -c shared_buffers=32MB -c autovacuum=off {}",
            self.port, self.options
        );
        let mut start = tool("pg_ctl");
        start.args(["start", "--wait", "--timeout=60", "--options", &options, "--log"]);
        let output = start.arg(self.log_file()).arg("--pgdata").arg(self.data()).output()?;
        if output.status.success() { Ok(()) } else { Err(io::Error::other("pg_ctl failed")) }
    }

    fn pid(&self) -> Option<i32> {
        fs::read_to_string(self.data().join("postmaster.pid")).ok()?.lines().next()?.trim().parse().ok()
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn log_file(&self) -> PathBuf {
        self.folder.join("log")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// Runs statements on this database, and gives the rows without decoration.
    fn sql(&self, database: &str, sql: &str) -> String {
        let mut psql = tool("psql");
        psql.args([
            "-X",
            "-q",
            "-A",
            "-t",
            "-v",
            "ON_ERROR_STOP=1",
            "-h",
            "127.0.0.1",
            "-U",
            "keyward",
            "-p",
        ]);
        let output = succeed(psql.arg(self.port.to_string()).args(["-d", database, "-c", sql]));
        String::from_utf8(output.stdout).expect("text").trim_end().to_owned()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Closing the watch's input ends the server; its folder is gone when the watch is.
        drop(self.watch.stdin.take());
        let _ = self.watch.wait();
    }
}

impl Database<'_> {
    /// Its address, as `--store` takes it.
    pub fn url(&self) -> String {
        self.url_at(self.server.port)
    }

    /// Its address through another port, where something stands between.
    pub fn url_at(&self, port: u16) -> String {
        format!("postgres://keyward@127.0.0.1:{port}/{}", self.name)
    }

    /// Its name on the server.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs statements on it behind Keyward's back; rows come without decoration, columns parted by `|`.
    ///
    /// # Panics
    /// If they fail.
    pub fn sql(&self, sql: &str) -> String {
        self.server.sql(&self.name, sql)
    }

    /// Everything that is in it, as text, which is the same as long as nothing changes.
    ///
    /// # Panics
    /// If it cannot be read.
    pub fn dump(&self) -> String {
        let mut dump = tool("pg_dump");
        dump.args(["--inserts", "-h", "127.0.0.1", "-U", "keyward", "-p"]);
        let output = succeed(dump.arg(self.server.port.to_string()).args(["-d", &self.name]));
        let text = String::from_utf8(output.stdout).expect("text");
        // Newer versions write a random word against statements in the data.
        text.lines().filter(|line| !line.contains("restrict ")).collect::<Vec<_>>().join("\n")
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A program of PostgreSQL, of the newest version there is, run by somebody whom the server accepts.
fn tool(name: &str) -> Command {
    let program = binaries().join(name);
    let mut command = if is_root() {
        let mut command = Command::new("setpriv");
        command.args([&format!("--reuid={NOBODY}"), &format!("--regid={NOBODY}"), "--clear-groups", "--"]);
        command.arg(program);
        command
    } else {
        Command::new(program)
    };
    command.env("HOME", "/nonexistent").env("LC_ALL", "C.UTF-8").current_dir("/").stdin(Stdio::null());
    command
}

fn binaries() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| {
        let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let version = |path: &PathBuf| -> u32 {
            path.file_name().and_then(|name| name.to_str()?.parse().ok()).unwrap_or(0)
        };
        let newest = versions.map(|entry| entry.path()).max_by_key(version);
        let folder = newest.expect("no PostgreSQL in /usr/lib/postgresql: run scripts/setup.sh test");
        folder.join("bin")
    })
}

/// Runs it to its end.
fn succeed(command: &mut Command) -> Output {
    // The server that `pg_ctl` leaves behind must not hold a pipe of ours.
    let output = command.output().expect("it runs");
    let text = || String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {}", text());
    output
}

fn children_of(parent: i32) -> Vec<i32> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let is_child = |id: &i32| {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        // `pid (name) state parent …`; the name may have anything in it.
        let after = stat.rsplit(") ").next().unwrap_or_default();
        after.split(' ').nth(1).and_then(|text| text.parse().ok()) == Some(parent)
    };
    ids.filter(is_child).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_server_is_killed_started_again_and_keeps_what_was_committed() {
        let server = Postgres::start();
        let database = server.database();
        database.sql("CREATE TABLE t (x int); INSERT INTO t VALUES (7)");
        server.kill();
        server.start_again();
        assert_eq!(database.sql("SELECT x FROM t"), "7");
        let folder = server.folder.clone();
        assert_eq!(fs::metadata(folder.join("data")).unwrap().permissions().mode() & 0o777, 0o700);
        drop(server);
        assert!(!folder.exists(), "nothing is left behind");
    }
}
