//! Errors to statuses: the one place on the admin plane.

use axum::Json;
use axum::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use keyward_api::{FieldProblem, Mention, PROBLEM_JSON, Problem};
use keyward_control::{ControlError, ErrorKind};

use crate::answer::mention;

/// Why a request was not done. Boxed, for it is rare.
///
/// As a response it is an empty one that carries the problem; [`finished`] writes it out with the revision.
#[derive(Clone, Debug)]
pub(crate) struct Refusal(Box<Problem>);

/// The code of a control error that says that the object is no longer the one that the request was made for.
pub(crate) const CHANGED_MEANWHILE: &str = "changed_meanwhile";

impl Refusal {
    pub(crate) fn new(status: u16, code: &str, title: impl Into<String>) -> Self {
        Self(Box::new(Problem::new(status, code, title)))
    }

    pub(crate) fn code(&self) -> &str {
        &self.0.code
    }

    pub(crate) fn status(&self) -> u16 {
        self.0.status
    }

    /// What is wrong, for people.
    pub(crate) fn text(&self) -> String {
        let all: Vec<&str> = self.0.problems.iter().map(|problem| problem.message.as_str()).collect();
        if all.is_empty() { self.0.title.clone() } else { all.join("; ") }
    }

    /// What was given is wrong in these ways.
    pub(crate) fn invalid(problems: Vec<FieldProblem>) -> Self {
        Self(Box::new(Problem::invalid(422, "invalid", problems)))
    }

    /// What was sent cannot even be read, for these reasons.
    pub(crate) fn malformed(problems: Vec<FieldProblem>) -> Self {
        Self(Box::new(Problem::invalid(400, "body_malformed", problems)))
    }

    /// One parameter of the path or the query is wrong.
    pub(crate) fn parameter(name: &str, message: impl ToString) -> Self {
        let problem =
            FieldProblem { line: 0, column: 0, path: name.to_owned(), message: message.to_string() };
        Self(Box::new(Problem::invalid(422, "parameter_invalid", vec![problem])))
    }
}

impl From<ControlError> for Refusal {
    fn from(error: ControlError) -> Self {
        let status = match (error.code(), error.kind()) {
            (CHANGED_MEANWHILE, _) => 412,
            // It is not the object of the request that is unknown, but one that its description names.
            (_, ErrorKind::NotFound) if !error.path().is_empty() => 422,
            (_, kind) => kind.status(),
        };
        let problems: Vec<FieldProblem> = error
            .problems()
            .iter()
            .map(|problem| FieldProblem {
                line: problem.place.line,
                column: problem.place.column,
                path: problem.place.path.clone(),
                message: problem.text.clone(),
            })
            .collect();
        if error.kind() == ErrorKind::StoreUnavailable {
            tracing::error!(%error, "the store did not take or answer something");
        }
        let mut problem = Problem::invalid(status, error.code(), problems);
        problem.retry_after_s = error.retry_after_s();
        problem.users = error.users().iter().map(mention).collect::<Vec<Mention>>();
        Self(Box::new(problem))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response =
            StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR).into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// The response as it is sent: a refusal is written out, resting on this revision. Whoever is not known is not told
/// how often the configuration has changed.
pub(crate) fn finished(mut response: Response, revision: Option<u64>) -> Response {
    let Some(Refusal(mut problem)) = response.extensions_mut().remove::<Refusal>() else { return response };
    problem.revision = revision;
    let retry_after_s = problem.retry_after_s;
    let mut finished = (response.status(), Json(problem)).into_response();
    let headers = finished.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(seconds) = retry_after_s {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if response.status() == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"keyward\""));
    }
    if let Some(allowed) = response.headers_mut().remove(ALLOW) {
        headers.insert(ALLOW, allowed);
    }
    finished
}

/// No route has this path.
pub(crate) async fn no_route() -> Refusal {
    Refusal::new(404, "route_unknown", "there is no such route")
}

/// A route has this path, but not with this method. The methods that there are stand in `Allow`.
pub(crate) fn no_method(allowed: &str) -> Response {
    let refusal = Refusal::new(405, "method_not_allowed", format!("this path takes {allowed}"));
    let mut response = refusal.into_response();
    if let Ok(allowed) = HeaderValue::from_str(allowed) {
        response.headers_mut().insert(ALLOW, allowed);
    }
    response
}
