//! What a dollar sign means in a text: `${NAME}`, `$$`, and `$ref{name}`.

/// Looks a variable up.
pub(crate) type Environment<'e> = dyn Fn(&str) -> Option<String> + 'e;

/// How dollar signs are read.
pub(crate) enum Dollars<'e> {
    /// A world file: `${NAME}` comes from the environment.
    World(&'e Environment<'e>),
    /// A request to the admin API: texts are literal; in secret values `$$` is a dollar sign, so that `$ref{…}`
    /// can be told from its plain text. There is no environment: the caller's is not here, and ours is none of
    /// the caller's business. So `${…}` is refused in a secret value: as it stands, everybody could guess it.
    Api,
}

/// Where a dollar sign may lead.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refs {
    /// A credential belongs here: references stay as they are written, and so does `$$`.
    Kept,
    /// None does: a reference is refused.
    Refused,
}

/// The text that is meant, or what is wrong with it.
///
/// What a variable brings is taken as it is. Where references are kept, what comes of it is to be read by
/// [`keyward_model::SecretText::parse`], and a dollar sign that a variable brings is doubled for that.
pub(crate) fn expand(text: &str, dollars: &Dollars<'_>, refs: Refs) -> Result<String, String> {
    let kept = refs == Refs::Kept;
    let mut meant = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        meant.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            meant.push_str(if kept { "$$" } else { "$" });
            rest = after;
        } else if after.starts_with("ref{") && kept {
            meant.push('$');
            rest = after;
        } else if after.starts_with("ref{") {
            let name = after
                .strip_prefix("ref{")
                .and_then(|name| name.split_once('}'))
                .map_or("…", |(name, _)| name);
            return Err(format!(
                "`$ref{{{}}}`: no credential belongs here, so no secret can be referred to; write `$$ref{{` for the plain text",
                name.chars().take(64).collect::<String>().escape_debug()
            ));
        } else if let (Some(after), Dollars::World(environment)) = (after.strip_prefix('{'), dollars) {
            // Without an end there is no name, and an empty name is refused below.
            let (name, after) = after.split_once('}').unwrap_or(("", after));
            let brought = variable(name, environment)?;
            meant.push_str(&if kept { brought.replace('$', "$$") } else { brought });
            rest = after;
        } else if after.starts_with('{') {
            return Err(
                "`${…}`: variables are put in by `keyward apply` alone; write `$${` for the plain text"
                    .to_owned(),
            );
        } else {
            meant.push_str(if kept { "$$" } else { "$" });
            rest = after;
        }
    }
    meant.push_str(rest);
    Ok(meant)
}

fn variable(name: &str, environment: &Environment<'_>) -> Result<String, String> {
    let named = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && name.bytes().next().is_some_and(|b| !b.is_ascii_digit());
    if !named {
        return Err(format!(
            "`${{{}}}` is not a variable; write `${{NAME}}`, or `$${{` for the plain text",
            name.escape_debug()
        ));
    }
    environment(name).ok_or_else(|| {
        format!("`${{{name}}}` is not in the environment; set {name}, or write `$${{` for the plain text")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world(text: &str) -> Result<String, String> {
        expand(
            text,
            &Dollars::World(&|name| (name == "HOME_1").then(|| "a$b${HOME_1}$ref{x}".to_owned())),
            Refs::Refused,
        )
    }

    #[test]
    fn variables_are_put_in_and_not_scanned_again() {
        assert_eq!(world("<${HOME_1}>").unwrap(), "<a$b${HOME_1}$ref{x}>");
        assert!(world("${ABSENT}").unwrap_err().contains("set ABSENT"));
        for bad in ["${}", "${a b}", "${1A}", "${HOME_1", "${"] {
            assert!(world(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_doubled_dollar_is_one() {
        assert_eq!(world("$$ref{x}").unwrap(), "$ref{x}");
        assert_eq!(world("$${HOME_1}").unwrap(), "${HOME_1}");
        assert_eq!(world("$$$$").unwrap(), "$$");
        assert_eq!(world("5 $ or $x$").unwrap(), "5 $ or $x$");
    }

    #[test]
    fn references_are_refused_by_name() {
        assert!(world("Bearer $ref{orders_key}").unwrap_err().contains("`$ref{orders_key}`"));
        assert!(expand("$ref{k}", &Dollars::Api, Refs::Refused).is_err());
    }

    #[test]
    fn a_variable_that_nobody_puts_in_is_no_secret() {
        assert!(expand("${HOME}", &Dollars::Api, Refs::Refused).unwrap_err().contains("`keyward apply`"));
        assert_eq!(expand("$${HOME}$$", &Dollars::Api, Refs::Refused).unwrap(), "${HOME}$");
        assert_eq!(expand("a$b", &Dollars::Api, Refs::Refused).unwrap(), "a$b");
    }

    #[test]
    fn where_credentials_belong_references_stay_and_nothing_else_becomes_one() {
        let kept = |text: &str| {
            let dollars = Dollars::World(&|name| (name == "V").then(|| "$ref{evil}$$".to_owned()));
            let written = expand(text, &dollars, Refs::Kept).unwrap();
            keyward_model::SecretText::parse(&written).unwrap()
        };
        assert_eq!(kept("Bearer $ref{a}").shown().unwrap(), "Bearer $ref{a}");
        for (text, plain) in [("${V}", "$ref{evil}$$"), ("$$ref{a}", "$ref{a}"), ("a$b$$c$", "a$b$c$")] {
            assert_eq!(kept(text).plain().unwrap().expose_secret(), plain, "{text}");
        }
    }
}
