//! The bytes choose the schedule of a scenario.
#![no_main]

use std::cell::RefCell;

use hostshim::Bytes;
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use rumplab_fuzz::{Bench, Case, Subject};

thread_local! {
    static BENCH: RefCell<Bench> = {
        let subject = Subject::from_environment("xcall-early-count");
        RefCell::new(subject.bench(subject.cpus(), None))
    };
}

fuzz_target!(|input: &[u8]| {
    BENCH.with_borrow_mut(|bench| bench.run(&mut Bytes::new(input), &Case::default(), input));
});

// Longer inputs have the same meaning.
fuzz_mutator!(
    |data: &mut [u8], size: usize, max_size: usize, _seed: u32| {
        fuzzer_mutate(data, size.min(Bytes::MOST), max_size.min(Bytes::MOST))
    }
);
