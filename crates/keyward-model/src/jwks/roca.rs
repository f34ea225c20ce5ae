//! RSA moduli that a faulty chip library made (CVE-2017-15361, "ROCA"): their factors can be computed.
//!
//! The library's primes are powers of 65537 modulo a product of the first primes, so its moduli are too. A modulus of
//! another origin is such a power modulo all the primes below in one case of 200 million.

/// The odd primes up to 167: those that every key size of the library has in its product.
const PRIMES: [u32; 38] = [
    3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103,
    107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
];

/// Does this modulus (big-endian) bear the mark?
pub(super) fn bears_the_mark(modulus: &[u8]) -> bool {
    PRIMES.iter().all(|&prime| {
        let residue = modulus.iter().fold(0, |residue, &byte| (residue * 256 + u32::from(byte)) % prime);
        is_power(residue, prime)
    })
}

/// Is `residue` a power of 65537 modulo `prime`?
fn is_power(residue: u32, prime: u32) -> bool {
    let mut power = 1;
    (0..prime).any(|_| {
        power = power * (65_537 % prime) % prime;
        power == residue
    })
}
