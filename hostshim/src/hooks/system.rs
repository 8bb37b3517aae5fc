//! Calls of the system that the standard library makes for code under test, and that a machine cannot allow.
//!
//! # Overview
//!
//! All CPUs of a machine share one thread of the host. If that sleeps, nothing goes on, and nobody wakes it. A thread that is made
//! runs outside of the machine. So such calls end the run, with a sentence that says what to use instead. Two are made on the
//! machine: `futex`, with which the locks of the standard library sleep, and `sched_yield`, with which code says that it spins.
//!
//! The linker puts `__wrap_f` in place of `f` (`--wrap`), and `f` in place of `__real_f`. Outside of a run they are what they were.

use std::ffi::{c_int, c_long, c_void};

use crate::machine::program;

unsafe extern "C" {
    fn __real_syscall(
        number: c_long,
        a: usize,
        b: usize,
        c: usize,
        d: usize,
        e: usize,
        f: usize,
    ) -> c_long;
    fn __real_sched_yield() -> c_int;
    fn __real_nanosleep(time: *const c_void, rest: *mut c_void) -> c_int;
    fn __real_clock_nanosleep(
        clock: c_int,
        flags: c_int,
        time: *const c_void,
        rest: *mut c_void,
    ) -> c_int;
    fn __real_pthread_create(
        thread: *mut c_void,
        attributes: *const c_void,
        start: *const c_void,
        argument: *mut c_void,
    ) -> c_int;
    fn __real___cxa_thread_atexit_impl(
        destructor: *const c_void,
        variable: *mut c_void,
        object: *mut c_void,
    ) -> c_int;
}

#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap_syscall(
    number: c_long,
    a: usize,
    b: usize,
    c: usize,
    d: usize,
    e: usize,
    f: usize,
) -> c_long {
    if number == libc::SYS_futex
        && let Some(outcome) = program::futex(a, b, c as u32, d)
    {
        return outcome;
    }
    // SAFETY: the caller's promise. What it has not passed is not looked at.
    unsafe { __real_syscall(number, a, b, c, d, e, f) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap_sched_yield() -> c_int {
    if program::yields() {
        return 0;
    }
    // SAFETY: it needs nothing.
    unsafe { __real_sched_yield() }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap_nanosleep(time: *const c_void, rest: *mut c_void) -> c_int {
    program::refuse_sleep();
    // SAFETY: the caller's promise.
    unsafe { __real_nanosleep(time, rest) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap_clock_nanosleep(
    clock: c_int,
    flags: c_int,
    time: *const c_void,
    rest: *mut c_void,
) -> c_int {
    program::refuse_sleep();
    // SAFETY: the caller's promise.
    unsafe { __real_clock_nanosleep(clock, flags, time, rest) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap_pthread_create(
    thread: *mut c_void,
    attributes: *const c_void,
    start: *const c_void,
    argument: *mut c_void,
) -> c_int {
    program::refuse_thread();
    // SAFETY: the caller's promise.
    unsafe { __real_pthread_create(thread, attributes, start, argument) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap___cxa_thread_atexit_impl(
    destructor: *const c_void,
    variable: *mut c_void,
    object: *mut c_void,
) -> c_int {
    if program::registers(destructor.addr(), variable.addr()) {
        return 0;
    }
    // SAFETY: the caller's promise.
    unsafe { __real___cxa_thread_atexit_impl(destructor, variable, object) }
}
