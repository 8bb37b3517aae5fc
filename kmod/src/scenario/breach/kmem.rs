//! kmem(9).

use super::{Breach, breach, interrupt};
use crate::kern::kmem::{kmem_alloc, kmem_free};
use crate::kern::lwp::Arg;
use crate::scenario::classics::shared;
use crate::scenario::share;

pub(super) static BREACHES: &[Breach] = &[
    breach!("kmem-context": "allocates memory in a hard interrupt", || {
        let alloc = |_| {
            kmem_alloc("packet", 0_u64);
        };
        interrupt(alloc, Arg::NONE);
    }),
    breach!("kmem-context", "free": "frees memory in a hard interrupt", || {
        let free = |packet| {
            // SAFETY: (1) it came from `share`, which is `kmem_alloc`; (2) nobody else uses it.
            unsafe { kmem_free(shared::<u64>(packet)) }
        };
        interrupt(free, Arg::of(share("packet", 0_u64)));
    }),
];
