//! The local APIC of each CPU: its timer, and inter-processor interrupts.
//!
//! # Contexts
//!
//! Any, on the CPU whose APIC is meant; each CPU's own registers are at the same address.
//!
//! # Sources
//!
//! Intel 64 and IA-32 Architectures Software Developer's Manual, volume 3, chapter "APIC".

use crate::cpu::interrupt::{CLOCK_VECTOR, ERROR_VECTOR, IPI_VECTOR, SPURIOUS_VECTOR};
use crate::sync::InterruptsOff;

/// A register, by its offset.
#[derive(Clone, Copy)]
enum Register {
    Id = 0x020,
    TaskPriority = 0x080,
    EndOfInterrupt = 0x0b0,
    Spurious = 0x0f0,
    ErrorStatus = 0x280,
    CommandLow = 0x300,
    CommandHigh = 0x310,
    Timer = 0x320,
    Lint0 = 0x350,
    Lint1 = 0x360,
    Error = 0x370,
    TimerInitial = 0x380,
    TimerCurrent = 0x390,
    TimerDivide = 0x3e0,
}

const ENABLE: u32 = 1 << 8;
const MASKED: u32 = 1 << 16;
const DELIVER_NMI: u32 = 0b100 << 8;
const DELIVER_EXTERNAL: u32 = 0b111 << 8;
const PERIODIC: u32 = 1 << 17;
const DIVIDE_BY_16: u32 = 0b0011;
const DELIVERY_PENDING: u32 = 1 << 12;

/// The request of an interrupt command.
#[derive(Clone, Copy)]
enum Command {
    Fixed(u8),
    Nmi,
    Init,
    Startup(u8),
}

impl Command {
    const fn bits(self) -> u32 {
        const ASSERT: u32 = 1 << 14;
        ASSERT
            | match self {
                Command::Fixed(vector) => vector as u32,
                Command::Nmi => DELIVER_NMI,
                Command::Init => 0b101 << 8,
                Command::Startup(page) => 0b110 << 8 | page as u32,
            }
    }
}

/// Physical address of the registers on every CPU after a reset.
const BASE: usize = 0xfee0_0000;

fn register(register: Register) -> *mut u32 {
    core::ptr::with_exposed_provenance_mut(BASE + register as usize)
}

fn read(from: Register) -> u32 {
    // SAFETY: the registers are mapped uncached where they are, and reading these changes nothing.
    unsafe { register(from).read_volatile() }
}

fn write(to: Register, value: u32) {
    // SAFETY: as above; what a write asks for, the callers below answer for.
    unsafe { register(to).write_volatile(value) }
}

/// Initializes the APIC of this CPU: every interrupt accepted, the timer stopped.
pub(crate) fn init() {
    write(Register::Spurious, ENABLE | u32::from(SPURIOUS_VECTOR));
    write(Register::TaskPriority, 0);
    write(Register::Lint0, MASKED | DELIVER_EXTERNAL);
    write(Register::Lint1, MASKED | DELIVER_NMI);
    write(Register::Timer, MASKED);
    write(Register::ErrorStatus, 0);
    write(Register::Error, u32::from(ERROR_VECTOR));
}

/// Number of this CPU's APIC.
pub(crate) fn id() -> u32 {
    read(Register::Id) >> 24
}

/// Ends the current interrupt, so that the next can come.
pub(crate) fn end_of_interrupt() {
    write(Register::EndOfInterrupt, 0);
}

/// The errors of this APIC, as a set of bits.
pub(crate) fn error_status() -> u32 {
    write(Register::ErrorStatus, 0);
    read(Register::ErrorStatus)
}

/// Runs the timer down from its highest value without interrupts, for measurements.
pub(crate) fn timer_run_free() {
    write(Register::TimerDivide, DIVIDE_BY_16);
    write(Register::Timer, MASKED);
    write(Register::TimerInitial, u32::MAX);
}

/// How far the timer has run down since [`timer_run_free`], in its own counts.
pub(crate) fn timer_elapsed() -> u32 {
    u32::MAX - read(Register::TimerCurrent)
}

/// Starts the timer, with an interrupt every `period` counts.
pub(crate) fn timer_start(period: u32) {
    write(Register::TimerDivide, DIVIDE_BY_16);
    write(Register::Timer, PERIODIC | u32::from(CLOCK_VECTOR));
    write(Register::TimerInitial, period);
}

/// Sends `command`. It takes two registers: an interrupt in between could send another command.
fn send(apic_id: u32, command: Command) {
    let _off = InterruptsOff::new();
    while read(Register::CommandLow) & DELIVERY_PENDING != 0 {
        core::hint::spin_loop();
    }
    write(Register::CommandHigh, apic_id << 24);
    write(Register::CommandLow, command.bits());
}

/// Interrupts the CPU with this APIC, which may be the caller's.
pub(crate) fn send_ipi(apic_id: u32) {
    send(apic_id, Command::Fixed(IPI_VECTOR));
}

/// Interrupts the CPU with this APIC even if it has interrupts off.
pub(crate) fn send_nmi(apic_id: u32) {
    send(apic_id, Command::Nmi);
}

/// Resets the CPU with this APIC; it then waits for [`send_startup`].
pub(crate) fn send_init(apic_id: u32) {
    send(apic_id, Command::Init);
}

/// Starts the CPU with this APIC in real mode at the page with this number, below 1 MiB.
pub(crate) fn send_startup(apic_id: u32, page: u8) {
    send(apic_id, Command::Startup(page));
}
