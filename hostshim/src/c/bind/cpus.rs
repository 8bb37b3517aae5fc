//! `struct cpu_info`: the CPUs as C sees them.
//!
//! C files keep data of their own for each CPU in this structure (`ci_data`). So each kernel has an array of them besides its own
//! CPUs, which the first word of each points to.

use std::alloc::Layout;
use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use kmod::kern::cpu::Cpu;
use kmod::kern::lwp::curlwp;
use kmod::kernel::Kernel;
use kmod::machine::{self, ObjectKind, Stop};

use super::{FromC, IntoC, refused};
use crate::machine::side::Host;

/// `SPCF_RUNNING`.
const SPCF_RUNNING: i32 = 1;

/// What the header declares; the rest is C's alone.
#[repr(C, align(64))]
pub(super) struct CpuInfo {
    kernel: *const Cpu,
    spc_flags: i32,
    index: u32,
    rest: [u64; 9],
}

/// Where the array of each kernel is, by the kernel's address.
static ARRAYS: RwLock<BTreeMap<usize, usize>> = RwLock::new(BTreeMap::new());

/// Makes the array of a kernel that boots.
pub(crate) fn boot(kernel: &'static Kernel) {
    let cpus = kernel.cpus();
    let layout = Layout::array::<CpuInfo>(cpus.len()).unwrap_or(Layout::new::<CpuInfo>());
    let array = machine::alloc(layout, "cpu_info").cast::<CpuInfo>();
    if array.is_null() {
        machine::stop(
            Stop::Contract("scenario-memory"),
            format_args!("no memory for the CPUs that C sees"),
        );
    }
    for ci in cpus {
        let at = array.wrapping_add(ci.index());
        let info = CpuInfo {
            kernel: ci,
            spc_flags: SPCF_RUNNING,
            index: ci.index() as u32,
            rest: [0; 9],
        };
        // SAFETY: inside of the array, which nobody else knows.
        unsafe { at.write(info) };
        let name = format_args!("cpu_info{}", ci.index());
        machine::label_bytes(
            at.addr(),
            size_of::<CpuInfo>(),
            name,
            &[],
            ObjectKind::Other,
        );
    }
    let _host = Host::begin();
    let mut arrays = ARRAYS.write().unwrap_or_else(PoisonError::into_inner);
    arrays.insert(
        core::ptr::from_ref(kernel).addr(),
        array.expose_provenance(),
    );
}

/// A CPU, as C passes it and gets it.
pub(super) struct Ci(pub(super) &'static Cpu);

impl FromC for Option<Ci> {
    type Word = *const CpuInfo;

    unsafe fn from_c(word: *const CpuInfo) -> Option<Ci> {
        // SAFETY: the caller's promise: C has got the pointer from `into_c`.
        let info = unsafe { word.as_ref() }?;
        // SAFETY: `boot` has written it, and C does not.
        Some(Ci(unsafe { &*info.kernel }))
    }
}

impl FromC for Ci {
    type Word = *const CpuInfo;

    unsafe fn from_c(word: *const CpuInfo) -> Ci {
        // SAFETY: the caller's promise.
        match unsafe { <Option<Ci>>::from_c(word) } {
            Some(ci) => ci,
            None => refused(format_args!("a null pointer is passed for a CPU")),
        }
    }
}

impl IntoC for Ci {
    type Word = *const CpuInfo;

    fn into_c(self) -> *const CpuInfo {
        let kernel = core::ptr::from_ref(curlwp().kernel()).addr();
        let _host = Host::begin();
        let arrays = ARRAYS.read().unwrap_or_else(PoisonError::into_inner);
        match arrays.get(&kernel) {
            Some(array) => {
                core::ptr::with_exposed_provenance::<CpuInfo>(*array).wrapping_add(self.0.index())
            }
            None => unreachable!("C code runs in a kernel whose `boot` was not called"),
        }
    }
}

impl IntoC for Option<Ci> {
    type Word = *const CpuInfo;

    fn into_c(self) -> *const CpuInfo {
        self.map_or(core::ptr::null(), Ci::into_c)
    }
}
