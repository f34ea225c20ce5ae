//! A guest that does one thing of the SDK per path, and tells in headers what came of it.

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel, MetricType, Status};

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Trace);
    proxy_wasm::set_root_context(|_| Box::new(Root::default()));
}}

#[derive(Default)]
struct Root {
    ticks: u32,
    heard: u32,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_vm_start(&mut self, size: usize) -> bool {
        self.get_vm_configuration().is_some_and(|bytes| bytes.len() == size && bytes == b"vm")
    }

    fn on_configure(&mut self, _size: usize) -> bool {
        self.ticks = hostcalls::define_metric(MetricType::Counter, "ticks").unwrap();
        self.heard = hostcalls::define_metric(MetricType::Gauge, "heard").unwrap();
        self.register_shared_queue("jobs");
        self.set_tick_period(Duration::from_millis(10));
        true
    }

    fn on_tick(&mut self) {
        hostcalls::increment_metric(self.ticks, 1).unwrap();
        self.set_tick_period(Duration::ZERO);
    }

    fn on_queue_ready(&mut self, queue: u32) {
        while let Some(item) = self.dequeue_shared_queue(queue).unwrap() {
            hostcalls::increment_metric(self.heard, item.len() as i64).unwrap();
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Tour { path: String::new() }))
    }
}

struct Tour {
    path: String,
}

impl Tour {
    fn tell(&self, value: &str) -> Action {
        self.set_http_request_header("x-told", Some(value));
        Action::Continue
    }

    fn text(&self, path: Vec<&str>) -> String {
        self.get_property(path).map_or("none".to_owned(), |bytes| String::from_utf8(bytes).unwrap())
    }

    fn headers(&self) -> Action {
        let mut headers = self.get_http_request_headers();
        headers.push(("x-more".to_owned(), "1".to_owned()));
        self.set_http_request_headers(
            headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect(),
        );
        self.add_http_request_header("x-more", "2");
        self.remove_http_request_header("x-gone");
        self.tell(&self.get_http_request_header("X-Gone").unwrap_or("gone".to_owned()))
    }

    fn shared(&self) -> Action {
        let (before, _) = self.get_shared_data("n");
        self.set_shared_data("n", Some(b"1"), None).unwrap();
        let (value, cas) = self.get_shared_data("n");
        self.set_shared_data("n", Some(b"2"), cas).unwrap();
        let stale = self.set_shared_data("n", Some(b"3"), cas) == Err(Status::CasMismatch);
        self.remove_shared_data("n", None).unwrap();
        let after = self.get_shared_data("n").0;
        self.tell(&format!(
            "{} {} {stale} {}",
            before.is_none(),
            value == Some(b"1".to_vec()),
            after.is_none()
        ))
    }

    fn clocks(&self) -> Action {
        let (began, wall) = (Instant::now(), SystemTime::now().duration_since(UNIX_EPOCH).unwrap());
        let told = self.get_current_time().duration_since(UNIX_EPOCH).unwrap();
        let random: HashMap<u8, u8> = HashMap::from([(1, 2)]);
        let sane = told >= wall && told < wall + Duration::from_secs(3600) && Instant::now() >= began;
        self.tell(&format!("{sane} {}", random[&1]))
    }
}

impl Context for Tour {
    fn on_http_call_response(&mut self, _call: u32, headers: usize, size: usize, trailers: usize) {
        let status = self.get_http_call_response_header(":status").unwrap_or_default();
        let body = self.get_http_call_response_body(0, size).unwrap_or_default();
        let trailer = self.get_http_call_response_trailer("x-sum").unwrap_or_default();
        self.tell(&format!("{headers} {status} {} {trailers} {trailer}", String::from_utf8(body).unwrap()));
        self.resume_http_request();
    }
}

impl HttpContext for Tour {
    fn on_http_request_headers(&mut self, _count: usize, _end: bool) -> Action {
        self.path = self.get_http_request_header(":path").unwrap();
        match self.path.as_str() {
            "/headers" => self.headers(),
            "/shared" => self.shared(),
            "/clocks" => self.clocks(),
            "/call" => {
                let head = vec![(":method", "GET"), (":path", "/"), (":authority", "a")];
                let refused =
                    self.dispatch_http_call("unknown", head.clone(), None, vec![], Duration::from_secs(9));
                assert_eq!(refused, Err(Status::BadArgument));
                self.dispatch_http_call(
                    "declared",
                    head,
                    Some(b"?"),
                    vec![("x-t", "1")],
                    Duration::from_secs(9),
                )
                .unwrap();
                Action::Pause
            }
            "/queue" => {
                let queue = self.resolve_shared_queue(&self.text(vec!["plugin_vm_id"]), "jobs").unwrap();
                self.enqueue_shared_queue(queue, Some(b"seven")).unwrap();
                self.enqueue_shared_queue(queue, Some(b"!!")).unwrap();
                self.tell(if self.resolve_shared_queue("other", "jobs").is_none() {
                    "sent"
                } else {
                    "leaked"
                })
            }
            "/properties" => {
                self.set_property(vec!["mine"], Some(b"kept"));
                let told = [
                    vec!["request", "path"],
                    vec!["keyward", "caller", "id"],
                    vec!["keyward", "grant"],
                    vec!["mine"],
                ];
                self.tell(&told.map(|path| self.text(path)).join(" "))
            }
            "/output" => {
                println!("to output");
                eprintln!("to error {}", 2);
                log::debug!("to the log");
                Action::Continue
            }
            "/reset" => {
                self.reset_http_request();
                Action::Pause
            }
            "/body-decides" => Action::Pause,
            _ => Action::Continue,
        }
    }

    fn on_http_request_body(&mut self, size: usize, end: bool) -> Action {
        let body = self.get_http_request_body(0, size).unwrap();
        self.set_http_request_body(0, size, &body.to_ascii_uppercase());
        self.set_http_request_body(0, 0, b">");
        self.set_http_request_body(usize::MAX, 0, b"<");
        if self.path == "/body-decides" {
            self.tell(if end { "end" } else { "more" })
        } else {
            Action::Continue
        }
    }

    fn on_http_request_trailers(&mut self, _count: usize) -> Action {
        let sum = self.get_http_request_trailer("x-sum").unwrap();
        self.set_http_request_trailer("x-sum", Some(&format!("{sum}{sum}")));
        Action::Continue
    }

    fn on_http_response_headers(&mut self, count: usize, end: bool) -> Action {
        self.set_http_response_header("content-length", None);
        self.add_http_response_header("x-count", &format!("{count} {end}"));
        Action::Continue
    }

    fn on_http_response_body(&mut self, size: usize, _end: bool) -> Action {
        let body = self.get_http_response_body(0, size).unwrap();
        self.set_http_response_body(0, size, &body.iter().rev().copied().collect::<Vec<u8>>());
        Action::Continue
    }

    fn on_http_response_trailers(&mut self, _count: usize) -> Action {
        self.add_http_response_trailer("x-added", "1");
        Action::Continue
    }

    fn on_log(&mut self) {
        log::info!("ended {}", self.path);
    }
}
