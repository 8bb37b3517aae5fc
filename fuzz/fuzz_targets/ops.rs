//! The bytes are a program of operations, the machine that it runs on, and its schedule.
#![no_main]

use std::cell::RefCell;
use std::collections::BTreeMap;

use arbitrary::{Arbitrary, Unstructured};
use hostshim::Bytes;
use hostshim::tail::with_tail;
use kmod::config::Wiring;
use libfuzzer_sys::{Corpus, fuzz_target};
use rumplab_fuzz::program::Input;
use rumplab_fuzz::{Bench, Case, Subject};

thread_local! {
    static SUBJECT: Subject = Subject::from_environment("ops");
    /// A machine for each number of CPUs and each wiring that has occurred.
    static BENCHES: RefCell<BTreeMap<(usize, bool), Bench>> = const { RefCell::new(BTreeMap::new()) };
}

fuzz_target!(|bytes: &[u8]| -> Corpus {
    let whole = with_tail(bytes, Input::WHOLE);
    let Ok(input) = Input::arbitrary(&mut Unstructured::new(&whole)) else {
        return Corpus::Reject;
    };
    BENCHES.with_borrow_mut(|benches| {
        let bench = benches
            .entry((input.cpus, input.xcall == Wiring::Rump))
            .or_insert_with(|| {
                SUBJECT.with(|subject| subject.bench(input.cpus, Some(input.xcall)))
            });
        let case = Case {
            program: Some(Box::new(input.program)),
            ..Case::default()
        };
        bench.run(&mut Bytes::new(&input.schedule), &case, bytes);
    });
    Corpus::Keep
});
