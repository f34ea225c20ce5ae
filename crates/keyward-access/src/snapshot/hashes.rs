//! What things are looked up by.

use std::hash::Hasher as _;

use keyward_model::{AccountId, CredentialDigest, DigestKey, Plaintext};
use siphasher::sip::SipHasher13;
use uuid::Uuid;

use crate::signature::SigningSecret;

/// HMAC-SHA256 of `value` under `key`: what an API key or AppCode is stored and looked up by.
pub fn digest_credential(key: &DigestKey, value: &[u8]) -> CredentialDigest {
    Digester::new(key).digest(value)
}

/// Digests credentials under one key, which is worked up once.
pub(crate) struct Digester(SigningSecret);

impl Digester {
    pub(crate) fn new(key: &DigestKey) -> Self {
        Self(SigningSecret::from_bytes(&key.0))
    }

    #[inline]
    pub(crate) fn digest(&self, value: &[u8]) -> CredentialDigest {
        CredentialDigest(self.0.sha256_of(value))
    }
}

/// Hashes of what requests and operators choose, keyed: nobody outside can make them collide.
#[derive(Clone, Copy)]
pub(crate) struct Hashes {
    key: [u64; 2],
}

impl Hashes {
    /// The key follows from the digest key, so that two Snapshots of a store agree.
    pub(crate) fn new(digester: &Digester) -> Self {
        let seed = digester.digest(b"keyward: the key of the hashes in a Snapshot").0;
        let (halves, _) = seed.as_chunks::<8>();
        let half = |index: usize| halves.get(index).map_or(0, |bytes| u64::from_le_bytes(*bytes));
        Self { key: [half(0), half(1)] }
    }

    /// Ids are made here, of random bits; nobody chooses them, so mixing them is enough.
    #[inline]
    pub(crate) fn uuid(&self, uuid: Uuid) -> u64 {
        let (high, low) = uuid.as_u64_pair();
        let [first, second] = self.key;
        let product = u128::from(high ^ first) * u128::from(low ^ second);
        (product >> 64) as u64 ^ product as u64
    }

    /// AppKeys that differ in case alone have one hash, so that they are found to be in conflict.
    #[inline]
    pub(crate) fn app_key(&self, app_key: &str) -> u64 {
        let mut folded = [0; 128];
        let bytes = app_key.as_bytes();
        folded.iter_mut().zip(bytes).for_each(|(to, from)| *to = from.to_ascii_lowercase());
        let mut hasher = self.hasher(Tag::AppKey);
        hasher.write(folded.get(..bytes.len()).unwrap_or(bytes));
        hasher.finish()
    }

    /// A digest is as good as random already.
    #[inline]
    pub(crate) fn digest(&self, digest: &CredentialDigest) -> u64 {
        digest.0.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
    }

    pub(crate) fn identity(&self, account: AccountId, claim: &str, value: &str) -> u64 {
        let mut hasher = self.hasher(Tag::Identity);
        hasher.write(account.uuid().as_bytes());
        for text in [claim, value] {
            hasher.write_usize(text.len());
            hasher.write(text.as_bytes());
        }
        hasher.finish()
    }

    pub(crate) fn secret(&self, account: AccountId, name: &str) -> u64 {
        let mut hasher = self.hasher(Tag::Secret);
        hasher.write(account.uuid().as_bytes());
        hasher.write(name.as_bytes());
        hasher.finish()
    }

    pub(crate) fn module(&self, account: AccountId, name: &str) -> u64 {
        let mut hasher = self.hasher(Tag::Module);
        hasher.write(account.uuid().as_bytes());
        hasher.write(name.as_bytes());
        hasher.finish()
    }

    /// `mark` tells texts of several sorts apart.
    pub(crate) fn text(&self, mark: u8, text: &str) -> u64 {
        let mut hasher = self.hasher(Tag::Text);
        hasher.write_u8(mark);
        hasher.write(text.as_bytes());
        hasher.finish()
    }

    #[inline]
    fn hasher(&self, tag: Tag) -> SipHasher13 {
        let [first, second] = self.key;
        SipHasher13::new_with_keys(first ^ tag as u64, second)
    }
}

/// What is hashed.
#[derive(Clone, Copy)]
enum Tag {
    AppKey,
    Identity,
    Text,
    Secret,
    Module,
}

/// The text of a secret, without its type. For comparing what was given twice, never for showing it.
pub(crate) fn hash_of_secret(hashes: &Hashes, secret: &Plaintext) -> u64 {
    hashes.text(u8::MAX, secret.expose_secret())
}
