//! What keeps objects alive: psref(9), localcount(9), pserialize(9).

use core::ffi::{c_int, c_uint};

use kmod::kern::condvar::Kcondvar;
use kmod::kern::kmem::{kmem_alloc, kmem_free};
use kmod::kern::localcount::Localcount;
use kmod::kern::lwp::curlwp;
use kmod::kern::mutex::Kmutex;
use kmod::kern::pserialize::{self, Pserialize};
use kmod::kern::psref::{Psref, PsrefClass, PsrefTarget};
use kmod::kern::spl::Ipl;
use kmod::machine::{self, Stop};

use super::{Raw, Text, at_rest, bound};

/// Ends the run: there is no memory for it, and the function of C cannot say so.
pub(super) fn no_memory(what: &str) -> ! {
    machine::stop(
        Stop::Contract("scenario-memory"),
        format_args!("no memory for {what}"),
    )
}

/// The reference in memory of C: a new one, unless it is held already, which the kernel then finds.
fn reference(memory: Raw<Psref>, class: &PsrefClass) -> &'static Psref {
    match class.lists(memory.address()) {
        // SAFETY: what is on a list was acquired, and not released.
        true => unsafe { memory.made() },
        false => memory.make(Psref::new()),
    }
}

bound! {
    fn psref_class_create(name: Text, ipl: Ipl) -> Option<&'static PsrefClass> {
        let class = PsrefClass::create(name.0, ipl)?;
        let kept = kmem_alloc("psref class of C", class);
        if kept.is_none() {
            // SAFETY: (1) it was returned by `create`; (2) nobody else knows it.
            unsafe { class.destroy_at_rest() };
        }
        kept
    }
    fn psref_class_destroy(class: &'static PsrefClass) {
        match at_rest() {
            // SAFETY: (1) it was returned by `create`; (2) nothing runs.
            true => unsafe { class.destroy_at_rest() },
            // SAFETY: as above, and the caller's promise.
            false => unsafe { class.destroy() },
        }
        // SAFETY: (1) it came from `kmem_alloc`; (2) the caller's promise.
        unsafe { kmem_free(class) };
    }
    fn psref_target_init(target: Raw<PsrefTarget>, class: &'static PsrefClass) {
        target.make_named(PsrefTarget::new(), "psref target").init(*class);
    }
    fn psref_target_destroy(target: &'static PsrefTarget, class: &'static PsrefClass) {
        target.destroy(*class);
    }
    fn psref_acquire(psref: Raw<Psref>, target: &'static PsrefTarget, class: &'static PsrefClass) {
        reference(psref, class).acquire(target, *class);
    }
    fn psref_release(psref: &'static Psref, target: &'static PsrefTarget, class: &'static PsrefClass) {
        psref.release(target, *class);
    }
    fn psref_copy(to: Raw<Psref>, from: &'static Psref, class: &'static PsrefClass) {
        reference(to, class).copy(from, *class);
    }
    fn psref_held(target: &'static PsrefTarget, class: &'static PsrefClass) -> bool {
        target.held(*class)
    }

    fn localcount_init(count: Raw<Localcount>) {
        if count.make_named(Localcount::new(), "localcount").init().is_none() {
            no_memory("a localcount");
        }
    }
    fn localcount_drain(count: &'static Localcount, cv: &'static Kcondvar, interlock: &'static Kmutex) {
        count.drain(cv, interlock);
    }
    fn localcount_fini(count: &'static Localcount) {
        match at_rest() {
            true => count.fini_at_rest(),
            false => count.fini(),
        }
    }
    fn localcount_acquire(count: &'static Localcount) {
        count.acquire();
    }
    fn localcount_release(count: &'static Localcount, cv: &'static Kcondvar, interlock: &'static Kmutex) {
        count.release(cv, interlock);
    }
    fn localcount_debug_refcnt(count: &'static Localcount) -> c_uint {
        count.total(curlwp().kernel()) as c_uint
    }

    fn pserialize_create() -> Option<&'static Pserialize> {
        kmem_alloc("pserialize", Pserialize::new())
    }
    fn pserialize_destroy(psz: &'static Pserialize) {
        psz.destroy();
        // SAFETY: (1) it came from `kmem_alloc`; (2) the caller's promise.
        unsafe { kmem_free(psz) };
    }
    fn pserialize_perform(psz: &'static Pserialize) {
        psz.perform();
    }
    fn pserialize_read_enter() -> Ipl {
        pserialize::read_enter()
    }
    fn pserialize_read_exit(s: Ipl) {
        pserialize::read_exit(s);
    }
    fn pserialize_in_read_section() -> c_int {
        c_int::from(pserialize::in_read_section())
    }
    fn pserialize_not_in_read_section() -> c_int {
        c_int::from(pserialize::not_in_read_section())
    }
}
