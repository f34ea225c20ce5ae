//! The attack catalogue across accounts: every route with another account's ids and names, and the audit of all of it.

use keyward_api::{Access, Body, Method, Route};
use keyward_control::{Actor, ObjectRef};
use keyward_model::{Qualified, Role};
use keyward_testkit::gateway::Gateway;
use keyward_testkit::operators::{Operating, json};
use serde_json::Value;

/// Everything in account `default` is called something with `zqone` in it; `theirs` has nothing but its operators.
const WORLD: &str = r#"
version: 1
accounts: [{name: theirs}]
services: [{name: zqone-origin, endpoints: ["${UPSTREAM}"]}]
apis:
  - {name: zqone-orders, hosts: [zqone.test], base_path: /orders, admits: [app_signature, api_key], stages: {RELEASE: {service: zqone-origin}}}
applications: [{name: zqone-shop, description: zqone described, tags: {team: zqone}}]
consumers: [{name: zqone-robot, api_key: {sources: [bearer]}, jwt: {symmetric: true}}]
groups: [{name: zqone-staff, members: [{consumer: zqone-robot}]}]
grants:
  - {to: {application: zqone-shop}, api: zqone-orders}
  - {to: {group: zqone-staff}, api: zqone-orders}
"#;

/// The ids of T1's objects, by the noun of the route that names them.
struct Ids(Vec<(&'static str, String)>);

impl Ids {
    fn of(&self, route: Route) -> String {
        let noun = match route.noun() {
            "key_pair" | "app_code" => "application",
            "api_key" | "jwt" => "consumer",
            "stage" => "api",
            "member" => "group",
            noun => noun,
        };
        let found = self.0.iter().find(|(known, _)| *known == noun);
        found.map_or_else(|| "zqone-nothing".to_owned(), |(_, id)| id.clone())
    }
}

async fn ids(gateway: &Gateway) -> Ids {
    let control = gateway.node().control();
    let actor = &Actor::LocalToken;
    let named = |name: &str| Qualified { account: "default".parse().unwrap(), name: name.parse().unwrap() };
    let application = control.applications().get(actor, ObjectRef::Named(named("zqone-shop"))).await.unwrap();
    let consumer = control.consumers().get(actor, ObjectRef::Named(named("zqone-robot"))).await.unwrap();
    let group = control.groups().get(actor, ObjectRef::Named(named("zqone-staff"))).await.unwrap();
    let api = control.apis().get(actor, ObjectRef::Named(named("zqone-orders"))).await.unwrap();
    let service = control.services().get(actor, ObjectRef::Named(named("zqone-origin"))).await.unwrap();
    let account = control.accounts().get(actor, ObjectRef::Named(named("default"))).await.unwrap();
    let operator = control.operators().get(actor, ObjectRef::Named(named("zqone-owner"))).await.unwrap();
    let tokens = control.operators().tokens(actor, ObjectRef::Id(operator.id)).await.unwrap();
    let grants = control.grants().list(actor, Default::default()).await.unwrap();
    Ids(vec![
        ("account", account.id.to_string()),
        ("application", application.id.to_string()),
        ("credential", application.credentials[0].id.to_string()),
        ("consumer", consumer.id.to_string()),
        ("group", group.id.to_string()),
        ("api", api.id.to_string()),
        ("service", service.id.to_string()),
        ("grant", grants.items[0].id.to_string()),
        ("operator", operator.id.to_string()),
        ("operator_token", tokens[0].id.to_string()),
    ])
}

/// A body that this route takes, about T1's objects.
fn body(route: Route) -> String {
    match route.about().body {
        Body::None => String::new(),
        Body::World => {
            "version: 1\nservices: [{name: zqone-origin, endpoints: [\"http://evil.test\"]}]\n".to_owned()
        }
        Body::Json(_, example) | Body::Change(_, example) => example
            .replace("\"orders\"", "\"zqone-orders\"")
            .replace("\"shop\"", "\"zqone-shop\"")
            .replace("\"analytics\"", "\"zqone-robot\""),
    }
}

async fn call(
    gateway: &Gateway,
    who: &Operating,
    route: Route,
    target: &str,
) -> keyward_testkit::client::Answer {
    let mut request = json(route.method().as_str(), target, &body(route)).bearer(&who.token);
    if matches!(route.about().body, Body::World) {
        request.set("Content-Type", "application/yaml");
    }
    gateway.admin_anonymous(&request).await
}

#[tokio::test]
async fn partner_013_no_route_shows_or_touches_anything_of_another_account() {
    let gateway = Gateway::start(WORLD).await;
    gateway.operator("zqone-owner", &[(Some("default"), Role::Owner)]).await;
    let foreign = gateway.operator("foreign-owner", &[(Some("theirs"), Role::Owner)]).await;
    let ids = ids(&gateway).await;
    let before = gateway.node().control().export(&Actor::LocalToken, Vec::new()).await.unwrap();
    let mut tried = 0;
    for &route in Route::ALL {
        if route.about().access == Access::Open || matches!(route.noun(), "session" | "contract") {
            continue;
        }
        let names = match route.noun() {
            "application" | "key_pair" | "app_code" => "zqone-shop",
            "consumer" | "api_key" | "jwt" => "zqone-robot",
            "group" | "member" => "zqone-staff",
            "api" | "stage" => "zqone-orders",
            "service" => "zqone-origin",
            "account" => "default",
            "operator" | "operator_token" => "zqone-owner",
            _ => "zqone-nothing",
        };
        for object in [ids.of(route), names.to_owned()] {
            let segments = route.segments().map(|segment| match segment.name {
                "stage" => "RELEASE",
                "kind" => "consumers",
                "name" => "zqone-robot",
                _ => object.as_str(),
            });
            let path = route.fill(segments.collect::<Vec<_>>());
            for query in ["", "?account=default", "?account=theirs"] {
                let takes_account = route.query().any(|known| known.name == "account");
                let required: String = route
                    .query()
                    .filter(|known| known.required)
                    .map(|known| match known.name {
                        "app_key" => "&app_key=unknown".to_owned(),
                        name => format!("&{name}=zqone-orders"),
                    })
                    .collect();
                if !query.is_empty() && !takes_account {
                    continue;
                }
                let target = match (query, required.as_str()) {
                    ("", "") => path.clone(),
                    ("", required) => format!("{path}?{}", &required[1..]),
                    (query, required) => format!("{path}{query}{required}"),
                };
                let answer = call(&gateway, &foreign, route, &target).await;
                tried += 1;
                let text = answer.text();
                let echoed =
                    text.replace("zqone-orders", "").replace("zqone-shop", "").replace("zqone-robot", "");
                let echoed =
                    echoed.replace("zqone-origin", "").replace("zqone-staff", "").replace("zqone-owner", "");
                let echoed = echoed.replace("zqone-nothing", "").replace(object.as_str(), "");
                // What it named itself may be said back in a refusal; anything else of T1 is a leak.
                if answer.status < 300 {
                    assert!(!text.contains("zqone"), "{route:?} {target} shows: {text}");
                    assert!(
                        route.method() == Method::Get || !path.contains(&object),
                        "{route:?} {target}: {text}"
                    );
                }
                assert!(!echoed.contains("zqone"), "{route:?} {target} shows: {text}");
                for (_, id) in &ids.0 {
                    assert!(!echoed.contains(id.as_str()), "{route:?} {target} shows {id}: {text}");
                }
                if path.contains(&object) && !matches!(route.noun(), "gateway" | "node") {
                    assert!(
                        matches!(answer.status, 403 | 404 | 422),
                        "{route:?} {target}: {} {text}",
                        answer.status
                    );
                }
            }
        }
    }
    assert!(tried > 150, "{tried}");
    let after =
        gateway.node().control().export(&Actor::LocalToken, vec!["default".parse().unwrap()]).await.unwrap();
    assert_eq!(after.services, before.services);
    assert_eq!(after.apis, before.apis);
    assert_eq!(after.applications, before.applications);
    assert_eq!(after.consumers, before.consumers);
    assert_eq!(after.groups, before.groups);
    assert_eq!(after.grants, before.grants);
}

#[tokio::test]
async fn every_route_is_closed_to_whoever_is_not_known() {
    let gateway = Gateway::start(WORLD).await;
    gateway.operator("zqone-owner", &[(Some("default"), Role::Owner)]).await;
    let ids = ids(&gateway).await;
    for &route in Route::ALL.iter().filter(|route| route.about().access != Access::Open) {
        let object = ids.of(route);
        let segments = route.segments().map(|segment| match segment.name {
            "stage" => "RELEASE",
            "kind" => "consumers",
            "name" => "zqone-robot",
            _ => object.as_str(),
        });
        let target = route.fill(segments.collect::<Vec<_>>());
        let request = json(route.method().as_str(), &target, &body(route));
        let bogus = "kw_operator_0123456789abcdefghijABCDEFGHIJ000000";
        for request in [
            request.clone(),
            request.clone().bearer(bogus),
            request.clone().bearer(""),
            request.clone().header("Cookie", "__Host-keyward-session=0123"),
            request.clone().bearer(bogus).bearer(bogus),
        ] {
            let answer = gateway.admin_anonymous(&request).await;
            assert_eq!(answer.status, 401, "{route:?}: {}", answer.text());
            assert!(answer.json().get("revision").is_none(), "{route:?}: {}", answer.text());
        }
    }
}

#[tokio::test]
async fn audit_002_every_write_leaves_exactly_what_it_did_and_refusals_too() {
    let gateway = Gateway::start(WORLD).await;
    let owner = gateway.operator("zqone-owner", &[(None, Role::Owner)]).await;
    let viewer = gateway.operator("zqone-viewer", &[(Some("default"), Role::Viewer)]).await;
    let entries = async |since: u64| -> Vec<Value> {
        let target = format!("/v1/audit?after={since}&limit=1000");
        let answer = gateway.admin_as(&owner, "GET", &target, "").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["items"].as_array().unwrap().clone()
    };
    let last = async || entries(0).await.last().and_then(|entry| entry["seq"].as_u64()).unwrap();
    for (who, method, target, body, expected) in [
        (
            &owner,
            "POST",
            "/v1/accounts",
            r#"{"name": "acc"}"#,
            vec![("account.create", "created", "account")],
        ),
        (
            &owner,
            "POST",
            "/v1/applications",
            r#"{"name": "zqone-new"}"#,
            vec![
                ("application.create", "created", "caller"),
                ("application.create", "created", "credential"),
            ],
        ),
        (
            &owner,
            "PATCH",
            "/v1/applications/zqone-new",
            r#"{"description": "x"}"#,
            vec![("application.change", "changed", "caller")],
        ),
        (&owner, "PATCH", "/v1/applications/zqone-new", r#"{"description": "x"}"#, vec![]),
        (
            &owner,
            "POST",
            "/v1/applications/zqone-new/disable",
            "",
            vec![("application.change", "changed", "caller")],
        ),
        (
            &owner,
            "DELETE",
            "/v1/applications/zqone-new",
            "",
            vec![
                ("application.delete", "deleted", "credential"),
                ("application.delete", "deleted", "caller"),
            ],
        ),
        (&owner, "POST", "/v1/applications?dry_run=true", r#"{"name": "zqone-dry"}"#, vec![]),
        (
            &owner,
            "POST",
            "/v1/grants",
            r#"{"to": {"application": "zqone-unknown"}, "api": "zqone-orders"}"#,
            vec![],
        ),
        (
            &viewer,
            "POST",
            "/v1/applications",
            r#"{"name": "zqone-no"}"#,
            vec![("refused", "refused", "application")],
        ),
        (&viewer, "DELETE", "/v1/apis/zqone-orders", "", vec![("refused", "refused", "api")]),
    ] {
        let since = last().await;
        let answer = gateway.admin_as(who, method, target, body).await;
        let found = entries(since).await;
        let told: Vec<_> = found
            .iter()
            .map(|entry| {
                let text = |name: &str| entry[name].as_str().unwrap_or_default();
                (text("action"), text("touch"), text("noun"))
            })
            .collect();
        assert_eq!(told, expected, "{method} {target}: {}", answer.text());
        let request = answer.header("keyward-request-id").expect("a request id").to_owned();
        for entry in &found {
            assert_eq!(entry["detail"]["request"], request.as_str(), "{entry}");
            assert!(entry["actor"].as_str().unwrap().starts_with("operator opr_"), "{entry}");
            assert!(!entry["object"].as_str().unwrap().is_empty(), "{entry}");
            if entry["touch"] != "refused" {
                let detail = entry["detail"].as_object().unwrap();
                assert!(detail.contains_key("before") && detail.contains_key("after"), "{entry}");
            }
        }
    }
    let robot = Qualified { account: "default".parse().unwrap(), name: "zqone-robot".parse().unwrap() };
    let control = gateway.node().control();
    let robot = control.consumers().get(&Actor::LocalToken, ObjectRef::Named(robot)).await.unwrap();
    let key = robot.credentials[0].id;
    let since = last().await;
    let shown = gateway.admin_as(&owner, "POST", &format!("/v1/credentials/{key}/reveal"), "").await;
    assert_eq!(shown.status, 200, "{}", shown.text());
    let found = entries(since).await;
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0]["touch"].as_str(), found[0]["object"].as_str()),
        (Some("revealed"), Some(key.to_string().as_str()))
    );
    let value = shown.json()["value"].as_str().unwrap().to_owned();
    let export = gateway.admin_as(&owner, "GET", "/v1/audit/export", "").await;
    assert_eq!(export.status, 200);
    assert!(!export.text().contains(&value) && export.text().lines().count() > 10);
    let verified = gateway.admin_as(&owner, "GET", "/v1/audit/verify", "").await;
    assert_eq!(verified.status, 200, "{}", verified.text());
    assert_eq!(verified.json()["entries"].as_u64().unwrap(), last().await);
}

#[tokio::test]
async fn an_auditor_of_one_account_sees_what_was_done_in_it_and_nothing_else() {
    let gateway = Gateway::start(WORLD).await;
    let auditor = gateway.operator("foreign-auditor", &[(Some("theirs"), Role::Auditor)]).await;
    let developer = gateway.operator("foreign-developer", &[(Some("theirs"), Role::Developer)]).await;
    let made = gateway
        .admin_as(&developer, "POST", "/v1/applications", r#"{"name": "own", "account": "theirs"}"#)
        .await;
    assert_eq!(made.status, 201, "{}", made.text());
    let seen = gateway.admin_as(&auditor, "GET", "/v1/audit?limit=1000", "").await;
    assert_eq!(seen.status, 200, "{}", seen.text());
    assert!(seen.text().contains("\"own\"") && !seen.text().contains("zqone"), "{}", seen.text());
    for target in ["/v1/audit?account=default", "/v1/audit/export?account=default"] {
        assert_eq!(gateway.admin_as(&auditor, "GET", target, "").await.status, 404);
    }
    assert_eq!(gateway.admin_as(&auditor, "GET", "/v1/audit/verify", "").await.status, 403);
    assert_eq!(gateway.admin_as(&developer, "GET", "/v1/audit", "").await.status, 403);
}
