//! Custom plugins by a runner that says what the test wants: whatever it says, only what a plugin may say is done.

mod desk;

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use desk::{Answer, Ask, Asked, Desk, Sent, World};
use keyward_access::CustomPlugin;
use keyward_gateway::{
    CustomAnswer, CustomExchange, CustomFacts, CustomFields, CustomMessage, CustomPlugins, CustomRunner,
    CustomWait,
};
use keyward_http::{Field, Handler, Reply, ResponseHead, Step};
use keyward_model::OnFailure;

/// Says the same to everything; `None`: nothing, for ever.
type Says = fn() -> Option<CustomAnswer>;

#[derive(Debug)]
struct Runner {
    says: Says,
    heard: Mutex<Vec<String>>,
}

#[derive(Debug)]
struct Plugins(Arc<Runner>);

impl CustomPlugins for Plugins {
    fn running(&self, _: &Arc<CustomPlugin>) -> Arc<dyn CustomRunner> {
        self.0.clone()
    }
}

impl CustomRunner for Runner {
    fn begin(&self, facts: CustomFacts) -> CustomWait<'static, Result<Box<dyn CustomExchange>, String>> {
        self.heard.lock().unwrap().push(format!("{} {} {}", facts.source, facts.api, facts.stage));
        let says = self.says;
        Box::pin(async move { Ok(Box::new(Call(says)) as Box<dyn CustomExchange>) })
    }
}

struct Call(Says);

impl Call {
    fn say(&self) -> CustomWait<'static, CustomAnswer> {
        match (self.0)() {
            Some(answer) => Box::pin(std::future::ready(answer)),
            None => Box::pin(std::future::pending()),
        }
    }
}

impl CustomExchange for Call {
    fn request(&mut self, _: CustomMessage) -> CustomWait<'_, CustomAnswer> {
        self.say()
    }

    fn response(&mut self, _: CustomMessage) -> CustomWait<'_, CustomAnswer> {
        self.say()
    }
}

fn fields(pairs: &[(&str, &str)]) -> CustomFields {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect()
}

fn desk_with(says: Says, on_failure: OnFailure) -> (Desk, Arc<Runner>) {
    let runner = Arc::new(Runner { says, heard: Mutex::default() });
    let mut world = World::with_plugins(&[("my-filter", "{}")]);
    world.module.on_failure = on_failure;
    (Desk::running(world, Some(Arc::new(Plugins(runner.clone())))), runner)
}

/// Waits as the transport does; a word that does not come is too late.
fn settle(asked: &mut Asked<'_>) {
    if let Step::Pause(word) = &mut asked.step {
        let mut context = Context::from_waker(Waker::noop());
        let _: Poll<()> = std::pin::Pin::new(word).poll(&mut context);
        asked.resume();
    }
}

fn call(says: Says, on_failure: OnFailure) -> Result<Sent, Answer> {
    let (desk, _) = desk_with(says, on_failure);
    let mut asked = desk.ask(&Ask::get("/orders?a=b").field("X-Mine", "c"));
    settle(&mut asked);
    asked.end()
}

#[test]
fn a_runner_is_told_who_calls_what() {
    let (desk, runner) =
        desk_with(|| Some(CustomAnswer::Continue { fields: None, body: None }), OnFailure::Refuse);
    let mut asked = desk.ask(&Ask::get("/orders?a=b").field("X-Mine", "c"));
    assert!(matches!(asked.step, Step::Pause(_)));
    settle(&mut asked);
    let sent = asked.end().unwrap();
    assert_eq!(sent.line, "GET /base/orders?a=b HTTP/1.1");
    assert_eq!(sent.values("x-mine"), ["c"]);
    assert_eq!(*runner.heard.lock().unwrap(), ["192.0.2.7:40000 orders RELEASE"]);
}

#[test]
fn what_a_plugin_may_not_say_is_not_done() {
    let says = || {
        let fields = fields(&[
            (":method", "DELETE"),
            (":path", "/orders?c=d"),
            (":authority", "evil.example"),
            ("host", "evil.example"),
            ("x-keyward-caller-id", "forged"),
            ("content-length", "7"),
            ("x-fine", "yes"),
        ]);
        Some(CustomAnswer::Continue { fields: Some(fields), body: Some(b"smuggled".to_vec()) })
    };
    let sent = call(says, OnFailure::Refuse).unwrap();
    assert_eq!(sent.line, "GET /base/orders?c=d HTTP/1.1");
    assert_eq!((sent.values("host"), sent.values("x-fine")), (vec!["127.0.0.1:9000"], vec!["yes"]));
    for name in ["x-keyward-caller-id", "content-length", "x-mine"] {
        assert!(sent.values(name).is_empty(), "{name}");
    }
    assert_eq!(sent.body, None, "it is not shown bodies");
}

#[test]
fn what_is_no_http_is_a_failure() {
    let wrong: [Says; 6] = [
        || said(&[("x-a", "b\r\nx-evil: 1")]),
        || said(&[("x a", "b")]),
        || said(&[("", "b")]),
        || said(&[(":path", "/orders?a b")]),
        || said(&[(":path", "/else")]),
        || Some(CustomAnswer::Reply { status: 200, fields: fields(&[("x-a", "b\nc")]), body: Vec::new() }),
    ];
    for says in wrong {
        let refused = call(says, OnFailure::Refuse).unwrap_err();
        assert_eq!((refused.status, refused.reason()), (503, "plugin_failed"));
        let sent = call(says, OnFailure::Skip).unwrap();
        assert_eq!((sent.line.as_str(), sent.values("x-mine")), ("GET /base/orders?a=b HTTP/1.1", vec!["c"]));
    }
}

fn said(pairs: &[(&str, &str)]) -> Option<CustomAnswer> {
    Some(CustomAnswer::Continue { fields: Some(fields(pairs)), body: None })
}

#[test]
fn a_plugin_that_says_nothing_in_time_fails() {
    let refused = call(|| None, OnFailure::Refuse).unwrap_err();
    assert_eq!((refused.status, refused.reason()), (503, "plugin_failed"));
    assert!(call(|| None, OnFailure::Skip).is_ok());
}

#[test]
fn an_answer_of_its_own_is_without_what_is_ours() {
    let says = || {
        let fields = fields(&[("x-ca-request-id", "forged"), ("connection", "close"), ("x-fine", "yes")]);
        Some(CustomAnswer::Reply { status: 299, fields, body: b"own".to_vec() })
    };
    let answer = call(says, OnFailure::Refuse).unwrap_err();
    assert_eq!((answer.status, &*answer.body, answer.value("x-fine")), (299, &b"own"[..], Some("yes")));
    assert_eq!(
        answer.fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case("x-ca-request-id")).count(),
        1
    );
    assert_ne!(answer.value("x-ca-request-id"), Some("forged"));
    assert_eq!(answer.value("connection"), None);
}

#[test]
fn a_changed_answer_is_without_what_is_ours() {
    let says = || said(&[(":status", "418"), ("x-keyward-account", "forged"), ("x-fine", "yes")]);
    let (desk, _) = desk_with(says, OnFailure::Refuse);
    let mut asked = desk.ask(&Ask::get("/orders"));
    settle(&mut asked);
    asked.forward();
    let head = [Field { name: "X-Old", value: b"1" }];
    let head = ResponseHead { status: 200, fields: &head };
    let mut out = Vec::new();
    let reply = desk.handler.response_head(asked.exchange(), &head, &mut out);
    let Reply::Pause(mut word) = reply else { panic!("{reply:?}") };
    let mut context = Context::from_waker(Waker::noop());
    assert!(std::pin::Pin::new(&mut word).poll(&mut context).is_ready());
    let reply = desk.handler.response_resume(asked.exchange(), &head, None, &mut out);
    assert!(matches!(reply, Reply::PassAs(418)), "{reply:?}");
    asked.end().unwrap();
    let fields = String::from_utf8(out).unwrap();
    assert!(fields.starts_with("x-fine: yes\r\nX-Ca-Request-Id: "), "{fields}");
}

#[test]
fn a_disabled_module_is_never_skipped() {
    let runner = Arc::new(Runner { says: || None, heard: Mutex::default() });
    let mut world = World::with_plugins(&[("my-filter", r#"{"token": "$ref{nothing}"}"#)]);
    world.module.on_failure = OnFailure::Skip;
    let desk = Desk::running(world.clone(), Some(Arc::new(Plugins(runner.clone()))));
    let refused = desk.call(&Ask::get("/orders")).unwrap_err();
    assert_eq!((refused.status, refused.reason()), (503, "plugin_failed"), "a secret is away");
    world.plugins = vec![("my-filter", "{}".into())];
    world.module.enabled = false;
    desk.publish(world);
    assert_eq!(desk.call(&Ask::get("/orders")).unwrap_err().reason(), "plugin_failed");
    assert!(runner.heard.lock().unwrap().is_empty(), "nobody was asked");
}
