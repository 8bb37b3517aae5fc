//! Malformed input for the unit tests of parsers.

extern crate std;
use std::vec::Vec;

/// How many inputs a parser gets.
const INPUTS: u32 = 50_000;

/// Calls `parser` with random bytes, and with `valid` cut off, lengthened and changed at a few places.
pub(crate) fn feed(valid: &[u8], mut parser: impl FnMut(&[u8])) {
    let mut state = 0x2545_f491_u32;
    let mut random = move || {
        // xorshift32
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as usize
    };
    for input in 0..INPUTS {
        let mut bytes: Vec<u8> = match input % 2 {
            0 => (0..random() % 96).map(|_| random() as u8).collect(),
            _ => valid.to_vec(),
        };
        if input % 4 == 1 {
            bytes.truncate(random() % (valid.len() + 1));
        }
        if input % 4 == 3 {
            bytes.resize(valid.len() + random() % 32, 0xff);
        }
        for _ in 0..random() % 4 {
            if !bytes.is_empty() {
                let at = random() % bytes.len();
                bytes[at] = random() as u8;
            }
        }
        parser(&bytes);
    }
}
