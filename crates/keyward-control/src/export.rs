//! What a store holds, as a world.

use std::collections::BTreeSet;

use keyward_model::{
    AccountId, Action, CallerId, CallerKind, JwtKeySource, JwtKeys, JwtSpec, Name, Noun, Proof, Timestamp,
    World,
};
use keyward_store::{ApisOf, CallerFilter, GrantsOf, ListPage, ObjectsOf, PluginsOf, Stored};

use crate::apis::ApiObject;
use crate::applications::ApplicationObject;
use crate::consumers::ConsumerObject;
use crate::gather::Gather;
use crate::groups::GroupObject;
use crate::object::Object;
use crate::plan::alone;
use crate::views::{account_spec, module_spec, secret_spec, service_spec};
use crate::{Actor, Control, ControlError};

/// Rows that are read at once.
const PAGE: u32 = 1_000;

/// Reads in one snapshot of the store, so that what refers to each other fits together.
pub(crate) async fn export(
    control: &Control,
    actor: &Actor,
    accounts: Vec<Name>,
) -> Result<World, ControlError> {
    actor.may("world", Action::Export)?;
    let mut reader = control.store().reader_at_one_moment().await?;
    let mut gather = Gather::new(reader.reads(), actor, control.now());
    let mut world = World::default();
    let of: Vec<AccountId> = export_accounts(&mut gather, &accounts, &mut world).await?;
    gather.gateways().await?;
    let gateways = gather.existing.gateways.iter().map(|(_, gateway)| alone(gateway.spec.clone()));
    world.gateways.extend(gateways);
    for account in of {
        export_account(&mut gather, account, &mut world).await?;
    }
    world.nouns = nouns(&world);
    Ok(world)
}

async fn export_accounts(
    gather: &mut Gather<'_>,
    names: &[Name],
    world: &mut World,
) -> Result<Vec<AccountId>, ControlError> {
    let all = gather.reads.accounts().await?;
    for name in names {
        let seen = |account: &&Stored<keyward_model::Account>| gather.sees(Some(account.object.id));
        if !all.iter().filter(seen).any(|account| account.object.name == *name) {
            return Err(ControlError::not_found("account", format!("`{name}`")));
        }
    }
    let mut ids = Vec::new();
    for account in all.into_iter().map(|account| account.object) {
        if (names.is_empty() || names.contains(&account.name)) && gather.sees(Some(account.id)) {
            ids.push(account.id);
            world.accounts.push(alone(account_spec(&account)));
        }
        gather.existing.add_account(account);
    }
    Ok(ids)
}

async fn export_account(
    gather: &mut Gather<'_>,
    account: AccountId,
    world: &mut World,
) -> Result<(), ControlError> {
    let mut page = ListPage::first(PAGE);
    loop {
        let found = gather.reads.list_secrets(&ObjectsOf::within(account), &page).await?;
        world.secrets.extend(found.iter().map(|secret| alone(secret_spec(&secret.object))));
        if !next(&mut page, &found, |secret| secret.id.to_string()) {
            break;
        }
    }
    loop {
        let found = gather.reads.list_services(&ObjectsOf::within(account), &page).await?;
        world.services.extend(found.iter().map(|service| alone(service_spec(&service.object))));
        if !next(&mut page, &found, |service| service.id.to_string()) {
            break;
        }
    }
    loop {
        let found = gather.reads.list_modules(&ObjectsOf::within(account), &page).await?;
        let described = found.iter().filter_map(|module| module_spec(&gather.existing, &module.object));
        world.modules.extend(described.map(alone));
        if !next(&mut page, &found, |module| module.id.to_string()) {
            break;
        }
    }
    loop {
        let found = gather.reads.list_apis(&ApisOf::within(account.into()), &page).await?;
        let more = next(&mut page, &found, |api| api.id.to_string());
        for api in found {
            world.apis.push(alone(ApiObject::view(gather, api).await?.spec));
        }
        if !more {
            break;
        }
    }
    for kind in [CallerKind::Application, CallerKind::Consumer] {
        export_callers(gather, account, kind, world).await?;
    }
    loop {
        let found = gather.reads.list_groups(&ObjectsOf::within(account), &page).await?;
        let more = next(&mut page, &found, |group| group.id.to_string());
        for group in found {
            world.groups.push(alone(GroupObject::view(gather, group).await?.spec));
        }
        if !more {
            break;
        }
    }
    export_grants(gather, account, world).await?;
    export_plugins(gather, account, world).await
}

async fn export_callers(
    gather: &mut Gather<'_>,
    account: AccountId,
    kind: CallerKind,
    world: &mut World,
) -> Result<(), ControlError> {
    let filter = CallerFilter { within: account.into(), kind: Some(kind), ..CallerFilter::default() };
    let mut page = ListPage::first(PAGE);
    loop {
        let found = gather.reads.list_callers(&filter, &page).await?;
        let more = next(&mut page, &found, |caller| caller.id.to_string());
        for caller in found {
            match kind {
                CallerKind::Application => {
                    let spec = ApplicationObject::view(gather, caller).await?.spec;
                    world.applications.push(alone(spec));
                }
                CallerKind::Consumer => {
                    let id = caller.object.id;
                    let mut spec = ConsumerObject::view(gather, caller).await?.spec;
                    if let Some(jwt) = &mut spec.jwt {
                        write_public_keys(gather, id, jwt).await?;
                    }
                    world.consumers.push(alone(spec));
                }
            }
        }
        if !more {
            return Ok(());
        }
    }
}

/// Keys that only verify are no secret: without them, the consumer could not be described anywhere else.
async fn write_public_keys(
    gather: &mut Gather<'_>,
    consumer: CallerId,
    jwt: &mut JwtSpec,
) -> Result<(), ControlError> {
    let rows = gather.reads.credentials_of(&[consumer]).await?;
    let Some(row) = rows.iter().find(|row| row.object.kind == "jwt") else { return Ok(()) };
    // What does not open was told when it was loaded; described without keys, it stays what it is.
    let opened = gather.reads.open(&row.object).map(|record| record.credential.proof);
    if let Ok(Proof::Jwt(binding)) = opened
        && binding.settings.remote.is_none()
        && let JwtKeys::Own(jwks) = binding.keys
        && !jwks.holds_secrets()
    {
        jwt.keys = JwtKeySource::Given(jwks);
    }
    Ok(())
}

/// Those that are not revoked: a world describes what should be.
async fn export_grants(
    gather: &mut Gather<'_>,
    account: AccountId,
    world: &mut World,
) -> Result<(), ControlError> {
    let of = GrantsOf { account: Some(account), ..GrantsOf::at(Timestamp::from_millis(0)) };
    let mut page = ListPage::first(PAGE);
    loop {
        let found = gather.reads.list_grants(&of, &page).await?;
        let more = next(&mut page, &found, |grant| grant.id.to_string());
        for grant in found {
            gather.around_grant(&grant.object).await?;
            world.grants.extend(gather.grant_spec(&grant.object).map(alone));
        }
        if !more {
            return Ok(());
        }
    }
}

/// Oldest first, so that those of one kind that are bound to the same are matched as they are.
async fn export_plugins(
    gather: &mut Gather<'_>,
    account: AccountId,
    world: &mut World,
) -> Result<(), ControlError> {
    let mut page = ListPage::first(PAGE);
    loop {
        let found = gather.reads.list_plugins(&PluginsOf::within(account), &page).await?;
        let more = next(&mut page, &found, |plugin| plugin.id.to_string());
        for plugin in found {
            gather.around_plugin(&plugin.object).await?;
            world.plugins.extend(gather.plugin_spec(&plugin.object).map(alone));
        }
        if !more {
            return Ok(());
        }
    }
}

/// Turns to the next page; at the end back to the start, for the next noun.
fn next<T>(page: &mut ListPage, found: &[Stored<T>], id: impl Fn(&T) -> String) -> bool {
    page.turn_to(found.last().map(|last| id(&last.object)));
    !found.is_empty()
}

fn nouns(world: &World) -> BTreeSet<Noun> {
    let named = [
        (Noun::Account, !world.accounts.is_empty()),
        (Noun::Gateway, !world.gateways.is_empty()),
        (Noun::Secret, !world.secrets.is_empty()),
        (Noun::Service, !world.services.is_empty()),
        (Noun::Module, !world.modules.is_empty()),
        (Noun::Api, !world.apis.is_empty()),
        (Noun::Application, !world.applications.is_empty()),
        (Noun::Consumer, !world.consumers.is_empty()),
        (Noun::Group, !world.groups.is_empty()),
        (Noun::Grant, !world.grants.is_empty()),
        (Noun::Plugin, !world.plugins.is_empty()),
    ];
    named.into_iter().filter_map(|(noun, is_there)| is_there.then_some(noun)).collect()
}
