//! pcq(9).

use super::{Breach, breach, create};
use crate::kern::kthread::Options;
use crate::kern::lwp::{Arg, pri};
use crate::kern::pcq::Pcq;
use crate::scenario::classics::shared;

/// Takes from the queue for ever, so that any other access happens in the middle of it.
fn consume(queue: Arg) {
    loop {
        shared::<Pcq<u32>>(queue).get();
    }
}

pub(super) static BREACHES: &[Breach] = &[
    breach!("pcq-size": "creates a queue without slots", || {
        Pcq::<u32>::create(0);
    }),
    breach!("pcq-consumers": "takes from a queue while another thread does", || {
        if let Some(queue) = Pcq::<u32>::create(2) {
            let options = Options { priority: pri::USER, ..Options::default() };
            create("another", &options, consume, Arg::of(queue));
            consume(Arg::of(queue));
        }
    }),
];
