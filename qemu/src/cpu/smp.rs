//! Finds the processors in the firmware's tables and starts them.
//!
//! # Overview
//!
//! The boot processor starts the others one after another with INIT, SIPI, SIPI. Each comes up in real mode on the
//! trampoline, reaches [`ap_start`] in long mode on its own stack, initializes itself, reports that it is ready, and
//! waits at the gate until the boot processor has built a kernel.

use alloc::vec::Vec;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use acpi::madt::{Madt, MadtEntry};
use acpi::{AcpiHandler, AcpiTables, PhysicalMapping};

use crate::boot::BootInfo;
use crate::cpu::{self, COUNT, apic, interrupt, tables, time};
use crate::memory::stack::Stack;
use crate::run;

/// The page where the other CPUs start: below 1 MiB and not used by any known firmware.
const TRAMPOLINE: usize = 0x8000;
const PAGE_BYTES: usize = 4096;

/// Time limit for a CPU to come up, in microseconds.
const PATIENCE_US: u64 = 2_000_000;

unsafe extern "C" {
    safe static ap_trampoline: u8;
    safe static ap_trampoline_end: u8;
    safe static ap_stack_top: AtomicU64;
    safe static ap_index: AtomicU64;
}

/// CPUs that are ready.
static READY: AtomicUsize = AtomicUsize::new(1);
/// The kernel exists, and clocks may tick.
static GATE: AtomicBool = AtomicBool::new(false);

/// The firmware's tables are in memory that is mapped at its physical address.
#[derive(Clone)]
struct Identity;

impl AcpiHandler for Identity {
    unsafe fn map_physical_region<T>(&self, start: usize, size: usize) -> PhysicalMapping<Self, T> {
        let address = NonNull::new(ptr::with_exposed_provenance_mut(start));
        let address = address.expect("a table of the firmware's at address 0");
        // SAFETY: it is mapped, and stays so.
        unsafe { PhysicalMapping::new(start, address, size, size, Identity) }
    }

    fn unmap_physical_region<T>(_: &PhysicalMapping<Self, T>) {}
}

/// The APICs of the CPUs that the firmware lists as usable; the caller's first.
fn find(info: &BootInfo) -> Vec<u32> {
    let own = apic::id();
    let mut found = Vec::from([own]);
    let Some(rsdp) = info.rsdp else { return found };
    // SAFETY: the boot loader says that the root pointer is there, and the tables stay mapped.
    let tables = unsafe { AcpiTables::from_rsdp(Identity, rsdp) };
    let madt = tables.and_then(|tables| tables.find_table::<Madt>());
    let Ok(madt) = madt else { return found };
    for entry in madt.get().entries() {
        if let MadtEntry::LocalApic(entry) = entry {
            const ENABLED: u32 = 1 << 0;
            let (id, flags) = (u32::from(entry.apic_id), entry.flags);
            if flags & ENABLED != 0 && id != own {
                found.push(id);
            }
        }
    }
    found
}

/// Initializes the boot processor's own APIC and clock and finds the other CPUs.
///
/// Returns the APIC of each CPU, the caller's first. Interrupts are off.
pub(crate) fn discover(info: &BootInfo) -> Vec<u32> {
    mask_pic();
    apic::init();
    time::calibrate();
    let found = find(info);
    cpu::of(0).apic_id.store(found[0], Ordering::Relaxed);
    found
}

/// Masks all lines of the old interrupt controllers, which are not used. This must come before the local APIC stops
/// listening to them: the firmware's timer may be asserting its line, and the APIC must see that it is deasserted.
fn mask_pic() {
    for port in [0x21, 0xa1] {
        // SAFETY: the mask register of a controller that nobody else uses.
        unsafe { x86_64::instructions::port::Port::<u8>::new(port).write(0xff) };
    }
}

/// Starts the CPUs with these APICs; the first one is the caller's. Panics if one does not come up.
pub(crate) fn start(apic_ids: &[u32]) {
    copy_trampoline();
    for (index, &apic_id) in apic_ids.iter().enumerate().skip(1) {
        let stack = Stack::take("boot").expect("memory for the stack of a CPU");
        cpu::of(index).apic_id.store(apic_id, Ordering::Relaxed);
        ap_stack_top.store(stack.range().end as u64, Ordering::Relaxed);
        ap_index.store(index as u64, Ordering::SeqCst);
        start_one(index, apic_id);
        COUNT.store(index + 1, Ordering::SeqCst);
    }
}

fn copy_trampoline() {
    let start = &raw const ap_trampoline;
    let len = (&raw const ap_trampoline_end).addr() - start.addr();
    assert!(
        len <= PAGE_BYTES,
        "the trampoline is {len} bytes and must fit into a page"
    );
    let page = ptr::with_exposed_provenance_mut(TRAMPOLINE);
    // SAFETY: the page is usable memory of every PC, mapped, and not the heap's.
    unsafe { ptr::copy_nonoverlapping(start, page, len) };
}

fn start_one(index: usize, apic_id: u32) {
    let ready = || READY.load(Ordering::SeqCst) > index;
    let page = (TRAMPOLINE / PAGE_BYTES) as u8;
    apic::send_init(apic_id);
    time::delay_us(10_000);
    apic::send_startup(apic_id, page);
    time::delay_us(200);
    if !ready() {
        apic::send_startup(apic_id, page);
    }
    let end = time::now_us() + PATIENCE_US;
    while !ready() {
        assert!(
            time::now_us() < end,
            "cpu{index} (APIC {apic_id}) did not start"
        );
        core::hint::spin_loop();
    }
}

/// The entry of the other CPUs, with interrupts off, on their own stacks.
pub(crate) extern "C" fn ap_start(index: usize) -> ! {
    cpu::of(index).install(index);
    tables::install(interrupt::gates());
    apic::init();
    READY.fetch_add(1, Ordering::SeqCst);
    while !GATE.load(Ordering::Acquire) {
        core::hint::spin_loop();
    }
    run::enter(index)
}

/// Lets the other CPUs enter the kernel.
pub(crate) fn open_gate() {
    GATE.store(true, Ordering::Release);
}
