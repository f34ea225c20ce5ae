//! Starting, watching and stopping the programs under measurement.

mod envoy;
mod keyward;
mod nginx;

use crate::callers::Callers;
use crate::failure::{Failure, OrFail as _, Outcome};
use crate::subject::{Case, Proxy, Subject};
use crate::world::NOOP_FILE;
use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{ErrorKind, Read as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long a proxy may take to accept connections, and to end.
const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// Where each program is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Programs {
    pub(crate) nginx: PathBuf,
    pub(crate) envoy: PathBuf,
    pub(crate) keyward: PathBuf,
}

impl Programs {
    /// Finds what is needed for `subjects`, and builds Keyward in the release profile unless one is given.
    pub(crate) fn find(subjects: &[Subject], peers: &Path, keyward: Option<PathBuf>) -> Outcome<Self> {
        let wants = |proxy| subjects.iter().any(|subject| subject.proxy == proxy);
        let mut programs = Self { nginx: nginx::find()?, ..Self::default() };
        if wants(Proxy::Envoy) {
            programs.envoy = envoy::find(peers)?;
        }
        if wants(Proxy::Keyward) {
            programs.keyward = keyward.map_or_else(keyward::build, keyward::find)?;
        }
        Ok(programs)
    }
}

/// What a proxy needs to know to be started.
pub(crate) struct Setting<'a> {
    pub(crate) programs: &'a Programs,
    /// A folder of its own for this process, which exists.
    pub(crate) folder: PathBuf,
    pub(crate) backend: SocketAddr,
    pub(crate) callers: &'a Callers,
    pub(crate) core: usize,
}

/// A proxy that accepts connections. Dropping it ends the process.
pub(crate) struct Running {
    pub(crate) subject: Subject,
    pub(crate) address: SocketAddr,
    access_log: PathBuf,
    process: Process,
}

impl Running {
    /// Starts the program of `subject` on its core and waits until it accepts connections.
    pub(crate) fn start(subject: Subject, setting: &Setting<'_>) -> Outcome<Self> {
        let started = match subject.proxy {
            Proxy::Nginx => nginx::start(subject, setting),
            Proxy::Envoy => envoy::start(subject, setting),
            Proxy::Keyward => keyward::start(subject, setting),
        };
        let mut running = started.or_fail(|| format!("starting {}", subject.label()))?;
        running.wait_until_it_accepts()?;
        Ok(running)
    }

    /// The first process of the proxy's tree.
    pub(crate) fn pid(&self) -> u32 {
        self.process.child.id()
    }

    /// Ends the proxy as an operator would, and tells how many lines its access log then holds.
    pub(crate) fn stop(mut self) -> Outcome<u64> {
        self.process.stop()?;
        count_lines(&self.access_log)
    }

    fn wait_until_it_accepts(&mut self) -> Outcome<()> {
        let (deadline, label) = (Instant::now() + START_LIMIT, self.subject.label());
        while TcpStream::connect(self.address).is_err() {
            if let Some(status) = self.process.ended()? {
                let last_words = self.process.last_words();
                return Err(Failure::new(format!("{label} ended at its start ({status}): {last_words}")));
            }
            if Instant::now() > deadline {
                return Err(Failure::new(format!(
                    "{label} accepts no connection: its files are in the work folder"
                )));
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

/// A child process bound to a core, which ends when the benchmark ends, however that comes about.
struct Process {
    child: Child,
    errors: PathBuf,
}

impl Process {
    /// Starts `program` through `setpriv` and `taskset`, which both become the program: the process id is its own.
    fn start<I, S>(core: usize, program: &Path, arguments: I, folder: &Path, output: Stdio) -> Outcome<Self>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let errors = folder.join("stderr.log");
        let file = File::create(&errors).or_fail(|| format!("creating `{}`", errors.display()))?;
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "taskset", "--cpu-list", &core.to_string()])
            .arg(program)
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(file)
            .spawn()
            .or_fail(|| "starting a process through `setpriv` and `taskset` (package util-linux)".into())?;
        Ok(Self { child, errors })
    }

    fn ended(&mut self) -> Outcome<Option<std::process::ExitStatus>> {
        self.child.try_wait().or_fail(|| "asking for a process's end".into())
    }

    /// The end of what the process wrote to standard error.
    fn last_words(&self) -> String {
        let text = fs::read_to_string(&self.errors).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join(" / ")
    }

    /// Sends SIGTERM and waits for a clean end.
    fn stop(&mut self) -> Outcome<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| Failure::new("a process has no usable id"))?;
        kill_process(pid, Signal::TERM).or_fail(|| "ending a proxy".into())?;
        let deadline = Instant::now() + STOP_LIMIT;
        while Instant::now() < deadline {
            match self.ended()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => {
                    return Err(Failure::new(format!(
                        "a proxy did not end cleanly ({status}): {}",
                        self.last_words()
                    )));
                }
                None => thread::sleep(Duration::from_millis(10)),
            }
        }
        Err(Failure::new("a proxy did not end after SIGTERM"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // After a clean stop there is nothing left to do. Otherwise the benchmark is failing already, so nobody is
        // told; but SIGTERM comes first, because only then does nginx take its worker along.
        if !matches!(self.ended(), Ok(Some(_))) && self.stop().is_err() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// A port that is free now, for programs that cannot tell which one they were given.
fn free_address() -> Outcome<SocketAddr> {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).or_fail(|| "looking for a free port".into())?;
    listener.local_addr().or_fail(|| "looking for a free port".into())
}

fn write(path: &Path, text: &str) -> Outcome<()> {
    fs::write(path, text).or_fail(|| format!("writing `{}`", path.display()))
}

/// Puts the plugin that does nothing beside the configuration, for those who run it.
fn write_noop(subject: Subject, setting: &Setting<'_>) -> Outcome<()> {
    if subject.case != Case::WasmNoop {
        return Ok(());
    }
    let code = wat::parse_str(include_str!("noop.wat")).or_fail(|| "reading noop.wat".into())?;
    let path = setting.folder.join(NOOP_FILE);
    fs::write(&path, code).or_fail(|| format!("writing `{}`", path.display()))
}

/// Finds a program by the search path and the folders where distributions put servers.
fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

fn count_lines(path: &Path) -> Outcome<u64> {
    let reading = || format!("reading the access log `{}`", path.display());
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error).or_fail(reading),
    };
    let (mut buffer, mut lines) = (vec![0u8; 1 << 20], 0);
    loop {
        let count = file.read(&mut buffer).or_fail(reading)?;
        if count == 0 {
            return Ok(lines);
        }
        lines += memchr::memchr_iter(b'\n', buffer.get(..count).unwrap_or_default()).count() as u64;
    }
}
