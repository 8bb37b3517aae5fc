//! Time: the cycle counter, and the local timer at 100 Hz, both measured against the PIT.
//!
//! # Contexts
//!
//! [`calibrate`] once, on the boot processor with interrupts off. The rest anywhere.

use core::arch::x86_64::_rdtsc;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use x86_64::instructions::port::Port;

use crate::cpu::apic;

/// Ticks per second.
pub(crate) const HZ: u32 = 100;

/// Input of the PIT, in Hz.
const PIT_HZ: u32 = 1_193_182;
/// Length of one measurement: one tick.
const PIT_COUNT: u16 = (PIT_HZ / HZ) as u16;
const MEASUREMENTS: usize = 5;

/// Counts of the local timer per tick.
static TIMER_PERIOD: AtomicU32 = AtomicU32::new(0);
/// Cycles per microsecond.
static CYCLES_PER_US: AtomicU64 = AtomicU64::new(1);

/// Cycles since some moment before boot.
pub(crate) fn cycles() -> u64 {
    // SAFETY: every x86-64 processor has the counter.
    unsafe { _rdtsc() }
}

/// Microseconds since some moment before boot.
pub(crate) fn now_us() -> u64 {
    cycles() / CYCLES_PER_US.load(Relaxed)
}

/// Cycles per microsecond, at least 1.
pub(crate) fn cycles_per_us() -> u64 {
    CYCLES_PER_US.load(Relaxed)
}

/// Spins for at least `duration_us`.
pub(crate) fn delay_us(duration_us: u64) {
    let end = cycles() + duration_us * cycles_per_us();
    while cycles() < end {
        core::hint::spin_loop();
    }
}

/// Measures the local timer and the cycle counter.
///
/// A machine whose host is busy sees the end of a measurement late, never early, so the shortest of several
/// measurements is the most accurate.
pub(crate) fn calibrate() {
    let (mut timer, mut cycles) = (u32::MAX, u64::MAX);
    for _ in 0..MEASUREMENTS {
        let measured = measure_tick();
        timer = timer.min(measured.0);
        cycles = cycles.min(measured.1);
    }
    TIMER_PERIOD.store(timer.max(1), Relaxed);
    CYCLES_PER_US.store((cycles * u64::from(HZ) / 1_000_000).max(1), Relaxed);
}

/// Lets the second channel of the PIT count down one tick, and returns the counts of the local timer and the cycle
/// counter in that time.
fn measure_tick() -> (u32, u64) {
    /// Gate of the channel on, loudspeaker off.
    const GATE: u8 = 1 << 0;
    const SPEAKER: u8 = 1 << 1;
    const OUTPUT: u8 = 1 << 5;
    /// Channel 2, both bytes, mode 0: the output rises when the count is over.
    const ONE_SHOT: u8 = 0b1011_0000;

    let mut control = Port::<u8>::new(0x61);
    let mut command = Port::<u8>::new(0x43);
    let mut counter = Port::<u8>::new(0x42);
    let [low, high] = PIT_COUNT.to_le_bytes();
    // SAFETY: reading the port changes nothing.
    let rest = unsafe { control.read() } & !(GATE | SPEAKER);
    // SAFETY: nobody else uses this channel of the PIT; the rest of the port stays as it was.
    unsafe { control.write(rest | GATE) };
    // SAFETY: as above.
    unsafe { command.write(ONE_SHOT) };
    // SAFETY: as above.
    unsafe { counter.write(low) };
    // SAFETY: as above; the count begins with its second byte.
    unsafe { counter.write(high) };
    apic::timer_run_free();
    let start = cycles();
    // SAFETY: reading the port changes nothing.
    while unsafe { control.read() } & OUTPUT == 0 {
        core::hint::spin_loop();
    }
    (apic::timer_elapsed(), cycles() - start)
}

/// Starts this CPU's clock.
pub(crate) fn start_ticking() {
    apic::timer_start(TIMER_PERIOD.load(Relaxed));
}
