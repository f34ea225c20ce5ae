//! The node's local token.

use keyward_model::Plaintext;
use subtle::ConstantTimeEq as _;

/// The token by which the operator of a node is known until there are operators.
#[derive(Clone, Debug)]
pub struct AdminToken(Plaintext);

impl AdminToken {
    /// Shortest token, in characters.
    pub const LENGTH_MIN: usize = 32;

    /// Takes over a token; `None` if it is too short to be one.
    pub fn new(token: impl Into<String>) -> Option<Self> {
        let token = Plaintext::new(token);
        (token.expose_secret().len() >= Self::LENGTH_MIN).then_some(Self(token))
    }

    /// Is this the token? Compared in constant time.
    pub fn is(&self, presented: &[u8]) -> bool {
        self.0.expose_secret().as_bytes().ct_eq(presented).into()
    }
}
