//! Gateways.

use keyward_model::{Gateway, GatewayId, GatewaySpec, Name};

use super::{ListPage, Listing, read_all, read_list, stored};
use crate::columns::Columns;
use crate::docs;
use crate::{Reads, StoreError, Stored, WriteTx};

macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT id, name, description, doc, revision, created, changed FROM gateways ", $rest)
    };
}

pub(crate) const ALL: &str = select!("");

pub(crate) fn read(row: &impl Columns) -> Result<Stored<Gateway>, String> {
    let (trusted_proxies, limits) = docs::gateway::read(&row.text("doc")?)?;
    let spec = GatewaySpec {
        name: row.parsed("name")?,
        description: row.text("description")?,
        trusted_proxies,
        limits,
    };
    stored(row, Gateway { id: row.parsed("id")?, spec })
}

impl Reads<'_> {
    /// Every gateway.
    ///
    /// # Errors
    /// The store does not answer. A row that cannot be believed is left out.
    pub async fn gateways(&mut self) -> Result<Vec<Stored<Gateway>>, StoreError> {
        let rows = self.all(sqlx::query(select!("ORDER BY id"))).await?;
        Ok(read_list("gateway", &rows, read))
    }

    /// A page of gateways, by a part of the name.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn list_gateways(
        &mut self,
        name: Option<&str>,
        page: &ListPage,
    ) -> Result<Vec<Stored<Gateway>>, StoreError> {
        let listing = Listing::new(select!("")).name_has("name", name);
        let statement = listing.page(page, "id", Some("name"));
        Ok(read_list("gateway", &self.all(statement).await?, read))
    }

    /// The gateway with this id.
    ///
    /// # Errors
    /// The store does not answer, or the row cannot be believed.
    pub async fn gateway(&mut self, id: GatewayId) -> Result<Option<Stored<Gateway>>, StoreError> {
        let row = self.all(sqlx::query(select!("WHERE id = $1")).bind(id.to_string())).await?;
        Ok(read_all("gateway", &row, read)?.pop())
    }

    /// The gateway with this name.
    ///
    /// # Errors
    /// The store does not answer, or the row cannot be believed.
    pub async fn gateway_named(&mut self, name: &Name) -> Result<Option<Stored<Gateway>>, StoreError> {
        let row = self.all(sqlx::query(select!("WHERE name = $1")).bind(name.to_string())).await?;
        Ok(read_all("gateway", &row, read)?.pop())
    }
}

impl WriteTx<'_> {
    pub(crate) async fn put_gateway(&mut self, gateway: &Gateway) -> Result<(), StoreError> {
        let spec = &gateway.spec;
        let statement = sqlx::query(
            "INSERT INTO gateways (id, name, description, doc, revision, created, changed) \
             VALUES ($1, $2, $3, $4, $5, $6, $6) ON CONFLICT (id) DO UPDATE SET name = excluded.name, \
             description = excluded.description, doc = excluded.doc, revision = excluded.revision, \
             changed = excluded.changed",
        )
        .bind(gateway.id.to_string())
        .bind(spec.name.to_string())
        .bind(spec.description.clone())
        .bind(docs::gateway::write(&spec.trusted_proxies, &spec.limits))
        .bind(self.next_revision())
        .bind(self.at());
        self.run(statement).await?;
        Ok(())
    }

    pub(crate) async fn delete_gateway(&mut self, id: GatewayId) -> Result<(), StoreError> {
        self.run(sqlx::query("DELETE FROM gateways WHERE id = $1").bind(id.to_string())).await?;
        Ok(())
    }
}
