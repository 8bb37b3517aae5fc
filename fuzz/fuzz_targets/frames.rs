//! The bytes are frames that a host receives, the machine that it runs on, and its schedule.
#![no_main]
#![feature(cfg_sanitize)]

use std::cell::RefCell;
use std::collections::BTreeMap;

use arbitrary::{Arbitrary, Unstructured};
use libfuzzer_sys::{Corpus, fuzz_target};

use bench::{Bench, Case, Subject};
use copy::hostshim::Bytes;
use copy::hostshim::wire::Wire;
use copy::kmod::config::Wiring;
use frames::Input;

/// The machine and the kernel, with their branches counted, because in this target branches distinguish inputs. They
/// are not at the root of the crate under their own names, where the others would also be found and linked.
mod copy {
    pub(crate) use ::hostshim_counted as hostshim;
    pub(crate) use ::kmod_counted as kmod;
}

#[path = "../src/asan.rs"]
mod asan;
#[allow(dead_code, reason = "other targets use more of it")]
#[path = "../src/bench.rs"]
mod bench;
#[path = "../src/frames.rs"]
mod frames;

thread_local! {
    static SUBJECT: Subject = Subject::from_environment("net-wire");
    /// A machine for each kind that has occurred.
    static BENCHES: RefCell<BTreeMap<(usize, bool, bool), Bench>> = const { RefCell::new(BTreeMap::new()) };
}

fuzz_target!(|bytes: &[u8]| -> Corpus {
    let Ok(input) = Input::arbitrary(&mut Unstructured::new(bytes)) else {
        return Corpus::Reject;
    };
    BENCHES.with_borrow_mut(|benches| {
        let key = (input.cpus, input.xcall == Wiring::Rump, input.mpsafe);
        let bench = benches.entry(key).or_insert_with(|| {
            SUBJECT.with(|subject| {
                subject.bench_with(input.cpus, Some(input.xcall), |config| {
                    config.net_mpsafe = input.mpsafe;
                })
            })
        });
        let wire = Wire {
            frames: input.frames,
            ..Wire::default()
        };
        let case = Case {
            wire,
            ..Case::default()
        };
        bench.run(&mut Bytes::new(&input.schedule), &case, bytes);
    });
    Corpus::Keep
});
