//! A request as a test writes it, and its bytes.

/// A request, before it is bytes.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Method.
    pub method: String,
    /// What stands in the request line after the method.
    pub target: String,
    /// `Host`.
    pub host: String,
    /// Other field lines, in order.
    pub headers: Vec<(String, String)>,
    /// Body; sent with Content-Length where it is not empty, or `announce_empty`.
    pub body: Vec<u8>,
    /// Send `Content-Length: 0` for an empty body.
    pub announce_empty: bool,
}

impl Request {
    /// A GET of this target at this host.
    pub fn get(host: &str, target: &str) -> Self {
        Self { method: "GET".into(), target: target.into(), host: host.into(), ..Self::default() }
    }

    /// With another method.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        self.method = method.into();
        self
    }

    /// With one more field line.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// With `Authorization: Bearer …`.
    #[must_use]
    pub fn bearer(self, key: &str) -> Self {
        self.header("Authorization", &format!("Bearer {key}"))
    }

    /// With this body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Signed by the reference signer.
    #[must_use]
    pub fn signed(mut self, signing: &crate::signer::Signing) -> Self {
        crate::signer::sign(&mut self, signing);
        self
    }

    /// The value of the first field of this name.
    pub fn value(&self, name: &str) -> Option<String> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone())
    }

    /// Puts this field in place of all of its name.
    pub fn set(&mut self, name: &str, value: &str) {
        self.remove(name);
        self.headers.push((name.into(), value.into()));
    }

    /// Removes every field of this name.
    pub fn remove(&mut self, name: &str) {
        self.headers.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
    }

    /// The bytes on the wire.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes =
            format!("{} {} HTTP/1.1\r\nHost: {}\r\n", self.method, self.target, self.host).into_bytes();
        for (name, value) in &self.headers {
            bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        if !self.body.is_empty() || self.announce_empty {
            bytes.extend_from_slice(format!("Content-Length: {}\r\n", self.body.len()).as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&self.body);
        bytes
    }
}
