//! Who calls: a population of callers, each with one credential of every kind, and a stranger without a grant.

use crate::alibaba::{Nonces, Signer};
use crate::failure::{OrFail as _, Outcome};
use crate::jwt::Issuer;
use crate::load::Call;
use crate::request::Request;
use crate::subject::Case;
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use std::fmt::Write as _;
use std::rc::Rc;

/// One caller and all that it may present.
pub(crate) struct Caller {
    /// The name in the world file and in the peers' configurations.
    pub(crate) name: String,
    pub(crate) api_key: String,
    pub(crate) app_key: String,
    pub(crate) app_secret: String,
    /// What the claim `uid` of this caller's tokens holds.
    pub(crate) uid: String,
    hs256: String,
    es256: String,
}

/// Everybody who calls in this run.
pub(crate) struct Callers {
    pub(crate) granted: Vec<Caller>,
    /// Has valid credentials and no grant: a proxy that checks grants refuses it.
    pub(crate) stranger: Caller,
    pub(crate) hs256: Issuer,
    pub(crate) es256: Issuer,
    nonces: Rc<Nonces>,
}

impl Callers {
    /// Makes `count` callers with random credentials.
    pub(crate) fn new(count: usize) -> Outcome<Self> {
        let (hs256, es256) = (Issuer::hs256()?, Issuer::es256()?);
        let caller = |index: usize, name: String| -> Outcome<Caller> {
            let uid = random_hex(16)?;
            Ok(Caller {
                name,
                api_key: format!("bench_{}", random_hex(20)?),
                app_key: format!("{}", 203_700_000 + index),
                app_secret: random_hex(16)?,
                hs256: hs256.token(&uid)?,
                es256: es256.token(&uid)?,
                uid,
            })
        };
        let granted = (0..count).map(|i| caller(i, format!("caller-{i:04}"))).collect::<Outcome<_>>()?;
        let stranger = caller(count, "stranger".to_owned())?;
        let seed = u64::from_str_radix(&random_hex(8)?, 16).or_fail(|| "seeding the nonces".into())?;
        Ok(Self { granted, stranger, hs256, es256, nonces: Rc::new(Nonces::new(seed)) })
    }

    /// How `caller` calls in `case`.
    pub(crate) fn call(&self, case: Case, caller: &Caller) -> Outcome<Call> {
        match case {
            Case::AlibabaSignature => Call::signed(self.signer(caller, &caller.app_secret)),
            _ => Ok(Call::fixed(Request::with(&self.header_lines(case, caller)))),
        }
    }

    /// The same call with the proof spoilt: what no authenticating proxy may let pass.
    pub(crate) fn forged_call(&self, case: Case, caller: &Caller) -> Outcome<Call> {
        match case {
            Case::AlibabaSignature => Call::signed(self.signer(caller, "not-the-secret-of-this-key-pair")),
            _ => Ok(Call::fixed(Request::with(&spoil(&self.header_lines(case, caller))))),
        }
    }

    fn signer(&self, caller: &Caller, secret: &str) -> Signer {
        Signer::new(&caller.app_key, secret, Rc::clone(&self.nonces))
    }

    fn header_lines(&self, case: Case, caller: &Caller) -> String {
        match case {
            Case::Plain | Case::AlibabaSignature | Case::WasmNoop => String::new(),
            Case::ApiKey | Case::KeyAuth | Case::KeyAuthRef => format!("X-API-Key: {}\r\n", caller.api_key),
            Case::JwtHs256 => format!("Authorization: Bearer {}\r\n", caller.hs256),
            Case::JwtEs256 => format!("Authorization: Bearer {}\r\n", caller.es256),
        }
    }
}

/// Changes one character ten places from the end, which lies in the key or in the token's signature.
fn spoil(lines: &str) -> String {
    let place = lines.trim_end().chars().count().saturating_sub(10);
    let other = |c| if c == 'a' { 'b' } else { 'a' };
    lines.chars().enumerate().map(|(at, c)| if at == place { other(c) } else { c }).collect()
}

fn random_hex(bytes: usize) -> Outcome<String> {
    let mut random = vec![0u8; bytes];
    SystemRandom::new().fill(&mut random).or_fail(|| "reading the system's random numbers".into())?;
    Ok(random.iter().fold(String::with_capacity(bytes * 2), |mut hex, byte| {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forged_call_differs_from_the_true_one_in_one_character() {
        let callers = Callers::new(1).unwrap();
        for case in [Case::ApiKey, Case::JwtHs256, Case::JwtEs256] {
            let lines = callers.header_lines(case, &callers.granted[0]);
            let forged = spoil(&lines);
            assert_eq!(forged.len(), lines.len());
            assert_eq!(forged.bytes().zip(lines.bytes()).filter(|(a, b)| a != b).count(), 1, "{case:?}");
        }
    }

    #[test]
    fn callers_do_not_share_credentials() {
        let callers = Callers::new(3).unwrap();
        let mut keys: Vec<&str> = callers.granted.iter().map(|caller| caller.api_key.as_str()).collect();
        keys.push(&callers.stranger.api_key);
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), 4);
    }
}
