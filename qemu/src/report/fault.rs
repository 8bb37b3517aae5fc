//! The meaning of an exception, in words.

use core::fmt;

use x86_64::registers::control::Cr2;

use crate::cpu::interrupt::TrapFrame;
use crate::memory::PAGE;
use crate::memory::stack::{self, Stack};

/// An exception, decoded.
pub(crate) enum Fault {
    /// The guard below a stack was touched, by an access to the address.
    StackOverflow(Stack, u64),
    /// An access to an unmapped address, or one that is not allowed there.
    Page {
        address: u64,
        write: bool,
        fetch: bool,
        present: bool,
    },
    /// Anything else: vector and error code.
    Other(u64, u64),
}

impl Fault {
    /// Decodes the exception of `frame`, which was taken on this CPU.
    pub(crate) fn of(frame: &TrapFrame) -> Fault {
        const PAGE_FAULT: u64 = 14;
        if frame.vector != PAGE_FAULT {
            return Fault::Other(frame.vector, frame.error_code);
        }
        let address = Cr2::read_raw();
        match stack::guard_owner(address as usize) {
            Some(stack) => Fault::StackOverflow(stack, address),
            None => Fault::Page {
                address,
                present: frame.error_code & 1 << 0 != 0,
                write: frame.error_code & 1 << 1 != 0,
                fetch: frame.error_code & 1 << 4 != 0,
            },
        }
    }

    /// The word in the report.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Fault::StackOverflow(..) => "stack-overflow",
            Fault::Page { .. } | Fault::Other(..) => "fault",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Fault::StackOverflow(stack, address) => write!(
                f,
                "stack overflow of {}: its {} bytes are used up, and the guard below was touched at {address:#x}",
                stack.owner(),
                stack.range().len(),
            ),
            Fault::Page {
                address,
                write,
                fetch,
                present,
            } => {
                let what = match (write, fetch) {
                    (_, true) => "execution",
                    (true, _) => "write",
                    _ => "read",
                };
                let why = if present {
                    "which is protected"
                } else {
                    "where nothing is"
                };
                write!(f, "page fault: {what} at {address:#x}, {why}")?;
                let null = if address < PAGE as u64 {
                    " (a null pointer)"
                } else {
                    ""
                };
                f.write_str(null)
            }
            Fault::Other(vector, code) => {
                write!(
                    f,
                    "exception {vector} ({}), error code {code:#x}",
                    name(vector)
                )
            }
        }
    }
}

/// The name of an exception in the processor's manual.
fn name(vector: u64) -> &'static str {
    match vector {
        0 => "divide error",
        1 => "debug exception",
        3 => "breakpoint",
        4 => "overflow",
        5 => "bound range exceeded",
        6 => "invalid opcode",
        7 => "device not available",
        8 => "double fault",
        10 => "invalid TSS",
        11 => "segment not present",
        12 => "stack-segment fault",
        13 => "general protection",
        16 => "x87 floating-point error",
        17 => "alignment check",
        18 => "machine check",
        19 => "SIMD floating-point exception",
        20 => "virtualization exception",
        21 => "control protection exception",
        _ => "reserved",
    }
}

/// The registers of a trap, four per line.
pub(crate) struct Registers<'a>(pub(crate) &'a TrapFrame);

impl fmt::Display for Registers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let r = self.0;
        for line in [
            [
                ("rax", r.rax),
                ("rbx", r.rbx),
                ("rcx", r.rcx),
                ("rdx", r.rdx),
            ],
            [
                ("rsi", r.rsi),
                ("rdi", r.rdi),
                ("rbp", r.rbp),
                ("rsp", r.rsp),
            ],
            [("r8", r.r8), ("r9", r.r9), ("r10", r.r10), ("r11", r.r11)],
            [
                ("r12", r.r12),
                ("r13", r.r13),
                ("r14", r.r14),
                ("r15", r.r15),
            ],
            [
                ("rip", r.rip),
                ("flg", r.rflags),
                ("cs", r.cs),
                ("ss", r.ss),
            ],
        ] {
            for (index, (name, value)) in line.into_iter().enumerate() {
                let gap = if index == 0 { "" } else { "  " };
                write!(f, "{gap}{name:<3} {value:016x}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
