//! Modules: WebAssembly that was uploaded, so that plugins can be made of it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyward_model::{
    Module as Model, ModuleCode, ModuleLimits, ModuleSees, ModuleSource, ModuleSpec, Name, OnFailure,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::forms as form;
use crate::read::{Item, Shape, flag, parse};
use crate::text::{self, DESCRIPTION_MAX};

/// A module, as a world file and the admin API describe it.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Module {
    /// Its account.
    #[schemars(default = "text::default_account", with = "form::Name")]
    pub account: String,
    /// Its name, unique in the account; it stays, and no built-in plugin has it.
    #[schemars(with = "form::Name")]
    pub name: String,
    /// For people.
    #[serde(default)]
    #[schemars(default, with = "form::Prose")]
    pub description: String,
    /// The plugins of a disabled module close what they are bound to.
    #[schemars(default = "form::yes")]
    pub enabled: bool,
    /// Its code; absent: the stored one is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wasm: Option<Wasm>,
    /// What becomes of a call where it traps, takes too much or cannot be started: `refuse` or `skip`.
    #[schemars(default = "refuse", with = "form::OnFailure")]
    pub on_failure: String,
    /// What it is asked about besides the heads of requests.
    #[schemars(default)]
    pub sees: Sees,
    /// Names of the services that it may call out to, 16 at most.
    #[serde(default)]
    #[schemars(default, with = "Vec<form::Name>")]
    pub services: Vec<String>,
    /// What each plugin of it may use on a node.
    #[schemars(default)]
    pub limits: WasmLimits,
}

/// The code of a module, by one of these. Shown is the digest.
#[derive(Clone, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Wasm {
    /// A file, read where a world file is applied; nowhere else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<form::Word>")]
    pub file: Option<String>,
    /// The code itself, at most 8 MiB before it is encoded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<form::Base64>")]
    pub base64: Option<String>,
    /// The SHA-256 of what is stored under this name, which is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<form::Sha256>")]
    pub sha256: Option<String>,
}

impl std::fmt::Debug for Wasm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wasm").field("file", &self.file).field("sha256", &self.sha256).finish_non_exhaustive()
    }
}

/// What a module is asked about besides the heads of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Sees {
    /// Bodies of requests, held until they are complete.
    #[schemars(default)]
    pub request_body: bool,
    /// Heads of answers.
    #[schemars(default = "form::yes")]
    pub response_head: bool,
    /// Bodies of answers, held until they are complete.
    #[schemars(default)]
    pub response_body: bool,
}

/// What each plugin of a module may use on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct WasmLimits {
    /// Memory of one worker, in bytes.
    #[schemars(default = "memory_bytes", range(min = 65_536, max = 268_435_456))]
    pub memory_bytes: u64,
    /// Instructions (roughly) of one callback.
    #[schemars(default = "fuel", range(min = 10_000, max = 100_000_000_000u64))]
    pub fuel: u64,
    /// Time of one callback, in milliseconds.
    #[schemars(default = "time_ms", range(min = 1, max = 10_000))]
    pub time_ms: u32,
    /// Largest body that it sees, or writes, in bytes.
    #[schemars(default = "body_bytes", range(min = 1, max = 33_554_432))]
    pub body_bytes: u32,
    /// Threads, each with an instance of its own.
    #[schemars(default = "workers", range(min = 1, max = 8))]
    pub workers: u16,
}

impl Default for Sees {
    fn default() -> Self {
        let ModuleSees { request_body, response_head, response_body } = ModuleSees::default();
        Self { request_body, response_head, response_body }
    }
}

impl From<ModuleLimits> for WasmLimits {
    fn from(limits: ModuleLimits) -> Self {
        let ModuleLimits { memory_bytes, fuel, time_ms, body_bytes, workers } = limits;
        Self { memory_bytes, fuel, time_ms, body_bytes, workers }
    }
}

impl Default for WasmLimits {
    fn default() -> Self {
        ModuleLimits::default().into()
    }
}

fn refuse() -> String {
    OnFailure::Refuse.to_string()
}

fn memory_bytes() -> u64 {
    ModuleLimits::default().memory_bytes
}

fn fuel() -> u64 {
    ModuleLimits::default().fuel
}

fn time_ms() -> u32 {
    ModuleLimits::default().time_ms
}

fn body_bytes() -> u32 {
    ModuleLimits::default().body_bytes
}

fn workers() -> u16 {
    ModuleLimits::default().workers
}

const SHAPE: Shape = Shape {
    noun: "a module",
    allowed: &[
        "account",
        "name",
        "description",
        "enabled",
        "wasm",
        "on_failure",
        "sees",
        "services",
        "limits",
    ],
    later: &[],
};

const WASM: Shape =
    Shape { noun: "the code of a module", allowed: &["file", "base64", "sha256"], later: &[] };

const SEES: Shape = Shape {
    noun: "what a module sees",
    allowed: &["request_body", "response_head", "response_body"],
    later: &[],
};

const LIMITS: Shape = Shape {
    noun: "the limits of a module",
    allowed: &["memory_bytes", "fuel", "time_ms", "body_bytes", "workers"],
    later: &[],
};

pub(crate) fn read(item: &Item<'_>) -> Option<ModuleSpec> {
    let fields = item.fields(&SHAPE)?;
    let account = text::account(&fields);
    let name = fields.required("name", read_name);
    let description = fields.or("description", String::new(), |item| item.prose(DESCRIPTION_MAX));
    let enabled = fields.or("enabled", true, flag);
    let wasm = fields.or("wasm", ModuleSource::Kept, read_wasm);
    let on_failure = fields.or("on_failure", OnFailure::default(), parse);
    let sees = fields.or("sees", ModuleSees::default(), read_sees);
    let services = fields.or("services", Vec::new(), read_services);
    let limits = fields.or("limits", ModuleLimits::default(), read_limits);
    Some(ModuleSpec {
        account: account?,
        name: name?,
        services: services?,
        wasm: wasm?,
        description: description?,
        enabled: enabled?,
        on_failure: on_failure?,
        sees: sees?,
        limits: limits?,
    })
}

fn read_name(item: &Item<'_>) -> Option<Name> {
    let name: Name = parse(item)?;
    match Model::check_name(&name) {
        Ok(()) => Some(name),
        Err(error) => item.wrong(error),
    }
}

fn read_wasm(item: &Item<'_>) -> Option<ModuleSource> {
    let fields = item.fields(&WASM)?;
    let given = ["file", "base64", "sha256"].into_iter().filter(|name| fields.has(name)).collect::<Vec<_>>();
    match given.as_slice() {
        ["file"] => fields.required("file", |item| match item.prose(4_096)? {
            path if path.is_empty() => item.wrong("must be the path of a .wasm file"),
            path => Some(ModuleSource::File(path.into())),
        }),
        ["base64"] => fields.required("base64", read_code),
        ["sha256"] => fields.required("sha256", |item| {
            let text = item.text()?;
            let is_digest = text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
            match is_digest {
                true => Some(ModuleSource::Stored(text.into())),
                false => item.wrong("must be a SHA-256: 64 lower-case hexadecimal digits"),
            }
        }),
        _ => item.wrong("must name one of file, base64 and sha256"),
    }
}

fn read_code(item: &Item<'_>) -> Option<ModuleSource> {
    let text = item.text()?;
    let Ok(bytes) = STANDARD.decode(text.as_bytes()) else {
        return item.wrong("is not base64, with its padding and without blanks");
    };
    match ModuleCode::parse(bytes) {
        Ok(code) => Some(ModuleSource::Code(code)),
        Err(error) => item.wrong(error),
    }
}

fn read_sees(item: &Item<'_>) -> Option<ModuleSees> {
    let fields = item.fields(&SEES)?;
    let default = ModuleSees::default();
    let request_body = fields.or("request_body", default.request_body, flag);
    let response_head = fields.or("response_head", default.response_head, flag);
    let response_body = fields.or("response_body", default.response_body, flag);
    Some(ModuleSees {
        request_body: request_body?,
        response_head: response_head?,
        response_body: response_body?,
    })
}

fn read_services(item: &Item<'_>) -> Option<Vec<Name>> {
    let services: Vec<Name> = item.list(parse)?;
    match Model::check_services(&services) {
        Ok(()) => Some(services),
        Err(error) => item.wrong(error),
    }
}

fn read_limits(item: &Item<'_>) -> Option<ModuleLimits> {
    let fields = item.fields(&LIMITS)?;
    let default = ModuleLimits::default();
    let number = |name: &str, default: u64, (least, most): (u64, u64)| {
        fields.or(name, default, |item| item.number(least..=most))
    };
    let memory_bytes = number("memory_bytes", default.memory_bytes, ModuleLimits::MEMORY_BYTES);
    let fuel = number("fuel", default.fuel, ModuleLimits::FUEL);
    let time_ms = number("time_ms", default.time_ms.into(), ModuleLimits::TIME_MS);
    let body_bytes = number("body_bytes", default.body_bytes.into(), ModuleLimits::BODY_BYTES);
    let workers = number("workers", default.workers.into(), ModuleLimits::WORKERS);
    Some(ModuleLimits {
        memory_bytes: memory_bytes?,
        fuel: fuel?,
        time_ms: u32::try_from(time_ms?).unwrap_or(default.time_ms),
        body_bytes: u32::try_from(body_bytes?).unwrap_or(default.body_bytes),
        workers: u16::try_from(workers?).unwrap_or(default.workers),
    })
}

/// Puts what files hold in the places of their names.
pub(crate) fn read_file(
    spec: &mut ModuleSpec,
    read: &dyn Fn(&str) -> Result<Vec<u8>, String>,
) -> Result<(), String> {
    let ModuleSource::File(path) = &spec.wasm else { return Ok(()) };
    let bytes = read(path)?;
    spec.wasm = ModuleCode::parse(bytes).map(ModuleSource::Code).map_err(|error| error.to_string())?;
    Ok(())
}

impl From<&ModuleSpec> for Module {
    fn from(spec: &ModuleSpec) -> Self {
        let ModuleSees { request_body, response_head, response_body } = spec.sees;
        let wasm = match &spec.wasm {
            ModuleSource::Kept => None,
            ModuleSource::Code(code) => {
                Some(Wasm { base64: Some(STANDARD.encode(code.bytes())), ..Wasm::default() })
            }
            ModuleSource::Stored(sha256) => {
                Some(Wasm { sha256: Some(sha256.to_string()), ..Wasm::default() })
            }
            ModuleSource::File(path) => Some(Wasm { file: Some(path.to_string()), ..Wasm::default() }),
        };
        Self {
            account: spec.account.to_string(),
            name: spec.name.to_string(),
            description: spec.description.clone(),
            enabled: spec.enabled,
            wasm,
            on_failure: spec.on_failure.to_string(),
            sees: Sees { request_body, response_head, response_body },
            services: spec.services.iter().map(ToString::to_string).collect(),
            limits: spec.limits.into(),
        }
    }
}
