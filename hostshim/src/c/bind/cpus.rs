//! `struct cpu_info`: the CPUs as C sees them.
//!
//! They are the kernel's own. Files in C keep data of theirs for each CPU in a part of it (`ci_data`) that the kernel leaves to them.

use kmod::kern::cpu::layout::{CI_DATA, DATA_SIZE};
use kmod::kernel::Kernel;

/// `SPCF_RUNNING`.
const SPCF_RUNNING: i32 = 1;

/// `struct cpu_data`: what the header declares first; the rest is zero.
#[repr(C)]
struct CpuData {
    spc_flags: i32,
    index: u32,
}

const _: () = assert!(size_of::<CpuData>() <= DATA_SIZE);

/// Fills in what C reads of the CPUs of a kernel that boots.
pub(crate) fn boot(kernel: &'static Kernel) {
    for ci in kernel.cpus() {
        let data = core::ptr::from_ref(ci).wrapping_byte_add(CI_DATA);
        let data = data.cast_mut().cast::<CpuData>();
        let value = CpuData {
            spc_flags: SPCF_RUNNING,
            index: ci.index() as u32,
        };
        // SAFETY: (1) a cell of words there is larger; (2) only C uses it, and no C has run yet.
        unsafe { data.write(value) };
    }
}
