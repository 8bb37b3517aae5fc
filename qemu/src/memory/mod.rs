//! Memory of the booted machine: the heap, the guarded stacks, and the address space.
//!
//! | virtual addresses | contents |
//! |---|---|
//! | page 0 | unmapped, so that a null pointer faults |
//! | to 3 GiB | memory at its physical address; the kernel's image from 2 MiB on |
//! | 3 to 4 GiB | devices at their physical addresses, uncached |
//! | 512 GiB … | [`stack`]: stacks with a guard before each |

pub(crate) mod heap;
pub(crate) mod stack;

use core::ops::Range;

use x86_64::VirtAddr;
use x86_64::instructions::tlb;
use x86_64::structures::paging::PageTable;

use crate::boot::BootInfo;

/// Memory below this is used by firmware, loader and starting CPUs, and not by the heap.
const LOW_END: usize = 1 << 20;

/// End of the memory that the boot page tables map cached.
pub(crate) const MAPPED_END: usize = 3 << 30;

/// The addresses of devices, mapped uncached.
pub(crate) const DEVICES: Range<usize> = MAPPED_END..4 << 30;

/// Size of a page, in bytes.
pub(crate) const PAGE: usize = 4096;

unsafe extern "C" {
    static mut boot_pt: PageTable;
    safe static kernel_start: u8;
    safe static kernel_end: u8;
}

/// The addresses of the kernel's image.
fn image() -> Range<usize> {
    let address = |symbol: &u8| core::ptr::from_ref(symbol).expose_provenance();
    address(&kernel_start)..address(&kernel_end)
}

/// Gives all usable memory to the heap, except parts that are in use.
pub(crate) fn init(info: &BootInfo) {
    let image = image();
    for area in info.usable.iter() {
        let mut start = area.start.max(LOW_END);
        let end = area.end.min(MAPPED_END);
        while start < end {
            // The next part in use, and its end.
            let taken = || info.taken.iter().chain([image.clone()]);
            let inside = taken().find(|taken| taken.contains(&start));
            if let Some(taken) = inside {
                start = taken.end.next_multiple_of(PAGE);
                continue;
            }
            let free_end = taken()
                .map(|taken| taken.start)
                .filter(|&at| at > start)
                .min();
            let free_end = free_end.unwrap_or(end).min(end);
            // SAFETY: the firmware says it is usable, the page tables map it, and nothing lies in it.
            unsafe { heap::give(start..free_end) };
            start = free_end;
        }
    }
}

/// Unmaps page 0, so that a null pointer faults. Before other CPUs are started.
pub(crate) fn forbid_null() {
    let table = &raw mut boot_pt;
    // SAFETY: only this place changes the table, and no other CPU runs.
    let table = unsafe { &mut *table };
    table[0].set_unused();
    tlb::flush(VirtAddr::zero());
}
