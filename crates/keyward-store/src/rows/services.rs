//! Services. The value of their authentication is sealed.

use keyward_model::{AccountId, Name, Service, ServiceAuth, ServiceId, ServiceSpec};

use super::secrets::{Referrer, read_secret, written_secret};
use super::{ListPage, Listing, ObjectsOf, read_all, read_list, stored};
use crate::columns::Columns;
use crate::docs;
use crate::reads::owner;
use crate::seal::{Position, Sealer};
use crate::{Reads, StoreError, Stored, WriteTx};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT s.id AS id, s.account AS account, a.name AS account_name, s.name AS name, s.description \
             AS description, s.enabled AS enabled, s.doc AS doc, s.auth_value AS auth_value, s.auth_version \
             AS auth_version, s.revision AS revision, s.created AS created, s.changed AS changed \
             FROM services s JOIN accounts a ON a.id = s.account ",
            $rest
        )
    };
}

pub(crate) const ALL: &str = select!("");

pub(crate) fn read(row: &impl Columns, sealer: &Sealer) -> Result<Stored<Service>, String> {
    let id: ServiceId = row.parsed("id")?;
    let account: AccountId = row.parsed("account")?;
    let doc = docs::service::read(&row.text("doc")?)?;
    let service_auth = match doc.auth_header {
        None => None,
        Some(name) => {
            let (owner, id) = (owner(account), id.to_string());
            let envelope = row.bytes_or_null("auth_value")?.unwrap_or_default();
            let value = sealer
                .open(account, &position(&owner, &id, row.number("auth_version")?), &envelope)
                .map_err(|error| format!("the value of its authentication: {error}"))?;
            Some(ServiceAuth::Header { name, value: Some(read_secret(&value, doc.auth_refers)?) })
        }
    };
    let spec = ServiceSpec {
        account: row.parsed("account_name")?,
        name: row.parsed("name")?,
        description: row.text("description")?,
        enabled: row.flag("enabled")?,
        kind: doc.kind,
        endpoints: doc.endpoints,
        timeouts: doc.timeouts,
        service_auth,
    };
    stored(row, Service { id, account, spec })
}

fn position<'a>(owner: &'a str, id: &'a str, version: i64) -> Position<'a> {
    Position { owner, kind: "service", id, field: "auth_value", version }
}

impl Reads<'_> {
    /// Every service.
    ///
    /// # Errors
    /// The store does not answer. A row that cannot be believed is left out.
    pub async fn services(&mut self) -> Result<Vec<Stored<Service>>, StoreError> {
        let rows = self.all(sqlx::query(select!("ORDER BY s.id"))).await?;
        Ok(read_list("service", &rows, |row| read(row, self.sealer)))
    }

    /// A page of services, by account and a part of the name.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn list_services(
        &mut self,
        of: &ObjectsOf,
        page: &ListPage,
    ) -> Result<Vec<Stored<Service>>, StoreError> {
        let listing = Listing::new(select!(""))
            .within("s.account", &of.within)
            .name_has("s.name", of.name.as_deref())
            .flag("s.enabled", of.enabled);
        let statement = listing.page(page, "s.id", Some("s.name"));
        let rows = self.all(statement).await?;
        Ok(read_list("service", &rows, |row| read(row, self.sealer)))
    }

    /// The service with this id.
    ///
    /// # Errors
    /// The store does not answer, or the row cannot be believed.
    pub async fn service(&mut self, id: ServiceId) -> Result<Option<Stored<Service>>, StoreError> {
        let row = self.all(sqlx::query(select!("WHERE s.id = $1")).bind(id.to_string())).await?;
        Ok(read_all("service", &row, |row| read(row, self.sealer))?.pop())
    }

    /// The service with this name.
    ///
    /// # Errors
    /// The store does not answer, or the row cannot be believed.
    pub async fn service_named(
        &mut self,
        account: AccountId,
        name: &Name,
    ) -> Result<Option<Stored<Service>>, StoreError> {
        let statement = sqlx::query(select!("WHERE s.account = $1 AND s.name = $2"));
        let row = self.all(statement.bind(account.to_string()).bind(name.to_string())).await?;
        Ok(read_all("service", &row, |row| read(row, self.sealer))?.pop())
    }
}

/// What is kept of the value of a service's authentication.
struct KeptAuth {
    value: Option<Vec<u8>>,
    version: i64,
    /// Is it written with references?
    refers: bool,
}

impl KeptAuth {
    fn read(row: &impl Columns) -> Result<Self, String> {
        Ok(Self {
            value: row.bytes_or_null("auth_value")?,
            version: row.number("auth_version")?,
            refers: docs::service::read(&row.text("doc")?)?.auth_refers,
        })
    }
}

impl WriteTx<'_> {
    pub(crate) async fn put_service(&mut self, service: &Service) -> Result<(), StoreError> {
        let spec = &service.spec;
        let id = service.id.to_string();
        let KeptAuth { value: auth_value, version: auth_version, refers } =
            self.seal_auth(service, &id).await?;
        let statement = sqlx::query(
            "INSERT INTO services (id, account, name, description, enabled, doc, auth_value, auth_version, \
             revision, created, changed) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10) \
             ON CONFLICT (id) DO UPDATE SET name = excluded.name, description = excluded.description, \
             enabled = excluded.enabled, doc = excluded.doc, auth_value = excluded.auth_value, \
             auth_version = excluded.auth_version, revision = excluded.revision, changed = excluded.changed",
        )
        .bind(id)
        .bind(service.account.to_string())
        .bind(spec.name.to_string())
        .bind(spec.description.clone())
        .bind(i64::from(spec.enabled))
        .bind(docs::service::write(spec, refers))
        .bind(auth_value)
        .bind(auth_version)
        .bind(self.next_revision())
        .bind(self.at());
        self.run(statement).await?;
        let Some(ServiceAuth::Header { value, .. }) = &spec.service_auth else {
            return self.forget_references("service", &service.id.to_string()).await;
        };
        match value {
            Some(text) => {
                let referrer = Referrer {
                    noun: "service",
                    object: &service.id.to_string(),
                    field: "auth.header.value",
                    account: service.account,
                };
                self.put_references(&referrer, Some(text)).await
            }
            // The stored one is kept, and what it refers to.
            None => Ok(()),
        }
    }

    /// What to keep of the value: a new one, the stored one, or none.
    async fn seal_auth(&mut self, service: &Service, id: &str) -> Result<KeptAuth, StoreError> {
        let stored = sqlx::query("SELECT auth_value, auth_version, doc FROM services WHERE id = $1");
        let kept = match self.row(stored.bind(id.to_owned())).await? {
            Some(row) => KeptAuth::read(&row).map_err(|why| crate::reads::damaged("service", id, why))?,
            None => KeptAuth { value: None, version: 0, refers: false },
        };
        let version = kept.version;
        match &service.spec.service_auth {
            None => Ok(KeptAuth { value: None, version, refers: false }),
            Some(ServiceAuth::Header { value: None, .. }) => Ok(kept),
            Some(ServiceAuth::Header { value: Some(text), .. }) => {
                let value = &written_secret(text);
                let owner = owner(service.account);
                let version = version.saturating_add(1);
                let sealed = self
                    .store
                    .sealer
                    .seal(service.account, &position(&owner, id, version), value)
                    .map_err(|error| StoreError::Unavailable(error.to_string()))?;
                Ok(KeptAuth { value: Some(sealed), version, refers: !text.is_plain() })
            }
        }
    }

    pub(crate) async fn delete_service(&mut self, id: ServiceId) -> Result<(), StoreError> {
        self.forget_references("service", &id.to_string()).await?;
        self.run(sqlx::query("DELETE FROM services WHERE id = $1").bind(id.to_string())).await?;
        Ok(())
    }
}
