//! Lets in only the teams that its configuration names, and shows the service a token of its own.
//!
//! ```json
//! { "allowed": ["red", "blue"], "token": "$ref{team_token}" }
//! ```
//!
//! A request must say its team in `X-Team`. One that is allowed goes on with `X-Team-Token`; any other is answered with 403.

use std::rc::Rc;

use log::info;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel};
use serde::Deserialize;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::new(Root::default()));
}}

/// The plugin's configuration. A field that is unknown or missing is refused, with its name in the log.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Configuration {
    allowed: Vec<String>,
    token: String,
}

/// What there is once on each of Keyward's threads for the plugin.
#[derive(Default)]
struct Root {
    configuration: Rc<Configuration>,
}

impl Context for Root {}

impl RootContext for Root {
    /// `false` keeps a plugin with this configuration from running.
    fn on_configure(&mut self, _size: usize) -> bool {
        let bytes = self.get_plugin_configuration().unwrap_or_default();
        match serde_json::from_slice(&bytes) {
            Ok(configuration) => {
                self.configuration = Rc::new(configuration);
                true
            }
            Err(error) => {
                log::error!("the configuration is wrong: {error}");
                false
            }
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Hello { configuration: Rc::clone(&self.configuration) }))
    }
}

/// One request and its response.
struct Hello {
    configuration: Rc<Configuration>,
}

impl Context for Hello {}

impl HttpContext for Hello {
    fn on_http_request_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        let team = self.get_http_request_header("x-team").unwrap_or_default();
        if !self.configuration.allowed.contains(&team) {
            info!("team {team:?} is not allowed");
            let body = br#"{"title":"this team may not call here","status":403}"#;
            self.send_http_response(403, vec![("content-type", "application/problem+json")], Some(body));
            return Action::Pause;
        }
        self.set_http_request_header("x-team-token", Some(&self.configuration.token));
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        self.set_http_response_header("x-hello", Some("keyward"));
        Action::Continue
    }
}
