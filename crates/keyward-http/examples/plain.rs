//! Forwards everything to one endpoint: what carrying alone costs.
//!
//! ```text
//! cargo run --release -p keyward-http --example plain -- 127.0.0.1:8080 http://127.0.0.1:9000 1
//! ```

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use keyward_http::{
    BodyVerdict, Dropped, Endpoint, Forward, Handler, Head, Outcome, Peer, Refused, Reply, Response,
    ResponseHead, Server, ServerConfig, Step, Timeouts, UpstreamFailure,
};

struct Plain {
    endpoint: Arc<Endpoint>,
}

const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(5),
    first_byte: Duration::from_secs(60),
    idle: Duration::from_secs(60),
};

impl Handler for Plain {
    type Exchange = ();

    fn head(&self, head: &Head<'_>, _peer: &Peer, out: &mut Vec<u8>) -> ((), Step) {
        for part in [head.method, " ", self.endpoint.base_path(), head.path] {
            out.extend_from_slice(part.as_bytes());
        }
        if let Some(query) = head.query {
            out.push(b'?');
            out.extend_from_slice(query.as_bytes());
        }
        out.extend_from_slice(b" HTTP/1.1\r\n");
        let dropped = Dropped::of(head.fields);
        for field in head.fields.iter().filter(|field| !dropped.drops(field.name)) {
            out.extend_from_slice(field.name.as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(field.value);
            out.extend_from_slice(b"\r\n");
        }
        let forward = Forward {
            endpoint: Arc::clone(&self.endpoint),
            body: None,
            timeouts: TIMEOUTS,
            watch_body: false,
            idempotent: matches!(head.method, "GET" | "HEAD" | "PUT" | "DELETE" | "OPTIONS"),
        };
        ((), Step::Forward(forward))
    }

    fn body(&self, _: &mut (), _: &Head<'_>, _: &Peer, _: &[u8], _: &mut Vec<u8>) -> Step {
        Step::Respond(Response { status: 500, ..Response::default() })
    }

    fn request_chunk(&self, _: &mut (), _chunk: &[u8]) {}

    fn request_end(&self, _: &mut ()) -> BodyVerdict {
        BodyVerdict::Release
    }

    fn response_head(&self, _: &mut (), head: &ResponseHead<'_>, out: &mut Vec<u8>) -> Reply {
        let dropped = Dropped::of(head.fields);
        for field in head.fields.iter().filter(|field| !dropped.drops(field.name)) {
            out.extend_from_slice(field.name.as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(field.value);
            out.extend_from_slice(b"\r\n");
        }
        Reply::Pass
    }

    fn failed(&self, _: &mut (), failure: UpstreamFailure) -> Response {
        let status = if failure == UpstreamFailure::Late { 504 } else { 502 };
        Response { status, ..Response::default() }
    }

    fn refused(&self, _: Option<&mut ()>, refused: Refused, _peer: &Peer) -> Response {
        Response { status: refused.status(), ..Response::default() }
    }

    fn finished(&self, _: (), _outcome: &Outcome) {}
}

#[expect(clippy::print_stdout, reason = "an example says where it listens")]
fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [listen, endpoint, workers] = arguments.as_slice() else {
        return Err("usage: plain <listen address> <http://endpoint> <workers>".into());
    };
    let endpoint = Arc::new(Endpoint::parse(endpoint)?);
    let config =
        ServerConfig { listen: vec![listen.parse()?], workers: workers.parse()?, ..ServerConfig::default() };
    let server = Server::start(config, move |_| Plain { endpoint: Arc::clone(&endpoint) })?;
    println!("{}", server.local_addrs().first().map(ToString::to_string).unwrap_or_default());
    loop {
        std::thread::park();
        let _ = server.counters();
    }
}
