//! The entries of the processor: interrupts, exceptions, the request to stop.
//!
//! # Overview
//!
//! *Interrupts* (clock, IPI, network cards) nest, and the interrupted LWP may be preempted: the kernel may switch
//! contexts inside the handler. So nothing of an interrupt may stay on a stack that belongs to the CPU. A vector
//! enters on the CPU's entry stack, copies the processor's frame to the interrupted stack, below its red zone, and
//! continues there:
//!
//! ```text
//!     interrupted rsp ->  | …               |
//!                         | red zone, 128   |
//!     aligned to 16   ->  | ss              |
//!                         | rsp             |   the processor's frame,
//!                         | rflags          |   which iretq takes back
//!                         | cs              |
//!                         | rip             |
//!                         | caller-saved    |
//!                         | rip, rbp        |   so that a backtrace goes on into who was interrupted
//!                         | SSE state, 512  |
//!                         | the handler     |
//! ```
//!
//! The entry stack is free again before interrupts are enabled. The frame stays on the interrupted stack until
//! another LWP switches back to it, on whichever CPU.
//!
//! *Exceptions*, and the software interrupt with which a report begins, stay on their entry stack, because they do
//! not return. The *request to stop* (NMI) records where the CPU was, and stays.
//!
//! # Invariants
//!
//! The kernel is entered with interrupts off and enables them when it has raised its level.

use core::arch::naked_asm;
use core::sync::atomic::Ordering::Relaxed;

use kmod::machine::Line;
use spin::Once;

use crate::cpu::tables::{EntryStack, Gate, VECTORS};
use crate::cpu::{self, apic};
use crate::{report, run};

/// Vector of the local timer.
pub(crate) const CLOCK_VECTOR: u8 = 0xe0;
/// Vector of the kernel's inter-processor interrupt.
pub(crate) const IPI_VECTOR: u8 = 0xe1;
/// Vector of network cards.
pub(crate) const NET_VECTOR: u8 = 0xd0;
/// Vector of the local APIC's own errors.
pub(crate) const ERROR_VECTOR: u8 = 0xe2;
/// Vector that a local APIC uses when an interrupt was withdrawn.
pub(crate) const SPURIOUS_VECTOR: u8 = 0xff;
/// The software interrupt with which a report begins.
pub(crate) const REPORT_VECTOR: u8 = 0x30;

const NMI: u8 = 2;
const DOUBLE_FAULT: u8 = 8;

static GATES: Once<[Gate; VECTORS]> = Once::new();

/// The vectors, which all CPUs share.
pub(crate) fn gates() -> &'static [Gate; VECTORS] {
    GATES.call_once(|| {
        let mut gates = [Gate::ABSENT; VECTORS];
        macro_rules! traps {
            ($kind:ident: $($vector:literal)*) => {
                $(gates[$vector] = Gate::new($kind::<$vector> as *const (), EntryStack::Trap);)*
            };
        }
        traps!(without_code: 0 1 3 4 5 6 7 9 15 16 18 19 20 22 23 24 25 26 27 28 31);
        traps!(with_code: 10 11 12 13 14 17 21 29 30);
        gates[NMI as usize] = Gate::new(without_code::<2> as *const (), EntryStack::Nmi);
        gates[DOUBLE_FAULT as usize] =
            Gate::new(with_code::<8> as *const (), EntryStack::DoubleFault);
        gates[REPORT_VECTOR as usize] =
            Gate::new(without_code::<0x30> as *const (), EntryStack::Trap);
        gates[CLOCK_VECTOR as usize] = Gate::new(clock_entry as *const (), EntryStack::Interrupt);
        gates[IPI_VECTOR as usize] = Gate::new(ipi_entry as *const (), EntryStack::Interrupt);
        gates[NET_VECTOR as usize] = Gate::new(net_entry as *const (), EntryStack::Interrupt);
        gates[ERROR_VECTOR as usize] = Gate::new(error_entry as *const (), EntryStack::Interrupt);
        gates[SPURIOUS_VECTOR as usize] =
            Gate::new(spurious_entry as *const (), EntryStack::Interrupt);
        gates
    })
}

/// Registers at an exception, as the entry pushes them.
#[repr(C)]
pub(crate) struct TrapFrame {
    pub(crate) r15: u64,
    pub(crate) r14: u64,
    pub(crate) r13: u64,
    pub(crate) r12: u64,
    pub(crate) r11: u64,
    pub(crate) r10: u64,
    pub(crate) r9: u64,
    pub(crate) r8: u64,
    pub(crate) rbp: u64,
    pub(crate) rdi: u64,
    pub(crate) rsi: u64,
    pub(crate) rdx: u64,
    pub(crate) rcx: u64,
    pub(crate) rbx: u64,
    pub(crate) rax: u64,
    pub(crate) vector: u64,
    pub(crate) error_code: u64,
    pub(crate) rip: u64,
    pub(crate) cs: u64,
    pub(crate) rflags: u64,
    pub(crate) rsp: u64,
    pub(crate) ss: u64,
}

unsafe extern "C" {
    safe static interrupt_entry_start: u8;
    safe static interrupt_entry_end: u8;
}

/// Whether `pc` is in the entry of an interrupt: then its caller in a backtrace was interrupted and made no call.
pub(crate) fn is_entry(pc: u64) -> bool {
    let start = (&raw const interrupt_entry_start).addr() as u64;
    let end = (&raw const interrupt_entry_end).addr() as u64;
    (start..end).contains(&pc)
}

/// Entry of an exception for which the processor pushes no error code.
#[unsafe(naked)]
extern "C" fn without_code<const VECTOR: u32>() {
    naked_asm!(
        "push 0",
        "push {vector}",
        "jmp {trap_entry}",
        vector = const VECTOR,
        trap_entry = sym trap_entry,
    )
}

/// Entry of an exception for which the processor pushes an error code.
#[unsafe(naked)]
extern "C" fn with_code<const VECTOR: u32>() {
    naked_asm!(
        "push {vector}",
        "jmp {trap_entry}",
        vector = const VECTOR,
        trap_entry = sym trap_entry,
    )
}

/// Completes the [`TrapFrame`]: five words of the processor, two of the stub, fifteen here. The entry stack was
/// aligned to 16, and 22 words keep it so.
#[unsafe(naked)]
extern "C" fn trap_entry() {
    naked_asm!(
        "push rax",
        "push rbx",
        "push rcx",
        "push rdx",
        "push rsi",
        "push rdi",
        "push rbp",
        "push r8",
        "push r9",
        "push r10",
        "push r11",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "cld",
        "mov rdi, rsp",
        "call {trap}",
        "ud2",
        trap = sym trap,
    )
}

extern "C" fn trap(frame: &TrapFrame) -> ! {
    if frame.vector == u64::from(NMI) {
        report::stop::stay(frame)
    }
    report::trapped(frame)
}

/// Defines the entry of an interrupt: see the drawing in the module's header.
macro_rules! interrupt_entry {
    ($(#[$doc:meta])* $name:ident => $handler:path) => {
        $(#[$doc])*
        #[unsafe(naked)]
        #[unsafe(link_section = ".text.interrupt_entry")]
        extern "C" fn $name() {
            naked_asm!(
                // On the entry stack: rip, cs, rflags, rsp and ss are above what is pushed here.
                "push rax",
                "push rcx",
                "mov rax, [rsp + 40]",
                "sub rax, 128",
                "and rax, -16",
                "mov rcx, [rsp + 48]",
                "mov [rax - 8], rcx",
                "mov rcx, [rsp + 40]",
                "mov [rax - 16], rcx",
                "mov rcx, [rsp + 32]",
                "mov [rax - 24], rcx",
                "mov rcx, [rsp + 24]",
                "mov [rax - 32], rcx",
                "mov rcx, [rsp + 16]",
                "mov [rax - 40], rcx",
                "mov rcx, [rsp + 8]",
                "mov [rax - 48], rcx",
                "mov rcx, [rsp]",
                // On the interrupted stack from here on.
                "lea rsp, [rax - 48]",
                "push rcx",
                "push rdx",
                "push rsi",
                "push rdi",
                "push r8",
                "push r9",
                "push r10",
                "push r11",
                "push qword ptr [rax - 40]",
                "push rbp",
                "mov rbp, rsp",
                "sub rsp, 512",
                "fxsave64 [rsp]",
                "cld",
                "call {handler}",
                // The kernel left interrupts on. Disable them, or each could come on top of the end of the previous
                // one.
                "cli",
                "fxrstor64 [rsp]",
                "mov rsp, rbp",
                "pop rbp",
                "add rsp, 8",
                "pop r11",
                "pop r10",
                "pop r9",
                "pop r8",
                "pop rdi",
                "pop rsi",
                "pop rdx",
                "pop rcx",
                "pop rax",
                "iretq",
                handler = sym $handler,
            )
        }
    };
}

interrupt_entry! {
    /// Entry of the local timer's interrupt.
    clock_entry => clock
}
interrupt_entry! {
    /// Entry of the inter-processor interrupt.
    ipi_entry => ipi
}
interrupt_entry! {
    /// Entry of the interrupts of network cards.
    net_entry => net
}
interrupt_entry! {
    /// Entry of the local APIC's errors.
    error_entry => error
}
interrupt_entry! {
    /// Entry of withdrawn interrupts.
    spurious_entry => spurious
}

extern "C" fn clock() {
    let cpu = cpu::this();
    cpu.ticks.fetch_add(1, Relaxed);
    apic::end_of_interrupt();
    run::tick(cpu);
    cpu.waits.store(false, Relaxed);
    kmod::entry::interrupt(Line::Clock);
}

extern "C" fn ipi() {
    apic::end_of_interrupt();
    cpu::this().waits.store(false, Relaxed);
    kmod::entry::interrupt(Line::Ipi);
}

extern "C" fn net() {
    let cpu = cpu::this();
    cpu.net_interrupts.fetch_add(1, Relaxed);
    apic::end_of_interrupt();
    cpu.waits.store(false, Relaxed);
    kmod::entry::interrupt(Line::Net);
}

extern "C" fn error() {
    let status = apic::error_status();
    apic::end_of_interrupt();
    panic!("the local APIC reports error {status:#x}");
}

/// Nothing asserted it, so there is nothing to acknowledge.
extern "C" fn spurious() {}
