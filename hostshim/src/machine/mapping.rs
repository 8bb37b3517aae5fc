//! Memory mappings: zeroed, and backed by memory only where they were accessed.

use std::ptr::{self, NonNull};

/// A mapping of this process, unmapped when dropped.
pub(crate) struct Mapping {
    base: NonNull<u8>,
    length: usize,
}

impl Mapping {
    /// Maps `length` bytes at a multiple of `align`. Both are powers of two of at least a page.
    ///
    /// # Panics
    ///
    /// If the operating system has no address space for it.
    pub(crate) fn new(length: usize, align: usize) -> Mapping {
        assert!(
            length.is_power_of_two(),
            "{length} bytes are no power of two"
        );
        assert!(
            align.is_power_of_two(),
            "an alignment of {align} is no power of two"
        );
        let whole = length + align;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a fresh anonymous mapping at an address of the system's choice.
        let at = unsafe { libc::mmap(ptr::null_mut(), whole, access, flags, -1, 0) };
        assert!(
            at != libc::MAP_FAILED,
            "no address space for {whole} bytes: {}",
            last_error()
        );
        let before = (at as usize).next_multiple_of(align) - at as usize;
        // SAFETY: `before` is at most `align`, inside the mapping.
        let base = unsafe { at.byte_add(before) };
        // SAFETY: `length` bytes after `base` are inside the mapping, whose length is `length + align`.
        let end = unsafe { base.byte_add(length) };
        unmap(at, before);
        unmap(end, align - before);
        match NonNull::new(base.cast()) {
            Some(base) => Mapping { base, length },
            None => unreachable!("mmap gave the null page"),
        }
    }

    /// The first byte.
    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// The first address.
    pub(crate) fn address(&self) -> usize {
        self.base.as_ptr() as usize
    }

    /// Zeroes every byte and releases the memory behind it.
    pub(crate) fn clear(&mut self) {
        // SAFETY: our own private anonymous mapping; nobody else has a reference, `self` being exclusive.
        let error =
            unsafe { libc::madvise(self.base.as_ptr().cast(), self.length, libc::MADV_DONTNEED) };
        assert!(
            error == 0,
            "cannot clear {} bytes: {}",
            self.length,
            last_error()
        );
    }

    /// Makes everything read-only, and the first `executable` bytes, which are whole pages, executable.
    pub(crate) fn seal(&self, executable: usize) {
        self.protect(0, executable, libc::PROT_READ | libc::PROT_EXEC);
        self.protect(executable, self.length - executable, libc::PROT_READ);
    }

    /// Makes the `length` bytes at `offset`, which are whole pages, trap on access.
    pub(crate) fn guard(&self, offset: usize, length: usize) {
        self.protect(offset, length, libc::PROT_NONE);
    }

    /// Allows this access, and no other, to the `length` bytes at `offset`, which are whole pages.
    fn protect(&self, offset: usize, length: usize, access: libc::c_int) {
        if length == 0 {
            return;
        }
        assert!(
            offset <= self.length && length <= self.length - offset,
            "{length} bytes at {offset} are outside of {}",
            self.length
        );
        // SAFETY: inside the mapping, as was just checked.
        let at = unsafe { self.base.byte_add(offset) };
        // SAFETY: pages of our own mapping. Who makes them inaccessible or read-only has no reference to them.
        let error = unsafe { libc::mprotect(at.as_ptr().cast(), length, access) };
        assert!(
            error == 0,
            "cannot protect {length} bytes: {}",
            last_error()
        );
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        unmap(self.base.as_ptr().cast(), self.length);
    }
}

fn unmap(at: *mut libc::c_void, length: usize) {
    if length > 0 {
        // SAFETY: a part of a mapping of ours that nobody refers to any more.
        let error = unsafe { libc::munmap(at, length) };
        debug_assert!(error == 0, "munmap: {}", last_error());
    }
}

fn last_error() -> std::io::Error {
    std::io::Error::last_os_error()
}
