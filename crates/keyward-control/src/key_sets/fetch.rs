//! Fetching one key set, and reading it.

use keyward_model::{JwkSet, KeySetUrl};
use reqwest::header::{CACHE_CONTROL, HeaderMap};

use crate::egress::Egress;

/// A sound key set.
pub(crate) struct Fetched {
    /// Public keys alone, whatever else there was.
    pub(super) document: String,
    /// How long the answer holds, as it says itself.
    pub(super) max_age_s: Option<u64>,
}

/// Fetches a key set, and reads it.
pub(super) async fn fetch(egress: &Egress, url: &KeySetUrl) -> Result<Fetched, String> {
    let (set, headers) = key_set(egress, url.as_str()).await?;
    keyward_access::jwt::VerifyingKeys::compile(&set).map_err(|error| error.to_string())?;
    Ok(Fetched { document: set.to_json().expose_secret().to_owned(), max_age_s: max_age_s(&headers) })
}

/// The keys that are published there.
pub(crate) async fn key_set(egress: &Egress, url: &str) -> Result<(JwkSet, HeaderMap), String> {
    let accepted = "application/jwk-set+json, application/json";
    let answered = egress.get(url, accepted, JwkSet::FETCHED_LENGTH_MAX).await?;
    if answered.status != 200 {
        return Err(format!("it answers {}, not 200", answered.status));
    }
    let set = JwkSet::parse_fetched(&answered.body).map_err(|error| error.to_string())?;
    Ok((set, answered.headers))
}

fn max_age_s(headers: &HeaderMap) -> Option<u64> {
    let values = headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    let mut directives = values.flat_map(|value| value.split(',')).map(str::trim);
    directives.find_map(|directive| directive.to_ascii_lowercase().strip_prefix("max-age=")?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_how_long_it_holds() {
        let of =
            |value: &'static str| max_age_s(&HeaderMap::from_iter([(CACHE_CONTROL, value.parse().unwrap())]));
        assert_eq!(of("public, Max-Age=600, must-revalidate"), Some(600));
        assert_eq!((of("no-store"), of("max-age=x"), max_age_s(&HeaderMap::new())), (None, None, None));
    }
}
