//! Header maps as the guest sees them, and what a guest may make of them.

use crate::abi::Status;
use crate::limits::Limits;

/// Names and values in order. Names are lower case; `:method`, `:path`, `:authority`, `:scheme` and `:status` are pairs like
/// others. Values may hold credentials, so `Debug` shows the names alone.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers {
    pairs: Vec<(String, Vec<u8>)>,
}

/// Which map a guest wants to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderMap {
    /// The request's head.
    RequestHeaders,
    /// What follows the request's body.
    RequestTrailers,
    /// The response's head.
    ResponseHeaders,
    /// What follows the response's body.
    ResponseTrailers,
    /// The head of an answer that the plugin gives itself.
    LocalReply,
    /// The head of an HTTP call that the plugin makes.
    CallOut,
}

/// Which headers a guest may set, said by whoever owns the others.
///
/// Whoever embeds the host writes the framing (`content-length`, `transfer-encoding`, `connection` and the like) and `host` by
/// itself; plugins like to remove `content-length` before they change a body, so removing it is best allowed and without effect.
pub trait HeaderRules: Send + Sync {
    /// Whether a guest may set `name` (lower case).
    fn may_set(&self, map: HeaderMap, name: &str) -> bool;

    /// Whether a guest may remove `name` (lower case). Unless said otherwise: if it may set it.
    fn may_remove(&self, map: HeaderMap, name: &str) -> bool {
        self.may_set(map, name)
    }
}

impl<F: Fn(HeaderMap, &str) -> bool + Send + Sync> HeaderRules for F {
    fn may_set(&self, map: HeaderMap, name: &str) -> bool {
        self(map, name)
    }
}

impl Headers {
    /// No headers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a pair; `name` becomes lower case.
    pub fn push(&mut self, name: &str, value: &[u8]) {
        self.pairs.push((name.to_ascii_lowercase(), value.to_vec()));
    }

    /// The first value of `name`, in any case.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Every pair, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> + Clone {
        self.pairs.iter().map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// Number of pairs.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Bytes of all names and values.
    pub fn bytes(&self) -> usize {
        self.pairs.iter().map(|(name, value)| name.len() + value.len()).sum()
    }

    pub(crate) fn encoded(&self) -> Vec<u8> {
        crate::pairs::encode(self.iter().map(|(name, value)| (name.as_bytes(), value)))
    }

    fn values<'h>(&'h self, name: &'h str) -> impl Iterator<Item = &'h [u8]> {
        self.iter().filter(move |(known, _)| *known == name).map(|(_, value)| value)
    }
}

impl std::fmt::Debug for Headers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.pairs.iter().map(|(name, _)| name)).finish()
    }
}

impl<N: AsRef<str>, V: AsRef<[u8]>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let mut headers = Self::new();
        for (name, value) in pairs {
            headers.push(name.as_ref(), value.as_ref());
        }
        headers
    }
}

/// Changes one map for a guest, as far as rules and limits let it. What is refused changes nothing.
pub(crate) struct Edit<'e> {
    pub(crate) map: HeaderMap,
    pub(crate) headers: &'e mut Headers,
    pub(crate) rules: &'e dyn HeaderRules,
    pub(crate) limits: &'e Limits,
}

impl Edit<'_> {
    /// Adds a pair beside those of the same name. A pseudo header exists once.
    pub(crate) fn add(&mut self, name: &[u8], value: &[u8]) -> Result<(), Status> {
        let (name, value) = self.checked(name, value)?;
        if is_pseudo(&name) && self.headers.get(&name).is_some() {
            return Err(Status::BadArgument);
        }
        self.fits(1, name.len() + value.len())?;
        self.headers.pairs.push((name, value));
        Ok(())
    }

    /// Sets the value of the first pair of that name and removes the others, or adds one.
    pub(crate) fn replace(&mut self, name: &[u8], value: &[u8]) -> Result<(), Status> {
        let (name, value) = self.checked(name, value)?;
        self.fits(1, name.len() + value.len())?;
        let first = self.headers.pairs.iter().position(|(known, _)| *known == name);
        self.headers.pairs.retain(|(known, _)| *known != name);
        let at = first.map_or(self.headers.pairs.len(), |at| at.min(self.headers.pairs.len()));
        self.headers.pairs.insert(at, (name, value));
        Ok(())
    }

    /// Removes every pair of that name. A pseudo header stays.
    pub(crate) fn remove(&mut self, name: &[u8]) -> Result<(), Status> {
        let name = name_of(name).ok_or(Status::BadArgument)?;
        if self.headers.get(&name).is_none() {
            return Ok(());
        }
        if is_pseudo(&name) || !self.rules.may_remove(self.map, &name) {
            return Err(Status::BadArgument);
        }
        self.headers.pairs.retain(|(known, _)| *known != name);
        Ok(())
    }

    /// Sets the whole map. What the guest may not set must come as it was; pseudo headers that are left out stay.
    pub(crate) fn set_all(&mut self, pairs: &[(&[u8], &[u8])]) -> Result<(), Status> {
        let mut fresh = Headers::new();
        for (name, value) in pairs {
            let name = name_of(name).ok_or(Status::BadArgument)?;
            let value = value_of(value).ok_or(Status::BadArgument)?;
            let again = is_pseudo(&name) && fresh.get(&name).is_some();
            if again || !suits(self.map, &name, value) {
                return Err(Status::BadArgument);
            }
            fresh.pairs.push((name, value.to_vec()));
        }
        let kept: Vec<_> = self
            .headers
            .pairs
            .iter()
            .filter(|(name, _)| is_pseudo(name) && fresh.get(name).is_none())
            .cloned()
            .collect();
        fresh.pairs.splice(0..0, kept);
        if !self.leaves_ours(&fresh) || !self.within(fresh.len(), fresh.bytes()) {
            return Err(Status::BadArgument);
        }
        *self.headers = fresh;
        Ok(())
    }

    /// Whether what the guest may not change is in `fresh` as it is now.
    fn leaves_ours(&self, fresh: &Headers) -> bool {
        let changed = |name: &str| !self.headers.values(name).eq(fresh.values(name));
        let set = fresh.iter().all(|(name, _)| self.rules.may_set(self.map, name) || !changed(name));
        let removed = self
            .headers
            .iter()
            .filter(|(name, _)| fresh.get(name).is_none())
            .all(|(name, _)| self.rules.may_remove(self.map, name));
        set && removed
    }

    fn checked(&self, name: &[u8], value: &[u8]) -> Result<(String, Vec<u8>), Status> {
        let name = name_of(name).ok_or(Status::BadArgument)?;
        let value = value_of(value).ok_or(Status::BadArgument)?;
        if !suits(self.map, &name, value) || !self.rules.may_set(self.map, &name) {
            return Err(Status::BadArgument);
        }
        Ok((name, value.to_vec()))
    }

    fn fits(&self, pairs: usize, bytes: usize) -> Result<(), Status> {
        let fits = self.within(self.headers.len() + pairs, self.headers.bytes() + bytes);
        if fits { Ok(()) } else { Err(Status::BadArgument) }
    }

    fn within(&self, pairs: usize, bytes: usize) -> bool {
        pairs <= self.limits.headers_max && bytes <= self.limits.header_bytes_max
    }
}

/// A field name in lower case: a token, or a pseudo header.
pub(crate) fn name_of(bytes: &[u8]) -> Option<String> {
    let token = bytes.strip_prefix(b":").unwrap_or(bytes);
    if token.is_empty() || !token.iter().all(|byte| is_token(*byte)) {
        return None;
    }
    Some(String::from_utf8(bytes.to_vec()).ok()?.to_ascii_lowercase())
}

/// A field value without the blanks around it: no CR, LF, NUL or other control character but tab.
pub(crate) fn value_of(bytes: &[u8]) -> Option<&[u8]> {
    let fine = bytes.iter().all(|byte| *byte == b'\t' || (*byte >= 0x20 && *byte != 0x7f));
    fine.then(|| bytes.trim_ascii())
}

pub(crate) fn is_pseudo(name: &str) -> bool {
    name.starts_with(':')
}

/// Whether the name may stand in the map at all, and, of a pseudo header, whether the value is one.
fn suits(map: HeaderMap, name: &str, value: &[u8]) -> bool {
    let request = matches!(map, HeaderMap::RequestHeaders | HeaderMap::CallOut);
    match name {
        ":method" => request && !value.is_empty() && value.len() <= 32 && value.iter().all(|b| is_token(*b)),
        ":path" => {
            request && value.starts_with(b"/") && value.iter().all(|b| b.is_ascii_graphic() && *b != b'#')
        }
        ":authority" => request && is_authority(value),
        ":scheme" => request && matches!(value, b"http" | b"https"),
        ":status" => map == HeaderMap::ResponseHeaders && status_of(value).is_some(),
        _ => !is_pseudo(name),
    }
}

fn is_authority(value: &[u8]) -> bool {
    let part = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:[]".contains(byte);
    !value.is_empty() && value.len() <= 261 && value.iter().all(part)
}

/// A final status: 200 to 599.
fn status_of(value: &[u8]) -> Option<u16> {
    let number: u16 = std::str::from_utf8(value).ok()?.parse().ok()?;
    (value.len() == 3 && (200..600).contains(&number)).then_some(number)
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
