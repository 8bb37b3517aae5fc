//! percpu(9).

use super::{Breach, breach, other_cpu};
use crate::kern::lwp::{Arg, curcpu, curlwp};
use crate::kern::percpu::{Percpu, arena, percpu_alloc};
use crate::kern::xcall::{self, Priority};
use crate::mem::Plain;

/// Storage for a number.
pub(super) fn number() -> Percpu<Plain<i64>> {
    match percpu_alloc() {
        Some(percpu) => percpu,
        None => unreachable!("there is room for a number"),
    }
}

pub(super) static BREACHES: &[Breach] = &[
    breach!("percpu-putref": "returns storage that it did not get", || number().putref()),
    breach!("percpu-current": "looks at its CPU's storage with preemption on", || {
        number().offset().of(curcpu());
    }),
    breach!("percpu-remote": "looks at another CPU's storage, which may move", || {
        number().getptr_remote(other_cpu());
    }),
    breach!("percpu-swap-cpu": "moves the storage of a CPU on another", || {
        let args = (Arg::of(curlwp().kernel().cpu(1)), Arg::NONE);
        xcall::wait(xcall::unicast(Priority::Low, arena::swap, args, curlwp().kernel().cpu(0)));
    }),
];
