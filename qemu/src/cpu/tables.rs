//! Segments, task state and interrupt vectors.
//!
//! Every vector enters on a stack of its kind, through the interrupt stack table, because the interrupted stack may
//! have just overflowed, and code of the precompiled `core` may keep data below its stack pointer.

use alloc::boxed::Box;
use core::mem::size_of;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

use x86_64::VirtAddr;
use x86_64::instructions::segmentation::{CS, DS, ES, SS, Segment};
use x86_64::instructions::tables;
use x86_64::structures::DescriptorTablePointer;
use x86_64::structures::gdt::{Descriptor, GlobalDescriptorTable};
use x86_64::structures::tss::TaskStateSegment;

use crate::memory::stack::Stack;

/// The stack on which a vector enters.
#[derive(Clone, Copy)]
pub(crate) enum EntryStack {
    /// Interrupts: only until their frame is copied to the interrupted stack.
    Interrupt = 0,
    /// Exceptions, and the trap with which a report begins; the report runs there.
    Trap = 1,
    /// The request to stop, which can come in the middle of anything.
    Nmi = 2,
    /// A fault while entering another.
    DoubleFault = 3,
}

impl EntryStack {
    const ALL: [(EntryStack, &str); 4] = [
        (EntryStack::Interrupt, "interrupt entry"),
        (EntryStack::Trap, "trap"),
        (EntryStack::Nmi, "nmi"),
        (EntryStack::DoubleFault, "double fault"),
    ];
}

static INSTALLED: AtomicBool = AtomicBool::new(false);

/// Number of vectors.
pub(crate) const VECTORS: usize = 256;

/// One entry of the vector table.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Gate {
    offset_low: u16,
    selector: u16,
    stack: u8,
    kind: u8,
    offset_middle: u16,
    offset_high: u32,
    reserved: u32,
}

const _: () = assert!(size_of::<Gate>() == 16, "the processor's layout");

impl Gate {
    /// A vector without an entry.
    pub(crate) const ABSENT: Gate = Gate {
        offset_low: 0,
        selector: 0,
        stack: 0,
        kind: 0,
        offset_middle: 0,
        offset_high: 0,
        reserved: 0,
    };

    /// Leads to `entry`, with interrupts off.
    pub(crate) fn new(entry: *const (), stack: EntryStack) -> Gate {
        const PRESENT_INTERRUPT_GATE: u8 = 0x8e;
        /// The code segment, of the boot table and of the one made here.
        const CODE: u16 = 0x08;
        let offset = entry.addr();
        Gate {
            offset_low: offset as u16,
            selector: CODE,
            stack: stack as u8 + 1,
            kind: PRESENT_INTERRUPT_GATE,
            offset_middle: (offset >> 16) as u16,
            offset_high: (offset >> 32) as u32,
            reserved: 0,
        }
    }
}

/// Gives this CPU its own segments and entry stacks, and the common vectors.
///
/// Panics if there is no memory for the stacks.
pub(crate) fn install(gates: &'static [Gate; VECTORS]) {
    let mut tss = TaskStateSegment::new();
    for (entry, name) in EntryStack::ALL {
        let stack = Stack::take(name).expect("memory for the entry stacks of a CPU");
        tss.interrupt_stack_table[entry as usize] = VirtAddr::new(stack.range().end as u64);
    }
    let tss = Box::leak(Box::new(tss));

    let gdt = Box::leak(Box::new(GlobalDescriptorTable::new()));
    let code = gdt.append(Descriptor::kernel_code_segment());
    let data = gdt.append(Descriptor::kernel_data_segment());
    let task = gdt.append(Descriptor::tss_segment(tss));
    gdt.load();
    // SAFETY: the table just loaded has a 64-bit code segment there.
    unsafe { CS::set_reg(code) };
    // SAFETY: it has a data segment there.
    unsafe { SS::set_reg(data) };
    // SAFETY: as above.
    unsafe { DS::set_reg(data) };
    // SAFETY: as above.
    unsafe { ES::set_reg(data) };
    // SAFETY: it has the task state there, which lives for good.
    unsafe { tables::load_tss(task) };

    let pointer = DescriptorTablePointer {
        limit: (size_of::<[Gate; VECTORS]>() - 1) as u16,
        base: VirtAddr::from_ptr(gates),
    };
    // SAFETY: the gates live for good and lead to entries made for them.
    unsafe { tables::lidt(&pointer) };
    INSTALLED.store(true, Relaxed);
}

/// Whether the boot processor has its vectors, so that a fault can be reported.
pub(crate) fn installed() -> bool {
    INSTALLED.load(Relaxed)
}
