//! The booted machine: an x86-64 SMP kernel that runs the scenarios of `kmod` under QEMU.
//!
//! # Overview
//!
//! This machine has real processors that run at once, interrupts that come at any time, and x86's memory order; the
//! simulated machine imitates these. It implements the hypercalls of [`kmod::machine`] and enters the kernel through
//! [`kmod::entry`]. It knows nothing of the kernel's primitives.
//!
//! From power-on to a scenario: `boot` (loader to long mode), `bsp_start` (memory, a stack with a guard), `run::main`
//! (command line, processors, kernel), then every CPU in its idle context. A run ends with a verdict of the kernel, a
//! fault, or the watchdog: `report`.
//!
//! | module | contents |
//! |---|---|
//! | `boot` | assembly of the first instructions; multiboot2 and PVH |
//! | `memory` | heap, guarded stacks |
//! | `cpu` | per-CPU blocks, segments and vectors, interrupt entry, local APIC, time, starting the others |
//! | `context` | stacks and registers of LWPs |
//! | `net` | network cards |
//! | `machine` | the hypercalls |
//! | `perturb` | random delays and interrupts, in the build for them |
//! | `run` | which scenario, how long, watchdog, result |
//! | `report` | the last report: registers, backtraces with lines, wait-for graph |
//! | `stages` | in the cost kernel: when a packet reached which stage |
//! | `options`, `console`, `sync`, `runtime` | command line, serial port, the host's own lock, functions that the compiler expects |
//!
//! A kernel is this library and a list of scenarios, which a binary passes to [`boots!`].
//!
//! # Two builds
//!
//! Only the profile `kernel` (with `panic = "abort"`) builds a kernel. In every other profile its binaries are
//! ordinary programs that say so, so that commands for the whole workspace work.
//!
//! # Limitations
//!
//! Memory above 3 GiB is not used, and neither is any device except clock, serial port, local APICs and network
//! cards. The kernel's own pages are not protected. The stack of the first instructions, up to `run::main`, has no
//! guard.

#![cfg_attr(panic = "abort", no_std)]

#[cfg(panic = "abort")]
extern crate alloc;

#[cfg(panic = "abort")]
mod boot;
#[cfg(panic = "abort")]
mod console;
#[cfg(panic = "abort")]
mod context;
#[cfg(panic = "abort")]
mod cpu;
#[cfg(panic = "abort")]
mod machine;
#[cfg(panic = "abort")]
mod memory;
#[cfg(panic = "abort")]
mod net;
#[cfg(any(panic = "abort", test))]
mod options;
#[cfg(panic = "abort")]
mod perturb;
#[cfg(panic = "abort")]
mod report;
#[cfg(panic = "abort")]
mod run;
#[cfg(panic = "abort")]
mod runtime;
#[cfg(all(panic = "abort", feature = "cost"))]
pub mod stages;
#[cfg(panic = "abort")]
mod sync;

/// Makes the binary a kernel that runs these scenarios: a `&'static [&'static Scenario]`.
///
/// Used exactly once per binary, at its top.
#[macro_export]
macro_rules! boots {
    ($scenarios:expr) => {
        #[cfg(panic = "abort")]
        const _: () = {
            // The reference links the library, with the first instructions of the image.
            use $crate as _;
            static SCENARIOS: &[&kmod::scenario::Scenario] = $scenarios;
            #[unsafe(no_mangle)]
            fn rumplab_scenarios() -> &'static [&'static kmod::scenario::Scenario] {
                SCENARIOS
            }
        };

        /// The main function of a host build, instead of the kernel.
        #[cfg(not(panic = "abort"))]
        fn main() {
            eprintln!(
                "{} runs on a machine of its own: the scripts build and boot it.",
                env!("CARGO_BIN_NAME")
            );
            std::process::exit(2);
        }
    };
}

/// The entry from the assembly on the boot processor, with interrupts off, on the boot stack.
///
/// `magic` and `info` come from the loader. Little is done on this stack, which has no guard.
#[cfg(panic = "abort")]
extern "C" fn bsp_start(magic: u32, info: usize) -> ! {
    cpu::of(0).install(0);
    console::init();
    let info = run::remember(boot::read(magic, info));
    memory::forbid_null();
    memory::init(info);
    cpu::tables::install(cpu::interrupt::gates());
    let stack = memory::stack::Stack::take("boot").expect("memory for the first stack");
    // SAFETY: the stack was taken just now.
    unsafe { context::move_to(stack, run::main) }
}
