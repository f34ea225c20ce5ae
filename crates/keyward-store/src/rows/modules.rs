//! Modules. Their code is sealed: not to hide it, but so that nobody can put other code in its place.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyward_model::{AccountId, Module, ModuleCode, ModuleId, ModuleSettings, Name, Plaintext, ServiceId};

use super::{ListPage, Listing, ObjectsOf, read_all, read_list, stored};
use crate::columns::Columns;
use crate::docs::{self, module::ModuleDoc};
use crate::reads::{damaged, owner};
use crate::seal::{Position, Sealer};
use crate::{Reads, StoreError, Stored, WriteTx};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, account, name, description, enabled, doc, wasm, wasm_version, revision, created, changed FROM \
             modules ",
            $rest
        )
    };
}

pub(crate) const ALL: &str = select!("");

pub(crate) fn read(row: &impl Columns, sealer: &Sealer) -> Result<Stored<Module>, String> {
    let id: ModuleId = row.parsed("id")?;
    let account: AccountId = row.parsed("account")?;
    let doc = docs::module::read(&row.text("doc")?)?;
    let settings = ModuleSettings {
        description: row.text("description")?,
        enabled: row.flag("enabled")?,
        on_failure: doc.on_failure,
        sees: doc.sees,
        limits: doc.limits,
        ..ModuleSettings::new(read_code(row, sealer, id, account)?)
    };
    stored(row, Module { id, account, name: row.parsed("name")?, services: doc.services, settings })
}

fn read_code(
    row: &impl Columns,
    sealer: &Sealer,
    id: ModuleId,
    account: AccountId,
) -> Result<ModuleCode, String> {
    let (owner, id) = (owner(account), id.to_string());
    let position = position(&owner, &id, row.number("wasm_version")?);
    let envelope = row.bytes_or_null("wasm")?.unwrap_or_default();
    let opened = sealer.open(account, &position, &envelope).map_err(|error| format!("its code: {error}"))?;
    let bytes = STANDARD.decode(opened.expose_secret()).map_err(|error| format!("its code: {error}"))?;
    ModuleCode::parse(bytes).map_err(|error| error.to_string())
}

/// The version takes part, so that older code does not open in place of newer.
fn position<'a>(owner: &'a str, id: &'a str, version: i64) -> Position<'a> {
    Position { owner, kind: "module", id, field: "wasm", version }
}

impl Reads<'_> {
    /// A page of modules, by account and a part of the name.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn list_modules(
        &mut self,
        of: &ObjectsOf,
        page: &ListPage,
    ) -> Result<Vec<Stored<Module>>, StoreError> {
        let listing = Listing::new(select!(""))
            .within("account", &of.within)
            .name_has("name", of.name.as_deref())
            .flag("enabled", of.enabled);
        let rows = self.all(listing.page(page, "id", Some("name"))).await?;
        Ok(read_list("module", &rows, |row| read(row, self.sealer)))
    }

    /// The module with this id.
    ///
    /// # Errors
    /// The store does not answer, or the row cannot be believed.
    pub async fn module(&mut self, id: ModuleId) -> Result<Option<Stored<Module>>, StoreError> {
        let row = self.all(sqlx::query(select!("WHERE id = $1")).bind(id.to_string())).await?;
        Ok(read_all("module", &row, |row| read(row, self.sealer))?.pop())
    }

    /// The module with this name.
    ///
    /// # Errors
    /// The store does not answer, or the row cannot be believed.
    pub async fn module_named(
        &mut self,
        account: AccountId,
        name: &Name,
    ) -> Result<Option<Stored<Module>>, StoreError> {
        let statement = sqlx::query(select!("WHERE account = $1 AND name = $2"));
        let row = self.all(statement.bind(account.to_string()).bind(name.to_string())).await?;
        Ok(read_all("module", &row, |row| read(row, self.sealer))?.pop())
    }

    /// Those that may call this service, in id order.
    ///
    /// # Errors
    /// The store does not answer. A row that cannot be believed is left out.
    pub async fn modules_calling(&mut self, service: ServiceId) -> Result<Vec<Stored<Module>>, StoreError> {
        let statement = sqlx::query(select!("WHERE replace(doc, $1, '') <> doc ORDER BY id"));
        let rows = self.all(statement.bind(service.to_string())).await?;
        Ok(read_list("module", &rows, |row| read(row, self.sealer)))
    }
}

impl WriteTx<'_> {
    pub(crate) async fn put_module(&mut self, module: &Module) -> Result<(), StoreError> {
        let (id, settings) = (module.id.to_string(), &module.settings);
        let (wasm, version) = self.seal_code(module, &id).await?;
        let doc = ModuleDoc {
            on_failure: settings.on_failure,
            sees: settings.sees,
            limits: settings.limits,
            services: module.services.clone(),
        };
        let statement = sqlx::query(
            "INSERT INTO modules (id, account, name, description, enabled, doc, wasm, wasm_version, revision, created, \
             changed) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10) ON CONFLICT (id) DO UPDATE SET \
             description = excluded.description, enabled = excluded.enabled, doc = excluded.doc, wasm = excluded.wasm, \
             wasm_version = excluded.wasm_version, revision = excluded.revision, changed = excluded.changed",
        )
        .bind(id)
        .bind(module.account.to_string())
        .bind(module.name.to_string())
        .bind(settings.description.clone())
        .bind(i64::from(settings.enabled))
        .bind(docs::module::write(&doc))
        .bind(wasm)
        .bind(version)
        .bind(self.next_revision())
        .bind(self.at());
        self.run(statement).await?;
        Ok(())
    }

    /// The sealed code and its version: one above the stored one.
    async fn seal_code(&mut self, module: &Module, id: &str) -> Result<(Vec<u8>, i64), StoreError> {
        let stored = sqlx::query("SELECT wasm_version FROM modules WHERE id = $1");
        let version = match self.row(stored.bind(id.to_owned())).await? {
            Some(row) => row.number("wasm_version").map_err(|why| damaged("module", id, why))?,
            None => 0,
        };
        let version = version.saturating_add(1);
        let owner = owner(module.account);
        let code = Plaintext::new(STANDARD.encode(module.settings.wasm.bytes()));
        let sealed = self.store.sealer.seal(module.account, &position(&owner, id, version), &code);
        Ok((sealed.map_err(|error| StoreError::Unavailable(error.to_string()))?, version))
    }

    pub(crate) async fn delete_module(&mut self, id: ModuleId) -> Result<(), StoreError> {
        self.run(sqlx::query("DELETE FROM modules WHERE id = $1").bind(id.to_string())).await?;
        Ok(())
    }
}
