//! Sealing: what makes a secret unreadable at rest, and readable again.
//!
//! The master key wraps a key of each account; the account's key seals its secrets with AES-256-GCM-SIV. What is sealed is
//! bound to where it stands: a sealed value that is moved to another row, field, account or version does not open.
//!
//! Nonces are random. Of 2³² values under one account's key, which takes seven weeks at 1,000 writes a second, two have the same nonce
//! once in 2³³ times; and what a repeat gives away with GCM-SIV, unlike with GCM, is whether both seal the same value at the same
//! position (RFC 8452). So nobody counts them.
//! An envelope names the key that opens it: `format (1), key version (4, big-endian), nonce (12), sealed bytes and tag`.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{PoisonError, RwLock};

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hmac;
use keyward_model::{AccountId, CredentialDigest, DigestKey, Plaintext};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::master_key::MasterKey;

const FORMAT: u8 = 1;
const HEADER: usize = 1 + 4;

/// Where a sealed value stands. All of it is authenticated with the value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Position<'a> {
    /// Id of the account, or of the store.
    pub(crate) owner: &'a str,
    /// `credential`, `service`, `account_key`, `meta`.
    pub(crate) kind: &'static str,
    /// Id of the row.
    pub(crate) id: &'a str,
    /// The column's meaning.
    pub(crate) field: &'static str,
    /// Counts the values of this field, so that an older one does not open in place of a newer.
    pub(crate) version: i64,
}

impl Position<'_> {
    /// Each part preceded by its length, so that no two positions read the same.
    fn bytes(&self) -> Vec<u8> {
        let version = self.version.to_be_bytes();
        let parts: [&[u8]; 6] = [
            b"keyward sealed value v1",
            self.owner.as_bytes(),
            self.kind.as_bytes(),
            self.id.as_bytes(),
            self.field.as_bytes(),
            &version,
        ];
        let mut bytes = Vec::with_capacity(160);
        for part in parts {
            bytes.extend_from_slice(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            bytes.extend_from_slice(part);
        }
        bytes
    }
}

/// Why a value cannot be sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SealError {
    #[error("its envelope is not of a form that this version knows")]
    Form,
    #[error("it is sealed with a key that is not there (version {0})")]
    KeyMissing(u32),
    #[error("it does not open: it was altered, moved from elsewhere, or is an older value")]
    Refused,
    #[error("the system's random source cannot be read")]
    Random,
}

/// Seals and opens values, and digests credentials.
pub(crate) struct Sealer {
    master: MasterKey,
    accounts: RwLock<HashMap<AccountId, AccountKeys>>,
    digest: hmac::Key,
    digest_version: u32,
    digest_key: DigestKey,
}

/// The keys of one account, by version.
type AccountKeys = BTreeMap<u32, RandomizedNonceKey>;

impl Sealer {
    /// A sealer that knows no account's key yet.
    ///
    /// # Errors
    /// The master key is empty, which a parsed one never is.
    pub(crate) fn new(master: MasterKey) -> Result<Self, SealError> {
        let (digest_version, digest_key) = master.digest().ok_or(SealError::KeyMissing(0))?;
        let digest_key = digest_key.clone();
        let digest = hmac::Key::new(hmac::HMAC_SHA256, &digest_key.0);
        Ok(Self { master, accounts: RwLock::default(), digest, digest_version, digest_key })
    }

    /// What an API key or AppCode is looked up by, and the version of the key that made it.
    pub(crate) fn digest(&self, value: &str) -> CredentialDigest {
        let mut digest = [0; 32];
        digest.copy_from_slice(hmac::sign(&self.digest, value.as_bytes()).as_ref());
        CredentialDigest(digest)
    }

    pub(crate) fn digest_version(&self) -> u32 {
        self.digest_version
    }

    pub(crate) fn digest_key(&self) -> &DigestKey {
        &self.digest_key
    }

    /// The key of the audit chain in this version.
    pub(crate) fn audit_key(&self, version: u32) -> Option<hmac::Key> {
        self.master.audit(version)
    }

    /// The key that a node's local copy is sealed with, derived from the digest key of this version.
    pub(crate) fn copy_key(&self, version: u32) -> Option<RandomizedNonceKey> {
        self.master.copy(version)
    }

    /// A proof that a store was made with this master key, to be kept in the store.
    pub(crate) fn key_check(&self, store: Uuid) -> Result<Vec<u8>, SealError> {
        let (version, key) = self.master.seal().ok_or(SealError::KeyMissing(0))?;
        let digest = self.digest(&store.to_string());
        seal_with(key, version, &check_position(&store.to_string()), &digest.0)
    }

    /// Does this proof hold?
    pub(crate) fn holds(&self, check: &[u8], store: Uuid) -> bool {
        let store = store.to_string();
        let opened = open_with(check, &check_position(&store), |version| self.master.seal_version(version));
        // Any version of the digest key may have been the newest when the store was made.
        opened.is_ok_and(|opened| {
            self.master.digest_versions().any(|key| {
                let key = hmac::Key::new(hmac::HMAC_SHA256, &key.0);
                hmac::verify(&key, store.as_bytes(), &opened).is_ok()
            })
        })
    }

    /// Makes a key for an account, and returns it wrapped, to be kept in the store.
    pub(crate) fn make_account_key(&self, account: AccountId, version: u32) -> Result<Vec<u8>, SealError> {
        let mut key = Zeroizing::new([0_u8; 32]);
        aws_lc_rs::rand::fill(key.as_mut_slice()).map_err(|_| SealError::Random)?;
        let (kek_version, kek) = self.master.seal().ok_or(SealError::KeyMissing(0))?;
        let id = account.to_string();
        let wrapped = seal_with(kek, kek_version, &account_key_position(&id, version), key.as_slice())?;
        self.remember(account, version, key.as_slice())?;
        Ok(wrapped)
    }

    /// Learns an account's key from the store.
    pub(crate) fn learn_account_key(
        &self,
        account: AccountId,
        version: u32,
        wrapped: &[u8],
    ) -> Result<(), SealError> {
        let id = account.to_string();
        let key =
            open_with(wrapped, &account_key_position(&id, version), |kek| self.master.seal_version(kek))?;
        self.remember(account, version, &key)
    }

    fn remember(&self, account: AccountId, version: u32, key: &[u8]) -> Result<(), SealError> {
        let key = RandomizedNonceKey::new(&AES_256_GCM_SIV, key).map_err(|_| SealError::Form)?;
        let mut accounts = self.accounts.write().unwrap_or_else(PoisonError::into_inner);
        accounts.entry(account).or_default().insert(version, key);
        Ok(())
    }

    /// Seals a value of this account at this position (whose owner is the account).
    pub(crate) fn seal(
        &self,
        account: AccountId,
        position: &Position<'_>,
        value: &Plaintext,
    ) -> Result<Vec<u8>, SealError> {
        let accounts = self.accounts.read().unwrap_or_else(PoisonError::into_inner);
        let keys = accounts.get(&account).ok_or(SealError::KeyMissing(0))?;
        let (version, key) = keys.last_key_value().ok_or(SealError::KeyMissing(0))?;
        seal_with(key, *version, position, value.expose_secret().as_bytes())
    }

    /// Opens what [`Sealer::seal`] sealed at this position.
    pub(crate) fn open(
        &self,
        account: AccountId,
        position: &Position<'_>,
        envelope: &[u8],
    ) -> Result<Plaintext, SealError> {
        let accounts = self.accounts.read().unwrap_or_else(PoisonError::into_inner);
        let keys = accounts.get(&account).ok_or(SealError::KeyMissing(0))?;
        let opened = open_with(envelope, position, |version| keys.get(&version))?;
        let text = std::str::from_utf8(&opened).map_err(|_| SealError::Form)?;
        Ok(Plaintext::new(text))
    }
}

impl Sealer {
    /// Seals an answer that is kept for whoever lost it: it may hold secrets.
    pub(crate) fn seal_answer(&self, scope: &str, key: &str, answer: &[u8]) -> Result<Vec<u8>, SealError> {
        let (version, kek) = self.master.seal().ok_or(SealError::KeyMissing(0))?;
        seal_with(kek, version, &answer_position(scope, key), answer)
    }

    /// Opens what [`Sealer::seal_answer`] sealed for this scope and key.
    pub(crate) fn open_answer(&self, scope: &str, key: &str, envelope: &[u8]) -> Result<Vec<u8>, SealError> {
        let opened =
            open_with(envelope, &answer_position(scope, key), |version| self.master.seal_version(version))?;
        Ok(opened.to_vec())
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer(…)")
    }
}

fn check_position(store: &str) -> Position<'_> {
    Position { owner: store, kind: "meta", id: "key_check", field: "value", version: 1 }
}

fn answer_position<'p>(scope: &'p str, key: &'p str) -> Position<'p> {
    Position { owner: scope, kind: "idempotency", id: key, field: "answer", version: 1 }
}

fn account_key_position(account: &str, version: u32) -> Position<'_> {
    Position {
        owner: account,
        kind: "account_key",
        id: account,
        field: "wrapped",
        version: i64::from(version),
    }
}

fn seal_with(
    key: &RandomizedNonceKey,
    version: u32,
    position: &Position<'_>,
    value: &[u8],
) -> Result<Vec<u8>, SealError> {
    let mut sealed = Zeroizing::new(value.to_vec());
    // Room for the tag from the start: growing would leave a copy of the plaintext behind.
    sealed.reserve_exact(16);
    let nonce = key
        .seal_in_place_append_tag(Aad::from(position.bytes()), &mut *sealed)
        .map_err(|_| SealError::Random)?;
    let mut envelope = Vec::with_capacity(HEADER + NONCE_LEN + sealed.len());
    envelope.push(FORMAT);
    envelope.extend_from_slice(&version.to_be_bytes());
    envelope.extend_from_slice(nonce.as_ref());
    envelope.extend_from_slice(&sealed);
    Ok(envelope)
}

fn open_with<'k>(
    envelope: &[u8],
    position: &Position<'_>,
    key: impl FnOnce(u32) -> Option<&'k RandomizedNonceKey>,
) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let (header, rest) = envelope.split_first_chunk::<HEADER>().ok_or(SealError::Form)?;
    let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>().ok_or(SealError::Form)?;
    let [format, version @ ..] = *header;
    if format != FORMAT {
        return Err(SealError::Form);
    }
    let version = u32::from_be_bytes(version);
    let key = key(version).ok_or(SealError::KeyMissing(version))?;
    let mut bytes = Zeroizing::new(sealed.to_vec());
    let length = key
        .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(position.bytes()), &mut bytes)
        .map_err(|_| SealError::Refused)?
        .len();
    bytes.truncate(length);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealer() -> (tempfile::TempDir, Sealer) {
        let folder = tempfile::tempdir().unwrap();
        let master = MasterKey::create(&folder.path().join("master.key")).unwrap();
        (folder, Sealer::new(master).unwrap())
    }

    fn position<'a>(owner: &'a str, id: &'a str) -> Position<'a> {
        Position { owner, kind: "credential", id, field: "value", version: 1 }
    }

    #[test]
    fn a_sealed_value_opens_only_where_it_stands() {
        let (_folder, sealer) = sealer();
        let [ours, theirs] = [1, 2].map(|n| AccountId::from_uuid(Uuid::from_u128(n)));
        sealer.make_account_key(ours, 1).unwrap();
        sealer.make_account_key(theirs, 1).unwrap();
        let here = position("acc", "crd_1");
        let secret = Plaintext::new("a secret value");
        let sealed = sealer.seal(ours, &here, &secret).unwrap();
        assert_eq!(sealer.open(ours, &here, &sealed).unwrap(), secret);
        for elsewhere in [
            Position { id: "crd_2", ..here },
            Position { owner: "acc2", ..here },
            Position { kind: "service", ..here },
            Position { field: "other", ..here },
            Position { version: 2, ..here },
        ] {
            assert_eq!(sealer.open(ours, &elsewhere, &sealed), Err(SealError::Refused), "{elsewhere:?}");
        }
        assert_eq!(sealer.open(theirs, &here, &sealed), Err(SealError::Refused));
        for at in 0..sealed.len() {
            let mut bent = sealed.clone();
            bent[at] ^= 1;
            assert!(sealer.open(ours, &here, &bent).is_err(), "byte {at}");
        }
        for length in 0..sealed.len() {
            assert!(sealer.open(ours, &here, &sealed[..length]).is_err(), "{length} bytes");
        }
    }

    /// A tenth of a million values; all of it with `KEYWARD_SOAK=1`. Two of a million random nonces of 96 bits are the same once in
    /// 10¹⁷ runs, so that a repeat means that they are not random.
    #[test]
    fn secret_006_a_value_is_never_sealed_the_same_way_twice() {
        let count = if std::env::var_os("KEYWARD_SOAK").is_some() { 1_000_000 } else { 100_000 };
        let (_folder, sealer) = sealer();
        let account = AccountId::from_uuid(Uuid::from_u128(1));
        sealer.make_account_key(account, 1).unwrap();
        let (here, value) = (position("acc", "crd_1"), Plaintext::new("same"));
        let all: std::collections::HashSet<[u8; NONCE_LEN]> = (0..count)
            .map(|_| {
                let sealed = sealer.seal(account, &here, &value).unwrap();
                sealed[HEADER..HEADER + NONCE_LEN].try_into().unwrap()
            })
            .collect();
        assert_eq!(all.len(), count);
    }

    #[test]
    fn secret_010_what_seals_is_not_printed() {
        let key = [0x5a_u8; 32];
        let text = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, key);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("master.key");
        let write = || {
            use std::os::unix::fs::PermissionsExt as _;
            std::fs::write(&file, format!("seal 1 {text}\ndigest 1 {text}\n")).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
            MasterKey::read(&file).unwrap()
        };
        let answer = crate::GivenAnswer { body_digest: key.to_vec(), answer: key.to_vec() };
        let sealer = Sealer::new(write()).unwrap();
        for printed in [
            format!("{:?}", write()),
            format!("{sealer:?}"),
            format!("{:?}", sealer.digest_key()),
            format!("{answer:?}"),
        ] {
            assert!(!printed.contains(&text) && !printed.contains("90, 90") && !printed.contains("5a5a"));
        }
    }

    #[test]
    fn a_key_check_holds_for_its_store_and_master_key_alone() {
        let (_one, ours) = sealer();
        let (_two, other) = sealer();
        let store = Uuid::from_u128(7);
        let check = ours.key_check(store).unwrap();
        assert!(ours.holds(&check, store));
        assert!(!ours.holds(&check, Uuid::from_u128(8)));
        assert!(!other.holds(&check, store));
    }
}
