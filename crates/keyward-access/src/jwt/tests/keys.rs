//! Keys that are refused when they are compiled, and why.

use super::*;

#[test]
fn jwk_008_points_that_are_not_on_the_curve() {
    let error = |jwk: &str| compiled(&[jwk.into()]).expect_err(jwk).to_string();
    for (crv, length) in [("P-256", 32), ("P-384", 48), ("P-521", 66)] {
        for (x, y) in [
            (vec![1; length], vec![1; length]),
            (vec![0; length], vec![0; length]),
            (vec![255; length], vec![255; length]),
        ] {
            let jwk =
                format!(r#"{{"kty":"EC","kid":"e1","crv":"{crv}","x":"{}","y":"{}"}}"#, base64(x), base64(y));
            assert!(error(&jwk).contains(&format!("key 1 (kid `e1`): `x` and `y` are not a point on {crv}")));
        }
    }
    // A point of P-256, said to be of another curve: its coordinates are too short there.
    assert!(set_of(&[signer(JwsAlgorithm::Es256).jwk().replace("P-256", "P-384")]).is_err());
    let okp = |x: [u8; 32]| format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{}"}}"#, base64(x));
    for point in small_order_points() {
        assert!(error(&okp(point)).contains("`x` is not a public key of Ed25519"), "{point:?}");
    }
    // Not on the curve, and a coordinate that is not reduced.
    let mut off = [0; 32];
    off[0] = 2;
    let mut unreduced = [0xff; 32];
    unreduced[0] = 0xf0;
    unreduced[31] = 0x7f;
    for point in [off, unreduced, [0xff; 32]] {
        assert!(error(&okp(point)).contains("`x` is not a public key of Ed25519"), "{point:?}");
    }
}

/// The encodings of the eight points of small order: `y` is 0, 1, -1, or one of the two of order eight; with either
/// sign, and also not reduced.
fn small_order_points() -> Vec<[u8; 32]> {
    let hex = |text: &str| -> [u8; 32] {
        std::array::from_fn(|index| u8::from_str_radix(&text[2 * index..2 * index + 2], 16).unwrap())
    };
    let ys = [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ];
    let signed = |y: [u8; 32]| {
        let mut other = y;
        other[31] |= 0x80;
        [y, other]
    };
    ys.into_iter().flat_map(|y| signed(hex(y))).collect()
}

#[test]
fn a_point_of_small_order_would_let_anyone_sign() {
    use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
    // With the neutral element as the key, the neutral element and zero are a signature of everything.
    let neutral: [u8; 32] = std::array::from_fn(|index| u8::from(index == 0));
    let forged = [neutral, [0; 32]].concat();
    assert!(
        UnparsedPublicKey::new(&ED25519, neutral).verify(b"anything", &forged).is_ok(),
        "why it is refused"
    );
}

#[test]
fn a_set_with_one_bad_key_is_refused_as_a_whole() {
    let bad = format!(r#"{{"kty":"OKP","crv":"Ed25519","kid":"bad","x":"{}"}}"#, base64([0; 32]));
    let error = compiled(&[signer(JwsAlgorithm::Es256).jwk(), bad]).unwrap_err().to_string();
    assert!(error.starts_with("key 2 (kid `bad`): "), "{error}");
}

#[test]
fn compiled_keys_stay_small() {
    let size = size_of::<crate::jwt::keys::VerifyingKey>();
    assert!(size <= 128, "{size} bytes: a million consumers have a million of them");
}
