//! Signing operators in through an OpenID provider: the authorization code flow with PKCE (OpenID Connect Core 1.0,
//! RFC 7636, RFC 9207).
//!
//! A sign-in that has begun is kept nowhere but in the browser: all that belongs to it follows from its cookie and a key
//! that only nodes of this store have, so any of them can end it, and beginning costs no write. It ends once: what is
//! spent is kept with the session that came of it. Nobody becomes an operator by signing in; an owner names who is who,
//! by issuer and subject.

mod provider;

use std::net::IpAddr;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keyward_access::jwt::{ExpectedIdToken, IdTokenRefused, verify_id_token};
use keyward_model::{AdminUrl, CredentialDigest, Identity, Issuer, Plaintext, Timestamp};
use subtle::ConstantTimeEq as _;
use tokio::sync::Semaphore;

use crate::sessions::source_key;
use crate::{Control, ControlError, ErrorKind, Minter, NewSession, SystemRandom};
use provider::{Provider, Providers, form};

/// How operators sign in through a provider.
#[derive(Clone, Debug)]
pub struct OpenIdOptions {
    /// The provider.
    pub issuer: Issuer,
    /// Who we are there.
    pub client_id: String,
    /// How we prove it; absent: by the code verifier alone.
    pub client_secret: Option<Plaintext>,
    /// Where browsers reach this admin server.
    pub admin_url: AdminUrl,
    /// Hosts that are reached although they are on this machine or in a private network.
    pub allow_egress: Vec<String>,
}

impl OpenIdOptions {
    /// The path to which the provider sends browsers back.
    pub const RETURN: &'static str = "/sign-in/oidc/return";

    /// The address to which the provider sends browsers back: registered there, exactly.
    pub fn redirect_uri(&self) -> String {
        self.admin_url.with(Self::RETURN)
    }
}

/// How long a sign-in may take at the provider, in milliseconds.
const SIGN_IN_MS: i64 = 10 * 60_000;
/// Most sign-ins that ask the provider at once.
const EXCHANGES_MAX: usize = 8;
/// Longest code, in bytes.
const CODE_MAX: usize = 4_096;

/// A sign-in that has begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BegunSignIn {
    /// What the browser keeps until it comes back.
    pub cookie: Plaintext,
    /// For how long, in seconds.
    pub cookie_s: i64,
    /// Where the browser goes.
    pub location: String,
}

/// What a browser brings back from the provider.
#[derive(Clone, Default)]
pub struct Returned {
    /// The code that proves who it is.
    pub code: Option<Plaintext>,
    /// What was sent along.
    pub state: Option<String>,
    /// Which provider says so (RFC 9207).
    pub issuer: Option<String>,
    /// Why there is no code.
    pub error: Option<String>,
}

impl std::fmt::Debug for Returned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Returned")
            .field("issuer", &self.issuer)
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}

/// Signing in through a provider.
pub struct OpenId {
    control: Control,
    options: OpenIdOptions,
    minter: Minter,
    providers: Providers,
    exchanges: Semaphore,
}

/// All that belongs to one sign-in.
struct Flow {
    state: String,
    nonce: String,
    verifier: Plaintext,
    spent: Spent,
    begun: Timestamp,
}

/// What is kept of a sign-in that is over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spent {
    pub(crate) digest: CredentialDigest,
    pub(crate) valid_until: Timestamp,
}

impl OpenId {
    /// Signing in to this store through this provider, which is not asked before somebody signs in.
    ///
    /// # Errors
    /// The system gives no HTTP client.
    pub fn new(control: Control, options: OpenIdOptions) -> Result<Self, String> {
        let providers = Providers::new(&options, control.clock())?;
        let minter = Minter::new(Arc::new(SystemRandom));
        Ok(Self { control, options, minter, providers, exchanges: Semaphore::new(EXCHANGES_MAX) })
    }

    /// How it is set up.
    pub fn options(&self) -> &OpenIdOptions {
        &self.options
    }

    /// Begins a sign-in.
    ///
    /// # Errors
    /// The provider does not answer, or not as one should.
    pub async fn begin(&self) -> Result<BegunSignIn, ControlError> {
        let provider = self.providers.current().await.map_err(|why| self.unavailable(&why))?;
        let random = self.minter.session()?;
        let until = self.control.now().plus_millis(SIGN_IN_MS);
        let cookie = Plaintext::new(format!("{}.{}", until.as_millis(), random.expose_secret()));
        let flow = self.flow(&cookie, until);
        let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, flow.verifier.expose_secret().as_bytes()));
        let redirect_uri = self.options.redirect_uri();
        let query = form(&[
            ("response_type", "code"),
            ("client_id", &self.options.client_id),
            ("redirect_uri", &redirect_uri),
            ("scope", "openid"),
            ("state", &flow.state),
            ("nonce", &flow.nonce),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ]);
        let joint = if provider.authorization.contains('?') { '&' } else { '?' };
        let location = format!("{}{joint}{query}", provider.authorization);
        Ok(BegunSignIn { cookie, cookie_s: SIGN_IN_MS / 1_000, location })
    }

    /// Ends a sign-in: asks the provider who it was, and begins that operator's session.
    ///
    /// # Errors
    /// It was not begun in this browser, is over, or took too long; the provider refuses it or does not answer; what it says
    /// does not hold; no enabled operator has this identity.
    pub async fn finish(
        &self,
        cookie: Option<&Plaintext>,
        returned: Returned,
        source: IpAddr,
    ) -> Result<NewSession, ControlError> {
        // Whoever did not begin here is no failed attempt: another site's page can send any browser here.
        let flow = self.begun(cookie, returned.state.as_deref()).ok_or_else(|| self.not_begun())?;
        let source_key = source_key(source);
        self.control.attempts().may_try(&[&source_key], self.control.now())?;
        let ended = self.identified(&flow, returned).await;
        let ended = match ended {
            Ok(identity) => self.control.sessions().sign_in_identified(&identity, flow.spent).await,
            Err(error) => Err(error),
        };
        if let Err(error) = &ended
            && error.kind() == ErrorKind::Unauthenticated
        {
            self.control.attempts().failed(&[&source_key], self.control.now());
            tracing::warn!(%source, %error, "a sign-in through the provider failed");
        }
        ended
    }

    /// Who the provider says it is.
    async fn identified(&self, flow: &Flow, returned: Returned) -> Result<Identity, ControlError> {
        let provider = self.providers.current().await.map_err(|why| self.unavailable(&why))?;
        let issuer = self.options.issuer.as_str();
        let other_issuer = match &returned.issuer {
            Some(named) => named != issuer,
            None => provider.names_itself,
        };
        if other_issuer {
            return Err(unproven("the answer names another provider than the one that was asked"));
        }
        if let Some(error) = &returned.error {
            return Err(provider_refused(error));
        }
        let code = returned.code.filter(|code| (1..=CODE_MAX).contains(&code.expose_secret().len()));
        let code = code.ok_or_else(|| unproven("the answer has no code"))?;
        let permit = self.exchanges.try_acquire().map_err(|_| {
            let text = "too many sign-ins are under way: try again in a moment";
            ControlError::new(ErrorKind::TooMany, "sign_in_busy", text).after_s(1)
        })?;
        let id_token = self.providers.exchange(&provider, &self.options, &code, &flow.verifier).await?;
        drop(permit);
        let subject = self.verified(&provider, &id_token, flow).await?;
        Ok(Identity { issuer: issuer.to_owned(), subject })
    }

    /// Verifies an ID token, by newer keys if it takes them.
    async fn verified(
        &self,
        provider: &Provider,
        id_token: &Plaintext,
        flow: &Flow,
    ) -> Result<String, ControlError> {
        let expected = ExpectedIdToken {
            issuer: self.options.issuer.as_str(),
            client_id: &self.options.client_id,
            nonce: &flow.nonce,
            begun: flow.begun,
        };
        let verify = |provider: &Provider| {
            verify_id_token(id_token.expose_secret(), &provider.keys, &expected, self.control.now())
        };
        let outcome = match verify(provider) {
            Err(refused) if refused.wants_newer_keys() => {
                let newer = self.providers.newer(provider).await.map_err(|why| self.unavailable(&why))?;
                verify(&newer)
            }
            outcome => outcome,
        };
        outcome.map_err(|refused: IdTokenRefused| unproven(&format!("the provider's ID token: {refused}")))
    }

    /// The sign-in of this cookie, if it has not ended by itself and this is the state that was sent along.
    fn begun(&self, cookie: Option<&Plaintext>, state: Option<&str>) -> Option<Flow> {
        let (cookie, state) = (cookie?, state?);
        let (until, _) = cookie.expose_secret().split_once('.')?;
        let until = Timestamp::from_millis(until.parse().ok()?);
        let flow = self.flow(cookie, until);
        let same: bool = flow.state.as_bytes().ct_eq(state.as_bytes()).into();
        (same && until > self.control.now()).then_some(flow)
    }

    /// All of it follows from the cookie, by a key that browsers do not have. Another provider's is another one.
    fn flow(&self, cookie: &Plaintext, until: Timestamp) -> Flow {
        let (issuer, client_id) = (self.options.issuer.as_str(), &self.options.client_id);
        let part = |name: &str| {
            // No credential has a line feed in it, so none has this digest.
            let text =
                Plaintext::new(format!("sign-in {name}\n{issuer}\n{client_id}\n{}", cookie.expose_secret()));
            self.control.store().digest(text.expose_secret())
        };
        let text = |name: &str| URL_SAFE_NO_PAD.encode(part(name).0);
        Flow {
            state: text("state"),
            nonce: text("nonce"),
            verifier: Plaintext::new(text("verifier")),
            spent: Spent { digest: part("spent"), valid_until: until },
            begun: until.plus_millis(-SIGN_IN_MS),
        }
    }

    fn not_begun(&self) -> ControlError {
        let text = format!(
            "this sign-in was not begun in this browser, is over, or took longer than {} minutes: begin anew at {}",
            SIGN_IN_MS / 60_000,
            self.options.admin_url.with("/sign-in")
        );
        ControlError::new(ErrorKind::Unauthenticated, "sign_in_not_begun", text)
    }

    fn unavailable(&self, why: &str) -> ControlError {
        let issuer = &self.options.issuer;
        tracing::warn!(%issuer, why, "the provider through which operators sign in cannot be used");
        let text =
            format!("the provider {issuer} cannot be used now ({why}): sign in with a password meanwhile");
        ControlError::new(ErrorKind::ProviderUnavailable, "provider_unavailable", text)
    }
}

impl std::fmt::Debug for OpenId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenId").field("issuer", &self.options.issuer).finish_non_exhaustive()
    }
}

fn unproven(why: &str) -> ControlError {
    let text = format!("it is not proven who signed in: {why}");
    ControlError::new(ErrorKind::Unauthenticated, "identity_unproven", text)
}

/// The provider's word for it is shown if it is a word; its prose is not, for anybody can put that into a link.
fn provider_refused(error: &str) -> ControlError {
    let is_word = (1..=64).contains(&error.len())
        && error.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let word = if is_word { error } else { "an unknown error" };
    let text = format!("the provider did not sign you in: it says `{word}`");
    ControlError::new(ErrorKind::Unauthenticated, "provider_refused", text)
}
