//! What runs later or elsewhere: callout(9), softint(9), interrupts of devices, xcall(9), workqueue(9).

use core::ffi::{c_int, c_uint, c_void};

use kmod::kern::callout::Callout;
use kmod::kern::cpu::Cpu;
use kmod::kern::hooks;
use kmod::kern::intr::{self, Intrhand};
use kmod::kern::kmem;
use kmod::kern::lwp::{Arg, curcpu, curlwp};
use kmod::kern::mutex::Kmutex;
use kmod::kern::softint::{self, LEVELS, Softint};
use kmod::kern::spl::Ipl;
use kmod::kern::workqueue::{self, Work, Workers, Workqueue};
use kmod::kern::xcall::{self, Priority, Ticket};
use kmod::machine::{self, Described, Field, ObjectKind, Occasion};

use super::convert::Expression;
use super::intern::{call, call_after, call_with_both, closure};
use super::locks::ticks;
use super::thread::priority;
use super::{FromC, Func, Raw, Text, at_rest, bound, level, refused};

/// `XC_HIGHPRI`, and the bits in which the level stands.
const XC_HIGHPRI: c_uint = 1;
const XC_IPL_SHIFT: c_uint = 8;
/// `WQ_PERCPU`.
const WQ_PERCPU: c_int = 8;
/// `SOFTINT_LVLMASK`.
const SOFTINT_LVLMASK: c_uint = 0xff;
/// `ENOMEM`.
const ENOMEM: c_int = 12;

/// A handler of C: what its cookie points to.
struct Handler<T> {
    of: T,
    work: Arg,
}

/// To traces it is one word.
impl<T> Described for Handler<T> {
    const FIELDS: &'static [Field] = &[];
    const SORT: ObjectKind = ObjectKind::Handler;
}

/// Runs the work of a handler, and tells when.
fn perform<T: 'static>(at: Arg) {
    // SAFETY: `establish` made it, and it is freed when the handler cannot run any more.
    let handler: &Handler<T> = unsafe { at.get() };
    machine::happened(Occasion::HandlerBegins(at.0, softint::is_on_top()));
    call(handler.work);
    machine::happened(Occasion::HandlerEnds(at.0));
}

/// Makes a handler whose `perform` is established by `establish`, which gets where it will be.
fn make<T: 'static>(
    what: &'static str,
    work: Arg,
    establish: impl FnOnce(Arg) -> Option<T>,
) -> Option<&'static Handler<T>> {
    let layout = core::alloc::Layout::new::<Handler<T>>();
    let at = kmem::raw_alloc(what, layout).cast::<Handler<T>>();
    let arg = Arg(at.expose_provenance());
    match establish(arg).filter(|_| !at.is_null()) {
        Some(of) => {
            // SAFETY: memory of this layout that nobody else has.
            unsafe { at.write(Handler { of, work }) };
            // SAFETY: it was written just now, and is freed in `free`.
            Some(unsafe { &*at })
        }
        None => {
            // SAFETY: (1) it came from `raw_alloc`; (2) nobody knows it.
            unsafe { kmem::raw_free(what, at.cast(), layout) };
            None
        }
    }
}

/// Frees a handler that does not run any more.
fn free<T>(what: &'static str, handler: &'static Handler<T>) {
    let layout = core::alloc::Layout::new::<Handler<T>>();
    let at = core::ptr::from_ref(handler).cast_mut().cast();
    // SAFETY: (1) it came from `raw_alloc` in `make`; (2) it was disestablished.
    unsafe { kmem::raw_free(what, at, layout) };
}

fn softint_level(flags: c_uint) -> Ipl {
    match LEVELS.get((flags & SOFTINT_LVLMASK) as usize) {
        Some(level) => *level,
        None => refused(format_args!(
            "softint_establish with the flags {flags:#x}, which name no level"
        )),
    }
}

/// The priority of a cross call with these flags.
pub(super) fn cross_call(flags: c_uint) -> Priority {
    if flags & XC_HIGHPRI == 0 {
        return Priority::Low;
    }
    match flags >> XC_IPL_SHIFT {
        0 => Priority::HIGH,
        number => Priority::High(level(number as c_int)),
    }
}

/// The memory in which C keeps a pointer to what is created.
pub(super) struct Out<T: 'static>(*mut *const T);

impl<T> FromC for Out<T> {
    type Word = *mut *const T;

    unsafe fn from_c(word: *mut *const T) -> Out<T> {
        Out(word)
    }
}

impl<T> Out<T> {
    /// Stores the pointer, unless C does not want it.
    pub(super) fn put(self, value: &'static T) {
        if !self.0.is_null() {
            // SAFETY: C has a pointer there.
            unsafe { self.0.write(value) };
        }
    }
}

bound! {
    fn rumplab_callout_init(callout: Raw<Callout>, _flags: c_uint, name: Expression) {
        callout.make_named(Callout::new(), name.0).init(curcpu());
    }
    fn callout_setfunc(callout: &'static Callout, func: Func, arg: usize) {
        callout.setfunc(call, closure(func, [arg, 0]));
    }
    fn callout_reset(callout: &'static Callout, after: c_int, func: Func, arg: usize) {
        callout.reset(ticks(after), call, closure(func, [arg, 0]));
    }
    fn callout_schedule(callout: &'static Callout, after: c_int) {
        callout.schedule(ticks(after));
    }
    fn callout_stop(callout: &'static Callout) -> bool {
        callout.stop()
    }
    fn callout_halt(callout: &'static Callout, interlock: Option<&'static Kmutex>) -> bool {
        callout.halt(interlock)
    }
    fn callout_destroy(callout: &'static Callout) {
        callout.destroy();
    }
    fn callout_expired(callout: &'static Callout) -> bool {
        callout.expired()
    }
    fn callout_active(callout: &'static Callout) -> bool {
        callout.active()
    }
    fn callout_pending(callout: &'static Callout) -> bool {
        callout.pending()
    }
    fn callout_invoking(callout: &'static Callout) -> bool {
        callout.invoking()
    }
    fn callout_ack(callout: &'static Callout) {
        callout.ack();
    }

    fn softint_establish(flags: c_uint, func: Func, arg: usize) -> Option<&'static Handler<Softint>> {
        let level = softint_level(flags);
        let work = closure(func, [arg, 0]);
        make("softint", work, |at| match at_rest() {
            true => softint::establish_at_boot(curlwp().kernel().cpus(), level, perform::<Softint>, at),
            false => softint::establish(level, perform::<Softint>, at),
        })
    }
    fn softint_disestablish(softint: &'static Handler<Softint>) {
        match at_rest() {
            true => softint::disestablish_at_rest(curlwp().kernel(), softint.of),
            false => softint::disestablish(softint.of),
        }
        free("softint", softint);
    }
    fn softint_schedule(softint: &'static Handler<Softint>) {
        softint::schedule(softint.of);
    }
    fn softint_schedule_cpu(softint: &'static Handler<Softint>, ci: &'static Cpu) {
        softint::schedule_cpu(softint.of, ci);
    }

    fn rumplab_intr_establish(
        name: Text,
        cpu: c_uint,
        ipl: Ipl,
        func: Func,
        arg: usize,
    ) -> Option<&'static Handler<Intrhand>> {
        let cpus = curlwp().kernel().cpus();
        let ci = &cpus[cpu as usize % cpus.len()];
        let work = closure(func, [arg, 0]);
        let handler = make("interrupt", work, |at| intr::establish(ci, ipl, perform::<Intrhand>, at));
        if let Some(handler) = handler {
            machine::label(handler, format_args!("{}", name.0));
        }
        handler
    }
    fn rumplab_intr_raise(interrupt: &'static Handler<Intrhand>) {
        intr::raise(interrupt.of);
    }
    fn rumplab_intr_disestablish(interrupt: &'static Handler<Intrhand>) {
        match at_rest() {
            true => intr::disestablish_at_rest(curlwp().kernel(), interrupt.of),
            false => intr::disestablish(interrupt.of),
        }
        free("interrupt", interrupt);
    }

    fn xc_encode_ipl(ipl: Ipl) -> c_uint {
        match ipl {
            Ipl::SoftSerial => 0,
            ipl if ipl.is_soft() => c_uint::from(ipl as u8) << XC_IPL_SHIFT,
            ipl => refused(format_args!("a cross call at level {}, which is not a soft one", ipl.name())),
        }
    }
    fn xc_broadcast(flags: c_uint, func: Func, first: usize, second: usize) -> u64 {
        let args = (closure(func, [first, second]), Arg::NONE);
        xcall::broadcast(cross_call(flags), call_with_both, args).to_word()
    }
    fn xc_unicast(flags: c_uint, func: Func, first: usize, second: usize, ci: &'static Cpu) -> u64 {
        let args = (closure(func, [first, second]), Arg::NONE);
        xcall::unicast(cross_call(flags), call_with_both, args, ci).to_word()
    }
    fn xc_wait(ticket: u64) {
        xcall::wait(Ticket::from_word(ticket));
    }
    fn xc_send_ipi(ci: Option<&'static Cpu>) {
        hooks::send_xcall(ci);
    }
    fn xc_barrier(flags: c_uint) {
        xcall::barrier(cross_call(flags));
    }

    // The priority, the level and the flags in one word: see `How`.
    #[packed("movzx r8d, r8w", "shl r9d, 16", "or r8d, r9d", "mov eax, [rsp + 8]", "shl rax, 32", "or r8, rax")]
    fn workqueue_create(
        queue: Out<Workqueue>,
        name: Text,
        func: Func,
        arg: usize,
        how: How,
    ) -> c_int {
        let workers = match how.flags & WQ_PERCPU {
            0 => Workers::One,
            _ => Workers::PerCpu,
        };
        let run = (do_work as fn(&'static Work, Arg), closure(func, [arg, 0]));
        let kernel = curlwp().kernel();
        let created = workqueue::create(
            kernel,
            name.0,
            run,
            priority(how.priority),
            level(how.ipl),
            workers,
        );
        match created {
            Some(created) => {
                queue.put(created);
                0
            }
            None => ENOMEM,
        }
    }
    fn workqueue_destroy(queue: &'static Workqueue) {
        queue.destroy();
    }
    fn workqueue_enqueue(queue: &'static Workqueue, work: &'static Work, ci: Option<&'static Cpu>) {
        queue.enqueue(work, ci);
    }
    fn workqueue_wait(queue: &'static Workqueue, work: &'static Work) {
        queue.wait(work);
    }
}

/// The rest of what a queue is created with.
struct How {
    priority: c_int,
    ipl: c_int,
    flags: c_int,
}

impl FromC for How {
    type Word = u64;

    unsafe fn from_c(word: u64) -> How {
        How {
            priority: c_int::from(word as i16),
            ipl: c_int::from((word >> 16) as i16),
            flags: (word >> 32) as c_int,
        }
    }
}

/// Calls the function of a queue for a piece of work.
fn do_work(work: &'static Work, arg: Arg) {
    let work: *const c_void = core::ptr::from_ref(work).cast();
    call_after(work.expose_provenance(), arg);
}
