//! Small texts that several nouns share.

use keyward_model::{HeaderName, IpNet, Ipv4Net, Ipv6Net, Name, Qualified, Timestamp};

use crate::read::{Item, parse};

/// Longest description, in characters.
pub(crate) const DESCRIPTION_MAX: usize = 4_096;

/// The account that everything belongs to where none is named.
pub(crate) const DEFAULT: &str = "default";

/// Shortest API key or AppCode that may be given, in characters.
const OPAQUE_MIN: usize = 16;

/// Longest credential value that may be given, in characters.
const SECRET_MAX: usize = 4_096;

/// The name `default`.
pub(crate) fn default_name() -> Option<Name> {
    DEFAULT.parse().ok()
}

/// The account of what names none.
pub(crate) fn default_account() -> String {
    DEFAULT.to_owned()
}

/// The `account` field, `default` where it is absent.
pub(crate) fn account(fields: &crate::read::Fields<'_>) -> Option<Name> {
    fields.optional("account", parse)?.or_else(default_name)
}

/// `10.0.0.0/8`, or one address.
pub(crate) fn network(item: &Item<'_>) -> Option<IpNet> {
    let text = item.text()?;
    let network =
        text.parse::<IpNet>().ok().or_else(|| text.parse().ok().map(|ip: std::net::IpAddr| ip.into()));
    match network {
        Some(network) if network.trunc() == network => Some(canonical(network)),
        Some(network) => item.wrong(format_args!("`{text}` has host bits; write `{}`", network.trunc())),
        None => item.wrong(format_args!(
            "`{}` is not a network; write it like `10.0.0.0/8` or `2001:db8::/32`",
            text.escape_debug()
        )),
    }
}

/// IPv4 in IPv6's clothes as what it is: the addresses that are compared with it are read so, too.
fn canonical(network: IpNet) -> IpNet {
    let mapped = |v6: Ipv6Net| {
        let length = v6.prefix_len().checked_sub(96)?;
        Ipv4Net::new(v6.network().to_ipv4_mapped()?, length).ok()
    };
    match network {
        IpNet::V6(v6) => mapped(v6).map_or(network, IpNet::V4),
        IpNet::V4(_) => network,
    }
}

/// A header field that may be set towards a service, or hold a credential.
pub(crate) fn free_header(item: &Item<'_>) -> Option<HeaderName> {
    let name: HeaderName = parse(item)?;
    if name.is_reserved() {
        return item.wrong(format_args!("the header `{name}` is reserved; choose another name"));
    }
    Some(name)
}

/// Fits into one line of a header: no control characters, and no blanks at its ends.
pub(crate) fn is_one_line(text: &str) -> bool {
    text.trim() == text && !text.chars().any(char::is_control)
}

/// The name of a query parameter or cookie.
pub(crate) fn parameter_name(item: &Item<'_>) -> Option<Box<str>> {
    let text = item.text()?;
    let fits = (1..=128).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
    if fits {
        Some(text.into())
    } else {
        item.wrong(format_args!(
            "`{}` is not a parameter name: it has 1 to 128 letters, digits, `_`, `-` and `.`",
            text.escape_debug()
        ))
    }
}

/// A short text of any characters but control characters, not empty.
pub(crate) fn word(item: &Item<'_>) -> Option<Box<str>> {
    let text = item.prose(1_024)?;
    if text.is_empty() {
        return item.wrong("must not be empty");
    }
    Some(text.into())
}

/// An API key or AppCode that somebody chose.
pub(crate) fn opaque_value(item: &Item<'_>) -> Option<keyward_model::SecretText> {
    visible_secret(item, OPAQUE_MIN, SECRET_MAX)
}

/// An AppSecret that somebody chose.
pub(crate) fn app_secret(item: &Item<'_>) -> Option<keyward_model::SecretText> {
    visible_secret(item, 1, 256)
}

/// Of one with references, only what stands beside them can be looked at here.
fn visible_secret(item: &Item<'_>, min: usize, max: usize) -> Option<keyward_model::SecretText> {
    let secret = item.secret_text()?;
    let written = secret.written();
    let (value, min) = match secret.plain() {
        Some(plain) => (plain.expose_secret(), min),
        None => (written.expose_secret(), 1),
    };
    if !value.bytes().all(|b| b.is_ascii_graphic()) || !(min..=max).contains(&value.len()) {
        return item
            .wrong(format_args!("a value has {min} to {max} visible ASCII characters without blanks"));
    }
    Some(secret)
}

/// `valid_until` of a credential.
pub(crate) fn until(fields: &crate::read::Fields<'_>) -> Option<Option<Timestamp>> {
    fields.optional("valid_until", parse)
}

/// `account/name`, for messages.
pub(crate) fn qualified(account: Option<Name>, name: Option<Name>) -> Option<Qualified> {
    Some(Qualified { account: account?, name: name? })
}
