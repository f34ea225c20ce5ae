//! What one connection sends: the same bytes each time, or bytes with a fresh signature.

use crate::alibaba::{Signer, Stamp, StampedRequest};
use crate::failure::Outcome;
use crate::request::Request;

/// The calls of one connection, which belongs to one caller.
pub(crate) struct Call(Kind);

enum Kind {
    Fixed(Request),
    Signed(Box<Signed>),
}

struct Signed {
    signer: Signer,
    request: StampedRequest,
    /// Made before the run, so that signing costs the load core nothing while the proxy is measured.
    ready: Vec<Stamp>,
    late: u64,
}

impl Call {
    /// Sends `request` again and again, as a client with a key or a token does.
    pub(crate) fn fixed(request: Request) -> Self {
        Self(Kind::Fixed(request))
    }

    /// Signs every request anew, with a nonce of its own.
    pub(crate) fn signed(signer: Signer) -> Outcome<Self> {
        let request = signer.request()?;
        Ok(Self(Kind::Signed(Box::new(Signed { signer, request, ready: Vec::new(), late: 0 }))))
    }

    /// Signs `count` requests ahead; does nothing where nothing is signed.
    pub(crate) fn prepare(&mut self, count: usize) -> Outcome<()> {
        if let Kind::Signed(signed) = &mut self.0 {
            signed.ready = (0..count).map(|_| signed.signer.stamp()).collect::<Outcome<_>>()?;
        }
        Ok(())
    }

    /// The next request to send.
    pub(crate) fn next(&mut self) -> Outcome<&[u8]> {
        match &mut self.0 {
            Kind::Fixed(request) => Ok(&request.bytes),
            Kind::Signed(signed) => {
                let stamp = match signed.ready.pop() {
                    Some(stamp) => stamp,
                    None => {
                        signed.late += 1;
                        signed.signer.stamp()?
                    }
                };
                signed.request.apply(&stamp);
                Ok(&signed.request.request.bytes)
            }
        }
    }

    /// How many requests were signed only when they were sent.
    pub(crate) fn signed_late(&self) -> u64 {
        match &self.0 {
            Kind::Fixed(_) => 0,
            Kind::Signed(signed) => signed.late,
        }
    }
}
