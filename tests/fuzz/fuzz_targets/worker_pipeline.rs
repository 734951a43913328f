#![no_main]

#[path = "../../../dataplane/tests/common/mod.rs"]
mod common;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    common::journey::run(data);
});
