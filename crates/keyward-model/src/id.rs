//! Typed ids: a prefix that names the noun, and a UUIDv7. Never reused, and not secrets.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use crate::ParseError;

macro_rules! typed_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Uuid);

        impl $name {
            /// What every id of this noun starts with.
            pub const PREFIX: &'static str = $prefix;

            /// The id that carries this UUID.
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID within.
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}{}", Self::PREFIX, self.0.simple())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseError;

            fn from_str(text: &str) -> Result<Self, ParseError> {
                parse_uuid(text, Self::PREFIX).map(Self)
            }
        }
    };
}

typed_id!(/// Id of an [`Account`](crate::Account).
    AccountId, "acc_");
typed_id!(/// Id of a [`Gateway`](crate::Gateway).
    GatewayId, "gwy_");
typed_id!(/// Id of a [`Credential`](crate::Credential). Kept when its value is rotated.
    CredentialId, "crd_");
typed_id!(/// Id of a [`Group`](crate::Group).
    GroupId, "grp_");
typed_id!(/// Id of a [`Service`](crate::Service).
    ServiceId, "svc_");
typed_id!(/// Id of a [`Secret`](crate::Secret).
    SecretId, "sec_");
typed_id!(/// Id of an [`Api`](crate::Api).
    ApiId, "api_");
typed_id!(/// Id of a [`Grant`](crate::Grant). Ids sort by age, so "the lowest" is the oldest.
    GrantId, "grt_");

typed_id!(/// Id of a [`Plugin`](crate::Plugin). Ids sort by age.
    PluginId, "plg_");
typed_id!(/// Id of a [`Module`](crate::Module).
    ModuleId, "mod_");
typed_id!(/// Id of an [`Operator`](crate::Operator).
    OperatorId, "opr_");
typed_id!(/// Id of an [`OperatorToken`](crate::OperatorToken).
    OperatorTokenId, "otk_");

/// The two nouns under which a caller is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CallerKind {
    /// Signs its calls, or presents an AppCode.
    Application,
    /// Presents an API key or a JWT.
    Consumer,
}

impl CallerKind {
    /// `application` or `consumer`.
    pub const fn noun(self) -> &'static str {
        match self {
            Self::Application => "application",
            Self::Consumer => "consumer",
        }
    }

    /// What every id of this kind starts with: `app_` or `con_`.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Application => "app_",
            Self::Consumer => "con_",
        }
    }
}

/// Id of a [`Caller`](crate::Caller): `app_…` for an application, `con_…` for a consumer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallerId {
    kind: CallerKind,
    uuid: Uuid,
}

impl CallerId {
    /// The id of a caller of this kind that carries this UUID.
    pub const fn from_uuid(kind: CallerKind, uuid: Uuid) -> Self {
        Self { kind, uuid }
    }

    /// Application or consumer.
    pub const fn kind(self) -> CallerKind {
        self.kind
    }

    /// The UUID within.
    pub const fn uuid(self) -> Uuid {
        self.uuid
    }
}

impl fmt::Display for CallerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.kind.prefix(), self.uuid.simple())
    }
}

impl fmt::Debug for CallerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for CallerId {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let kind = if text.starts_with("con_") { CallerKind::Consumer } else { CallerKind::Application };
        parse_uuid(text, kind.prefix()).map(|uuid| Self { kind, uuid })
    }
}

/// Ids are written in one way only: the prefix, then 32 lower-case hexadecimal digits.
fn parse_uuid(text: &str, prefix: &str) -> Result<Uuid, ParseError> {
    let wrong = || {
        ParseError::new(format!(
            "`{text}` is not an id: it must be `{prefix}` and 32 lower-case hexadecimal digits"
        ))
    };
    let digits = text.strip_prefix(prefix).ok_or_else(wrong)?;
    let canonical =
        digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if !canonical {
        return Err(wrong());
    }
    Uuid::try_parse(digits).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_round_trips_and_has_one_spelling() {
        let id = ApiId::from_uuid(Uuid::from_u128(0x018f_0000_0000_7000_8000_0000_0000_0abc));
        assert_eq!(id.to_string(), "api_018f0000000070008000000000000abc");
        assert_eq!(id.to_string().parse::<ApiId>().unwrap(), id);
        for wrong in [
            "api_018F0000000070008000000000000ABC",
            "018f0000000070008000000000000abc",
            "api_1",
            "app_018f0000000070008000000000000abc",
            "api_018f0000-0000-7000-8000-000000000abc",
        ] {
            assert!(wrong.parse::<ApiId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_caller_id_says_its_kind() {
        let id = CallerId::from_uuid(CallerKind::Consumer, Uuid::from_u128(7));
        let back: CallerId = id.to_string().parse().unwrap();
        assert_eq!(back.kind(), CallerKind::Consumer);
        assert_eq!(back, id);
        assert!("203753385".parse::<CallerId>().is_err());
    }
}
