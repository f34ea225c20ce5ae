//! Applying a world: to a store, or to nothing at all.

use keyward_access::Snapshot;
use keyward_model::{
    Action, DigestKey, GrantId, Located, ModuleSpec, Name, Noun, Revision, Timestamp, World,
};
use keyward_store::{Record, RecordId};
use uuid::Uuid;

use crate::load::{self, Rows};
use crate::plan::{Existing, PlanContext, Step, plan};
use crate::{Actor, Control, ControlError, ErrorKind, Minted, Minter, Problem, Warning};

/// How a world is applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ApplyOptions {
    /// Only say what would happen.
    pub dry_run: bool,
    /// Remove what the world does not name, among the nouns and accounts that it does name.
    pub prune: bool,
}

/// What applying a world did (or, dry, would do).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The revision from which it holds; where nothing changed (or for a dry run) the current one.
    pub revision: Revision,
    /// Made.
    pub created: Vec<Touched>,
    /// Changed.
    pub changed: Vec<Touched>,
    /// Already so.
    pub unchanged: Vec<Touched>,
    /// Removed (grants: revoked), by pruning.
    pub removed: Vec<Touched>,
    /// Values that were generated: shown this once. Empty for a dry run.
    pub minted: Vec<Minted>,
    /// What is allowed but unwise.
    pub warnings: Vec<Warning>,
}

/// An object that applying a world had to do with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touched {
    /// What it is.
    pub noun: Noun,
    /// Its account; absent for accounts and gateways.
    pub account: Option<Name>,
    /// Its name; for a grant `GRANTEE -> API`.
    pub name: String,
    /// Its id.
    pub id: String,
}

pub(crate) async fn apply(
    control: &Control,
    actor: &Actor,
    world: World,
    options: ApplyOptions,
) -> Result<Applied, ControlError> {
    actor.may("world", Action::Apply)?;
    if !world.modules.is_empty() && actor.may("module", Action::Create).is_ok() {
        let path = |entry: &Located<ModuleSpec>| format!("{}.wasm", entry.place.path);
        let all: Vec<_> = world.modules.iter().map(|entry| (&entry.value, path(entry))).collect();
        control.try_code(&all).await?;
    }
    let applied = control
        .write(actor, "apply", move |job| {
            Box::pin(async move {
                if options.dry_run {
                    job.only_try();
                }
                let mut gather = job.gather();
                gather.world(&world, options.prune).await?;
                let existing = gather.existing;
                let mut plan = job.plan(existing, &world, options.prune, false, None)?;
                job.execute(&mut plan).await?;
                Ok(plan)
            })
        })
        .await;
    let (plan, revision) = applied.map_err(ControlError::about_a_document)?;
    Ok(Applied {
        revision,
        created: plan.created,
        changed: plan.changed,
        unchanged: plan.unchanged,
        removed: plan.removed,
        minted: if options.dry_run { Vec::new() } else { control.kept(plan.minted) },
        warnings: plan.warnings,
    })
}

/// A world compiled without a store.
#[derive(Debug)]
pub struct CompiledWorld {
    /// What decisions read.
    pub snapshot: Snapshot,
    /// Everything there is: the account and the gateway `default`, and what the world describes.
    pub records: Vec<Record>,
    /// The world's grants, in the order in which it describes them.
    pub grants: Vec<GrantId>,
    /// Values that were generated.
    pub minted: Vec<Minted>,
    /// What is allowed but unwise.
    pub warnings: Vec<Warning>,
}

/// Compiles a world without a store, as if it were applied to a new one at `now`: for scenarios and checks.
///
/// Nothing but `minter` decides what ids and generated values are.
///
/// # Errors
/// The same as those of [`Control::apply`].
pub fn compile_world(
    world: &World,
    digest_key: &DigestKey,
    minter: &mut Minter,
    now: Timestamp,
) -> Result<CompiledWorld, ControlError> {
    let mut records: Vec<Record> = load::defaults(minter, now)?.into();
    let mut existing = Existing::default();
    for record in &records {
        match record {
            Record::Account(account) => existing.add_account(account.clone()),
            Record::Gateway(gateway) => existing.add_gateway(gateway.clone()),
            _ => {}
        }
    }
    let context = PlanContext {
        now,
        actor: &Actor::Start,
        digest_key,
        own_listeners: &[],
        prune: false,
        must_create: false,
        target: None,
    };
    let plan = plan(existing, world, &context, minter)
        .map_err(|problems| ControlError::from(problems).about_a_document())?;
    for step in plan.steps {
        let Step::Put { record, .. } = step else { continue };
        // Only the account and the gateway `default` were there before.
        match records.iter_mut().take(2).find(|before| before.id() == record.id()) {
            Some(before) => *before = *record,
            None => records.push(*record),
        }
    }
    let mut rows = Rows::default();
    records.iter().cloned().for_each(|record| rows.add(record));
    let revision = Revision { store: Uuid::nil(), number: 1 };
    let loaded = Snapshot::load(revision, digest_key.clone(), rows.into_updates());
    if !loaded.quarantined.is_empty() {
        let problem = |text: String| Problem::invalid("invalid", "", text);
        let problems: Vec<Problem> = loaded.quarantined.iter().map(|row| problem(row.text.clone())).collect();
        return Err(problems.into());
    }
    let grants = plan.objects.iter().filter_map(|(id, _)| match id {
        RecordId::Grant(id) => Some(*id),
        _ => None,
    });
    Ok(CompiledWorld {
        snapshot: loaded.snapshot,
        grants: grants.collect(),
        records,
        minted: plan.minted,
        warnings: plan.warnings,
    })
}

impl ControlError {
    /// What a document names in vain makes the document wrong, not the way to it.
    fn about_a_document(mut self) -> Self {
        if self.kind() == ErrorKind::NotFound {
            self.set_kind(ErrorKind::Invalid);
        }
        self
    }
}
