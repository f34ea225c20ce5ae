//! `hmac-auth`: signatures by key pairs of the plugin's own, judged as the API judges signatures.

use super::given::{Given, check_distinct};
use super::json::ConfigError;
use super::shape::{Format, Member, Need, Shape};
use crate::SecretText;
use crate::{AppKey, SignatureScheme};

/// Which signatures open the door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HmacAuth {
    /// The key pairs.
    pub key_pairs: Vec<HmacKeyPair>,
}

/// A key pair that signs calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HmacKeyPair {
    /// Names the pair.
    pub app_key: AppKey,
    /// Makes the signature.
    pub app_secret: SecretText,
    /// How calls are signed with it.
    pub scheme: SignatureScheme,
}

const APP_KEY: Format = Format {
    what: "an AppKey: 1 to 128 of the characters A-Z a-z 0-9 _ -",
    pattern: "^[A-Za-z0-9_-]{1,128}$",
    exact: true,
    holds: |text| text.parse::<AppKey>().is_ok(),
};

impl HmacAuth {
    pub(super) const SHAPE: Shape = Shape::Object(&[Member {
        name: "key_pairs",
        shape: Shape::List {
            of: &Shape::Object(&[
                Member {
                    name: "app_key",
                    shape: Shape::format(128, APP_KEY),
                    need: Need::Required,
                    help: "Names the pair in calls.",
                },
                Member {
                    name: "app_secret",
                    shape: Shape::Secret { most: 256 },
                    need: Need::Required,
                    help: "Makes the signature; or a reference.",
                },
                Member {
                    name: "scheme",
                    shape: Shape::OneOf(&["alibaba", "tencent", "tencent_key_pair"]),
                    need: Need::Default("\"alibaba\""),
                    help: "How calls are signed with it. The API's `signature` says which schemes and algorithms count.",
                },
            ]),
            least: 1,
            most: 256,
        },
        need: Need::Required,
        help: "The key pairs that open the door.",
    }]);

    pub(super) fn read(given: Given<'_>) -> Result<Self, ConfigError> {
        let pair = |given: Given<'_>| {
            Some(HmacKeyPair {
                app_key: given.text("app_key").parse().ok()?,
                app_secret: given.secret("app_secret"),
                scheme: given.text("scheme").parse().ok()?,
            })
        };
        let read = Self { key_pairs: given.list("key_pairs").filter_map(pair).collect() };
        let folded: Vec<String> = read.key_pairs.iter().map(|pair| pair.app_key.folded()).collect();
        check_distinct("key_pairs", folded.iter().map(String::as_str))?;
        for (at, pair) in read.key_pairs.iter().enumerate() {
            let visible = |text: &str| text.bytes().all(|b| b.is_ascii_graphic());
            if pair.app_secret.plain().is_some_and(|literal| !visible(literal.expose_secret())) {
                let text = "an AppSecret has visible ASCII characters only";
                return Err(ConfigError::rule(&format!("key_pairs[{at}].app_secret"), text));
            }
        }
        Ok(read)
    }
}
