//! One write under way: what it changes, and the Snapshot that follows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use keyward_access::{CompileError, CustomPlugin, ModuleCheck, ObjectId, PluginWork, ProblemKind, Snapshot};
use keyward_model::{Action, Module, Place, Revision, SecretId, Timestamp, World};
use keyward_store::{AuditEntry, Frame, Mark, RecordId, StoreError, Touch, WriteTx};
use serde_json::{Value, json};

use crate::dirty::Dirty;
use crate::follow::FAR;
use crate::gather::Gather;
use crate::once::done_meanwhile;
use crate::plan::{Plan, PlanContext, Removal, Step, account_of, describe, plan, removal};
use crate::shared::Shared;
use crate::{Actor, Asking, ControlError, ErrorKind, Minter, Once, Problem};

/// The transaction of a batch of writes, and the write among them that is under way.
pub(crate) struct Job<'s> {
    tx: WriteTx<'s>,
    shared: &'s Shared,
    pub(crate) minter: &'s mut Minter,
    /// The revision that it began at.
    from: u64,
    /// With what earlier writes of the batch changed.
    snapshot: Arc<Snapshot>,
    changed: bool,
    sound: bool,
    current: Current,
}

/// What a commit comes to.
pub(crate) type Committed = (Mark, Option<Arc<Snapshot>>, Option<Frame>);

/// The write under way.
struct Current {
    actor: Actor,
    action: &'static str,
    at: Timestamp,
    audit: Vec<AuditEntry>,
    dirty: Dirty,
    places: Vec<(RecordId, Place)>,
    dry_run: bool,
    request: Option<String>,
}

impl Current {
    fn new(actor: Actor, action: &'static str, at: Timestamp, asking: Asking) -> Self {
        let (audit, dirty, places) = (Vec::new(), Dirty::default(), Vec::new());
        let Asking { dry_run, request, .. } = asking;
        Self { actor, action, at, audit, dirty, places, dry_run, request }
    }
}

impl<'s> Job<'s> {
    pub(crate) fn new(
        tx: WriteTx<'s>,
        shared: &'s Shared,
        minter: &'s mut Minter,
        snapshot: Arc<Snapshot>,
    ) -> Self {
        let current = Current::new(Actor::Start, "", shared.now(), Asking::default());
        let from = snapshot.revision().number;
        Self { tx, shared, minter, from, snapshot, changed: false, sound: true, current }
    }

    /// The moment at which everything of this write happens.
    pub(crate) fn now(&self) -> Timestamp {
        self.current.at
    }

    /// What can be read, with what was written so far.
    pub(crate) fn gather(&mut self) -> Gather<'_> {
        let now = self.now();
        Gather::new(self.tx.reads(), &self.current.actor, now)
    }

    /// The Snapshot that this write stands on.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot)
    }

    /// The transaction, for what has no revision.
    pub(crate) fn tx(&mut self) -> &mut WriteTx<'s> {
        &mut self.tx
    }

    /// Lets this write have a revision though nothing changes.
    pub(crate) fn touch_nothing(&mut self) {
        self.current.dirty.beside = true;
        self.tx.count_revision();
    }

    /// A new UUID for an id.
    pub(crate) fn minter_uuid(&mut self) -> Result<uuid::Uuid, ControlError> {
        let now = self.now();
        Ok(self.minter.uuid(now)?)
    }

    /// Who asked.
    pub(crate) fn actor(&self) -> &Actor {
        &self.current.actor
    }

    /// Compile, but keep nothing.
    pub(crate) fn only_try(&mut self) {
        self.current.dry_run = true;
    }

    /// Plans what makes everything as `world` says, from what `existing` has.
    pub(crate) fn plan(
        &mut self,
        existing: crate::plan::Existing,
        world: &World,
        prune: bool,
        must_create: bool,
        target: Option<RecordId>,
    ) -> Result<Plan, ControlError> {
        let own_listeners = self.shared.own_listeners();
        let context = PlanContext {
            now: self.now(),
            actor: &self.current.actor,
            digest_key: &self.shared.digest_key,
            own_listeners: &own_listeners,
            prune,
            must_create,
            target,
        };
        plan(existing, world, &context, self.minter).map_err(ControlError::from)
    }

    /// Does what was planned.
    pub(crate) async fn execute(&mut self, plan: &mut Plan) -> Result<(), ControlError> {
        self.current.places.extend(plan.objects.iter().cloned());
        for step in std::mem::take(&mut plan.steps) {
            self.step(step).await?;
        }
        Ok(())
    }

    /// Plans the removal of an object, of which `existing` has everything that concerns it, and does it unless it is only tried.
    pub(crate) async fn remove(
        &mut self,
        existing: &crate::plan::Existing,
        id: RecordId,
        label: String,
        dry_run: bool,
    ) -> Result<Removal, ControlError> {
        let mut removal = removal(existing, id).map_err(|users| ControlError::in_use(label, users))?;
        removal.steps.sort_by_key(Step::rank);
        if !dry_run {
            // Whoever may remove it may remove what goes along.
            for step in std::mem::take(&mut removal.steps) {
                self.unchecked_step(step).await?;
            }
        }
        Ok(removal)
    }

    /// Does one step, if the actor may: the one place through which every change goes.
    pub(crate) async fn step(&mut self, step: Step) -> Result<(), ControlError> {
        let (id, account, action) = match &step {
            Step::Put { record, before: None } => (record.id(), account_of(record), Action::Create),
            Step::Put { record, before: Some(_) } => (record.id(), account_of(record), Action::Change),
            Step::Delete { id, account, .. } => (*id, *account, Action::Delete),
        };
        let account = match (account, id) {
            (None, RecordId::Member(group, _)) => {
                self.tx.reads().group(group).await?.map(|group| group.object.account)
            }
            (account, _) => account,
        };
        self.current.actor.may_in(account, id.noun(), action)?;
        self.unchecked_step(step).await
    }

    /// Does one step that the use case itself has allowed.
    pub(crate) async fn unchecked_step(&mut self, step: Step) -> Result<(), ControlError> {
        match step {
            Step::Put { record, before } => {
                self.tx.put(&record).await?;
                let touch = if before.is_some() { Touch::Changed } else { Touch::Created };
                let detail = json!({"before": before, "after": describe(&record)});
                self.audit(touch, &record.id(), account_of(&record), &detail);
                self.current.dirty.put(&record);
            }
            Step::Delete { id, owner, account, before } => {
                self.tx.delete(&id).await?;
                self.audit(Touch::Deleted, &id, account, &json!({"before": before, "after": null}));
                self.current.dirty.delete(&id, owner);
            }
        }
        Ok(())
    }

    /// Notes something in the audit, whether or not anything changes.
    pub(crate) fn audit(
        &mut self,
        touch: Touch,
        id: &RecordId,
        account: Option<keyward_model::AccountId>,
        detail: &Value,
    ) {
        self.note(AuditEntry {
            actor: self.current.actor.to_string(),
            action: self.current.action,
            touch,
            noun: id.noun(),
            object: id.to_string(),
            account,
            detail: detail.to_string(),
        });
    }

    /// Notes an entry in the audit, with the id of the request it came by.
    pub(crate) fn note(&mut self, mut entry: AuditEntry) {
        if let Some(request) = &self.current.request
            && let Ok(Value::Object(mut detail)) = serde_json::from_str(&entry.detail)
        {
            detail.insert("request".to_owned(), request.as_str().into());
            entry.detail = Value::Object(detail).to_string();
        }
        self.current.audit.push(entry);
    }

    pub(crate) async fn begin(
        &mut self,
        actor: Actor,
        action: &'static str,
        asking: Asking,
    ) -> Result<(), ControlError> {
        let at = self.shared.now();
        self.current = Current::new(actor, action, at, asking);
        let actor = self.current.actor.to_string();
        let begun = self.tx.begin_change(at, &actor).await;
        self.sound &= begun.is_ok();
        Ok(begun?)
    }

    /// Was the write under way done before, under the same key?
    pub(crate) async fn was_done(&mut self, once: Option<&Once>) -> Result<(), ControlError> {
        let Some(once) = once else { return Ok(()) };
        let now = self.now();
        match self.tx.reads().given_answer(&once.scope, &once.key, now).await? {
            Some(_) => Err(done_meanwhile()),
            None => Ok(()),
        }
    }

    /// Keeps the answer to the write that has just ended. Should that fail, nothing of the transaction may be kept.
    pub(crate) async fn keep_answer(&mut self, once: &Once, answer: Vec<u8>) -> Result<(), ControlError> {
        let now = self.now();
        let kept = self.tx.put_answer(&once.scope, &once.key, &once.given(answer), now).await;
        self.sound &= kept.is_ok();
        Ok(kept?)
    }

    /// Ends the write: keeps it, with its revision, if it worked and compiles; else undoes it, and only it.
    pub(crate) async fn end(&mut self, worked: Result<(), ControlError>) -> Result<Revision, ControlError> {
        let kept = match worked {
            Ok(()) => self.keep().await,
            Err(error) => Err(error),
        };
        if kept.is_err() || self.current.dry_run {
            let abandoned = self.tx.abandon_change().await;
            self.sound &= abandoned.is_ok();
            abandoned?;
        }
        kept
    }

    async fn keep(&mut self) -> Result<Revision, ControlError> {
        let mut revision = self.shared.revision(self.tx.revision());
        let beside = self.current.dirty.beside;
        let dirty = std::mem::take(&mut self.current.dirty);
        let secrets = dirty.secrets();
        let runnable = dirty.runnable();
        let updates = dirty.updates(&mut self.tx.reads()).await?.list;
        let mut snapshot = None;
        if beside || !updates.is_empty() {
            let next = self.shared.revision(revision.number.saturating_add(1));
            let compiled = self.snapshot.apply(next, &updates).map_err(|error| self.refusal(error))?;
            self.check_fit(&compiled, &secrets)?;
            if let Some(check) = self.shared.module_check.get() {
                let failed = try_all(Arc::clone(check), self.to_try(&compiled, &runnable)).await;
                self.check_tried(failed)?;
            }
            if self.current.dry_run {
                return Ok(revision);
            }
            revision = next;
            snapshot = Some(compiled);
        }
        if !self.current.dry_run {
            let audit = std::mem::take(&mut self.current.audit);
            self.tx.end_change(audit).await?;
        }
        if let Some(snapshot) = snapshot {
            self.snapshot = Arc::new(snapshot);
            self.changed = true;
        }
        Ok(revision)
    }

    /// What is to be tried of what was written.
    fn to_try(&self, compiled: &Snapshot, written: &[RecordId]) -> Vec<(RecordId, ToTry)> {
        let to_try = |id: &RecordId| {
            let what = match *id {
                RecordId::Module(id) => ToTry::Module(compiled.module(id)?.clone()),
                RecordId::Plugin(id) => {
                    let PluginWork::Custom(plugin) = compiled.plugin(id)?.work() else { return None };
                    // Where a secret cannot be had, it is closed, which is told as its trouble.
                    let can_start =
                        plugin.module().settings.enabled && plugin.configuration(self.now()).is_ok();
                    ToTry::Plugin(can_start.then(|| Arc::clone(plugin))?)
                }
                _ => return None,
            };
            Some((*id, what))
        };
        written.iter().filter_map(to_try).collect()
    }

    /// Refuses what was tried and cannot run.
    fn check_tried(&self, failed: Vec<(RecordId, String)>) -> Result<(), ControlError> {
        let problem = |(id, why): (RecordId, String)| {
            let (field, what) = match id {
                RecordId::Module(_) => ("wasm", "the module cannot run"),
                _ => ("config", "its module does not start with this configuration"),
            };
            let place = self.place_of(id, field);
            Problem::new(ErrorKind::Invalid, "module_unusable", place, format!("{what}: {why}"))
        };
        let problems: Vec<_> = failed.into_iter().map(problem).collect();
        if problems.is_empty() { Ok(()) } else { Err(ControlError::from(problems)) }
    }

    /// Where this field of a record was described.
    fn place_of(&self, id: RecordId, field: &str) -> Place {
        let entry = self.current.places.iter().find(|(record, _)| *record == id).map(|(_, entry)| entry);
        match entry {
            Some(entry) if !entry.path.is_empty() => {
                Place { path: format!("{}.{field}", entry.path), ..entry.clone() }
            }
            entry => Place { path: field.to_owned(), ..entry.cloned().unwrap_or_default() },
        }
    }

    /// Refuses a value of a secret that something cannot use that could use the one before.
    fn check_fit(&self, compiled: &Snapshot, secrets: &[SecretId]) -> Result<(), ControlError> {
        let mut problems = Vec::new();
        for &id in secrets {
            let before = self.snapshot.unfit_for(id);
            for (object, why) in compiled.unfit_for(id) {
                if !before.iter().any(|(other, _)| *other == object) {
                    let text = format!("{object} refers to it, and cannot use this value: {why}");
                    let place = self.place_of(RecordId::Secret(id), "value");
                    problems.push(Problem::new(ErrorKind::Invalid, "secret_unfit", place, text));
                }
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(ControlError::from(problems)) }
    }

    /// Can further writes join this transaction?
    pub(crate) fn is_sound(&self) -> bool {
        self.sound
    }

    /// Commits; where the store stands then, the Snapshot to be published if anything changed, and what a local copy is to keep.
    pub(crate) async fn commit(mut self) -> Result<Committed, ControlError> {
        if !self.sound {
            let text = "the store failed in the middle of a write; nothing of it was kept: try again";
            return Err(ControlError::new(ErrorKind::StoreUnavailable, "store_unavailable", text));
        }
        let mark = self.tx.mark();
        let frame = match self.changed {
            true => self.frame(&mark).await?,
            false => None,
        };
        self.tx.commit().await?;
        Ok((mark, self.changed.then_some(self.snapshot), frame))
    }

    /// What leads a local copy here; `None` where that is so much that everything is better copied anew.
    async fn frame(&mut self, mark: &Mark) -> Result<Option<Frame>, StoreError> {
        let mut reads = self.tx.reads();
        let changes = reads.changes_up_to(self.from, mark.revision, FAR).await?;
        match changes {
            Some(changes) => Ok(Some(reads.frame(self.from, mark, &changes).await?)),
            None => Ok(None),
        }
    }

    /// What does not compile, at the places where it was described.
    fn refusal(&self, error: CompileError) -> ControlError {
        let places: BTreeMap<RecordId, &Place> =
            self.current.places.iter().map(|(id, place)| (*id, place)).collect();
        let mut seen = BTreeSet::new();
        let mut problems = Vec::new();
        for problem in error.problems {
            let place = places.get(&record_of(problem.object)).map(|place| (*place).clone());
            if seen.insert(problem.text.clone()) {
                let (kind, code) = match problem.kind {
                    ProblemKind::Conflict => (ErrorKind::Conflict, "conflict"),
                    ProblemKind::UnknownReference => (ErrorKind::NotFound, "reference_unknown"),
                    ProblemKind::InUse => (ErrorKind::InUse, "in_use"),
                    ProblemKind::Invalid => (ErrorKind::Invalid, "invalid"),
                };
                problems.push(Problem::new(kind, code, place.unwrap_or_default(), problem.text));
            }
        }
        ControlError::from(problems)
    }
}

/// What can be tried before it is kept.
enum ToTry {
    Module(Arc<Module>),
    Plugin(Arc<CustomPlugin>),
}

/// Tries them, off the loop; why those cannot run that cannot.
async fn try_all(check: Arc<dyn ModuleCheck>, all: Vec<(RecordId, ToTry)>) -> Vec<(RecordId, String)> {
    let mut failed = Vec::new();
    for (id, what) in all {
        let check = Arc::clone(&check);
        let tried = tokio::task::spawn_blocking(move || match what {
            ToTry::Module(module) => check.check_module(&module),
            ToTry::Plugin(plugin) => check.check_plugin(&plugin),
        });
        let tried = tried.await.unwrap_or_else(|error| Err(error.to_string()));
        failed.extend(tried.err().map(|why| (id, why)));
    }
    failed
}

/// The record that a problem of the Snapshot is about.
fn record_of(object: ObjectId) -> RecordId {
    match object {
        ObjectId::Account(id) => RecordId::Account(id),
        ObjectId::Gateway(id) => RecordId::Gateway(id),
        ObjectId::Secret(id) => RecordId::Secret(id),
        ObjectId::Service(id) => RecordId::Service(id),
        ObjectId::Api(id) => RecordId::Api(id),
        ObjectId::Caller(id) | ObjectId::Credential(id, _) => RecordId::Caller(id),
        ObjectId::Group(id) => RecordId::Group(id),
        ObjectId::Grant(id) => RecordId::Grant(id),
        ObjectId::Plugin(id) => RecordId::Plugin(id),
        ObjectId::Module(id) => RecordId::Module(id),
    }
}
