//! Faults and endless loops of the kernel: caught, and turned into a failure of the run.
//!
//! # Overview
//!
//! Code under test can follow a wild pointer, use up its stack, or loop without reaching a point at which it could be
//! stopped. All of these are findings, with a schedule that can be replayed, and must not end this program. So a
//! signal that is raised by a fault while a context runs is handled like a failed check: the context ends the run and
//! leaves. Its state is forgotten, as with every context when a run ends.
//!
//! # How a context is made to end the run
//!
//! The handler runs on the thread's signal stack. It changes where the context continues: not at the instruction that
//! was interrupted, but in [`end_of_run`], on the upper half of the context's own stack, which is available even if
//! the lower half is used up. What this overwrites is not needed any more.
//!
//! # Endless loops
//!
//! A timer of the thread's CPU time, which stops while a debugger stops the thread, checks whether the machine has
//! reached another point. A run ends after [`PATIENCE`] ticks in which it has not. While a scenario is set up, and while it is
//! checked at the end, nothing is decided at points and their number is not limited. There the time alone counts.
//!
//! # What is not caught
//!
//! A fault in the machine's own code ([`super::side`]), for instance because the guest has overwritten memory that is
//! not its own. Then no state can be trusted: the handler reports what ran, and ends the process with status 2. On
//! systems other than Linux on x86-64 nothing is caught.

use std::cell::Cell;

use kmod::machine::At;

use super::engine::Engine;
use super::failure::FailureKind;
use super::module;
use super::side::Host;
use super::source::{self, Line};

/// Seconds of CPU time without a point after which a run ends.
const PATIENCE: u32 = 3;
/// The rule of such an end.
pub(crate) const NO_STEP: &str = "no-step";

/// Why a context must end the run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Cause {
    /// Its stack is used up.
    Overflow,
    /// It accesses this address, which comes from a null pointer.
    Null(usize),
    /// It accesses unmapped memory, or an invalid address.
    Wild,
    /// It divides by zero, or similar.
    Arithmetic,
    /// It executes an invalid instruction.
    Instruction,
    /// It reaches no point.
    Loop,
    /// The setup of the scenario, or the check at its end, does not end.
    Check,
}

thread_local! {
    /// Why the running context must end the run.
    static CAUSE: Cell<Option<Cause>> = const { Cell::new(None) };
    /// The instruction that faulted in the run that ended last.
    static FAULTED_AT: Cell<usize> = const { Cell::new(0) };
}

impl Cause {
    fn kind(self) -> FailureKind {
        match self {
            Cause::Loop | Cause::Check => FailureKind::Livelock,
            _ => FailureKind::Fault,
        }
    }

    fn rule(self) -> &'static str {
        match self {
            Cause::Overflow => "stack-overflow",
            Cause::Loop | Cause::Check => NO_STEP,
            _ => "fault",
        }
    }

    fn message(self, context: &str) -> String {
        match self {
            Cause::Overflow => format!("{context} has used up its stack"),
            Cause::Null(address) => {
                format!("{context} touches address {address:#x}, where nothing is: a null pointer")
            }
            Cause::Wild => format!("{context} accesses unmapped memory"),
            Cause::Arithmetic => {
                format!("{context} divides by zero, or what it divides is too large")
            }
            Cause::Instruction => format!("{context} executes what is no instruction"),
            Cause::Check => format!(
                "the setup of the program, or the check at its end, has run for {PATIENCE} s: it loops for ever"
            ),
            Cause::Loop => format!(
                "{context} makes no step for {PATIENCE} s: it loops for ever without touching shared memory"
            ),
        }
    }
}

/// From now on faults of the kernel end runs and not the program, in the whole process. Other faults go to the
/// previous handlers.
pub fn catch_faults() {
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    signals::install();
}

/// Describes the next runs of this thread, for a message that a handler writes. At most 96 bytes are kept.
pub(crate) fn watch_as(subject: &str) {
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    signals::watch_as(subject);
    #[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
    let _ = subject;
}

/// Watches the runs of this thread for loops without a point, if faults are caught.
pub(crate) fn watch() {
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    signals::watch();
}

/// Ends the run, because the stack of the running context is nearly used up.
pub(crate) fn overflow(engine: &Engine, at: At) -> ! {
    let _host = Host::begin();
    let context = engine.context_name(engine.cpu.get());
    let cause = Cause::Overflow;
    engine.fail(
        cause.kind(),
        cause.rule(),
        cause.message(&context),
        Some(at),
    )
}

/// Ends the run, because its setup or its check takes too long.
#[cold]
pub(crate) fn late(engine: &Engine, at: At) -> ! {
    engine.late.set(false);
    let cause = Cause::Check;
    engine.fail(cause.kind(), cause.rule(), cause.message(""), Some(at))
}

/// The line of the fault that ended the last run of this thread, if one did: in code of the program, not of a library.
pub(crate) fn take_line() -> Option<Line> {
    let at = FAULTED_AT.replace(0);
    if at == 0 {
        return None;
    }
    if let Some(line) = module::line_of(at) {
        return Some(line);
    }
    let lines = source::lines_of(at);
    lines.iter().find(|line| line.is_ours()).cloned()
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod signals {
    use std::cell::Cell;
    use std::ffi::c_void;
    use std::mem::MaybeUninit;
    use std::ops::Range;
    use std::ptr;
    use std::sync::OnceLock;

    use libc::{c_int, siginfo_t, ucontext_t};

    use super::{CAUSE, Cause, FAULTED_AT, PATIENCE};
    use crate::machine::context::GUARD_BYTES;
    use crate::machine::host::current;
    use crate::machine::side::{Host, in_guest};

    /// The signals that faults raise.
    const FAULTS: [c_int; 4] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL];
    /// The signal of a thread's timer.
    const TICK: c_int = libc::SIGVTALRM;
    /// The code of a fault for which the processor reports no address, because the address is not canonical.
    const NO_ADDRESS: c_int = 0x80;
    /// Addresses below this belong to null pointers, with an offset.
    const NULL_BYTES: usize = 65_536;

    /// The previous handlers.
    static BEFORE: OnceLock<[libc::sigaction; FAULTS.len()]> = OnceLock::new();

    thread_local! {
        /// Runs that this thread has begun.
        static RUNS: Cell<u64> = const { Cell::new(0) };
        /// The run and the point at the last ticks, and how many ticks saw the same.
        static SEEN: Cell<(u64, u64, u32)> = const { Cell::new((0, 0, 0)) };
        static TIMER: Timer = Timer::start();
        /// The description of what this thread runs, for a handler: bytes, and how many of them are used.
        pub(super) static SUBJECT: Cell<([u8; 96], usize)> = const { Cell::new(([0; 96], 0)) };
    }

    type Handler = extern "C" fn(c_int, *mut siginfo_t, *mut c_void);

    fn action(handler: Handler, flags: c_int) -> libc::sigaction {
        // SAFETY: all zeros is a value of this type: no handler, no flags, an empty mask.
        let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | flags;
        action
    }

    /// Sets the action of a signal. Returns the previous one.
    fn set(signal: c_int, action: &libc::sigaction) -> libc::sigaction {
        let mut before = MaybeUninit::zeroed();
        // SAFETY: (1) both point to a `sigaction`; (2) our handlers do only what a handler may, see there.
        let error = unsafe { libc::sigaction(signal, action, before.as_mut_ptr()) };
        assert_eq!(error, 0, "signal {signal} cannot be caught");
        // SAFETY: zeroed, and perhaps written by the call.
        unsafe { before.assume_init() }
    }

    pub(super) fn install() {
        BEFORE.get_or_init(|| {
            set(TICK, &action(on_tick, libc::SA_RESTART));
            FAULTS.map(|signal| set(signal, &action(on_fault, 0)))
        });
    }

    pub(super) fn watch_as(subject: &str) {
        let mut bytes = [0; 96];
        let length = subject.floor_char_boundary(bytes.len());
        bytes[..length].copy_from_slice(&subject.as_bytes()[..length]);
        SUBJECT.set((bytes, length));
        RUNS.set(0);
    }

    pub(super) fn watch() {
        if BEFORE.get().is_some() {
            RUNS.set(RUNS.get() + 1);
            TIMER.with(|_| {});
        }
    }

    /// A timer of the thread that created it. It raises [`TICK`] there after every second of the thread's CPU time.
    struct Timer(Option<libc::timer_t>);

    impl Timer {
        fn start() -> Timer {
            // SAFETY: all zeros is a value of this type.
            let mut event: libc::sigevent = unsafe { MaybeUninit::zeroed().assume_init() };
            event.sigev_notify = libc::SIGEV_THREAD_ID;
            event.sigev_signo = TICK;
            // SAFETY: it asks for nothing.
            event.sigev_notify_thread_id = unsafe { libc::gettid() };
            let mut timer = ptr::null_mut();
            let clock = libc::CLOCK_THREAD_CPUTIME_ID;
            // SAFETY: both point to what the call is about.
            if unsafe { libc::timer_create(clock, &mut event, &mut timer) } != 0 {
                // Without timers, loops are not detected; everything else works.
                return Timer(None);
            }
            let second = libc::timespec {
                tv_sec: 1,
                tv_nsec: 0,
            };
            let every = libc::itimerspec {
                it_interval: second,
                it_value: second,
            };
            // SAFETY: a timer of this thread's, just made.
            unsafe { libc::timer_settime(timer, 0, &every, ptr::null_mut()) };
            Timer(Some(timer))
        }
    }

    impl Drop for Timer {
        fn drop(&mut self) {
            if let Some(timer) = self.0 {
                // SAFETY: it was made by `start`, and nobody else deletes it.
                unsafe { libc::timer_delete(timer) };
            }
        }
    }

    /// The registers of the interrupted code.
    struct Interrupted(*mut ucontext_t);

    impl Interrupted {
        fn register(&self, number: c_int) -> *mut i64 {
            // SAFETY: the context that the system gave a handler, which has not returned; the number is one of a register.
            unsafe { &raw mut (*self.0).uc_mcontext.gregs[number as usize] }
        }

        fn get(&self, number: c_int) -> usize {
            // SAFETY: as above.
            unsafe { self.register(number).read() as usize }
        }

        fn set(&self, number: c_int, value: usize) {
            // SAFETY: as above.
            unsafe { self.register(number).write(value as i64) };
        }

        /// The stack of the kernel's context, if that was interrupted.
        fn guest_stack(&self) -> Option<Range<usize>> {
            let stack = current()?.stack_in_use()?;
            let at = self.get(libc::REG_RSP);
            (stack.start <= at && at <= stack.end).then_some(stack)
        }

        /// The instruction that a fault at `address` is to be laid to: that which was interrupted or, if the jump to it is the fault, the
        /// call of it.
        fn place(&self, stack: &Range<usize>, address: usize) -> usize {
            let (at, top) = (self.get(libc::REG_RIP), self.get(libc::REG_RSP));
            let is_jump = at == address && top % 8 == 0;
            if !is_jump || !(stack.start..stack.end - 7).contains(&top) {
                return at;
            }
            // SAFETY: a word of the stack that is in use.
            let back = unsafe { ptr::with_exposed_provenance::<usize>(top).read() };
            back.saturating_sub(1)
        }

        /// Makes the context end the run instead of continuing.
        fn divert(&self, stack: &Range<usize>, cause: Cause) {
            CAUSE.set(Some(cause));
            // The alignment at the entry of a function: 8 less than a multiple of 16.
            let middle = (stack.start + stack.len() / 2) & !0xf;
            self.set(libc::REG_RSP, middle - 8);
            self.set(libc::REG_RIP, end_of_run as *const () as usize);
        }
    }

    /// Writes to the standard error, with only what a handler may call.
    fn tell(text: &str) {
        // SAFETY: that many bytes are there.
        unsafe { libc::write(libc::STDERR_FILENO, text.as_ptr().cast(), text.len()) };
    }

    /// A fault outside the guest while a machine runs. Its locks and borrows would never be released, so the process
    /// cannot continue. If other handlers must see the fault, as in a fuzz target, it is left to them.
    fn give_up() {
        if cfg!(feature = "sanitizer") {
            return;
        }
        tell("rumplab: a fault in the machine itself, and not in the program under test, in ");
        tell_subject();
        tell(
            "\nThe program may have written where nothing of it is, or this is a fault of rumplab. No replay file can be written.\n",
        );
        // SAFETY: it ends the process without using any of its state.
        unsafe { libc::_exit(2) };
    }

    /// Writes what runs.
    fn tell_subject() {
        let (bytes, length) = SUBJECT.get();
        let mut digits = [0; 20];
        let mut first = digits.len();
        let mut rest = RUNS.get();
        loop {
            first -= 1;
            digits[first] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        tell("schedule ");
        tell(std::str::from_utf8(&digits[first..]).unwrap_or_default());
        tell(" of this thread: ");
        tell(std::str::from_utf8(&bytes[..length]).unwrap_or_default());
    }

    /// Allocates nothing, takes no lock, and accesses only this thread's own data.
    extern "C" fn on_fault(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
        let interrupted = Interrupted(context.cast());
        let guest_stack = interrupted.guest_stack();
        if current().is_some() && !(guest_stack.is_some() && in_guest()) {
            give_up();
        }
        let Some(stack) = guest_stack else {
            // It is raised again, for the previous handler.
            let before = FAULTS.iter().position(|fault| *fault == signal);
            if let (Some(actions), Some(index)) = (BEFORE.get(), before) {
                set(signal, &actions[index]);
            }
            return;
        };
        // SAFETY: what the system gave a handler that asked for it.
        let info = unsafe { &*info };
        // SAFETY: it tells of a fault, and so it has an address.
        let (code, address) = (info.si_code, unsafe { info.si_addr() }.addr());
        FAULTED_AT.set(interrupted.place(&stack, address));
        let guard = stack.start..stack.start + GUARD_BYTES;
        let cause = match signal {
            libc::SIGFPE => Cause::Arithmetic,
            libc::SIGILL => Cause::Instruction,
            _ if code == NO_ADDRESS => Cause::Wild,
            _ if guard.contains(&address) => Cause::Overflow,
            _ if address < NULL_BYTES => Cause::Null(address),
            _ => Cause::Wild,
        };
        interrupted.divert(&stack, cause);
    }

    /// As [`on_fault`].
    extern "C" fn on_tick(_signal: c_int, _info: *mut siginfo_t, context: *mut c_void) {
        let interrupted = Interrupted(context.cast());
        let (Some(engine), Some(stack)) = (current(), interrupted.guest_stack()) else {
            return;
        };
        let (cause, point) = match engine.decides() {
            true => (Cause::Loop, engine.points.get()),
            false => (Cause::Check, u64::MAX),
        };
        let run = RUNS.get();
        let (last_run, last_point, times) = SEEN.get();
        let times = match (last_run, last_point) == (run, point) {
            true => times + 1,
            false => 0,
        };
        SEEN.set((run, point, times));
        // Not in the middle of the machine's own code, which always comes to an end.
        if times < PATIENCE {
            return;
        }
        if in_guest() {
            interrupted.divert(&stack, cause);
        } else if cause == Cause::Check {
            engine.end_soon();
        }
    }

    /// Runs instead of a context that must end the run.
    extern "C" fn end_of_run() -> ! {
        let (Some(engine), Some(cause)) = (current(), CAUSE.take()) else {
            std::process::abort()
        };
        // What the report says outlives the run, and its memory is not the machine's.
        let _host = Host::begin();
        let context = engine.context_name(engine.cpu.get());
        let at = engine.current().location();
        let mut message = cause.message(&context);
        if cause == Cause::Loop && engine.is_in_module(FAULTED_AT.get()) {
            message += ", as far as its compiler tells; another one tells of other accesses: --cc gcc-12 or clang-19";
        }
        engine.fail(cause.kind(), cause.rule(), message, at)
    }
}
