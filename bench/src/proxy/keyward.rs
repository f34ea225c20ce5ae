//! Keyward as its users start it: a release build, one worker, a world file, the access log on.

use super::{Process, Running, START_LIMIT, Setting, write, write_noop};
use crate::failure::{Failure, OrFail as _, Outcome};
use crate::subject::Subject;
use crate::world;
use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::thread;

/// Takes the binary that was named on the command line; processes start in folders of their own.
pub(super) fn find(program: PathBuf) -> Outcome<PathBuf> {
    if !program.is_file() {
        return Err(Failure::new(format!("`{}` is no file: name a keyward binary", program.display())));
    }
    std::path::absolute(program).or_fail(|| "finding keyward".into())
}

/// Builds the release binary and tells where cargo put it, whatever target folder is in use.
pub(super) fn build() -> Outcome<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--locked", "--release", "--package", "keyward", "--bin", "keyward"])
        .arg("--message-format=json-render-diagnostics")
        .stderr(Stdio::inherit())
        .output()
        .or_fail(|| "starting cargo".into())?;
    if !output.status.success() {
        return Err(Failure::new("keyward could not be built: see the messages above"));
    }
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message.pointer("/target/name").and_then(Value::as_str) == Some("keyward"))
        .find_map(|message| message.get("executable")?.as_str().map(PathBuf::from))
        .ok_or_else(|| Failure::new("cargo named no `keyward` executable"))
}

pub(super) fn start(subject: Subject, setting: &Setting<'_>) -> Outcome<Running> {
    let world = setting.folder.join("world.yaml");
    write(&world, &world::of(subject.case, setting.callers, setting.backend))?;
    write_noop(subject, setting)?;
    let access_log = setting.folder.join("access.log");
    let path = |path: &PathBuf| path.display().to_string();
    let arguments = [
        "serve".to_owned(),
        "--data".to_owned(),
        path(&setting.folder.join("data")),
        "--listen".to_owned(),
        "127.0.0.1:0".to_owned(),
        "--admin".to_owned(),
        "127.0.0.1:0".to_owned(),
        "--workers".to_owned(),
        "1".to_owned(),
        "--apply".to_owned(),
        path(&world),
        "--access-log".to_owned(),
        path(&access_log),
    ];
    let program = &setting.programs.keyward;
    let mut process = Process::start(setting.core, program, &arguments, &setting.folder, Stdio::piped())?;
    let output = process.child.stdout.take().ok_or_else(|| Failure::new("keyward has no standard output"))?;
    match gateway_address(output) {
        Ok(address) => Ok(Running { subject, address, access_log, process }),
        Err(failure) => Err(Failure::new(format!("{failure}: {}", process.last_words()))),
    }
}

/// Waits for the ready line and takes the gateway's address from it.
fn gateway_address(output: ChildStdout) -> Outcome<SocketAddr> {
    let (sender, receiver) = mpsc::channel();
    // A read from a pipe knows no deadline; the thread ends with the line or with the process.
    thread::spawn(move || {
        let mut line = String::new();
        let read = BufReader::new(output).read_line(&mut line).map(|_| line);
        let _ = sender.send(read);
    });
    let line = receiver
        .recv_timeout(START_LIMIT)
        .map_err(|_| Failure::new("keyward printed no ready line in time"))?
        .or_fail(|| "reading keyward's ready line".into())?;
    parse_ready(&line)
        .ok_or_else(|| Failure::new(format!("keyward did not get ready, it printed `{}`", line.trim())))
}

fn parse_ready(line: &str) -> Option<SocketAddr> {
    let mut words = line.split_ascii_whitespace();
    if words.next() != Some("ready") {
        return None;
    }
    words.find_map(|word| word.strip_prefix("gateway=http://"))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_line_names_the_gateway() {
        let line = "ready gateway=http://127.0.0.1:4711 admin=http://127.0.0.1:4712\n";
        assert_eq!(parse_ready(line), Some("127.0.0.1:4711".parse().unwrap()));
        for other in ["", "ready admin=http://127.0.0.1:1", "steady gateway=http://127.0.0.1:1"] {
            assert_eq!(parse_ready(other), None, "{other}");
        }
    }
}
