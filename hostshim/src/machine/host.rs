//! The hypercalls: [`kmod::machine::Machine`] for the machine that runs on this thread.

use std::alloc::Layout;
use std::cell::Cell;
use std::fmt;
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

use kmod::bind_machine;
use kmod::machine::{
    self, At, Context, Field, Kind, Line, Mark, Nic, NicCounts, NicQueue, ObjectKind, Occasion, Op,
    Stop,
};

use super::cpu::Pending;
use super::engine::Engine;
use super::failure::{FailureKind, Verdict};
use super::footprint::Thing;
use super::memory::Memory;
use super::side::Host;
use super::source::{of_program, place};
use crate::schedule::Granularity;

thread_local! {
    /// The machine that runs on this thread.
    static CURRENT: Cell<*const Engine> = const { Cell::new(ptr::null()) };
}

/// The machine that runs on this thread, if one does.
#[inline]
pub(crate) fn current() -> Option<&'static Engine> {
    let engine = CURRENT.get();
    // SAFETY: null, or what `enter` put there from a reference that outlives its call; the callers, all of them
    // called by the machine that runs, do not keep it.
    unsafe { engine.as_ref() }
}

/// Whether a machine runs on this thread: whether the caller is part of a run.
#[inline]
pub fn is_running() -> bool {
    current().is_some()
}

/// The running thread has done its work, and is about to exit: its thread-local variables are dropped.
pub fn thread_ends() {
    if let Some(engine) = current() {
        engine.thread_ends();
    }
}

#[inline]
fn engine() -> &'static Engine {
    match current() {
        Some(engine) => engine,
        None => outside(),
    }
}

#[cold]
fn outside() -> ! {
    panic!(
        "a primitive or a cell of the kernel was used outside of a run: only what runs on a simulated machine can use it"
    )
}

/// The name of what is at this address, for a text that the kernel makes.
pub(crate) fn name_at(address: usize) -> String {
    let known = current().filter(|engine| engine.memory(|memory| memory.offset(address)).is_some());
    match (known, address) {
        (Some(engine), _) => engine.object_of(address),
        (None, 0) => "NULL".to_owned(),
        (None, _) => "an address outside of the kernel".to_owned(),
    }
}

/// The name of the member of a structure that begins at this address, if the structure's type is known.
pub(crate) fn member_at(address: usize) -> Option<String> {
    let _host = Host::begin();
    let name = name_at(address);
    (name.contains('.') && !name.contains('+')).then_some(name)
}

/// What is in the `size` bytes at this address has no names of its own any more.
pub(crate) fn forget_names(address: usize, size: usize) {
    let _host = Host::begin();
    if let Some(engine) = current()
        && let Some(offset) = engine.memory(|memory| memory.offset(address))
    {
        engine.recorder.borrow_mut().forget_names(offset, size);
    }
}

/// Makes `engine` the current machine of this thread while `f` runs.
pub(crate) fn enter<R>(engine: &Engine, f: impl FnOnce() -> R) -> R {
    /// Restores the previous machine, also if `f` unwinds.
    struct Leave(*const Engine);
    impl Drop for Leave {
        fn drop(&mut self) {
            CURRENT.set(self.0);
        }
    }
    let _leave = Leave(CURRENT.replace(engine));
    f()
}

/// The simulated machine as the kernel's host.
struct Simulated;

bind_machine!(Simulated);

// SAFETY: (1) `words` has one word a CPU, and only `attach` writes it, apart from the image being put back; (2) the
// arena gives nothing out twice in a run; (3) a context's stack is its own, and `leave` keeps what calls keep;
// (4) the machine enters the kernel through `Guest` only.
unsafe impl machine::Machine for Simulated {
    fn ncpu() -> usize {
        engine().cpus_a_kernel()
    }

    fn attach(cpu: usize, word: *const ()) {
        let engine = engine();
        engine.words[engine.own_cpu(cpu)].set(word);
    }

    #[inline]
    fn word() -> *const () {
        let engine = engine();
        engine.words[engine.cpu.get() % engine.words.len()].get()
    }

    fn send_ipi(cpu: usize) {
        let _host = Host::begin();
        let engine = engine();
        let cpu = engine.own_cpu(cpu);
        engine.drain_own();
        engine.touch_thing(Thing::Line(cpu, Line::Ipi));
        engine.assert(1 << cpu, Line::Ipi);
        if !engine.is_on_host() {
            engine.focus();
        }
    }

    fn wait_for_interrupt(unless: &AtomicU32) {
        let _host = Host::begin();
        let engine = engine();
        engine.touch(unless.as_ptr().addr(), false);
        if unless.load(Ordering::Relaxed) == 0 {
            engine.wait();
        }
    }

    /// The simulated machine takes interrupts at points only. The kernel announces none before it calls this; so only accesses
    /// inside of a step must not become points ([`Engine::take`]).
    #[inline]
    fn interrupts_on() {
        let engine = engine();
        if engine.granularity.get() == Granularity::Fine {
            engine.set_fine(true);
        }
    }

    fn relax(at: At) {
        let _host = Host::begin();
        let engine = engine();
        if !engine.is_on_host() {
            engine.spin(at);
        } else if !engine.failing.get() {
            engine.fail(
                FailureKind::Livelock,
                "host-spin",
                "the kernel spins while no CPU runs".to_owned(),
                Some(at),
            );
        }
    }

    fn context_create(name: &str, entry: fn(*const ()) -> !, arg: *const ()) -> Option<Context> {
        let _host = Host::begin();
        let engine = engine();
        engine.touch_thing(Thing::Contexts);
        let created = match engine.kernel() {
            0 => engine.contexts.create(name, entry, arg),
            _ => engine.contexts.create(&engine.own_name(name), entry, arg),
        };
        if let Some(context) = created {
            engine.new_locals(context);
        }
        created.map(Context)
    }

    unsafe fn context_switch(from: Context, to: Context) {
        // The guard outlives the switch: when this context goes on, its guest does.
        let _host = Host::begin();
        let engine = engine();
        let cpu = engine.cpu.get();
        if engine.tracing.get() {
            engine.record_switch(to.0);
        }
        if let Some(other) = engine.contexts.hand_over(from.0, to.0, cpu) {
            runs_elsewhere(engine, to.0, other);
        }
        engine.cpus[cpu].context.set(to.0);
        engine.cpus[cpu].watch.spoil();
        engine.memory(|memory| memory.switch(cpu));
        engine.leave();
    }

    unsafe fn context_destroy(context: Context) {
        let _host = Host::begin();
        let engine = engine();
        engine.touch_thing(Thing::Contexts);
        engine.contexts.destroy(context.0);
        engine.memory(Memory::stack_dies);
    }

    fn alloc(layout: Layout, what: &'static str, at: At) -> *mut u8 {
        let _host = Host::begin();
        engine().alloc(layout, what, at)
    }

    #[inline]
    fn refuses(what: &'static str, at: At) -> bool {
        engine().refuses(what, at)
    }

    unsafe fn free(at: *mut u8, _: Layout) {
        let _host = Host::begin();
        engine().free(at as usize);
    }

    fn console(text: fmt::Arguments<'_>) {
        let _host = Host::begin();
        Self::note(text);
    }

    fn stop(why: Stop, message: fmt::Arguments<'_>, at: At) -> ! {
        let _host = Host::begin();
        let engine = engine();
        // Reads for the message are not part of the run any more.
        engine.failing.set(true);
        engine.attention.set(u64::MAX);
        let message = message.to_string();
        match why {
            Stop::Passed => engine.end(Verdict::Passed),
            Stop::Contract(rule) => engine.fail(FailureKind::Contract, rule, message, Some(at)),
            Stop::Oracle("leak") => {
                let message = message + &engine.live_text();
                engine.fail(FailureKind::Leak, "leak", message, Some(at))
            }
            Stop::Oracle(rule) => engine.fail(FailureKind::Oracle, rule, message, Some(at)),
            Stop::Idles(rule, cpu) => {
                // The failure is that CPU's, whichever was asked.
                engine.cpu.set(engine.own_cpu(cpu));
                engine.fail(FailureKind::Oracle, rule, message, Some(at))
            }
            Stop::Deadlock => engine.fail(FailureKind::Deadlock, "deadlock", message, Some(at)),
            Stop::Backstop => engine.fail(FailureKind::Deadlock, "backstop", message, Some(at)),
        }
    }

    // Into every access of the kernel: as calls these would take half as long again.
    #[inline(always)]
    fn point(op: Op, at: At) -> usize {
        let engine = engine();
        engine.announce(op, at);
        engine.announced(op, at)
    }

    #[inline(always)]
    fn decide(op: Op, at: At) {
        let engine = engine();
        if op.kind == Kind::Free {
            // The place is for `free`, which follows.
            engine.current().pending.set(Pending::Op(op, at));
        }
        engine.announce(op, at);
    }

    #[inline(always)]
    fn access(op: Op, at: At) -> usize {
        engine().fused(op, at)
    }

    #[inline(always)]
    fn accessed(op: Op, at: At) {
        engine().accessed(op, at);
    }

    #[inline(always)]
    fn between(op: Op, at: At) {
        let engine = engine();
        if engine.fine.get() {
            engine.announce(op, at);
        }
    }

    #[inline(always)]
    fn made(op: Op, at: At) {
        let _ = engine().announced(op, at);
    }

    #[inline(always)]
    fn unchecked(addr: usize, writes: bool) {
        engine().touch(addr, writes);
    }

    #[inline(always)]
    fn ipl(level: u8) {
        engine().set_ipl(level);
    }

    #[inline(always)]
    fn tracing() -> bool {
        engine().listening.get()
    }

    fn note(text: fmt::Arguments<'_>) {
        let _host = Host::begin();
        let engine = engine();
        if engine.tracing.get() {
            engine.record_note(text.to_string());
        }
    }

    fn mark(mark: Mark) {
        let _host = Host::begin();
        let engine = engine();
        if engine.tracing.get() {
            engine.record_mark(mark);
        }
    }

    fn place(address: usize, out: &mut dyn fmt::Write) -> fmt::Result {
        let _host = Host::begin();
        out.write_str(&place(At::code(address)))
    }

    fn lasting(at: At) -> At {
        of_program(at)
    }

    fn own(addr: usize) -> usize {
        let _host = Host::begin();
        current().map_or(addr, |engine| engine.own(addr))
    }

    fn dropped(addr: usize, size: usize) {
        // Also outside of any machine: tests have cells of their own.
        if let Some(engine) = current() {
            engine.dropped(addr, size);
        }
    }

    fn takes_turns() -> bool {
        true
    }

    fn halts(cpu: usize) -> bool {
        let _host = Host::begin();
        let engine = engine();
        let cpu = &engine.cpus[engine.own_cpu(cpu)];
        matches!(cpu.pending.get(), Pending::Wait)
    }

    fn moved(from: usize, to: usize, size: usize) {
        let _host = Host::begin();
        let engine = engine();
        let offset = |address| engine.memory(|memory| memory.offset(address));
        if let (Some(from), Some(to)) = (offset(from), offset(to)) {
            engine.recorder.borrow_mut().move_labels(from, to, size);
        }
    }

    fn nics() -> usize {
        let _host = Host::begin();
        engine().cards.count()
    }

    fn nic(unit: usize) -> Nic {
        let _host = Host::begin();
        let engine = engine();
        engine.cards.card(engine.kernel(), unit)
    }

    fn nic_transmit(unit: usize, frame: &[u8]) -> bool {
        let _host = Host::begin();
        let engine = engine();
        engine.drain_own();
        engine.touch_thing(Thing::Wire);
        let (point, kernel) = (engine.points.get(), engine.kernel());
        let taken = engine.cards.transmit(point, (kernel, unit), frame);
        engine.announce_frames();
        taken
    }

    fn nic_receive(unit: usize, _queue: usize, frame: &mut [u8]) -> Option<usize> {
        let _host = Host::begin();
        let engine = engine();
        engine.touch_thing(Thing::Wire);
        engine.cards.receive((engine.kernel(), unit), frame)
    }

    fn nic_counts() -> Option<NicCounts> {
        let _host = Host::begin();
        let engine = engine();
        engine.touch_thing(Thing::Wire);
        Some(engine.cards.counts(engine.kernel()))
    }

    fn nic_queue(unit: usize, _queue: usize) -> Option<NicQueue> {
        let _host = Host::begin();
        let engine = engine();
        engine.touch_thing(Thing::Wire);
        Some(engine.cards.queue((engine.kernel(), unit)))
    }

    fn label(
        addr: usize,
        size: usize,
        name: fmt::Arguments<'_>,
        fields: &'static [Field],
        sort: ObjectKind,
    ) {
        let _host = Host::begin();
        let engine = engine();
        if let Some(offset) = engine.memory(|memory| memory.offset(addr)) {
            let name = engine.own_name(name);
            engine.census.label(addr, &name, fields, sort);
            let mut recorder = engine.recorder.borrow_mut();
            recorder.put_label(offset, size, name, fields);
        }
    }

    #[inline]
    fn happened(occasion: Occasion) {
        let engine = engine();
        let census = &engine.census;
        match occasion {
            Occasion::Slept(address)
            | Occasion::Contended(address)
            | Occasion::HandlerBegins(address, _)
            | Occasion::HandlerEnds(address)
                if census.is_settled(address) => {}
            Occasion::ActorBegins if census.begins(engine.current().context.get()) => {}
            Occasion::ActorEnds => census.actor_ends(engine.current().context.get()),
            _ => count(engine, occasion),
        }
    }
}

/// A context is switched to that runs on that CPU.
#[cold]
#[inline(never)]
fn runs_elsewhere(engine: &Engine, context: usize, cpu: usize) -> ! {
    let _host = Host::begin();
    let name = engine.contexts.name(context);
    engine.fail(
        FailureKind::Contract,
        "context-running",
        format!("{name} is switched to, and runs on cpu{cpu}"),
        None,
    )
}

/// Tells the census.
#[inline(never)]
fn count(engine: &Engine, occasion: Occasion) {
    let _host = Host::begin();
    let (census, cpu) = (&engine.census, engine.cpu.get());
    let context = engine.cpus[cpu].context.get();
    let handled = |address, on_top| {
        let contexts = engine.cpus[..engine.ncpu.get()].iter();
        let contexts = contexts.map(|cpu| cpu.context.get());
        census.handled((address, engine.own(address)), on_top, cpu, contexts);
    };
    match occasion {
        Occasion::SetUp => census.set_up(true),
        Occasion::SetUpOver => census.set_up(false),
        // What the host does with a kernel at rest is no part of a run.
        _ if engine.is_on_host() => {}
        Occasion::ActorBegins => census.new_actor_begins(context, &engine.context_name(cpu)),
        Occasion::ActorEnds => {}
        Occasion::Slept(address) | Occasion::Contended(address) => {
            census.used(address, engine.own(address));
        }
        Occasion::HandlerBegins(address, on_top) => handled(address, on_top),
        Occasion::HandlerEnds(address) => handled(address, false),
    }
}
