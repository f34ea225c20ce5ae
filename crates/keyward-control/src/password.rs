//! Passwords of operators: argon2id, off the loop, few at a time.

use std::sync::Arc;

use argon2::password_hash::PasswordVerifier as _;
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, Version};
use keyward_model::{PasswordHash, Plaintext};
use tokio::sync::Semaphore;

use crate::{ControlError, ErrorKind, Problem};

/// Shortest and longest password, in characters.
pub(crate) const LENGTH: std::ops::RangeInclusive<usize> = 12..=256;

/// Hashes at once: each takes 19 MiB and a core for tens of milliseconds.
const AT_ONCE: usize = 2;

/// Hashes that wait for their turn; more are refused at once.
const WAITING_MAX: usize = 32;

/// Makes and checks password hashes.
pub(crate) struct Passwords {
    turns: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    /// A hash that no password has, so that an unknown name takes the time of a known one.
    dummy: PasswordHash,
}

impl Passwords {
    /// # Errors
    /// The random source cannot be read.
    pub(crate) fn new() -> Result<Self, ControlError> {
        let mut nobody = [0_u8; 32];
        aws_lc_rs::rand::fill(&mut nobody).map_err(|_| crate::RandomFailed)?;
        Ok(Self {
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            waiting: Arc::new(Semaphore::new(WAITING_MAX)),
            dummy: hash(&nobody)?,
        })
    }

    /// Hashes a new password.
    ///
    /// # Errors
    /// It is too short or too long, or too many are being hashed.
    pub(crate) async fn hash(&self, password: Plaintext) -> Result<PasswordHash, ControlError> {
        let length = password.expose_secret().chars().count();
        if !LENGTH.contains(&length) {
            let text = format!("a password has {} to {} characters", LENGTH.start(), LENGTH.end());
            return Err(Problem::invalid("password_malformed", "password", text).into());
        }
        self.in_turn(move || hash(password.expose_secret().as_bytes())).await?
    }

    /// Is this the password? Without a hash to compare with, the answer is no, after the same work.
    ///
    /// # Errors
    /// Too many are being checked.
    pub(crate) async fn verify(
        &self,
        password: Plaintext,
        hash: Option<PasswordHash>,
    ) -> Result<bool, ControlError> {
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.dummy.clone());
        let same = self.in_turn(move || is(&password, &hash)).await?;
        Ok(known && same)
    }

    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ControlError> {
        let _place = self.waiting.clone().try_acquire_owned().map_err(|_| busy())?;
        let turn = self.turns.clone().acquire_owned().await.map_err(|_| busy())?;
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(turn);
            done
        });
        done.await.map_err(|_| busy())
    }
}

fn busy() -> ControlError {
    let text = "too many sign-ins are under way: try again in a moment";
    ControlError::new(ErrorKind::TooMany, "sign_in_busy", text).after_s(1)
}

/// The field's second recommended setting (OWASP): 19 MiB, two passes, one lane.
fn hasher() -> Result<Argon2<'static>, ControlError> {
    let params = Params::new(19 * 1_024, 2, 1, None).map_err(|_| failed())?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn hash(password: &[u8]) -> Result<PasswordHash, ControlError> {
    let mut salt = [0_u8; 16];
    aws_lc_rs::rand::fill(&mut salt).map_err(|_| crate::RandomFailed)?;
    let hash = hasher()?.hash_password_with_salt(password, &salt).map_err(|_| failed())?;
    Ok(PasswordHash::new(hash.to_string()))
}

fn is(password: &Plaintext, hash: &PasswordHash) -> bool {
    let Ok(parsed) = argon2::PasswordHash::new(hash.as_phc()) else { return false };
    hasher().is_ok_and(|hasher| hasher.verify_password(password.expose_secret().as_bytes(), &parsed).is_ok())
}

fn failed() -> ControlError {
    ControlError::new(ErrorKind::StoreUnavailable, "password_unhashed", "the password could not be hashed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_is_known_again_and_no_other() {
        let passwords = Passwords::new().unwrap();
        let hash = passwords.hash(Plaintext::new("correct horse battery")).await.unwrap();
        assert!(hash.as_phc().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        let check = |text: &str| passwords.verify(Plaintext::new(text), Some(hash.clone()));
        assert!(check("correct horse battery").await.unwrap());
        assert!(!check("correct horse batterz").await.unwrap());
        assert!(!passwords.verify(Plaintext::new("correct horse battery"), None).await.unwrap());
    }

    #[tokio::test]
    async fn equal_passwords_have_different_hashes() {
        let passwords = Passwords::new().unwrap();
        let one = passwords.hash(Plaintext::new("the same password")).await.unwrap();
        let two = passwords.hash(Plaintext::new("the same password")).await.unwrap();
        assert_ne!(one, two);
    }

    #[tokio::test]
    async fn short_passwords_are_refused() {
        let passwords = Passwords::new().unwrap();
        let error = passwords.hash(Plaintext::new("elevenchars")).await.unwrap_err();
        assert_eq!((error.code(), error.path()), ("password_malformed", "password"));
    }
}
