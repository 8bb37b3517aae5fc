//! Places in the source.

use core::fmt;
use core::num::NonZeroUsize;
use core::panic::Location;

use super::bound;

/// A place in the source: a [`Location`], or the address of an instruction, for code that is not Rust.
///
/// It is one word. Its text is that of the location, with the path from the crate's folder; the host knows the text for
/// an address.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct At(NonZeroUsize);

impl At {
    /// The place of the caller of the function that is marked `#[track_caller]`.
    #[inline(always)]
    #[track_caller]
    pub fn caller() -> At {
        At::from(Location::caller())
    }

    /// The place of the instruction at this address.
    pub const fn code(address: usize) -> At {
        // The lowest bit is never set in the address of a `Location`.
        match NonZeroUsize::new(address << 1 | 1) {
            Some(word) => At(word),
            None => unreachable!(),
        }
    }

    /// The same place, to be kept: a call that code of another language has made is at its place there, which the host
    /// knows during the call.
    pub fn lasting(self) -> At {
        #[cfg(feature = "points")]
        return bound::kmod_machine_lasting(self);
        #[cfg(not(feature = "points"))]
        self
    }

    /// The location, if it is one.
    #[inline]
    pub fn location(self) -> Option<&'static Location<'static>> {
        let word = self.0.get();
        if word & 1 != 0 {
            return None;
        }
        let location = core::ptr::with_exposed_provenance::<Location<'static>>(word);
        // SAFETY: the word comes from `from`, and thus from such a reference.
        Some(unsafe { &*location })
    }

    /// The address of the instruction, if it is one.
    #[inline]
    pub const fn address(self) -> Option<usize> {
        let word = self.0.get();
        if word & 1 != 0 { Some(word >> 1) } else { None }
    }
}

impl From<&'static Location<'static>> for At {
    #[inline(always)]
    fn from(location: &'static Location<'static>) -> At {
        let word = core::ptr::from_ref(location).expose_provenance();
        // SAFETY: no reference is null.
        At(unsafe { NonZeroUsize::new_unchecked(word) })
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(at) = self.location() {
            let file = at.file();
            let begin = file.rfind("kmod/").unwrap_or(0);
            return write!(f, "{}:{}", &file[begin..], at.line());
        }
        match self.address() {
            Some(address) => bound::kmod_machine_place(address, f),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "At({self})")
    }
}

/// The text of a place that may be unknown.
pub(crate) struct Place(pub(crate) Option<At>);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(at) => at.fmt(f),
            None => f.write_str("an unknown place"),
        }
    }
}
