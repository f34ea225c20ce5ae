//! Guests written by hand: every import by name, a bump allocator, and a way to tell what a host function answered.

use std::fmt::Write as _;

/// Where the fixtures let host functions put a pointer and a length.
pub(crate) const PLACE: &str = "(i32.const 16) (i32.const 20)";

/// Every function of the ABI and of WASI that fixtures call: its short name, module, name and parameters.
const IMPORTS: &[(&str, &str, &str, usize)] = &[
    ("log", "env", "proxy_log", 3),
    ("get_log_level", "env", "proxy_get_log_level", 1),
    ("time", "env", "proxy_get_current_time_nanoseconds", 1),
    ("tick", "env", "proxy_set_tick_period_milliseconds", 1),
    ("effective", "env", "proxy_set_effective_context", 1),
    ("done", "env", "proxy_done", 0),
    ("continue", "env", "proxy_continue_stream", 1),
    ("close", "env", "proxy_close_stream", 1),
    ("reply", "env", "proxy_send_local_response", 8),
    ("map_size", "env", "proxy_get_header_map_size", 2),
    ("get_map", "env", "proxy_get_header_map_pairs", 3),
    ("set_map", "env", "proxy_set_header_map_pairs", 3),
    ("get", "env", "proxy_get_header_map_value", 5),
    ("add", "env", "proxy_add_header_map_value", 5),
    ("replace", "env", "proxy_replace_header_map_value", 5),
    ("remove", "env", "proxy_remove_header_map_value", 3),
    ("get_buffer", "env", "proxy_get_buffer_bytes", 5),
    ("buffer_status", "env", "proxy_get_buffer_status", 3),
    ("set_buffer", "env", "proxy_set_buffer_bytes", 5),
    ("get_property", "env", "proxy_get_property", 4),
    ("set_property", "env", "proxy_set_property", 4),
    ("http_call", "env", "proxy_http_call", 10),
    ("get_status", "env", "proxy_get_status", 3),
    ("foreign", "env", "proxy_call_foreign_function", 6),
    ("grpc_call", "env", "proxy_grpc_call", 12),
    ("grpc_stream", "env", "proxy_grpc_stream", 9),
    ("grpc_send", "env", "proxy_grpc_send", 4),
    ("grpc_cancel", "env", "proxy_grpc_cancel", 1),
    ("grpc_close", "env", "proxy_grpc_close", 1),
    ("get_shared", "env", "proxy_get_shared_data", 5),
    ("set_shared", "env", "proxy_set_shared_data", 5),
    ("register_queue", "env", "proxy_register_shared_queue", 3),
    ("resolve_queue", "env", "proxy_resolve_shared_queue", 5),
    ("enqueue", "env", "proxy_enqueue_shared_queue", 3),
    ("dequeue", "env", "proxy_dequeue_shared_queue", 3),
    ("define", "env", "proxy_define_metric", 4),
    ("get_metric", "env", "proxy_get_metric", 2),
    ("fd_write", "wasi_snapshot_preview1", "fd_write", 4),
    ("fd_read", "wasi_snapshot_preview1", "fd_read", 4),
    ("fdstat", "wasi_snapshot_preview1", "fd_fdstat_get", 2),
    ("random", "wasi_snapshot_preview1", "random_get", 2),
    ("environ_sizes", "wasi_snapshot_preview1", "environ_sizes_get", 2),
    ("args_sizes", "wasi_snapshot_preview1", "args_sizes_get", 2),
    ("prestat", "wasi_snapshot_preview1", "fd_prestat_get", 2),
];

/// Imports whose parameters are not all of 32 bits.
const WIDE_IMPORTS: &str = r#"
  (import "env" "proxy_record_metric" (func $record (param i32 i64) (result i32)))
  (import "env" "proxy_increment_metric" (func $increment (param i32 i64) (result i32)))
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
"#;

/// Texts begin here; below is room for answers, above 64 KiB is the allocator's.
const TEXTS: usize = 1024;

/// A guest under construction.
#[derive(Default)]
pub(crate) struct Guest {
    texts: Vec<u8>,
    functions: String,
}

impl Guest {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Puts bytes into the guest's memory; the answer is their address and length, as operands.
    pub(crate) fn text(&mut self, bytes: impl AsRef<[u8]>) -> String {
        let at = TEXTS + self.texts.len();
        self.texts.extend_from_slice(bytes.as_ref());
        format!("(i32.const {at}) (i32.const {})", bytes.as_ref().len())
    }

    /// Like `text`, for a header map.
    pub(crate) fn map(&mut self, pairs: &[(&str, &str)]) -> String {
        let pairs = pairs.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        self.text(keyward_wasm::pairs::encode(pairs))
    }

    /// Adds functions, as text.
    pub(crate) fn with(mut self, functions: &str) -> Self {
        self.functions.push_str(functions);
        self
    }

    /// Adds a callback: its parameters are `$a`, `$b`, …, its body as given.
    pub(crate) fn on(mut self, event: &str, body: &str) -> Self {
        let (parameters, result) = match event {
            "request_headers" | "request_body" | "response_headers" | "response_body" => (3, "(result i32)"),
            "request_trailers" | "response_trailers" | "configure" | "vm_start" => (2, "(result i32)"),
            "context_create" | "queue_ready" => (2, ""),
            "http_call_response" => (5, ""),
            "done" => (1, "(result i32)"),
            _ => (1, ""),
        };
        let names: String = ["$a", "$b", "$c", "$d", "$e"][..parameters]
            .iter()
            .map(|name| format!("(param {name} i32) "))
            .collect();
        let _ = writeln!(self.functions, "(func (export \"proxy_on_{event}\") {names}{result}\n{body})");
        self
    }

    /// Answers each request with what `question` (a status) and `PLACE` say.
    pub(crate) fn asking(self, question: &str) -> Self {
        self.on(
            "request_headers",
            &format!(
                "(call $tell {question} (i32.load (i32.const 16)) (i32.load (i32.const 20))) (i32.const 0)"
            ),
        )
    }

    pub(crate) fn build(&self) -> Vec<u8> {
        let mut imports = String::new();
        for (short, module, name, parameters) in IMPORTS {
            let parameters = "i32 ".repeat(*parameters);
            let _ = writeln!(
                imports,
                "(import \"{module}\" \"{name}\" (func ${short} (param {parameters}) (result i32)))"
            );
        }
        let mut texts = String::new();
        for byte in &self.texts {
            let _ = write!(texts, "\\{byte:02x}");
        }
        assert!(self.texts.len() < 60_000, "the allocator begins at 64 KiB");
        let text = format!(
            r#"(module {imports} {WIDE_IMPORTS}
  (memory (export "memory") 2)
  (data (i32.const {TEXTS}) "{texts}")
  (global $next (mut i32) (i32.const 65536))
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param $size i32) (result i32)
    (local $at i32)
    (local.set $at (global.get $next))
    (global.set $next (i32.add (global.get $next) (local.get $size)))
    (if (i32.gt_u (global.get $next) (i32.mul (memory.size) (i32.const 65536)))
      (then (drop (memory.grow (i32.add (i32.const 1) (i32.div_u (local.get $size) (i32.const 65536)))))))
    (local.get $at))
  ;; Answers with status 200 + what a host function said, and bytes.
  (func $tell (param $said i32) (param $at i32) (param $length i32)
    (drop (call $reply (i32.add (i32.const 200) (local.get $said)) (i32.const 0) (i32.const 0)
      (local.get $at) (local.get $length) (i32.const 0) (i32.const 0) (i32.const -1))))
  {}
)"#,
            self.functions
        );
        wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
    }
}

/// The imports whose parameters are all of 32 bits, and how many they have.
pub(crate) fn narrow_imports() -> impl Iterator<Item = (&'static str, usize)> {
    IMPORTS.iter().map(|(short, _, _, parameters)| (*short, *parameters))
}
