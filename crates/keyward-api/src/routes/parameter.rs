//! Parameters of paths and queries, and what they may say.

use keyward_model::{AppKey, CallerId, Day, Finding, Name, ParseError, Stage, Timestamp};

/// A parameter of a path or a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// What it may say.
    pub form: Form,
    /// Must it be given?
    pub required: bool,
    /// What it is where it is not given.
    pub default: Option<&'static str>,
    /// What it is for, in a sentence.
    pub about: &'static str,
}

/// What a parameter may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The name of an object, or its id.
    Name,
    /// The id of an object: this prefix, then 32 lower-case hexadecimal digits.
    Id(&'static str),
    /// The id of an application or a consumer.
    CallerId,
    /// A text of at most so many characters, none of them a control character.
    Text(usize),
    /// `true` or `false`.
    Flag,
    /// A whole number in this range, both ends included.
    Number(u64, u64),
    /// A point in time, RFC 3339.
    Moment,
    /// A day: `2026-01-31`.
    Day,
    /// An AppKey.
    AppKey,
    /// A stage.
    Stage,
    /// `NAME=VALUE`.
    Tag,
    /// `METHOD /path`.
    Operation,
    /// One of these words.
    Choice(&'static [&'static str]),
}

impl Parameter {
    /// A parameter that need not be given.
    pub const fn new(name: &'static str, form: Form, about: &'static str) -> Self {
        Self { name, form, required: false, default: None, about }
    }

    /// It must be given.
    #[must_use]
    pub const fn required(self) -> Self {
        Self { required: true, ..self }
    }

    /// What it is where it is not given.
    #[must_use]
    pub const fn default(self, default: &'static str) -> Self {
        Self { default: Some(default), ..self }
    }
}

impl Form {
    /// Is this such a text?
    ///
    /// # Errors
    /// What it must be instead.
    pub fn check(self, text: &str) -> Result<(), String> {
        fn parsed<T: std::str::FromStr<Err = ParseError>>(text: &str) -> Result<(), String> {
            text.parse::<T>().map(drop).map_err(|error| error.to_string())
        }
        match self {
            Self::Name => parsed::<Name>(text),
            Self::Id(prefix) => is_id(prefix, text)
                .then_some(())
                .ok_or_else(|| format!("must be an id: `{prefix}` and 32 lower-case hexadecimal digits")),
            Self::CallerId => parsed::<CallerId>(text),
            Self::Text(most) => {
                let fits = text.chars().count() <= most && !text.chars().any(char::is_control);
                fits.then_some(())
                    .ok_or_else(|| format!("must have at most {most} characters, no control characters"))
            }
            Self::Flag => {
                matches!(text, "true" | "false").then_some(()).ok_or_else(|| "must be true or false".into())
            }
            Self::Number(least, most) => {
                let digits = text.bytes().all(|byte| byte.is_ascii_digit());
                let number = text.parse::<u64>().ok().filter(|number| (least..=most).contains(number));
                (digits && number.is_some())
                    .then_some(())
                    .ok_or_else(|| format!("must be a whole number from {least} to {most}"))
            }
            Self::Moment => parsed::<Timestamp>(text),
            Self::Day => parsed::<Day>(text),
            Self::AppKey => parsed::<AppKey>(text),
            Self::Stage => parsed::<Stage>(text),
            Self::Tag => is_tag(text).then_some(()).ok_or_else(|| "must be NAME=VALUE".into()),
            Self::Operation => is_operation(text)
                .then_some(())
                .ok_or_else(|| "must be a method and a path below the base path, like `GET /42`".into()),
            Self::Choice(words) => {
                words.contains(&text).then_some(()).ok_or_else(|| format!("must be {}", words.join(" or ")))
            }
        }
    }
}

fn is_id(prefix: &str, text: &str) -> bool {
    text.strip_prefix(prefix).is_some_and(|digits| {
        digits.len() == 32
            && digits.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    })
}

fn is_tag(text: &str) -> bool {
    let clean = !text.chars().any(char::is_control) && text.chars().count() <= 512;
    clean && text.split_once(['=', ':']).is_some()
}

fn is_operation(text: &str) -> bool {
    text.split_once(' ').is_some_and(|(method, path)| {
        !method.is_empty() && path.starts_with('/') && !text.chars().any(char::is_control)
    })
}

/// The account in which names are looked up.
const ACCOUNT: Parameter =
    Parameter::new("account", Form::Name, "Name of the account in which names are looked up")
        .default("default");

const AFTER: Parameter =
    Parameter::new("after", Form::Text(1_024), "Where the page begins: `next` of the page before");

/// How many items a page has at most.
const LIMIT: Parameter = Parameter::new("limit", Form::Number(1, 1_000), "Most items of the page");

/// Is a thing only counted or said, and not done?
pub(super) const DRY_RUN: Parameter =
    Parameter::new("dry_run", Form::Flag, "Only say what would be done").default("false");

/// How far a write's answer waits.
pub(super) const WAIT: Parameter = Parameter::new(
    "wait",
    Form::Choice(&["node", "cluster"]),
    "Whether the answer waits for this node or for all nodes",
)
.default("node");

/// No parameters.
pub(super) const NONE: &[Parameter] = &[];

/// Of every route about one object that belongs to an account.
pub(super) const ONE: &[Parameter] = &[ACCOUNT];

/// Of a deletion.
pub(super) const DELETE: &[Parameter] = &[ACCOUNT, DRY_RUN];

/// Of a deletion of what belongs to no account.
pub(super) const DRY: &[Parameter] = &[DRY_RUN];

const OF_ACCOUNT: Parameter = Parameter::new("account", Form::Name, "Only those of this account");
const NAME: Parameter =
    Parameter::new("name", Form::Text(128), "Only those with this in their name, in any case");

const STATE: Parameter =
    Parameter::new("state", Form::Choice(&["enabled", "disabled"]), "Only those in this state");
const SORT: Parameter = Parameter::new(
    "sort",
    Form::Choice(&["created", "-created", "name", "-name"]),
    "In which order; with `-` the last first. The same for every page",
)
.default("created");

/// Of a list of what belongs to no account.
pub(super) const NAMED: &[Parameter] = &[NAME, SORT, AFTER, LIMIT];

/// Of a list of what belongs to accounts.
pub(super) const LIST: &[Parameter] = &[OF_ACCOUNT, NAME, STATE, SORT, AFTER, LIMIT];

/// Of the list of accounts.
pub(super) const ACCOUNTS: &[Parameter] = &[NAME, STATE, SORT, AFTER, LIMIT];

/// Of the list of APIs.
pub(super) const APIS: &[Parameter] = &[
    OF_ACCOUNT,
    NAME,
    Parameter::new("kind", Form::Choice(&["rest"]), "Only those of this kind"),
    Parameter::new("gateway", Form::Name, "Only those published to this gateway, by name or id"),
    STATE,
    SORT,
    AFTER,
    LIMIT,
];

/// Of the list of those that refer to a secret.
pub(super) const REFERENCES: &[Parameter] = &[ACCOUNT, AFTER, LIMIT];

/// Of the access review.
pub(super) const REVIEW: &[Parameter] = &[
    Parameter::new("finding", Form::Choice(Finding::WORDS), "Only this finding"),
    OF_ACCOUNT,
    Parameter::new(
        "unused_days",
        Form::Number(1, 3_650),
        "After how many days without use something is unused",
    )
    .default("90"),
    Parameter::new("ending_days", Form::Number(1, 3_650), "Within how many days something ends soon")
        .default("30"),
    AFTER,
    LIMIT,
];

/// Of a list of what can have tags.
pub(super) const TAGGED: &[Parameter] = &[
    OF_ACCOUNT,
    NAME,
    Parameter::new("tag", Form::Tag, "Only those with this tag: `NAME=VALUE`"),
    Parameter::new("app_key", Form::AppKey, "Only the one with this AppKey, in any case"),
    STATE,
    SORT,
    AFTER,
    LIMIT,
];

/// Of the list of grants.
pub(super) const GRANTS: &[Parameter] = &[
    Parameter::new("api", Form::Name, "Only those on this API, by name or id"),
    Parameter::new("application", Form::Name, "Only those for this application or a group it is in"),
    Parameter::new("consumer", Form::Name, "Only those for this consumer or a group it is in"),
    Parameter::new("group", Form::Name, "Only those for this group itself, by name or id"),
    Parameter::new(
        "account",
        Form::Name,
        "Name of the account in which names are looked up; without one, only those that this account gave",
    ),
    CALLER_ACCOUNT,
    Parameter::new(
        "state",
        Form::Choice(&["not_yet", "in_effect", "expired", "revoked"]),
        "Only those in this state now",
    ),
    Parameter::new("revoked", Form::Flag, "Also those that were revoked").default("false"),
    AFTER,
    LIMIT,
];

/// Of the list of plugins.
pub(super) const PLUGINS: &[Parameter] = &[
    Parameter::new(
        "account",
        Form::Name,
        "Name of the account in which names are looked up; without one, only those of this account",
    ),
    Parameter::new("api", Form::Name, "Only those bound to this API or to an operation of it, by name or id"),
    Parameter::new("gateway", Form::Name, "Only those bound to this gateway, by name or id"),
    Parameter::new("plugin", Form::Name, "Only those that do this: a built-in, or a custom one by its name"),
    STATE,
    AFTER,
    LIMIT,
];

const CALLER_ACCOUNT: Parameter =
    Parameter::new("caller_account", Form::Name, "Account of the caller, where it is not that of the API");

/// Of the list of calls per day.
pub(super) const USAGE: &[Parameter] = &[
    Parameter::new(
        "account",
        Form::Name,
        "Name of the account in which names are looked up; without one, only calls by its callers or of its APIs",
    ),
    Parameter::new("application", Form::Name, "Only calls by this application, by name or id"),
    Parameter::new("consumer", Form::Name, "Only calls by this consumer, by name or id"),
    CALLER_ACCOUNT,
    Parameter::new("api", Form::Name, "Only calls of this API, by name or id"),
    Parameter::new("from", Form::Day, "The first day"),
    Parameter::new("until", Form::Day, "The first day that is left out again"),
    AFTER,
    LIMIT,
];

/// Of giving up a grant.
pub(super) const RENOUNCE: &[Parameter] = &[
    Parameter::new("application", Form::Name, "The application that the grant is for"),
    Parameter::new("consumer", Form::Name, "The consumer that the grant is for"),
    ACCOUNT,
    CALLER_ACCOUNT,
];

/// Of finding a key pair.
pub(super) const FIND: &[Parameter] =
    &[Parameter::new("app_key", Form::AppKey, "The AppKey, compared exactly").required()];

const OF_ACTOR: Parameter = Parameter::new("actor", Form::Text(256), "Only what this actor did");
/// The nouns of which there are entries in the audit.
const AUDITED: &[&str] = &[
    "account",
    "api",
    "api_key",
    "app_code",
    "application",
    "caller",
    "consumer",
    "credential",
    "gateway",
    "grant",
    "group",
    "jwt",
    "key_pair",
    "leak",
    "member",
    "module",
    "node",
    "operator",
    "operator_token",
    "plugin",
    "secret",
    "service",
    "session",
    "stage",
    "world",
];
const OF_NOUN: Parameter = Parameter::new(
    "noun",
    Form::Choice(AUDITED),
    "Only what was done to this noun. Applications and consumers together are callers",
);
const OF_OBJECT: Parameter = Parameter::new("object", Form::Text(256), "Only what was done to this id");
const OF_ACTION: Parameter =
    Parameter::new("action", Form::Text(64), "Only this use case, such as `application.create`");
const TOUCH: Parameter = Parameter::new(
    "touch",
    Form::Choice(&["created", "changed", "deleted", "revealed", "refused"]),
    "Only with this outcome",
);
const FROM: Parameter = Parameter::new("from", Form::Moment, "Only from this moment on");
const UNTIL: Parameter = Parameter::new("until", Form::Moment, "Only before this moment");

/// Of the list of what was done.
pub(super) const AUDIT: &[Parameter] = &[
    OF_ACTOR,
    OF_ACCOUNT,
    OF_NOUN,
    OF_OBJECT,
    OF_ACTION,
    TOUCH,
    FROM,
    UNTIL,
    Parameter::new("sort", Form::Choice(&["created", "-created"]), "With `-` the newest first")
        .default("created"),
    AFTER,
    LIMIT,
];

/// Of writing what was done.
pub(super) const AUDIT_EXPORT: &[Parameter] =
    &[OF_ACTOR, OF_ACCOUNT, OF_NOUN, OF_OBJECT, OF_ACTION, TOUCH, FROM, UNTIL];

/// Of checking the audit.
pub(super) const AUDIT_MARK: &[Parameter] = &[
    Parameter::new("entries", Form::Number(0, i64::MAX as u64), "How many entries an earlier check found"),
    Parameter::new("hash", Form::Text(64), "The hash that it found"),
];

/// Of applying a world.
pub(super) const APPLY: &[Parameter] = &[
    DRY_RUN,
    Parameter::new("prune", Form::Flag, "Remove what is of a noun that the world names, but is not in it")
        .default("false"),
];

/// Of exporting a world.
pub(super) const EXPORT: &[Parameter] =
    &[Parameter::new("account", Form::Name, "Only what belongs to this account")];

const API: Parameter = Parameter::new("api", Form::Name, "The API, by name or id").required();
const AT_STAGE: Parameter = Parameter::new("stage", Form::Stage, "The stage").default("RELEASE");
const OPERATION: Parameter = Parameter::new(
    "operation",
    Form::Operation,
    "Method and path below the base path; absent: any operation",
);
const GATEWAY: Parameter =
    Parameter::new("gateway", Form::Name, "The gateway, by name or id").default("default");
const AT: Parameter = Parameter::new("at", Form::Moment, "The moment; absent: now");

/// Of asking what would be decided.
pub(super) const EXPLAIN: &[Parameter] = &[
    API,
    Parameter::new("api_account", Form::Name, "Account of the API, where the caller is of another one"),
    AT_STAGE,
    OPERATION,
    Parameter::new("application", Form::Name, "The call of this application"),
    Parameter::new("consumer", Form::Name, "The call of this consumer"),
    Parameter::new("app_key", Form::AppKey, "The call of the application with this AppKey, by that key pair"),
    ACCOUNT,
    GATEWAY,
    AT,
];

/// Of asking who may call.
pub(super) const WHO_CAN: &[Parameter] = &[API, AT_STAGE, OPERATION, ACCOUNT, GATEWAY, AT];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_noun_that_can_be_changed_is_one_of_the_audit() {
        for route in crate::Route::ALL.iter().filter(|route| route.is_write()) {
            assert!(AUDITED.contains(&route.noun()), "{route:?}");
        }
        assert!(AUDITED.is_sorted());
    }

    #[test]
    fn a_form_takes_what_it_says_and_nothing_else() {
        let id = format!("grt_{}", "0a".repeat(16));
        for (form, good, bad) in [
            (Form::Name, "web shop", "a/b"),
            (Form::Id("grt_"), id.as_str(), "grt_1"),
            (Form::CallerId, "con_018f0000000070008000000000000abc", "grt_018f0000000070008000000000000abc"),
            (Form::Text(3), "abc", "abcd"),
            (Form::Text(3), "", "\0"),
            (Form::Flag, "true", ""),
            (Form::Number(1, 1_000), "1000", "1001"),
            (Form::Number(1, 1_000), "1", "+1"),
            (Form::Moment, "2026-01-31T12:00:00Z", "now"),
            (Form::Day, "2026-01-31", "2026-1-31"),
            (Form::AppKey, "a-B_9", "a b"),
            (Form::Stage, "RELEASE", "release"),
            (Form::Tag, "team=web", "team"),
            (Form::Operation, "GET /42", "GET"),
            (Form::Choice(&["a", "b"]), "b", "c"),
        ] {
            assert_eq!(form.check(good), Ok(()), "{form:?}");
            assert!(form.check(bad).is_err(), "{form:?} {bad:?}");
        }
    }
}
