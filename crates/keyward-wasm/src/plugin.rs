//! A module that was checked and compiled.

use std::sync::Arc;

use wasmtime::{ExternType, InstancePre, Module, UnknownImportError, ValType};

use crate::host::HostShared;
use crate::limits::Limits;
use crate::running::{RunningPlugin, Start, StartError};
use crate::state::State;

/// A compiled plugin, of which any number may run.
#[derive(Clone)]
pub struct Plugin {
    pub(crate) host: Arc<HostShared>,
    pub(crate) instances: InstancePre<State>,
    callbacks: Callbacks,
}

/// Which events a plugin wants to hear of. What it has no callback for need not be sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Callbacks {
    /// `proxy_on_request_headers`
    pub request_headers: bool,
    /// `proxy_on_request_body`
    pub request_body: bool,
    /// `proxy_on_request_trailers`
    pub request_trailers: bool,
    /// `proxy_on_response_headers`
    pub response_headers: bool,
    /// `proxy_on_response_body`
    pub response_body: bool,
    /// `proxy_on_response_trailers`
    pub response_trailers: bool,
}

/// What is wrong with a module.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file is too large.
    #[error("the module has {bytes} bytes; it may have {max}")]
    TooLarge {
        /// Size of the file.
        bytes: usize,
        /// The bound.
        max: usize,
    },
    /// The bytes are no valid module, or it wants something of WebAssembly that the host does not offer.
    #[error("this is no WebAssembly module that can run here: {0}")]
    Invalid(String),
    /// The module does not say that it speaks an ABI that the host speaks.
    #[error(
        "the module exports neither `proxy_abi_version_0_2_0` nor `proxy_abi_version_0_2_1`; build it with an SDK for proxy-wasm 0.2"
    )]
    OtherAbi,
    /// The module imports what the host does not have.
    #[error("the module imports `{module}.{name}`, which does not exist here")]
    UnknownImport {
        /// Where it is imported from.
        module: String,
        /// The import's name.
        name: String,
    },
    /// The module imports a function of the host with other parameters.
    #[error("the module imports a function in another form than the ABI's: {0}")]
    WrongImport(String),
    /// The module exports a callback with other parameters.
    #[error("the module exports `{name}` in another form than the ABI's, which is {expected}")]
    WrongExport {
        /// The export's name.
        name: &'static str,
        /// What it should be.
        expected: String,
    },
    /// The module has no memory named `memory`.
    #[error("the module exports no memory named `memory`")]
    NoMemory,
    /// The module wants more memory or larger tables from the start than it may have.
    #[error("the module wants {wants} {of} from the start; it may have {max}")]
    TooMuch {
        /// How much it wants.
        wants: u64,
        /// Of what.
        of: &'static str,
        /// The bound.
        max: u64,
    },
}

impl Plugin {
    pub(crate) fn load(host: Arc<HostShared>, bytes: &[u8], limits: &Limits) -> Result<Self, LoadError> {
        if bytes.len() > limits.module_bytes_max {
            return Err(LoadError::TooLarge { bytes: bytes.len(), max: limits.module_bytes_max });
        }
        let module = Module::from_binary(&host.engine, bytes)
            .map_err(|error| LoadError::Invalid(error.root_cause().to_string()))?;
        check_exports(&module)?;
        check_room(&module, limits)?;
        let instances = host.linker.instantiate_pre(&module).map_err(|error| wrong_import(&error))?;
        let has = |name| module.get_export(name).is_some();
        let callbacks = Callbacks {
            request_headers: has("proxy_on_request_headers"),
            request_body: has("proxy_on_request_body"),
            request_trailers: has("proxy_on_request_trailers"),
            response_headers: has("proxy_on_response_headers"),
            response_body: has("proxy_on_response_body"),
            response_trailers: has("proxy_on_response_trailers"),
        };
        Ok(Self { host, instances, callbacks })
    }

    /// Which events it wants to hear of.
    pub fn callbacks(&self) -> Callbacks {
        self.callbacks
    }

    /// Starts it on threads of its own and waits until every one of them is ready: up to seconds.
    ///
    /// # Errors
    /// [`StartError`] if it traps, or refuses its configuration.
    pub fn start(&self, start: Start) -> Result<RunningPlugin, StartError> {
        RunningPlugin::start(self, start)
    }
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plugin").field("callbacks", &self.callbacks).finish_non_exhaustive()
    }
}

/// Functions that the host calls: how many numbers they take, and whether they answer one.
const CALLED: &[(&str, usize, bool)] = &[
    ("_initialize", 0, false),
    ("_start", 0, false),
    ("main", 2, true),
    ("proxy_on_memory_allocate", 1, true),
    ("malloc", 1, true),
    ("proxy_on_context_create", 2, false),
    ("proxy_on_vm_start", 2, true),
    ("proxy_on_configure", 2, true),
    ("proxy_on_tick", 1, false),
    ("proxy_on_queue_ready", 2, false),
    ("proxy_on_request_headers", 3, true),
    ("proxy_on_request_body", 3, true),
    ("proxy_on_request_trailers", 2, true),
    ("proxy_on_response_headers", 3, true),
    ("proxy_on_response_body", 3, true),
    ("proxy_on_response_trailers", 2, true),
    ("proxy_on_http_call_response", 5, false),
    ("proxy_on_done", 1, true),
    ("proxy_on_log", 1, false),
    ("proxy_on_delete", 1, false),
];

fn check_exports(module: &Module) -> Result<(), LoadError> {
    let versions = ["proxy_abi_version_0_2_0", "proxy_abi_version_0_2_1"];
    if !versions.iter().any(|name| matches!(module.get_export(name), Some(ExternType::Func(_)))) {
        return Err(LoadError::OtherAbi);
    }
    if !matches!(module.get_export("memory"), Some(ExternType::Memory(_))) {
        return Err(LoadError::NoMemory);
    }
    for (name, parameters, answers) in CALLED {
        let fits = module.get_export(name).is_none_or(|export| fits(&export, *parameters, *answers));
        if !fits {
            let answer = if *answers { "one i32" } else { "nothing" };
            return Err(LoadError::WrongExport {
                name,
                expected: format!("a function of {parameters} i32 that answers {answer}"),
            });
        }
    }
    Ok(())
}

fn fits(export: &ExternType, parameters: usize, answers: bool) -> bool {
    let ExternType::Func(function) = export else { return false };
    let numbers = |mut types: Box<dyn Iterator<Item = ValType> + '_>| types.all(|kind| kind.is_i32());
    function.params().len() == parameters
        && function.results().len() == usize::from(answers)
        && numbers(Box::new(function.params()))
        && numbers(Box::new(function.results()))
}

fn check_room(module: &Module, limits: &Limits) -> Result<(), LoadError> {
    let wants = module.resources_required();
    let number = |of: usize| u64::try_from(of).unwrap_or(u64::MAX);
    let memory = wants.max_initial_memory_size.unwrap_or(0).saturating_mul(64 << 10);
    let table = wants.max_initial_table_size.unwrap_or(0);
    for (wants, of, max) in [
        (memory, "bytes of memory", number(limits.memory_bytes_max)),
        (table, "elements in a table", number(limits.table_elements_max)),
    ] {
        if wants > max {
            return Err(LoadError::TooMuch { wants, of, max });
        }
    }
    Ok(())
}

fn wrong_import(error: &wasmtime::Error) -> LoadError {
    match error.downcast_ref::<UnknownImportError>() {
        Some(unknown) => {
            LoadError::UnknownImport { module: unknown.module().to_owned(), name: unknown.name().to_owned() }
        }
        None => LoadError::WrongImport(error.to_string()),
    }
}
