//! The bytes are a file of marks. It is read, or refused with the line that is wrong.
#![no_main]
#![feature(cfg_sanitize)]

use hostshim_counted::c::check_marks;
use libfuzzer_sys::fuzz_target;

// For the machine, which is not booted here, but is linked.
#[path = "../src/asan.rs"]
mod asan;

fuzz_target!(|text: &str| {
    if let Err(why) = check_marks(text) {
        let line = why.strip_prefix("marks:").and_then(|rest| rest.split(':').next());
        let line = line.and_then(|line| line.parse::<usize>().ok());
        assert!(
            line.is_some_and(|line| (1..=text.lines().count()).contains(&line)),
            "no line of the file is named: {why}"
        );
    }
});
