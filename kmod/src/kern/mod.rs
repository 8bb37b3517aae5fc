//! What NetBSD keeps in `sys/kern`: the primitives, and the scheduler and queues below them.
//!
//! Each file is one manual page of section 9, or one part of the scheduler. Dependencies point
//! down this list: [`epoch`], [`completion`], [`sema`], [`workqueue`], [`pcq`], [`psref`], [`localcount`], [`percpu`], [`pserialize`], [`pslist`], [`xcall`], [`kthread`], [`condvar`],
//! [`callout`], [`rwlock`], [`mutex`], [`turnstile`], [`sleepq`], [`softint`], [`intr`], [`ipi`], [`clock`], [`synch`], [`sched`], [`lwp`],
//! [`spl`], [`cpu`]. Beside it: [`contract`], [`evcnt`], [`inside`], `rest`, [`shares`], [`waits`], [`order`].

pub mod callout;
pub mod circq;
pub mod clock;
pub mod completion;
pub mod condvar;
pub mod contract;
pub mod cpu;
pub mod epoch;
pub mod evcnt;
pub(crate) mod grace;
pub mod hooks;
pub mod idle;
pub mod inside;
pub mod intr;
pub mod ipi;
pub mod kmem;
pub mod kthread;
pub mod localcount;
pub mod lwp;
pub mod mutex;
pub mod order;
pub mod pcq;
pub mod percpu;
pub mod pserialize;
pub mod pslist;
pub mod psref;
pub(crate) mod references;
pub(crate) mod rest;
pub mod rwlock;
pub mod sched;
pub mod sema;
pub mod shares;
pub mod sleepq;
pub mod softint;
pub mod spl;
pub mod synch;
pub mod turnstile;
pub mod waits;
pub mod workqueue;
pub mod xcall;
