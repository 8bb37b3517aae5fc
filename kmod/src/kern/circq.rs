//! Circular lists without allocation: the buckets of the callout wheel.
//!
//! A list is a [`Link`] that points to itself when empty; an element is a link inside a larger object. Elements are
//! removed without access to the list's head.
//!
//! All links of a list are protected by one spin mutex, which the caller holds.

use crate::mem::Guarded;

/// A list's head, or an element.
#[derive(Default)]
pub struct Link {
    next: Guarded<usize>,
    prev: Guarded<usize>,
}

crate::fields!(Link { next, prev });

/// The number of elements that a report looks at.
const LONGEST: usize = 4096;

impl Link {
    /// A link on no list.
    pub const fn new() -> Self {
        Link {
            next: Guarded::new(0),
            prev: Guarded::new(0),
        }
    }

    fn addr(&self) -> usize {
        core::ptr::from_ref(self) as usize
    }

    /// The link at an address that a list holds.
    fn at(&self, addr: usize) -> &Link {
        // SAFETY: (1) addresses on a list are of links that were inserted; (2) whoever frees an element takes it
        // off first, under the list's lock (`callout_destroy` asserts it).
        unsafe { &*(addr as *const Link) }
    }

    /// Makes this the head of an empty list. It must not move afterwards.
    pub(crate) fn init(&self) {
        self.next.set(self.addr());
        self.prev.set(self.addr());
    }

    /// Whether this list is empty.
    pub(crate) fn is_empty(&self) -> bool {
        self.next.get() == self.addr()
    }

    /// The first element's address.
    pub(crate) fn first(&self) -> Option<usize> {
        let next = self.next.get();
        (next != self.addr()).then_some(next)
    }

    /// The address of the element after the one at `addr`, which is on this list.
    pub(crate) fn after(&self, addr: usize) -> Option<usize> {
        let next = self.at(addr).next.get();
        (next != self.addr()).then_some(next)
    }

    /// The addresses of the elements, unseen by the host: for contracts and reports. At most [`LONGEST`], because reports are
    /// also made while somebody changes the list.
    pub(crate) fn peek(&self) -> impl Iterator<Item = usize> + '_ {
        let element = |addr: usize| Some(addr).filter(|addr| *addr != self.addr() && *addr != 0);
        core::iter::successors(element(self.next.peek()), move |addr| {
            element(self.at(*addr).next.peek())
        })
        .take(LONGEST)
    }

    /// Appends `element`.
    pub(crate) fn append(&self, element: &Link) {
        let last = self.prev.get();
        element.next.set(self.addr());
        element.prev.set(last);
        self.at(last).next.set(element.addr());
        self.prev.set(element.addr());
    }

    /// Appends all elements of `other`, and leaves `other` empty.
    pub(crate) fn append_all(&self, other: &Link) {
        if other.is_empty() {
            return;
        }
        let (first, last) = (other.next.get(), other.prev.get());
        let own_last = self.prev.get();
        self.at(own_last).next.set(first);
        self.at(first).prev.set(own_last);
        self.at(last).next.set(self.addr());
        self.prev.set(last);
        other.init();
    }

    /// Removes this element from its list.
    pub(crate) fn remove(&self) {
        let (before, after) = (self.prev.get(), self.next.get());
        self.at(before).next.set(after);
        self.at(after).prev.set(before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses<const N: usize>(head: &Link) -> [usize; N] {
        let mut found = [0; N];
        let mut at = head.next.get();
        for place in &mut found {
            *place = at;
            at = head.at(at).next.get();
        }
        assert_eq!(at, head.addr(), "the list is longer than {N}");
        found
    }

    #[test]
    fn first_in_first_out() {
        let (head, a, b, c) = (Link::new(), Link::new(), Link::new(), Link::new());
        head.init();
        assert!(head.is_empty());
        for element in [&a, &b, &c] {
            head.append(element);
        }
        assert_eq!(addresses(&head), [a.addr(), b.addr(), c.addr()]);
        b.remove();
        assert_eq!(addresses(&head), [a.addr(), c.addr()]);
        assert_eq!(head.first(), Some(a.addr()));
    }

    #[test]
    fn lists_are_joined_in_order() {
        let (one, two, a, b, c) = (
            Link::new(),
            Link::new(),
            Link::new(),
            Link::new(),
            Link::new(),
        );
        one.init();
        two.init();
        one.append(&a);
        two.append(&b);
        two.append(&c);
        one.append_all(&two);
        assert!(two.is_empty());
        assert_eq!(addresses(&one), [a.addr(), b.addr(), c.addr()]);
        two.append_all(&one);
        assert_eq!(addresses(&two), [a.addr(), b.addr(), c.addr()]);
    }
}
