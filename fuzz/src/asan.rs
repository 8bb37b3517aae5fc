//! AddressSanitizer and our own stacks.
//!
//! With the sanitizer, its fake stacks are switched off, because those of an LWP that is restored from an image would
//! never be freed. What libFuzzer frees after each run is not kept for long; otherwise every run would work in memory
//! that is in no cache. Without the sanitizer (`cargo fuzz run -s none`), the machine's calls to it, at each change
//! of stacks, do nothing.

#[cfg(sanitize = "address")]
#[unsafe(no_mangle)]
extern "C" fn __asan_default_options() -> *const std::ffi::c_char {
    c"detect_stack_use_after_return=0:quarantine_size_mb=16".as_ptr()
}

#[cfg(not(sanitize = "address"))]
mod nobody {
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
}
