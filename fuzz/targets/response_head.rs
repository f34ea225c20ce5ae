//! An answer head that is accepted can be read in one way only.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| keyward_http::fuzzing::response_head(bytes));
