//! What is compared: a proxy doing one case.

use serde::{Serialize, Serializer};

/// The program under measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Proxy {
    Nginx,
    Envoy,
    Keyward,
}

impl Proxy {
    /// The name in the table and in `bench.json`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Envoy => "envoy",
            Self::Keyward => "keyward",
        }
    }
}

/// What the proxy has to do for each request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum Case {
    /// Carry the request and the answer; nobody is asked who they are.
    Plain,
    /// Know the caller by an API key in `X-API-Key`.
    ApiKey,
    /// Know the caller by a JWT signed with HMAC-SHA256.
    JwtHs256,
    /// Know the caller by a JWT signed with ECDSA on P-256.
    JwtEs256,
    /// Verify an Alibaba signature with a fresh nonce in every request.
    AlibabaSignature,
    /// Know the caller by one of the keys of a plugin `key-auth`, which are written out in it.
    KeyAuth,
    /// The same, each key a reference to a secret.
    KeyAuthRef,
    /// Carry the request past a WebAssembly plugin that does nothing; nobody is asked who they are.
    WasmNoop,
}

impl Case {
    /// The name in the table and in `bench.json`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::ApiKey => "api_key",
            Self::JwtHs256 => "jwt_hs256",
            Self::JwtEs256 => "jwt_es256",
            Self::AlibabaSignature => "alibaba_signature",
            Self::KeyAuth => "key_auth",
            Self::KeyAuthRef => "key_auth_ref",
            Self::WasmNoop => "wasm_noop",
        }
    }

    /// Does the proxy ask who is calling?
    pub(crate) fn authenticates(self) -> bool {
        !matches!(self, Self::Plain | Self::WasmNoop)
    }
}

impl Serialize for Case {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// One row of the benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Subject {
    pub(crate) proxy: Proxy,
    pub(crate) case: Case,
}

/// What every ratio is taken against: nginx that only proxies.
pub(crate) const BASELINE: Subject = Subject { proxy: Proxy::Nginx, case: Case::Plain };

/// Every row, in the order of the table.
const SUBJECTS: [Subject; 12] = [
    BASELINE,
    Subject { proxy: Proxy::Nginx, case: Case::ApiKey },
    Subject { proxy: Proxy::Envoy, case: Case::ApiKey },
    Subject { proxy: Proxy::Keyward, case: Case::Plain },
    Subject { proxy: Proxy::Keyward, case: Case::ApiKey },
    Subject { proxy: Proxy::Keyward, case: Case::JwtHs256 },
    Subject { proxy: Proxy::Keyward, case: Case::JwtEs256 },
    Subject { proxy: Proxy::Keyward, case: Case::AlibabaSignature },
    Subject { proxy: Proxy::Keyward, case: Case::KeyAuth },
    Subject { proxy: Proxy::Keyward, case: Case::KeyAuthRef },
    Subject { proxy: Proxy::Envoy, case: Case::WasmNoop },
    Subject { proxy: Proxy::Keyward, case: Case::WasmNoop },
];

impl Subject {
    /// The rows that remain when only some proxies and cases are wanted; the baseline always does.
    pub(crate) fn chosen(proxies: &[Proxy], cases: &[Case]) -> Vec<Self> {
        SUBJECTS
            .into_iter()
            .filter(|subject| {
                *subject == BASELINE || (proxies.contains(&subject.proxy) && cases.contains(&subject.case))
            })
            .collect()
    }

    /// The most CPU per request, as a share of the baseline's, that Keyward allows itself here.
    pub(crate) fn bar(self) -> Option<f64> {
        match (self.proxy, self.case) {
            (Proxy::Keyward, Case::Plain) => Some(0.80),
            (Proxy::Keyward, Case::ApiKey) => Some(0.90),
            (Proxy::Keyward, Case::AlibabaSignature) => Some(1.00),
            _ => None,
        }
    }

    /// `proxy/case`, for messages and folder names.
    pub(crate) fn label(self) -> String {
        format!("{}/{}", self.proxy.name(), self.case.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_baseline_is_never_left_out() {
        let rows = Subject::chosen(&[Proxy::Keyward], &[Case::AlibabaSignature]);
        let labels: Vec<_> = rows.into_iter().map(Subject::label).collect();
        assert_eq!(labels, ["nginx/plain", "keyward/alibaba_signature"]);
    }

    #[test]
    fn names_are_those_of_the_json_contract() {
        let names: Vec<_> = SUBJECTS.iter().map(|subject| subject.label()).collect();
        assert_eq!(
            names,
            [
                "nginx/plain",
                "nginx/api_key",
                "envoy/api_key",
                "keyward/plain",
                "keyward/api_key",
                "keyward/jwt_hs256",
                "keyward/jwt_es256",
                "keyward/alibaba_signature",
                "keyward/key_auth",
                "keyward/key_auth_ref",
                "envoy/wasm_noop",
                "keyward/wasm_noop"
            ]
        );
    }
}
