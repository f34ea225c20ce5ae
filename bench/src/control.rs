//! The control before measuring: a proxy that would let anybody pass must not be timed as one that does not.

use crate::callers::Callers;
use crate::failure::{Failure, Outcome};
use crate::load::{Reply, Wire};
use crate::proxy::Running;
use crate::request::{BODY, Request};
use crate::subject::{Case, Proxy, Subject};
use std::fmt;

/// One call with what must become of it.
struct Trial {
    what: &'static str,
    request: Vec<u8>,
    expected: Expected,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// The backend's 200 with its body.
    Served,
    /// This status, and the backend saw nothing.
    Refused(u16),
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Served => f.write_str("the backend's 200"),
            Self::Refused(status) => write!(f, "a {status} that the backend knows nothing of"),
        }
    }
}

/// Tries good, missing, forged, replayed and ungranted credentials on a proxy; tells how many calls that took.
pub(crate) fn check(wire: &mut Wire, running: &Running, callers: &Callers) -> Outcome<u64> {
    let mut count = 0;
    for trial in trials(running.subject, callers)? {
        let reply = wire.ask(running.address, &trial.request)?;
        count += 1;
        if !holds(&reply, trial.expected) {
            return Err(Failure::new(format!(
                "{} answered {} with {}{}, where {} was expected: nothing is measured",
                running.subject.label(),
                trial.what,
                reply.status,
                if reply.reached_backend { " from the backend" } else { "" },
                trial.expected
            )));
        }
    }
    Ok(count)
}

fn holds(reply: &Reply, expected: Expected) -> bool {
    match expected {
        Expected::Served => reply.status == 200 && reply.body == BODY.as_bytes() && reply.reached_backend,
        Expected::Refused(status) => reply.status == status && !reply.reached_backend,
    }
}

fn trials(subject: Subject, callers: &Callers) -> Outcome<Vec<Trial>> {
    let case = subject.case;
    let caller = callers.granted.first().ok_or_else(|| Failure::new("there are no callers"))?;
    let good = callers.call(case, caller)?.next()?.to_vec();
    let served = |what, request| Trial { what, request, expected: Expected::Served };
    let refused = |what, request, status| Trial { what, request, expected: Expected::Refused(status) };
    let mut trials = vec![served("a good call", good.clone())];
    if case == Case::WasmNoop {
        trials.push(refused(
            "a call that the plugin answers itself",
            Request::with(&many_fields()).bytes,
            418,
        ));
        trials.push(served("a good call after that", good.clone()));
    }
    if !case.authenticates() {
        return Ok(trials);
    }
    trials.push(refused("a call without a credential", Request::with("").bytes, 401));
    trials.push(refused("a forged credential", callers.forged_call(case, caller)?.next()?.to_vec(), 401));
    if case == Case::AlibabaSignature {
        trials.push(refused("a replayed call", good, 401));
    }
    if subject.proxy == Proxy::Keyward {
        let stranger = callers.call(case, &callers.stranger)?.next()?.to_vec();
        // A plugin admits whom it was told of, and asks for no grant.
        let status = if matches!(case, Case::KeyAuth | Case::KeyAuthRef) { 401 } else { 403 };
        trials.push(refused("a caller without a grant", stranger, status));
    }
    trials.push(served("a good call after the refusals", callers.call(case, caller)?.next()?.to_vec()));
    Ok(trials)
}

/// More header fields than the plugin that does nothing lets pass.
fn many_fields() -> String {
    (0..48).map(|number| format!("X-Field-{number}: {number}\r\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(proxy: Proxy, case: Case) -> Vec<&'static str> {
        let callers = Callers::new(1).unwrap();
        trials(Subject { proxy, case }, &callers).unwrap().iter().map(|trial| trial.what).collect()
    }

    #[test]
    fn every_authenticating_proxy_is_tried_without_and_with_a_forged_credential() {
        for (proxy, case) in [(Proxy::Nginx, Case::ApiKey), (Proxy::Envoy, Case::ApiKey)] {
            let names = names(proxy, case);
            assert!(names.contains(&"a call without a credential") && names.contains(&"a forged credential"));
        }
        let keyward = names(Proxy::Keyward, Case::AlibabaSignature);
        assert!(keyward.contains(&"a replayed call") && keyward.contains(&"a caller without a grant"));
        assert_eq!(names(Proxy::Nginx, Case::Plain), ["a good call"]);
        assert!(names(Proxy::Envoy, Case::WasmNoop).contains(&"a call that the plugin answers itself"));
    }

    #[test]
    fn a_refusal_that_reached_the_backend_is_none() {
        let reply = |status, reached_backend| Reply { status, body: BODY.into(), reached_backend };
        assert!(holds(&reply(200, true), Expected::Served));
        assert!(!holds(&reply(200, false), Expected::Served));
        assert!(holds(&reply(401, false), Expected::Refused(401)));
        assert!(!holds(&reply(401, true), Expected::Refused(401)));
        assert!(!holds(&reply(500, false), Expected::Refused(401)));
    }
}
