//! Signing in and out, and the first operator.

use std::net::IpAddr;

use axum::extract::{ConnectInfo, State};
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, SET_COOKIE};
use axum::http::{Extensions, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use keyward_api::{
    BootstrapAnswer, Done, FieldProblem, PasswordChange, RoleHeld, SESSION_COOKIE, SignIn, WhoAmI,
};
use keyward_control::{Actor, NewSession};
use keyward_model::{Name, Plaintext, Role};
use serde::de::DeserializeOwned;

use crate::Admin;
use crate::answer::json;
use crate::guard::Signed;
use crate::open_id;
use crate::refusal::Refusal;
use crate::request::{Asked, JsonBody};

/// Where a request comes from, as far as the connection tells.
pub(crate) fn source(extensions: &Extensions) -> IpAddr {
    let peer = extensions.get::<ConnectInfo<std::net::SocketAddr>>();
    peer.map_or(IpAddr::from([0, 0, 0, 0]), |ConnectInfo(peer)| peer.ip())
}

/// The page on which browsers sign in: nothing of it is secret.
pub(crate) async fn page(State(admin): State<Admin>) -> Response {
    let through = admin.options().open_id.as_ref().map_or_else(String::new, open_id::button);
    let mut response = include_str!("sign_in.html").replace("<!-- provider -->", &through).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; connect-src 'self'; \
             form-action 'none'; frame-ancestors 'none'; base-uri 'none'",
        ),
    );
    response
}

pub(crate) async fn script() -> Response {
    let mut response = include_str!("sign_in.js").into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/javascript; charset=utf-8"));
    response
}

/// Makes the first operator and signs it in.
pub(crate) async fn bootstrap(
    State(admin): State<Admin>,
    extensions: Extensions,
    JsonBody(body): JsonBody,
) -> Result<Response, Refusal> {
    let BootstrapAnswer { one_time_password, name, password } = read(&body)?;
    let name: Name = name.parse().map_err(|error| Refusal::parameter("name", error))?;
    let (one_time, password) = (Plaintext::new(one_time_password), Plaintext::new(password));
    let sessions = admin.control().sessions();
    let begun = sessions.bootstrap(one_time, name, password, source(&extensions)).await?;
    Ok(signed_in(&admin, begun))
}

pub(crate) async fn sign_in(
    State(admin): State<Admin>,
    extensions: Extensions,
    JsonBody(body): JsonBody,
) -> Result<Response, Refusal> {
    let SignIn { name, password } = read(&body)?;
    let sessions = admin.control().sessions();
    let begun = sessions.sign_in(&name, Plaintext::new(password), source(&extensions)).await?;
    Ok(signed_in(&admin, begun))
}

/// Who is calling.
pub(crate) async fn show(State(admin): State<Admin>, asked: Asked) -> Result<Response, Refusal> {
    Ok(json(admin.control().revision(), &who(&admin, &asked.actor, asked.signed.as_ref())))
}

/// Ends the session; without one there is nothing to end.
pub(crate) async fn sign_out(State(admin): State<Admin>, asked: Asked) -> Result<Response, Refusal> {
    if let Some(signed) = &asked.signed {
        admin.control().sessions().sign_out(&asked.actor, signed.cookie.expose_secret()).await?;
    }
    let mut response = json(admin.control().revision(), &Done::default());
    forget(&mut response);
    Ok(response)
}

pub(crate) async fn change_password(
    State(admin): State<Admin>,
    asked: Asked,
    JsonBody(body): JsonBody,
) -> Result<Response, Refusal> {
    let PasswordChange { old_password, password } = read(&body)?;
    let (old, new) = (Plaintext::new(old_password), Plaintext::new(password));
    let changed = admin.control().operators().change_own_password(&asked.actor, old, new).await?;
    let mut response = json(changed.revision, &Done::default());
    forget(&mut response);
    Ok(response)
}

fn forget(response: &mut Response) {
    let gone = format!("{SESSION_COOKIE}=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0");
    if let Ok(gone) = HeaderValue::from_str(&gone) {
        response.headers_mut().insert(SET_COOKIE, gone);
    }
}

fn signed_in(admin: &Admin, begun: NewSession) -> Response {
    let cookie = session_cookie(&begun);
    let signed = Signed { cookie: begun.cookie.clone(), csrf: begun.csrf, valid_until: begun.valid_until };
    let mut response = json(admin.control().revision(), &who(admin, &begun.actor, Some(&signed)));
    if let Some(cookie) = cookie {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    response
}

/// The line that gives a browser its session.
pub(crate) fn session_cookie(begun: &NewSession) -> Option<HeaderValue> {
    let cookie = begun.cookie.expose_secret();
    let cookie = format!("{SESSION_COOKIE}={cookie}; Path=/; Secure; HttpOnly; SameSite=Strict");
    let mut cookie = HeaderValue::from_str(&cookie).ok()?;
    cookie.set_sensitive(true);
    Some(cookie)
}

fn who(admin: &Admin, actor: &Actor, signed: Option<&Signed>) -> WhoAmI {
    let acting = actor.operator();
    let snapshot = admin.control().snapshots().load_full();
    let roles = acting.map(|acting| acting.roles.as_slice()).unwrap_or_default();
    let held = roles.iter().filter_map(|held| {
        let account = match held.account {
            None => None,
            Some(id) => Some(snapshot.account(id)?.name.to_string()),
        };
        Some(RoleHeld { role: held.role.to_string(), account })
    });
    WhoAmI {
        kind: if acting.is_some() { "operator" } else { "local_token" }.to_owned(),
        id: acting.map(|acting| acting.id.to_string()),
        name: acting.map(|acting| acting.name.to_string()),
        roles: match acting {
            Some(_) => held.collect(),
            // It may do everything everywhere.
            None => vec![RoleHeld { role: Role::Owner.to_string(), account: None }],
        },
        csrf: signed.map(|signed| signed.csrf.clone()),
        valid_until: signed.map(|signed| signed.valid_until.to_string()),
    }
}

/// Reads a body whose parser's own message may quote a secret.
pub(crate) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    let wrong = |message: String| {
        Refusal::invalid(vec![FieldProblem { line: 0, column: 0, path: String::new(), message }])
    };
    let usual = || "must be a mapping of the fields that this route names, each a text".to_owned();
    // Derived readers would take a list for a mapping.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(wrong(usual()));
    }
    serde_json::from_slice(body).map_err(|error| {
        let text = error.to_string();
        let names_a_field = ["unknown field", "missing field", "duplicate field"];
        match names_a_field.iter().any(|start| text.starts_with(start)) {
            true => wrong(text.split(" at line ").next().unwrap_or_default().to_owned()),
            false => wrong(usual()),
        }
    })
}
