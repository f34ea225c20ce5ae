//! The ABI's form of header maps.

use keyward_wasm::pairs::{Malformed, decode, encode};
use proptest::prelude::*;

fn encoded(pairs: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    encode(pairs.iter().map(|(name, value)| (name.as_slice(), value.as_slice())))
}

fn owned(pairs: Vec<(&[u8], &[u8])>) -> Vec<(Vec<u8>, Vec<u8>)> {
    pairs.into_iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect()
}

#[test]
fn a_map_is_written_as_the_abi_says() {
    let bytes = encoded(&[(b"a".to_vec(), b"1".to_vec()), (b"b".to_vec(), b"22".to_vec())]);
    let expected = b"\x02\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\0\0\x02\0\0\0a\x001\0b\x0022\0";
    assert_eq!(bytes, expected);
}

#[test]
fn an_empty_map_has_three_forms() {
    for bytes in [&b""[..], b"\0", b"\0\0\0\0"] {
        assert_eq!(decode(bytes), Ok(Vec::new()), "{bytes:?}");
    }
    assert_eq!(encoded(&[]), b"");
}

#[test]
fn what_is_malformed_is_refused() {
    for bytes in [
        &b"\0\0"[..],
        b"\x01\0\0\0",
        b"\xff\xff\xff\xff",
        b"\x01\0\0\0\x01\0\0\0\x01\0\0\0a\x001",
        b"\x01\0\0\0\x01\0\0\0\x01\0\0\0a_1\0",
        b"\x01\0\0\0\x01\0\0\0\x01\0\0\0a\x001_",
        b"\x01\0\0\0\x01\0\0\0\x01\0\0\0a\x001\0left over",
        b"\x01\0\0\0\xff\xff\xff\xff\xff\xff\xff\xffa\x001\0",
        b"\0\0\0\0x",
    ] {
        assert_eq!(decode(bytes), Err(Malformed), "{bytes:?}");
    }
}

proptest! {
    #[test]
    fn what_was_written_is_read_as_it_was(pairs: Vec<(Vec<u8>, Vec<u8>)>) {
        let bytes = encoded(&pairs);
        prop_assert_eq!(owned(decode(&bytes).unwrap()), pairs);
    }

    #[test]
    fn random_bytes_are_refused_or_are_a_map_that_is_written_the_same(bytes: Vec<u8>) {
        if let Ok(pairs) = decode(&bytes) {
            let again = encoded(&owned(pairs.clone()));
            prop_assert!(pairs.is_empty() || again == bytes);
        }
    }

    #[test]
    fn a_map_with_one_byte_changed_never_breaks_the_reader(
        pairs: Vec<(Vec<u8>, Vec<u8>)>, at: prop::sample::Index, to: u8
    ) {
        let mut bytes = encoded(&pairs);
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] = to;
            let _ = decode(&bytes);
        }
    }

    #[test]
    fn a_map_that_was_cut_is_refused(pairs in prop::collection::vec(any::<(Vec<u8>, Vec<u8>)>(), 1..8), at: prop::sample::Index) {
        let bytes = encoded(&pairs);
        let at = at.index(bytes.len());
        prop_assert!(at < 2 || decode(&bytes[..at]).is_err());
    }
}
