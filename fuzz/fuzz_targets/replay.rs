//! The bytes are a replay file: reading it never panics, and what it reads prints to what reads the same.
#![no_main]

use hostshim::replay::Parsed;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(parsed) = Parsed::read(bytes) {
        let canonical = parsed.file.to_string();
        match Parsed::read(canonical.as_bytes()) {
            Ok(again) => assert_eq!(again.file.to_string(), canonical),
            Err(error) => panic!("the canonical form does not read back: {error}\n{canonical}"),
        }
    }
});
