//! Credentials, worked up for decisions, and which of them are claimed twice.

use std::collections::BTreeSet;
use std::sync::Arc;

use keyward_model::{AccountId, CallerId, CallerKind, Credential, CredentialId, JwkSet, Proof};

use super::callers::Heads;
use super::{IdMap, Work, invalid};
use crate::jwt::VerifyingKeys;
use crate::signature::SigningSecret;
use crate::snapshot::Snapshot;
use crate::snapshot::entry::{CallerEntry, CredentialEntry, END_OF_TIME, JwtEntry, KeyPairEntry, ProofEntry};
use crate::snapshot::hashes::{Hashes, hash_of_secret};
use crate::snapshot::update::{ObjectId, Problem, ProblemKind};

/// Works credentials up. Key sets that are the same are worked up once.
#[derive(Default)]
pub(super) struct Workshop {
    key_sets: IdMap<u64, Vec<(JwkSet, Arc<VerifyingKeys>)>>,
}

impl Workshop {
    /// The form of a credential that decisions need.
    pub(super) fn work_up(
        &mut self,
        hashes: &Hashes,
        caller: CallerId,
        credential: Credential,
    ) -> Result<CredentialEntry, Problem> {
        let object = ObjectId::Credential(caller, credential.id);
        let kind = credential.proof.kind();
        if credential.caller != caller {
            return Err(invalid(object, format!("it is `{}`'s, not `{caller}`'s", credential.caller)));
        }
        let proof = match (caller.kind(), credential.proof) {
            (CallerKind::Application, Proof::KeyPair { app_key, app_secret, scheme, .. }) => {
                let secret = SigningSecret::new(&app_secret);
                ProofEntry::KeyPair(Box::new(KeyPairEntry { app_key, secret, scheme }))
            }
            (CallerKind::Application, Proof::AppCode { digest }) => ProofEntry::AppCode(digest),
            (CallerKind::Consumer, Proof::ApiKey { digest }) => ProofEntry::ApiKey(digest),
            (CallerKind::Consumer, Proof::Jwt(binding)) => {
                let own = binding.settings.remote.is_none().then_some(binding.jwks);
                let keys = own.map(|set| self.keys(hashes, set)).transpose();
                let keys = keys.map_err(|error| invalid(object, error.to_string()))?;
                let (settings, identity) = (binding.settings, binding.identity_claim);
                ProofEntry::Jwt(Box::new(JwtEntry { keys, settings, identity }))
            }
            (noun, _) => {
                let text = format!("a credential of kind `{kind}` cannot belong to an {}", noun.noun());
                return Err(invalid(object, text));
            }
        };
        let until = credential.valid_until.unwrap_or(END_OF_TIME);
        Ok(CredentialEntry { id: credential.id, enabled: credential.enabled, until, proof })
    }

    fn keys(
        &mut self,
        hashes: &Hashes,
        set: JwkSet,
    ) -> Result<Arc<VerifyingKeys>, keyward_model::ParseError> {
        let seen = self.key_sets.entry(hash_of_secret(hashes, &set.to_json())).or_default();
        if let Some((_, keys)) = seen.iter().find(|(other, _)| *other == set) {
            return Ok(Arc::clone(keys));
        }
        let keys = Arc::new(VerifyingKeys::compile(&set)?);
        seen.push((set, Arc::clone(&keys)));
        Ok(keys)
    }
}

/// What a credential is looked up by.
pub(super) fn hash_of(hashes: &Hashes, account: AccountId, credential: &CredentialEntry) -> u64 {
    match &credential.proof {
        ProofEntry::KeyPair(pair) => hashes.app_key(pair.app_key.as_str()),
        ProofEntry::AppCode(digest) | ProofEntry::ApiKey(digest) => hashes.digest(digest),
        ProofEntry::Jwt(jwt) => hashes.identity(account, &jwt.identity.name, &jwt.identity.value),
    }
}

/// What every credential of a caller is looked up by, each hash once.
pub(super) fn hashes_of(hashes: &Hashes, caller: &CallerEntry) -> BTreeSet<u64> {
    caller.credentials.iter().map(|credential| hash_of(hashes, caller.account, credential)).collect()
}

/// One credential, and what it claims.
struct Claim {
    hash: u64,
    credential: CredentialId,
    caller: CallerId,
    index: usize,
}

impl Work<'_> {
    /// Leaves out credentials that are claimed twice: what is there already stays, else the older one.
    pub(super) fn check_claims(&mut self, heads: &mut Heads) {
        let mut claims: Vec<Claim> = Vec::new();
        for (&caller, head) in heads.iter().filter_map(|(id, head)| Some((id, head.as_ref()?))) {
            claims.extend(head.credentials.iter().enumerate().map(|(index, credential)| {
                let hash = hash_of(&self.base.hashes, head.account, credential);
                Claim { hash, credential: credential.id, caller, index }
            }));
        }
        claims.sort_by_key(|claim| (claim.hash, claim.credential, claim.caller));
        let mut problems = Vec::new();
        let mut losers: Vec<(CallerId, CredentialId)> = Vec::new();
        for same_hash in claims.chunk_by(|one, other| one.hash == other.hash) {
            for (position, claim) in same_hash.iter().enumerate() {
                let earlier = same_hash.get(..position).unwrap_or_default();
                let Some((account, credential)) = claimed(heads, claim) else { continue };
                let holder = self.holder(heads, claim.hash, account, credential).or_else(|| {
                    let same = earlier.iter().filter(|other| {
                        claimed(heads, other)
                            .is_some_and(|(at, other)| is_same(account, credential, at, other))
                    });
                    same.map(|other| (other.caller, other.credential)).next()
                });
                if let Some(holder) = holder {
                    problems.push(twice((claim.caller, credential), holder));
                    losers.push((claim.caller, claim.credential));
                }
            }
        }
        self.problems.extend(problems);
        for (caller, loser) in losers {
            if let Some(Some(head)) = heads.get_mut(&caller) {
                head.credentials.retain(|credential| credential.id != loser);
            }
        }
    }

    /// Who has this claim already and keeps it.
    fn holder(
        &self,
        heads: &Heads,
        hash: u64,
        account: AccountId,
        credential: &CredentialEntry,
    ) -> Option<(CallerId, CredentialId)> {
        let base: &Snapshot = self.base;
        let mut stay = base.credentials.get(hash).filter(|caller| !heads.contains_key(&caller.id));
        stay.find_map(|caller| {
            let mut theirs = caller.credentials.iter();
            let same = theirs.find(|other| is_same(account, credential, caller.account, other))?;
            Some((caller.id, same.id))
        })
    }
}

fn claimed<'h>(heads: &'h Heads, claim: &Claim) -> Option<(AccountId, &'h CredentialEntry)> {
    let head = heads.get(&claim.caller)?.as_ref()?;
    head.credentials.get(claim.index).map(|credential| (head.account, credential))
}

/// Do two credentials claim the same? AppKeys do also where only their case differs.
fn is_same(
    account: AccountId,
    one: &CredentialEntry,
    other_account: AccountId,
    other: &CredentialEntry,
) -> bool {
    use ProofEntry::{ApiKey, AppCode, Jwt, KeyPair};
    match (&one.proof, &other.proof) {
        (KeyPair(one), KeyPair(other)) => one.app_key.as_str().eq_ignore_ascii_case(other.app_key.as_str()),
        (AppCode(one) | ApiKey(one), AppCode(other) | ApiKey(other)) => one == other,
        (Jwt(one), Jwt(other)) => account == other_account && one.identity == other.identity,
        _ => false,
    }
}

fn twice((caller, credential): (CallerId, &CredentialEntry), holder: (CallerId, CredentialId)) -> Problem {
    let text = match &credential.proof {
        ProofEntry::KeyPair(pair) => format!(
            "the AppKey `{}` is taken: AppKeys are unique over all accounts, also when case is ignored; choose another",
            pair.app_key
        ),
        ProofEntry::AppCode(_) => "another credential has this value: choose another AppCode".into(),
        ProofEntry::ApiKey(_) => "another credential has this value: choose another API key".into(),
        ProofEntry::Jwt(jwt) => format!(
            "the identity claim `{}` = `{}` names another consumer of this account: choose another value",
            jwt.identity.name.escape_debug(),
            jwt.identity.value.escape_debug()
        ),
    };
    Problem {
        object: ObjectId::Credential(caller, credential.id),
        other: Some(ObjectId::Credential(holder.0, holder.1)),
        kind: ProblemKind::Conflict,
        text,
    }
}
