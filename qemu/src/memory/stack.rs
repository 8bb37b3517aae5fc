//! Stacks, each with a guard and an owner.
//!
//! # Overview
//!
//! Every stack has its own slot of address space: the lower half is never mapped, the upper half is the stack. A
//! stack overflow touches the guard and faults; [`guard_owner`] then says whose stack it was. The guard is as large
//! as the stack, so that one large frame does not skip it.
//!
//! A slot keeps its memory when it is released, and is reused first. No mapping is ever removed, so no CPU's TLB
//! needs to be flushed.
//!
//! # Contexts
//!
//! Any. The pool is under a lock that is held with interrupts off.

use core::alloc::Layout;
use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use x86_64::PhysAddr;
use x86_64::structures::paging::PageTable;
use x86_64::structures::paging::page_table::PageTableFlags;

use crate::memory::{PAGE, heap};
use crate::sync::IrqLock;

/// Usable bytes of a stack.
pub(crate) const STACK_BYTES: usize = 32 << 10;

/// Address space of a slot: the guard and the stack.
const SLOT_BYTES: usize = 2 * STACK_BYTES;

/// Maximum number of stacks.
pub(crate) const MAX_STACKS: usize = 2048;

/// Start of the slots: the second entry of the top-level table, which the boot tables leave empty.
const AREA: usize = 1 << 39;

const ENTRIES: usize = 512;
const TABLES: usize = MAX_STACKS * SLOT_BYTES / (ENTRIES * PAGE);
const _: () = assert!(TABLES <= ENTRIES, "one directory maps all slots");

/// Maximum length of a name in a report, in bytes.
const NAME_BYTES: usize = 32;

/// The owner's name, in words that can be read while they are written.
struct Name([AtomicU64; NAME_BYTES / 8]);

impl Name {
    fn set(&self, name: &str) {
        let mut bytes = [0; NAME_BYTES];
        let len = (0..=name.len().min(NAME_BYTES)).rfind(|&at| name.is_char_boundary(at));
        let len = len.unwrap_or(0);
        bytes[..len].copy_from_slice(&name.as_bytes()[..len]);
        for (word, part) in self.0.iter().zip(bytes.chunks_exact(8)) {
            word.store(
                u64::from_le_bytes(part.try_into().expect("parts of 8")),
                Relaxed,
            );
        }
    }

    fn get(&self) -> OwnerName {
        let mut bytes = [0; NAME_BYTES];
        for (word, part) in self.0.iter().zip(bytes.chunks_exact_mut(8)) {
            part.copy_from_slice(&word.load(Relaxed).to_le_bytes());
        }
        OwnerName(bytes)
    }
}

/// A copy of a stack owner's name.
pub(crate) struct OwnerName([u8; NAME_BYTES]);

impl core::fmt::Display for OwnerName {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let len = self
            .0
            .iter()
            .position(|&byte| byte == 0)
            .unwrap_or(NAME_BYTES);
        f.write_str(core::str::from_utf8(&self.0[..len]).unwrap_or("?"))
    }
}

struct Pool {
    free: [u16; MAX_STACKS],
    free_count: usize,
    /// Slots below this number have their memory.
    mapped: usize,
    pointers: PageTable,
    directory: PageTable,
    tables: [PageTable; TABLES],
}

static POOL: IrqLock<Pool> = IrqLock::new(Pool {
    free: [0; MAX_STACKS],
    free_count: 0,
    mapped: 0,
    pointers: PageTable::new(),
    directory: PageTable::new(),
    tables: [const { PageTable::new() }; TABLES],
});

static NAMES: [Name; MAX_STACKS] =
    [const { Name([const { AtomicU64::new(0) }; NAME_BYTES / 8]) }; MAX_STACKS];

unsafe extern "C" {
    static mut boot_pml4: PageTable;
}

/// A stack with its guard; it returns to the pool only through [`Stack::release`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stack(u16);

/// The slot and offset of an address in the stack area.
fn slot_of(address: usize) -> Option<(Stack, usize)> {
    let offset = address.checked_sub(AREA)?;
    let number = offset / SLOT_BYTES;
    (number < MAX_STACKS).then_some((Stack(number as u16), offset % SLOT_BYTES))
}

/// The owner of the guard that contains `address`, if there is one.
pub(crate) fn guard_owner(address: usize) -> Option<Stack> {
    let (stack, offset) = slot_of(address)?;
    (offset < SLOT_BYTES - STACK_BYTES).then_some(stack)
}

/// The stack that contains `address`, if there is one.
pub(crate) fn containing(address: usize) -> Option<Stack> {
    let (stack, offset) = slot_of(address)?;
    (offset >= SLOT_BYTES - STACK_BYTES).then_some(stack)
}

impl Stack {
    /// Takes a stack for `name`. Nothing if there is no memory or no slot.
    pub(crate) fn take(name: &str) -> Option<Stack> {
        let mut pool = POOL.lock();
        let stack = match pool.free_count.checked_sub(1) {
            Some(last) => {
                pool.free_count = last;
                Stack(pool.free[last])
            }
            None => pool.map_next()?,
        };
        NAMES[stack.number()].set(name);
        Some(stack)
    }

    /// Releases the stack.
    ///
    /// # Safety
    ///
    /// No context runs on it, and none will return to it.
    pub(crate) unsafe fn release(self) {
        let mut pool = POOL.lock();
        let count = pool.free_count;
        pool.free[count] = self.0;
        pool.free_count = count + 1;
    }

    /// The stack with this number, as returned by [`Stack::number`].
    pub(crate) fn from_number(number: usize) -> Stack {
        assert!(number < MAX_STACKS, "there is no stack {number}");
        Stack(number as u16)
    }

    /// Its number, from 0.
    pub(crate) fn number(self) -> usize {
        self.0 as usize
    }

    /// Its addresses.
    pub(crate) fn range(self) -> Range<usize> {
        let end = AREA + (self.number() + 1) * SLOT_BYTES;
        end - STACK_BYTES..end
    }

    /// The name it was last taken for.
    pub(crate) fn owner(self) -> OwnerName {
        NAMES[self.number()].get()
    }
}

impl Pool {
    /// Gives the next slot its memory.
    fn map_next(&mut self) -> Option<Stack> {
        if self.mapped == MAX_STACKS {
            return None;
        }
        let stack = Stack(self.mapped as u16);
        let layout = Layout::from_size_align(STACK_BYTES, PAGE).ok()?;
        let memory = heap::alloc(layout);
        if memory.is_null() {
            return None;
        }
        self.hook();
        for (index, page) in stack.range().step_by(PAGE).enumerate() {
            let number = (page - AREA) / PAGE;
            let frame = PhysAddr::new((memory.addr() + index * PAGE) as u64);
            let flags = PageTableFlags::PRESENT | PageTableFlags::WRITABLE;
            self.tables[number / ENTRIES][number % ENTRIES].set_addr(frame, flags);
        }
        self.mapped += 1;
        Some(stack)
    }

    /// Adds the pool's tables to the address space, once. Memory is mapped at its physical address, so the address of
    /// a table is its physical one.
    fn hook(&mut self) {
        if self.mapped != 0 {
            return;
        }
        let flags = PageTableFlags::PRESENT | PageTableFlags::WRITABLE;
        let physical = |table: &PageTable| PhysAddr::new(core::ptr::from_ref(table).addr() as u64);
        for (number, table) in self.tables.iter().enumerate() {
            self.directory[number].set_addr(physical(table), flags);
        }
        self.pointers[0].set_addr(physical(&self.directory), flags);
        let top = &raw mut boot_pml4;
        // SAFETY: only this place changes the top-level table, once, before other CPUs are started.
        let top = unsafe { &mut *top };
        top[AREA >> 39].set_addr(physical(&self.pointers), flags);
    }
}
