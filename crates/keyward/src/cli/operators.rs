//! `keyward operator`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use keyward_api::{Answer, Call, Deleted, List, Operator, Route, Stored, StoredToken};
use serde_json::Value;

use super::fields::{Described, Fields, Object, read_text};
use super::nouns::{Basic, Listed, Switch, body, gone};
use super::output::{self, Format, note, show};
use super::remote::{Remote, failure};
use super::{Failure, Outcome};

#[derive(Debug, Subcommand)]
pub(crate) enum OperatorCommand {
    #[command(flatten)]
    Basic(Basic<OperatorFields>),
    #[command(flatten)]
    Switch(Switch),
    /// Tokens that act for an operator.
    #[command(subcommand)]
    Token(TokenCommand),
}

/// What an operator is described by.
#[derive(Debug, Args)]
pub(crate) struct OperatorFields {
    /// For people.
    #[arg(long, value_name = "TEXT", help_heading = "Description")]
    description: Option<String>,
    /// What it may do: ROLE everywhere, or ROLE@ACCOUNT. All of its roles are named at once.
    #[arg(long, value_name = "ROLE[@ACCOUNT]", help_heading = "Description")]
    role: Vec<String>,
    /// File with its new password (`-` for standard input); absent: the one it has, or none.
    #[arg(long, value_name = "FILE", help_heading = "Description")]
    password_file: Option<PathBuf>,
    /// Who it is at an OpenID provider.
    #[arg(long, value_name = "ISSUER SUBJECT", num_args = 2, help_heading = "Description")]
    identity: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// List the tokens that act for an operator, without their values.
    List(OfOperator),
    /// Make a token, with at most what you have yourself. Its value is shown this once.
    Create(CreateToken),
    /// End a token, at once.
    Delete(OneToken),
}

/// Whose tokens.
#[derive(Debug, Args)]
pub(crate) struct OfOperator {
    /// The operator's name or id.
    #[arg(value_name = "OPERATOR")]
    operator: String,
    #[command(flatten)]
    remote: Remote,
}

/// Which token to make.
#[derive(Debug, Args)]
pub(crate) struct CreateToken {
    #[command(flatten)]
    of: OfOperator,
    /// What it is for.
    #[arg(long, value_name = "NAME")]
    name: String,
    /// At most this role; absent: the operator's.
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,
    /// Only this account; none: all of the operator's.
    #[arg(long = "only-account", value_name = "NAME")]
    accounts: Vec<String>,
    /// First moment in which it no longer holds; absent: in 90 days.
    #[arg(long, value_name = "TIME")]
    valid_until: Option<String>,
}

/// Which token to end.
#[derive(Debug, Args)]
pub(crate) struct OneToken {
    /// Its id.
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    remote: Remote,
}

impl Described for OperatorFields {
    fn fields(&self) -> Result<Object, Failure> {
        let roles = self.role.iter().map(|text| {
            let (role, account) =
                text.split_once('@').map_or((text.as_str(), None), |(role, account)| (role, Some(account)));
            Value::Object(Fields::default().put("role", Some(role)).put("account", account).done())
        });
        let identities = self.identity.chunks(2).filter_map(|pair| match pair {
            [issuer, subject] => Some(Value::Object(
                Fields::default()
                    .put("issuer", Some(issuer.as_str()))
                    .put("subject", Some(subject.as_str()))
                    .done(),
            )),
            _ => None,
        });
        let password = self.password_file.as_deref().map(read_text).transpose()?;
        let password = password.map(|text| text.trim_end_matches(['\r', '\n']).to_owned());
        Ok(Fields::default()
            .put("description", self.description.as_deref())
            .put("password", password)
            .list("roles", roles)
            .list("identities", identities)
            .done())
    }
}

impl OperatorCommand {
    pub(crate) async fn run(self) -> Outcome {
        match self {
            Self::Basic(basic) => basic.run::<Operator>().await,
            Self::Switch(switch) => switch.run::<Operator>().await,
            Self::Token(TokenCommand::List(of)) => {
                let call = Call::new(Route::ListOperatorTokens, [of.operator.as_str()]);
                let list: List<StoredToken> = of.remote.client()?.send(call).await.map_err(failure)?;
                show(of.remote.output, &list, |list| tokens(&list.items))
            }
            Self::Token(TokenCommand::Create(create)) => create.run().await,
            Self::Token(TokenCommand::Delete(one)) => {
                let call = Call::new(Route::DeleteOperatorToken, [one.id.as_str()]);
                let deleted: Deleted = one.remote.client()?.send(call).await.map_err(failure)?;
                show(one.remote.output, &deleted, |deleted| gone("operator token", &one.id, deleted))
            }
        }
    }
}

impl CreateToken {
    async fn run(self) -> Outcome {
        let fields = Fields::default()
            .put("name", Some(self.name))
            .put("role", self.role)
            .put("valid_until", self.valid_until)
            .list("accounts", self.accounts);
        let remote = &self.of.remote;
        let call = Call::new(Route::CreateOperatorToken, [self.of.operator.as_str()]);
        let made: Answer<StoredToken> =
            remote.client()?.send(call.json(body(&fields.done())?)).await.map_err(failure)?;
        show(remote.output, &made, |made| output::fields_but(&made.object, &["etag"]))?;
        if remote.output == Format::Table {
            note("the value above is shown this once; whoever has it acts for the operator");
        }
        Ok(())
    }
}

fn tokens(items: &[StoredToken]) -> String {
    let rows = items.iter().map(|token| {
        let about = &token.description;
        [
            token.id.clone(),
            about.name.clone(),
            token.hint.clone(),
            output::or_dash(about.role.as_deref()),
            about.accounts.as_ref().map_or_else(|| "all".to_owned(), |names| names.join(" ")),
            output::or_dash(about.valid_until.as_deref()),
            output::or_dash(token.last_used.as_deref()),
        ]
    });
    output::table(["id", "name", "token", "role", "accounts", "valid until", "last used"], rows)
}

impl Listed for Operator {
    const NOUN: &'static str = "operator";
    const OWNED: bool = false;

    fn table(items: &[Stored<Self>]) -> String {
        let rows = items.iter().map(|operator| {
            let about = &operator.description;
            let roles = about.roles.iter().map(|held| match &held.account {
                Some(account) => format!("{}@{account}", held.role),
                None => held.role.clone(),
            });
            [
                about.name.clone(),
                output::yes(about.enabled),
                roles.collect::<Vec<_>>().join(" "),
                about.description.clone(),
            ]
        });
        output::table(["name", "enabled", "roles", "description"], rows)
    }
}
