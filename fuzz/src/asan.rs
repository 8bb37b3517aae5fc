//! AddressSanitizer's functions, for builds without it (`cargo fuzz run -s none`).
//!
//! The machine tells the sanitizer when it changes stacks. Without the sanitizer there is nobody to tell.

#![cfg(not(sanitize = "address"))]

use std::ffi::c_void;

#[unsafe(no_mangle)]
extern "C" fn __sanitizer_start_switch_fiber(_: *mut *mut c_void, _: *const c_void, _: usize) {}

#[unsafe(no_mangle)]
extern "C" fn __sanitizer_finish_switch_fiber(
    _: *mut c_void,
    _: *mut *const c_void,
    _: *mut usize,
) {
}

#[unsafe(no_mangle)]
extern "C" fn __asan_unpoison_memory_region(_: *const u8, _: usize) {}
