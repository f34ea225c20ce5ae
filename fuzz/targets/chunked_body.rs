//! A chunked body reads the same in whatever pieces it comes.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| keyward_http::fuzzing::chunked_body(bytes));
