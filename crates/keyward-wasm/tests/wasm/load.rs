//! Which modules are taken, and what is said of the others.

use keyward_wasm::{Callbacks, Limits, LoadError};

use crate::guest::Guest;
use crate::run::host;

const ABI: &str = r#"(func (export "proxy_abi_version_0_2_0")) (memory (export "memory") 1)"#;

fn refused(module: &str) -> LoadError {
    refused_bytes(&wat::parse_str(format!("(module {module})")).unwrap())
}

fn refused_bytes(module: &[u8]) -> LoadError {
    host().load(module, &Limits::default()).unwrap_err()
}

#[test]
fn both_versions_of_the_abi_are_taken() {
    for version in ["0_2_0", "0_2_1"] {
        let module =
            format!(r#"(module (func (export "proxy_abi_version_{version}")) (memory (export "memory") 1))"#);
        assert!(host().load(&wat::parse_str(module).unwrap(), &Limits::default()).is_ok(), "{version}");
    }
}

#[test]
fn another_abi_or_none_is_refused() {
    let memory = r#"(memory (export "memory") 1)"#;
    assert!(matches!(refused(memory), LoadError::OtherAbi));
    let old = format!(r#"{memory} (func (export "proxy_abi_version_0_1_0"))"#);
    assert!(matches!(refused(&old), LoadError::OtherAbi));
}

#[test]
fn an_unknown_import_is_named() {
    let cases = [
        (r#"(import "env" "proxy_launch_rockets" (func))"#, "env", "proxy_launch_rockets"),
        (r#"(import "wasi_snapshot_preview1" "sock_open" (func))"#, "wasi_snapshot_preview1", "sock_open"),
        (r#"(import "env" "table" (table 1 funcref))"#, "env", "table"),
    ];
    for (import, from, what) in cases {
        let error = refused(&format!("{import} {ABI}"));
        assert!(
            matches!(&error, LoadError::UnknownImport { module, name } if module == from && name == what),
            "{error}"
        );
        assert_eq!(
            error.to_string(),
            format!("the module imports `{from}.{what}`, which does not exist here")
        );
    }
}

#[test]
fn an_import_in_another_form_is_refused() {
    let error = refused(&format!(r#"(import "env" "proxy_log" (func (param i32))) {ABI}"#));
    assert!(matches!(&error, LoadError::WrongImport(text) if text.contains("proxy_log")), "{error}");
}

#[test]
fn a_callback_in_another_form_is_refused() {
    for export in [
        r#"(func (export "proxy_on_request_headers") (param i32 i32) (result i32) i32.const 0)"#,
        r#"(func (export "proxy_on_request_headers") (param i32 i32 i64) (result i32) i32.const 0)"#,
        r#"(func (export "proxy_on_request_headers") (param i32 i32 i32))"#,
        r#"(global (export "proxy_on_request_headers") i32 (i32.const 0))"#,
    ] {
        let error = refused(&format!("{ABI} {export}"));
        assert!(
            matches!(&error, LoadError::WrongExport { name: "proxy_on_request_headers", .. }),
            "{export}: {error}"
        );
    }
}

#[test]
fn what_is_no_module_is_refused() {
    for bytes in [&b""[..], b"\0asm", b"(module)", b"\0asm\x01\0\0\0\xff\xff\xff\xff"] {
        assert!(matches!(refused_bytes(bytes), LoadError::Invalid(_)), "{bytes:?}");
    }
}

#[test]
fn a_module_cut_anywhere_is_refused_and_breaks_nothing() {
    let module = Guest::new().asking("(i32.const 0)").build();
    for length in (0..module.len()).step_by(7) {
        host().load(&module[..length], &Limits::default()).unwrap_err();
    }
}

#[test]
fn what_wants_too_much_from_the_start_is_refused() {
    let limits = Limits { module_bytes_max: 10, ..Limits::default() };
    let error = host().load(&[0; 11], &limits).unwrap_err();
    assert!(matches!(error, LoadError::TooLarge { bytes: 11, max: 10 }), "{error}");
    let marker = r#"(func (export "proxy_abi_version_0_2_0"))"#;
    let error = refused(&format!(r#"{marker} (memory (export "memory") 60000)"#));
    assert!(matches!(error, LoadError::TooMuch { of: "bytes of memory", .. }), "{error}");
    let error = refused(&format!("{ABI} (table 1000000000 funcref)"));
    assert!(matches!(error, LoadError::TooMuch { of: "elements in a table", .. }), "{error}");
    let error = refused(marker);
    assert!(matches!(error, LoadError::NoMemory), "{error}");
}

#[test]
fn what_the_host_does_not_offer_is_refused() {
    for more in ["(memory 1)", r#"(memory (export "big") i64 1)"#, "(memory 1 1 shared)"] {
        let error = refused(&format!("{ABI} {more}"));
        assert!(matches!(error, LoadError::Invalid(_)), "{more}: {error}");
    }
}

#[test]
fn a_plugin_tells_which_events_it_wants() {
    let guest = Guest::new().on("request_headers", "(i32.const 0)").on("response_body", "(i32.const 0)");
    let plugin = host().load(&guest.build(), &Limits::default()).unwrap();
    let wants = Callbacks { request_headers: true, response_body: true, ..Callbacks::default() };
    assert_eq!(plugin.callbacks(), wants);
}
