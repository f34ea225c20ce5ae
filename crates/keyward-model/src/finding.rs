//! What an access review finds.

use std::fmt;
use std::str::FromStr;

use crate::ParseError;

macro_rules! findings {
    ($(#[doc = $about:literal] $name:ident = $word:literal;)*) => {
        /// What an access review finds, in its order.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Finding {
            $(#[doc = $about] $name,)*
        }

        impl Finding {
            /// Every finding.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];
            /// Their words.
            pub const WORDS: &'static [&'static str] = &[$($word,)*];

            /// The word for it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }
        }
    };
}

findings! {
    /// A grant has been in effect for long, and permitted nothing in that time.
    GrantUnused = "grant_unused";
    /// A grant ends soon.
    GrantEnding = "grant_ending";
    /// A credential has been there for long, and was never used.
    CredentialNeverUsed = "credential_never_used";
    /// A credential ends soon.
    CredentialEnding = "credential_ending";
    /// A credential's value was given, and could be guessed.
    WeakSecret = "weak_secret";
    /// A caller may call nothing.
    CallerWithoutGrant = "caller_without_grant";
    /// An API admits callers, and nobody is authorized.
    ApiWithoutGrant = "api_without_grant";
}

impl FromStr for Finding {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::ALL.iter().copied().find(|finding| finding.as_str() == text).ok_or_else(|| {
            let words = Self::WORDS.join(", ");
            ParseError::new(format!("`{}` is not a finding: use one of {words}", text.escape_debug()))
        })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
