//! APIs, with the gateways they are published to and their stages.

use std::collections::BTreeMap;

use keyward_model::{AccountId, Api, ApiId, ApiKind, GatewayId, Name, ServiceId, Stage, StageBinding};
use sqlx::any::AnyRow;

use super::{ListPage, Listing, Within, read_all, read_list, stored};
use crate::columns::Columns;
use crate::docs;
use crate::reads::opt_text;
use crate::{Reads, StoreError, Stored, WriteTx};

macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT id, account, name, doc, revision, created, changed FROM apis ", $rest)
    };
}

pub(crate) const ALL: &str = select!("");

/// Which APIs a list has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApisOf {
    /// Only these accounts'.
    pub within: Within,
    /// Only those whose name has this in it.
    pub name: Option<String>,
    /// Only enabled, or only disabled ones.
    pub enabled: Option<bool>,
    /// Only those of this kind.
    pub kind: Option<ApiKind>,
    /// Only those published to this gateway.
    pub gateway: Option<GatewayId>,
}

impl ApisOf {
    /// Every API of these accounts.
    pub fn within(within: Within) -> Self {
        Self { within, ..Self::default() }
    }
}

/// An API without its gateways and stages, which stand in tables of their own.
pub(crate) fn read(row: &impl Columns) -> Result<Stored<Api>, String> {
    let api = Api {
        id: row.parsed("id")?,
        account: row.parsed("account")?,
        name: row.parsed("name")?,
        gateways: Vec::new(),
        stages: BTreeMap::new(),
        settings: docs::api::read(&row.text("doc")?)?,
    };
    stored(row, api)
}

/// A row of `api_gateways` or `api_stages`, read into its API.
pub(crate) enum Part {
    Gateway(GatewayId),
    Stage(Stage, StageBinding),
}

pub(crate) const ALL_GATEWAYS: &str = "SELECT api, gateway FROM api_gateways";
pub(crate) const ALL_STAGES: &str = "SELECT api, stage, service, path_prefix, host FROM api_stages";

pub(crate) fn read_gateway(row: &impl Columns) -> Result<Part, String> {
    Ok(Part::Gateway(row.parsed("gateway")?))
}

pub(crate) fn read_stage(row: &impl Columns) -> Result<Part, String> {
    let binding = StageBinding {
        service: row.parsed("service")?,
        path_prefix: row.parsed_or_null("path_prefix")?,
        host: row.parsed_or_null("host")?,
    };
    Ok(Part::Stage(row.parsed("stage")?, binding))
}

impl Part {
    pub(crate) fn add_to(self, api: &mut Api) {
        match self {
            Self::Gateway(gateway) => api.gateways.push(gateway),
            Self::Stage(stage, binding) => {
                api.stages.insert(stage, binding);
            }
        }
    }
}

impl Reads<'_> {
    /// Every API.
    ///
    /// # Errors
    /// The store does not answer. A row that cannot be believed is left out.
    pub async fn apis(&mut self) -> Result<Vec<Stored<Api>>, StoreError> {
        let rows = self.all(sqlx::query(select!("ORDER BY id"))).await?;
        let mut apis = read_list("api", &rows, read);
        let gateways =
            self.all(sqlx::query("SELECT api, gateway FROM api_gateways ORDER BY api, gateway")).await?;
        let stages =
            sqlx::query("SELECT api, stage, service, path_prefix, host FROM api_stages ORDER BY api, stage");
        let stages = self.all(stages).await?;
        add_parts(&mut apis, &gateways, &stages)?;
        Ok(apis)
    }

    /// A page of APIs.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn list_apis(&mut self, of: &ApisOf, page: &ListPage) -> Result<Vec<Stored<Api>>, StoreError> {
        let listing = Listing::new(select!(""))
            .within("account", &of.within)
            .name_has("name", of.name.as_deref())
            .text("replace(doc, ?, '') <> doc", of.enabled.map(docs::api::enabled_needle))
            .text("replace(doc, ?, '') <> doc", of.kind.map(docs::api::kind_needle))
            .text("id IN (SELECT api FROM api_gateways WHERE gateway = ?)", of.gateway);
        let statement = listing.page(page, "id", Some("name"));
        let rows = self.all(statement).await?;
        self.complete(read_list("api", &rows, read)).await
    }

    /// The API with this id.
    ///
    /// # Errors
    /// The store does not answer, or the row cannot be believed.
    pub async fn api(&mut self, id: ApiId) -> Result<Option<Stored<Api>>, StoreError> {
        let rows = self.all(sqlx::query(select!("WHERE id = $1")).bind(id.to_string())).await?;
        let apis = read_all("api", &rows, read)?;
        Ok(self.complete(apis).await?.pop())
    }

    /// The API with this name.
    ///
    /// # Errors
    /// The store does not answer, or the row cannot be believed.
    pub async fn api_named(
        &mut self,
        account: AccountId,
        name: &Name,
    ) -> Result<Option<Stored<Api>>, StoreError> {
        let statement = sqlx::query(select!("WHERE account = $1 AND name = $2"));
        let rows = self.all(statement.bind(account.to_string()).bind(name.to_string())).await?;
        let apis = read_all("api", &rows, read)?;
        Ok(self.complete(apis).await?.pop())
    }

    /// The APIs that are published to this gateway.
    ///
    /// # Errors
    /// The store does not answer, or a row cannot be believed.
    pub async fn apis_on_gateway(&mut self, gateway: GatewayId) -> Result<Vec<Stored<Api>>, StoreError> {
        let statement =
            sqlx::query(select!("WHERE id IN (SELECT api FROM api_gateways WHERE gateway = $1) ORDER BY id"));
        let rows = self.all(statement.bind(gateway.to_string())).await?;
        self.complete(read_list("api", &rows, read)).await
    }

    /// The APIs of which a stage is bound to this service.
    ///
    /// # Errors
    /// The store does not answer, or a row cannot be believed.
    pub async fn apis_on_service(&mut self, service: ServiceId) -> Result<Vec<Stored<Api>>, StoreError> {
        let statement =
            sqlx::query(select!("WHERE id IN (SELECT api FROM api_stages WHERE service = $1) ORDER BY id"));
        let rows = self.all(statement.bind(service.to_string())).await?;
        self.complete(read_list("api", &rows, read)).await
    }

    async fn complete(&mut self, mut apis: Vec<Stored<Api>>) -> Result<Vec<Stored<Api>>, StoreError> {
        let ids: Vec<String> = apis.iter().map(|api| api.object.id.to_string()).collect();
        let gateways = self.all_in("SELECT api, gateway FROM api_gateways WHERE api IN", &[], &ids).await?;
        let stages = self
            .all_in("SELECT api, stage, service, path_prefix, host FROM api_stages WHERE api IN", &[], &ids)
            .await?;
        add_parts(&mut apis, &gateways, &stages)?;
        for api in &mut apis {
            api.object.gateways.sort_unstable();
        }
        Ok(apis)
    }
}

fn add_parts(apis: &mut [Stored<Api>], gateways: &[AnyRow], stages: &[AnyRow]) -> Result<(), StoreError> {
    let mut by_id: BTreeMap<ApiId, &mut Api> =
        apis.iter_mut().map(|api| (api.object.id, &mut api.object)).collect();
    let gateways = gateways.iter().map(|row| (row, read_gateway(row)));
    let stages = stages.iter().map(|row| (row, read_stage(row)));
    for (row, part) in gateways.chain(stages) {
        let id = row.text("api").unwrap_or_default();
        let part = part.map_err(|why| crate::reads::damaged("api", &id, why))?;
        if let Some(api) = id.parse().ok().and_then(|id| by_id.get_mut(&id)) {
            part.add_to(api);
        }
    }
    Ok(())
}

impl WriteTx<'_> {
    pub(crate) async fn put_api(&mut self, api: &Api) -> Result<(), StoreError> {
        let id = api.id.to_string();
        let statement = sqlx::query(
            "INSERT INTO apis (id, account, name, doc, revision, created, changed) \
             VALUES ($1, $2, $3, $4, $5, $6, $6) ON CONFLICT (id) DO UPDATE SET name = excluded.name, \
             doc = excluded.doc, revision = excluded.revision, changed = excluded.changed",
        )
        .bind(id.clone())
        .bind(api.account.to_string())
        .bind(api.name.to_string())
        .bind(docs::api::write(&api.settings))
        .bind(self.next_revision())
        .bind(self.at());
        self.run(statement).await?;
        self.delete_parts(&id).await?;
        for gateway in &api.gateways {
            let statement = sqlx::query("INSERT INTO api_gateways (api, gateway) VALUES ($1, $2)");
            self.run(statement.bind(id.clone()).bind(gateway.to_string())).await?;
        }
        for (stage, binding) in &api.stages {
            let statement = sqlx::query(
                "INSERT INTO api_stages (api, stage, service, path_prefix, host) VALUES ($1, $2, $3, $4, $5)",
            )
            .bind(id.clone())
            .bind(stage.as_str())
            .bind(binding.service.to_string())
            .bind(opt_text(binding.path_prefix.as_ref()))
            .bind(opt_text(binding.host.as_ref()));
            self.run(statement).await?;
        }
        Ok(())
    }

    pub(crate) async fn delete_api(&mut self, id: ApiId) -> Result<(), StoreError> {
        let id = id.to_string();
        self.delete_parts(&id).await?;
        self.run(sqlx::query("DELETE FROM apis WHERE id = $1").bind(id)).await?;
        Ok(())
    }

    async fn delete_parts(&mut self, id: &str) -> Result<(), StoreError> {
        self.run(sqlx::query("DELETE FROM api_gateways WHERE api = $1").bind(id.to_owned())).await?;
        self.run(sqlx::query("DELETE FROM api_stages WHERE api = $1").bind(id.to_owned())).await?;
        Ok(())
    }
}
