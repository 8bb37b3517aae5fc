//! Perturbation: a point sometimes delays, or interrupts a CPU, so that races show within seconds.
//!
//! # Overview
//!
//! On real CPUs a window of a few instructions is hit once in days. In the build with the feature
//! `perturb` every access to shared memory comes by here, and one in `rate` of them, chosen by a seeded
//! generator of the CPU's own, does one of two things:
//!
//! * it spins for a while whose length is drawn log-uniformly up to 100 µs, so that windows of
//!   every size are met, short ones most often;
//! * it sends the kernel's IPI to some CPU, perhaps its own: what is runnable there gets its chance.
//!
//! The generators are seeded, but the CPUs are real: a seed makes runs alike, not the same.
//!
//! # Contexts
//!
//! Any, at any level. If the caller is preempted in the middle and goes on elsewhere, two CPUs
//! may draw the same number, which does no harm.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::cpu::{self, apic, time};

/// One point in so many is perturbed if nobody says otherwise.
pub(crate) const DEFAULT_RATE: u64 = 64;

/// One perturbation in so many is an interrupt; the others are delays.
const INTERRUPT_SHARE: u64 = 8;

/// The longest delay, in microseconds.
const LONGEST_US: u64 = 100;

/// One point in so many is perturbed; 0: none.
static RATE: AtomicU64 = AtomicU64::new(0);

/// Perturbs one point in `rate` from now on; none if it is 0.
pub(crate) fn start(seed: u64, rate: u64) {
    for (index, cpu) in (1..).zip(cpu::all()) {
        // Neighbouring seeds and CPUs get states far apart, and never 0, where the generator would stay.
        let state = seed.wrapping_add(index).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        cpu.random.store(state | 1, Relaxed);
    }
    RATE.store(rate, Relaxed);
}

/// Draws the next number of this CPU (xorshift64*).
fn draw(state: &AtomicU64) -> u64 {
    let mut x = state.load(Relaxed);
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    state.store(x, Relaxed);
    x.wrapping_mul(0x2545_f491_4f6c_dd1d)
}

/// Every point of the kernel comes by here.
#[inline]
pub(crate) fn point() {
    let rate = RATE.load(Relaxed);
    if rate == 0 {
        return;
    }
    let state = &cpu::this().random;
    let number = draw(state) >> 16;
    if number.is_multiple_of(rate) {
        perturb(draw(state) >> 16);
    }
}

#[cold]
fn perturb(number: u64) {
    let (share, number) = (number % INTERRUPT_SHARE, number / INTERRUPT_SHARE);
    if share == 0 {
        let victim = cpu::of(number as usize % cpu::count());
        apic::send_ipi(victim.apic_id.load(Relaxed));
        return;
    }
    // A uniform exponent, and a uniform mantissa below it.
    let longest = LONGEST_US * time::cycles_per_us();
    let exponent = number % u64::from(longest.ilog2() + 1);
    let cycles = (1 << exponent) + (number >> 32) % (1 << exponent);
    let end = time::cycles() + cycles.min(longest);
    while time::cycles() < end {
        core::hint::spin_loop();
    }
}
