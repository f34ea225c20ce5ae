//! Whatever both sides of a connection say, it ends well.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| keyward_http::fuzzing::connection(bytes));
