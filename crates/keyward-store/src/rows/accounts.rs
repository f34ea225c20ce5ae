//! Accounts, and the keys that their secrets are sealed with.

use keyward_model::{Account, AccountId, Name};

use super::{ListPage, Listing, ObjectsOf, read_all, read_list, stored};
use crate::columns::Columns;
use crate::reads::number;
use crate::seal::Sealer;
use crate::{Quarantined, Reads, StoreError, Stored, WriteTx};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, name, description, enabled, reveal, grant_validity_max_s, revision, \
             created, changed FROM accounts ",
            $rest
        )
    };
}

pub(crate) const ALL: &str = select!("");

pub(crate) const ALL_KEYS: &str = "SELECT account, version, wrapped FROM account_keys";

/// Learns the key that an account's secrets are sealed with.
pub(crate) fn learn_key(row: &impl Columns, sealer: &Sealer) -> Result<(), Quarantined> {
    let learn = || {
        let account: AccountId = row.parsed("account")?;
        let version = u32::try_from(row.number("version")?).map_err(|error| error.to_string())?;
        let wrapped = row.bytes_or_null("wrapped")?.unwrap_or_default();
        sealer.learn_account_key(account, version, &wrapped).map_err(|error| error.to_string())
    };
    let id = row.text("account").unwrap_or_default();
    learn().map_err(|why: String| Quarantined { noun: "account_key", id, why })
}

pub(crate) fn read(row: &impl Columns) -> Result<Stored<Account>, String> {
    let account = Account {
        id: row.parsed("id")?,
        name: row.parsed("name")?,
        description: row.text("description")?,
        enabled: row.flag("enabled")?,
        reveal: row.flag("reveal")?,
        grant_validity_max_s: max_s(row)?,
    };
    stored(row, account)
}

fn max_s(row: &impl Columns) -> Result<Option<u64>, String> {
    let max = row.number_or_null("grant_validity_max_s")?;
    max.map(|max| u64::try_from(max).map_err(|_| "its `grant_validity_max_s` is negative".to_owned()))
        .transpose()
}

impl Reads<'_> {
    /// Learns the keys of this account, which another node may have made.
    ///
    /// # Errors
    /// The store does not answer. A key that cannot be believed leaves the account's secrets unreadable, row by row.
    pub async fn learn_keys(&mut self, account: AccountId) -> Result<(), StoreError> {
        let statement = sqlx::query("SELECT account, version, wrapped FROM account_keys WHERE account = $1");
        for row in self.all(statement.bind(account.to_string())).await? {
            if let Err(unreadable) = learn_key(&row, self.sealer) {
                tracing::error!(%unreadable, "an account's secrets cannot be read");
            }
        }
        Ok(())
    }

    /// Every account.
    ///
    /// # Errors
    /// The store does not answer. A row that cannot be believed is left out.
    pub async fn accounts(&mut self) -> Result<Vec<Stored<Account>>, StoreError> {
        let rows = self.all(sqlx::query(select!("ORDER BY id"))).await?;
        Ok(read_list("account", &rows, read))
    }

    /// A page of accounts, by a part of the name.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn list_accounts(
        &mut self,
        of: &ObjectsOf,
        page: &ListPage,
    ) -> Result<Vec<Stored<Account>>, StoreError> {
        let listing = Listing::new(select!(""))
            .within("id", &of.within)
            .name_has("name", of.name.as_deref())
            .flag("enabled", of.enabled);
        let statement = listing.page(page, "id", Some("name"));
        Ok(read_list("account", &self.all(statement).await?, read))
    }

    /// The account with this id.
    ///
    /// # Errors
    /// The store does not answer, or the row cannot be believed.
    pub async fn account(&mut self, id: AccountId) -> Result<Option<Stored<Account>>, StoreError> {
        let row = self.all(sqlx::query(select!("WHERE id = $1")).bind(id.to_string())).await?;
        Ok(read_all("account", &row, read)?.pop())
    }

    /// The account with this name.
    ///
    /// # Errors
    /// The store does not answer, or the row cannot be believed.
    pub async fn account_named(&mut self, name: &Name) -> Result<Option<Stored<Account>>, StoreError> {
        let row = self.all(sqlx::query(select!("WHERE name = $1")).bind(name.to_string())).await?;
        Ok(read_all("account", &row, read)?.pop())
    }
}

impl WriteTx<'_> {
    pub(crate) async fn put_account(&mut self, account: &Account) -> Result<(), StoreError> {
        let id = account.id.to_string();
        let statement = sqlx::query(
            "INSERT INTO accounts (id, name, description, enabled, reveal, grant_validity_max_s, revision, created, \
             changed) VALUES ($1, $2, $3, $4, $5, $8, $6, $7, $7) ON CONFLICT (id) DO UPDATE SET \
             name = excluded.name, description = excluded.description, enabled = excluded.enabled, \
             reveal = excluded.reveal, grant_validity_max_s = excluded.grant_validity_max_s, \
             revision = excluded.revision, changed = excluded.changed",
        )
        .bind(id.clone())
        .bind(account.name.to_string())
        .bind(account.description.clone())
        .bind(i64::from(account.enabled))
        .bind(i64::from(account.reveal))
        .bind(self.next_revision())
        .bind(self.at())
        .bind(account.grant_validity_max_s.map(number));
        self.run(statement).await?;
        self.give_key(account.id, &id).await?;
        if !account.reveal {
            // Where a digest suffices, nothing that could be shown is kept.
            let wipe = sqlx::query(
                "UPDATE credentials SET sealed = NULL WHERE account = $1 AND kind IN ('api_key', 'app_code')",
            );
            self.run(wipe.bind(id)).await?;
        }
        Ok(())
    }

    async fn give_key(&mut self, account: AccountId, id: &str) -> Result<(), StoreError> {
        let has = sqlx::query("SELECT version FROM account_keys WHERE account = $1");
        if self.row(has.bind(id.to_owned())).await?.is_some() {
            return Ok(());
        }
        let wrapped = self
            .store
            .sealer
            .make_account_key(account, 1)
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let statement =
            sqlx::query("INSERT INTO account_keys (account, version, wrapped) VALUES ($1, 1, $2)");
        self.run(statement.bind(id.to_owned()).bind(wrapped)).await?;
        Ok(())
    }

    pub(crate) async fn delete_account(&mut self, id: AccountId) -> Result<(), StoreError> {
        let id = id.to_string();
        self.run(sqlx::query("DELETE FROM operator_roles WHERE account = $1").bind(id.clone())).await?;
        self.run(sqlx::query("DELETE FROM account_keys WHERE account = $1").bind(id.clone())).await?;
        self.run(sqlx::query("DELETE FROM accounts WHERE id = $1").bind(id)).await?;
        Ok(())
    }
}
