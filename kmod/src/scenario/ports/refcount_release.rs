//! OSv issue 1190: a reference is dropped without barriers. FreeBSD's refcount(9) has them, as fences.

use super::{OLD, historical};
use crate::history::Own;
use crate::kern::kmem::kmem_free;
use crate::kern::lwp::{Arg, curlwp};
use crate::machine;
use crate::mem::{AcqRel, AtomicU32, Plain, Relaxed, membar_acquire, membar_release};
use crate::scenario::classics::shared;
use crate::scenario::{FIXED, PORTED, Scenario, Variant, actor, runs, share};

/// Orderings in place of the fences.
const ORDERINGS: Own = Own::piece(1);

struct Address {
    references: AtomicU32,
    metric: [Plain<u32>; 2],
}

crate::fields!(Address { references, metric });

/// The program.
pub static SCENARIO: Scenario = Scenario {
    name: "refcount-release",
    summary: "the last of two references to an address frees what the other has written",
    about: "Two threads each write a word of an address, and release their reference. The one that releases the \
            last reference reads both words, and frees the address.",
    variants: &[
        FIXED,
        historical("no barrier: what the other thread has written need not be seen"),
        Variant {
            name: "fixed-orderings",
            summary: "as fixed, with orderings of the operation in place of fences",
            own: ORDERINGS,
            ..FIXED
        },
    ],
    setup: |kernel| {
        let address = share(
            "address",
            Address {
                references: AtomicU32::new(2),
                metric: [const { Plain::new(0) }; 2],
            },
        );
        machine::label(address, format_args!("address"));
        kernel.set_data(Arg::of(address));
        actor(kernel, "t0", 0, |_| use_it(0), Arg::NONE);
        actor(kernel, "t1", 1, |_| use_it(1), Arg::NONE);
    },
    ..PORTED
};

/// Drops a reference. Whether it was the last.
fn release(references: &AtomicU32) -> bool {
    if runs(OLD) {
        return references.fetch_sub(1, Relaxed) == 1;
    }
    if runs(ORDERINGS) {
        return references.fetch_sub(1, AcqRel) == 1;
    }
    membar_release();
    let last = references.fetch_sub(1, Relaxed) == 1;
    if last {
        membar_acquire();
    }
    last
}

fn use_it(number: usize) {
    let address: &'static Address = shared(curlwp().kernel().data());
    address.metric[number].set(1);
    if release(&address.references) {
        let _sum = address.metric[0].get() + address.metric[1].get();
        // SAFETY: (1) it came from `share`; (2) there is no other reference.
        unsafe { kmem_free(address) };
    }
}
