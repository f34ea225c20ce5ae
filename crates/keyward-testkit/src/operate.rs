//! What an operator does between two requests of a test.

use keyward_control::{Actor, Control, CredentialChange, GrantFilter, ObjectRef};
use keyward_model::{
    CallerId, CallerKind, GrantId, MemberSpec as Member, Name, Qualified, Revision, Timestamp,
};

use crate::gateway::Gateway;
use crate::scenario::{BeforeStep, CredentialSpec, MemberSpec, ObjectSpec};

const OPERATOR: Actor = Actor::LocalToken;

/// Does what this step says, written as in a scenario, and gives the revision at which it is so.
///
/// # Panics
/// If it cannot be done.
pub async fn operate(control: &Control, step: &str) -> Revision {
    take(control, &read(step)).await;
    control.revision()
}

fn read(step: &str) -> BeforeStep {
    serde_saphyr::from_str(step).expect("a step")
}

impl Gateway {
    /// Does what this step says, written as in a scenario: `{disable: {consumer: K1}}`.
    ///
    /// # Panics
    /// If it cannot be done.
    pub async fn operate(&self, step: &str) {
        self.take(&read(step)).await;
    }

    /// Does what this step says.
    ///
    /// # Panics
    /// If it cannot be done.
    pub async fn take(&self, step: &BeforeStep) {
        match step {
            BeforeStep::CloseReplayMemory(_) => {
                self.node().gateway().replay.close().expect("a closed memory")
            }
            BeforeStep::ConfirmedAgo(seconds) => {
                self.confirm(Timestamp::from_millis(self.now_ms()).plus_millis(-seconds * 1000));
            }
            other => take(self.node().control(), other).await,
        }
    }

    /// Gives this application's key pair a new secret, and tells it.
    ///
    /// # Panics
    /// If it cannot be done.
    pub async fn reset_key_pair(&self, application: &str, app_key: &str) -> String {
        self.reset_key_pair_of("default", application, app_key).await
    }

    /// The same for an application of another account.
    ///
    /// # Panics
    /// If it cannot be done.
    pub async fn reset_key_pair_of(&self, account: &str, application: &str, app_key: &str) -> String {
        let control = self.node().control();
        let view = control
            .applications()
            .get(&OPERATOR, named(Some(account), application))
            .await
            .expect("an application");
        let pair =
            view.credentials.iter().find(|c| c.app_key.as_ref().is_some_and(|key| key.as_str() == app_key));
        let id = pair.expect("a key pair").id;
        control.credentials().reset(&OPERATOR, id, None).await.expect("a reset");
        control.credentials().reveal(&OPERATOR, id).await.expect("a secret").value.expose_secret().to_owned()
    }
}

/// Does what this step says, on this store.
///
/// # Panics
/// If it cannot be done.
pub async fn take(control: &Control, step: &BeforeStep) {
    match step {
        BeforeStep::Revoke(description) => {
            let id = grant(control, description).await;
            control.grants().revoke(&OPERATOR, id).await.expect("a revocation");
        }
        BeforeStep::Disable(object) => disable(control, object).await,
        BeforeStep::Delete(object) => delete(control, object).await,
        BeforeStep::DisableCredential(credential) => disable_credential(control, credential).await,
        BeforeStep::RemoveMember(member) => remove_member(control, member).await,
        BeforeStep::CloseReplayMemory(_) | BeforeStep::ConfirmedAgo(_) => {}
    }
}

/// The grant of this description.
async fn grant(control: &Control, description: &str) -> GrantId {
    let mut after = None;
    loop {
        let filter =
            GrantFilter { after: after.take(), limit: Some(1000), revoked: true, ..GrantFilter::default() };
        let page = control.grants().list(&OPERATOR, filter).await.expect("a list of grants");
        if let Some(found) = page.items.iter().find(|grant| grant.spec.description == description) {
            return found.id;
        }
        after = Some(page.next.expect("a grant of this description"));
    }
}

fn named<I>(account: Option<&str>, name: &str) -> ObjectRef<I> {
    let account: Name = account.unwrap_or("default").parse().expect("an account's name");
    ObjectRef::Named(Qualified { account, name: name.parse().expect("a name") })
}

async fn disable(control: &Control, object: &ObjectSpec) {
    let account = object.account.as_deref();
    if let Some(name) = &object.application {
        control.applications().set_enabled(&OPERATOR, named(account, name), false).await.expect("disabled");
    } else if let Some(name) = &object.consumer {
        control.consumers().set_enabled(&OPERATOR, named(account, name), false).await.expect("disabled");
    } else if let Some(name) = &object.api {
        control.apis().set_enabled(&OPERATOR, named(account, name), false).await.expect("disabled");
    } else if let Some(name) = &object.service {
        control.services().set_enabled(&OPERATOR, named(account, name), false).await.expect("disabled");
    } else if let Some(name) = &object.group {
        control.groups().set_enabled(&OPERATOR, named(account, name), false).await.expect("disabled");
    } else if let Some(name) = &object.account {
        control.accounts().set_enabled(&OPERATOR, named(None, name), false).await.expect("disabled");
    }
}

async fn delete(control: &Control, object: &ObjectSpec) {
    let account = object.account.as_deref();
    if let Some(name) = &object.application {
        control.applications().delete(&OPERATOR, named(account, name), false).await.expect("deleted");
    } else if let Some(name) = &object.consumer {
        control.consumers().delete(&OPERATOR, named(account, name), false).await.expect("deleted");
    } else if let Some(name) = &object.api {
        control.apis().delete(&OPERATOR, named(account, name), false).await.expect("deleted");
    } else if let Some(name) = &object.group {
        control.groups().delete(&OPERATOR, named(account, name), false).await.expect("deleted");
    }
}

async fn disable_credential(control: &Control, spec: &CredentialSpec) {
    let caller: CallerId = if let Some(name) = &spec.application {
        control.applications().get(&OPERATOR, named(None, name)).await.expect("an application").id
    } else {
        let name = spec.consumer.as_deref().expect("an application or a consumer");
        control.consumers().get(&OPERATOR, named(None, name)).await.expect("a consumer").id
    };
    let all = control.credentials().list(&OPERATOR, caller).await.expect("credentials");
    let id = all.iter().filter(|c| c.kind == spec.kind).nth(spec.index).expect("a credential").id;
    let change = CredentialChange { enabled: Some(false), ..CredentialChange::default() };
    control.credentials().change(&OPERATOR, id, change).await.expect("disabled");
}

async fn remove_member(control: &Control, spec: &MemberSpec) {
    let member = Member { kind: CallerKind::Consumer, name: spec.consumer.parse().expect("a name") };
    control
        .groups()
        .remove_members(&OPERATOR, named(None, &spec.group), vec![member])
        .await
        .expect("removed");
}
