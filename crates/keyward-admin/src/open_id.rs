//! Signing in through an OpenID provider: what browsers see of it.

use axum::extract::{RawQuery, State};
use axum::http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY, SET_COOKIE,
};
use axum::http::{Extensions, HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use keyward_control::{OpenId, Returned};
use keyward_model::Plaintext;

use crate::Admin;
use crate::guard::cookie;
use crate::refusal::Refusal;
use crate::sessions::{session_cookie, source};

/// The cookie of a sign-in under way. Lax, for the provider's site sends the browser back.
const COOKIE: &str = "__Host-keyward-sign-in";

/// Where browsers go once they are signed in. Nothing that they bring along changes it.
const HOME: &str = "/docs";

/// A page that loads nothing, runs nothing, and is not framed.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What stands below the form of the sign-in page.
pub(crate) fn button(provider: &OpenId) -> String {
    let named = escaped(provider.options().issuer.authority());
    format!("<p id=\"provider\"><a href=\"/sign-in/oidc\">Sign in through {named}</a></p>")
}

/// Sends the browser to the provider.
pub(crate) async fn begin(State(admin): State<Admin>, headers: HeaderMap) -> Response {
    let begun = match provider(&admin) {
        Ok(provider) => provider.begin().await.map_err(Refusal::from),
        Err(refusal) => Err(refusal),
    };
    let begun = match begun {
        Ok(begun) => begun,
        Err(refusal) => return refused(&headers, refusal),
    };
    let cookie = format!(
        "{COOKIE}={}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={}",
        begun.cookie.expose_secret(),
        begun.cookie_s
    );
    let mut response = StatusCode::SEE_OTHER.into_response();
    private(&mut response);
    let (Ok(location), Ok(mut cookie)) =
        (HeaderValue::from_str(&begun.location), HeaderValue::from_str(&cookie))
    else {
        return refused(
            &headers,
            Refusal::new(500, "internal", "the provider's address fits into no header"),
        );
    };
    cookie.set_sensitive(true);
    response.headers_mut().insert(LOCATION, location);
    response.headers_mut().insert(SET_COOKIE, cookie);
    response
}

/// Takes the browser back. Whatever comes of it, this sign-in's cookie has done its work.
pub(crate) async fn finish(
    State(admin): State<Admin>,
    headers: HeaderMap,
    extensions: Extensions,
    RawQuery(query): RawQuery,
) -> Response {
    let cookie = cookie(&headers, COOKIE);
    let ended = match provider(&admin) {
        Ok(provider) => {
            let returned = returned(query.as_deref().unwrap_or_default());
            provider.finish(cookie.as_ref(), returned, source(&extensions)).await.map_err(Refusal::from)
        }
        Err(refusal) => Err(refusal),
    };
    let (mut response, session) = match ended {
        Ok(begun) => (welcome(), session_cookie(&begun)),
        Err(refusal) => (refused(&headers, refusal), None),
    };
    let over = format!("{COOKIE}=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0");
    let lines = session.into_iter().chain(HeaderValue::from_str(&over).ok());
    lines.for_each(|line| {
        response.headers_mut().append(SET_COOKIE, line);
    });
    response
}

fn provider(admin: &Admin) -> Result<&OpenId, Refusal> {
    let text = "no provider through which operators sign in is set up: sign in with a password";
    admin.options().open_id.as_ref().ok_or_else(|| Refusal::new(404, "provider_unset", text))
}

/// What the provider sent along. It may send more than is known here; what stands there twice is not there.
fn returned(query: &str) -> Returned {
    let pairs: Vec<(String, String)> = query.split('&').filter_map(pair).collect();
    let only = |wanted: &str| {
        let mut values = pairs.iter().filter(|(name, _)| name == wanted).map(|(_, value)| value.clone());
        match (values.next(), values.next()) {
            (Some(value), None) => Some(value),
            _ => None,
        }
    };
    Returned {
        code: only("code").map(Plaintext::new),
        state: only("state"),
        issuer: only("iss"),
        error: only("error"),
    }
}

/// A name and a value of a query, decoded; nothing where they are not UTF-8.
fn pair(text: &str) -> Option<(String, String)> {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    Some((decoded(name)?, decoded(value)?))
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let (high, low) = (digit(rest.next())?, digit(rest.next())?);
                u8::try_from(high * 16 + low).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

/// The session's cookie is for our own pages alone, so one of them must lead on: a redirect would still be the provider's.
fn welcome() -> Response {
    let mut response = page(
        StatusCode::OK,
        &format!("<meta http-equiv=\"refresh\" content=\"0; url={HOME}\">"),
        &format!("<p>You are signed in. <a href=\"{HOME}\">Go on</a></p>"),
    );
    private(&mut response);
    response
}

/// Browsers are told on a page, programs by a problem.
fn refused(headers: &HeaderMap, refusal: Refusal) -> Response {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut media =
        accepted.flat_map(|value| value.split(',')).map(|part| part.split(';').next().unwrap_or_default());
    let mut response = if media.any(|media| media.trim().eq_ignore_ascii_case("text/html")) {
        let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let (text, code) = (escaped(&refusal.text()), escaped(refusal.code()));
        let body = format!(
            "<p>You are not signed in: {text}.</p><p><a href=\"/sign-in\">To the sign-in page</a></p><p><small>{code}</small></p>"
        );
        page(status, "", &body)
    } else {
        refusal.into_response()
    };
    private(&mut response);
    response
}

fn page(status: StatusCode, head: &str, body: &str) -> Response {
    let text = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>Keyward: sign in</title><style>:root{{color-scheme:light dark}}body{{font:16px/1.5 system-ui,sans-serif;\
         max-width:36rem;margin:12vh auto;padding:0 1rem}}</style>{head}</head><body><h1>Keyward</h1>{body}</body></html>"
    );
    let mut response = (status, text).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(PAGE_POLICY));
    response
}

/// The address has a code in it, which nobody keeps and no other page is told.
fn private(response: &mut Response) {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
}

/// Text as a page shows it.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_provider_sends_along_is_read_once_and_decoded() {
        let got = returned("code=a%2Bb+c&state=s&session_state=x&iss=https%3A%2F%2Fidp.example&scope");
        assert_eq!(got.code.unwrap().expose_secret(), "a+b c");
        assert_eq!(
            (got.state.as_deref(), got.issuer.as_deref(), got.error),
            (Some("s"), Some("https://idp.example"), None)
        );
        let twice = returned("code=a&code=b&state=s&st%61te=t&error=%zz&iss=%ff");
        assert!(
            twice.code.is_none() && twice.state.is_none() && twice.error.is_none() && twice.issuer.is_none()
        );
        assert!(returned("").code.is_none());
    }

    #[test]
    fn a_page_shows_text_as_text() {
        assert_eq!(escaped("<a href=\"x\">'&"), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;");
    }
}
