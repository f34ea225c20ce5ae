//! How the ABI writes a header map into memory: a count, the lengths of all pairs, then all bytes, each ended by NUL.
//!
//! ```text
//! u32 n │ u32 name₁ │ u32 value₁ │ … │ name₁ 00 value₁ 00 │ …        (little endian)
//! ```
//!
//! An empty map is nothing at all, a single zero byte, or a count of zero.

/// The bytes are no header map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the bytes are no header map of the ABI")]
pub struct Malformed;

/// Bytes that a length takes.
const LENGTH: usize = 4;

/// Writes `pairs` as the ABI does. An empty map is no bytes at all.
pub fn encode<'p>(pairs: impl Iterator<Item = (&'p [u8], &'p [u8])> + Clone) -> Vec<u8> {
    let count = pairs.clone().count();
    if count == 0 {
        return Vec::new();
    }
    let data: usize = pairs.clone().map(|(name, value)| name.len() + value.len() + 2).sum();
    let mut bytes = Vec::with_capacity(LENGTH + count * 2 * LENGTH + data);
    bytes.extend(length(count));
    for (name, value) in pairs.clone() {
        bytes.extend(length(name.len()));
        bytes.extend(length(value.len()));
    }
    for (name, value) in pairs {
        bytes.extend_from_slice(name);
        bytes.push(0);
        bytes.extend_from_slice(value);
        bytes.push(0);
    }
    bytes
}

/// Reads what [`encode`] writes, strictly: nothing may be missing and nothing may be left over.
///
/// # Errors
/// [`Malformed`], whatever is wrong. No more is reserved than the bytes can hold.
pub fn decode(bytes: &[u8]) -> Result<Vec<(&[u8], &[u8])>, Malformed> {
    if matches!(bytes, [] | [0]) {
        return Ok(Vec::new());
    }
    let (count, rest) = number(bytes)?;
    let lengths = count.checked_mul(2 * LENGTH).ok_or(Malformed)?;
    let (mut lengths, mut data) = rest.split_at_checked(lengths).ok_or(Malformed)?;
    let mut pairs = Vec::with_capacity(count);
    for _ in 0..count {
        let (name, rest) = number(lengths)?;
        let (value, rest) = number(rest)?;
        lengths = rest;
        pairs.push((ended(&mut data, name)?, ended(&mut data, value)?));
    }
    if data.is_empty() { Ok(pairs) } else { Err(Malformed) }
}

/// Maps are bounded far below 4 GiB before they are written; what were longer is written so that nobody can read it.
fn length(of: usize) -> [u8; LENGTH] {
    u32::try_from(of).unwrap_or(u32::MAX).to_le_bytes()
}

fn number(bytes: &[u8]) -> Result<(usize, &[u8]), Malformed> {
    let (number, rest) = bytes.split_first_chunk::<LENGTH>().ok_or(Malformed)?;
    Ok((usize::try_from(u32::from_le_bytes(*number)).map_err(|_| Malformed)?, rest))
}

/// Takes `length` bytes and the NUL behind them.
fn ended<'b>(data: &mut &'b [u8], length: usize) -> Result<&'b [u8], Malformed> {
    let (taken, rest) = data.split_at_checked(length).ok_or(Malformed)?;
    let rest = rest.strip_prefix(&[0]).ok_or(Malformed)?;
    *data = rest;
    Ok(taken)
}
