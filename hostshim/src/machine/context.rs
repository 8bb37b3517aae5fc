//! Contexts: coroutines on pooled stacks that can be restored to an earlier state.
//!
//! # Overview
//!
//! A context has a number and a stack with the same number, in a region that is mapped once and never unmapped. An
//! abandoned context is simply forgotten: nothing in the kernel needs to be dropped, so nothing is unwound and
//! nothing leaks.
//!
//! # The image
//!
//! To restore a context, its coroutine's value and the live part of its stack are copied bit for bit to where they
//! were, so that every address in them is still valid. Only contexts that were used in the run are restored.

use std::cell::{Cell, RefCell, UnsafeCell};
use std::mem::MaybeUninit;
use std::ops::Range;
use std::ptr::{self, NonNull};
use std::rc::Rc;

use corosensei::stack::{Stack, StackPointer};
use corosensei::{Coroutine, Yielder};

use super::mapping::Mapping;
use super::memory::{CONTEXTS, STACK_BYTES, stack_offset};
use super::side::{enter_guest, leave_guest};
use super::words::{Word, Words};

/// The lowest page of a stack traps.
pub(crate) const GUARD_BYTES: usize = 4096;
/// The byte that fills a stack, to measure how much of it is used.
const PAINT: u8 = 0xa5;
/// Frames are aligned: a stack that is left in another way than during the measurement may use this much more.
const SLACK: usize = 64;

/// A stack of the region.
struct PooledStack {
    top: StackPointer,
    limit: StackPointer,
}

// SAFETY: (1) the lowest page is a guard page; (2) between it and the top there are more than
// `MIN_STACK_SIZE` bytes, mapped as long as the machine lives; (3) both addresses are multiples of a page.
unsafe impl Stack for PooledStack {
    fn base(&self) -> StackPointer {
        self.top
    }

    fn limit(&self) -> StackPointer {
        self.limit
    }
}

/// Where a stack that was never used was left.
const NEVER: usize = 0;

type Body = Coroutine<(), (), (), PooledStack>;

/// A name of at most 31 bytes, kept inline.
#[derive(Clone, Copy, Default)]
struct Name {
    bytes: [u8; 31],
    length: u8,
}

impl Name {
    fn new(name: &str) -> Name {
        let mut new = Name::default();
        let length = name.floor_char_boundary(new.bytes.len());
        new.bytes[..length].copy_from_slice(&name.as_bytes()[..length]);
        new.length = length as u8;
        new
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length as usize]).unwrap_or("?")
    }
}

/// One context.
pub(crate) struct Slot {
    /// How it leaves to the machine's own stack. Null until it runs.
    yielder: Cell<*const Yielder<(), ()>>,
    /// An address in the frame in which it left, or [`NEVER`].
    left_at: Cell<usize>,
    /// The CPU that it is on, if any.
    cpu: Cell<Option<usize>>,
    /// The instruction of foreign code after the call of the kernel that it is in; 0 if it is in none.
    caller: Cell<usize>,
    /// Whether code of the standard library that is watched in part may have run since code of the program last did.
    library: Cell<bool>,
    alive: Cell<bool>,
    guarded: Cell<bool>,
    name: Cell<Name>,
    /// Its name as a word, once that was needed.
    word: Cell<Option<Word>>,
    body: UnsafeCell<MaybeUninit<Body>>,
}

impl Slot {
    fn new() -> Slot {
        Slot {
            yielder: Cell::new(ptr::null()),
            left_at: Cell::new(NEVER),
            cpu: Cell::new(None),
            caller: Cell::new(0),
            library: Cell::new(false),
            alive: Cell::new(false),
            guarded: Cell::new(false),
            name: Cell::new(Name::default()),
            word: Cell::new(None),
            body: UnsafeCell::new(MaybeUninit::uninit()),
        }
    }

    /// The instruction of foreign code after the call of the kernel that the context is in; 0 if it is in none.
    pub(crate) fn caller(&self) -> &Cell<usize> {
        &self.caller
    }

    /// Whether code of the standard library that is watched in part may have run since code of the program last did.
    pub(crate) fn library(&self) -> &Cell<bool> {
        &self.library
    }

    /// Leaves this context, which is the caller. Returns when the machine resumes it.
    // In its own frame: `Contexts::below` is counted from there.
    #[inline(never)]
    pub(crate) fn leave(&self) {
        let here = 0u8;
        self.left_at.set(ptr::from_ref(&here) as usize);
        let yielder = self.yielder.get();
        // SAFETY: the context runs, so its body has put its yielder there; it lies at the top of its own stack.
        let yielder = unsafe { &*yielder };
        yielder.suspend(());
    }
}

/// The state of a context in the image.
struct Picture {
    yielder: *const Yielder<(), ()>,
    left_at: usize,
    cpu: Option<usize>,
    caller: usize,
    name: Name,
    body: MaybeUninit<Body>,
    /// Bytes of the stack, down from its top.
    stack: Vec<u8>,
}

/// Numbers in the order in which they are to be used. Those that were taken stay at the front, so that nothing need be
/// copied to return to an earlier state.
#[derive(Default)]
struct Free {
    numbers: Vec<usize>,
    /// How many of them were taken.
    taken: usize,
}

/// A state of [`Free`] to return to.
#[derive(Clone, Copy, Default)]
struct FreeInImage {
    numbers: usize,
    taken: usize,
}

impl Free {
    /// All numbers of contexts.
    fn all() -> Free {
        Free {
            numbers: (0..CONTEXTS).collect(),
            taken: 0,
        }
    }

    fn first(&self) -> Option<usize> {
        self.numbers.get(self.taken).copied()
    }

    fn take(&mut self) -> Option<usize> {
        let number = self.first()?;
        self.taken += 1;
        Some(number)
    }

    /// `number` is free, and is used after all others.
    fn add(&mut self, number: usize) {
        self.numbers.push(number);
    }

    fn state(&self) -> FreeInImage {
        FreeInImage {
            numbers: self.numbers.len(),
            taken: self.taken,
        }
    }

    /// Returns to an earlier state.
    fn restore(&mut self, state: FreeInImage) {
        self.numbers.truncate(state.numbers);
        self.taken = state.taken;
    }
}

/// The contexts of a machine.
pub(crate) struct Contexts {
    slots: Box<[Slot]>,
    /// Bit `n` of word `w` is set if context `64 * w + n` may differ from its image.
    touched: [Cell<u64>; CONTEXTS / 64],
    /// Numbers that are free, in the order in which they are used. The stack of an LWP that has exited is used again as late as can
    /// be: until then whoever still touches it is found.
    free: RefCell<Free>,
    /// By number: `None` for a context that was not alive when the image was taken.
    pictures: RefCell<Box<[Option<Picture>]>>,
    free_in_image: Cell<FreeInImage>,
    /// How much of a stack is live below the place where a context left it: the frames that lead to the switch, or,
    /// if it never ran, its initial content.
    below: usize,
    region: Rc<Mapping>,
}

impl Contexts {
    pub(crate) fn new(region: Rc<Mapping>) -> Contexts {
        let mut contexts = Contexts {
            slots: (0..CONTEXTS).map(|_| Slot::new()).collect(),
            touched: [const { Cell::new(0) }; CONTEXTS / 64],
            free: RefCell::new(Free::all()),
            pictures: RefCell::default(),
            free_in_image: Cell::default(),
            below: STACK_BYTES / 2,
            region,
        };
        contexts.below = contexts.measure();
        contexts
    }

    /// Measures how much of a stack is used below the place where a context leaves it, with a filled stack.
    fn measure(&self) -> usize {
        fn leaves(slot: *const ()) -> ! {
            // SAFETY: the slot of the context that runs this, which `measure` gave.
            let slot = unsafe { &*slot.cast::<Slot>() };
            slot.leave();
            unreachable!("a context that was left for good goes on");
        }
        let index = self.free.borrow().first().unwrap_or(0);
        let slot = self.slot(index);
        let lowest = stack_offset(index) + GUARD_BYTES;
        // SAFETY: an offset in the region.
        let stack = unsafe { self.region.base().add(lowest) };
        // SAFETY: the stack of a context that does not exist yet, mapped.
        unsafe { stack.write_bytes(PAINT, STACK_BYTES - GUARD_BYTES) };
        let used = || {
            self.unpoison(index, slot.left_at.get());
            let length = slot.left_at.get() - stack.as_ptr() as usize;
            // SAFETY: mapped memory of a stack that nobody runs on.
            let bytes = unsafe { std::slice::from_raw_parts(stack.as_ptr(), length) };
            length - bytes.iter().take_while(|byte| **byte == PAINT).count()
        };
        self.create("probe", leaves, ptr::from_ref(slot).cast());
        let before_it_ran = used();
        self.resume(index);
        let by_leaving = used();
        self.destroy(index);
        before_it_ran.max(by_leaving) + SLACK
    }

    /// Forgets every context and the image: another kernel is about to boot.
    pub(crate) fn clear(&self) {
        for slot in &self.slots {
            slot.alive.set(false);
            slot.cpu.set(None);
            slot.word.set(None);
        }
        self.free.replace(Free::all());
        self.pictures.take();
        self.free_in_image.take();
    }

    /// The context with this number.
    #[inline]
    pub(crate) fn slot(&self, index: usize) -> &Slot {
        &self.slots[index]
    }

    /// The addresses of the stack of this slot's context.
    pub(crate) fn stack_of(&self, slot: &Slot) -> Range<usize> {
        let from_first = ptr::from_ref(slot).addr() - self.slots.as_ptr().addr();
        let end = self.top(from_first / size_of::<Slot>()).get();
        end - STACK_BYTES..end
    }

    /// The addresses of the stack of this number.
    pub(crate) fn stack_range(&self, index: usize) -> Range<usize> {
        self.stack_of(self.slot(index))
    }

    /// The number of the stack that has this byte, by its offset in the region.
    pub(crate) fn stack_at(offset: usize) -> Option<usize> {
        let index = offset.checked_sub(stack_offset(0))? / STACK_BYTES;
        (index < CONTEXTS).then_some(index)
    }

    /// The name that the kernel gave the context.
    pub(crate) fn name(&self, index: usize) -> String {
        self.slots[index].name.get().as_str().to_owned()
    }

    /// That name as a word.
    pub(crate) fn word(&self, index: usize, words: &mut Words) -> Word {
        let slot = &self.slots[index];
        match slot.word.get() {
            Some(word) => word,
            None => {
                let word = words.word(slot.name.get().as_str());
                slot.word.set(Some(word));
                word
            }
        }
    }

    /// Whether there is a context with this number, or else it has exited.
    #[inline]
    pub(crate) fn is_alive(&self, index: usize) -> bool {
        self.slots.get(index).is_some_and(|slot| slot.alive.get())
    }

    /// The lowest address of the stack of this context that is in use, if it does not run.
    pub(crate) fn left_at(&self, index: usize) -> usize {
        self.slots[index].left_at.get()
    }

    #[inline]
    fn touch(&self, index: usize) {
        let word = &self.touched[index / 64];
        word.set(word.get() | 1 << (index % 64));
    }

    /// Creates a context that calls `entry(arg)`. Returns `None` if there are [`CONTEXTS`] already.
    pub(crate) fn create(
        &self,
        name: &str,
        entry: fn(*const ()) -> !,
        arg: *const (),
    ) -> Option<usize> {
        let index = self.free.borrow_mut().take()?;
        let slot = &self.slots[index];
        self.touch(index);
        slot.alive.set(true);
        slot.cpu.set(None);
        slot.caller.set(0);
        slot.library.set(false);
        slot.name.set(Name::new(name));
        slot.word.set(None);
        let stack = self.stack(index);
        self.unpoison(index, slot.left_at.replace(self.top(index).get()));
        // SAFETY: only the type of the result changes, from one type of size 0 and alignment 1 to another, and those are
        // compatible in calls. Before a call that is known not to return AddressSanitizer sweeps the whole stack.
        let entry = unsafe { std::mem::transmute::<fn(*const ()) -> !, fn(*const ())>(entry) };
        let at: *const Slot = slot;
        let body = Body::with_stack(stack, move |yielder, ()| {
            // SAFETY: the slots of a machine are as old as its stacks, and this runs on one of those.
            let slot = unsafe { &*at };
            slot.yielder.set(yielder);
            enter_guest();
            entry(arg);
        });
        // SAFETY: the slot was free, so nobody uses what is there; it need not be dropped.
        unsafe { slot.body.get().write(MaybeUninit::new(body)) };
        Some(index)
    }

    /// Forgets a context in whatever state it is.
    pub(crate) fn destroy(&self, index: usize) {
        self.touch(index);
        self.slots[index].alive.set(false);
        self.free.borrow_mut().add(index);
    }

    /// Resumes a context until it leaves. Called on the machine's own stack.
    #[inline]
    pub(crate) fn resume(&self, index: usize) {
        self.touch(index);
        let body = self.slots[index].body.get();
        // SAFETY: a context that the kernel switches to was created; nobody else uses its body while it runs.
        let body = unsafe { &mut *body };
        // SAFETY: as above.
        let body = unsafe { body.assume_init_mut() };
        body.resume(());
        leave_guest();
    }

    /// Puts the context on that CPU: the machine begins.
    pub(crate) fn occupy(&self, index: usize, cpu: usize) {
        self.slots[index].cpu.set(Some(cpu));
    }

    /// Puts context `to` in the place of `from` on its CPU. If `to` is already on a CPU, returns that CPU.
    pub(crate) fn hand_over(&self, from: usize, to: usize, cpu: usize) -> Option<usize> {
        self.touch(from);
        self.touch(to);
        self.slots[from].cpu.set(None);
        let elsewhere = self.slots[to].cpu.get();
        self.slots[to].cpu.set(Some(cpu));
        elsewhere
    }

    fn top(&self, index: usize) -> StackPointer {
        let top = self.region.address() + stack_offset(index) + STACK_BYTES;
        StackPointer::new(top).unwrap_or(StackPointer::MAX)
    }

    fn stack(&self, index: usize) -> PooledStack {
        if !self.slots[index].guarded.replace(true) {
            self.region.guard(stack_offset(index), GUARD_BYTES);
        }
        let top = self.top(index);
        let limit = StackPointer::new(top.get() - STACK_BYTES).unwrap_or(StackPointer::MIN);
        PooledStack { top, limit }
    }

    /// The live part of a stack that was left at `left_at`: its address and length.
    fn live_part(&self, index: usize, left_at: usize) -> (NonNull<u8>, usize) {
        let end = stack_offset(index) + STACK_BYTES;
        let lowest = stack_offset(index) + GUARD_BYTES;
        let begin = (left_at - self.region.address() - self.below).max(lowest);
        // SAFETY: `begin` is an offset in the region.
        (unsafe { self.region.base().add(begin) }, end - begin)
    }

    /// Removes AddressSanitizer's poison between the frames of a stack that was left at `left_at`. Its context is
    /// abandoned, or is about to be copied as a whole.
    fn unpoison(&self, index: usize, left_at: usize) {
        if cfg!(feature = "sanitizer") && left_at != NEVER {
            let (begin, length) = self.live_part(index, left_at);
            unpoison(begin.as_ptr(), length);
        }
    }

    /// Makes the current state of the contexts the one with which every run begins.
    pub(crate) fn take_image(&self) {
        let picture = |(index, slot): (usize, &Slot)| Picture {
            yielder: slot.yielder.get(),
            left_at: slot.left_at.get(),
            cpu: slot.cpu.get(),
            caller: slot.caller.get(),
            name: slot.name.get(),
            body: self.copy_of_body(slot),
            stack: self.copy_of_stack(index, slot),
        };
        let slots = self.slots.iter().enumerate();
        let pictures = slots.map(|(index, slot)| slot.alive.get().then(|| picture((index, slot))));
        self.pictures.replace(pictures.collect());
        self.free_in_image.set(self.free.borrow().state());
        self.touched.iter().for_each(|word| word.set(0));
    }

    fn copy_of_body(&self, slot: &Slot) -> MaybeUninit<Body> {
        // SAFETY: a living context's body is there, and it does not run. The copy is only ever written back.
        unsafe { slot.body.get().read() }
    }

    fn copy_of_stack(&self, index: usize, slot: &Slot) -> Vec<u8> {
        let (begin, length) = self.live_part(index, slot.left_at.get());
        self.unpoison(index, slot.left_at.get());
        let mut bytes = Vec::with_capacity(length);
        // SAFETY: (1) mapped memory of a stack that nobody runs on; (2) the vector has room; (3) no overlap.
        unsafe { ptr::copy_nonoverlapping(begin.as_ptr(), bytes.as_mut_ptr(), length) };
        // SAFETY: that many bytes were written just now.
        unsafe { bytes.set_len(length) };
        bytes
    }

    /// Restores every context that was used since the image was taken or restored.
    pub(crate) fn restore(&self) {
        let pictures = self.pictures.borrow();
        for (number, word) in self.touched.iter().enumerate() {
            let mut bits = word.replace(0);
            while bits != 0 {
                let index = number * 64 + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                match pictures.get(index) {
                    Some(Some(picture)) => self.put_back(index, picture),
                    _ => self.slots[index].alive.set(false),
                }
            }
        }
        self.free.borrow_mut().restore(self.free_in_image.get());
    }

    fn put_back(&self, index: usize, picture: &Picture) {
        let slot = &self.slots[index];
        slot.alive.set(true);
        slot.yielder.set(picture.yielder);
        self.unpoison(index, slot.left_at.replace(picture.left_at));
        slot.cpu.set(picture.cpu);
        slot.caller.set(picture.caller);
        slot.library.set(false);
        slot.name.set(picture.name);
        slot.word.set(None);
        // SAFETY: (1) no context runs; (2) what is overwritten is abandoned and needs no drop; (3) the bits are those
        // of a suspended coroutine whose stack is put back below to what it was then.
        unsafe { ptr::copy_nonoverlapping(&raw const picture.body, slot.body.get(), 1) };
        let (begin, length) = self.live_part(index, picture.left_at);
        debug_assert_eq!(length, picture.stack.len());
        // SAFETY: (1) mapped memory of a stack that nobody runs on; (2) the length is the copy's; (3) no overlap.
        unsafe { ptr::copy_nonoverlapping(picture.stack.as_ptr(), begin.as_ptr(), length) };
    }
}

/// Tells AddressSanitizer that all of this memory is accessible.
fn unpoison(at: *const u8, length: usize) {
    #[cfg(feature = "sanitizer")]
    {
        unsafe extern "C" {
            fn __asan_unpoison_memory_region(at: *const u8, length: usize);
        }
        // SAFETY: a part of a stack of ours.
        unsafe { __asan_unpoison_memory_region(at, length) };
    }
    #[cfg(not(feature = "sanitizer"))]
    let _ = (at, length);
}
