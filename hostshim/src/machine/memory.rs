//! The memory of the machine: one region, the kernel's arena first, then the stacks.
//!
//! # Overview
//!
//! The arena is allocated from bottom to top and never reused in a run, so that every use of freed memory is
//! detected. Offsets are the same in every machine and every run. The region is aligned to its own size, so what a
//! kernel computes from the low bits of an address is also the same everywhere.
//!
//! # The image
//!
//! [`Memory::take_image`] copies the bytes that are in use; [`Memory::restore`] copies them back. The kernel also
//! writes outside cells (a value that it moves into new memory, a counter), so modified memory is not tracked. A
//! booted kernel is a few ten thousand bytes.

use std::alloc::Layout;
use std::collections::BTreeMap;
use std::ptr;
use std::rc::Rc;

use kmod::machine::Kind;
use kmod::mem::Ordering;

use super::clock::{Clock, Clocks};
use super::context::Contexts;
use super::mapping::Mapping;
use super::shadow::{Birth, Conflict, Dropped, GRANULE, Shadow, Slot, Starts};

/// Bytes that a kernel can allocate.
pub(crate) const ARENA_BYTES: usize = 16 << 20;
/// Bytes of a stack. AddressSanitizer makes frames larger.
pub(crate) const STACK_BYTES: usize = if cfg!(feature = "sanitizer") {
    128 << 10
} else {
    64 << 10
};
/// Maximum number of contexts: 16 CPUs with six LWPs of their own each, and 160 more.
pub(crate) const CONTEXTS: usize = 256;
/// Bytes of the region.
pub(crate) const REGION_BYTES: usize = (ARENA_BYTES + CONTEXTS * STACK_BYTES).next_power_of_two();
/// Every allocation begins at a multiple of this.
const GRAIN: usize = 16;

/// The region that a machine's memory and stacks lie in.
pub(crate) fn region() -> Mapping {
    Mapping::new(REGION_BYTES, REGION_BYTES)
}

/// Offset in the region of the lowest byte of stack `index`.
pub(crate) fn stack_offset(index: usize) -> usize {
    ARENA_BYTES + index * STACK_BYTES
}

/// Addresses below this belong to null pointers, with an offset: no machine maps them.
const NULL_BYTES: usize = 65_536;

/// What is wrong with an access or a free.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wrong {
    /// It goes through a null pointer.
    Null,
    /// The address at this offset was never allocated.
    Never(usize),
    /// The memory at this offset was already freed.
    Freed(usize),
    /// The local variable at this offset, in a stack, is gone.
    Gone(usize),
    /// The cell at this offset is in a race with that CPU's write, or otherwise its read.
    Race {
        offset: usize,
        cpu: usize,
        wrote: bool,
        /// Whether one of the two accesses is atomic and the other is plain.
        mixed: bool,
    },
}

/// One allocation.
#[derive(Clone, Copy)]
struct Allocation {
    offset: usize,
    size: usize,
    what: &'static str,
    freed: bool,
    /// Whether it must be freed before the end of the run.
    is_counted: bool,
    birth: Birth,
    /// Which of its [`CHUNKS`] have cells that were accessed, if it was made in this run.
    touched: u64,
}

/// Number of parts of an allocation for which accesses are recorded separately.
const CHUNKS: usize = u64::BITS as usize;

impl Allocation {
    /// Bytes per part; the last may have fewer.
    fn chunk(&self) -> usize {
        self.size.div_ceil(CHUNKS)
    }

    /// Whether the byte at `offset` in the region belongs to it.
    fn contains(&self, offset: usize) -> bool {
        (self.offset..self.offset + self.size).contains(&offset)
    }

    /// Records an access to a cell at `offset` in the region. A cell may extend into the next part.
    fn touch(&mut self, offset: usize) {
        self.touched |= 1 << ((offset - self.offset) / self.chunk());
    }

    /// The parts with cells that were accessed: the offset and size of each.
    fn touched(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let Allocation {
            offset,
            size,
            touched,
            ..
        } = *self;
        let chunk = self.chunk();
        let parts = (0..CHUNKS).filter(move |part| touched & 1 << part != 0);
        parts.map(move |part| (offset + part * chunk, chunk.min(size - part * chunk)))
    }
}

/// The state with which a run begins.
#[derive(Default)]
struct Image {
    bytes: Vec<u8>,
    quick_bytes: usize,
    allocations: usize,
}

/// The memory of one machine.
pub(crate) struct Memory {
    /// Address of the region.
    base: usize,
    /// Bytes of the arena that are allocated.
    used: usize,
    shadow: Shadow,
    allocations: Vec<Allocation>,
    /// Allocations of the image that were freed in this run.
    freed: Vec<usize>,
    /// The beginning of what was allocated since everything was last ordered.
    fresh: usize,
    /// The number of the allocation that [`Memory::begin`] was last called for.
    begun: usize,
    /// The end of what [`Memory::quick`] may access: without the stacks as soon as one of them is dead.
    quick_bytes: usize,
    image: Option<Image>,
    region: Rc<Mapping>,
}

impl Memory {
    /// Memory in `region`, which [`region`] made.
    pub(crate) fn new(region: Rc<Mapping>) -> Memory {
        Memory {
            base: region.address(),
            used: 0,
            shadow: Shadow::new(),
            allocations: Vec::new(),
            freed: Vec::new(),
            fresh: 0,
            begun: 0,
            quick_bytes: REGION_BYTES,
            image: None,
            region,
        }
    }

    /// Forgets everything: another kernel is about to boot.
    pub(crate) fn clear(&mut self) {
        for allocation in self
            .allocations
            .iter()
            .filter(|allocation| allocation.freed)
        {
            self.shadow.revive(allocation.offset, allocation.size);
        }
        self.image = None;
        self.allocations.clear();
        self.freed.clear();
        self.used = 0;
        self.fresh = 0;
        self.quick_bytes = REGION_BYTES;
        self.shadow.watch_fences(false);
        self.shadow.next_run();
    }

    /// Offset in the region, if the address is in it.
    #[inline]
    pub(crate) fn offset(&self, address: usize) -> Option<usize> {
        let offset = address.wrapping_sub(self.base);
        (offset < REGION_BYTES).then_some(offset)
    }

    /// Whether what is at this offset was allocated before the image was taken.
    pub(crate) fn is_of_image(&self, offset: usize) -> bool {
        let image = self.image.as_ref();
        image.is_some_and(|image| offset < image.bytes.len())
    }

    /// Checks and records an access if it is a simple one ([`Shadow::quick`]), as most are. Returns whether it was;
    /// if not, nothing has changed, and the access must be checked in full.
    #[inline(always)]
    pub(crate) fn quick(
        &mut self,
        cpu: usize,
        address: usize,
        access: impl FnOnce(&mut Clocks, usize, &mut Slot) -> bool,
    ) -> bool {
        let offset = address.wrapping_sub(self.base);
        let is_old = || offset < self.fresh || offset >= ARENA_BYTES;
        offset < self.quick_bytes && self.shadow.quick(cpu, offset, is_old, access)
    }

    /// An LWP has exited. From now on accesses to stacks are checked in full.
    pub(crate) fn stack_dies(&mut self) {
        self.quick_bytes = ARENA_BYTES;
    }

    /// The number of the stack that the address is in, if it is in one.
    #[inline]
    pub(crate) fn stack_of(&self, address: usize) -> Option<usize> {
        Contexts::stack_at(self.offset(address)?)
    }

    /// The local variable at `offset`, in a stack, is dropped by `cpu`.
    pub(crate) fn drop_local(&mut self, cpu: usize, offset: usize) {
        self.shadow.drop_cell(cpu, offset);
    }

    /// The local variable at `offset`, if it was dropped.
    pub(crate) fn dropped(&mut self, offset: usize) -> Option<Dropped> {
        self.shadow.dropped(offset)
    }

    /// Whether `cpu` is ordered after the end of this variable. Only then can another one be in its place that `cpu` has the
    /// address of.
    pub(crate) fn knows_end(&self, cpu: usize, dropped: Dropped) -> bool {
        self.shadow.knows_end(cpu, dropped)
    }

    /// Another local variable has taken the place of one that is gone.
    pub(crate) fn replace_local(&mut self, cpu: usize, offset: usize) {
        self.shadow.replace_cell(cpu, offset);
    }

    /// Foreign code is going to run.
    pub(crate) fn expect_foreign(&mut self) {
        self.shadow.expect_foreign();
    }

    /// Whether the address belongs to a null pointer, with an offset.
    pub(crate) fn is_null(&self, address: usize) -> bool {
        address < NULL_BYTES
    }

    /// Whether a foreign access of `size` bytes is one of a cell, in one granule.
    #[inline(always)]
    pub(crate) fn is_cell(&self, address: usize, size: usize) -> bool {
        let offset = address.wrapping_sub(self.base);
        offset < REGION_BYTES
            && offset % GRANULE + size <= GRANULE
            && self.shadow.is_cell(offset, size)
    }

    /// The same, and nothing of the granule was accessed atomically.
    #[inline(always)]
    pub(crate) fn is_plain_cell(&self, address: usize, size: usize) -> bool {
        let offset = address.wrapping_sub(self.base);
        offset < REGION_BYTES
            && offset % GRANULE + size <= GRANULE
            && self.shadow.is_plain_cell(offset, size)
    }

    /// Checks an atomic access of foreign code against plain ones ([`Shadow::atomic`]).
    pub(crate) fn atomic(
        &mut self,
        cpu: usize,
        address: usize,
        how: (bool, Ordering),
        then: Birth,
    ) -> Result<(), Wrong> {
        let offset = address.wrapping_sub(self.base);
        let checked = self.shadow.atomic(cpu, offset, how, then);
        checked.map_err(|conflict| wrong(offset, conflict))
    }

    /// Checks a plain access of foreign code against atomic ones.
    pub(crate) fn plain(&self, cpu: usize, address: usize, writes: bool) -> Result<(), Wrong> {
        let offset = address.wrapping_sub(self.base);
        let checked = self.shadow.plain(cpu, offset, writes);
        checked.map_err(|conflict| wrong(offset, conflict))
    }

    /// A plain access is made although it races ([`Shadow::overtake`]).
    pub(crate) fn overtake(&mut self, cpu: usize, address: usize, kind: Kind) {
        self.shadow
            .overtake(cpu, address.wrapping_sub(self.base), kind);
    }

    /// An atomic access races with plain ones ([`Shadow::forget_plain`]).
    pub(crate) fn forget_plain(&mut self, cpu: usize, address: usize, writes: bool) {
        self.shadow
            .forget_plain(cpu, address.wrapping_sub(self.base), writes);
    }

    /// A plain access races with atomic ones ([`Shadow::forget_atomic`]).
    pub(crate) fn forget_atomic(&mut self, cpu: usize, address: usize, writes: bool) {
        self.shadow
            .forget_atomic(cpu, address.wrapping_sub(self.base), writes);
    }

    /// Divides cells for a foreign access in one granule of the region ([`Shadow::divide`]).
    pub(crate) fn divide(
        &mut self,
        address: usize,
        size: usize,
        mut copied: impl FnMut(usize, usize),
    ) -> Starts {
        let offset = address.wrapping_sub(self.base);
        let (fresh, allocations) = (self.fresh, &mut self.allocations);
        self.shadow.divide(offset, size, |to, from| {
            if (fresh..ARENA_BYTES).contains(&to)
                && let Some(index) = holder(allocations, to)
            {
                allocations[index].touch(to);
            }
            copied(to, from);
        })
    }

    /// The local variables in `size` bytes at `offset` are dropped by `cpu`, as far as foreign code has accessed them. Returns
    /// whether it has.
    pub(crate) fn drop_frame(&mut self, cpu: usize, offset: usize, size: usize) -> bool {
        let mut is_used = false;
        let mut at = offset;
        while let Some(cell) = self.shadow.foreign_cell(at, offset + size - at) {
            self.shadow.drop_cell(cpu, cell);
            is_used = true;
            at = cell + 1;
        }
        if is_used {
            self.shadow.forget_cells(offset, size);
        }
        is_used
    }

    /// Offset in the region, if the address is in a stack or in an allocated part of the arena.
    #[inline(always)]
    fn given_out(&self, address: usize) -> Option<usize> {
        let offset = address.wrapping_sub(self.base);
        (offset < self.used || (ARENA_BYTES..REGION_BYTES).contains(&offset)).then_some(offset)
    }

    /// Switches the full check of every access on or off.
    pub(crate) fn check_all(&mut self, all: bool) {
        self.shadow.check_all(all);
    }

    /// Checks and records an access. Memory of the host is ignored.
    #[inline(always)]
    pub(crate) fn access(
        &mut self,
        cpu: usize,
        address: usize,
        kind: Kind,
        order: Ordering,
    ) -> Result<(), Wrong> {
        let Some(offset) = self.given_out(address) else {
            return match self.offset(address) {
                Some(offset) => Err(Wrong::Never(offset)),
                None if address < NULL_BYTES => Err(Wrong::Null),
                None => Ok(()),
            };
        };
        if (self.fresh..ARENA_BYTES).contains(&offset) && self.shadow.is_new(offset) {
            self.begin(offset)?;
        }
        self.shadow
            .access(cpu, offset, kind, order)
            .map_err(|conflict| wrong(offset, conflict))
    }

    /// Checks a read without recording it.
    pub(crate) fn peek(&mut self, cpu: usize, address: usize) -> Result<(), Wrong> {
        let Some(offset) = self.given_out(address) else {
            // As for any other access.
            return self.access(cpu, address, Kind::Read, Ordering::Relaxed);
        };
        if (self.fresh..ARENA_BYTES).contains(&offset) && self.shadow.is_new(offset) {
            self.begin(offset)?;
        }
        let seen = self.shadow.peek(cpu, offset);
        seen.map_err(|conflict| wrong(offset, conflict))
    }

    /// The writes of `cpu` from now on are ordered after what a load of this address has seen.
    pub(crate) fn control(&mut self, cpu: usize, address: usize) {
        if let Some(offset) = self.given_out(address) {
            self.shadow.control(cpu, offset);
        }
    }

    /// The present of `cpu`.
    pub(crate) fn now(&self, cpu: usize) -> Birth {
        self.shadow.birth(cpu)
    }

    /// Whether `cpu` is ordered after that moment.
    pub(crate) fn knows(&self, cpu: usize, moment: Birth) -> bool {
        self.shadow.knows(cpu, moment).is_ok()
    }

    /// What a load of this address with acquire would learn ([`Shadow::sync`]).
    pub(crate) fn sync(&mut self, address: usize) -> Option<Clock> {
        let offset = self.given_out(address)?;
        self.shadow.sync(offset)
    }

    /// That is this from now on.
    pub(crate) fn set_sync(&mut self, address: usize, sync: Option<Clock>) {
        if let Some(offset) = self.given_out(address) {
            self.shadow.set_sync(offset, sync);
        }
    }

    /// `cpu` makes a fence.
    pub(crate) fn fence(&mut self, cpu: usize, order: Ordering) {
        self.shadow.fence(cpu, order);
    }

    /// From now on acquire fences are exact, or no run has made any.
    pub(crate) fn watch_fences(&mut self, watching: bool) {
        self.shadow.watch_fences(watching);
    }

    /// Whether this run made an acquire fence, and must be repeated.
    pub(crate) fn missed_fence(&self) -> bool {
        self.shadow.missed_fence()
    }

    /// Another LWP goes on, on `cpu`.
    #[inline]
    pub(crate) fn switch(&mut self, cpu: usize) {
        self.shadow.switch(cpu);
    }

    /// The first access to a cell of memory that was allocated in this run.
    #[cold]
    fn begin(&mut self, offset: usize) -> Result<(), Wrong> {
        // Most objects have many cells, which are accessed for the first time one after another.
        let same = self.allocations.get(self.begun);
        if !same.is_some_and(|allocation| allocation.contains(offset)) {
            let Some(index) = holder(&self.allocations, offset) else {
                // Between two allocations.
                return Err(Wrong::Never(offset));
            };
            self.begun = index;
        }
        let allocation = &mut self.allocations[self.begun];
        if allocation.freed {
            return Err(Wrong::Freed(offset));
        }
        allocation.touch(offset);
        self.shadow.begin(offset, allocation.birth);
        Ok(())
    }

    /// Orders `cpu` after everything that happened: the machine is at rest.
    pub(crate) fn synchronize(&mut self, cpu: usize) {
        self.shadow.synchronize(cpu);
    }

    /// Allocates zeroed memory for `cpu`; null if the arena is full.
    pub(crate) fn alloc(&mut self, cpu: usize, layout: Layout, what: &'static str) -> *mut u8 {
        let offset = self.used.next_multiple_of(layout.align().max(GRAIN));
        // An allocation of size 0 has its own address, too.
        let size = layout.size().max(1);
        if size > ARENA_BYTES - offset.min(ARENA_BYTES) {
            return ptr::null_mut();
        }
        self.used = offset + size;
        self.allocations.push(Allocation {
            offset,
            size,
            what,
            freed: false,
            is_counted: true,
            birth: self.shadow.birth(cpu),
            touched: 0,
        });
        // SAFETY: inside the arena, as was just checked.
        let at = unsafe { self.region.base().as_ptr().add(offset) };
        // SAFETY: (1) inside the arena; (2) given out just now, so nobody else has it.
        unsafe { at.write_bytes(0, size) };
        at
    }

    /// Allocates memory outside the kernel's allocator; null if the arena is full. It counts as allocated before the run: a CPU
    /// that gets its address from another one need not be ordered after it by what the machine sees.
    pub(crate) fn alloc_heap(&mut self, layout: Layout, what: &'static str) -> *mut u8 {
        let at = self.alloc(0, layout, what);
        if let Some(allocation) = self.allocations.last_mut().filter(|_| !at.is_null()) {
            allocation.birth = Birth::BEFORE;
            allocation.is_counted = false;
        }
        at
    }

    /// Frees memory of [`Memory::alloc_heap`], even if other CPUs may still access it.
    pub(crate) fn free_heap(&mut self, address: usize) {
        let offset = self.offset(address).unwrap_or(REGION_BYTES);
        let Ok(index) = self.allocations.binary_search_by_key(&offset, |a| a.offset) else {
            return;
        };
        let allocation = &mut self.allocations[index];
        allocation.freed = true;
        let size = allocation.size;
        if self
            .image
            .as_ref()
            .is_some_and(|image| index < image.allocations)
        {
            self.freed.push(index);
        }
        // An error is a race with an earlier access, which an `Arc` may have ordered.
        let _ = self.shadow.free(0, offset, size);
        if self.image.is_none() {
            self.shadow.bury(offset, size);
        }
    }

    /// Frees memory.
    pub(crate) fn free(&mut self, cpu: usize, address: usize) -> Result<(), Wrong> {
        let offset = self.offset(address).unwrap_or(REGION_BYTES);
        let Ok(index) = self.allocations.binary_search_by_key(&offset, |a| a.offset) else {
            return Err(Wrong::Never(offset));
        };
        let allocation = &mut self.allocations[index];
        if allocation.freed {
            return Err(Wrong::Freed(offset));
        }
        allocation.freed = true;
        if self
            .image
            .as_ref()
            .is_some_and(|image| index < image.allocations)
        {
            self.freed.push(index);
        }
        let allocation = *allocation;
        let size = allocation.size;
        if offset < self.fresh {
            self.shadow
                .free(cpu, offset, size)
                .map_err(|(offset, conflict)| wrong(offset, conflict))?;
        } else {
            self.free_fresh(cpu, &allocation)?;
        }
        if self.image.is_none() {
            // What is freed before the image is taken stays freed in every run.
            self.shadow.bury(offset, size);
        }
        Ok(())
    }

    /// Frees memory that was allocated in this run. Cells that were never accessed are known to be freed through
    /// their allocation.
    fn free_fresh(&mut self, cpu: usize, allocation: &Allocation) -> Result<(), Wrong> {
        for (part, size) in allocation.touched() {
            self.shadow
                .free(cpu, part, size)
                .map_err(|(offset, conflict)| wrong(offset, conflict))?;
        }
        self.shadow
            .knows(cpu, allocation.birth)
            .map_err(|conflict| wrong(allocation.offset, conflict))
    }

    /// The offset and size of the allocation at `offset`.
    pub(crate) fn extent(&self, offset: usize) -> Option<usize> {
        let index = self
            .allocations
            .binary_search_by_key(&offset, |a| a.offset)
            .ok()?;
        Some(self.allocations[index].size)
    }

    /// Makes the current contents the image with which every run begins.
    pub(crate) fn take_image(&mut self) {
        let mut bytes = Vec::with_capacity(self.used);
        // SAFETY: (1) `used` bytes of the arena, which is mapped; (2) the vector has room for them; (3) no overlap.
        unsafe {
            ptr::copy_nonoverlapping(self.region.base().as_ptr(), bytes.as_mut_ptr(), self.used)
        };
        // SAFETY: that many bytes were written just now.
        unsafe { bytes.set_len(self.used) };
        self.image = Some(Image {
            bytes,
            quick_bytes: self.quick_bytes,
            allocations: self.allocations.len(),
        });
    }

    /// Orders every CPU after everything: no earlier access races with anything any more. Only while everything that
    /// is freed was freed before the image was taken.
    pub(crate) fn order_all(&mut self) {
        self.fresh = self.used;
        if self.shadow.next_run() {
            for allocation in self
                .allocations
                .iter()
                .filter(|allocation| allocation.freed)
            {
                self.shadow.bury(allocation.offset, allocation.size);
            }
        }
    }

    /// Begins a run: restores the image, if there is one.
    pub(crate) fn restore(&mut self) {
        let Some(image) = &self.image else { return };
        // SAFETY: (1) the arena is at least as large as the image, which was copied from there; (2) no overlap;
        // (3) no context runs, and whoever of the host has a reference into the arena looks at cells only.
        unsafe {
            ptr::copy_nonoverlapping(
                image.bytes.as_ptr(),
                self.region.base().as_ptr(),
                image.bytes.len(),
            )
        };
        self.used = image.bytes.len();
        self.quick_bytes = image.quick_bytes;
        self.allocations.truncate(image.allocations);
        for index in self.freed.drain(..) {
            self.allocations[index].freed = false;
        }
        self.order_all();
    }

    /// What the memory at this offset was allocated for, its size, and how far inside the offset is.
    pub(crate) fn what_is_at(&self, offset: usize) -> Option<(&'static str, usize, usize)> {
        let after = self.allocations.partition_point(|a| a.offset <= offset);
        let this = self.allocations[..after].last()?;
        let inside = offset - this.offset;
        (inside < this.size).then_some((this.what, this.size, inside))
    }

    /// A name for memory that has no label: `what#n`, or `what#n+offset`.
    pub(crate) fn describe(&self, offset: usize) -> Option<String> {
        let after = self.allocations.partition_point(|a| a.offset <= offset);
        let (this, before) = self.allocations[..after].split_last()?;
        if offset >= this.offset + this.size {
            return None;
        }
        let number = before.iter().filter(|a| a.what == this.what).count();
        Some(match offset - this.offset {
            0 => format!("{}#{number}", this.what),
            inside => format!("{}#{number}+{inside}", this.what),
        })
    }

    /// How many allocations of each kind were made since the image was taken and are still there.
    pub(crate) fn live(&self) -> BTreeMap<&'static str, usize> {
        let mark = self.image.as_ref().map_or(0, |image| image.allocations);
        let mut live = BTreeMap::new();
        let counted = |a: &&Allocation| !a.freed && a.is_counted;
        for allocation in self.allocations.iter().skip(mark).filter(counted) {
            *live.entry(allocation.what).or_insert(0) += 1;
        }
        live
    }
}

/// The number of the allocation that contains `offset`.
fn holder(allocations: &[Allocation], offset: usize) -> Option<usize> {
    let index = allocations
        .partition_point(|a| a.offset <= offset)
        .checked_sub(1)?;
    allocations[index].contains(offset).then_some(index)
}

fn wrong(offset: usize, conflict: Conflict) -> Wrong {
    match conflict {
        Conflict::Freed => Wrong::Freed(offset),
        Conflict::Race { cpu, wrote } => Wrong::Race {
            offset,
            cpu,
            wrote,
            mixed: false,
        },
        Conflict::Mixed { cpu, wrote } => Wrong::Race {
            offset,
            cpu,
            wrote,
            mixed: true,
        },
    }
}
