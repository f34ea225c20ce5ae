//! Taking values out of a configuration that was checked by its shape: what is missing here is missing nowhere.

use serde_json::Value;

use super::json::{ConfigError, member_path};
use super::shape::Format;
use crate::{HeaderName, Name, Plaintext, SecretText, owned};

/// An object of a configuration, checked and with its defaults filled in.
#[derive(Clone, Copy)]
pub(super) struct Given<'v>(pub(super) &'v Value);

impl<'v> Given<'v> {
    pub(super) fn has(self, name: &str) -> bool {
        self.0.get(name).is_some()
    }

    pub(super) fn value(self, name: &str) -> &'v Value {
        self.0.get(name).unwrap_or(&Value::Null)
    }

    pub(super) fn object(self, name: &str) -> Self {
        Self(self.value(name))
    }

    pub(super) fn text(self, name: &str) -> &'v str {
        self.value(name).as_str().unwrap_or_default()
    }

    pub(super) fn text_if(self, name: &str) -> Option<Box<str>> {
        self.value(name).as_str().map(Into::into)
    }

    pub(super) fn secret(self, name: &str) -> SecretText {
        secret_of(self.text(name))
    }

    pub(super) fn flag(self, name: &str) -> bool {
        self.value(name).as_bool().unwrap_or_default()
    }

    /// A whole number; the shape has it fit.
    pub(super) fn whole<T: TryFrom<i64> + Default>(self, name: &str) -> T {
        self.whole_if(name).unwrap_or_default()
    }

    pub(super) fn whole_if<T: TryFrom<i64>>(self, name: &str) -> Option<T> {
        whole(self.value(name)).and_then(|number| T::try_from(number).ok())
    }

    pub(super) fn list(self, name: &str) -> impl Iterator<Item = Self> + use<'v> {
        self.value(name).as_array().map(Vec::as_slice).unwrap_or_default().iter().map(Self)
    }

    pub(super) fn texts(self, name: &str) -> Vec<Box<str>> {
        self.list(name).filter_map(|value| value.0.as_str()).map(Into::into).collect()
    }

    /// Texts whose format is that of their type.
    pub(super) fn parsed<T: std::str::FromStr>(self, name: &str) -> Vec<T> {
        self.list(name).filter_map(|value| value.0.as_str()?.parse().ok()).collect()
    }
}

/// A text that may refer to secrets. What cannot be read as one was refused before; were it not, it refers to none.
pub(super) fn secret_of(text: &str) -> SecretText {
    SecretText::parse(text).unwrap_or_else(|_| Plaintext::new(text).into())
}

/// A text that goes to clients: a reference in it would show them the secret.
pub(super) fn no_secret(path: &str, text: &str) -> Result<SecretText, ConfigError> {
    if text.contains("$ref{") {
        return Err(ConfigError::rule(path, "goes to clients: it refers to no secret"));
    }
    Ok(Plaintext::new(text).into())
}

/// A whole number, also where it is written as `1.0`, as JSON Schema has it.
pub(super) fn whole(value: &Value) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let whole = |number: f64| (number.fract() == 0.0 && number.abs() <= EXACT).then_some(number as i64);
    value.as_i64().or_else(|| value.as_f64().and_then(whole))
}

/// A header name.
pub(super) const HEADER: Format = Format {
    what: "a header name: use letters, digits and `-`",
    pattern: r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}$",
    exact: true,
    holds: |text| text.parse::<HeaderName>().is_ok(),
};

/// The name of an object.
pub(super) const NAME: Format =
    Format { what: "a name", pattern: "", exact: false, holds: |text| text.parse::<Name>().is_ok() };

/// A path, as requests have it.
pub(super) const PATH: Format = Format {
    what: "a path: it starts with `/` and has visible ASCII only, without `?` and `#`",
    pattern: r##"^/[!"$-~]*$"##,
    exact: true,
    holds: |text| text.starts_with('/') && text.bytes().all(|b| b.is_ascii_graphic() && !b"?#".contains(&b)),
};

/// A text that can stand in a header field.
pub(super) const FIELD_VALUE: Format = Format {
    what: "a header value: no control characters, no blank at its ends",
    pattern: r"^([^\u0000-\u0020\u007f]([^\u0000-\u0008\u000a-\u001f\u007f]*[^\u0000-\u0020\u007f])?)?$",
    exact: true,
    holds: |text| {
        let inner = |c: char| c == '\t' || (c >= ' ' && c != '\u{7f}');
        let blank = |text: &str| text.starts_with([' ', '\t']) || text.ends_with([' ', '\t']);
        text.chars().all(inner) && !blank(text)
    },
};

/// What stands in quotes within a header field.
pub(super) const REALM: Format = Format {
    what: "a realm: visible ASCII and blanks, without `\"` and `\\`",
    pattern: r"^[ !#-\[\]-~]+$",
    exact: true,
    holds: |text| !text.is_empty() && text.bytes().all(|b| matches!(b, b' '..=b'~') && !b"\"\\".contains(&b)),
};

/// A time: `10s`, `5m`, `24h`, `7d`.
pub(super) const DURATION: Format = Format {
    what: "a time: write it like 10s, 5m, 24h or 7d",
    pattern: r"^[1-9][0-9]{0,5}[smhd]$",
    exact: true,
    holds: |text| duration_s(text).is_some(),
};

/// The seconds of such a time.
pub(super) fn duration_s(text: &str) -> Option<u64> {
    let unit = match text.chars().last()? {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return None,
    };
    let digits = text.get(..text.len() - 1)?;
    let sound = (1..=6).contains(&digits.len())
        && digits.bytes().all(|b| b.is_ascii_digit())
        && !digits.starts_with('0');
    digits.parse::<u64>().ok().filter(|_| sound).map(|count| count * unit)
}

/// Fields that Keyward writes itself are not to be set.
pub(super) fn check_settable(path: &str, name: &str) -> Result<(), ConfigError> {
    if owned::is_owned(name) || owned::is_ours_in_answers(name) {
        let text = format!("`{name}` is a field that Keyward writes itself: choose another");
        return Err(ConfigError::rule(path, text));
    }
    Ok(())
}

/// No two of these are the same. Secrets are not shown.
pub(super) fn check_distinct<'t>(
    path: &str,
    texts: impl Iterator<Item = &'t str>,
) -> Result<(), ConfigError> {
    let mut seen = std::collections::BTreeMap::new();
    for (at, text) in texts.enumerate() {
        if let Some(before) = seen.insert(text.to_owned(), at) {
            return Err(ConfigError::rule(
                &format!("{path}[{at}]"),
                format!("is the same as `{path}[{before}]`: keep one"),
            ));
        }
    }
    Ok(())
}

/// `base` and a place in it.
pub(super) fn element(base: &str, name: &str, at: usize) -> String {
    format!("{}[{at}]", member_path(base, name))
}
