//! Looking back and looking around: who could call at a past moment, and what somebody should look at.

use keyward_access::UsageSource;
use keyward_control::{Ask, AskedCaller, Found, GrantFilter, ObjectRef, ReviewQuery, WhoCan};
use keyward_model::*;

use crate::node::*;

const DAY: i64 = 86_400_000;

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    /// Mostly yes.
    fn yes(&mut self) -> bool {
        self.roll(5) > 0
    }

    fn some<'a>(&mut self, of: &[&'a str]) -> Vec<&'a str> {
        of.iter().copied().filter(|_| self.yes()).collect()
    }
}

/// A world in which everything that decisions rest on is there or not, enabled or not.
fn some_world(dice: &mut Dice, now: i64) -> String {
    let until = Timestamp::from_millis(now + 5_000 * i64::try_from(dice.roll(4)).unwrap() + 1);
    let admits = match dice.roll(4) {
        0 => "app_signature",
        1 => "api_key, app_code",
        _ => "app_signature, app_code, api_key",
    };
    let test = if dice.yes() { "TEST: {service: up, path_prefix: /test}" } else { "" };
    let mut text = format!(
        "accounts: [{{name: acme}}]\n\
         services: [{{name: up, enabled: {}, endpoints: [\"http://127.0.0.1:9000\"]}}, {{account: acme, name: up, \
         endpoints: [\"http://127.0.0.1:9001\"]}}]\n\
         apis: [{{account: acme, name: orders, hosts: [acme.example.com], base_path: /, admits: [api_key], stages: \
         {{RELEASE: {{service: up}}}}}}, {{name: orders, hosts: [a.example.com], base_path: /, admits: [{admits}], enabled: {}, \
         operations: [{{method: GET, path: /}}, {{method: POST, path: /}}], stages: {{RELEASE: {{service: up}}, {test}}}}}]\n",
        dice.yes(),
        dice.yes(),
    );
    text.push_str("applications:\n");
    let applications = dice.some(&["a1", "a2", "a3"]);
    for name in &applications {
        let pair = format!("{{app_key: {name}-key, app_secret: 0123456789abcdef, enabled: {}}}", dice.yes());
        let second = format!("{{app_key: {name}-2, app_secret: 0123456789abcdef, valid_until: {until}}}");
        let pairs = if dice.yes() { pair } else { format!("{pair}, {second}") };
        text.push_str(&format!("  - {{name: {name}, enabled: {}, key_pairs: [{pairs}]}}\n", dice.yes()));
    }
    if applications.is_empty() {
        text.push_str("  []\n");
    }
    let (is_on, key_on) = (dice.yes(), dice.yes());
    text.push_str(&format!(
        "consumers: [{{account: acme, name: c2, api_key: {{sources: [bearer], keys: [canary-api-key-0002]}}}}, {{name: c1, enabled: {is_on}, api_key: {{sources: [bearer], keys: [{{value: canary-api-key-0001, \
         enabled: {key_on}}}]}}}}]\n",
    ));
    let members: Vec<String> = dice
        .some(&applications)
        .into_iter()
        .map(|name| format!("{{application: {name}}}"))
        .chain(dice.yes().then(|| "{consumer: c1}".to_owned()))
        .collect();
    text.push_str(&format!(
        "groups: [{{name: g, enabled: {}, members: [{}]}}]\n",
        dice.yes(),
        members.join(", ")
    ));
    text.push_str("grants:\n  - {to: {consumer: c1}, api: orders, operations: [{method: GET, path: /}]}\n");
    if dice.yes() {
        text.push_str(&format!(
            "  - {{to: {{group: g}}, api: orders, stages: [TEST], valid_until: {until}}}\n"
        ));
    }
    if dice.yes() {
        text.push_str("  - {account: acme, to: {consumer: c2}, api: orders}\n");
    }
    for name in dice.some(&applications) {
        text.push_str(&format!("  - {{to: {{application: {name}}}, api: orders, stages: [RELEASE]}}\n"));
    }
    text
}

fn questions(api: ApiId, at: Timestamp) -> Vec<Ask> {
    let operations = [None, Some(("GET", "/")), Some(("POST", "/"))];
    let stages = [Stage::Release, Stage::Test];
    let ask = |stage, operation: Option<(&str, &str)>| Ask {
        gateway: named("default"),
        api: ObjectRef::Id(api),
        api_else: None,
        stage,
        operation: operation.map(|(method, path)| (method.to_owned(), path.to_owned())),
        at: Some(at),
    };
    stages.into_iter().flat_map(|stage| operations.map(|operation| ask(stage, operation))).collect()
}

/// Who may, and what is said of the consumer `c1`.
async fn answers(node: &Node, apis: [ApiId; 2], caller: CallerId, at: Timestamp) -> Vec<(WhoCan, String)> {
    let mut answers = Vec::new();
    for ask in apis.into_iter().flat_map(|api| questions(api, at)) {
        let who = node.control.who_can(&OPERATOR, ask.clone()).await.unwrap();
        let of = AskedCaller::Caller(CallerKind::Consumer, ObjectRef::Id(caller));
        let explained = node.control.explain(&OPERATOR, ask, of).await.unwrap();
        answers.push((who, format!("{:?} {:?}", explained.decision, explained.near_misses)));
    }
    answers
}

#[tokio::test]
async fn who_could_call_at_a_past_moment_is_what_was_said_then() {
    let (mut permitted, mut refused) = (0, 0);
    for seed in 1..=3 {
        let mut dice = Dice(seed);
        let node = Node::with(&some_world(&mut dice, START)).await;
        let elsewhere = ObjectRef::Named(Qualified { account: name("acme"), name: name("orders") });
        let elsewhere = node.control.apis().get(&OPERATOR, elsewhere).await.unwrap().id;
        let api = [node.control.apis().get(&OPERATOR, named("orders")).await.unwrap().id, elsewhere];
        let caller = node.control.consumers().get(&OPERATOR, named("c1")).await.unwrap().id;
        let mut history = Vec::new();
        for step in 0..12 {
            let now = START + step * 2_000;
            node.prune(&some_world(&mut dice, now)).await.unwrap();
            let said = answers(&node, api, caller, node.control_now()).await;
            permitted += said.iter().map(|(who, _)| who.callers.len()).sum::<usize>();
            refused += said.iter().filter(|(who, _)| who.callers.is_empty()).count();
            history.push((node.control_now(), said));
            node.turn_clock(2_000);
        }
        for (at, said) in &history {
            assert_eq!(answers(&node, api, caller, *at).await, *said, "seed {seed}, {at}");
        }
        let before_all = answers(&node, api, caller, Timestamp::from_millis(START - 1)).await;
        assert!(before_all.iter().all(|(who, _)| who.callers.is_empty()), "there was nothing");

        node.control.apis().delete(&OPERATOR, named("orders"), false).await.unwrap();
        node.turn_clock(1);
        for (at, said) in &history {
            assert_eq!(
                answers(&node, api, caller, *at).await,
                *said,
                "seed {seed}, {at}, and the API is gone"
            );
        }
    }
    assert!(
        permitted > 100 && refused > 10,
        "{permitted} permitted, {refused} refused: the worlds are too alike"
    );
}

async fn review(node: &Node, query: ReviewQuery) -> Vec<Found> {
    let mut query = query;
    let mut all = Vec::new();
    loop {
        let page = node.control.review().list(&OPERATOR, query.clone()).await.unwrap();
        all.extend(page.items);
        match page.next {
            Some(next) => query.after = Some(next),
            None => return all,
        }
    }
}

fn only(finding: Finding) -> ReviewQuery {
    ReviewQuery { finding: Some(finding), ..ReviewQuery::default() }
}

fn names(found: &[Found]) -> Vec<String> {
    found
        .iter()
        .map(|one| {
            let caller = one.caller_name.as_ref().or(one.group_name.as_ref()).map(ToString::to_string);
            let api = one.api_name.as_ref().map(ToString::to_string);
            format!("{}>{}", caller.unwrap_or_default(), api.unwrap_or_default())
        })
        .collect()
}

const LOOKED_AT: &str = r#"
services: [{name: up, endpoints: ["http://127.0.0.1:9000"]}]
apis:
  - {name: orders, base_path: /orders, admits: [app_signature, api_key], stages: {RELEASE: {service: up}}}
  - {name: open, base_path: /open, admits: [anyone, api_key], stages: {RELEASE: {service: up}}}
  - {name: empty, base_path: /empty, admits: [api_key], stages: {RELEASE: {service: up}}}
applications:
  - {name: shop, key_pairs: [{app_key: k1, app_secret: weak}, {app_key: k2, app_secret: 0123456789abcdef}]}
  - {name: idle, key_pairs: [{app_key: k3, app_secret: 0123456789abcdef}]}
consumers:
  - {name: member, api_key: {sources: [bearer], keys: [{value: canary-api-key-0001, valid_until: 2026-02-15T00:00:00Z}]}}
groups: [{name: staff, members: [member]}]
grants:
  - {to: {application: shop}, api: orders}
  - {to: {group: staff}, api: orders, valid_until: 2026-06-01T00:00:00Z}
  - {to: {application: idle}, api: empty, valid_until: 2026-01-10T00:00:00Z}
"#;

/// Says that these were used.
struct Used(std::sync::Mutex<UsageBatch>);

impl UsageSource for Used {
    fn take(&self) -> UsageBatch {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    fn give_back(&self, _: UsageBatch) {
        panic!("it can be written");
    }
}

#[tokio::test]
async fn a_review_names_what_is_unused_ending_weak_or_leads_nowhere() {
    let node = Node::with(LOOKED_AT).await;
    let of = |finding| review(&node, only(finding));
    assert_eq!(names(&of(Finding::GrantUnused).await), [""; 0], "nothing is old");
    assert_eq!(names(&of(Finding::GrantEnding).await), ["idle>empty"]);
    assert_eq!(names(&of(Finding::CredentialNeverUsed).await), [""; 0]);
    assert_eq!(names(&of(Finding::CredentialEnding).await), [""; 0], "45 days are not soon");
    assert_eq!(names(&of(Finding::WeakSecret).await), ["shop>"]);
    assert_eq!(names(&of(Finding::CallerWithoutGrant).await), [""; 0]);
    assert_eq!(names(&of(Finding::ApiWithoutGrant).await), [""; 0]);
    let soon = ReviewQuery { ending_days: Some(60), ..only(Finding::CredentialEnding) };
    assert_eq!(names(&review(&node, soon).await), ["member>"]);

    // Ten days later the grant of `idle` has ended.
    node.turn_clock(10 * DAY);
    assert_eq!(names(&of(Finding::GrantEnding).await), [""; 0]);
    assert_eq!(names(&of(Finding::CallerWithoutGrant).await), ["idle>"]);
    assert_eq!(names(&of(Finding::ApiWithoutGrant).await), [">empty"]);
    let empty = node.control.apis().get(&OPERATOR, named("empty")).await.unwrap();
    let open = node.control.apis().get(&OPERATOR, named("open")).await.unwrap();
    let orders = node.control.apis().get(&OPERATOR, named("orders")).await.unwrap();
    assert_eq!(
        [empty.nobody_authorized, open.nobody_authorized, orders.nobody_authorized],
        [true, false, false],
        "`open` admits anyone"
    );

    // The grant of `shop` and one of its keys are used on day 50; the one for the group never is.
    node.turn_clock(40 * DAY);
    let grants = node.control.grants().list(&OPERATOR, GrantFilter::default()).await.unwrap().items;
    let shop = grants.iter().find(|grant| matches!(grant.spec.to, GranteeSpec::Named(..))).unwrap();
    let k2 = node.control.credentials().find_app_key(&OPERATOR, &"k2".parse().unwrap()).await.unwrap();
    let used = UsageBatch {
        credentials: vec![(k2.id, node.control_now())],
        grants: vec![(shop.id, node.control_now())],
        ..UsageBatch::default()
    };
    node.control.usage().keep(&Used(std::sync::Mutex::new(used))).await.unwrap();
    node.turn_clock(41 * DAY);
    assert_eq!(names(&of(Finding::GrantUnused).await), ["staff>orders"], "day 91");
    let never = of(Finding::CredentialNeverUsed).await;
    let mut never: Vec<String> = names(&never);
    never.sort();
    assert_eq!(never, ["idle>", "shop>"], "k1 and k3; the ended key of `member` is no risk");
    let strict = ReviewQuery { unused_days: Some(40), ..only(Finding::GrantUnused) };
    let mut strict = names(&review(&node, strict).await);
    strict.sort();
    assert_eq!(strict, ["shop>orders", "staff>orders"]);
}

#[tokio::test]
async fn a_review_in_small_pages_is_the_whole_review() {
    let node = Node::with(LOOKED_AT).await;
    node.turn_clock(100 * DAY);
    let whole = review(&node, ReviewQuery { limit: Some(1_000), ..ReviewQuery::default() }).await;
    assert!(whole.len() >= 7, "{whole:?}");
    for limit in [1, 2, 3] {
        let parts = review(&node, ReviewQuery { limit: Some(limit), ..ReviewQuery::default() }).await;
        assert_eq!(parts, whole, "{limit}");
    }
    for (query, field) in [
        (ReviewQuery { after: Some("nonsense".into()), ..ReviewQuery::default() }, "after"),
        (ReviewQuery { after: Some("weak_secret.x' OR 1=1".into()), ..ReviewQuery::default() }, "after"),
        (ReviewQuery { unused_days: Some(0), ..ReviewQuery::default() }, "unused_days"),
        (ReviewQuery { ending_days: Some(3_651), ..ReviewQuery::default() }, "ending_days"),
        (ReviewQuery { limit: Some(0), ..ReviewQuery::default() }, "limit"),
    ] {
        let error = node.control.review().list(&OPERATOR, query).await.unwrap_err();
        assert_eq!(error.path(), field);
    }
    let nowhere = ReviewQuery { account: Some(name("nobody")), ..ReviewQuery::default() };
    let error = node.control.review().list(&OPERATOR, nowhere).await.unwrap_err();
    assert_eq!(error.kind(), keyward_control::ErrorKind::NotFound);
}
