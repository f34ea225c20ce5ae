//! A real Redis on loopback, which a test starts, stops, freezes and slows.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::gateway::until;
use crate::port::free_port;

/// A Redis of its own. It ends with this, and also when the test's process is killed.
#[derive(Debug)]
pub struct Redis {
    port: u16,
    folder: TempDir,
    child: Option<Child>,
}

impl Redis {
    /// Starts one that keeps nothing on disk.
    ///
    /// # Panics
    /// If it does not start: `scripts/setup.sh test` installs it.
    pub async fn start() -> Self {
        let mut redis =
            Self { port: free_port(), folder: tempfile::tempdir().expect("a folder"), child: None };
        redis.run().await;
        redis
    }

    /// Its address, for `serve --replay-redis`.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Starts it again at the same address, after [`Redis::kill`].
    ///
    /// # Panics
    /// If it does not start.
    pub async fn run(&mut self) {
        let port = self.port.to_string();
        // The parent's end is the child's: a test that is killed leaves nothing behind.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "redis-server", "--port", &port, "--bind", "127.0.0.1"]);
        command.args(["--save", "", "--appendonly", "no", "--daemonize", "no"]);
        command.current_dir(self.folder.path()).stdin(Stdio::null()).stdout(Stdio::null());
        self.child = Some(command.spawn().expect("redis-server; scripts/setup.sh test installs it"));
        until(|| self.command("PING").filter(|answer| answer.starts_with("+PONG"))).await.expect("a Redis");
    }

    /// Kills it. What it knew is gone.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// It takes connections, and says nothing any more.
    ///
    /// # Panics
    /// If it is not running.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// It goes on.
    ///
    /// # Panics
    /// If it is not running.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// What it answers to this command, as it stands on the wire; `None` where nothing comes.
    pub fn command(&self, command: &str) -> Option<String> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
        stream.write_all(format!("{command}\r\n").as_bytes()).ok()?;
        let mut answer = vec![0; 64 * 1024];
        let length = stream.read(&mut answer).ok().filter(|length| *length > 0)?;
        answer.truncate(length);
        String::from_utf8(answer).ok()
    }

    fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("a running Redis");
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, signal).expect("a signal");
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}
