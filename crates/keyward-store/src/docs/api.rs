//! An API's document: its settings.

use keyward_model::{
    Admits, ApiKind, ApiSettings, AppCodePlaces, CredentialKind, HmacAlgorithm, ParameterPlace,
    SignatureMode, SignaturePolicy, SignatureScheme, SystemParameter,
};
use serde::{Deserialize, Serialize};

use super::grant::OperationDoc;

#[derive(Serialize, Deserialize)]
struct Doc {
    kind: String,
    description: String,
    enabled: bool,
    hosts: Vec<String>,
    base_path: String,
    strip_base_path: bool,
    admits: Vec<String>,
    operations: Vec<OperationDoc>,
    signature: Signature,
    app_code_in_header: bool,
    app_code_in_query: bool,
    app_code_requires_tls: bool,
    stream_before_digest: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_staleness_s: Option<u32>,
    allowed_addresses: Vec<String>,
    system_parameters: Vec<Parameter>,
}

#[derive(Serialize, Deserialize)]
struct Signature {
    schemes: Vec<String>,
    algorithms: Vec<String>,
    strict: bool,
    window_s: u32,
    require_nonce: bool,
    require_timestamp: bool,
    require_body_digest: bool,
}

#[derive(Serialize, Deserialize)]
struct Parameter {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    header: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    query: Option<String>,
}

pub(crate) fn write(settings: &ApiSettings) -> String {
    super::write(&Doc {
        kind: settings.kind.as_str().to_owned(),
        description: settings.description.clone(),
        enabled: settings.enabled,
        hosts: super::texts(&settings.hosts),
        base_path: settings.base_path.to_string(),
        strip_base_path: settings.strip_base_path,
        admits: settings.admits.iter().map(|kind| kind.as_str().to_owned()).collect(),
        operations: settings.operations.iter().map(OperationDoc::from).collect(),
        signature: write_signature(&settings.signature),
        app_code_in_header: settings.app_code_in.header,
        app_code_in_query: settings.app_code_in.query,
        app_code_requires_tls: settings.app_code_requires_tls,
        stream_before_digest: settings.stream_before_digest,
        max_staleness_s: settings.max_staleness_s,
        allowed_addresses: super::texts(&settings.allowed_addresses),
        system_parameters: settings.system_parameters.iter().map(write_parameter).collect(),
    })
}

pub(crate) fn read(text: &str) -> Result<ApiSettings, String> {
    let doc: Doc = super::read(text)?;
    let kind = doc.kind.parse::<ApiKind>().map_err(|error| error.to_string())?;
    let admits = super::parse_all::<CredentialKind>(&doc.admits)?;
    Ok(ApiSettings {
        kind,
        description: doc.description,
        enabled: doc.enabled,
        hosts: super::parse_all(&doc.hosts)?,
        base_path: super::parse(&doc.base_path)?,
        strip_base_path: doc.strip_base_path,
        admits: Admits::of(admits).map_err(|error| error.to_string())?,
        operations: doc.operations.iter().map(OperationDoc::read).collect::<Result<_, _>>()?,
        signature: read_signature(&doc.signature)?,
        app_code_in: AppCodePlaces { header: doc.app_code_in_header, query: doc.app_code_in_query },
        app_code_requires_tls: doc.app_code_requires_tls,
        stream_before_digest: doc.stream_before_digest,
        max_staleness_s: doc.max_staleness_s,
        allowed_addresses: super::networks(&doc.allowed_addresses)?,
        system_parameters: doc.system_parameters.iter().map(read_parameter).collect::<Result<_, _>>()?,
    })
}

/// How the switch stands in the text of [`write`]; no other field is called so.
pub(crate) fn enabled_needle(enabled: bool) -> String {
    format!("\"enabled\":{enabled}")
}

/// How a kind stands in the text of [`write`], whatever stands around it.
pub(crate) fn kind_needle(kind: ApiKind) -> String {
    format!("\"kind\":\"{}\"", kind.as_str())
}

fn write_signature(policy: &SignaturePolicy) -> Signature {
    Signature {
        schemes: policy.schemes.iter().map(|scheme| scheme.as_str().to_owned()).collect(),
        algorithms: policy.algorithms.iter().map(|algorithm| algorithm.as_str().to_owned()).collect(),
        strict: policy.mode == SignatureMode::Strict,
        window_s: policy.window_s,
        require_nonce: policy.require_nonce,
        require_timestamp: policy.require_timestamp,
        require_body_digest: policy.require_body_digest,
    }
}

fn read_signature(doc: &Signature) -> Result<SignaturePolicy, String> {
    Ok(SignaturePolicy {
        schemes: super::parse_all::<SignatureScheme>(&doc.schemes)?,
        algorithms: super::parse_all::<HmacAlgorithm>(&doc.algorithms)?,
        mode: if doc.strict { SignatureMode::Strict } else { SignatureMode::Compatible },
        window_s: doc.window_s,
        require_nonce: doc.require_nonce,
        require_timestamp: doc.require_timestamp,
        require_body_digest: doc.require_body_digest,
    })
}

fn write_parameter(parameter: &SystemParameter) -> Parameter {
    let (header, query) = match &parameter.place {
        ParameterPlace::Header(name) => (Some(name.to_string()), None),
        ParameterPlace::Query(name) => (None, Some(name.to_string())),
    };
    Parameter { name: parameter.name.as_str().to_owned(), header, query }
}

fn read_parameter(doc: &Parameter) -> Result<SystemParameter, String> {
    let place = match (&doc.header, &doc.query) {
        (Some(header), None) => ParameterPlace::Header(super::parse(header)?),
        (None, Some(query)) => ParameterPlace::Query(query.as_str().into()),
        _ => return Err(format!("the system parameter `{}` must have one place", doc.name)),
    };
    Ok(SystemParameter { name: super::parse(&doc.name)?, place })
}
