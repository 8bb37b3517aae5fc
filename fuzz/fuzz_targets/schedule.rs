//! The bytes choose the schedule of a scenario.
#![no_main]

use std::cell::RefCell;

use hostshim::Bytes;
use libfuzzer_sys::fuzz_target;
use rumplab_fuzz::{Bench, Subject};

rumplab_fuzz::untraced!();

thread_local! {
    static BENCH: RefCell<Bench> = {
        let subject = Subject::from_environment("xcall-early-count");
        RefCell::new(subject.bench(subject.cpus(), None))
    };
}

fuzz_target!(|input: &[u8]| {
    BENCH.with_borrow_mut(|bench| bench.run(&mut Bytes::new(input), None, input));
});
