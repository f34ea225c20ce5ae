//! What would be decided, and who may call.

use axum::extract::State;
use axum::response::Response;
use keyward_api::{Answer, Explanation, NearMiss, Permitted, WhoCan};
use keyward_control::{Ask, AskedCaller, ObjectRef};
use keyward_model::{CallerKind, Name, Stage};

use crate::Admin;
use crate::answer::json;
use crate::refusal::Refusal;
use crate::request::Asked;

/// Would this be permitted, and why?
pub(crate) async fn explain(State(admin): State<Admin>, asked: Asked) -> Result<Response, Refusal> {
    let account = asked.account()?;
    let caller = caller(&asked, &account)?;
    let explained = asked.control(&admin).explain(&asked.actor, ask(&asked, &account)?, caller).await?;
    let object = Explanation {
        decision: if explained.decision.is_ok() { "allow" } else { "deny" }.to_owned(),
        reason: match explained.decision {
            Ok(Some(_)) => "granted".to_owned(),
            Ok(None) => "anyone".to_owned(),
            Err(reason) => reason.code().to_owned(),
        },
        grant: explained.grant.map(|grant| grant.to_string()),
        near_misses: explained
            .near_misses
            .into_iter()
            .map(|(grant, reason, detail)| NearMiss {
                grant: grant.to_string(),
                reason: reason.code().to_owned(),
                detail,
            })
            .collect(),
    };
    let revision = explained.revision;
    Ok(json(
        revision,
        &Answer {
            revision: revision.number,
            object,
            minted: Vec::new(),
            warnings: Vec::new(),
            cluster: None,
        },
    ))
}

/// Who would be permitted this?
pub(crate) async fn who_can(State(admin): State<Admin>, asked: Asked) -> Result<Response, Refusal> {
    let account = asked.account()?;
    let who = asked.control(&admin).who_can(&asked.actor, ask(&asked, &account)?).await?;
    let items = who
        .callers
        .into_iter()
        .map(|caller| Permitted {
            noun: caller.id.kind().noun().to_owned(),
            account: caller.account.map(|name| name.to_string()),
            name: caller.name.to_string(),
            id: caller.id.to_string(),
            grant: caller.grant.to_string(),
        })
        .collect();
    Ok(json(who.revision, &WhoCan { revision: who.revision.number, anyone: who.anyone, items }))
}

fn ask(asked: &Asked, account: &Name) -> Result<Ask, Refusal> {
    let api = asked.get("api").ok_or_else(|| Refusal::parameter("api", "is missing; name an API"))?;
    let wrong = |error| Refusal::parameter("api", error);
    let elsewhere = match asked.parsed::<Name>("api_account")? {
        Some(_) => None,
        None => "default".parse().ok().filter(|default| default != account),
    };
    let api_account = asked.parsed("api_account")?.unwrap_or_else(|| account.clone());
    let gateway = asked.get("gateway").unwrap_or("default");
    Ok(Ask {
        gateway: ObjectRef::parse(gateway, account).map_err(|error| Refusal::parameter("gateway", error))?,
        api: ObjectRef::parse(api, &api_account).map_err(wrong)?,
        api_else: elsewhere.map(|account| ObjectRef::parse(api, &account)).transpose().map_err(wrong)?,
        stage: asked.parsed("stage")?.unwrap_or(Stage::Release),
        operation: asked.get("operation").map(operation).transpose()?,
        at: asked.parsed("at")?,
    })
}

/// `GET /orders/1`: a method and a path below the base path.
fn operation(text: &str) -> Result<(String, String), Refusal> {
    match text.split_once(' ') {
        Some((method, path)) if !method.is_empty() && path.starts_with('/') => {
            Ok((method.to_owned(), path.to_owned()))
        }
        _ => Err(Refusal::parameter(
            "operation",
            "must be a method and a path below the base path, like `GET /42`",
        )),
    }
}

fn caller(asked: &Asked, account: &Name) -> Result<AskedCaller, Refusal> {
    let named = |parameter: &str, kind, text: &str| {
        let of = ObjectRef::parse(text, account).map_err(|error| Refusal::parameter(parameter, error))?;
        Ok(AskedCaller::Caller(kind, of))
    };
    match (asked.get("application"), asked.get("consumer"), asked.get("app_key")) {
        (None, None, None) => Ok(AskedCaller::Anyone),
        (Some(text), None, None) => named("application", CallerKind::Application, text),
        (None, Some(text), None) => named("consumer", CallerKind::Consumer, text),
        (None, None, Some(text)) => {
            text.parse().map(AskedCaller::AppKey).map_err(|error| Refusal::parameter("app_key", error))
        }
        _ => Err(Refusal::parameter("application", "name one of application, consumer, app_key")),
    }
}
