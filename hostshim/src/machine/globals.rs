//! Global variables of the guest: each machine has its own.
//!
//! # Overview
//!
//! A process can have many machines, on many threads, but a `static` has one address. So a cell in a `static` asks
//! the host for its substitute: a copy in the machine's arena. The copy is made when the variable is first accessed,
//! with the value that it had when the program was loaded. The variable itself is never written. A copy is freed with
//! the run, or with the image if the kernel accessed the variable while it booted.
//!
//! # What a global variable is
//!
//! A global variable is an object in the symbol table of this program, in writable memory. Its name is the last word
//! of the symbol. If a program without a symbol table uses global variables, the run fails and reports that.

use std::alloc::Layout;
use std::collections::BTreeMap;
use std::ffi::{c_int, c_void};
use std::sync::OnceLock;

use libc::dl_phdr_info;
use object::{Object, ObjectSymbol, SymbolKind};

use super::engine::Engine;
use super::failure::FailureKind;
use super::footprint::Thing;
use super::side::Host;

/// A variable of this program.
struct Global {
    size: usize,
    name: &'static str,
}

/// How far above the addresses of its symbols this program was loaded.
fn load_offset() -> usize {
    unsafe extern "C" fn first(info: *mut dl_phdr_info, _: usize, at: *mut c_void) -> c_int {
        // SAFETY: the system calls this for each object, the program itself first, with what describes it.
        let offset = unsafe { (*info).dlpi_addr } as usize;
        // SAFETY: the address that `load_offset` has passed on.
        unsafe { at.cast::<usize>().write(offset) };
        1
    }
    let mut offset = 0_usize;
    // SAFETY: the function has the type that is asked for, and `offset` lives longer than the call.
    unsafe { libc::dl_iterate_phdr(Some(first), (&raw mut offset).cast()) };
    offset
}

/// The variables of this program, by address. `None` if there is no symbol table.
fn globals() -> Option<&'static BTreeMap<usize, Global>> {
    static GLOBALS: OnceLock<Option<BTreeMap<usize, Global>>> = OnceLock::new();
    GLOBALS.get_or_init(read).as_ref()
}

fn read() -> Option<BTreeMap<usize, Global>> {
    let program = std::fs::read("/proc/self/exe").ok()?;
    let program = object::File::parse(&*program).ok()?;
    let loaded_at = load_offset();
    let mut globals = BTreeMap::new();
    for symbol in program.symbols() {
        if symbol.kind() != SymbolKind::Data || symbol.size() == 0 {
            continue;
        }
        let name = format!(
            "{:#}",
            rustc_demangle::demangle(symbol.name().unwrap_or("static"))
        );
        let name = name.rsplit("::").next().unwrap_or("static").to_owned();
        let global = Global {
            size: symbol.size() as usize,
            name: name.leak(),
        };
        globals.insert(loaded_at.wrapping_add(symbol.address() as usize), global);
    }
    Some(globals)
}

/// The copies of a machine, by kernel and by the address of the variable: the address and size of each.
#[derive(Clone, Default)]
pub(crate) struct Copies(BTreeMap<(usize, usize), (usize, usize)>);

impl Copies {
    fn find(&self, kernel: usize, address: usize) -> Option<usize> {
        let (&(of, start), &(copy, size)) = self.0.range(..=(kernel, address)).next_back()?;
        (of == kernel && address < start + size).then(|| copy + (address - start))
    }
}

impl Engine {
    /// The address of the copy of the global variable, or part of one, at `address`. That of anything else is its own.
    #[inline]
    pub(crate) fn own(&self, address: usize) -> usize {
        match self.memory(|memory| memory.offset(address)) {
            Some(_) => address,
            None => self.outside(address),
        }
    }

    #[cold]
    #[inline(never)]
    fn outside(&self, address: usize) -> usize {
        let _host = Host::begin();
        let kernel = self.kernel();
        let known = self.copies.borrow().find(kernel, address);
        known.unwrap_or_else(|| self.copy(kernel, address))
    }

    /// Whether there is a copy that a run has made.
    pub(crate) fn has_copied(&self) -> bool {
        let is_new = |(at, _): &(usize, usize)| {
            let offset = self.memory(|memory| memory.offset(*at));
            offset.is_some_and(|offset| !self.memory(|memory| memory.is_of_image(offset)))
        };
        self.copies.borrow().0.values().any(is_new)
    }

    fn copy(&self, kernel: usize, address: usize) -> usize {
        let Some(globals) = globals() else {
            self.fail(
                FailureKind::Fault,
                "no-symbols",
                "a cell in a static cannot be watched: this program has no symbol table. Build it without `strip`".to_owned(),
                self.current().location(),
            )
        };
        let found = globals.range(..=address).next_back();
        let Some((&start, global)) = found.filter(|(start, global)| address < *start + global.size)
        else {
            // Memory of the host, as in a test.
            return address;
        };
        let layout = Layout::from_size_align(global.size, ALIGN).unwrap_or(Layout::new::<u128>());
        self.touch_thing(Thing::Allocator);
        let copy = self.memory(|memory| memory.alloc_heap(layout, global.name));
        if copy.is_null() {
            return address;
        }
        let original = std::ptr::with_exposed_provenance::<u8>(start);
        // SAFETY: (1) a variable of this program, of that size, which is never written; (2) fresh memory of that
        // size.
        unsafe { copy.copy_from_nonoverlapping(original, global.size) };
        self.touch_range(copy.addr(), global.size, true);
        self.copies
            .borrow_mut()
            .0
            .insert((kernel, start), (copy.addr(), global.size));
        if self.listening.get()
            && let Some(offset) = self.memory(|memory| memory.offset(copy.addr()))
        {
            let name = self.own_name(global.name);
            self.recorder
                .borrow_mut()
                .put_label(offset, global.size, name, &[]);
        }
        copy.addr() + (address - start)
    }
}

/// The greatest alignment of a variable that is supported.
const ALIGN: usize = 64;
