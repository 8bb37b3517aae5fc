//! The information from the boot loader, whichever loader it was.
//!
//! # Overview
//!
//! The image has two entry headers: a multiboot2 header (GRUB) and a PVH note (QEMU's `-kernel`). Each loader leaves
//! a description of the machine in memory in its own format; [`read`] turns either into one [`BootInfo`]. The
//! assembly of this folder takes the processors from there to long mode.
//!
//! # Contexts
//!
//! The boot processor, once, before there is a heap.

mod multiboot;
mod pvh;

use core::arch::global_asm;
use core::ops::Range;

global_asm!(
    include_str!("entry.s"),
    bsp_start = sym crate::bsp_start,
    ap_start = sym crate::cpu::smp::ap_start,
);

/// Maximum number of memory areas; a PC has about ten.
const MAX_AREAS: usize = 32;

/// A list of address ranges that needs no heap.
pub(crate) struct Areas {
    list: [(usize, usize); MAX_AREAS],
    len: usize,
}

impl Areas {
    const fn new() -> Self {
        Areas {
            list: [(0, 0); MAX_AREAS],
            len: 0,
        }
    }

    /// Adds a range. Empty ranges, and those that do not fit, are left out.
    fn push(&mut self, area: Range<usize>) {
        if area.start < area.end && self.len < MAX_AREAS {
            self.list[self.len] = (area.start, area.end);
            self.len += 1;
        }
    }

    /// The ranges, in the order in which they were found.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Range<usize>> {
        self.list[..self.len].iter().map(|&(start, end)| start..end)
    }
}

/// Maximum length of the command line, in bytes.
const LINE_BYTES: usize = 1024;

/// The kernel command line, copied from the loader's memory.
pub(crate) struct CommandLine {
    bytes: [u8; LINE_BYTES],
    len: usize,
}

impl CommandLine {
    /// Copies `text`. Panics if it is too long, because a truncated command line would mean something else.
    fn copy(text: &str) -> Self {
        assert!(
            text.len() <= LINE_BYTES,
            "the command line is longer than {LINE_BYTES} bytes"
        );
        let mut bytes = [0; LINE_BYTES];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        CommandLine {
            bytes,
            len: text.len(),
        }
    }

    /// The text.
    pub(crate) fn text(&self) -> &str {
        core::str::from_utf8(&self.bytes[..self.len]).expect("it was copied from text")
    }
}

/// The information from the boot loader.
pub(crate) struct BootInfo {
    /// Memory that the firmware says is usable.
    pub(crate) usable: Areas,
    /// Parts of it that are in use: modules and the loader's own structures.
    pub(crate) taken: Areas,
    /// The kernel command line.
    pub(crate) command_line: CommandLine,
    /// Address of ACPI's root pointer, if the loader found it.
    pub(crate) rsdp: Option<usize>,
    /// The first module: the kernel's own debugging information, as an ELF file.
    pub(crate) debug_module: Option<&'static [u8]>,
    /// The loader, for the first line of output.
    pub(crate) protocol: &'static str,
}

/// Reads the boot information at physical address `info`, of the kind that `magic` names.
///
/// Panics if the loader is unknown.
pub(crate) fn read(magic: u32, info: usize) -> BootInfo {
    match magic {
        multiboot2::MAGIC => multiboot::read(info),
        pvh::MAGIC => pvh::read(info),
        _ => {
            panic!("the boot loader left magic {magic:#010x}, which is neither multiboot2 nor PVH")
        }
    }
}

/// The bytes of physical memory at `area`, for as long as the kernel runs.
///
/// # Safety
///
/// The area is mapped, initialised, and nobody writes to it.
unsafe fn bytes(area: Range<usize>) -> &'static [u8] {
    let start = core::ptr::with_exposed_provenance(area.start);
    // SAFETY: the caller's promise.
    unsafe { core::slice::from_raw_parts(start, area.len()) }
}
