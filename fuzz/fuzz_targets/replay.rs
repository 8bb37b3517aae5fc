//! The bytes are a replay file: reading it never panics, and what it reads prints to what reads the same.
#![no_main]
#![feature(cfg_sanitize)]

use hostshim_counted::replay::Parsed;
use libfuzzer_sys::fuzz_target;

// For the machine, which nobody boots here, and which is linked all the same.
#[path = "../src/asan.rs"]
mod asan;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(parsed) = Parsed::read(bytes) {
        let canonical = parsed.file.to_string();
        match Parsed::read(canonical.as_bytes()) {
            Ok(again) => assert_eq!(again.file.to_string(), canonical),
            Err(error) => panic!("the canonical form does not read back: {error}\n{canonical}"),
        }
    }
});
