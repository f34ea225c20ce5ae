//! Whole worlds: apply and export.

use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use keyward_api::{Applied, WorldFile, write_yaml};
use keyward_control::ApplyOptions;

use crate::Admin;
use crate::answer::{json, minted, touched, warning};
use crate::refusal::Refusal;
use crate::request::{Asked, bounded, media_of};

/// Largest world file, in bytes: about a million applications.
pub(crate) const WORLD_MAX: usize = 512 << 20;

/// Makes what a world file names so, in one transaction.
pub(crate) async fn apply(
    State(admin): State<Admin>,
    asked: Asked,
    request: Request,
) -> Result<Response, Refusal> {
    let options = ApplyOptions { dry_run: asked.flag("dry_run"), prune: asked.flag("prune") };
    let json_body = media_of(&request)? == "application/json";
    let body = bounded(request, WORLD_MAX).await?;
    let file = tokio::task::spawn_blocking(move || read(&body, json_body))
        .await
        .map_err(|_| Refusal::new(500, "internal", "the world could not be read; see the node's log"))??;
    let applied = asked.control(&admin).apply(&asked.actor, file.world, options).await?;
    let body = Applied {
        revision: applied.revision.number,
        dry_run: options.dry_run,
        created: applied.created.iter().map(touched).collect(),
        changed: applied.changed.iter().map(touched).collect(),
        unchanged: applied.unchanged.iter().map(touched).collect(),
        removed: applied.removed.iter().map(touched).collect(),
        minted: applied.minted.iter().map(minted).collect(),
        warnings: applied.warnings.iter().map(warning).collect(),
        cluster: None,
    };
    Ok(json(applied.revision, &body))
}

/// There is no environment here: the caller's is not on this side, and the node's is none of the caller's business.
/// `keyward apply` puts variables in before it sends a file.
fn read(body: &[u8], json_body: bool) -> Result<WorldFile, Refusal> {
    let nothing = |_: &str| None;
    let file = if json_body {
        WorldFile::parse_json(body, &nothing)
    } else {
        let text = WorldFile::text(body).map_err(|problem| Refusal::malformed(vec![problem]))?;
        WorldFile::parse(text, &nothing)
    };
    file.map_err(Refusal::invalid)
}

/// Writes everything, or what belongs to one account, as a world file without secret values.
pub(crate) async fn export(State(admin): State<Admin>, asked: Asked) -> Result<Response, Refusal> {
    let accounts = asked.parsed("account")?.into_iter().collect();
    let control = asked.control(&admin);
    let revision = control.revision();
    let world = asked.control(&admin).export(&asked.actor, accounts).await?;
    let text =
        tokio::task::spawn_blocking(move || write_yaml(&world)).await.ok().and_then(Result::ok).ok_or_else(
            || Refusal::new(500, "internal", "the world could not be written; see the node's log"),
        )?;
    let mut response = json(revision, &());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/yaml"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    *response.body_mut() = text.into();
    response.headers_mut().remove(axum::http::header::CONTENT_LENGTH);
    Ok(response.into_response())
}
