//! nginx at its best for this work: one worker, kept-alive connections on both sides, a buffered access log.

use super::{Process, Running, Setting, free_address, on_path, write};
use crate::failure::{Failure, Outcome};
use crate::subject::{Case, Subject};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Stdio;

pub(super) fn find() -> Outcome<PathBuf> {
    on_path("nginx").ok_or_else(|| Failure::new("nginx was not found: run scripts/install-peers.sh"))
}

pub(super) fn start(subject: Subject, setting: &Setting<'_>) -> Outcome<Running> {
    let address = free_address()?;
    let configuration = setting.folder.join("nginx.conf");
    let (map, guard) = match subject.case {
        Case::ApiKey => api_key_map(setting),
        _ => (String::new(), String::new()),
    };
    write(&configuration, &server(address.port(), setting, &map, &guard))?;
    let access_log = setting.folder.join("access.log");
    let folder = format!("{}/", setting.folder.display());
    let arguments =
        ["-p".into(), folder, "-e".into(), "stderr".into(), "-c".into(), configuration.display().to_string()];
    let process =
        Process::start(setting.core, &setting.programs.nginx, &arguments, &setting.folder, Stdio::null())?;
    Ok(Running { subject, address, access_log, process })
}

fn server(port: u16, setting: &Setting<'_>, map: &str, guard: &str) -> String {
    let backend = setting.backend;
    let folder = setting.folder.display();
    format!(
        "daemon off;
worker_processes 1;
worker_rlimit_nofile 8192;
error_log stderr error;
pid {folder}/nginx.pid;
events {{
    worker_connections 4096;
}}
http {{
    access_log {folder}/access.log combined buffer=64k flush=1s;
    client_body_temp_path {folder}/client_body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_timeout 1h;
    keepalive_requests 1000000000;
    tcp_nodelay on;
    server_tokens off;
    upstream backend {{
        server {backend};
        keepalive 512;
        keepalive_timeout 1h;
        keepalive_requests 1000000000;
    }}
{map}    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
{guard}            proxy_pass http://backend;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_set_header Host $host;
        }}
    }}
}}
"
    )
}

/// A map from key to caller, and what refuses where it finds nobody, strips the key and names the caller.
fn api_key_map(setting: &Setting<'_>) -> (String, String) {
    let mut map = "    map_hash_bucket_size 128;
    map_hash_max_size 65536;
    map $http_x_api_key $caller {
        default \"\";
"
    .to_owned();
    for caller in &setting.callers.granted {
        // Writing to a string cannot fail.
        let _ = writeln!(map, "        {} {};", caller.api_key, caller.name);
    }
    map.push_str("    }\n");
    let guard = "            if ($caller = \"\") { return 401; }
            proxy_set_header X-API-Key \"\";
            proxy_set_header X-Caller $caller;
";
    (map, guard.to_owned())
}
