//! The primitives as they are without rumplab: `cargo test`.
#![cfg(not(feature = "rumplab"))]

use std::thread;

use outside::{mailbox::Mailbox, ring::Ring, spinlock::SpinLock};

#[test]
fn they_work() {
    let mailbox = Mailbox::new();
    let ring = Ring::<2>::new();
    let sum = SpinLock::new(0);
    thread::scope(|scope| {
        scope.spawn(|| mailbox.put(7));
        assert_eq!(mailbox.take(), 7);
    });
    assert!(ring.push(1) && ring.push(2) && !ring.push(3));
    assert_eq!(
        (ring.pop(), ring.pop(), ring.pop()),
        (Some(1), Some(2), None)
    );
    sum.with(|sum| *sum += 1);
    assert_eq!(sum.with(|sum| *sum), 1);
}
