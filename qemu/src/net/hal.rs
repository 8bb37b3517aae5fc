//! What `virtio-drivers` needs of the machine: memory that a device can access, and the addresses of a device's registers.
//!
//! Memory and registers are identity-mapped, so a virtual address is also the physical one. Stacks are not: no buffer may be on a
//! stack.

use core::alloc::Layout;
use core::ptr::{self, NonNull};

use virtio_drivers::{BufferDirection, Hal, PAGE_SIZE, PhysAddr};

use crate::memory::{self, heap};

/// Memory and registers at their physical addresses.
#[derive(Debug)]
pub(super) struct Identity;

fn layout(pages: usize) -> Layout {
    Layout::from_size_align(pages * PAGE_SIZE, PAGE_SIZE)
        .expect("the rings of a queue are a few pages")
}

// SAFETY: (1) the heap gives memory that nobody else has, aligned as asked for, and `dma_alloc` zeroes it; (2) registers
// are mapped where they are, and only the driver of this folder touches them.
unsafe impl Hal for Identity {
    fn dma_alloc(pages: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        let layout = layout(pages);
        // Address 0 says that there is no memory.
        let Some(start) = NonNull::new(heap::alloc(layout)) else {
            return (0, NonNull::dangling());
        };
        // SAFETY: memory of this size that nobody else has.
        unsafe { start.write_bytes(0, layout.size()) };
        (start.addr().get() as PhysAddr, start)
    }

    unsafe fn dma_dealloc(_: PhysAddr, start: NonNull<u8>, pages: usize) -> i32 {
        // SAFETY: the caller's promise: it came from `dma_alloc` with as many pages.
        unsafe { heap::free(start.as_ptr(), layout(pages)) };
        0
    }

    unsafe fn mmio_phys_to_virt(start: PhysAddr, size: usize) -> NonNull<u8> {
        let end = start as usize + size;
        assert!(
            memory::DEVICES.start <= start as usize && end <= memory::DEVICES.end,
            "registers at {start:#x} to {end:#x}, where no devices are mapped"
        );
        NonNull::new(ptr::with_exposed_provenance_mut(start as usize))
            .expect("devices do not begin at 0")
    }

    unsafe fn share(buffer: NonNull<[u8]>, _: BufferDirection) -> PhysAddr {
        let start = buffer.cast::<u8>().as_ptr().expose_provenance();
        assert!(
            start + buffer.len() <= memory::MAPPED_END,
            "a buffer at {start:#x} lies where addresses are not physical ones: is it on a stack?"
        );
        start as PhysAddr
    }

    unsafe fn unshare(_: PhysAddr, _: NonNull<[u8]>, _: BufferDirection) {}
}
