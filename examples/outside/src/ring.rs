//! A queue for one producer and one consumer, without locks.

use crate::sys::cell::UnsafeCell;
use crate::sys::sync::atomic::{AtomicUsize, Ordering};

/// A queue of up to `N` words, for one producer and one consumer: one of them may be an interrupt handler.
pub struct Ring<const N: usize> {
    slots: [UnsafeCell<u64>; N],
    /// Words that were put in. Only the producer writes it.
    head: AtomicUsize,
    /// Words that were taken out. Only the consumer writes it.
    tail: AtomicUsize,
    publish: Ordering,
}

// SAFETY: with one producer and one consumer, nobody accesses a slot that the other has: `head` and `tail` hand it over.
unsafe impl<const N: usize> Sync for Ring<N> {}

impl<const N: usize> Ring<N> {
    /// An empty queue.
    pub const fn new() -> Self {
        Ring::publishing(Ordering::Release)
    }

    /// A queue that publishes words with this ordering: for a test, with one that is too weak.
    #[doc(hidden)]
    pub const fn publishing(publish: Ordering) -> Self {
        Ring {
            slots: [const { UnsafeCell::new(0) }; N],
            head: AtomicUsize::new(0),
            tail: AtomicUsize::new(0),
            publish,
        }
    }

    /// Puts a word in. Whether there was room. For the producer.
    pub fn push(&self, word: u64) -> bool {
        let head = self.head.load(Ordering::Relaxed);
        if head - self.tail.load(Ordering::Acquire) == N {
            return false;
        }
        self.slots[head % N].with_mut(|slot| {
            // SAFETY: the consumer does not touch a slot that is free.
            unsafe { *slot = word };
        });
        self.head.store(head + 1, self.publish);
        true
    }

    /// Takes a word out, if there is one. For the consumer.
    pub fn pop(&self) -> Option<u64> {
        let tail = self.tail.load(Ordering::Relaxed);
        if self.head.load(Ordering::Acquire) == tail {
            return None;
        }
        // SAFETY: the producer does not touch a slot that is full.
        let word = self.slots[tail % N].with(|slot| unsafe { *slot });
        self.tail.store(tail + 1, Ordering::Release);
        Some(word)
    }
}

impl<const N: usize> Default for Ring<N> {
    fn default() -> Self {
        Ring::new()
    }
}
