//! Perturbation: some points delay, or interrupt a CPU, so that races show within seconds.
//!
//! # Overview
//!
//! On real CPUs a window of a few instructions is hit about once in days. In the build with the feature `perturb`
//! every access to shared memory comes here, and one in `rate` of them, chosen by a seeded generator per CPU, does
//! one of two things:
//!
//! * it spins for a time that is drawn log-uniformly up to 100 µs, so that windows of every size are hit, short ones
//!   most often;
//! * it sends the kernel's IPI to some CPU, perhaps its own, so that runnable LWPs there get a chance.
//!
//! The generators are seeded, but the CPUs are real: the same seed gives similar runs, not the same run.
//!
//! # Contexts
//!
//! Any, at any level. If the caller is preempted in the middle and continues on another CPU, two CPUs may draw the
//! same number, which is harmless.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::cpu::{self, apic, time};

/// Default: one point in this many is perturbed.
pub(crate) const DEFAULT_RATE: u64 = 64;

/// One perturbation in this many is an interrupt; the others are delays.
const INTERRUPT_SHARE: u64 = 8;

/// The longest delay, in microseconds.
const LONGEST_US: u64 = 100;

/// One point in this many is perturbed; 0: none.
static RATE: AtomicU64 = AtomicU64::new(0);

/// Perturbs one point in `rate` from now on; none if it is 0.
pub(crate) fn start(seed: u64, rate: u64) {
    for (index, cpu) in (1..).zip(cpu::all()) {
        // Neighbouring seeds and CPUs get very different states, and never 0, in which the generator would stay.
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

/// Called at every point of the kernel.
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
