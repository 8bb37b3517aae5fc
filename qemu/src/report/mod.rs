//! The last report: what happened, where, and what every CPU did at that moment.
//!
//! # Overview
//!
//! Every report begins with a trap: a fault is one, and everything else ([`begin`]) uses a software interrupt. So the
//! registers are always captured in the same way, and the report runs on a stack that is certainly valid. The first
//! CPU that comes here stops the others with an NMI; none of them ever resumes. Then the report is written as the
//! YAML block of a TAP line, and the machine exits with the status of its cause.
//!
//! If a fault happens *inside* the report, for example because the kernel's structures are damaged, a line says so
//! and the report ends.

pub(crate) mod backtrace;
pub(crate) mod fault;
pub(crate) mod stop;
pub(crate) mod symbols;
pub(crate) mod yaml;

use core::arch::asm;
use core::fmt::{self, Write};
use core::panic::PanicInfo;
use core::sync::atomic::Ordering::Relaxed;

use kmod::kern::order;
use kmod::machine::{At, Stop};
use qemu_exit::QEMUExit;
use x86_64::instructions::interrupts;

use crate::cpu::interrupt::{REPORT_VECTOR, TrapFrame};
use crate::cpu::{self, PerCpu, tables};
use crate::memory::heap;
use crate::{console, run};
use backtrace::Backtrace;
use symbols::Symbols;
use yaml::Yaml;

/// The exit status of the machine; `scripts/boot` exits with the same number.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// The scenario ran for its time, and nothing was found.
    Passed = 0,
    /// A contract or assertion failed, or there was a deadlock.
    Found = 1,
    /// The command line is wrong.
    Usage = 2,
    /// The kernel itself panicked or faulted.
    Fault = 3,
    /// No progress.
    Hang = 4,
}

/// Ends the machine.
pub(crate) fn exit(status: Status) -> ! {
    /// I/O port of QEMU's isa-debug-exit.
    const PORT: u16 = 0xf4;
    /// QEMU exits with twice the number plus 1; above this no number has another meaning.
    const BASE: u32 = 0x10;
    const SUCCESS: u32 = (BASE << 1) | 1;
    // SAFETY: scripts/boot gives the machine an isa-debug-exit at this port.
    let device = unsafe { qemu_exit::X86::new(PORT, SUCCESS) };
    device.exit(BASE + status as u32)
}

/// The cause of a report.
pub(crate) enum Cause<'a> {
    /// The kernel stopped itself.
    Stop {
        why: Stop,
        message: fmt::Arguments<'a>,
        at: At,
    },
    /// Code of the host or of the kernel panicked.
    Panic(&'a PanicInfo<'a>),
    /// No actor made progress for this many seconds.
    Hang { seconds: u64 },
    /// The processor refused an instruction.
    Fault,
}

impl Cause<'_> {
    fn status(&self) -> Status {
        match self {
            Cause::Stop { .. } => Status::Found,
            Cause::Panic(_) | Cause::Fault => Status::Fault,
            Cause::Hang { .. } => Status::Hang,
        }
    }
}

/// Ends the run with a report.
#[cold]
pub(crate) fn begin(cause: &Cause<'_>) -> ! {
    interrupts::disable();
    if !tables::installed() {
        early(cause);
    }
    // SAFETY: the vector leads to `trapped`, which does not come back and takes the cause from rdi.
    unsafe {
        asm!("int {vector}", "ud2", vector = const REPORT_VECTOR,
            in("rdi") core::ptr::from_ref(cause), options(noreturn))
    }
}

/// There are no vectors yet, no other CPUs and no debugging information: prints what is known.
fn early(cause: &Cause<'_>) -> ! {
    run::print_failed();
    let mut yaml = Yaml::begin();
    let written = match cause {
        Cause::Panic(info) => write_panic(&mut yaml, info),
        _ => yaml.field("kind", format_args!("a stop before the machine was ready")),
    };
    // The console does not fail.
    let _ = written;
    yaml.end();
    exit(cause.status())
}

/// An exception, or the trap of [`begin`], was taken on this CPU. Interrupts are off.
pub(crate) fn trapped(frame: &TrapFrame) -> ! {
    let cause = match frame.vector == u64::from(REPORT_VECTOR) {
        true => {
            let cause = core::ptr::with_exposed_provenance::<Cause<'_>>(frame.rdi as usize);
            // SAFETY: `begin` left the cause there, on a stack that stays as it is.
            unsafe { &*cause }
        }
        false => &Cause::Fault,
    };
    let cpu = cpu::this();
    match stop::claim(cpu.index()) {
        stop::Claim::First => report(cpu, frame, cause),
        stop::Claim::Other => stop::stay(frame),
        stop::Claim::Again => again(frame),
    }
}

/// The report itself failed: the rest of it cannot be trusted.
fn again(frame: &TrapFrame) -> ! {
    // SAFETY: the other CPUs were stopped, and the first report does not go on.
    unsafe { console::take_over() };
    console::println!("");
    console::println!(
        "# the report itself failed: vector {} at {:#x}",
        frame.vector,
        frame.rip
    );
    exit(Status::Fault)
}

fn report(cpu: &'static PerCpu, frame: &TrapFrame, cause: &Cause<'_>) -> ! {
    let silent = stop::stop_others(cpu);
    // SAFETY: they were stopped, and this CPU does not go back.
    unsafe { console::take_over() };
    heap::begin_report();
    run::print_failed();
    let symbols = Symbols::of_kernel();
    let mut yaml = Yaml::begin();
    // The console does not fail.
    let _ = write_report(&mut yaml, &symbols, cpu, frame, cause, silent);
    yaml.end();
    exit(cause.status())
}

fn write_report(
    yaml: &mut Yaml,
    symbols: &Symbols,
    cpu: &'static PerCpu,
    frame: &TrapFrame,
    cause: &Cause<'_>,
    silent: u32,
) -> fmt::Result {
    write_cause(yaml, cpu, frame, cause)?;
    run::write_settings(yaml)?;
    yaml.field("cpu", format_args!("{}", cpu.index()))?;
    yaml.field("lwp", format_args!("{}", stop::RunningLwp(cpu)))?;
    yaml.block("registers", |out| {
        write!(out, "{}", fault::Registers(frame))
    })?;
    yaml.block("backtrace", |out| {
        Backtrace::of_trap(frame).write(symbols, out)
    })?;
    yaml.block("cpus", |out| write_others(out, symbols, cpu))?;
    if silent != 0 {
        yaml.field(
            "silent_cpus",
            format_args!("{silent:#b}, which did not answer the request to stop"),
        )?;
    }
    match (cause, run::kernel()) {
        (Cause::Hang { .. }, Some(kernel)) => {
            yaml.block("waits", |out| kmod::entry::waits(kernel, out))?;
            match order::predicted(kernel) {
                Some(_) => yaml.block("predicted", |out| {
                    write!(out, "{}", order::Unfinished(kernel))
                }),
                None => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

fn write_cause(yaml: &mut Yaml, cpu: &PerCpu, frame: &TrapFrame, cause: &Cause<'_>) -> fmt::Result {
    match cause {
        Cause::Stop { why, message, at } => {
            let (kind, rule) = match why {
                Stop::Contract(rule) => ("contract", Some(rule)),
                Stop::Oracle(rule) | Stop::Idles(rule, _) => ("oracle", Some(rule)),
                Stop::Deadlock | Stop::Backstop => ("deadlock", None),
                Stop::Passed => ("passed", None),
            };
            yaml.field("kind", format_args!("{kind}"))?;
            if let Some(rule) = rule {
                yaml.field("rule", format_args!("{rule}"))?;
            }
            yaml.block("message", |out| out.write_fmt(*message))?;
            yaml.field("at", format_args!("{at}"))
        }
        Cause::Panic(info) => write_panic(yaml, info),
        Cause::Hang { seconds } => {
            yaml.field("kind", format_args!("hang"))?;
            yaml.block("message", |out| {
                write!(
                    out,
                    "no actor went on for {seconds} seconds; {}",
                    run::outlook()
                )
            })
        }
        Cause::Fault => {
            let fault = fault::Fault::of(frame);
            yaml.field("kind", format_args!("{}", fault.kind()))?;
            yaml.block("message", |out| {
                write!(out, "{fault} on cpu{}", cpu.index())
            })
        }
    }
}

fn write_panic(yaml: &mut Yaml, info: &PanicInfo<'_>) -> fmt::Result {
    yaml.field("kind", format_args!("panic"))?;
    yaml.block("message", |out| write!(out, "{}", info.message()))?;
    match info.location() {
        Some(at) => yaml.field("at", format_args!("{at}")),
        None => Ok(()),
    }
}

/// What the other CPUs did.
fn write_others(out: &mut dyn Write, symbols: &Symbols, reporter: &PerCpu) -> fmt::Result {
    for cpu in cpu::all().filter(|cpu| cpu.index() != reporter.index()) {
        writeln!(out, "cpu{} runs {}", cpu.index(), stop::RunningLwp(cpu))?;
        // A waiting CPU is always at the same place.
        if let Some(frame) = stop::frame_of(cpu).filter(|_| !cpu.waits.load(Relaxed)) {
            Backtrace::of_trap(frame).write(symbols, out)?;
        }
    }
    if cpu::count() == 1 {
        writeln!(out, "there are no others")?;
    }
    Ok(())
}
