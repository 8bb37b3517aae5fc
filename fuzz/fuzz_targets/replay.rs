//! The bytes are a replay file. Parsing it never panics, and what was parsed prints to something that parses to the
//! same.
#![no_main]
#![feature(cfg_sanitize)]

use hostshim_counted::registry::Registry;
use hostshim_counted::replay::Parsed;
use libfuzzer_sys::fuzz_target;

// For the machine, which is not booted here, but is linked.
#[path = "../src/asan.rs"]
mod asan;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(parsed) = Parsed::read(bytes, Registry::kmod()) {
        let canonical = parsed.file.to_string();
        match Parsed::read(canonical.as_bytes(), Registry::kmod()) {
            Ok(again) => assert_eq!(again.file.to_string(), canonical),
            Err(error) => panic!("the canonical form does not read back: {error}\n{canonical}"),
        }
    }
});
