//! The audit: who did what.

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::Response;
use keyward_api::{AuditCheck, AuditEntry};
use keyward_control::{Actor, AuditMark, AuditQuery, AuditRow, ControlError, Page};

use crate::Admin;
use crate::answer::{json, page};
use crate::listing;
use crate::refusal::Refusal;
use crate::request::Asked;

/// Entries that an export reads at a stretch.
const STRETCH: u32 = 1_000;

pub(crate) async fn list(State(admin): State<Admin>, asked: Asked) -> Result<Response, Refusal> {
    let query = AuditQuery {
        descending: asked.get("sort") == Some("-created"),
        after: asked.get("after").map(ToOwned::to_owned),
        limit: listing::limit(&asked),
        ..query(&asked)?
    };
    let revision = admin.control().revision();
    let found = admin.control().audit().list(&asked.actor, query).await?;
    Ok(page(revision, found, shown))
}

/// Lines of JSON, oldest first, sent as they are read. An export that breaks off has no last line feed.
pub(crate) async fn export(State(admin): State<Admin>, asked: Asked) -> Result<Response, Refusal> {
    let query = AuditQuery { limit: Some(STRETCH), ..query(&asked)? };
    let revision = admin.control().revision();
    let first = admin.control().audit().list(&asked.actor, query.clone()).await?;
    let mut response = json(revision, &());
    let export = Export { admin, actor: asked.actor, query, found: Some(first) };
    *response.body_mut() = Body::from_stream(futures_util::stream::unfold(export, Export::stretch));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.remove(axum::http::header::CONTENT_LENGTH);
    Ok(response)
}

/// An export under way.
struct Export {
    admin: Admin,
    actor: Actor,
    query: AuditQuery,
    /// What was read and not sent; absent: everything was sent.
    found: Option<Page<AuditRow>>,
}

impl Export {
    /// The next stretch of lines, and what is left.
    async fn stretch(mut self) -> Option<(Result<Bytes, ControlError>, Self)> {
        let found = self.found.take()?;
        let mut lines = String::new();
        for row in found.items {
            if let Ok(line) = serde_json::to_string(&shown(row)) {
                lines.push_str(&line);
                lines.push('\n');
            }
        }
        self.query.after = found.next;
        if self.query.after.is_some() {
            match self.admin.control().audit().list(&self.actor, self.query.clone()).await {
                Ok(found) => self.found = Some(found),
                Err(error) => {
                    tracing::warn!(%error, "an export of the audit broke off");
                    return Some((Err(error), self));
                }
            }
        }
        Some((Ok(Bytes::from(lines)), self))
    }
}

pub(crate) async fn verify(State(admin): State<Admin>, asked: Asked) -> Result<Response, Refusal> {
    let mark = match (asked.get("entries"), asked.get("hash")) {
        (None, None) => None,
        (Some(entries), Some(hash)) => Some(AuditMark {
            entries: entries.parse().map_err(|_| Refusal::parameter("entries", "must be a number"))?,
            hash: hash.to_owned(),
        }),
        _ => return Err(Refusal::parameter("hash", "goes with `entries`: both as an earlier check said")),
    };
    let revision = admin.control().revision();
    let check = admin.control().audit().verify(&asked.actor, mark).await?;
    Ok(json(revision, &AuditCheck { entries: check.entries, hash: check.hash }))
}

fn query(asked: &Asked) -> Result<AuditQuery, Refusal> {
    let text = |name: &str| asked.get(name).map(ToOwned::to_owned);
    Ok(AuditQuery {
        actor: text("actor"),
        account: asked.parsed("account")?,
        noun: text("noun"),
        object: text("object"),
        action: text("action"),
        touch: text("touch"),
        from: asked.parsed("from")?,
        until: asked.parsed("until")?,
        ..AuditQuery::default()
    })
}

fn shown(row: AuditRow) -> AuditEntry {
    AuditEntry {
        seq: row.seq,
        revision: row.revision,
        at: row.at.to_string(),
        actor: row.actor,
        action: row.action,
        touch: row.touch,
        noun: row.noun,
        object: row.object,
        account: row.account,
        detail: serde_json::from_str(&row.detail).unwrap_or(serde_json::Value::Null),
    }
}
