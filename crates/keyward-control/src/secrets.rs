//! Secrets: written once, referred to where they are needed, rotated without breaking anything.

use keyward_model::{
    AccountId, Action, CallerId, CredentialId, Noun, Place, Plaintext, PluginId, PreviousValue, Qualified,
    Secret, SecretId, SecretSource, SecretSpec, ServiceId, Timestamp, World,
};
use keyward_store::{ListPage, RecordId, ReferenceRow, SecretUse, Stored, Touch};
use serde_json::json;

use crate::gather::Gather;
use crate::object::{self, Object};
use crate::plan::{Referrer, alone, overlap_end, plugin_label};
use crate::views::secret_spec;
use crate::{
    Actor, Control, ControlError, Deleted, ErrorKind, ListFilter, ObjectRef, Page, Problem, User, Warning,
    Written,
};

/// A secret, as the admin plane shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretView {
    /// Its id.
    pub id: SecretId,
    /// Whose it is; the name is in the spec.
    pub account: AccountId,
    /// Its own last revision: the ETag.
    pub revision: u64,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub changed: Timestamp,
    /// As it would stand in a world file, without its values.
    pub spec: SecretSpec,
    /// Counts its values, from 1.
    pub version: u64,
    /// When the current value came.
    pub rotated: Timestamp,
    /// The version before, and until when it proves who calls.
    pub previous: Option<(u64, Timestamp)>,
    /// How many refer to it.
    pub references: u64,
    /// When its values were last used.
    pub used: SecretUse,
    /// Why nothing can be resolved by it, as this node sees it; absent: it can.
    pub trouble: Option<String>,
}

/// Something that refers to a secret, as people know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferenceView {
    /// Application, consumer, service or plugin.
    pub noun: Noun,
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The field that the reference stands in.
    pub field: String,
    /// Of a caller: the credential with the reference.
    pub credential: Option<CredentialId>,
}

/// What can be done with secrets.
#[derive(Clone, Copy, Debug)]
pub struct Secrets<'c> {
    pub(crate) control: &'c Control,
}

impl Secrets<'_> {
    /// Makes one: with the value that is given, a generated one, or one that is held elsewhere.
    ///
    /// # Errors
    /// The name is taken, or something in the spec is wrong.
    pub async fn create(&self, actor: &Actor, spec: SecretSpec) -> Result<Written<SecretView>, ControlError> {
        Ok(object::create::<SecretObject>(self.control, actor, spec).await?.written())
    }

    /// Shows one, without its value.
    ///
    /// # Errors
    /// It does not exist.
    pub async fn get(&self, actor: &Actor, of: ObjectRef<SecretId>) -> Result<SecretView, ControlError> {
        object::get::<SecretObject>(self.control, actor, &of).await
    }

    /// Lists them, oldest first.
    ///
    /// # Errors
    /// The account does not exist, or `after` is not what a page said.
    pub async fn list(&self, actor: &Actor, filter: ListFilter) -> Result<Page<SecretView>, ControlError> {
        object::list::<SecretObject>(self.control, actor, &filter).await
    }

    /// Changes one: `edit` gets the current spec (values left out; leaving them out keeps them) and changes it.
    ///
    /// # Errors
    /// It does not exist, `edit` refuses, or what comes of it is wrong.
    pub async fn change(
        &self,
        actor: &Actor,
        of: ObjectRef<SecretId>,
        edit: impl FnOnce(&mut SecretSpec) -> Result<(), Problem> + Send + 'static,
    ) -> Result<Written<SecretView>, ControlError> {
        Ok(object::change::<SecretObject>(self.control, actor, of, edit).await?.written())
    }

    /// Enables or disables it. Disabling warns of each that refers to it: it proves nothing, or cannot be called, from then on.
    ///
    /// # Errors
    /// It does not exist.
    pub async fn set_enabled(
        &self,
        actor: &Actor,
        of: ObjectRef<SecretId>,
        enabled: bool,
    ) -> Result<Written<SecretView>, ControlError> {
        let broken = match enabled {
            true => Vec::new(),
            false => self.references(actor, of.clone(), None, None).await?.items,
        };
        let edit = move |spec: &mut SecretSpec| {
            spec.enabled = enabled;
            Ok(())
        };
        let mut written = object::change::<SecretObject>(self.control, actor, of, edit).await?.written();
        written.warnings.extend(broken.iter().map(ReferenceView::warning));
        let told = u64::try_from(broken.len()).unwrap_or(u64::MAX);
        let rest = written.object.references.saturating_sub(told);
        if !enabled && rest > 0 {
            let text = format!("{rest} more refer to it: list its references");
            written.warnings.push(Warning {
                code: "reference_breaks",
                place: Place::default(),
                noun: Noun::Secret,
                text,
            });
        }
        Ok(written)
    }

    /// Gives it another value (absent: generated). The old one goes on proving who calls for this many seconds; what is sent to
    /// services is the new one at once.
    ///
    /// # Errors
    /// It does not exist, is held elsewhere, or the value cannot be used by something that refers to it.
    pub async fn rotate(
        &self,
        actor: &Actor,
        of: ObjectRef<SecretId>,
        value: Option<Plaintext>,
        overlap_s: u64,
    ) -> Result<Written<SecretView>, ControlError> {
        self.renew(actor, of, "secret.rotate", overlap_s, move |_| Ok(value)).await
    }

    /// Gives it its value before back, as a new version.
    ///
    /// # Errors
    /// It does not exist, or there is no value before.
    pub async fn roll_back(
        &self,
        actor: &Actor,
        of: ObjectRef<SecretId>,
        overlap_s: u64,
    ) -> Result<Written<SecretView>, ControlError> {
        let value = |secret: &Secret| {
            let previous = secret.spec.previous.as_ref().and_then(|previous| previous.value.clone());
            previous.map(Some).ok_or_else(|| {
                let text =
                    "there is no value before the current one: give the one that is wanted by rotating";
                ControlError::new(ErrorKind::Conflict, "no_previous_value", text)
            })
        };
        self.renew(actor, of, "secret.rollback", overlap_s, value).await
    }

    async fn renew(
        &self,
        actor: &Actor,
        of: ObjectRef<SecretId>,
        action: &'static str,
        overlap_s: u64,
        value: impl FnOnce(&Secret) -> Result<Option<Plaintext>, ControlError> + Send + 'static,
    ) -> Result<Written<SecretView>, ControlError> {
        actor.may(Noun::Secret.singular(), Action::Rotate)?;
        if overlap_s > OVERLAP_MAX_S {
            let text = format!("an overlap is at most {OVERLAP_MAX_S} seconds, which is 366 days");
            return Err(Problem::invalid("overlap_malformed", "overlap_s", text).into());
        }
        let work = self.control.write(actor, action, move |job| {
            Box::pin(async move {
                let mut gather = job.gather();
                let found = object::find::<SecretObject>(&mut gather, &of).await?;
                let secret = found.object.clone();
                if let SecretSource::Held(held) = &secret.spec.source {
                    let text = format!("its value is held elsewhere ({held}): change it there");
                    return Err(ControlError::new(ErrorKind::Conflict, "secret_held_elsewhere", text));
                }
                let value = match value(&secret)? {
                    Some(value) => value,
                    None => job.minter.secret_value()?,
                };
                let mut gather = job.gather();
                SecretObject::itself(&mut gather, &secret).await?;
                let until = overlap_end(gather.now, overlap_s);
                let previous = secret.spec.source.value().filter(|_| overlap_s > 0).map(|before| {
                    PreviousValue { version: secret.version, value: Some(before.clone()), until }
                });
                let spec = SecretSpec {
                    source: SecretSource::Stored(Some(value)),
                    previous,
                    ..secret_spec(&secret)
                };
                let world = SecretObject::world(spec);
                gather.world(&world, false).await?;
                let existing = gather.existing;
                let target = Some(RecordId::Secret(secret.id));
                let mut plan = job.plan(existing, &world, false, false, target)?;
                job.execute(&mut plan).await?;
                let mut gather = job.gather();
                let found = object::find::<SecretObject>(&mut gather, &ObjectRef::Id(secret.id)).await?;
                Ok((SecretObject::view(&mut gather, found).await?, plan.warnings))
            })
        });
        let ((object, warnings), revision) = work.await?;
        Ok(Written { revision, object, warnings })
    }

    /// Shows its value, and notes that in the audit.
    ///
    /// # Errors
    /// It does not exist, the actor may not read it, or its value is held elsewhere.
    pub async fn reveal(
        &self,
        actor: &Actor,
        of: ObjectRef<SecretId>,
    ) -> Result<(SecretView, Plaintext), ControlError> {
        actor.may(Noun::Secret.singular(), Action::Show)?;
        let reader = actor.clone();
        let work = self.control.write(actor, "secret.reveal", move |job| {
            Box::pin(async move {
                let mut gather = job.gather();
                let found = object::find::<SecretObject>(&mut gather, &of).await?;
                let secret = found.object.clone();
                reader
                    .may_read(&secret)
                    .map_err(|text| ControlError::new(ErrorKind::Forbidden, "secret_read", text))?;
                let Some(value) = secret.spec.source.value().cloned() else {
                    let text = "its value is held elsewhere, and shown there alone";
                    return Err(ControlError::new(ErrorKind::Conflict, "secret_held_elsewhere", text));
                };
                let view = SecretObject::view(&mut gather, found).await?;
                let detail = json!({"name": secret.spec.name.as_str(), "version": secret.version});
                job.audit(Touch::Revealed, &RecordId::Secret(secret.id), Some(secret.account), &detail);
                Ok((view, value))
            })
        });
        let ((view, value), _) = work.await?;
        Ok((view, value))
    }

    /// Who refers to it.
    ///
    /// # Errors
    /// It does not exist, or `after` is not what a page said.
    pub async fn references(
        &self,
        actor: &Actor,
        of: ObjectRef<SecretId>,
        after: Option<String>,
        limit: Option<u32>,
    ) -> Result<Page<ReferenceView>, ControlError> {
        actor.may(Noun::Secret.singular(), Action::List)?;
        let limit = object::list_limit(limit)?;
        let after = after.filter(|after| !after.is_empty()).map(|after| read_after(&after)).transpose()?;
        let mut reader = self.control.store().reader().await?;
        let mut gather = Gather::new(reader.reads(), actor, self.control.now());
        let id = object::find::<SecretObject>(&mut gather, &of).await?.object.id;
        let mut rows = gather.reads.references_to(id, after.as_ref(), limit.saturating_add(1)).await?;
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        let next = (rows.len() > most).then(|| rows.get(most.saturating_sub(1)).map(write_after)).flatten();
        rows.truncate(most);
        let mut items = Vec::with_capacity(rows.len());
        for row in rows {
            items.extend(gather.reference(row).await?.map(|(_, view)| view));
        }
        Ok(Page { items, next })
    }

    /// Deletes it, if nothing refers to it.
    ///
    /// # Errors
    /// Something does: [`ErrorKind::InUse`] with the list.
    pub async fn delete(
        &self,
        actor: &Actor,
        of: ObjectRef<SecretId>,
        dry_run: bool,
    ) -> Result<Deleted, ControlError> {
        object::delete::<SecretObject>(self.control, actor, of, dry_run).await
    }
}

/// Longest overlap of a rotation, in seconds: 366 days.
const OVERLAP_MAX_S: u64 = 31_622_400;

/// Most referrers that a refusal or a deletion lists.
const LISTED_MAX: u32 = 1_000;

impl ReferenceView {
    fn warning(&self) -> Warning {
        let text =
            format!("{} `{}` refers to it ({}), and breaks", self.noun.singular(), self.name, self.field);
        Warning { code: "reference_breaks", place: Place::default(), noun: self.noun, text }
    }
}

/// Where a page of referrers ends: its last row.
fn write_after(row: &ReferenceRow) -> String {
    format!("{}:{}:{}", row.noun, row.object, row.field)
}

fn read_after(text: &str) -> Result<ReferenceRow, ControlError> {
    let mut parts = text.splitn(3, ':').map(str::to_owned);
    match (parts.next(), parts.next(), parts.next()) {
        (Some(noun), Some(object), Some(field)) => Ok(ReferenceRow { noun, object, field }),
        _ => {
            let text =
                format!("`{}` is not what a page of this list said as its `next`", text.escape_debug());
            Err(Problem::invalid("after_malformed", "after", text).into())
        }
    }
}

impl Gather<'_> {
    /// A referrer as people know it, and the record that holds the reference; `None` where it went meanwhile.
    pub(crate) async fn reference(
        &mut self,
        row: ReferenceRow,
    ) -> Result<Option<(RecordId, ReferenceView)>, ControlError> {
        let ReferenceRow { noun, object, field } = row;
        Ok(match noun.as_str() {
            "credential" => {
                let Ok(id) = object.parse::<CredentialId>() else { return Ok(None) };
                let Some(found) = self.reads.credential(id).await? else { return Ok(None) };
                let (caller, kind) = (found.object.caller, found.object.kind);
                self.callers(&[caller]).await?;
                let named = self.existing.callers.get(&caller).map(|caller| caller.name.to_string());
                Some((RecordId::Credential(id), of_caller(caller, named.unwrap_or_default(), kind, id)))
            }
            "service" => {
                let Ok(id) = object.parse::<ServiceId>() else { return Ok(None) };
                self.service(id).await?;
                self.existing.services.get(&id).map(|service| {
                    let name = service.spec.name.to_string();
                    let view = ReferenceView {
                        noun: Noun::Service,
                        id: id.to_string(),
                        name,
                        field,
                        credential: None,
                    };
                    (RecordId::Service(id), view)
                })
            }
            "plugin" => {
                let Ok(id) = object.parse::<PluginId>() else { return Ok(None) };
                let Some(found) = self.reads.plugin(id).await? else { return Ok(None) };
                self.around_plugin(&found.object).await?;
                let name = self.plugin_spec(&found.object).map(|spec| plugin_label(&spec));
                let name = name.unwrap_or_else(|| found.object.settings.kind.to_string());
                let view =
                    ReferenceView { noun: Noun::Plugin, id: id.to_string(), name, field, credential: None };
                Some((RecordId::Plugin(id), view))
            }
            _ => None,
        })
    }

    /// Everybody who refers to this secret, as far as a list of them goes.
    pub(crate) async fn referrers(&mut self, id: SecretId) -> Result<(), ControlError> {
        let mut referrers = Vec::new();
        for row in self.reads.references_to(id, None, LISTED_MAX).await? {
            if let Some((record, view)) = self.reference(row).await? {
                let user = User { noun: view.noun, id: view.id, name: view.name };
                referrers.push(Referrer { record, user });
            }
        }
        self.existing.references.insert(id, referrers);
        Ok(())
    }
}

/// A caller's field, as a description has it.
fn of_caller(caller: CallerId, name: String, kind: &str, credential: CredentialId) -> ReferenceView {
    let (noun, field) = match kind {
        "key_pair" => (Noun::Application, "key_pairs.app_secret"),
        "app_code" => (Noun::Application, "app_codes.value"),
        "api_key" => (Noun::Consumer, "api_key.keys.value"),
        _ => (Noun::Consumer, "jwt.jwks"),
    };
    ReferenceView {
        noun,
        id: caller.to_string(),
        name,
        field: field.to_owned(),
        credential: Some(credential),
    }
}

/// See [`Object`].
pub(crate) struct SecretObject;

impl Object for SecretObject {
    const NOUN: Noun = Noun::Secret;
    const ACTIONS: [&'static str; 5] =
        ["secret.create", "secret.get", "secret.list", "secret.change", "secret.delete"];
    type Id = SecretId;
    type Entity = Secret;
    type Spec = SecretSpec;
    type View = SecretView;

    fn record_id(entity: &Secret) -> RecordId {
        RecordId::Secret(entity.id)
    }

    fn account(secret: &Secret) -> Option<AccountId> {
        Some(secret.account)
    }

    fn name(entity: &Secret) -> String {
        entity.spec.name.to_string()
    }

    fn into_spec(view: SecretView) -> SecretSpec {
        view.spec
    }

    fn world(spec: SecretSpec) -> World {
        World { secrets: vec![alone(spec)], ..World::default() }
    }

    async fn by_id(gather: &mut Gather<'_>, id: SecretId) -> Result<Option<Stored<Secret>>, ControlError> {
        Ok(gather.reads.secret(id).await?)
    }

    async fn by_name(
        gather: &mut Gather<'_>,
        named: &Qualified,
    ) -> Result<Option<Stored<Secret>>, ControlError> {
        match gather.account_named(&named.account).await? {
            Some(account) => Ok(gather.reads.secret_named(account.id, &named.name).await?),
            None => Ok(None),
        }
    }

    async fn view(gather: &mut Gather<'_>, found: Stored<Secret>) -> Result<SecretView, ControlError> {
        let secret = found.object;
        Ok(SecretView {
            id: secret.id,
            account: secret.account,
            revision: found.revision,
            created: found.created,
            changed: found.changed,
            spec: secret_spec(&secret),
            version: secret.version,
            rotated: secret.rotated,
            previous: secret.spec.previous.as_ref().map(|previous| (previous.version, previous.until)),
            references: gather.reads.count_references(secret.id).await?,
            used: gather.reads.secret_use(secret.id).await?,
            trouble: gather.trouble_of_secret(secret.id),
        })
    }

    async fn itself(gather: &mut Gather<'_>, secret: &Secret) -> Result<(), ControlError> {
        gather.existing.add_secret(secret.clone());
        Ok(())
    }

    async fn around(gather: &mut Gather<'_>, secret: &Secret) -> Result<(), ControlError> {
        gather.referrers(secret.id).await
    }

    async fn page(
        gather: &mut Gather<'_>,
        filter: &ListFilter,
        page: &ListPage,
    ) -> Result<Vec<Stored<Secret>>, ControlError> {
        let of = object::objects_of(gather, filter).await?;
        Ok(gather.reads.list_secrets(&of, page).await?)
    }
}
