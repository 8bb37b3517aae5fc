//! The hypercalls: the only interface between the kernel and its host.
//!
//! # Overview
//!
//! This is the role of `rumpuser(3)`: the kernel asks its host for everything that it cannot do itself, through the
//! functions of this module and nowhere else. The binding is made at link time, once per binary, with
//! [`bind_machine!`](crate::bind_machine), so no type of the kernel has a machine parameter. In the other direction
//! the host calls the few functions of [`crate::entry`].
//!
//! There are two hosts. On the *booted machine* a CPU is a real CPU, an interrupt is a real interrupt, and [`point`]
//! costs nothing. On the *simulated machine* every CPU is a stack inside one host thread, and at each [`point`] the
//! host may let another CPU run, or take an interrupt.
//!
//! # Contexts
//!
//! Every hypercall may be made in any context of the kernel unless it says otherwise. It applies to the CPU that
//! executes it.
//!
//! # Steps
//!
//! A step is what one CPU does from one *point* to the next. A point comes *before* the visible operation that it
//! announces. [`access`] is for operations of a step that has already begun: they are checked (data races, use after
//! free), but no other CPU runs in between.
//!
//! A host may also make each [`access`] that is about to be made a step of its own, and each `between`: the granularity is *fine*
//! then. Code must not rely on steps for what it needs to be atomic.

use core::alloc::Layout;
use core::fmt;
use core::sync::atomic::Ordering;

mod at;
mod bound;
mod nic;
mod occasion;
mod op;

pub use at::At;
pub(crate) use at::Place;
pub use nic::{
    NIC_FRAME, Nic, NicCounts, NicQueue, nic, nic_counts, nic_queue, nic_receive, nic_transmit,
    nics,
};
pub use occasion::{ObjectKind, Occasion};
pub use op::{Kind, Op};

/// A context: registers and a stack, owned by the host, which identifies it by a number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Context(pub usize);

/// The lines that a host can assert on a CPU.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Line {
    /// The tick of this CPU's clock.
    Clock = 0,
    /// An inter-processor interrupt: [`send_ipi`] was called for this CPU.
    Ipi = 1,
    /// A network card has received something: see [`nic_receive`].
    Net = 2,
}

impl Line {
    /// Every line, in the order of their numbers.
    pub const ALL: [Line; 3] = [Line::Clock, Line::Ipi, Line::Net];

    /// The name in traces and replay files.
    pub const fn name(self) -> &'static str {
        match self {
            Line::Clock => "clock",
            Line::Ipi => "ipi",
            Line::Net => "net",
        }
    }
}

/// Something that begins or ends in a step, for traces: a lock is held, or one LWP runs on top of another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mark {
    /// The running LWP now holds the lock at this address exclusively.
    Held(usize),
    /// It now holds the lock at this address, perhaps together with others.
    Shared(usize),
    /// The lock at this address is released; a shared lock, by the running LWP.
    Released(usize),
    /// The handler of the line starts on this CPU, on top of the running LWP.
    Handler(Line),
    /// That handler has returned.
    HandlerOver(Line),
    /// The handlers of devices at this level (a number of [`crate::kern::spl::Ipl`]) begin on this CPU, on top of the
    /// running LWP.
    Device(u8),
    /// They are over.
    DeviceOver(u8),
    /// A softint level (a number of [`crate::kern::spl::Ipl`]) starts on this CPU, on top of the running LWP.
    Softint(u8),
    /// The LWP below continues: the level has finished, or has blocked.
    SoftintOver(u8),
    /// The running LWP goes to sleep on the condition variable, and is about to release the interlock.
    Sleeps {
        /// The address of the condition variable.
        cv: usize,
        /// That of the mutex.
        interlock: usize,
    },
    /// The running LWP signals the condition variable at this address, on which an LWP sleeps, or none.
    Signals(usize, bool),
    /// It broadcasts on the condition variable at this address, on which an LWP sleeps, or none.
    Broadcasts(usize, bool),
    /// The running LWP takes a reference (`kern::references`).
    Took {
        /// The address of what it is to.
        object: usize,
        /// On whose behalf.
        holder: &'static str,
        /// The function that takes it.
        function: &'static str,
        /// Where.
        at: At,
    },
    /// A reference is given back.
    Gave {
        /// The address of what it is to.
        object: usize,
        /// On whose behalf it was taken.
        holder: &'static str,
    },
    /// The only reference goes to another owner.
    Passed {
        /// The address of what it is to.
        object: usize,
        /// The function that passes it on.
        function: &'static str,
        /// Where.
        at: At,
    },
    /// The callout at this address begins to run. It was scheduled at this place, if that is known.
    Fires(usize, Option<At>),
}

/// Why the kernel stops.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stop {
    /// The program ran to its end and all of its checks passed.
    Passed,
    /// An API contract was broken. The string is its name (`psref-cpu`).
    Contract(&'static str),
    /// A scenario assertion failed. The string is its name.
    Oracle(&'static str),
    /// The CPU of this number idles although it has something to do. The string is the name of the rule.
    Idles(&'static str, usize),
    /// An actor waits for something that cannot happen.
    Deadlock,
    /// Likewise, and only timeouts that are backstops would hide it ([`crate::kern::sleepq`]).
    Backstop,
}

/// A field of a structure in shared memory, so that a trace can name an address.
///
/// Built with [`fields!`](crate::fields).
#[derive(Debug)]
pub struct Field {
    /// Name as in the source.
    pub name: &'static str,
    /// Offset in the structure, in bytes.
    pub offset: usize,
    /// Size in bytes.
    pub size: usize,
    /// The number of elements if the field is an array, otherwise 0.
    pub count: usize,
    /// The fields inside the field (of one element, for an array).
    pub fields: &'static [Field],
    /// What sort of object it is (one element, for an array).
    pub sort: ObjectKind,
}

/// The functions that a host provides. Bind it with [`bind_machine!`](crate::bind_machine).
///
/// # Safety
///
/// The kernel relies on the following:
/// 1. [`word`](Self::word) returns what [`attach`](Self::attach) was last given on the same CPU;
/// 2. [`alloc`](Self::alloc) returns zeroed memory of the requested layout that is not in use;
/// 3. when [`context_switch`](Self::context_switch) returns, the calling context's stack and callee-saved registers
///    are unchanged, on whichever CPU switched back to it;
/// 4. the host enters the kernel on a CPU only through [`crate::entry`].
pub unsafe trait Machine {
    /// Number of CPUs.
    fn ncpu() -> usize;
    /// Stores `word` for CPU `cpu`, which is the CPU that executes the call, or any CPU during boot. The kernel
    /// stores the running LWP there and calls this at each context switch.
    fn attach(cpu: usize, word: *const ());
    /// The word of the CPU that executes the call.
    ///
    /// Because that is the running LWP, a context gets the same word whenever it asks, on whichever CPU. So a
    /// compiler may treat the word as a constant of the context, as NetBSD's does with `curlwp`. The kernel does not
    /// ask between [`attach`](Self::attach) and the context switch that belongs to it. During boot it does not ask in
    /// a function that began before the first `attach`.
    fn word() -> *const ();
    /// Asserts [`Line::Ipi`] on `cpu`. Several calls before the interrupt is taken count as one.
    fn send_ipi(cpu: usize);
    /// Waits until an interrupt was taken on this CPU, unless `unless` is non-zero.
    ///
    /// The test and the beginning of the wait are one step with respect to interrupts of this CPU. Returns after at
    /// least one interrupt was taken, or at once.
    fn wait_for_interrupt(unless: &core::sync::atomic::AtomicU32);
    /// Allows this CPU to take interrupts again: the kernel has raised its level inside [`crate::entry::interrupt`].
    fn interrupts_on();
    /// Says that the caller spins: it read something, and will read it again.
    ///
    /// The simulated machine lets the CPU go on only after something that it read since its last call
    /// was written, or an interrupt was taken on it.
    fn relax(at: At);
    /// Creates a context that calls `entry(arg)` when it is first switched to. `name` is for reports.
    fn context_create(name: &str, entry: fn(*const ()) -> !, arg: *const ()) -> Option<Context>;
    /// Leaves the calling context, which is `from`, and continues with `to` on this CPU.
    ///
    /// # Safety
    ///
    /// 1. `from` is the calling context. 2. `to` runs on no CPU and was not destroyed.
    unsafe fn context_switch(from: Context, to: Context);
    /// Destroys a context. It is never switched to again.
    ///
    /// # Safety
    ///
    /// `context` runs on no CPU.
    unsafe fn context_destroy(context: Context);
    /// Allocates zeroed memory; null if there is none. `what` names the object in reports, `at` is where it is
    /// allocated.
    ///
    /// The caller initializes it at once: any other access must be ordered after this call.
    fn alloc(layout: Layout, what: &'static str, at: At) -> *mut u8;
    /// Whether the allocation of `what` that the kernel is about to make at `at` fails, by choice of the host.
    fn refuses(_what: &'static str, _at: At) -> bool {
        false
    }
    /// Frees memory.
    ///
    /// # Safety
    ///
    /// `at` came from `alloc` with the same layout, and is not used any more.
    unsafe fn free(at: *mut u8, layout: Layout);
    /// Writes to the console.
    fn console(text: fmt::Arguments<'_>);
    /// Ends the run with a verdict. `message` is a sentence with the values in it.
    fn stop(why: Stop, message: fmt::Arguments<'_>, at: At) -> !;
    /// Announces `op` and makes it part of a new step: the host decides which CPU continues, then checks the
    /// operation. Returns the address of the cell to access: `op.addr`, or that of its copy ([`own`](Self::own)).
    fn point(op: Op, at: At) -> usize;
    /// Announces `op` without checking it: its outcome follows through `access`, in the same step.
    fn decide(op: Op, at: At);
    /// Checks `op`, which is about to be made, as part of the current step. Returns the address of the cell to access, as `point`
    /// does.
    fn access(op: Op, at: At) -> usize;
    /// [`access`](Self::access), for an operation that was made already.
    fn accessed(op: Op, at: At) {
        let _ = Self::access(op, at);
    }
    /// A place inside of a step at which another CPU may run, or an interrupt come, if the granularity is fine.
    fn between(_op: Op, _at: At) {}
    /// The step under way reads or writes this word, which another CPU may write, by an access that is no step and is not checked.
    /// Whoever searches all orders of steps must know of it.
    fn unchecked(_addr: usize, _writes: bool) {}
    /// The operation that the step under way was announced with is this, now that it was made.
    fn made(op: Op, at: At) {
        let _ = Self::access(op, at);
    }
    /// The interrupt priority level of this CPU is now `level` (a number of [`crate::kern::spl::Ipl`]).
    fn ipl(level: u8);
    /// Whether the host uses [`note`](Self::note) and [`label`](Self::label).
    fn tracing() -> bool;
    /// A line for the trace: something that happened in this step, in the kernel's terms.
    fn note(text: fmt::Arguments<'_>);
    /// Something begins or ends in this step. Called only while [`tracing`](Self::tracing).
    fn mark(_mark: Mark) {}
    /// Whether CPUs take turns, so that no other CPU runs between two points of this one.
    fn takes_turns() -> bool {
        false
    }
    /// Whether CPU `cpu` waits for an interrupt, as far as the machine knows: for reports, when the kernel has stopped.
    fn halts(_cpu: usize) -> bool {
        false
    }
    /// The object of `size` bytes at `from` was moved to `to`, and its names with it. Called only while
    /// [`tracing`](Self::tracing).
    fn moved(_from: usize, _to: usize, _size: usize) {}
    /// Something happened that a campaign counts.
    fn happened(_occasion: Occasion) {}
    /// Gives the structure of `size` bytes at `addr` a name and fields, and says what it is.
    fn label(
        addr: usize,
        size: usize,
        name: fmt::Arguments<'_>,
        fields: &'static [Field],
        sort: ObjectKind,
    );
    /// The address of the copy of the global variable, or part of one, at `addr`.
    fn own(addr: usize) -> usize {
        addr
    }
    /// The place in the program for a place in a function that code of another language has called: [`At::lasting`].
    fn lasting(at: At) -> At {
        at
    }
    /// Writes the text of a [place](At): that of the instruction at `address`.
    fn place(address: usize, out: &mut dyn fmt::Write) -> fmt::Result {
        write!(out, "code at {address:#x}")
    }
    /// The cell of `size` bytes at `addr` is dropped: a local variable, whose scope is left. Nobody may touch it any more.
    fn dropped(_addr: usize, _size: usize) {}
    /// A packet has reached the stage of this number ([`crate::net::stages`]).
    fn stage(_stage: usize) {}
    /// Number of network cards.
    fn nics() -> usize {
        0
    }
    /// The properties of card `unit`.
    fn nic(_unit: usize) -> Nic {
        Nic::default()
    }
    /// Sends a frame, Ethernet header first, through card `unit`, which copies it. False: the card has no room at the
    /// moment.
    fn nic_transmit(_unit: usize, _frame: &[u8]) -> bool {
        false
    }
    /// Takes the next frame that card `unit` has received on `queue`, copies it to `frame`, which has at least
    /// [`NIC_FRAME`] bytes, and returns its length. `None`: there is none, and the next one asserts [`Line::Net`].
    fn nic_receive(_unit: usize, _queue: usize, _frame: &mut [u8]) -> Option<usize> {
        None
    }
    /// Frames through all cards since boot, if the machine counts them. Exact while nothing is being sent or
    /// received.
    fn nic_counts() -> Option<NicCounts> {
        None
    }
    /// Frames that came to a receive queue since boot, if the machine counts them for each.
    fn nic_queue(_unit: usize, _queue: usize) -> Option<NicQueue> {
        None
    }
}

/// Number of CPUs of the machine.
#[inline]
pub fn ncpu() -> usize {
    bound::kmod_machine_ncpu()
}

/// Stores `word` for CPU `cpu`: the pointer that [`word`] returns on that CPU.
#[inline]
pub fn attach(cpu: usize, word: *const ()) {
    bound::kmod_machine_attach(cpu, word);
}

/// The word of the CPU that executes the call; null before [`attach`].
#[inline(always)]
pub fn word() -> *const () {
    bound::kmod_machine_word()
}

/// Asserts the inter-processor interrupt line of `cpu`.
#[inline]
pub fn send_ipi(cpu: usize) {
    bound::kmod_machine_send_ipi(cpu);
}

/// Waits until an interrupt was taken on this CPU, unless `unless` is non-zero.
#[inline]
pub fn wait_for_interrupt(unless: &core::sync::atomic::AtomicU32) {
    bound::kmod_machine_wait_for_interrupt(unless);
}

/// Lets this CPU take interrupts again, inside the kernel's interrupt entry.
#[inline]
pub fn interrupts_on() {
    bound::kmod_machine_interrupts_on();
}

/// One iteration of a spin loop that has read and will read again. See [`Machine::relax`].
#[inline]
#[track_caller]
pub fn relax() {
    bound::kmod_machine_relax(At::caller());
}

/// Creates a context that begins with `entry(arg)`.
#[inline]
pub fn context_create(name: &str, entry: fn(*const ()) -> !, arg: *const ()) -> Option<Context> {
    bound::kmod_machine_context_create(name, entry, arg)
}

/// Leaves context `from` for context `to`.
///
/// # Safety
///
/// As [`Machine::context_switch`].
#[inline]
pub unsafe fn context_switch(from: Context, to: Context) {
    // SAFETY: the caller's promise.
    unsafe { bound::kmod_machine_context_switch(from, to) }
}

/// Destroys a context.
///
/// # Safety
///
/// As [`Machine::context_destroy`].
#[inline]
pub unsafe fn context_destroy(context: Context) {
    // SAFETY: the caller's promise.
    unsafe { bound::kmod_machine_context_destroy(context) }
}

/// Zeroed memory of `layout`, or null.
#[inline]
#[track_caller]
pub fn alloc(layout: Layout, what: &'static str) -> *mut u8 {
    bound::kmod_machine_alloc(layout, what, At::caller())
}

/// Whether an allocation of `what` fails now, by choice of the host. Only a host with points makes that choice.
#[inline]
#[track_caller]
pub fn refuses(what: &'static str) -> bool {
    #[cfg(feature = "points")]
    return bound::kmod_machine_refuses(what, At::caller());
    #[cfg(not(feature = "points"))]
    {
        let _ = what;
        false
    }
}

/// Frees memory.
///
/// # Safety
///
/// As [`Machine::free`].
#[inline]
pub unsafe fn free(at: *mut u8, layout: Layout) {
    // SAFETY: the caller's promise.
    unsafe { bound::kmod_machine_free(at, layout) }
}

/// Writes to the console.
#[inline]
pub fn console(text: fmt::Arguments<'_>) {
    bound::kmod_machine_console(text);
}

/// Ends the run with a verdict.
#[track_caller]
#[cold]
pub fn stop(why: Stop, message: fmt::Arguments<'_>) -> ! {
    bound::kmod_machine_stop(why, message, At::caller())
}

/// A point: announces an operation, lets the host decide which CPU continues, then has the operation checked.
#[inline(always)]
#[track_caller]
#[cfg_attr(not(feature = "points"), allow(unused_variables))]
pub fn point(addr: usize, kind: Kind, order: Ordering) {
    #[cfg(feature = "points")]
    let _ = bound::kmod_machine_point(Op::new(addr, kind, order), At::caller());
}

/// The first half of a [`point`]: the outcome of the operation follows through [`access`].
#[inline(always)]
#[track_caller]
#[cfg_attr(not(feature = "points"), allow(unused_variables))]
pub fn decide(addr: usize, kind: Kind, order: Ordering) {
    #[cfg(feature = "points")]
    bound::kmod_machine_decide(Op::new(addr, kind, order), At::caller());
}

/// The second half of a [`point`]: checks an operation of the current step.
#[inline(always)]
#[track_caller]
#[cfg_attr(not(feature = "points"), allow(unused_variables))]
pub fn access(addr: usize, kind: Kind, order: Ordering) {
    #[cfg(feature = "points")]
    let _ = bound::kmod_machine_access(Op::new(addr, kind, order), At::caller());
}

/// [`access`] to a cell that was made already: `kind` says what it turned out to be.
#[inline(always)]
#[track_caller]
#[cfg_attr(not(feature = "points"), allow(unused_variables))]
pub(crate) fn accessed<T>(cell: &T, kind: Kind, order: Ordering) {
    #[cfg(feature = "points")]
    {
        bound::kmod_machine_accessed(Op::on(cell, kind, order), At::caller());
    }
}

/// A place inside of a step at which another CPU may run if the granularity is fine. `addr` and `kind` name it.
#[inline(always)]
#[track_caller]
#[cfg_attr(not(feature = "points"), allow(unused_variables))]
pub(crate) fn between(addr: usize, kind: Kind) {
    #[cfg(feature = "points")]
    {
        let order = Ordering::Relaxed;
        bound::kmod_machine_between(Op::new(addr, kind, order), At::caller());
    }
}

/// [`access`] to a cell, before it is made. Returns the cell to access: a cell in a `static` has a copy in each machine.
#[inline(always)]
#[track_caller]
#[cfg_attr(not(feature = "points"), allow(unused_variables))]
pub(crate) fn access_at<T>(cell: &T, kind: Kind, order: Ordering) -> &T {
    #[cfg(feature = "points")]
    {
        let own = bound::kmod_machine_access(Op::on(cell, kind, order), At::caller());
        at_address(cell, own)
    }
    #[cfg(not(feature = "points"))]
    cell
}

/// [`point`] before an access to a cell. Returns the cell to access, as [`access_at`] does.
#[inline(always)]
#[track_caller]
#[cfg_attr(not(feature = "points"), allow(unused_variables))]
pub(crate) fn point_at<T>(cell: &T, kind: Kind, order: Ordering) -> &T {
    #[cfg(feature = "points")]
    {
        let own = bound::kmod_machine_point(Op::on(cell, kind, order), At::caller());
        at_address(cell, own)
    }
    #[cfg(not(feature = "points"))]
    cell
}

/// The cell that the host has said to use in place of this one.
#[cfg(feature = "points")]
#[inline(always)]
fn at_address<T>(cell: &T, own: usize) -> &T {
    // SAFETY: the same bytes, and as aligned, in memory that lives as long as the machine, by the contract of `Machine`.
    unsafe { &*core::ptr::from_ref(cell).with_addr(own) }
}

/// The step under way reads this word, or writes it, by an access of the bare word: one that is no step and is not checked. To be said
/// of every word that several CPUs access so, if anything is decided by it.
#[inline(always)]
#[cfg_attr(not(feature = "points"), allow(unused_variables))]
pub(crate) fn unchecked<T>(word: &T, writes: bool) {
    #[cfg(feature = "points")]
    bound::kmod_machine_unchecked(core::ptr::from_ref(word).addr(), writes);
}

/// The second half of a [`point`] whose operation has been made: `kind` says what it turned out to be.
#[inline(always)]
#[track_caller]
#[cfg_attr(not(feature = "points"), allow(unused_variables))]
pub(crate) fn made<T>(cell: &T, kind: Kind, order: Ordering) {
    #[cfg(feature = "points")]
    {
        bound::kmod_machine_made(Op::on(cell, kind, order), At::caller());
    }
}

/// Tells the host the interrupt priority level of this CPU.
#[inline(always)]
#[cfg_attr(not(feature = "points"), allow(unused_variables))]
pub fn ipl(level: u8) {
    #[cfg(feature = "points")]
    bound::kmod_machine_ipl(level);
}

/// Whether the host uses [`note`] and [`label`].
#[inline(always)]
pub fn tracing() -> bool {
    #[cfg(feature = "points")]
    return bound::kmod_machine_tracing();
    #[cfg(not(feature = "points"))]
    return false;
}

/// Adds a line to the trace. Use [`note!`](crate::note), which formats nothing unless it is needed.
#[inline(always)]
#[cfg_attr(not(feature = "points"), allow(unused_variables))]
pub fn note(text: fmt::Arguments<'_>) {
    #[cfg(feature = "points")]
    bound::kmod_machine_note(text);
}

/// Tells the host what begins or ends in this step.
#[inline(always)]
#[cfg_attr(not(feature = "points"), allow(unused_variables))]
pub fn mark(mark: Mark) {
    #[cfg(feature = "points")]
    if tracing() {
        bound::kmod_machine_mark(mark);
    }
}

/// The copy of a global variable, or of a part of one, on this machine.
#[cfg(feature = "points")]
#[cold]
#[inline(never)]
pub(crate) fn own<T>(global: &T) -> &T {
    let own = bound::kmod_machine_own(core::ptr::from_ref(global).addr());
    at_address(global, own)
}

/// Says that something of a campaign's interest has happened.
#[inline(always)]
#[cfg_attr(not(feature = "points"), allow(unused_variables))]
pub fn happened(occasion: Occasion) {
    #[cfg(feature = "points")]
    bound::kmod_machine_happened(occasion);
}

/// Tells the host that a cell is dropped: what the cells do by themselves.
#[cfg(feature = "points")]
#[inline(always)]
pub(crate) fn dropped<T>(cell: &T) {
    bound::kmod_machine_dropped(core::ptr::from_ref(cell).addr(), size_of::<T>());
}

/// Whether CPU `cpu` waits for an interrupt, as far as the machine knows: for reports, when the kernel has stopped.
pub fn halts(cpu: usize) -> bool {
    bound::kmod_machine_halts(cpu)
}

/// Whether CPUs take turns, so that no other CPU runs between two points of this one.
#[inline(always)]
pub fn takes_turns() -> bool {
    #[cfg(feature = "points")]
    return bound::kmod_machine_takes_turns();
    #[cfg(not(feature = "points"))]
    return false;
}

/// Reports that the object of `size` bytes at `from` was moved to `to`, and its names with it.
#[inline(always)]
#[cfg_attr(not(feature = "points"), allow(unused_variables))]
pub fn moved(from: usize, to: usize, size: usize) {
    #[cfg(feature = "points")]
    if tracing() {
        bound::kmod_machine_moved(from, to, size);
    }
}

/// A packet has reached the stage of this number. Use [`reached`](crate::net::stages::reached).
#[cfg(feature = "stages")]
#[inline(always)]
pub fn stage(stage: usize) {
    bound::kmod_machine_stage(stage);
}

/// Names the structure at `at` for traces and replay files.
#[inline]
#[cfg_attr(not(feature = "points"), allow(unused_variables))]
pub fn label<T: Described>(at: &T, name: fmt::Arguments<'_>) {
    #[cfg(feature = "points")]
    if tracing() {
        bound::kmod_machine_label(
            bound::kmod_machine_own(core::ptr::from_ref(at) as usize),
            core::mem::size_of::<T>(),
            name,
            T::FIELDS,
            T::SORT,
        );
    }
}

/// Names the `size` bytes at `addr`, which have no Rust type.
#[cfg_attr(not(feature = "points"), allow(unused_variables))]
pub fn label_bytes(
    addr: usize,
    size: usize,
    name: fmt::Arguments<'_>,
    fields: &'static [Field],
    sort: ObjectKind,
) {
    #[cfg(feature = "points")]
    if tracing() {
        bound::kmod_machine_label(addr, size, name, fields, sort);
    }
}

/// A structure in shared memory whose fields have names.
pub trait Described {
    /// The fields, in any order. Empty for a cell, which is named after the field that contains it.
    const FIELDS: &'static [Field];
    /// The number of elements if this is an array, otherwise 0.
    const COUNT: usize = 0;
    /// What sort of object it is (one element, for an array).
    const SORT: ObjectKind = ObjectKind::Other;
}

impl<T: Described, const N: usize> Described for [T; N] {
    const FIELDS: &'static [Field] = T::FIELDS;
    const COUNT: usize = N;
    const SORT: ObjectKind = T::SORT;
}

/// Builds the [`Field`] of a member. For [`fields!`](crate::fields) only.
pub const fn field<S, F: Described>(name: &'static str, offset: usize, _: fn(&S) -> &F) -> Field {
    Field {
        name,
        offset,
        size: core::mem::size_of::<F>(),
        count: F::COUNT,
        fields: F::FIELDS,
        sort: F::SORT,
    }
}

/// Describes the fields of a structure for traces: `fields!(Kmutex { mtx_owner, mtx_ipl });`, and its
/// [`ObjectKind`](crate::machine::ObjectKind) if it has one: `fields!(Callout as Handler { c_link });`
#[macro_export]
macro_rules! fields {
    ($type:ty { $($name:ident),* $(,)? }) => {
        $crate::fields!($type as Other { $($name),* });
    };
    ($type:ty as $sort:ident { $($name:ident),* $(,)? }) => {
        impl $crate::machine::Described for $type {
            const SORT: $crate::machine::ObjectKind = $crate::machine::ObjectKind::$sort;
            const FIELDS: &'static [$crate::machine::Field] = &[$(
                $crate::machine::field::<$type, _>(
                    stringify!($name),
                    core::mem::offset_of!($type, $name),
                    |s| &s.$name,
                )
            ),*];
        }
    };
}

/// Adds a line to the trace of this run: `note!("ticket {ticket} issued")`.
#[macro_export]
macro_rules! note {
    ($($arg:tt)*) => {
        if $crate::machine::tracing() {
            $crate::machine::note(format_args!($($arg)*));
        }
    };
}
