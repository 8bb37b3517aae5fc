//! The bytes are a program over the network stack, the machine that it runs on, its wire, and its schedule.
#![no_main]

use std::cell::RefCell;
use std::collections::BTreeMap;

use arbitrary::{Arbitrary, Unstructured};
use hostshim::Bytes;
use hostshim::tail::with_tail;
use libfuzzer_sys::{Corpus, fuzz_target};
use rumplab_fuzz::softnet::{Input, Kind};
use rumplab_fuzz::{Bench, Case, Subject};

thread_local! {
    static SUBJECT: Subject = Subject::from_environment("softnet");
    /// A machine for each kind that has occurred.
    static BENCHES: RefCell<BTreeMap<Kind, Bench>> = const { RefCell::new(BTreeMap::new()) };
}

fuzz_target!(|bytes: &[u8]| -> Corpus {
    let whole = with_tail(bytes, Input::WHOLE);
    let Ok(input) = Input::arbitrary(&mut Unstructured::new(&whole)) else {
        return Corpus::Reject;
    };
    BENCHES.with_borrow_mut(|benches| {
        let kind = input.kind;
        let bench = benches.entry(kind).or_insert_with(|| {
            SUBJECT.with(|subject| {
                subject.bench_with(kind.cpus(), Some(kind.xcall()), |config| {
                    kind.configure(config);
                })
            })
        });
        let case = Case {
            program: Some(Box::new(input.program)),
            wire: input.wire,
        };
        bench.run(&mut Bytes::new(&input.schedule), &case, bytes);
    });
    Corpus::Keep
});
