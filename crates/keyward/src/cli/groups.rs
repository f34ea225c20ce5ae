//! `keyward group`.

use clap::{Args, Subcommand};
use keyward_api::{Answer, Call, Group, Member, Route, Stored};
use serde_json::Value;

use super::fields::{Described, Fields, Object};
use super::nouns::{Basic, Listed, One, Switch, body, show_answer};
use super::remote::failure;
use super::{Failure, Outcome, output};

#[derive(Debug, Subcommand)]
pub(crate) enum GroupCommand {
    #[command(flatten)]
    Basic(Basic<GroupFields>),
    #[command(flatten)]
    Switch(Switch),
    /// Add a member.
    AddMember(MemberArgs),
    /// Remove a member: takes effect at once, like a revocation.
    RemoveMember(MemberArgs),
}

/// What a group is described by.
#[derive(Debug, Args)]
pub(crate) struct GroupFields {
    /// For people.
    #[arg(long, value_name = "TEXT", help_heading = "Description")]
    description: Option<String>,
    /// A member: app:NAME or consumer:NAME. Naming one replaces them all.
    #[arg(long, value_name = "MEMBER", value_parser = member, help_heading = "Description")]
    member: Vec<Member>,
}

/// `app:NAME`, `application:NAME` or `consumer:NAME`.
pub(crate) fn member(text: &str) -> Result<Member, String> {
    match text.split_once(':') {
        Some(("app" | "application", name)) => Ok(Member::Application(name.to_owned())),
        Some(("consumer", name)) => Ok(Member::Consumer(name.to_owned())),
        _ => Err("write it as app:NAME or consumer:NAME".to_owned()),
    }
}

impl Described for GroupFields {
    fn fields(&self) -> Result<Object, Failure> {
        let members = self.member.iter().map(|member| match member {
            Member::Application(name) => Fields::default().put("application", Some(name.as_str())),
            Member::Consumer(name) => Fields::default().put("consumer", Some(name.as_str())),
        });
        let fields = Fields::default()
            .put("description", self.description.as_deref())
            .list("members", members.map(|fields| Value::Object(fields.done())));
        Ok(fields.done())
    }
}

/// A group and a member.
#[derive(Debug, Args)]
pub(crate) struct MemberArgs {
    #[command(flatten)]
    one: One,
    /// The member: app:NAME or consumer:NAME.
    #[arg(value_name = "MEMBER", value_parser = member)]
    member: Member,
}

impl GroupCommand {
    pub(crate) async fn run(self) -> Outcome {
        match self {
            Self::Basic(basic) => basic.run::<Group>().await,
            Self::Switch(switch) => switch.run::<Group>().await,
            Self::AddMember(args) => {
                let call = args.one.call(Route::AddMember).json(body(&args.member)?);
                send(&args.one, call).await
            }
            Self::RemoveMember(args) => {
                let (kind, name) = match &args.member {
                    Member::Application(name) => ("applications", name),
                    Member::Consumer(name) => ("consumers", name),
                };
                let call = Call::new(Route::RemoveMember, [args.one.name.as_str(), kind, name])
                    .query("account", args.one.account.as_deref());
                send(&args.one, call).await
            }
        }
    }
}

async fn send(one: &One, call: Call<'_>) -> Outcome {
    let answer: Answer<Stored<Group>> = one.remote.client()?.send(call).await.map_err(failure)?;
    show_answer(&one.remote, &answer)
}

impl Listed for Group {
    const NOUN: &'static str = "group";

    fn table(items: &[Stored<Self>]) -> String {
        let rows = items.iter().map(|group| {
            let about = &group.description;
            [
                about.account.clone(),
                about.name.clone(),
                output::yes(about.enabled),
                about.members.len().to_string(),
                about.description.clone(),
            ]
        });
        output::table(["account", "name", "enabled", "members", "description"], rows)
    }
}
