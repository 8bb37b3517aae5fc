//! The thread and the CPU that C code runs on: spl(9), lwp(9), kthread(9), cpu(9), kpause(9).

use core::ffi::{c_char, c_int, c_uint, c_void};

use kmod::kern::contract::assert_sleepable;
use kmod::kern::cpu::Cpu;
use kmod::kern::kthread::{self, Options};
use kmod::kern::lwp::{self, Lwp, curcpu, curlwp, pri};
use kmod::kern::mutex::Kmutex;
use kmod::kern::spl::{self, Ipl};
use kmod::kern::synch;

use super::intern::{call, closure};
use super::later::Out;
use super::locks::{EWOULDBLOCK, ticks};
use super::{FromC, Func, Text, at_rest, boots, bound};

/// `KTHREAD_MUSTJOIN`.
const KTHREAD_MUSTJOIN: c_int = 0x10;
/// `ENOMEM`.
const ENOMEM: c_int = 12;

/// The band of a priority that C has given: `PRI_NONE` is that of kernel threads.
pub(super) fn priority(number: c_int) -> u8 {
    match u8::try_from(number) {
        Err(_) => pri::KTHREAD,
        Ok(number) => number.clamp(pri::USER, pri::XCALL),
    }
}

/// `struct rumplab_kthread`: what a thread is created with.
#[repr(C)]
struct Kthread {
    priority: c_int,
    flags: c_int,
    ci: *const Cpu,
    name: *const c_char,
}

bound! {
    fn rumplab_splraise(ipl: Ipl) -> Ipl {
        spl::splraise(ipl)
    }
    fn splx(ipl: Ipl) {
        spl::splx(ipl);
    }
    fn spl0() {
        spl::splx(Ipl::None);
    }
    fn cpu_intr_p() -> bool {
        spl::cpu_intr_p()
    }
    fn cpu_softintr_p() -> bool {
        spl::cpu_softintr_p()
    }

    fn assert_sleepable() {
        if !at_rest() {
            assert_sleepable("ASSERT_SLEEPABLE");
        }
    }
    fn kpreempt_disable() {
        synch::kpreempt_disable();
    }
    fn kpreempt_enable() {
        synch::kpreempt_enable();
    }
    fn kpreempt_disabled() -> bool {
        synch::kpreempt_disabled()
    }
    fn preempt_point() {
        synch::preempt_point();
    }
    fn preempt() {
        synch::yield_now();
    }
    fn yield() {
        synch::yield_now();
    }
    fn kpause(wmesg: Text, _interruptible: bool, timeout: c_int, mutex: Option<&'static Kmutex>) -> c_int {
        synch::kpause(wmesg.0, ticks(timeout), mutex);
        EWOULDBLOCK
    }
    fn nullop(_arg: usize) -> c_int {
        0
    }
    fn rumplab_relax() {
        kmod::mem::relax();
    }
    fn rumplab_cold() -> bool {
        boots()
    }

    fn rumplab_curlwp() -> &'static Lwp {
        curlwp()
    }
    fn curlwp_bind() -> c_uint {
        lwp::curlwp_bind()
    }
    fn curlwp_bindx(bound: c_uint) {
        lwp::curlwp_bindx(bound);
    }
    fn lwp_pctr() -> u64 {
        curlwp().pctr()
    }

    fn rumplab_kthread_create(how: &'static Kthread, func: Func, arg: usize, created: Out<Lwp>) -> c_int {
        // SAFETY: the header has made it.
        let ci = unsafe { <Option<&'static Cpu>>::from_c(how.ci) };
        // SAFETY: as above.
        let name = unsafe { Text::from_c(how.name) };
        let options = Options {
            priority: priority(how.priority),
            cpu: ci.map(|ci| ci.index()),
            must_join: how.flags & KTHREAD_MUSTJOIN != 0,
            // It begins when the machine does.
            begin_on: curcpu().index(),
            ..Options::default()
        };
        let work = closure(func, [arg, 0]);
        let kernel = curlwp().kernel();
        match kthread::kthread_create(kernel, &options, call, work, format_args!("{}", name.0)) {
            Some(l) => {
                created.put(l);
                0
            }
            None => ENOMEM,
        }
    }
    fn kthread_exit(_code: c_int) {
        kthread::kthread_exit();
    }
    fn kthread_join(l: &'static Lwp) -> c_int {
        kthread::kthread_join(l);
        0
    }

    fn rumplab_curcpu() -> &'static Cpu {
        curcpu()
    }
    fn rumplab_ncpu() -> c_uint {
        curlwp().kernel().cpus().len() as c_uint
    }
    fn cpu_lookup(index: c_uint) -> Option<&'static Cpu> {
        curlwp().kernel().cpus().get(index as usize)
    }
    fn cpu_index(ci: &'static Cpu) -> c_uint {
        ci.index() as c_uint
    }
    fn cpu_name(ci: &'static Cpu) -> *const c_void {
        const NAMES: [&core::ffi::CStr; 8] =
            [c"cpu0", c"cpu1", c"cpu2", c"cpu3", c"cpu4", c"cpu5", c"cpu6", c"cpu7"];
        NAMES.get(ci.index()).unwrap_or(&c"cpu").as_ptr().cast()
    }
}
