//! Modules: WebAssembly that was uploaded under a name, so that plugins can be made of it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::{AccountId, BuiltIn, ModuleId, Name, ParseError, ServiceId};

/// WebAssembly that was uploaded under a name. A [`Plugin`](crate::Plugin) of the same account whose kind is that name runs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// Its id.
    pub id: ModuleId,
    /// Whose it is.
    pub account: AccountId,
    /// Its name, unique in the account; none of a built-in plugin.
    pub name: Name,
    /// The services that it may call out to, by the names that it calls them by.
    pub services: Vec<(Name, ServiceId)>,
    /// Everything that refers to no other object.
    pub settings: ModuleSettings,
}

/// A module as a world file or an operator describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleSpec {
    /// Name of its account.
    pub account: Name,
    /// Its name.
    pub name: Name,
    /// The services of the account that it may call out to.
    pub services: Vec<Name>,
    /// Where its code is.
    pub wasm: ModuleSource,
    /// For people.
    pub description: String,
    /// The plugins of a disabled module close what they are bound to.
    pub enabled: bool,
    /// What becomes of a call where it fails.
    pub on_failure: OnFailure,
    /// What it is asked about besides the heads of requests.
    pub sees: ModuleSees,
    /// What it may use.
    pub limits: ModuleLimits,
}

/// Where the code of a module is that somebody describes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModuleSource {
    /// Here.
    Code(ModuleCode),
    /// In the store, under a module of the account: its SHA-256, in 64 lower-case hexadecimal digits.
    Stored(Box<str>),
    /// In a file that was not read yet.
    File(Box<str>),
    /// Where it is stored already.
    Kept,
}

/// The part of a module that refers to no other object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleSettings {
    /// The WebAssembly itself.
    pub wasm: ModuleCode,
    /// For people.
    pub description: String,
    /// The plugins of a disabled module close what they are bound to.
    pub enabled: bool,
    /// What becomes of a call where it fails.
    pub on_failure: OnFailure,
    /// What it is asked about besides the heads of requests.
    pub sees: ModuleSees,
    /// What it may use.
    pub limits: ModuleLimits,
}

impl Module {
    /// Most services that one module may call out to.
    pub const SERVICES_MAX: usize = 16;

    /// May a module be called so?
    ///
    /// # Errors
    /// A built-in plugin has this name, so that nothing could refer to the module.
    pub fn check_name(name: &Name) -> Result<(), ParseError> {
        match BuiltIn::named(name.as_str()) {
            Some(_) => Err(ParseError::new(format!("`{name}` is a built-in plugin: choose another name"))),
            None => Ok(()),
        }
    }

    /// May a module call out to services by these names?
    ///
    /// # Errors
    /// There are too many, or two are the same.
    pub fn check_services<'n>(names: impl IntoIterator<Item = &'n Name>) -> Result<(), ParseError> {
        let mut seen = std::collections::BTreeSet::new();
        for name in names {
            if !seen.insert(name) {
                return Err(ParseError::new(format!("service `{name}` is named twice: keep one")));
            }
        }
        match seen.len() {
            0..=Self::SERVICES_MAX => Ok(()),
            count => Err(ParseError::new(format!(
                "a module calls out to at most {} services, not {count}",
                Self::SERVICES_MAX
            ))),
        }
    }
}

impl ModuleSettings {
    /// Settings of this code, the rest as by default.
    pub fn new(wasm: ModuleCode) -> Self {
        Self {
            wasm,
            description: String::new(),
            enabled: true,
            on_failure: OnFailure::default(),
            sees: ModuleSees::default(),
            limits: ModuleLimits::default(),
        }
    }
}

/// A module of WebAssembly, by its looks: whether it can run is found out by whoever runs it. Cloning shares the bytes.
#[derive(Clone)]
pub struct ModuleCode {
    bytes: Arc<[u8]>,
    sha256: Arc<str>,
}

impl ModuleCode {
    /// Largest, in bytes.
    pub const LENGTH_MAX: usize = 8 * 1024 * 1024;

    /// What every module of version 1 begins with.
    const MAGIC: &[u8] = b"\0asm\x01\0\0\0";
    /// What a component begins with: the same, of another layer.
    const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

    /// Takes over a module's bytes.
    ///
    /// # Errors
    /// They are too many, or no module of WebAssembly in its binary form.
    pub fn parse(bytes: impl Into<Arc<[u8]>>) -> Result<Self, ParseError> {
        let bytes = bytes.into();
        if bytes.len() > Self::LENGTH_MAX {
            return Err(ParseError::new(format!(
                "the module has {} bytes: at most {}; build it with optimisation, and strip it",
                bytes.len(),
                Self::LENGTH_MAX
            )));
        }
        if bytes.starts_with(Self::COMPONENT) {
            return Err(ParseError::new(
                "this is a component: build a module, for a target like wasm32-wasip1",
            ));
        }
        if !bytes.starts_with(Self::MAGIC) {
            return Err(ParseError::new(
                "this is no WebAssembly: give a module in its binary form, a .wasm file",
            ));
        }
        let sha256 = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        Ok(Self { bytes, sha256: sha256.into() })
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Their SHA-256, in 64 lower-case hexadecimal digits.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// How many there are.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }
}

impl PartialEq for ModuleCode {
    fn eq(&self, other: &Self) -> bool {
        self.sha256 == other.sha256
    }
}

impl Eq for ModuleCode {}

impl fmt::Debug for ModuleCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ModuleCode({} bytes, sha256 {})", self.size(), self.sha256)
    }
}

/// What becomes of a call where a module fails: traps, takes too much, or cannot be started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OnFailure {
    /// It is refused.
    #[default]
    Refuse,
    /// It goes on as if the plugin were not there.
    Skip,
}

impl OnFailure {
    /// Both.
    pub const ALL: &'static [Self] = &[Self::Refuse, Self::Skip];

    /// The name in world files and in the admin API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Skip => "skip",
        }
    }
}

impl FromStr for OnFailure {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let known = Self::ALL.iter().copied().find(|one| one.as_str() == text);
        known.ok_or_else(|| {
            ParseError::new(format!(
                "`{}` is not what may become of a call: use refuse or skip",
                text.escape_debug()
            ))
        })
    }
}

impl fmt::Display for OnFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a module is asked about besides the heads of requests. Most SDKs write every callback, so it cannot be told by the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ModuleSees {
    /// Bodies of requests. They are held until they are complete.
    pub request_body: bool,
    /// Heads of answers.
    pub response_head: bool,
    /// Bodies of answers, and their heads with them. They are held until they are complete.
    pub response_body: bool,
}

impl Default for ModuleSees {
    fn default() -> Self {
        Self { request_body: false, response_head: true, response_body: false }
    }
}

/// What each plugin of a module may use on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ModuleLimits {
    /// Memory of one worker, in bytes.
    pub memory_bytes: u64,
    /// Instructions (roughly) of one callback.
    pub fuel: u64,
    /// Time of one callback, in milliseconds.
    pub time_ms: u32,
    /// Largest body that it sees, or writes, in bytes.
    pub body_bytes: u32,
    /// Threads, each with an instance of its own.
    pub workers: u16,
}

impl Default for ModuleLimits {
    fn default() -> Self {
        Self { memory_bytes: 64 << 20, fuel: 500_000_000, time_ms: 500, body_bytes: 1 << 20, workers: 2 }
    }
}

impl ModuleLimits {
    /// Least and most of [`ModuleLimits::memory_bytes`].
    pub const MEMORY_BYTES: (u64, u64) = (64 << 10, 256 << 20);
    /// Least and most of [`ModuleLimits::fuel`].
    pub const FUEL: (u64, u64) = (10_000, 100_000_000_000);
    /// Least and most of [`ModuleLimits::time_ms`].
    pub const TIME_MS: (u64, u64) = (1, 10_000);
    /// Least and most of [`ModuleLimits::body_bytes`].
    pub const BODY_BYTES: (u64, u64) = (1, 32 << 20);
    /// Least and most of [`ModuleLimits::workers`].
    pub const WORKERS: (u64, u64) = (1, 8);

    /// Each limit: its name, what it is, and its least and most.
    pub fn each(&self) -> [(&'static str, u64, (u64, u64)); 5] {
        [
            ("memory_bytes", self.memory_bytes, Self::MEMORY_BYTES),
            ("fuel", self.fuel, Self::FUEL),
            ("time_ms", self.time_ms.into(), Self::TIME_MS),
            ("body_bytes", self.body_bytes.into(), Self::BODY_BYTES),
            ("workers", self.workers.into(), Self::WORKERS),
        ]
    }

    /// Are they such as a node keeps?
    ///
    /// # Errors
    /// The first that is too small or too large.
    pub fn check(&self) -> Result<(), ParseError> {
        let mut each = self.each().into_iter();
        let wrong = each.find(|(_, value, (least, most))| !(least..=most).contains(&value));
        match wrong {
            Some((name, value, (least, most))) => {
                Err(ParseError::new(format!("`{name}` is {value}: it must be from {least} to {most}")))
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(rest: &[u8]) -> Vec<u8> {
        [ModuleCode::MAGIC, rest].concat()
    }

    #[test]
    fn code_is_known_by_its_digest_and_shown_by_nothing_else() {
        let parsed = ModuleCode::parse(code(b"\x01\x02")).unwrap();
        assert_eq!(parsed.size(), 10);
        assert_eq!(parsed.sha256().len(), 64);
        assert_eq!(
            format!("{parsed:?}"),
            format!("ModuleCode(10 bytes, sha256 {})", parsed.sha256()),
            "no byte of it is shown"
        );
        assert_eq!(parsed, ModuleCode::parse(code(b"\x01\x02")).unwrap());
        assert_ne!(parsed, ModuleCode::parse(code(b"\x01\x03")).unwrap());
        let empty = ModuleCode::parse(code(b"")).unwrap();
        assert_eq!(empty.sha256(), "93a44bbb96c751218e4c00d479e4c14358122a389acca16205b1e4d0dc5f9476");
    }

    #[test]
    fn what_is_no_module_is_refused_with_what_would_be_one() {
        for (bytes, why) in [
            (Vec::new(), ".wasm"),
            (b"(module)".to_vec(), ".wasm"),
            (b"\0asm\x02\0\0\0".to_vec(), ".wasm"),
            (b"\0asm\x0d\0\x01\0".to_vec(), "component"),
            (code(&vec![0; ModuleCode::LENGTH_MAX]), "at most 8388608"),
        ] {
            let error = ModuleCode::parse(bytes).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn limits_have_bounds_and_the_default_is_within() {
        let fine = ModuleLimits::default();
        assert_eq!(fine.check(), Ok(()));
        for (wrong, name) in [
            (ModuleLimits { memory_bytes: 1, ..fine }, "memory_bytes"),
            (ModuleLimits { fuel: 0, ..fine }, "fuel"),
            (ModuleLimits { time_ms: 60_000, ..fine }, "time_ms"),
            (ModuleLimits { body_bytes: 0, ..fine }, "body_bytes"),
            (ModuleLimits { workers: 9, ..fine }, "workers"),
        ] {
            assert!(wrong.check().unwrap_err().to_string().contains(name));
        }
    }

    #[test]
    fn a_module_has_no_name_of_a_built_in() {
        assert!(Module::check_name(&"cors".parse().unwrap()).is_err());
        assert!(Module::check_name(&"hello-keyward".parse().unwrap()).is_ok());
        let services = |count: usize| -> Vec<Name> {
            (0..count).map(|number| format!("s{number}").parse().unwrap()).collect()
        };
        assert_eq!(Module::check_services(&services(16)), Ok(()));
        assert!(Module::check_services(&services(17)).is_err());
        assert!(Module::check_services(services(2).iter().chain(&services(1))).is_err());
        assert_eq!("skip".parse(), Ok(OnFailure::Skip));
        assert!("ignore".parse::<OnFailure>().is_err());
    }
}
