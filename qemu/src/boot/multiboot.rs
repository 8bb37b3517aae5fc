//! Boot information of multiboot2, as GRUB leaves it.

use multiboot2::{BootInformation, BootInformationHeader, MemoryAreaType};

use super::{Areas, BootInfo, CommandLine, bytes};

/// Reads the tags at physical address `info`.
pub(super) fn read(info: usize) -> BootInfo {
    let header = core::ptr::with_exposed_provenance::<BootInformationHeader>(info);
    // SAFETY: the magic said that GRUB left its boot information at this address.
    let tags = unsafe { BootInformation::load(header) }
        .unwrap_or_else(|error| panic!("the multiboot2 information is damaged: {error}"));

    let mut usable = Areas::new();
    for area in tags
        .memory_map_tag()
        .map_or(&[][..], |map| map.memory_areas())
    {
        if area.typ() == MemoryAreaType::Available {
            usable.push(area.start_address() as usize..area.end_address() as usize);
        }
    }
    let mut taken = Areas::new();
    taken.push(tags.start_address()..tags.end_address());
    let mut debug_module = None;
    for module in tags.module_tags() {
        let area = module.start_address() as usize..module.end_address() as usize;
        taken.push(area.clone());
        // SAFETY: GRUB put the module there, and the area is withheld from the heap.
        debug_module = debug_module.or_else(|| Some(unsafe { bytes(area) }));
    }
    let line = tags
        .command_line_tag()
        .and_then(|tag| tag.cmdline().ok())
        .unwrap_or_default();
    BootInfo {
        usable,
        taken,
        command_line: CommandLine::copy(line),
        rsdp: rsdp(&tags),
        debug_module,
        protocol: "multiboot2",
    }
}

/// The tags of ACPI hold a copy of the root pointer behind their header of 8 bytes.
fn rsdp(tags: &BootInformation<'_>) -> Option<usize> {
    const HEADER: usize = 8;
    let new = tags
        .rsdp_v2_tag()
        .map(|tag| core::ptr::from_ref(tag).expose_provenance());
    let old = || {
        tags.rsdp_v1_tag()
            .map(|tag| core::ptr::from_ref(tag).expose_provenance())
    };
    Some(new.or_else(old)? + HEADER)
}
