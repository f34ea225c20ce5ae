//! Plugins. Their configurations are sealed.

use keyward_model::{
    AccountId, ApiId, GatewayId, Plaintext, Plugin, PluginConfig, PluginId, PluginKind, PluginOn,
    PluginSettings, SecretText, ServiceId,
};

use super::secrets::Referrer;
use super::{ListPage, Listing, Within, read_all, read_list, stored};
use crate::columns::Columns;
use crate::docs;
use crate::reads::{damaged, owner};
use crate::seal::{Position, Sealer};
use crate::{Reads, StoreError, Stored, WriteTx};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, account, plugin, gateway, api, operation, place, enabled, description, services, config, \
             config_version, revision, created, changed FROM plugins ",
            $rest
        )
    };
}

pub(crate) const ALL: &str = select!("");

/// Which plugins a list has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PluginsOf {
    /// Only these accounts'.
    pub within: Within,
    /// Only those bound to this API or to an operation of it.
    pub api: Option<ApiId>,
    /// Only those bound to this gateway.
    pub gateway: Option<GatewayId>,
    /// Only those that do this.
    pub kind: Option<PluginKind>,
    /// Only enabled, or only disabled ones.
    pub enabled: Option<bool>,
}

impl PluginsOf {
    /// Every one of these accounts.
    pub fn within(within: impl Into<Within>) -> Self {
        Self { within: within.into(), ..Self::default() }
    }
}

/// A row whose configuration cannot be read is read all the same, as [`PluginConfig::unreadable`]: it is known what it is bound
/// to, and that is to be closed.
pub(crate) fn read(row: &impl Columns, sealer: &Sealer) -> Result<Stored<Plugin>, String> {
    let id: PluginId = row.parsed("id")?;
    let account: AccountId = row.parsed("account")?;
    let kind: PluginKind = row.parsed("plugin")?;
    let on =
        match (row.parsed_or_null("gateway")?, row.parsed_or_null("api")?, row.text_or_null("operation")?) {
            (Some(gateway), None, None) => PluginOn::Gateway(gateway),
            (None, Some(api), None) => PluginOn::Api(api),
            (None, Some(api), Some(operation)) => {
                PluginOn::Operation(api, docs::plugin::read_operation(&operation)?)
            }
            _ => return Err("what it is bound to".to_owned()),
        };
    let config = read_config(row, sealer, (id, account), &kind).unwrap_or_else(|why| {
        tracing::error!(plugin = %id, %why, "the configuration of a plugin cannot be read: what it is bound to is closed");
        PluginConfig::unreadable()
    });
    let settings = PluginSettings {
        kind,
        order: i32::try_from(row.number("place")?).map_err(|error| error.to_string())?,
        enabled: row.flag("enabled")?,
        description: row.text("description")?,
        config,
    };
    let services = docs::plugin::read_services(&row.text("services")?)?;
    stored(row, Plugin { id, account, on, services, settings })
}

fn read_config(
    row: &impl Columns,
    sealer: &Sealer,
    (id, account): (PluginId, AccountId),
    kind: &PluginKind,
) -> Result<PluginConfig, String> {
    let (owner, id) = (owner(account), id.to_string());
    let position = position(&owner, &id, row.number("config_version")?);
    let envelope = row.bytes_or_null("config")?.unwrap_or_default();
    let text = sealer.open(account, &position, &envelope).map_err(|error| error.to_string())?;
    PluginConfig::parse(kind, text.expose_secret()).map_err(|error| error.to_string())
}

/// The version takes part, so that an older configuration does not open in place of a newer.
fn position<'a>(owner: &'a str, id: &'a str, version: i64) -> Position<'a> {
    Position { owner, kind: "plugin", id, field: "config", version }
}

impl Reads<'_> {
    /// A page of plugins, oldest first.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn list_plugins(
        &mut self,
        of: &PluginsOf,
        page: &ListPage,
    ) -> Result<Vec<Stored<Plugin>>, StoreError> {
        let listing = Listing::new(select!(""))
            .within("account", &of.within)
            .text("api = ?", of.api)
            .text("gateway = ?", of.gateway)
            .text("plugin = ?", of.kind.as_ref())
            .flag("enabled", of.enabled);
        let rows = self.all(listing.page(page, "id", None)).await?;
        Ok(read_list("plugin", &rows, |row| read(row, self.sealer)))
    }

    /// The plugin with this id.
    ///
    /// # Errors
    /// The store does not answer, or the row cannot be believed.
    pub async fn plugin(&mut self, id: PluginId) -> Result<Option<Stored<Plugin>>, StoreError> {
        let row = self.all(sqlx::query(select!("WHERE id = $1")).bind(id.to_string())).await?;
        Ok(read_all("plugin", &row, |row| read(row, self.sealer))?.pop())
    }

    /// Those bound to these APIs, or to operations of them, in id order.
    ///
    /// # Errors
    /// The store does not answer. A row that cannot be believed is left out.
    pub async fn plugins_on_apis(&mut self, apis: &[ApiId]) -> Result<Vec<Stored<Plugin>>, StoreError> {
        let ids: Vec<String> = apis.iter().map(ToString::to_string).collect();
        self.plugins_in(select!("WHERE api IN"), &ids).await
    }

    /// Those bound to these gateways, in id order.
    ///
    /// # Errors
    /// The store does not answer. A row that cannot be believed is left out.
    pub async fn plugins_on_gateways(
        &mut self,
        gateways: &[GatewayId],
    ) -> Result<Vec<Stored<Plugin>>, StoreError> {
        let ids: Vec<String> = gateways.iter().map(ToString::to_string).collect();
        self.plugins_in(select!("WHERE gateway IN"), &ids).await
    }

    /// Those that call this service, in id order.
    ///
    /// # Errors
    /// The store does not answer. A row that cannot be believed is left out.
    pub async fn plugins_calling(&mut self, service: ServiceId) -> Result<Vec<Stored<Plugin>>, StoreError> {
        let statement = sqlx::query(select!(
            "WHERE services <> '[]' AND replace(services, $1, '') <> services ORDER BY id"
        ));
        let rows = self.all(statement.bind(service.to_string())).await?;
        Ok(read_list("plugin", &rows, |row| read(row, self.sealer)))
    }

    async fn plugins_in(
        &mut self,
        select: &'static str,
        ids: &[String],
    ) -> Result<Vec<Stored<Plugin>>, StoreError> {
        let rows = self.all_in(select, &[], ids).await?;
        let mut plugins = read_list("plugin", &rows, |row| read(row, self.sealer));
        plugins.sort_unstable_by_key(|plugin| plugin.object.id);
        Ok(plugins)
    }
}

impl WriteTx<'_> {
    pub(crate) async fn put_plugin(&mut self, plugin: &Plugin) -> Result<(), StoreError> {
        let (id, settings) = (plugin.id.to_string(), &plugin.settings);
        let (config, version) = self.seal_config(plugin, &id).await?;
        let (gateway, api, operation) = match &plugin.on {
            PluginOn::Gateway(gateway) => (Some(gateway.to_string()), None, None),
            PluginOn::Api(api) => (None, Some(api.to_string()), None),
            PluginOn::Operation(api, operation) => {
                (None, Some(api.to_string()), Some(docs::plugin::write_operation(operation)))
            }
        };
        let statement = sqlx::query(
            "INSERT INTO plugins (id, account, plugin, gateway, api, operation, place, enabled, description, services, \
             config, config_version, revision, created, changed) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, \
             $12, $13, $14, $14) ON CONFLICT (id) DO UPDATE SET plugin = excluded.plugin, gateway = excluded.gateway, \
             api = excluded.api, operation = excluded.operation, place = excluded.place, enabled = excluded.enabled, \
             description = excluded.description, services = excluded.services, config = excluded.config, \
             config_version = excluded.config_version, revision = excluded.revision, changed = excluded.changed",
        )
        .bind(id.clone())
        .bind(plugin.account.to_string())
        .bind(settings.kind.to_string())
        .bind(gateway)
        .bind(api)
        .bind(operation)
        .bind(i64::from(settings.order))
        .bind(i64::from(settings.enabled))
        .bind(settings.description.clone())
        .bind(docs::plugin::write_services(&plugin.services))
        .bind(config)
        .bind(version)
        .bind(self.next_revision())
        .bind(self.at());
        self.run(statement).await?;
        self.put_plugin_references(plugin, &id).await
    }

    /// Every field with a reference is one: `config.credentials[0]`.
    async fn put_plugin_references(&mut self, plugin: &Plugin, id: &str) -> Result<(), StoreError> {
        self.forget_references("plugin", id).await?;
        let texts = plugin.settings.config.secrets(&plugin.settings.kind);
        let referring: Vec<(String, SecretText)> =
            texts.into_iter().filter(|(_, text)| !text.is_plain()).collect();
        for (path, text) in referring {
            let field = format!("config.{path}");
            let referrer = Referrer { noun: "plugin", object: id, field: &field, account: plugin.account };
            self.put_references(&referrer, Some(&text)).await?;
        }
        Ok(())
    }

    /// The sealed configuration and its version: one above the stored one.
    async fn seal_config(&mut self, plugin: &Plugin, id: &str) -> Result<(Vec<u8>, i64), StoreError> {
        let stored = sqlx::query("SELECT config_version FROM plugins WHERE id = $1");
        let version = match self.row(stored.bind(id.to_owned())).await? {
            Some(row) => row.number("config_version").map_err(|why| damaged("plugin", id, why))?,
            None => 0,
        };
        let version = version.saturating_add(1);
        let owner = owner(plugin.account);
        let config = Plaintext::new(plugin.settings.config.json().to_text());
        let sealer = &self.store.sealer;
        let sealed = sealer.seal(plugin.account, &position(&owner, id, version), &config);
        Ok((sealed.map_err(|error| StoreError::Unavailable(error.to_string()))?, version))
    }

    pub(crate) async fn delete_plugin(&mut self, id: PluginId) -> Result<(), StoreError> {
        self.forget_references("plugin", &id.to_string()).await?;
        self.run(sqlx::query("DELETE FROM plugins WHERE id = $1").bind(id.to_string())).await?;
        Ok(())
    }
}
