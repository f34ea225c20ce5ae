//! The master key: a file apart from the database, without which nothing sealed can be read.
//!
//! ```text
//! # comment
//! seal 1 BASE64      wraps the accounts' keys (32 bytes)
//! digest 1 BASE64    digests API keys and AppCodes (32 bytes)
//! ```
//! Of each kind there may be several versions: the highest one is used for what is new, the others to read what is old.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM_SIV, RandomizedNonceKey};
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use keyward_model::DigestKey;
use zeroize::Zeroizing;

use crate::StoreError;

/// The keys of a master key file.
pub(crate) struct MasterKey {
    seals: BTreeMap<u32, RandomizedNonceKey>,
    digests: BTreeMap<u32, DigestKey>,
}

impl MasterKey {
    /// Reads the file.
    ///
    /// # Errors
    /// It is not there ([`StoreError::MasterKeyMissing`]), readable by everybody, or not of the form above.
    pub(crate) fn read(path: &Path) -> Result<Self, StoreError> {
        let wrong = |why: String| StoreError::MasterKeyFile { path: path.to_owned(), why };
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(StoreError::MasterKeyMissing(path.to_owned()));
            }
            Err(error) => return Err(wrong(error.to_string())),
        };
        let mode = file.metadata().map_err(|error| wrong(error.to_string()))?.mode();
        if mode & 0o007 != 0 {
            return Err(wrong(format!(
                "everybody may read it (mode {:04o}): run `chmod 600` on it",
                mode & 0o7777
            )));
        }
        let text = std::io::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
        Self::parse(&Zeroizing::new(text)).map_err(wrong)
    }

    /// Makes a new file with version 1 of each key, and reads it. It is on disk when this returns.
    ///
    /// # Errors
    /// It cannot be written, or is there already.
    pub(crate) fn create(path: &Path) -> Result<Self, StoreError> {
        let wrong = |error: std::io::Error| StoreError::MasterKeyFile {
            path: path.to_owned(),
            why: error.to_string(),
        };
        let text = new_text().ok_or_else(|| StoreError::MasterKeyFile {
            path: path.to_owned(),
            why: "the system's random source cannot be read".to_owned(),
        })?;
        // Written under another name first, so that a crash leaves no half of a key.
        let unfinished = path.with_extension("key.new");
        if let Err(error) = std::fs::remove_file(&unfinished)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            return Err(wrong(error));
        }
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished).map_err(wrong)?;
        file.write_all(text.as_bytes()).map_err(wrong)?;
        file.sync_all().map_err(wrong)?;
        let linked = std::fs::hard_link(&unfinished, path);
        std::fs::remove_file(&unfinished).map_err(wrong)?;
        linked.map_err(wrong)?;
        if let Some(folder) = path.parent() {
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(wrong)?;
        }
        Self::read(path)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut seals = BTreeMap::new();
        let mut digests = BTreeMap::new();
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |why: &str| format!("line {}: {why}", at + 1);
            let (kind, version, key) = parse_line(line).map_err(|why| wrong(&why))?;
            let twice = match kind {
                "seal" => {
                    let key = RandomizedNonceKey::new(&AES_256_GCM_SIV, key.as_slice())
                        .map_err(|_| wrong("not a key"))?;
                    seals.insert(version, key).is_some()
                }
                "digest" => digests.insert(version, DigestKey(*key)).is_some(),
                _ => return Err(wrong("a line starts with `seal` or `digest`")),
            };
            if twice {
                return Err(wrong("this version is there twice"));
            }
        }
        if seals.is_empty() || digests.is_empty() {
            return Err("it must have a `seal` and a `digest` line".to_owned());
        }
        Ok(Self { seals, digests })
    }

    /// The key that wraps, in its newest version.
    pub(crate) fn seal(&self) -> Option<(u32, &RandomizedNonceKey)> {
        self.seals.last_key_value().map(|(version, key)| (*version, key))
    }

    /// The key that wraps, in this version.
    pub(crate) fn seal_version(&self, version: u32) -> Option<&RandomizedNonceKey> {
        self.seals.get(&version)
    }

    /// The key that digests, in its newest version.
    pub(crate) fn digest(&self) -> Option<(u32, &DigestKey)> {
        self.digests.last_key_value().map(|(version, key)| (*version, key))
    }

    /// Every version of the key that digests.
    pub(crate) fn digest_versions(&self) -> impl Iterator<Item = &DigestKey> {
        self.digests.values()
    }

    /// The key that a node's local copy is sealed with, derived from the digest key of this version.
    pub(crate) fn copy(&self, version: u32) -> Option<RandomizedNonceKey> {
        let digest = hmac::Key::new(hmac::HMAC_SHA256, &self.digests.get(&version)?.0);
        let derived = hmac::sign(&digest, b"keyward local copy v1");
        RandomizedNonceKey::new(&AES_256_GCM_SIV, derived.as_ref()).ok()
    }

    /// The key under which the audit chain is hashed, derived from the digest key of this version.
    pub(crate) fn audit(&self, version: u32) -> Option<hmac::Key> {
        let digest = hmac::Key::new(hmac::HMAC_SHA256, &self.digests.get(&version)?.0);
        let derived = hmac::sign(&digest, b"keyward audit chain v1");
        Some(hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()))
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(…)")
    }
}

fn parse_line(line: &str) -> Result<(&str, u32, Zeroizing<[u8; 32]>), String> {
    let mut words = line.split_whitespace();
    let (Some(kind), Some(version), Some(key), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err("a line has a kind, a version and a key".to_owned());
    };
    let version: u32 = version
        .parse()
        .ok()
        .filter(|&version| version > 0)
        .ok_or_else(|| "the version must be a number from 1".to_owned())?;
    let bytes = Zeroizing::new(BASE64.decode(key).map_err(|_| "the key must be base64".to_owned())?);
    let mut key = Zeroizing::new([0; 32]);
    if bytes.len() != key.len() {
        return Err("the key must have 32 bytes".to_owned());
    }
    key.copy_from_slice(&bytes);
    Ok((kind, version, key))
}

fn new_text() -> Option<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::from(
        "# Keyward's master key. Without it nothing that is sealed in the store can be read:\n\
         # keep a copy, apart from copies of the store.\n",
    ));
    for kind in ["seal", "digest"] {
        let mut key = Zeroizing::new([0; 32]);
        aws_lc_rs::rand::fill(key.as_mut_slice()).ok()?;
        let encoded = Zeroizing::new(BASE64.encode(key.as_slice()));
        text.push_str(kind);
        text.push_str(" 1 ");
        text.push_str(&encoded);
        text.push('\n');
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_new_file_is_private_and_reads_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        assert!(matches!(MasterKey::read(&path), Err(StoreError::MasterKeyMissing(_))));
        let made = MasterKey::create(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        let read = MasterKey::read(&path).unwrap();
        assert_eq!(made.digest().unwrap().1.0, read.digest().unwrap().1.0);
        assert!(MasterKey::create(&path).is_err(), "an existing key is never replaced");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left lying about");
    }

    #[test]
    fn a_file_that_everybody_may_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        MasterKey::create(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let error = MasterKey::read(&path).unwrap_err().to_string();
        assert!(error.contains("chmod 600"), "{error}");
    }

    #[test]
    fn the_highest_version_is_used_and_nonsense_is_named_without_showing_it() {
        let key = |byte: u8| BASE64.encode([byte; 32]);
        let text = format!("# c\n\nseal 1 {}\nseal 3 {}\ndigest 2 {}\n", key(1), key(2), key(3));
        let parsed = MasterKey::parse(&text).unwrap();
        assert_eq!(parsed.seal().unwrap().0, 3);
        assert_eq!(parsed.digest().unwrap().0, 2);
        assert!(parsed.seal_version(1).is_some() && parsed.seal_version(2).is_none());
        for (wrong, says) in [
            (format!("seal 1 {}", key(1)), "must have"),
            (format!("seal 0 {}\ndigest 1 {}", key(1), key(2)), "line 1"),
            (format!("seal 1 {}\nseal 1 {}", key(1), key(2)), "line 2: this version is there twice"),
            ("seal 1 c2VjcmV0LXZhbHVl".to_owned(), "32 bytes"),
            ("c2VjcmV0LXZhbHVl".to_owned(), "line 1"),
        ] {
            let error = MasterKey::parse(&wrong).unwrap_err();
            assert!(error.contains(says), "{error}");
            assert!(!error.contains("c2VjcmV0"), "{error}");
        }
    }
}
