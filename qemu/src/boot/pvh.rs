//! Boot information of PVH, as QEMU's `-kernel` leaves it (`hvm_start_info`, version 1).

use core::ffi::CStr;

use super::{Areas, BootInfo, CommandLine, bytes};

/// First word of the structure, which the entry also passes in place of a loader's magic.
pub(super) const MAGIC: u32 = 0x336e_c578;

/// `E820_RAM`: the type of usable memory.
const RAM: u32 = 1;

#[repr(C)]
#[derive(Clone, Copy)]
struct StartInfo {
    magic: u32,
    version: u32,
    _flags: u32,
    nr_modules: u32,
    modlist_paddr: u64,
    cmdline_paddr: u64,
    rsdp_paddr: u64,
    memmap_paddr: u64,
    memmap_entries: u32,
    _reserved: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Module {
    paddr: u64,
    size: u64,
    _cmdline_paddr: u64,
    _reserved: u64,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct MemoryArea {
    addr: u64,
    size: u64,
    kind: u32,
    _reserved: u32,
}

/// An array of the loader's in physical memory.
///
/// # Safety
///
/// `count` initialised values lie at `start`, mapped, and nobody writes to them.
unsafe fn array<T: Copy>(start: u64, count: u32) -> &'static [T] {
    if count == 0 {
        return &[];
    }
    let start = core::ptr::with_exposed_provenance(start as usize);
    // SAFETY: the caller's promise.
    unsafe { core::slice::from_raw_parts(start, count as usize) }
}

/// Reads the structure at physical address `info`. All of its parts are below 1 MiB, which the heap does not use.
pub(super) fn read(info: usize) -> BootInfo {
    // SAFETY: the entry of PVH says that the structure is at this address.
    let start = unsafe { array::<StartInfo>(info as u64, 1) }[0];
    assert_eq!(start.magic, MAGIC, "the PVH start information is damaged");
    assert!(
        start.version >= 1,
        "PVH start information of version {} has no memory map",
        start.version
    );

    // SAFETY: the loader describes its own memory map.
    let map = unsafe { array::<MemoryArea>(start.memmap_paddr, start.memmap_entries) };
    let mut usable = Areas::new();
    for area in map.iter().filter(|area| area.kind == RAM) {
        usable.push(area.addr as usize..(area.addr + area.size) as usize);
    }
    // SAFETY: the loader describes its own modules.
    let modules = unsafe { array::<Module>(start.modlist_paddr, start.nr_modules) };
    let mut taken = Areas::new();
    let mut debug_module = None;
    for module in modules {
        let area = module.paddr as usize..(module.paddr + module.size) as usize;
        taken.push(area.clone());
        // SAFETY: the loader put the module there, and the area is withheld from the heap.
        debug_module = debug_module.or_else(|| Some(unsafe { bytes(area) }));
    }
    let line = core::ptr::with_exposed_provenance(start.cmdline_paddr as usize);
    let line = match start.cmdline_paddr {
        0 => c"",
        // SAFETY: the loader put the text there, with a zero behind it.
        _ => unsafe { CStr::from_ptr(line) },
    };
    BootInfo {
        usable,
        taken,
        command_line: CommandLine::copy(line.to_str().unwrap_or_default()),
        rsdp: (start.rsdp_paddr != 0).then_some(start.rsdp_paddr as usize),
        debug_module,
        protocol: "pvh",
    }
}
