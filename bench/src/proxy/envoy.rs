//! Envoy with `api_key_auth`, one worker, and the work that this comparison does not ask for switched off.

use super::{Process, Running, Setting, free_address, write, write_noop};
use crate::failure::{Failure, Outcome};
use crate::subject::{Case, Subject};
use crate::world::NOOP_FILE;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// Connections and requests that Envoy may have open to the backend: its defaults of 1,024 are near to the load's.
const OPEN_MAX: u32 = 8192;

pub(super) fn find(peers: &Path) -> Outcome<PathBuf> {
    let program = peers.join("envoy");
    program.is_file().then_some(()).ok_or_else(|| {
        Failure::new(format!(
            "envoy was not found at `{}`: run scripts/install-peers.sh, or leave it out with --proxies nginx,keyward",
            program.display()
        ))
    })?;
    std::path::absolute(&program).map_err(|error| Failure::new(format!("finding envoy: {error}")))
}

pub(super) fn start(subject: Subject, setting: &Setting<'_>) -> Outcome<Running> {
    let address = free_address()?;
    let access_log = setting.folder.join("access.log");
    let configuration = setting.folder.join("envoy.json");
    write_noop(subject, setting)?;
    write(&configuration, &bootstrap(subject, address, setting, &access_log).to_string())?;
    let path = configuration.display().to_string();
    let arguments = [
        "--config-path",
        &path,
        "--concurrency",
        "1",
        "--log-level",
        "error",
        "--disable-hot-restart",
        "--file-flush-interval-msec",
        "1000",
    ];
    let process =
        Process::start(setting.core, &setting.programs.envoy, arguments, &setting.folder, Stdio::null())?;
    Ok(Running { subject, address, access_log, process })
}

fn bootstrap(subject: Subject, address: SocketAddr, setting: &Setting<'_>, access_log: &Path) -> Value {
    json!({
        "static_resources": {
            "listeners": [{
                "name": "bench",
                "address": socket(address),
                "filter_chains": [{"filters": [{
                    "name": "envoy.filters.network.http_connection_manager",
                    "typed_config": connection_manager(subject, setting, access_log),
                }]}],
            }],
            "clusters": [{
                "name": "backend",
                "type": "STATIC",
                "connect_timeout": "1s",
                "circuit_breakers": {"thresholds": [{
                    "max_connections": OPEN_MAX,
                    "max_pending_requests": OPEN_MAX,
                    "max_requests": OPEN_MAX,
                }]},
                "load_assignment": {
                    "cluster_name": "backend",
                    "endpoints": [{"lb_endpoints": [{"endpoint": {"address": socket(setting.backend)}}]}],
                },
            }],
        },
    })
}

fn connection_manager(subject: Subject, setting: &Setting<'_>, access_log: &Path) -> Value {
    let filter = match subject.case {
        Case::WasmNoop => wasm_filter(setting),
        _ => api_key_filter(setting),
    };
    json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "bench",
        "codec_type": "HTTP1",
        // A random id per request is work that nginx does not do here.
        "generate_request_id": false,
        "access_log": [{
            "name": "envoy.access_loggers.file",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
                "path": access_log,
            },
        }],
        "route_config": {
            "name": "bench",
            "virtual_hosts": [{
                "name": "bench",
                "domains": ["*"],
                "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "backend"}}],
            }],
        },
        "http_filters": [filter, {
            "name": "envoy.filters.http.router",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
                "dynamic_stats": false,
                "suppress_envoy_headers": true,
            },
        }],
    })
}

/// Knows the same keys as the other gateways, strips the key and names the caller to the backend.
fn api_key_filter(setting: &Setting<'_>) -> Value {
    let credentials: Vec<Value> = setting
        .callers
        .granted
        .iter()
        .map(|caller| json!({"key": caller.api_key, "client": caller.name}))
        .collect();
    json!({
        "name": "envoy.filters.http.api_key_auth",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.api_key_auth.v3.ApiKeyAuth",
            "credentials": credentials,
            "key_sources": [{"header": "x-api-key"}],
            "forwarding": {"header": "x-caller", "hide_credentials": true},
        },
    })
}

/// Runs the plugin that does nothing, the same bytes as in Keyward.
fn wasm_filter(setting: &Setting<'_>) -> Value {
    json!({
        "name": "envoy.filters.http.wasm",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
            "config": {
                "name": "noop",
                "root_id": "noop",
                "vm_config": {
                    "vm_id": "noop",
                    "runtime": "envoy.wasm.runtime.v8",
                    "code": {"local": {"filename": setting.folder.join(NOOP_FILE)}},
                },
            },
        },
    })
}

fn socket(address: SocketAddr) -> Value {
    json!({"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}})
}
