//! pcq(9): a lock-free queue for many producers and one consumer.
//!
//! # Overview
//!
//! A queue is a ring of slots, and one word with two indices into it: the slot for the next producer, and the slot of
//! the consumer. A producer first *reserves* its slot: one interlocked operation checks for room and moves its index.
//! *Then* it fills the slot. The consumer takes the item from its slot, empties the slot, and then returns it by
//! moving its index.
//!
//! ```text
//! bits 0..16   producer: the slot that is reserved next
//! bits 16..32  consumer: the slot that is taken next; equal indices: the ring is empty
//! ```
//!
//! One slot is never used, so that a full ring differs from an empty one: `n` slots hold `n - 1` items.
//!
//! # Examples
//!
//! ```
//! use hostshim::example::{run, thread};
//! use kmod::kern::kmem::{kmem_alloc, kmem_free};
//! use kmod::kern::kthread::kthread_join;
//! use kmod::kern::lwp::Arg;
//! use kmod::kern::pcq::Pcq;
//! use kmod::mem::Plain;
//! use kmod::scenario::classics::shared;
//!
//! fn produce(queue: Arg) {
//!     let item = kmem_alloc("item", Plain::new(7)).expect("memory");
//!     assert!(shared::<Pcq<Plain<u32>>>(queue).put(item)); // false if the queue is full
//! }
//!
//! run(|| {
//!     let queue = Pcq::<Plain<u32>>::create(4).expect("memory");
//!     let producer = thread(produce, Arg::of(queue));
//!     kthread_join(producer);
//!     let item = queue.get().expect("the item");
//!     assert_eq!(item.get(), 7);
//!     // SAFETY: it came from `kmem_alloc`, and is no longer in the queue.
//!     unsafe { kmem_free(item) };
//!     queue.destroy();
//! });
//! ```
//!
//! # Contexts
//!
//! [`Pcq::put`], [`Pcq::get`], [`Pcq::peek`]: any, including hard interrupts. None of them waits. [`Pcq::create`],
//! [`Pcq::destroy`]: as kmem(9). There is *one consumer at a time*: the callers make sure that no two are in
//! [`Pcq::get`] at once.
//!
//! # Items that cannot be taken yet
//!
//! A producer may be interrupted for long between reserving and filling. The consumer then finds the next slot
//! reserved but empty, and gives up (`None`), although a *later* slot may be filled. Therefore a producer wakes the
//! consumer after *each* put, for example with a softint, and a consumer that is woken takes every item that it can
//! get:
//!
//! ```text
//! producer a             producer b             consumer
//! reserves slot 0
//!                        reserves slot 1
//!                        fills slot 1
//!                        wakes            ──►   slot 0 is empty: None; b's item waits
//! fills slot 0
//! wakes                                   ──►   a's item, b's item
//! ```
//!
//! # Memory order
//!
//! The item is published by the store to its slot (release), which the consumer loads (acquire). The consumer empties
//! a slot before it returns it (release), and the producer sees that when it reserves the slot (acquire). Otherwise
//! the store that empties the slot could overwrite the new item. (It would have to be late by a whole round of the
//! consumer, because the slot that was returned last is the unused one.)
//!
//! # When to use something else
//!
//! If producers must be able to wait for room, or there are several consumers: a list under a mutex, and a condition
//! variable.
//!
//! # Differences from NetBSD
//!
//! Items are references, and so never null. The orderings of the word are explicit; NetBSD relies on dependencies
//! between loads. Two consumers at once are detected.
//!
//! # Sources
//!
//! pcq(9); `sys/kern/subr_pcq.c` 1.20.

use crate::contract;
use crate::kern::kmem::{kmem_alloc_nosleep, kmem_alloc_slice_nosleep, kmem_free, kmem_free_slice};
use crate::kern::lwp::curlwp;
use crate::machine::{Described, Field, field};
use crate::mem::{Acquire, AtomicBool, AtomicRef, AtomicU32, Relaxed, Release};

/// Maximum number of slots (`PCQ_MAXLEN`): the indices have 16 bits.
pub const MAXLEN: usize = 0xffff;

/// The two indices of a queue's word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Indices {
    producer: u32,
    consumer: u32,
}

impl Indices {
    const fn split(word: u32) -> Self {
        Indices {
            producer: word & 0xffff,
            consumer: word >> 16,
        }
    }

    const fn combine(self) -> u32 {
        self.producer | self.consumer << 16
    }

    const fn is_empty(self) -> bool {
        self.producer == self.consumer
    }

    /// The indices with the next of `slots` slots reserved. `None` if the ring is full.
    fn reserved(self, slots: usize) -> Option<Self> {
        let producer = advance(self.producer, slots);
        (producer != self.consumer).then_some(Indices { producer, ..self })
    }

    /// The indices with the next slot returned.
    fn given_back(self, slots: usize) -> Self {
        Indices {
            consumer: advance(self.consumer, slots),
            ..self
        }
    }
}

/// The index after `index` in a ring of `slots`.
const fn advance(index: u32, slots: usize) -> u32 {
    if index as usize + 1 == slots {
        0
    } else {
        index + 1
    }
}

/// A producer-consumer queue (`pcq_t`) of references to `T`.
pub struct Pcq<T: 'static> {
    pcq_pc: AtomicU32,
    pcq_items: &'static [AtomicRef<T>],
    /// Whether a caller is in `get`. Only for the contract, so it orders nothing.
    pcq_getting: AtomicBool,
}

impl<T> Described for Pcq<T> {
    const FIELDS: &'static [Field] = &[field::<Pcq<T>, _>(
        "pcq_pc",
        core::mem::offset_of!(Pcq<T>, pcq_pc),
        |pcq| &pcq.pcq_pc,
    )];
}

impl<T> Pcq<T> {
    /// Creates a queue with room for `nitems - 1` items (`pcq_create`). Returns `None` if there is no memory.
    ///
    /// Context: as kmem(9). Panics: contracts `pcq-size`, `kmem-context`.
    #[track_caller]
    pub fn create(nitems: usize) -> Option<&'static Pcq<T>> {
        contract!(
            (1..=MAXLEN).contains(&nitems),
            "pcq-size",
            "pcq_create with {nitems} slots: there must be 1 to {MAXLEN}"
        );
        let items = kmem_alloc_slice_nosleep("pcq slots", nitems, |_| AtomicRef::new())?;
        let pcq = kmem_alloc_nosleep("pcq", Pcq::over(items));
        if pcq.is_none() {
            // SAFETY: (1) they came from `kmem_alloc_slice_nosleep`; (2) nobody else knows them.
            unsafe { kmem_free_slice(items) };
        }
        pcq
    }

    const fn over(items: &'static [AtomicRef<T>]) -> Self {
        Pcq {
            pcq_pc: AtomicU32::new(0),
            pcq_items: items,
            pcq_getting: AtomicBool::new(false),
        }
    }

    /// Destroys a queue (`pcq_destroy`). Items that are still in it are lost.
    ///
    /// Context: as kmem(9); no other thread uses the queue any more.
    #[track_caller]
    pub fn destroy(&'static self) {
        let items = self.pcq_items;
        // SAFETY: (1) they came from `kmem_alloc_slice_nosleep`; (2) nobody uses the queue any more, the caller says.
        unsafe { kmem_free_slice(items) };
        // SAFETY: likewise, from `kmem_alloc_nosleep`.
        unsafe { kmem_free(self) };
    }

    /// The number of slots: one more than the items that fit (`pcq_maxitems`).
    pub fn maxitems(&self) -> usize {
        self.pcq_items.len()
    }

    /// Appends an item (`pcq_put`). Returns false if the queue is full.
    ///
    /// The caller wakes the consumer after each put. Context: any.
    #[track_caller]
    pub fn put(&self, item: &'static T) -> bool {
        let mut word = self.pcq_pc.load(Relaxed);
        let slot = loop {
            let indices = Indices::split(word);
            let Some(reserved) = indices.reserved(self.maxitems()) else {
                return false;
            };
            // Acquire: the slot was emptied before it was given back.
            match self
                .pcq_pc
                .compare_exchange(word, reserved.combine(), Acquire, Relaxed)
            {
                Ok(_) => break indices.producer,
                Err(now) => word = now,
            }
        };
        // Release: the producer's writes to the item come first. From here on it belongs to the consumer.
        self.slot(slot).store(Some(item), Release);
        true
    }

    /// Takes the first item (`pcq_get`). Returns `None` if the queue is empty, or if the producer of the first item
    /// has not filled its slot yet; that producer will wake the consumer.
    ///
    /// Context: any, one caller at a time. Panics (contract `pcq-consumers`) if there are two.
    #[track_caller]
    pub fn get(&self) -> Option<&'static T> {
        self.begin_get();
        let item = self.get_alone();
        self.end_get();
        item
    }

    #[track_caller]
    fn get_alone(&self) -> Option<&'static T> {
        let mut word = self.pcq_pc.load(Acquire);
        let indices = Indices::split(word);
        if indices.is_empty() {
            return None;
        }
        let slot = self.slot(indices.consumer);
        let Some(item) = slot.load(Acquire) else {
            // The producer has reserved the slot and not filled it yet.
            count_race();
            return None;
        };
        slot.store(None, Relaxed);
        // Release: the slot is empty before it is given back.
        while let Err(now) = self.pcq_pc.compare_exchange(
            word,
            Indices::split(word).given_back(self.maxitems()).combine(),
            Release,
            Relaxed,
        ) {
            word = now;
        }
        Some(item)
    }

    /// The item that [`get`](Self::get) would take, without taking it (`pcq_peek`).
    ///
    /// Context: any. Only the consumer knows that the item stays.
    #[track_caller]
    pub fn peek(&self) -> Option<&'static T> {
        let indices = Indices::split(self.pcq_pc.load(Acquire));
        if indices.is_empty() {
            return None;
        }
        self.slot(indices.consumer).load(Acquire)
    }

    fn slot(&self, index: u32) -> &AtomicRef<T> {
        &self.pcq_items[index as usize]
    }

    #[track_caller]
    fn begin_get(&self) {
        if cfg!(feature = "contracts") {
            let alone = self
                .pcq_getting
                .compare_exchange_fused(false, true, Relaxed, Relaxed);
            contract!(
                alone.is_ok(),
                "pcq-consumers",
                "pcq_get by {} while another is in it: a queue has one consumer",
                curlwp().name()
            );
        }
    }

    fn end_get(&self) {
        if cfg!(feature = "contracts") {
            self.pcq_getting.store_fused(false, Relaxed);
        }
    }
}

#[cold]
fn count_race() {
    curlwp().kernel().counters.pcq_races.incr();
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::boxed::Box;
    use std::vec::Vec;

    fn ring(slots: usize) -> Pcq<usize> {
        let items: Vec<AtomicRef<usize>> = (0..slots).map(|_| AtomicRef::new()).collect();
        Pcq::over(Box::leak(items.into_boxed_slice()))
    }

    fn number(value: usize) -> &'static usize {
        Box::leak(Box::new(value))
    }

    #[test]
    fn a_word_holds_both_indices() {
        for (producer, consumer) in [(0, 0), (1, 2), (0xfffe, 0), (0, 0xfffe)] {
            let indices = Indices { producer, consumer };
            assert_eq!(Indices::split(indices.combine()), indices);
        }
    }

    #[test]
    fn the_largest_ring_wraps_before_its_indices_do() {
        assert_eq!(advance(MAXLEN as u32 - 1, MAXLEN), 0);
        assert_eq!(advance(MAXLEN as u32 - 2, MAXLEN), MAXLEN as u32 - 1);
    }

    #[test]
    fn a_ring_holds_one_item_less_than_it_has_slots() {
        for slots in 1..5 {
            let pcq = ring(slots);
            let put = (0..slots + 2).filter(|&n| pcq.put(number(n))).count();
            assert_eq!(put, slots - 1);
            assert_eq!(pcq.maxitems(), slots);
        }
    }

    #[test]
    fn items_come_out_in_order_around_the_ring() {
        let pcq = ring(3);
        for round in 0..10 {
            assert!(pcq.get().is_none());
            assert!(pcq.put(number(2 * round)));
            assert!(pcq.put(number(2 * round + 1)));
            assert!(!pcq.put(number(99)));
            assert_eq!(pcq.peek(), Some(&(2 * round)));
            assert_eq!(pcq.get(), Some(&(2 * round)));
            assert_eq!(pcq.get(), Some(&(2 * round + 1)));
            assert!(pcq.peek().is_none());
        }
    }
}
