//! HMACs, and the secrets that key them.
//!
//! HMAC-SHA256 is what callers use, so its key is worked up once, into two hash states of 32 bytes; a
//! verification then hashes the text and one block more. The other algorithms are keyed on demand.

use std::fmt;
use std::sync::LazyLock;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::{digest, hmac};
use keyward_model::{HmacAlgorithm, Plaintext};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::encoded::Signature;

const BLOCK: usize = 64;
const INITIAL: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// Where a text to be signed is written to, piece by piece, so that it need not be built.
pub(super) trait Sink {
    fn put(&mut self, bytes: &[u8]);

    fn put_byte(&mut self, byte: u8) {
        self.put(&[byte]);
    }
}

impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// A text to be signed.
pub(super) trait Canonical {
    fn write(&self, to: &mut impl Sink);
}

impl Canonical for [u8] {
    fn write(&self, to: &mut impl Sink) {
        to.put(self);
    }
}

/// An AppSecret, worked up for verifying. Wiped when dropped; never shown by `Debug`.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SigningSecret {
    inner: [u32; 8],
    outer: [u32; 8],
    secret: Box<[u8]>,
}

impl SigningSecret {
    /// Works a secret up. Done once per key pair, when a Snapshot is built.
    pub fn new(secret: &Plaintext) -> Self {
        Self::from_bytes(secret.expose_secret().as_bytes())
    }

    /// The secret that stands in for an unknown AppKey's, so that such a request costs the same work.
    ///
    /// Nothing verifies against it: what it "matches" is refused all the same.
    pub fn dummy() -> &'static Self {
        static DUMMY: LazyLock<SigningSecret> =
            LazyLock::new(|| SigningSecret::from_bytes(b"nobody has this AppKey, and nobody may"));
        &DUMMY
    }

    pub(crate) fn from_bytes(secret: &[u8]) -> Self {
        aws_lc_rs::init();
        let mut block = [0_u8; BLOCK];
        let hashed = (secret.len() > BLOCK).then(|| digest::digest(&digest::SHA256, secret));
        let key = hashed.as_ref().map_or(secret, AsRef::as_ref);
        block.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
        let state_after = |pad: u8| {
            let mut state = INITIAL;
            let mut padded = block.map(|byte| byte ^ pad);
            compress(&mut state, &[padded]);
            padded.zeroize();
            state
        };
        let (inner, outer) = (state_after(0x36), state_after(0x5c));
        block.zeroize();
        Self { inner, outer, secret: secret.into() }
    }

    /// The secret's bytes, for working up another secret that differs by a blank.
    pub(super) fn expose_bytes(&self) -> &[u8] {
        &self.secret
    }

    /// Is `signature` this text's HMAC under this secret? Compared in constant time.
    pub(super) fn matches(
        &self,
        algorithm: HmacAlgorithm,
        signature: &Signature,
        text: &(impl Canonical + ?Sized),
    ) -> bool {
        if let Some(other) = on_demand(algorithm) {
            let mut mac = OnDemand(hmac::Context::with_key(&hmac::Key::new(other, &self.secret)));
            text.write(&mut mac);
            verify_slices_are_equal(signature.as_bytes(), mac.0.sign().as_ref()).is_ok()
        } else {
            let mut mac = Sha256Mac::new(self);
            text.write(&mut mac);
            verify_slices_are_equal(signature.as_bytes(), &mac.finish()).is_ok()
        }
    }

    /// The same for a signature and a text that are at hand as bytes. Of another length, it matches nothing.
    pub(crate) fn verifies(&self, algorithm: HmacAlgorithm, signature: &[u8], text: &[u8]) -> bool {
        self.matches(algorithm, &Signature::from_bytes(signature), text)
    }

    /// This text's HMAC-SHA256 under this secret, as which API keys and AppCodes are looked up.
    pub(crate) fn sha256_of(&self, text: &[u8]) -> [u8; 32] {
        let mut mac = Sha256Mac::new(self);
        mac.put(text);
        mac.finish()
    }

    /// This text's HMAC under this secret.
    pub(super) fn sign(&self, algorithm: HmacAlgorithm, text: &[u8]) -> Vec<u8> {
        if let Some(other) = on_demand(algorithm) {
            hmac::sign(&hmac::Key::new(other, &self.secret), text).as_ref().to_vec()
        } else {
            let mut mac = Sha256Mac::new(self);
            mac.put(text);
            mac.finish().to_vec()
        }
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSecret(…)")
    }
}

/// The algorithm under its other name, if its keys are not worked up ahead.
fn on_demand(algorithm: HmacAlgorithm) -> Option<hmac::Algorithm> {
    match algorithm {
        HmacAlgorithm::Sha1 => Some(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY),
        HmacAlgorithm::Sha256 => None,
        HmacAlgorithm::Sha384 => Some(hmac::HMAC_SHA384),
        HmacAlgorithm::Sha512 => Some(hmac::HMAC_SHA512),
    }
}

struct OnDemand(hmac::Context);

impl Sink for OnDemand {
    fn put(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
}

/// An HMAC-SHA256 under way.
struct Sha256Mac<'s> {
    outer: &'s [u32; 8],
    state: [u32; 8],
    /// Bytes that went into `state`, the key's block included.
    hashed: u64,
    block: [u8; BLOCK],
    /// Bytes of `block` that are taken; less than its length.
    filled: usize,
}

impl<'s> Sha256Mac<'s> {
    fn new(secret: &'s SigningSecret) -> Self {
        Self { outer: &secret.outer, state: secret.inner, hashed: BLOCK as u64, block: [0; BLOCK], filled: 0 }
    }

    fn finish(self) -> [u8; 32] {
        let bytes = self.hashed + self.filled as u64;
        let inner = close(self.state, self.block, self.filled, bytes);
        let mut block = [0; BLOCK];
        if let Some(start) = block.first_chunk_mut() {
            *start = inner;
        }
        close(*self.outer, block, inner.len(), (BLOCK + inner.len()) as u64)
    }
}

impl Sink for Sha256Mac<'_> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        let room = BLOCK - self.filled;
        let Some((fits, rest)) = bytes.split_at_checked(room) else {
            if let Some(free) = self.block.get_mut(self.filled..self.filled + bytes.len()) {
                free.copy_from_slice(bytes);
                self.filled += bytes.len();
            }
            return;
        };
        if let Some(free) = self.block.get_mut(self.filled..) {
            free.copy_from_slice(fits);
        }
        compress(&mut self.state, &[self.block]);
        let (blocks, tail) = rest.as_chunks::<BLOCK>();
        compress(&mut self.state, blocks);
        if let Some(free) = self.block.get_mut(..tail.len()) {
            free.copy_from_slice(tail);
        }
        self.filled = tail.len();
        self.hashed += (BLOCK + blocks.len() * BLOCK) as u64;
    }

    #[inline]
    fn put_byte(&mut self, byte: u8) {
        if let Some(free) = self.block.get_mut(self.filled) {
            *free = byte;
        }
        self.filled += 1;
        if self.filled == BLOCK {
            compress(&mut self.state, &[self.block]);
            self.filled = 0;
            self.hashed += BLOCK as u64;
        }
    }
}

/// Pads the last block as SHA-256 has it, after `bytes` bytes in all, and gives the digest.
fn close(mut state: [u32; 8], mut block: [u8; BLOCK], filled: usize, bytes: u64) -> [u8; 32] {
    const LENGTH_AT: usize = BLOCK - size_of::<u64>();
    if let Some([mark, rest @ ..]) = block.get_mut(filled..) {
        *mark = 0x80;
        rest.fill(0);
    }
    if filled >= LENGTH_AT {
        compress(&mut state, &[block]);
        block = [0; BLOCK];
    }
    if let Some(end) = block.last_chunk_mut() {
        *end = (bytes * 8).to_be_bytes();
    }
    compress(&mut state, &[block]);
    let mut digest = [0; 32];
    digest.as_chunks_mut::<4>().0.iter_mut().zip(state).for_each(|(to, word)| *to = word.to_be_bytes());
    digest
}

/// SHA-256's compression function, over whole blocks.
///
/// The one unsafe call of this crate, because it was measured: on a processor without SHA extensions, a block costs
/// 182 ns here and 335 ns in portable Rust, which for a text of 300 bytes is 0.8 µs of every signed request. The
/// library's own keyed state, which needs no unsafe, takes 1,232 bytes per key pair instead of these 64.
#[expect(unsafe_code, reason = "measured: see above; the safe interface has no state that can be kept small")]
fn compress(state: &mut [u32; 8], blocks: &[[u8; BLOCK]]) {
    if blocks.is_empty() {
        return;
    }
    // SAFETY: `state` is eight words that only this call writes, and `blocks` is `len()` times 64 readable bytes, at
    // least once; the function reads and writes nothing else.
    unsafe {
        aws_lc_sys::SHA256_TransformBlocks(state.as_mut_ptr(), blocks.as_ptr().cast(), blocks.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(algorithm: HmacAlgorithm, secret: &[u8], text: &[u8]) -> Vec<u8> {
        use ::hmac::{Hmac, KeyInit, Mac};
        fn with<M: Mac + KeyInit>(secret: &[u8], text: &[u8]) -> Vec<u8> {
            let mut mac = <M as KeyInit>::new_from_slice(secret).unwrap();
            mac.update(text);
            mac.finalize().into_bytes().to_vec()
        }
        match algorithm {
            HmacAlgorithm::Sha1 => with::<Hmac<sha1::Sha1>>(secret, text),
            HmacAlgorithm::Sha256 => with::<Hmac<sha2::Sha256>>(secret, text),
            HmacAlgorithm::Sha384 => with::<Hmac<sha2::Sha384>>(secret, text),
            HmacAlgorithm::Sha512 => with::<Hmac<sha2::Sha512>>(secret, text),
        }
    }

    /// Every length of text around the block's edges, every length of secret around them, written in unequal pieces.
    #[test]
    fn macs_agree_with_another_implementation() {
        let bytes: Vec<u8> = (0..400_u32).map(|n| (n * 7 % 251) as u8).collect();
        for algorithm in HmacAlgorithm::ALL {
            for secret_length in [1, 16, 63, 64, 65, 127, 128, 129, 256] {
                let secret = SigningSecret::from_bytes(&bytes[..secret_length]);
                for length in (0..=200).chain([256, 400]) {
                    let text = &bytes[..length];
                    let expected = reference(algorithm, &bytes[..secret_length], text);
                    assert_eq!(secret.sign(algorithm, text), expected, "{algorithm:?} {length}");
                    let signature = Signature::from_bytes(&expected);
                    assert!(secret.matches(algorithm, &signature, &Pieces(text)), "{algorithm:?} {length}");
                }
            }
        }
    }

    struct Pieces<'t>(&'t [u8]);

    impl Canonical for Pieces<'_> {
        fn write(&self, to: &mut impl Sink) {
            let (mut rest, mut size) = (self.0, 0);
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(size.min(rest.len()));
                to.put(piece);
                rest = after;
                size = (size * 5 + 1) % 97;
            }
        }
    }

    #[test]
    fn a_signature_of_another_length_never_matches() {
        let secret = SigningSecret::from_bytes(b"secret");
        let right = secret.sign(HmacAlgorithm::Sha256, b"text");
        for length in 0..32 {
            let cut = Signature::from_bytes(&right[..length]);
            assert!(!secret.matches(HmacAlgorithm::Sha256, &cut, b"text".as_slice()));
        }
        assert!(!secret.matches(HmacAlgorithm::Sha1, &Signature::from_bytes(&right), b"text".as_slice()));
    }

    #[test]
    fn debug_shows_nothing_of_the_secret() {
        let secret = SigningSecret::new(&Plaintext::new("AppSecretForTests"));
        assert_eq!(format!("{secret:?}"), "SigningSecret(…)");
    }

    #[test]
    fn a_secret_stays_small() {
        assert!(size_of::<SigningSecret>() <= 80, "{}", size_of::<SigningSecret>());
    }
}
