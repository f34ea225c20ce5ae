//! What a plugin costs a request: hands requests to a guest that does nothing, and to the sample plugin if it was built.
//!
//! `make plugins && cargo run --release -p keyward-wasm --example cost_of_a_plugin`

use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use keyward_wasm::{
    Configuration, Facts, HeaderMap, Headers, Host, Limits, LogLevel, Message, NoCallOuts, RunningPlugin,
    Start,
};

const REQUESTS: u32 = 20_000;
const NO_OP: &str = r#"(module (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_1"))
    (func (export "proxy_on_context_create") (param i32 i32))
    (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 0)))"#;
const HELLO: &str = "target/plugins/wasm32-wasip1/release/hello_keyward.wasm";

fn main() -> Result<(), Box<dyn Error>> {
    let host = Host::new()?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let mut plugins = vec![("no-op", wat::parse_str(NO_OP)?)];
    if let Ok(module) = std::fs::read(HELLO) {
        plugins.push(("hello-keyward", module));
    }
    for (name, module) in plugins {
        let limits = Limits::default();
        let began = Instant::now();
        let plugin = host.load(&module, &limits)?;
        let loaded = began.elapsed();
        let running = plugin.start(start(name, limits))?;
        let started = began.elapsed() - loaded;
        let one = runtime.block_on(cost(&running, 1));
        let many = runtime.block_on(cost(&running, 64));
        println!("{name}: loaded in {loaded:?}, started in {started:?}");
        println!("{name}: a request takes {one:.1} µs, or {many:.1} µs if there are 64 at once");
    }
    Ok(())
}

fn start(name: &str, limits: Limits) -> Start {
    let configuration = br#"{"allowed": ["red"], "token": "t0ken-of-red"}"#.to_vec();
    Start {
        account: "default".to_owned(),
        name: name.to_owned(),
        root_id: String::new(),
        vm_id: name.to_owned(),
        configuration: Configuration::new(configuration, []),
        vm_configuration: Configuration::new(Vec::new(), []),
        workers: 1,
        limits,
        rules: Arc::new(|_: HeaderMap, _: &str| true),
        call_outs: Arc::new(NoCallOuts),
        log_level: LogLevel::Info,
    }
}

/// Microseconds per request, with so many under way.
async fn cost(plugin: &RunningPlugin, at_once: u32) -> f64 {
    let began = Instant::now();
    for _ in 0..REQUESTS / at_once {
        let requests = (0..at_once).filter_map(|_| plugin.begin(Facts::default()));
        let requests = requests.map(|mut exchange| async move { exchange.request(request()).await });
        futures_util::future::join_all(requests).await;
    }
    began.elapsed().as_secs_f64() * 1e6 / f64::from(REQUESTS)
}

fn request() -> Message {
    let mut headers = Headers::new();
    for (name, value) in
        [(":method", "GET"), (":path", "/orders/1"), (":authority", "shop.example"), (":scheme", "https")]
    {
        headers.push(name, value.as_bytes());
    }
    for index in 0..10 {
        headers.push(&format!("x-header-{index}"), b"some value of common length");
    }
    headers.push("x-team", b"red");
    Message { headers, ..Message::default() }
}
