//! Credentials, worked up for decisions, and which of them are claimed twice.

use std::collections::BTreeSet;
use std::sync::Arc;

use keyward_model::{
    AccountId, CallerId, CallerKind, Credential, CredentialDigest, CredentialId, CredentialKind, JwkSet,
    JwtBinding, JwtKeys, OpaqueProof, Plaintext, Proof, SecretText, Timestamp, check_app_secret,
    check_opaque,
};

use super::callers::Heads;
use super::{IdMap, Manner, Work, invalid};
use crate::jwt::VerifyingKeys;
use crate::signature::SigningSecret;
use crate::snapshot::Snapshot;
use crate::snapshot::entry::{
    CallerEntry, CredentialEntry, END_OF_TIME, JwtEntry, KeyPairEntry, ProofEntry, Referred,
};
use crate::snapshot::hashes::{Hashes, hash_of_secret};
use crate::snapshot::secrets::{Alternative, Resolved, Trouble};
use crate::snapshot::update::{ObjectId, Problem, ProblemKind};

/// Works credentials up. Key sets that are the same are worked up once.
#[derive(Default)]
pub(super) struct Workshop {
    key_sets: IdMap<u64, Vec<(JwkSet, Arc<VerifyingKeys>)>>,
}

impl Workshop {
    /// The form of a credential that decisions need: one entry, or for a reference one for each value that it may have.
    pub(super) fn work_up(
        &mut self,
        snapshot: &Snapshot,
        (caller, account): (CallerId, AccountId),
        credential: Credential,
    ) -> Result<Vec<CredentialEntry>, Problem> {
        let object = ObjectId::Credential(caller, credential.id);
        if credential.caller != caller {
            return Err(invalid(object, format!("it is `{}`'s, not `{caller}`'s", credential.caller)));
        }
        let fits = matches!(
            (caller.kind(), &credential.proof),
            (CallerKind::Application, Proof::KeyPair { .. } | Proof::AppCode(_))
                | (CallerKind::Consumer, Proof::ApiKey(_) | Proof::Jwt(_))
        );
        if !fits {
            let (kind, noun) = (credential.proof.kind(), caller.kind().noun());
            return Err(invalid(object, format!("a credential of kind `{kind}` cannot belong to an {noun}")));
        }
        match credential.proof.reference().cloned() {
            Some(text) => Ok(self.work_up_referred(snapshot, account, &text, credential)),
            None => {
                let proof = self.plain(snapshot, &credential.proof).map_err(|why| invalid(object, why))?;
                Ok(vec![entry(&credential, proof, END_OF_TIME, None)])
            }
        }
    }

    /// Entries for every value that the reference may have; where there is none, one that nothing matches.
    fn work_up_referred(
        &mut self,
        snapshot: &Snapshot,
        account: AccountId,
        text: &SecretText,
        source: Credential,
    ) -> Vec<CredentialEntry> {
        let Resolved { values, mut trouble } = snapshot.resolve_secrets(account, text);
        let mut proofs = Vec::new();
        for (at, Alternative { value, uses, until }) in values.into_iter().enumerate() {
            match self.resolved(snapshot, &source.proof, &value) {
                Ok(proof) => proofs.push((proof, until, uses)),
                // What came before may be unfit without harm: it proves nothing then.
                Err(why) if at == 0 => trouble = trouble.or(Some(Trouble::unfit(why))),
                Err(_) => {}
            }
        }
        proofs.dedup_by(|(one, ..), (other, ..)| same_digest(one, other));
        let has_value = !proofs.is_empty();
        if !has_value {
            trouble = trouble.or_else(|| Some(Trouble::away("it cannot be resolved")));
            proofs.push((nothing(&source.proof), END_OF_TIME, Box::default()));
        }
        let source = Arc::new(source);
        let entries = proofs.into_iter().map(|(proof, until, uses)| {
            let (source, trouble) = (Arc::clone(&source), trouble.clone());
            let referred = Arc::new(Referred { source, trouble, has_value, uses });
            entry(&referred.source, proof, until, Some(Arc::clone(&referred)))
        });
        entries.collect()
    }

    fn plain(&mut self, snapshot: &Snapshot, proof: &Proof) -> Result<ProofEntry, String> {
        Ok(match proof {
            Proof::KeyPair { app_key, app_secret, scheme, .. } => {
                let plain = app_secret.plain().ok_or("its AppSecret is not resolved")?;
                let secret = SigningSecret::new(plain);
                ProofEntry::KeyPair(Box::new(KeyPairEntry {
                    app_key: app_key.clone(),
                    secret,
                    scheme: *scheme,
                }))
            }
            Proof::AppCode(OpaqueProof::Digest(digest)) => ProofEntry::AppCode(*digest),
            Proof::ApiKey(OpaqueProof::Digest(digest)) => ProofEntry::ApiKey(*digest),
            Proof::AppCode(_) | Proof::ApiKey(_) => return Err("it is not resolved".to_owned()),
            Proof::Jwt(binding) => {
                let keys = match &binding.keys {
                    JwtKeys::Own(set) if binding.settings.remote.is_none() => {
                        Some(self.keys(&snapshot.hashes, set.clone()).map_err(|error| error.to_string())?)
                    }
                    _ => None,
                };
                jwt(binding, keys)
            }
        })
    }

    /// What this value makes of the proof.
    fn resolved(
        &mut self,
        snapshot: &Snapshot,
        proof: &Proof,
        value: &Plaintext,
    ) -> Result<ProofEntry, String> {
        let digest = || -> Result<CredentialDigest, String> {
            check_opaque(value)?;
            Ok(snapshot.digest(value.expose_secret().as_bytes()))
        };
        Ok(match proof {
            Proof::KeyPair { app_key, scheme, .. } => {
                check_app_secret(value)?;
                let secret = SigningSecret::new(value);
                ProofEntry::KeyPair(Box::new(KeyPairEntry {
                    app_key: app_key.clone(),
                    secret,
                    scheme: *scheme,
                }))
            }
            Proof::AppCode(_) => ProofEntry::AppCode(digest()?),
            Proof::ApiKey(_) => ProofEntry::ApiKey(digest()?),
            Proof::Jwt(binding) => {
                let set = JwkSet::of_secret(value).map_err(|error| error.to_string())?;
                jwt(binding, Some(self.keys(&snapshot.hashes, set).map_err(|error| error.to_string())?))
            }
        })
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

fn entry(
    credential: &Credential,
    proof: ProofEntry,
    until: Timestamp,
    referred: Option<Arc<Referred>>,
) -> CredentialEntry {
    let until = credential.valid_until.map_or(until, |own| own.min(until));
    CredentialEntry { id: credential.id, enabled: credential.enabled, until, proof, referred }
}

fn jwt(binding: &JwtBinding, keys: Option<Arc<VerifyingKeys>>) -> ProofEntry {
    let (settings, identity) = (binding.settings.clone(), binding.identity_claim.clone());
    ProofEntry::Jwt(Box::new(JwtEntry { keys, settings, identity }))
}

/// What is left of a proof that cannot be resolved. What is named in the open can still be found, so that the refusal can say why.
fn nothing(proof: &Proof) -> ProofEntry {
    match proof {
        Proof::KeyPair { app_key, scheme, .. } => {
            let secret = SigningSecret::dummy().clone();
            ProofEntry::KeyPair(Box::new(KeyPairEntry { app_key: app_key.clone(), secret, scheme: *scheme }))
        }
        Proof::AppCode(_) => ProofEntry::Nothing(CredentialKind::AppCode),
        Proof::ApiKey(_) => ProofEntry::Nothing(CredentialKind::ApiKey),
        Proof::Jwt(binding) => jwt(binding, None),
    }
}

fn same_digest(one: &ProofEntry, other: &ProofEntry) -> bool {
    use ProofEntry::{ApiKey, AppCode};
    matches!((one, other), (ApiKey(one), ApiKey(other)) | (AppCode(one), AppCode(other)) if one == other)
}

/// What a credential is looked up by.
pub(super) fn hash_of(hashes: &Hashes, account: AccountId, credential: &CredentialEntry) -> Option<u64> {
    Some(match &credential.proof {
        ProofEntry::KeyPair(pair) => hashes.app_key(pair.app_key.as_str()),
        ProofEntry::AppCode(digest) | ProofEntry::ApiKey(digest) => hashes.digest(digest),
        ProofEntry::Jwt(jwt) => hashes.identity(account, &jwt.identity.name, &jwt.identity.value),
        ProofEntry::Nothing(_) => return None,
    })
}

/// What every credential of a caller is looked up by, each hash once.
pub(super) fn hashes_of(hashes: &Hashes, caller: &CallerEntry) -> BTreeSet<u64> {
    caller.credentials.iter().filter_map(|credential| hash_of(hashes, caller.account, credential)).collect()
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
            claims.extend(head.credentials.iter().enumerate().filter_map(|(index, credential)| {
                let hash = hash_of(&self.base.hashes, head.account, credential)?;
                Some(Claim { hash, credential: credential.id, caller, index })
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
                    // A credential may have several entries: it is not in its own way.
                    let others = earlier.iter().filter(|other| other.credential != claim.credential);
                    let same = others.filter(|other| {
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
                let referred =
                    head.credentials.iter().find(|one| one.id == loser).and_then(|one| one.referred.clone());
                head.credentials.retain(|credential| credential.id != loser);
                if let (Some(referred), Manner::WhatIsSound) = (referred, self.manner) {
                    head.credentials.push(in_the_way(&referred.source));
                    head.credentials.sort_by_key(|credential| credential.id);
                }
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

/// What a reference comes to whose value another credential has.
fn in_the_way(source: &Credential) -> CredentialEntry {
    let proof = match &source.proof {
        Proof::KeyPair { .. } => ProofEntry::Nothing(CredentialKind::AppSignature),
        Proof::Jwt(_) => ProofEntry::Nothing(CredentialKind::Jwt),
        other => nothing(other),
    };
    let trouble = Some(Trouble::away("another credential has this value"));
    let source = Arc::new(source.clone());
    let referred = Referred { source: Arc::clone(&source), trouble, has_value: false, uses: Box::default() };
    entry(&source, proof, END_OF_TIME, Some(Arc::new(referred)))
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
        ProofEntry::Nothing(_) => "another credential claims the same".into(),
    };
    Problem {
        object: ObjectId::Credential(caller, credential.id),
        other: Some(ObjectId::Credential(holder.0, holder.1)),
        kind: ProblemKind::Conflict,
        text,
    }
}
