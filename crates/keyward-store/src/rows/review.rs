//! The access review: rights and credentials that somebody should look at. Each question is a list of its own, in id order.

use keyward_model::{Api, Caller, Grant, Timestamp};

use super::list::Value;
use super::{ListPage, Listing, Within, apis, callers, credentials, grants, read_list};
use crate::{CredentialRow, Reads, StoreError, Stored};

/// What a review looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReviewOf {
    /// Only what belongs to these accounts.
    pub within: Within,
    /// The moment of asking.
    pub at: Timestamp,
    /// What was not used since this moment counts as unused.
    pub since: Timestamp,
    /// What ends before this moment ends soon.
    pub soon: Timestamp,
}

/// A grant that can permit something, at the moment of asking or later.
const ALIVE: &str = "revoked IS NULL AND (valid_until IS NULL OR valid_until > ?)";
/// The same of a credential.
const USABLE: &str = "enabled = 1 AND (valid_until IS NULL OR valid_until > ?)";

impl ReviewOf {
    /// Grants that can permit something.
    fn alive(&self) -> Listing {
        let listing = Listing::new(grants::ALL).within("account", &self.within);
        listing.only(ALIVE, moment(self.at))
    }

    /// Credentials that can prove something.
    fn usable(&self) -> Listing {
        let listing = Listing::new(credentials::ALL).within("account", &self.within);
        listing.only(USABLE, moment(self.at))
    }
}

fn moment(at: Timestamp) -> Option<Value> {
    Some(Value::Number(at.as_millis()))
}

impl Reads<'_> {
    /// Grants that have been in effect for that long and permitted nothing since.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn unused_grants(
        &mut self,
        of: &ReviewOf,
        page: &ListPage,
    ) -> Result<Vec<Stored<Grant>>, StoreError> {
        let listing = of.alive().only(
            "created <= ? AND (valid_from IS NULL OR valid_from <= ?) AND (last_used IS NULL OR last_used <= ?)",
            moment(of.since),
        );
        self.review("grant", listing, page, grants::read).await
    }

    /// Grants whose validity ends soon.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn ending_grants(
        &mut self,
        of: &ReviewOf,
        page: &ListPage,
    ) -> Result<Vec<Stored<Grant>>, StoreError> {
        let listing = of.alive().only("valid_until <= ?", moment(of.soon));
        self.review("grant", listing, page, grants::read).await
    }

    /// Credentials that have been there for that long and proved nothing ever.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn never_used_credentials(
        &mut self,
        of: &ReviewOf,
        page: &ListPage,
    ) -> Result<Vec<Stored<CredentialRow>>, StoreError> {
        let listing = of.usable().only("last_used IS NULL AND created <= ?", moment(of.since));
        self.review("credential", listing, page, CredentialRow::read).await
    }

    /// Credentials that end soon.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn ending_credentials(
        &mut self,
        of: &ReviewOf,
        page: &ListPage,
    ) -> Result<Vec<Stored<CredentialRow>>, StoreError> {
        let listing = of.usable().only("valid_until <= ?", moment(of.soon));
        self.review("credential", listing, page, CredentialRow::read).await
    }

    /// Credentials whose value was given, and could be guessed.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn weak_credentials(
        &mut self,
        of: &ReviewOf,
        page: &ListPage,
    ) -> Result<Vec<Stored<CredentialRow>>, StoreError> {
        let listing = Listing::new(credentials::ALL)
            .within("account", &of.within)
            .fixed("weak = 1")
            .only("(valid_until IS NULL OR valid_until > ?)", moment(of.at));
        self.review("credential", listing, page, CredentialRow::read).await
    }

    /// Callers for whom there is no grant, neither for themselves nor for a group they are in.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn callers_without_grant(
        &mut self,
        of: &ReviewOf,
        page: &ListPage,
    ) -> Result<Vec<Stored<Caller>>, StoreError> {
        let listing = Listing::new(callers::ALL).within("account", &of.within).only(
            "NOT EXISTS (SELECT 1 FROM grants WHERE grants.caller = callers.id AND revoked IS NULL \
             AND (valid_until IS NULL OR valid_until > ?)) \
             AND NOT EXISTS (SELECT 1 FROM group_members JOIN grants ON grants.group_id = group_members.group_id \
             WHERE group_members.caller = callers.id AND grants.revoked IS NULL \
             AND (grants.valid_until IS NULL OR grants.valid_until > ?))",
            moment(of.at),
        );
        self.review("caller", listing, page, callers::read).await
    }

    /// APIs on which there is no grant, whether or not they admit anyone without.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn apis_without_grant(
        &mut self,
        of: &ReviewOf,
        page: &ListPage,
    ) -> Result<Vec<Stored<Api>>, StoreError> {
        let listing = Listing::new(apis::ALL).within("account", &of.within).only(
            "NOT EXISTS (SELECT 1 FROM grants WHERE grants.api = apis.id AND revoked IS NULL \
             AND (valid_until IS NULL OR valid_until > ?))",
            moment(of.at),
        );
        self.review("api", listing, page, apis::read).await
    }

    async fn review<T>(
        &mut self,
        noun: &'static str,
        listing: Listing,
        page: &ListPage,
        read: impl Fn(&sqlx::any::AnyRow) -> Result<T, String>,
    ) -> Result<Vec<T>, StoreError> {
        let rows = self.all(listing.page(page, "id", None)).await?;
        Ok(read_list(noun, &rows, read))
    }
}
