//! `ip-restriction`: by the address that a call comes from.

use super::given::Given;
use super::json::ConfigError;
use super::refusal_status;
use super::shape::{Format, Member, Need, Shape};
use crate::IpNet;

/// Which addresses may call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IpRestriction {
    /// Only these; empty: any.
    pub allow: Vec<IpNet>,
    /// Not these, though they be allowed.
    pub deny: Vec<IpNet>,
    /// The status of a refusal.
    pub status: u16,
}

const NET: Format = Format {
    what: "an address or a range of addresses: write it like 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32",
    pattern: "^[0-9A-Fa-f.:]+(/[0-9]{1,3})?$",
    exact: false,
    holds: |text| net(text).is_some(),
};

/// A range, or one address. What lies beyond the prefix must be nought: it was meant otherwise.
fn net(text: &str) -> Option<IpNet> {
    match text.parse::<IpNet>() {
        Ok(net) => (net.trunc() == net).then_some(net),
        Err(_) => text.parse::<std::net::IpAddr>().ok().map(IpNet::from),
    }
}

const NETS: Shape = Shape::List { of: &Shape::format(49, NET), least: 0, most: 1_000 };

impl IpRestriction {
    pub(super) const SHAPE: Shape = Shape::Object(&[
        Member {
            name: "allow",
            shape: NETS,
            need: Need::Default("[]"),
            help: "Only these addresses and ranges may call; none: any may.",
        },
        Member {
            name: "deny",
            shape: NETS,
            need: Need::Default("[]"),
            help: "These may not, though they be allowed.",
        },
        refusal_status("403"),
    ]);

    pub(super) fn read(given: Given<'_>) -> Result<Self, ConfigError> {
        let nets = |name| given.texts(name).iter().filter_map(|text| net(text)).collect::<Vec<_>>();
        let (allow, deny) = (nets("allow"), nets("deny"));
        if allow.is_empty() && deny.is_empty() {
            return Err(ConfigError::rule("allow", "give `allow`, `deny` or both"));
        }
        Ok(Self { allow, deny, status: given.whole("status") })
    }
}
