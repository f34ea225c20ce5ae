//! The contract: as a document for programs, and as a page for people.

use std::sync::LazyLock;

use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::response::{IntoResponse as _, Response};

use crate::docs;
use crate::refusal::Refusal;
use crate::request::Asked;

/// The page loads nothing and runs nothing; it carries its style.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

static DOCUMENT: LazyLock<String> = LazyLock::new(|| keyward_api::openapi().to_string());

static PAGE: LazyLock<String> = LazyLock::new(|| docs::page(&keyward_api::openapi()));

/// The document, OpenAPI 3.1.
pub(crate) async fn document(_: Asked) -> Result<Response, Refusal> {
    let headers = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")];
    Ok((headers, DOCUMENT.as_str()).into_response())
}

/// The same as a page.
pub(crate) async fn page(_: Asked) -> Result<Response, Refusal> {
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, PAGE_POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    Ok((headers, PAGE.as_str()).into_response())
}
