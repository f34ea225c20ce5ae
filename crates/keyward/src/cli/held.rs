//! Where `keyward serve` finds values of secrets that are held elsewhere.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use keyward_control::{HeldOptions, HeldRules, VaultAddress, VaultLogin, VaultOptions};

use super::Failure;

/// Flags about values that are held elsewhere.
#[derive(Debug, Args)]
pub(crate) struct Held {
    /// A folder that files may be in that hold values of secrets (`from: {file: …}`); absent: anywhere but among the node's own
    /// files. May be given several times.
    #[arg(long, value_name = "DIR")]
    held_files: Vec<PathBuf>,
    /// For how long the value before a change elsewhere still proves who calls, in seconds. What is sent to services is the new one at
    /// once.
    #[arg(long, value_name = "SECONDS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=31_622_400))]
    held_overlap_s: u64,
    /// The Vault-compatible server (OpenBao, HashiCorp Vault) that holds values of secrets (`from: {vault: …}`): https://HOST:PORT, or
    /// http on this machine. It needs --vault-token-file, or --vault-role-id and --vault-secret-id-file.
    #[arg(long, env = "KEYWARD_VAULT_ADDRESS", value_name = "URL")]
    vault_address: Option<String>,
    /// File with the token by which the node proves itself there. It is read again when the token is not accepted any more.
    #[arg(long, env = "KEYWARD_VAULT_TOKEN_FILE", value_name = "FILE")]
    vault_token_file: Option<PathBuf>,
    /// Id of the AppRole that the node proves itself as there.
    #[arg(long, env = "KEYWARD_VAULT_ROLE_ID", value_name = "ID")]
    vault_role_id: Option<String>,
    /// File with that role's secret id.
    #[arg(long, env = "KEYWARD_VAULT_SECRET_ID_FILE", value_name = "FILE")]
    vault_secret_id_file: Option<PathBuf>,
    /// File with the certificates that the server's must follow from, in PEM; absent: those that the machine trusts.
    #[arg(long, env = "KEYWARD_VAULT_CA_FILE", value_name = "FILE")]
    vault_ca_file: Option<PathBuf>,
    /// The server's namespace that everything is in.
    #[arg(long, env = "KEYWARD_VAULT_NAMESPACE", value_name = "NAME")]
    vault_namespace: Option<String>,
    /// Longest age of a value while the server answers, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    vault_refresh_s: u64,
    /// How long a value holds while the server does not answer, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 3_600, value_parser = clap::value_parser!(u64).range(1..=2_592_000))]
    vault_keep_s: u64,
    /// Allow an http address elsewhere: secrets and the node's proof then travel in the open.
    #[arg(long)]
    vault_allow_http: bool,
}

impl Held {
    /// What they come to.
    ///
    /// # Errors
    /// They do not go together.
    pub(crate) fn options(&self) -> Result<HeldOptions, Failure> {
        Ok(HeldOptions {
            rules: HeldRules { folders: self.held_files.clone(), forbidden: Vec::new() },
            overlap: Duration::from_secs(self.held_overlap_s),
            vault: self.vault().map_err(Failure::usage)?,
            ..HeldOptions::default()
        })
    }

    fn vault(&self) -> Result<Option<VaultOptions>, String> {
        let Some(address) = &self.vault_address else {
            return match self.without_address() {
                Some(flag) => Err(format!("{flag} says nothing without --vault-address")),
                None => Ok(None),
            };
        };
        let address = VaultAddress::parse(address, self.vault_allow_http)
            .map_err(|why| format!("--vault-address cannot be used: {why}"))?;
        if self.vault_keep_s < self.vault_refresh_s {
            let (keep, refresh) = (self.vault_keep_s, self.vault_refresh_s);
            return Err(format!(
                "--vault-keep-s {keep} is less than --vault-refresh-s {refresh}: a value would end before it is read again"
            ));
        }
        let namespace = self.vault_namespace.clone();
        if namespace.iter().any(|name| name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic())) {
            return Err("--vault-namespace has visible ASCII characters alone".to_owned());
        }
        Ok(Some(VaultOptions {
            address,
            login: self.login()?,
            namespace,
            ca_file: self.vault_ca_file.clone(),
            refresh: Duration::from_secs(self.vault_refresh_s),
            keep: Duration::from_secs(self.vault_keep_s),
        }))
    }

    fn login(&self) -> Result<VaultLogin, String> {
        let (token, role, secret) = (&self.vault_token_file, &self.vault_role_id, &self.vault_secret_id_file);
        match (token, role, secret) {
            (Some(file), None, None) => Ok(VaultLogin::TokenFile(file.clone())),
            (None, Some(role_id), Some(file)) => {
                Ok(VaultLogin::AppRole { role_id: role_id.clone(), secret_id_file: file.clone() })
            }
            (None, None, None) => {
                Err("--vault-address needs --vault-token-file, or --vault-role-id and --vault-secret-id-file"
                    .to_owned())
            }
            (Some(_), ..) => {
                Err("--vault-token-file does not go with --vault-role-id and --vault-secret-id-file: \
                                  the node proves itself in one way"
                    .to_owned())
            }
            (None, ..) => Err("--vault-role-id and --vault-secret-id-file go together".to_owned()),
        }
    }

    fn without_address(&self) -> Option<&'static str> {
        let given = [
            ("--vault-token-file", self.vault_token_file.is_some()),
            ("--vault-role-id", self.vault_role_id.is_some()),
            ("--vault-secret-id-file", self.vault_secret_id_file.is_some()),
            ("--vault-ca-file", self.vault_ca_file.is_some()),
            ("--vault-namespace", self.vault_namespace.is_some()),
            ("--vault-allow-http", self.vault_allow_http),
        ];
        given.into_iter().find(|(_, given)| *given).map(|(flag, _)| flag)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Alone {
        #[command(flatten)]
        held: Held,
    }

    fn of(flags: &str) -> Result<HeldOptions, String> {
        let parsed = Alone::try_parse_from(["test"].into_iter().chain(flags.split_whitespace()));
        parsed.map_err(|error| error.to_string())?.held.options().map_err(|failure| failure.text)
    }

    #[test]
    fn flags_about_the_vault_go_together_or_are_refused() {
        for (flags, why) in [
            ("--vault-token-file t", "--vault-token-file says nothing"),
            ("--vault-namespace n", "--vault-namespace says nothing"),
            ("--vault-address https://v", "needs --vault-token-file"),
            ("--vault-address https://v --vault-role-id r", "go together"),
            ("--vault-address https://v --vault-secret-id-file s", "go together"),
            ("--vault-address https://v --vault-token-file t --vault-role-id r", "in one way"),
            ("--vault-address http://v --vault-token-file t", "--vault-allow-http"),
            ("--vault-address v --vault-token-file t", "no address"),
            (
                "--vault-address https://v --vault-token-file t --vault-keep-s 59",
                "less than --vault-refresh-s",
            ),
            ("--vault-address https://v --vault-token-file t --vault-namespace ü", "visible ASCII"),
            ("--vault-refresh-s 0", "0 is not in"),
        ] {
            let refused = of(flags).unwrap_err();
            assert!(refused.contains(why), "{flags}: {refused}");
        }
        assert!(of("").unwrap().vault.is_none());
        assert!(of("--vault-address http://127.0.0.1:8200 --vault-token-file t").unwrap().vault.is_some());
        let role =
            of("--vault-address http://v --vault-allow-http --vault-role-id r --vault-secret-id-file s");
        assert!(matches!(role.unwrap().vault.unwrap().login, VaultLogin::AppRole { .. }));
    }
}
