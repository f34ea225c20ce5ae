//! Credentials: searched by AppKey, digest and identity claim; their values are sealed.

use keyward_model::{
    AccountId, AppKey, CallerId, Credential, CredentialDigest, CredentialId, Grantee, IdentityClaim, JwkSet,
    JwtBinding, JwtKeys, JwtSettings, OpaqueProof, Origin, Plaintext, Proof, RemoteKeys, SecretText,
    SignatureScheme, Timestamp,
};

use super::secrets::{Referrer, read_secret, written_secret};
use super::{read_all, read_list, stored};
use crate::columns::Columns;
use crate::docs;
use crate::reads::{damaged, opt_text, owner};
use crate::seal::{Position, Sealer};
use crate::{CredentialRecord, Reads, Sealing, StoreError, Stored, WriteTx};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, caller, account, kind, enabled, valid_until, origin, app_key, scheme, is_default, \
             digest, claim_name, claim_value, doc, hint, sealed, sealed_version, last_used, lineage, \
             revision, created, changed FROM credentials ",
            $rest
        )
    };
}

pub(crate) const ALL: &str = select!("");

/// A stored credential, whose sealed value was not opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialRow {
    /// Its id.
    pub id: CredentialId,
    /// Whose it is.
    pub caller: CallerId,
    /// The caller's account.
    pub account: AccountId,
    /// `key_pair`, `app_code`, `api_key` or `jwt`.
    pub kind: &'static str,
    /// See [`Credential::enabled`].
    pub enabled: bool,
    /// See [`Credential::valid_until`].
    pub valid_until: Option<Timestamp>,
    /// See [`Credential::origin`].
    pub origin: Origin,
    /// Of a key pair.
    pub app_key: Option<AppKey>,
    /// Of a key pair.
    pub scheme: Option<SignatureScheme>,
    /// Of a key pair: is it the first?
    pub is_default: bool,
    /// Of an AppCode or API key.
    pub digest: Option<CredentialDigest>,
    /// Of a JWT.
    pub identity_claim: Option<IdentityClaim>,
    /// Of a JWT.
    pub jwt: Option<JwtSettings>,
    /// How a generated value begins and ends.
    pub hint: Option<String>,
    /// When a request was last proven by it.
    pub last_used: Option<Timestamp>,
    /// The first credential of the line of rotations that it belongs to; absent: it was never rotated.
    pub lineage: Option<CredentialId>,
    /// What it refers to, if its value is a secret's and can be read. Known only of rows that are read one by one or by caller.
    pub reference: Option<SecretText>,
    /// When it was made.
    pub created: Timestamp,
    sealed: Option<Vec<u8>>,
    sealed_version: i64,
}

impl CredentialRow {
    /// Was its value kept, so that it can be opened again?
    pub fn is_sealed(&self) -> bool {
        self.sealed.is_some()
    }

    pub(crate) fn read(row: &impl Columns) -> Result<Stored<Self>, String> {
        let kind = match row.text("kind")?.as_str() {
            "key_pair" => "key_pair",
            "app_code" => "app_code",
            "api_key" => "api_key",
            "jwt" => "jwt",
            other => return Err(format!("`{other}` is not a kind that this version knows")),
        };
        let digest = match row.bytes_or_null("digest")? {
            None => None,
            Some(bytes) => {
                let digest = bytes.try_into().map_err(|_| "its `digest` has not 32 bytes".to_owned())?;
                Some(CredentialDigest(digest))
            }
        };
        let identity_claim = match (row.text_or_null("claim_name")?, row.text_or_null("claim_value")?) {
            (Some(name), Some(value)) => Some(IdentityClaim { name: name.into(), value: value.into() }),
            _ => None,
        };
        let credential = Self {
            id: row.parsed("id")?,
            caller: row.parsed("caller")?,
            account: row.parsed("account")?,
            kind,
            enabled: row.flag("enabled")?,
            valid_until: row.time_or_null("valid_until")?,
            origin: read_origin(&row.text("origin")?)?,
            app_key: row.parsed_or_null("app_key")?,
            scheme: row.parsed_or_null("scheme")?,
            is_default: row.flag("is_default")?,
            digest,
            identity_claim,
            jwt: row.text_or_null("doc")?.as_deref().map(docs::jwt::read).transpose()?,
            hint: row.text_or_null("hint")?,
            last_used: row.time_or_null("last_used")?,
            lineage: row.parsed_or_null("lineage")?,
            reference: None,
            created: row.time("created")?,
            sealed: row.bytes_or_null("sealed")?,
            sealed_version: row.number("sealed_version")?,
        };
        stored(row, credential)
    }

    /// Its value: the AppSecret, AppCode, API key, or the key set as JSON text. `None` where only a digest was kept.
    pub(crate) fn value(&self, sealer: &Sealer) -> Result<Option<Plaintext>, String> {
        let Some(envelope) = &self.sealed else { return Ok(None) };
        let (owner, id) = (owner(self.account), self.id.to_string());
        let opened =
            sealer.open(self.account, &position(&owner, &id, self.kind, self.sealed_version), envelope);
        opened.map(Some).map_err(|error| format!("its value: {error}"))
    }

    /// The same, with what it refers to.
    fn with_reference(mut self, sealer: &Sealer) -> Self {
        let refers = self.origin == Origin::Reference && self.sealed.is_some();
        self.reference = if refers { self.text(sealer).ok().flatten() } else { None };
        self
    }

    /// Its value as it was given: with references, if it rests on some.
    pub(crate) fn text(&self, sealer: &Sealer) -> Result<Option<SecretText>, String> {
        let Some(kept) = self.value(sealer)? else { return Ok(None) };
        read_secret(&kept, self.origin == Origin::Reference).map(Some)
    }

    fn opaque(&self, sealer: &Sealer) -> Result<OpaqueProof, String> {
        match (self.digest, self.origin) {
            (Some(digest), _) => Ok(OpaqueProof::Digest(digest)),
            (None, Origin::Reference) => {
                let text = self.text(sealer)?.ok_or("it has no reference")?;
                Ok(OpaqueProof::Reference(text))
            }
            (None, _) => Err("it has no digest".to_owned()),
        }
    }

    fn keys(&self, sealer: &Sealer) -> Result<JwtKeys, String> {
        let text = self.text(sealer)?.ok_or("it has no key set")?;
        match text.plain() {
            Some(jwks) => {
                JwkSet::parse(jwks.expose_secret()).map(JwtKeys::Own).map_err(|error| error.to_string())
            }
            None => Ok(JwtKeys::Reference(text)),
        }
    }

    /// What a decision needs of it, with secrets opened where a decision needs them.
    pub(crate) fn open(&self, sealer: &Sealer) -> Result<CredentialRecord, String> {
        let missing = |what: &str| format!("it has no {what}");
        let proof = match self.kind {
            "key_pair" => Proof::KeyPair {
                app_key: self.app_key.clone().ok_or_else(|| missing("AppKey"))?,
                app_secret: self.text(sealer)?.ok_or_else(|| missing("AppSecret"))?,
                scheme: self.scheme.ok_or_else(|| missing("scheme"))?,
                is_default: self.is_default,
            },
            "app_code" => Proof::AppCode(self.opaque(sealer)?),
            "api_key" => Proof::ApiKey(self.opaque(sealer)?),
            _ => {
                let settings = self.jwt.clone().ok_or_else(|| missing("settings"))?;
                let keys = match settings.remote {
                    Some(_) => JwtKeys::Own(JwkSet::default()),
                    None => self.keys(sealer)?,
                };
                Proof::Jwt(Box::new(JwtBinding {
                    keys,
                    settings,
                    identity_claim: self.identity_claim.clone().ok_or_else(|| missing("identity claim"))?,
                }))
            }
        };
        let credential = Credential {
            id: self.id,
            caller: self.caller,
            enabled: self.enabled,
            valid_until: self.valid_until,
            origin: self.origin,
            created: self.created,
            proof,
        };
        Ok(CredentialRecord {
            account: self.account,
            credential,
            hint: self.hint.clone(),
            sealing: Sealing::Keep,
        })
    }
}

fn position<'a>(owner: &'a str, id: &'a str, kind: &'static str, version: i64) -> Position<'a> {
    Position { owner, kind: "credential", id, field: kind, version }
}

fn read_origin(text: &str) -> Result<Origin, String> {
    [Origin::Generated, Origin::Custom, Origin::Reference]
        .into_iter()
        .find(|origin| origin.as_str() == text)
        .ok_or_else(|| format!("`{text}` is not an origin"))
}

impl Reads<'_> {
    /// The credential with this id.
    ///
    /// # Errors
    /// The store does not answer, or the row cannot be believed.
    pub async fn credential(
        &mut self,
        id: CredentialId,
    ) -> Result<Option<Stored<CredentialRow>>, StoreError> {
        self.find_credential(sqlx::query(select!("WHERE id = $1")).bind(id.to_string())).await
    }

    /// The key pair with this AppKey, compared without regard to case.
    ///
    /// # Errors
    /// The store does not answer, or the row cannot be believed.
    pub async fn credential_by_app_key(
        &mut self,
        app_key: &AppKey,
    ) -> Result<Option<Stored<CredentialRow>>, StoreError> {
        self.find_credential(sqlx::query(select!("WHERE app_key_folded = $1")).bind(app_key.folded())).await
    }

    /// The AppCode or API key with this digest.
    ///
    /// # Errors
    /// The store does not answer, or the row cannot be believed.
    pub async fn credential_by_digest(
        &mut self,
        digest: &CredentialDigest,
    ) -> Result<Option<Stored<CredentialRow>>, StoreError> {
        self.find_credential(sqlx::query(select!("WHERE digest = $1")).bind(digest.0.to_vec())).await
    }

    /// The JWT of this account with this identity claim.
    ///
    /// # Errors
    /// The store does not answer, or the row cannot be believed.
    pub async fn credential_by_claim(
        &mut self,
        account: AccountId,
        claim: &IdentityClaim,
    ) -> Result<Option<Stored<CredentialRow>>, StoreError> {
        let statement = sqlx::query(select!("WHERE account = $1 AND claim_name = $2 AND claim_value = $3"))
            .bind(account.to_string())
            .bind(claim.name.to_string())
            .bind(claim.value.to_string());
        self.find_credential(statement).await
    }

    /// The credentials of these callers, in id order.
    ///
    /// # Errors
    /// The store does not answer, or a row cannot be believed.
    pub async fn credentials_of(
        &mut self,
        callers: &[CallerId],
    ) -> Result<Vec<Stored<CredentialRow>>, StoreError> {
        let ids: Vec<String> = callers.iter().map(ToString::to_string).collect();
        let rows = self.all_in(select!("WHERE caller IN"), &[], &ids).await?;
        let mut credentials = read_list("credential", &rows, CredentialRow::read);
        credentials.sort_unstable_by_key(|credential| credential.object.id);
        let sealer = self.sealer;
        Ok(credentials.into_iter().map(|found| found.map(|row| row.with_reference(sealer))).collect())
    }

    /// What a decision needs of a credential, its secrets opened.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if its value does not open.
    pub fn open(&self, row: &CredentialRow) -> Result<CredentialRecord, StoreError> {
        row.open(self.sealer).map_err(|why| damaged("credential", row.id, why))
    }

    /// A credential's value; `None` where only a digest was kept. Showing it is for the caller of this to allow and to audit.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if it does not open.
    pub fn reveal(&self, row: &CredentialRow) -> Result<Option<Plaintext>, StoreError> {
        row.value(self.sealer).map_err(|why| damaged("credential", row.id, why))
    }

    async fn find_credential(
        &mut self,
        statement: crate::reads::Statement<'_>,
    ) -> Result<Option<Stored<CredentialRow>>, StoreError> {
        let rows = self.all(statement).await?;
        let found = read_all("credential", &rows, CredentialRow::read)?.pop();
        Ok(found.map(|found| found.map(|row| row.with_reference(self.sealer))))
    }
}

/// The columns of a proof.
struct ProofColumns<'p> {
    app_key: Option<&'p AppKey>,
    scheme: Option<SignatureScheme>,
    is_default: bool,
    digest: Option<CredentialDigest>,
    claim: Option<&'p IdentityClaim>,
    doc: Option<String>,
    remote: Option<&'p RemoteKeys>,
}

impl<'p> ProofColumns<'p> {
    fn of(proof: &'p Proof) -> Self {
        let none = Self {
            app_key: None,
            scheme: None,
            is_default: false,
            digest: None,
            claim: None,
            doc: None,
            remote: None,
        };
        match proof {
            Proof::KeyPair { app_key, scheme, is_default, .. } => {
                Self { app_key: Some(app_key), scheme: Some(*scheme), is_default: *is_default, ..none }
            }
            Proof::AppCode(OpaqueProof::Digest(digest)) | Proof::ApiKey(OpaqueProof::Digest(digest)) => {
                Self { digest: Some(*digest), ..none }
            }
            Proof::AppCode(_) | Proof::ApiKey(_) => none,
            Proof::Jwt(binding) => Self {
                claim: Some(&binding.identity_claim),
                doc: Some(docs::jwt::write(&binding.settings)),
                remote: binding.settings.remote.as_ref(),
                ..none
            },
        }
    }
}

/// What is kept of a credential's value.
struct Kept {
    sealed: Option<Vec<u8>>,
    version: i64,
    weak: bool,
}

impl WriteTx<'_> {
    pub(crate) async fn put_credential(&mut self, record: &CredentialRecord) -> Result<(), StoreError> {
        let credential = &record.credential;
        let proof = ProofColumns::of(&credential.proof);
        let Kept { sealed, version: sealed_version, weak } = self.seal_value(record).await?;
        let statement = sqlx::query(
            "INSERT INTO credentials (id, caller, account, kind, enabled, valid_until, origin, app_key, \
             app_key_folded, scheme, is_default, digest, digest_version, claim_name, claim_value, doc, hint, \
             sealed, sealed_version, revision, created, changed, jwks_url, \
             jwks_refresh_s, weak) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, \
             $19, $20, $21, $22, $23, $24, $25) ON CONFLICT (id) DO UPDATE SET \
             enabled = excluded.enabled, valid_until = excluded.valid_until, origin = excluded.origin, \
             app_key = excluded.app_key, app_key_folded = excluded.app_key_folded, scheme = excluded.scheme, \
             is_default = excluded.is_default, digest = excluded.digest, \
             digest_version = excluded.digest_version, claim_name = excluded.claim_name, \
             claim_value = excluded.claim_value, doc = excluded.doc, hint = excluded.hint, \
             sealed = excluded.sealed, sealed_version = excluded.sealed_version, \
             revision = excluded.revision, changed = excluded.changed, jwks_url = excluded.jwks_url, \
             jwks_refresh_s = excluded.jwks_refresh_s, weak = excluded.weak",
        )
        .bind(credential.id.to_string())
        .bind(credential.caller.to_string())
        .bind(record.account.to_string())
        .bind(credential.proof.kind())
        .bind(i64::from(credential.enabled))
        .bind(credential.valid_until.map(Timestamp::as_millis))
        .bind(credential.origin.as_str())
        .bind(opt_text(proof.app_key))
        .bind(proof.app_key.map(AppKey::folded))
        .bind(opt_text(proof.scheme))
        .bind(i64::from(proof.is_default))
        .bind(proof.digest.map(|digest| digest.0.to_vec()))
        .bind(i64::from(self.store.sealer.digest_version()))
        .bind(proof.claim.map(|claim| claim.name.to_string()))
        .bind(proof.claim.map(|claim| claim.value.to_string()))
        .bind(proof.doc)
        .bind(record.hint.clone())
        .bind(sealed)
        .bind(sealed_version)
        .bind(self.next_revision())
        .bind(credential.created.as_millis())
        .bind(self.at())
        .bind(proof.remote.map(|remote| remote.url.to_string()))
        .bind(proof.remote.map(|remote| i64::from(remote.refresh_s)))
        .bind(i64::from(weak));
        self.run(statement).await?;
        let id = credential.id.to_string();
        let referrer = Referrer { noun: "credential", object: &id, field: "value", account: record.account };
        match &record.sealing {
            Sealing::Keep => Ok(()),
            Sealing::Set(text) => self.put_references(&referrer, Some(text)).await,
            Sealing::DigestOnly => self.put_references(&referrer, None).await,
        }
    }

    /// What is kept of the value: a new one, the stored one, or none.
    async fn seal_value(&mut self, record: &CredentialRecord) -> Result<Kept, StoreError> {
        let credential = &record.credential;
        let id = credential.id.to_string();
        let unreadable = |why| damaged("credential", &id, why);
        let stored = sqlx::query("SELECT sealed, sealed_version, weak FROM credentials WHERE id = $1");
        let kept = match self.row(stored.bind(id.clone())).await? {
            Some(row) => Kept {
                sealed: row.bytes_or_null("sealed").map_err(unreadable)?,
                version: row.number("sealed_version").map_err(unreadable)?,
                weak: row.flag("weak").map_err(unreadable)?,
            },
            None => Kept { sealed: None, version: 0, weak: false },
        };
        let version = kept.version.saturating_add(1);
        match &record.sealing {
            Sealing::Keep => Ok(kept),
            Sealing::DigestOnly => Ok(Kept { sealed: None, version, weak: false }),
            Sealing::Set(text) => {
                let value = &written_secret(text);
                let owner = owner(record.account);
                let position = position(&owner, &id, credential.proof.kind(), version);
                let sealed = self
                    .store
                    .sealer
                    .seal(record.account, &position, value)
                    .map_err(|error| StoreError::Unavailable(error.to_string()))?;
                let guessable = credential.origin == Origin::Custom && credential.proof.kind() != "jwt";
                Ok(Kept { sealed: Some(sealed), version, weak: guessable && value.is_weak() })
            }
        }
    }

    /// Notes that these belong to one line of rotations, which began with this one.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn put_lineage(
        &mut self,
        first: CredentialId,
        ids: [CredentialId; 2],
    ) -> Result<(), StoreError> {
        for id in ids {
            let statement = sqlx::query("UPDATE credentials SET lineage = $2 WHERE id = $1");
            self.run(statement.bind(id.to_string()).bind(first.to_string())).await?;
        }
        Ok(())
    }

    /// Whose it was.
    pub(crate) async fn delete_credential(
        &mut self,
        id: CredentialId,
    ) -> Result<Option<Grantee>, StoreError> {
        self.forget_references("credential", &id.to_string()).await?;
        let statement = sqlx::query("DELETE FROM credentials WHERE id = $1 RETURNING caller");
        let row = self.row(statement.bind(id.to_string())).await?;
        Ok(row.and_then(|row| row.parsed("caller").ok()).map(Grantee::Caller))
    }
}
