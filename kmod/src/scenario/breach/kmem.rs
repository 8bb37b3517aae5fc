//! kmem(9).

use super::{Breach, breach, interrupt};
use crate::kern::callout::Callout;
use crate::kern::kmem::{kmem_alloc, kmem_free};
use crate::kern::lwp::{Arg, curcpu};
use crate::scenario::classics::shared;
use crate::scenario::share;

pub(super) static BREACHES: &[Breach] = &[
    breach!("kmem-context": "allocates memory in a hard interrupt", || {
        let alloc = |_| {
            kmem_alloc("packet", 0_u64);
        };
        interrupt(alloc, Arg::NONE);
    }),
    breach!("callout-freed": "frees memory in which a callout is pending", || {
        let callout = share("callout", Callout::new());
        callout.init(curcpu());
        callout.reset(1, |_| {}, Arg::NONE);
        // SAFETY: (1) it came from `share`, which is `kmem_alloc`; (2) softclock would use it, which is what is to be found.
        unsafe { kmem_free(callout) }
    }),
    breach!("kmem-context", "free": "frees memory in a hard interrupt", || {
        let free = |packet| {
            // SAFETY: (1) it came from `share`, which is `kmem_alloc`; (2) nobody else uses it.
            unsafe { kmem_free(shared::<u64>(packet)) }
        };
        interrupt(free, Arg::of(share("packet", 0_u64)));
    }),
];
