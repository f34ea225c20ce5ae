//! Operators with their roles and identities, and the tokens that act for them.

use std::collections::BTreeMap;

use keyward_model::{
    AccountId, CredentialDigest, Identity, Name, Operator, OperatorId, OperatorToken, OperatorTokenId,
    PasswordHash, Role, RoleIn, TokenScope,
};
use serde::{Deserialize, Serialize};

use super::{ListPage, Listing, Within, read_all, read_list, stored};
use crate::columns::Columns;
use crate::{Reads, StoreError, Stored, WriteTx, docs};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, name, description, enabled, password, revision, created, changed FROM operators ",
            $rest
        )
    };
}

macro_rules! select_token {
    ($rest:literal) => {
        concat!(
            "SELECT id, operator, name, digest, hint, scope, valid_until, last_used, revision, created, changed \
             FROM operator_tokens ",
            $rest
        )
    };
}

/// What stands in `operator_roles.account` for a role that holds everywhere.
const EVERYWHERE: &str = "";

/// A token's scope, as it is kept.
#[derive(Serialize, Deserialize)]
struct ScopeDoc {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    role: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    accounts: Option<Vec<String>>,
}

/// Without roles and identities, which stand in tables of their own.
fn read(row: &impl Columns) -> Result<Stored<Operator>, String> {
    let operator = Operator {
        id: row.parsed("id")?,
        name: row.parsed("name")?,
        description: row.text("description")?,
        enabled: row.flag("enabled")?,
        password: row.text_or_null("password")?.map(PasswordHash::new),
        roles: Vec::new(),
        identities: Vec::new(),
    };
    stored(row, operator)
}

fn read_token(row: &impl Columns) -> Result<Stored<OperatorToken>, String> {
    let scope: ScopeDoc = docs::read(&row.text("scope")?)?;
    let digest = row.bytes_or_null("digest")?.unwrap_or_default();
    let token = OperatorToken {
        id: row.parsed("id")?,
        operator: row.parsed("operator")?,
        name: row.parsed("name")?,
        digest: CredentialDigest(digest.try_into().map_err(|_| "its `digest` has not 32 bytes".to_owned())?),
        hint: row.text("hint")?,
        scope: TokenScope {
            role: scope.role.as_deref().map(docs::parse).transpose()?,
            accounts: scope.accounts.as_deref().map(docs::parse_all).transpose()?,
        },
        valid_until: row.time("valid_until")?,
        last_used: row.time_or_null("last_used")?,
    };
    stored(row, token)
}

impl Reads<'_> {
    /// A page of operators: all, or those with a role in one of these accounts.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn list_operators(
        &mut self,
        within: &Within,
        name: Option<&str>,
        enabled: Option<bool>,
        page: &ListPage,
    ) -> Result<Vec<Stored<Operator>>, StoreError> {
        let statement = Listing::new(select!(""))
            .within_so("id IN (SELECT operator FROM operator_roles WHERE account IN %)", within)
            .name_has("name", name)
            .flag("enabled", enabled)
            .page(page, "id", Some("name"));
        let rows = self.all(statement).await?;
        self.with_roles(read_list("operator", &rows, read)).await
    }

    /// The operator with this id.
    ///
    /// # Errors
    /// The store does not answer, or a row cannot be believed.
    pub async fn operator(&mut self, id: OperatorId) -> Result<Option<Stored<Operator>>, StoreError> {
        let row = self.all(sqlx::query(select!("WHERE id = $1")).bind(id.to_string())).await?;
        let found = read_all("operator", &row, read)?;
        Ok(self.with_roles(found).await?.pop())
    }

    /// The operator with this name.
    ///
    /// # Errors
    /// The store does not answer, or a row cannot be believed.
    pub async fn operator_named(&mut self, name: &Name) -> Result<Option<Stored<Operator>>, StoreError> {
        let row = self.all(sqlx::query(select!("WHERE name = $1")).bind(name.to_string())).await?;
        let found = read_all("operator", &row, read)?;
        Ok(self.with_roles(found).await?.pop())
    }

    /// The operator that is this subject at this OpenID provider.
    ///
    /// # Errors
    /// The store does not answer, or a row cannot be believed.
    pub async fn operator_identified(
        &mut self,
        identity: &Identity,
    ) -> Result<Option<Stored<Operator>>, StoreError> {
        let statement = sqlx::query(select!(
            "WHERE id = (SELECT operator FROM operator_identities WHERE issuer = $1 AND subject = $2)"
        ));
        let row = self.all(statement.bind(identity.issuer.clone()).bind(identity.subject.clone())).await?;
        let found = read_all("operator", &row, read)?;
        Ok(self.with_roles(found).await?.pop())
    }

    /// Is there any operator?
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn has_operators(&mut self) -> Result<bool, StoreError> {
        Ok(self.optional(sqlx::query("SELECT id FROM operators LIMIT 1")).await?.is_some())
    }

    /// Enabled operators that own everything, other than this one.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn other_owners(&mut self, but: OperatorId) -> Result<u64, StoreError> {
        let statement = sqlx::query(
            "SELECT operator FROM operator_roles JOIN operators ON operators.id = operator_roles.operator \
             WHERE operator_roles.account = '' AND operator_roles.role = 'owner' AND operators.enabled = 1 \
             AND operator_roles.operator <> $1",
        );
        let rows = self.all(statement.bind(but.to_string())).await?;
        Ok(u64::try_from(rows.len()).unwrap_or(u64::MAX))
    }

    /// The tokens that act for this operator, oldest first.
    ///
    /// # Errors
    /// The store does not answer. A row that cannot be believed is left out.
    pub async fn operator_tokens(
        &mut self,
        operator: OperatorId,
    ) -> Result<Vec<Stored<OperatorToken>>, StoreError> {
        let statement = sqlx::query(select_token!("WHERE operator = $1 ORDER BY id"));
        Ok(read_list("operator_token", &self.all(statement.bind(operator.to_string())).await?, read_token))
    }

    /// The token with this id.
    ///
    /// # Errors
    /// The store does not answer, or the row cannot be believed.
    pub async fn operator_token(
        &mut self,
        id: OperatorTokenId,
    ) -> Result<Option<Stored<OperatorToken>>, StoreError> {
        let row = self.all(sqlx::query(select_token!("WHERE id = $1")).bind(id.to_string())).await?;
        Ok(read_all("operator_token", &row, read_token)?.pop())
    }

    /// The token with this digest.
    ///
    /// # Errors
    /// The store does not answer, or the row cannot be believed.
    pub async fn operator_token_by_digest(
        &mut self,
        digest: &CredentialDigest,
    ) -> Result<Option<Stored<OperatorToken>>, StoreError> {
        let row = self.all(sqlx::query(select_token!("WHERE digest = $1")).bind(digest.0.to_vec())).await?;
        Ok(read_all("operator_token", &row, read_token)?.pop())
    }

    async fn with_roles(
        &mut self,
        mut operators: Vec<Stored<Operator>>,
    ) -> Result<Vec<Stored<Operator>>, StoreError> {
        let ids: Vec<String> = operators.iter().map(|operator| operator.object.id.to_string()).collect();
        let mut roles: BTreeMap<OperatorId, Vec<RoleIn>> = BTreeMap::new();
        let rows = self
            .all_in("SELECT operator AS id, account, role FROM operator_roles WHERE operator IN", &[], &ids)
            .await?;
        let read_role = |row: &sqlx::any::AnyRow| {
            let account = row.text("account")?;
            let account = (account != EVERYWHERE).then(|| docs::parse::<AccountId>(&account)).transpose()?;
            Ok((row.parsed::<OperatorId>("id")?, RoleIn { account, role: row.parsed::<Role>("role")? }))
        };
        for (id, role) in read_list("operator_role", &rows, read_role) {
            roles.entry(id).or_default().push(role);
        }
        let mut identities: BTreeMap<OperatorId, Vec<Identity>> = BTreeMap::new();
        let rows = self
            .all_in(
                "SELECT operator AS id, issuer, subject FROM operator_identities WHERE operator IN",
                &[],
                &ids,
            )
            .await?;
        let read_identity = |row: &sqlx::any::AnyRow| {
            let identity = Identity { issuer: row.text("issuer")?, subject: row.text("subject")? };
            Ok((row.parsed::<OperatorId>("id")?, identity))
        };
        for (id, identity) in read_list("operator_identity", &rows, read_identity) {
            identities.entry(id).or_default().push(identity);
        }
        for operator in &mut operators {
            let object = &mut operator.object;
            object.roles = roles.remove(&object.id).unwrap_or_default();
            object.roles.sort_unstable();
            object.roles.dedup();
            object.identities = identities.remove(&object.id).unwrap_or_default();
            object.identities.sort_unstable();
            object.identities.dedup();
        }
        Ok(operators)
    }
}

impl WriteTx<'_> {
    pub(crate) async fn put_operator(&mut self, operator: &Operator) -> Result<(), StoreError> {
        let id = operator.id.to_string();
        let statement = sqlx::query(
            "INSERT INTO operators (id, name, description, enabled, password, revision, created, changed) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $7) ON CONFLICT (id) DO UPDATE SET name = excluded.name, \
             description = excluded.description, enabled = excluded.enabled, password = excluded.password, \
             revision = excluded.revision, changed = excluded.changed",
        )
        .bind(id.clone())
        .bind(operator.name.to_string())
        .bind(operator.description.clone())
        .bind(i64::from(operator.enabled))
        .bind(operator.password.as_ref().map(|password| password.as_phc().to_owned()))
        .bind(self.next_revision())
        .bind(self.at());
        self.run(statement).await?;
        self.forget_roles(&id).await?;
        for role in &operator.roles {
            let account = role.account.map_or_else(|| EVERYWHERE.to_owned(), |account| account.to_string());
            let statement =
                sqlx::query("INSERT INTO operator_roles (operator, account, role) VALUES ($1, $2, $3)");
            self.run(statement.bind(id.clone()).bind(account).bind(role.role.as_str().to_owned())).await?;
        }
        for identity in &operator.identities {
            let statement = sqlx::query(
                "INSERT INTO operator_identities (issuer, subject, operator) VALUES ($1, $2, $3)",
            );
            let statement = statement.bind(identity.issuer.clone()).bind(identity.subject.clone());
            self.run(statement.bind(id.clone())).await?;
        }
        Ok(())
    }

    pub(crate) async fn delete_operator(&mut self, id: OperatorId) -> Result<(), StoreError> {
        let id = id.to_string();
        self.forget_roles(&id).await?;
        for sql in [
            "DELETE FROM operator_sessions WHERE operator = $1",
            "DELETE FROM operator_tokens WHERE operator = $1",
            "DELETE FROM operators WHERE id = $1",
        ] {
            self.run(sqlx::query(sql).bind(id.clone())).await?;
        }
        Ok(())
    }

    async fn forget_roles(&mut self, id: &str) -> Result<(), StoreError> {
        for sql in [
            "DELETE FROM operator_roles WHERE operator = $1",
            "DELETE FROM operator_identities WHERE operator = $1",
        ] {
            self.run(sqlx::query(sql).bind(id.to_owned())).await?;
        }
        Ok(())
    }

    pub(crate) async fn put_operator_token(&mut self, token: &OperatorToken) -> Result<(), StoreError> {
        let scope = ScopeDoc {
            role: token.scope.role.map(|role| role.as_str().to_owned()),
            accounts: token.scope.accounts.as_deref().map(docs::texts),
        };
        let statement = sqlx::query(
            "INSERT INTO operator_tokens (id, operator, name, digest, hint, scope, valid_until, last_used, \
             revision, created, changed) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10) \
             ON CONFLICT (id) DO UPDATE SET name = excluded.name, scope = excluded.scope, \
             valid_until = excluded.valid_until, revision = excluded.revision, changed = excluded.changed",
        )
        .bind(token.id.to_string())
        .bind(token.operator.to_string())
        .bind(token.name.to_string())
        .bind(token.digest.0.to_vec())
        .bind(token.hint.clone())
        .bind(docs::write(&scope))
        .bind(token.valid_until.as_millis())
        .bind(token.last_used.map(keyward_model::Timestamp::as_millis))
        .bind(self.next_revision())
        .bind(self.at());
        self.run(statement).await?;
        Ok(())
    }

    pub(crate) async fn delete_operator_token(&mut self, id: OperatorTokenId) -> Result<(), StoreError> {
        let statement = sqlx::query("DELETE FROM operator_tokens WHERE id = $1");
        self.run(statement.bind(id.to_string())).await?;
        Ok(())
    }
}
