//! Makes ids and credential values.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use keyward_model::{CallerId, CredentialId, JwkSet, Name, Plaintext, Timestamp};
use uuid::Uuid;
use zeroize::Zeroizing;

/// Random characters of a generated value: 30 of base62 are 178 bits.
const RANDOM_CHARS: usize = 30;
/// Characters of the checksum: 6 of base62 hold any CRC32.
const CHECKSUM_CHARS: usize = 6;
/// What generated secrets begin with.
const PREFIXES: [&str; 6] =
    ["kw_key_", "kw_code_", "kw_secret_", "kw_admin_", "kw_operator_", "kw_bootstrap_"];
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// AppKeys are unique also when case is ignored, so they use one case only.
const BASE36: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// A name for a request, as the audit and the log have it: `req_` and 128 random bits.
pub fn request_id() -> String {
    let mut bytes = [0_u8; 16];
    // Without random numbers it names nothing, which harms nobody.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    format!("req_{}", Uuid::from_bytes(bytes).simple())
}

/// A source of random bytes.
pub trait Random: Send + Sync + 'static {
    /// Fills `bytes`.
    ///
    /// # Errors
    /// The source cannot be read; nothing may be made from what is in `bytes` then.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomFailed>;
}

/// The system's random source cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system's random source cannot be read")]
pub struct RandomFailed;

/// The system's cryptographic random source.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomFailed> {
        aws_lc_rs::rand::fill(bytes).map_err(|_| RandomFailed)
    }
}

/// Bytes that follow from a seed: for scenarios whose ids must be the same every time. Never for a node.
#[derive(Debug)]
pub struct SeededRandom {
    seed: u64,
    drawn: AtomicU64,
}

impl SeededRandom {
    /// The source that follows from this seed.
    pub fn new(seed: u64) -> Self {
        Self { seed, drawn: AtomicU64::new(0) }
    }
}

impl Random for SeededRandom {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomFailed> {
        for block in bytes.chunks_mut(32) {
            let mut input = [0; 16];
            let (seed, draw) = input.split_at_mut(8);
            seed.copy_from_slice(&self.seed.to_be_bytes());
            draw.copy_from_slice(&self.drawn.fetch_add(1, Ordering::Relaxed).to_be_bytes());
            let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &input);
            block.iter_mut().zip(hash.as_ref()).for_each(|(byte, random)| *byte = *random);
        }
        Ok(())
    }
}

/// Makes ids that sort by age, and credential values that cannot be guessed.
pub struct Minter {
    random: Arc<dyn Random>,
    /// Milliseconds of the last id, and how many came before it in the same millisecond.
    last: (u64, u16),
}

impl Minter {
    /// A minter that draws from `random`.
    pub fn new(random: Arc<dyn Random>) -> Self {
        Self { random, last: (0, 0) }
    }

    /// A UUIDv7 (RFC 9562) of this moment, greater than every one before it from this minter.
    ///
    /// # Errors
    /// See [`Random::fill`].
    pub fn uuid(&mut self, now: Timestamp) -> Result<Uuid, RandomFailed> {
        const COUNTER_MAX: u16 = 0xfff;
        let now = u64::try_from(now.as_millis()).unwrap_or(0);
        let (millis, counter) = match self.last {
            (last, _) if now > last => (now, 0),
            (last, counter) if counter < COUNTER_MAX => (last, counter + 1),
            (last, _) => (last + 1, 0),
        };
        self.last = (millis, counter);
        let mut random = [0; 8];
        self.random.fill(&mut random)?;
        let tail = u64::from_be_bytes(random) & 0x3fff_ffff_ffff_ffff;
        let high = (millis & 0xffff_ffff_ffff) << 16 | 0x7000 | u64::from(counter);
        Ok(Uuid::from_u64_pair(high, tail | 0x8000_0000_0000_0000))
    }

    /// `kw_key_` and 36 characters, the last six a checksum.
    pub(crate) fn api_key(&self) -> Result<Plaintext, RandomFailed> {
        self.prefixed("kw_key_")
    }

    /// The value of a secret: `kw_secret_` and 36 characters, the last six a checksum.
    pub(crate) fn secret_value(&self) -> Result<Plaintext, RandomFailed> {
        self.prefixed("kw_secret_")
    }

    /// `kw_code_` and 36 characters, the last six a checksum.
    pub(crate) fn app_code(&self) -> Result<Plaintext, RandomFailed> {
        self.prefixed("kw_code_")
    }

    /// `kw_secret_` and 36 characters, the last six a checksum.
    pub(crate) fn app_secret(&self) -> Result<Plaintext, RandomFailed> {
        self.prefixed("kw_secret_")
    }

    /// `kw_admin_` and 36 characters, the last six a checksum: a node's local token.
    ///
    /// # Errors
    /// See [`Random::fill`].
    pub fn admin_token(&self) -> Result<Plaintext, RandomFailed> {
        self.prefixed("kw_admin_")
    }

    /// `kw_operator_`, random characters and a checksum.
    pub(crate) fn operator_token(&self) -> Result<Plaintext, RandomFailed> {
        self.prefixed("kw_operator_")
    }

    /// `kw_bootstrap_`, random characters and a checksum.
    pub(crate) fn bootstrap_password(&self) -> Result<Plaintext, RandomFailed> {
        self.prefixed("kw_bootstrap_")
    }

    /// 256 random bits as hexadecimal digits: a session's cookie.
    pub(crate) fn session(&self) -> Result<Plaintext, RandomFailed> {
        let mut bytes = Zeroizing::new([0_u8; 32]);
        self.random.fill(bytes.as_mut_slice())?;
        Ok(Plaintext::new(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()))
    }

    /// `kw_app_` and 20 characters. Names a key pair; not a secret.
    pub(crate) fn app_key(&self) -> Result<String, RandomFailed> {
        let mut text = Zeroizing::new(String::from("kw_app_"));
        self.push(&mut text, BASE36, 20)?;
        Ok(text.to_string())
    }

    /// A random value of an identity claim: 128 bits in hexadecimal. Not a secret.
    pub(crate) fn identity(&self) -> Result<String, RandomFailed> {
        let mut bytes = [0; 16];
        self.random.fill(&mut bytes)?;
        Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// A key set of one HS256 key, and its JSON.
    pub(crate) fn key_set(&self) -> Result<(Plaintext, JwkSet), RandomFailed> {
        let mut key = Zeroizing::new([0; 32]);
        self.random.fill(key.as_mut_slice())?;
        let kid = self.identity()?;
        JwkSet::symmetric(&kid, key.as_slice()).map_err(|_| RandomFailed)
    }

    fn prefixed(&self, prefix: &str) -> Result<Plaintext, RandomFailed> {
        let mut text = Zeroizing::new(String::with_capacity(prefix.len() + RANDOM_CHARS + CHECKSUM_CHARS));
        text.push_str(prefix);
        self.push(&mut text, BASE62, RANDOM_CHARS)?;
        let checksum = checksum(&text);
        text.push_str(&checksum);
        Ok(Plaintext::new(text.as_str()))
    }

    /// Appends characters drawn without bias: bytes past the last whole multiple of the alphabet are drawn again.
    fn push(&self, text: &mut String, alphabet: &[u8], mut count: usize) -> Result<(), RandomFailed> {
        let size = u8::try_from(alphabet.len()).unwrap_or(u8::MAX);
        let limit = (u8::MAX / size) * size;
        let mut bytes = Zeroizing::new([0; 64]);
        // A sound source needs one round, rarely two; one that never yields a usable byte is broken.
        for _ in 0..64 {
            self.random.fill(bytes.as_mut_slice())?;
            let usable = bytes.iter().filter(|&&byte| byte < limit);
            let drawn = usable.filter_map(|byte| alphabet.get(usize::from(byte % size)));
            for &character in drawn.take(count) {
                text.push(char::from(character));
                count -= 1;
            }
            if count == 0 {
                return Ok(());
            }
        }
        Err(RandomFailed)
    }
}

impl fmt::Debug for Minter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Minter(…)")
    }
}

/// The checksum of a generated value: CRC32 of everything before it, in base62.
fn checksum(text: &str) -> String {
    let mut rest = crc32fast::hash(text.as_bytes());
    let mut digits = [b'0'; CHECKSUM_CHARS];
    for digit in digits.iter_mut().rev() {
        let place = usize::try_from(rest % 62).unwrap_or(0);
        *digit = BASE62.get(place).copied().unwrap_or(b'0');
        rest /= 62;
    }
    digits.iter().map(|&digit| char::from(digit)).collect()
}

/// Has this text the form of a value that Keyward generated, checksum included? For scanners; proves nothing else.
pub fn looks_generated(text: &str) -> bool {
    let random = PREFIXES.iter().find_map(|prefix| text.strip_prefix(prefix));
    let shaped = random.is_some_and(|random| {
        random.len() == RANDOM_CHARS + CHECKSUM_CHARS && random.bytes().all(|b| b.is_ascii_alphanumeric())
    });
    shaped
        && text
            .len()
            .checked_sub(CHECKSUM_CHARS)
            .and_then(|at| text.split_at_checked(at))
            .is_some_and(|(value, sum)| checksum(value) == sum)
}

/// How a generated value is shown once it is not shown any more: prefix and last four characters.
pub(crate) fn hint(value: &Plaintext) -> Option<String> {
    let text = value.expose_secret();
    let prefix = PREFIXES.into_iter().find(|prefix| text.starts_with(prefix))?;
    let end = text.len().checked_sub(4).and_then(|at| text.get(at..))?;
    Some(format!("{prefix}…{end}"))
}

/// A credential value that was generated: shown this once, in the answer to the write that made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Minted {
    /// Whose it is.
    pub caller: CallerId,
    /// The caller's account.
    pub account: Name,
    /// The caller's name.
    pub caller_name: Name,
    /// The credential.
    pub credential: CredentialId,
    /// `key_pair`, `app_code`, `api_key` or `jwt`.
    pub kind: &'static str,
    /// For a key pair its AppKey; for a JWT `claim=value` of the identity claim.
    pub label: Option<String>,
    /// The AppSecret, AppCode, API key, or the generated key set as JSON text. Absent where only the label was generated.
    pub value: Option<Plaintext>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minter() -> Minter {
        Minter::new(Arc::new(SystemRandom))
    }

    #[test]
    fn generated_values_are_prefixed_and_checksummed() {
        let minter = minter();
        for (value, prefix) in [
            (minter.api_key().unwrap(), "kw_key_"),
            (minter.app_code().unwrap(), "kw_code_"),
            (minter.app_secret().unwrap(), "kw_secret_"),
        ] {
            let text = value.expose_secret();
            assert!(text.starts_with(prefix) && text.len() == prefix.len() + 36, "{prefix}");
            assert!(looks_generated(text));
            for at in 0..text.len() {
                let mut bent = text.as_bytes().to_vec();
                bent[at] = if bent[at] == b'a' { b'b' } else { b'a' };
                assert!(!looks_generated(std::str::from_utf8(&bent).unwrap()), "byte {at}");
            }
        }
        assert!(!looks_generated("kw_key_") && !looks_generated("") && !looks_generated("kw_key_ü"));
    }

    #[test]
    fn ten_thousand_values_differ_and_use_the_whole_alphabet() {
        let minter = minter();
        let all: std::collections::HashSet<String> =
            (0..10_000).map(|_| minter.api_key().unwrap().expose_secret().to_owned()).collect();
        assert_eq!(all.len(), 10_000);
        let mut counts = [0_u32; 128];
        all.iter().flat_map(|text| text[7..37].bytes()).for_each(|b| counts[usize::from(b)] += 1);
        // 300,000 characters over 62: 4,839 each; a bias of `byte % 62` would make some a quarter more frequent.
        for &b in BASE62 {
            let count = counts[usize::from(b)];
            assert!((4_350..5_350).contains(&count), "{} came {count} times", char::from(b));
        }
    }

    #[test]
    fn ids_sort_by_age_also_within_a_millisecond_and_when_the_clock_goes_back() {
        let mut minter = minter();
        let at = Timestamp::from_millis;
        let times = [1_000, 1_000, 1_000, 900, 1_001, 1_001].into_iter().chain([1_001; 5_000]);
        let ids: Vec<Uuid> = times.map(|ms| minter.uuid(at(ms)).unwrap()).collect();
        assert!(ids.is_sorted() && ids.windows(2).all(|pair| pair[0] != pair[1]));
        assert!(ids.iter().all(|id| id.get_version_num() == 7 && id.get_variant() == uuid::Variant::RFC4122));
    }

    #[test]
    fn a_seed_gives_the_same_every_time_and_a_source_that_fails_gives_nothing() {
        let values = |seed| {
            let mut minter = Minter::new(Arc::new(SeededRandom::new(seed)));
            (minter.uuid(Timestamp::from_millis(5)).unwrap(), minter.api_key().unwrap())
        };
        assert_eq!(values(1), values(1));
        assert_ne!(values(1), values(2));
        struct Broken;
        impl Random for Broken {
            fn fill(&self, _: &mut [u8]) -> Result<(), RandomFailed> {
                Err(RandomFailed)
            }
        }
        let mut minter = Minter::new(Arc::new(Broken));
        assert!(minter.api_key().is_err() && minter.uuid(Timestamp::from_millis(5)).is_err());
        assert!(minter.key_set().is_err() && minter.app_key().is_err());
    }

    #[test]
    fn a_hint_shows_four_characters() {
        let value = minter().api_key().unwrap();
        let hint = hint(&value).unwrap();
        assert_eq!(hint.chars().count(), "kw_key_".len() + 1 + 4);
        assert!(value.expose_secret().ends_with(&hint[hint.len() - 4..]));
        assert_eq!(super::hint(&Plaintext::new("a custom key of theirs")), None);
    }
}
