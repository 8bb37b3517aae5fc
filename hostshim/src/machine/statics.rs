//! Static and thread-local variables of instrumented crates: each run begins with their initial values.
//!
//! # Overview
//!
//! A crate accesses its variables where they are, in the memory of the program. So that a run is not what runs before it have
//! made of them, their values are put in and taken out:
//!
//! * A `static` has its initial value when a machine boots, and that of the image when a run begins.
//! * A thread-local variable has a value for each context. When another context goes on, so do its values. A handler has those of
//!   the thread that it interrupts.
//!
//! As long as a machine boots or runs, [`Taken`] has the values of the host. There can be one at a time in the process: other
//! threads of the host wait for their turn.
//!
//! # Which variables
//!
//! Those in the symbol table of this program whose name begins with an instrumented crate. The initial values are in a copy of the
//! program's writable memory that is made when it is loaded ([`remember`]).
//!
//! # Destructors
//!
//! What registers a destructor of a thread-local variable of a run gets it called when the thread of the run ends
//! ([`Engine::thread_ends`]).

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ffi::{c_int, c_void};
use std::ops::Range;
use std::ptr::{with_exposed_provenance, with_exposed_provenance_mut};
use std::slice;
use std::sync::{LazyLock, Mutex, MutexGuard, OnceLock, PoisonError};

use libc::dl_phdr_info;
use object::{Object, ObjectSymbol, SymbolKind};

use super::engine::Engine;
use super::side::{Host, as_guest};
use super::sites;

/// The crates whose variables are put back, separated by commas: `cargo rumplab test` sets it for the compiler.
const CRATES: Option<&str> = option_env!("RUMPLAB_CRATES");

/// Where the parts of this program are in memory.
#[derive(Clone, Debug, Default)]
struct Layout {
    /// How far above the addresses of its symbols the program was loaded.
    offset: usize,
    code: Range<usize>,
    /// What can be written.
    data: Vec<Range<usize>>,
    /// The initial values of thread-local variables: where those that are not zero are, and the size of all.
    thread: (Range<usize>, usize),
    /// The thread-local variables of the calling thread.
    own_thread: usize,
}

/// Calls `f` with the description of this program.
fn layout() -> Layout {
    unsafe extern "C" fn first(info: *mut dl_phdr_info, _: usize, at: *mut c_void) -> c_int {
        // SAFETY: the system calls this for each object, the program itself first, with what describes it.
        let info = unsafe { &*info };
        // SAFETY: the address that `layout` has passed on, of a variable that nobody else uses.
        let layout = unsafe { &mut *at.cast::<Layout>() };
        layout.offset = info.dlpi_addr as usize;
        layout.own_thread = info.dlpi_tls_data.expose_provenance();
        // SAFETY: that many headers are there.
        let headers = unsafe { slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()) };
        for header in headers {
            let begin = layout.offset + header.p_vaddr as usize;
            let range = begin..begin + header.p_memsz as usize;
            match header.p_type {
                libc::PT_LOAD if header.p_flags & libc::PF_X != 0 => layout.code = range,
                libc::PT_LOAD if header.p_flags & libc::PF_W != 0 => layout.data.push(range),
                libc::PT_TLS => {
                    let filled = begin..begin + header.p_filesz as usize;
                    layout.thread = (filled, header.p_memsz as usize);
                }
                _ => {}
            }
        }
        1
    }
    let mut layout = Layout::default();
    // SAFETY: the function has the type that is asked for, and `layout` lives longer than the call.
    unsafe { libc::dl_iterate_phdr(Some(first), (&raw mut layout).cast()) };
    layout
}

/// The addresses of the code of this program.
pub(crate) fn code() -> Range<usize> {
    layout().code
}

/// Copies this memory.
///
/// # Safety
///
/// It can be read, and nobody writes it meanwhile.
unsafe fn copy(range: &Range<usize>) -> Vec<u8> {
    // SAFETY: the caller's promise.
    unsafe { slice::from_raw_parts(with_exposed_provenance(range.start), range.len()) }.to_vec()
}

/// The writable memory of this program when it was loaded.
static LOADED: OnceLock<Vec<(Range<usize>, Vec<u8>)>> = OnceLock::new();

/// Copies the writable memory of this program, unless that was done. Nothing of the program has run.
#[cfg_attr(not(rumplab_hooks), allow(dead_code, reason = "only hooks call it"))]
pub(crate) fn remember() {
    LOADED.get_or_init(writable);
}

/// The writable memory of this program.
fn writable() -> Vec<(Range<usize>, Vec<u8>)> {
    let ranges = layout().data.into_iter();
    // SAFETY: a part of this program, which is mapped.
    let copied = ranges.map(|range| (range.clone(), unsafe { copy(&range) }));
    copied.collect()
}

/// Whether this program has hooks.
pub(crate) fn has_hooks() -> bool {
    LOADED.get().is_some()
}

/// The crate in the demangled name of a symbol: `spin` of `<spin::once::Once as …>::f::X`.
fn crate_of(name: &str) -> &str {
    let begin = name.trim_start_matches(['<', '&', '*', '(', '[', ' ']);
    let begin = begin.strip_prefix("mut ").unwrap_or(begin);
    begin.split("::").next().unwrap_or(begin)
}

/// The variables of instrumented crates.
#[derive(Debug, Default)]
struct Variables {
    /// Where the static ones are.
    statics: Vec<Range<usize>>,
    /// Their initial values, one after another.
    initial: Vec<u8>,
    /// Where the thread-local ones are in the thread's memory.
    locals: Vec<Range<usize>>,
    initial_locals: Vec<u8>,
}

static VARIABLES: LazyLock<Variables> = LazyLock::new(|| {
    let _host = Host::begin();
    let crates = CRATES.unwrap_or("").split(',');
    let loaded = LOADED.get().map_or(&[][..], Vec::as_slice);
    find(&Vec::from_iter(crates), loaded).unwrap_or_default()
});

/// Finds the variables of these crates. `loaded` has the initial values of those that are static.
fn find(crates: &[&str], loaded: &[(Range<usize>, Vec<u8>)]) -> Option<Variables> {
    let program = std::fs::read("/proc/self/exe").ok()?;
    let program = object::File::parse(&*program).ok()?;
    let layout = layout();
    let mut found = Variables::default();
    for symbol in program.symbols() {
        let is_local = match symbol.kind() {
            SymbolKind::Data => false,
            SymbolKind::Tls => true,
            _ => continue,
        };
        let name = rustc_demangle::demangle(symbol.name().unwrap_or(""));
        // Without the hashes of crates and symbols.
        let name = format!("{name:#}");
        if symbol.size() == 0 || !crates.contains(&crate_of(&name)) {
            continue;
        }
        let (begin, size) = (symbol.address() as usize, symbol.size() as usize);
        match is_local {
            true => found.locals.push(begin..begin + size),
            false => {
                let begin = layout.offset + begin;
                found.statics.push(begin..begin + size);
            }
        }
    }
    for ranges in [&mut found.statics, &mut found.locals] {
        ranges.sort_by_key(|range| (range.start, range.end));
        ranges.dedup();
    }
    found.statics.retain(|range| {
        let part = loaded
            .iter()
            .find(|(part, _)| part.start <= range.start && range.end <= part.end);
        if let Some((part, bytes)) = part {
            found
                .initial
                .extend(&bytes[range.start - part.start..range.end - part.start]);
        }
        part.is_some()
    });
    let (filled, size) = layout.thread;
    // SAFETY: the initial values, which nobody writes.
    let mut initial = unsafe { copy(&filled) };
    initial.resize(size, 0);
    found.locals.retain(|range| range.end <= size);
    for range in &found.locals {
        found.initial_locals.extend(&initial[range.clone()]);
    }
    Some(found)
}

/// Copies what is in these ranges, moved by `offset`.
fn read(ranges: &[Range<usize>], offset: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for range in ranges {
        // SAFETY: variables of this program; the machine has the host's thread, and `Taken` excludes others.
        bytes.extend(unsafe { copy(&(range.start + offset..range.end + offset)) });
    }
    bytes
}

/// Writes `bytes` into these ranges, moved by `offset`.
fn write(ranges: &[Range<usize>], offset: usize, bytes: &[u8]) {
    let mut rest = bytes;
    for range in ranges {
        let Some((first, others)) = rest.split_at_checked(range.len()) else {
            return;
        };
        rest = others;
        let at = with_exposed_provenance_mut::<u8>(range.start + offset);
        // SAFETY: (1) a variable of this program, of that size; (2) as in `read`.
        unsafe { at.copy_from_nonoverlapping(first.as_ptr(), first.len()) };
    }
}

/// The thread-local variables of a context, and the destructors that were registered for them: function and argument.
#[derive(Clone, Debug)]
struct Locals {
    bytes: Vec<u8>,
    destructors: Vec<(usize, usize)>,
}

impl Locals {
    fn initial() -> Locals {
        Locals {
            bytes: VARIABLES.initial_locals.clone(),
            destructors: Vec::new(),
        }
    }
}

/// The variables as a machine keeps them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Picture {
    statics: Vec<u8>,
    locals: BTreeMap<usize, Locals>,
}

/// The variables of a machine while it boots or runs.
#[derive(Default)]
pub(crate) struct Statics {
    /// Whether there are any thread-local ones.
    has_locals: Cell<bool>,
    /// Where they are: the memory of this thread.
    own_thread: Cell<usize>,
    /// The context whose values are in place.
    placed: Cell<Option<usize>>,
    locals: RefCell<BTreeMap<usize, Locals>>,
}

/// The values of the host, while a machine uses the variables. They are put back when it is dropped.
pub(crate) struct Taken {
    statics: Vec<u8>,
    locals: Vec<u8>,
    own_thread: usize,
    _turn: MutexGuard<'static, ()>,
}

/// Takes the variables for a machine that boots or runs on this thread, if the program has hooks.
pub(crate) fn take() -> Option<Taken> {
    static TURN: Mutex<()> = Mutex::new(());
    if !has_hooks() {
        return None;
    }
    // Not in a run, in which another thread of the host could not be waited for.
    sites::prepare();
    let variables = &*VARIABLES;
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let own_thread = layout().own_thread;
    Some(Taken {
        statics: read(&variables.statics, 0),
        locals: read(&variables.locals, own_thread),
        own_thread,
        _turn: turn,
    })
}

impl Drop for Taken {
    fn drop(&mut self) {
        write(&VARIABLES.statics, 0, &self.statics);
        write(&VARIABLES.locals, self.own_thread, &self.locals);
    }
}

impl Engine {
    /// A machine is about to boot: every variable has its initial value.
    pub(crate) fn clear_statics(&self) {
        if has_hooks() {
            write(&VARIABLES.statics, 0, &VARIABLES.initial);
            self.begin_statics(BTreeMap::new());
        }
    }

    fn begin_statics(&self, locals: BTreeMap<usize, Locals>) {
        let own = &self.statics;
        own.has_locals.set(!VARIABLES.locals.is_empty());
        own.own_thread.set(layout().own_thread);
        own.placed.set(None);
        // For code that the host runs on its own stack.
        write(
            &VARIABLES.locals,
            own.own_thread.get(),
            &VARIABLES.initial_locals,
        );
        own.locals.replace(locals);
    }

    /// The values with which every run begins.
    pub(crate) fn picture_of_statics(&self) -> Picture {
        if !has_hooks() {
            return Picture::default();
        }
        self.place_locals(None);
        Picture {
            statics: read(&VARIABLES.statics, 0),
            locals: self.statics.locals.borrow().clone(),
        }
    }

    /// A run begins.
    pub(crate) fn restore_statics(&self, picture: &Picture) {
        if has_hooks() {
            write(&VARIABLES.statics, 0, &picture.statics);
            self.begin_statics(picture.locals.clone());
        }
    }

    /// The context goes on: its thread-local variables are put in place of those of another.
    #[inline]
    pub(crate) fn change_locals(&self, context: usize) {
        if self.statics.has_locals.get() && self.statics.placed.get() != Some(context) {
            self.place_locals(Some(context));
        }
    }

    #[cold]
    fn place_locals(&self, context: Option<usize>) {
        let own = &self.statics;
        let (ranges, at) = (&VARIABLES.locals, own.own_thread.get());
        let mut locals = own.locals.borrow_mut();
        if let Some(before) = own.placed.replace(context) {
            locals.entry(before).or_insert_with(Locals::initial).bytes = read(ranges, at);
        }
        if let Some(context) = context {
            let its = locals.entry(context).or_insert_with(Locals::initial);
            write(ranges, at, &its.bytes);
        }
    }

    /// A context begins: nothing is left of one that had this number.
    pub(crate) fn new_locals(&self, context: usize) {
        let own = &self.statics;
        if own.has_locals.get() {
            own.locals.borrow_mut().remove(&context);
            if own.placed.get() == Some(context) {
                own.placed.set(None);
            }
        }
    }

    /// The running thread registers a destructor of a thread-local variable. Returns whether it is one that is put back.
    #[cfg_attr(not(rumplab_hooks), allow(dead_code, reason = "only hooks call it"))]
    pub(crate) fn register(&self, destructor: usize, variable: usize) -> bool {
        let own = &self.statics;
        let offset = variable.wrapping_sub(own.own_thread.get());
        let is_ours = VARIABLES.locals.iter().any(|range| range.contains(&offset));
        let (true, Some(context)) = (is_ours, own.placed.get()) else {
            return false;
        };
        let mut locals = own.locals.borrow_mut();
        let its = locals.entry(context).or_insert_with(Locals::initial);
        its.destructors.push((destructor, variable));
        true
    }

    /// The running thread ends: its thread-local variables are dropped, the last that was registered first.
    pub(crate) fn thread_ends(&self) {
        while let Some((destructor, variable)) = self.next_destructor() {
            let destructor = with_exposed_provenance::<()>(destructor);
            // SAFETY: what has registered it promises that it is such a function.
            let destructor = unsafe {
                std::mem::transmute::<*const (), unsafe extern "C" fn(*mut u8)>(destructor)
            };
            // SAFETY: it is called once, with the variable that it was registered with, on its thread.
            as_guest(|| unsafe { destructor(with_exposed_provenance_mut(variable)) });
        }
    }

    fn next_destructor(&self) -> Option<(usize, usize)> {
        let _host = Host::begin();
        let context = self.statics.placed.get()?;
        let mut locals = self.statics.locals.borrow_mut();
        locals.get_mut(&context)?.destructors.pop()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    use super::*;

    #[test]
    fn the_crate_of_a_symbol_is_the_first_word_of_its_path() {
        for name in [
            "spin::once::X",
            "<spin::once::Once<T> as core::fmt::Debug>::fmt::X",
            "<&mut spin::Once>::X",
        ] {
            assert_eq!(crate_of(name), "spin");
        }
        assert_eq!(crate_of("environ"), "environ");
    }

    static WORD: AtomicU64 = AtomicU64::new(0x1234_5678_9abc_def0);

    thread_local! {
        static LOCAL: Cell<u64> = const { Cell::new(0xfedc_ba98) };
    }

    #[test]
    fn variables_of_a_crate_are_found_and_put_back() {
        let variables = find(&["hostshim"], &writable()).unwrap_or_default();
        let at = std::ptr::from_ref(&WORD).addr();
        let index = variables.statics.iter().position(|range| range.start == at);
        let index = index.expect("the static is found");
        let one = &variables.statics[index..=index];
        let before: usize = variables.statics[..index].iter().map(Range::len).sum();
        WORD.store(1, Relaxed);
        write(one, 0, &variables.initial[before..before + 8]);
        assert_eq!(WORD.load(Relaxed), 0x1234_5678_9abc_def0);

        LOCAL.set(2);
        let own_thread = layout().own_thread;
        let at = LOCAL.with(|local| std::ptr::from_ref(local).addr()) - own_thread;
        let index = variables.locals.iter().position(|range| range.start == at);
        let index = index.expect("the thread-local variable is found");
        let one = &variables.locals[index..=index];
        assert_eq!(read(one, own_thread), 2_u64.to_ne_bytes());
        let before: usize = variables.locals[..index].iter().map(Range::len).sum();
        write(
            one,
            own_thread,
            &variables.initial_locals[before..before + 8],
        );
        assert_eq!(LOCAL.get(), 0xfedc_ba98);
    }

    #[test]
    fn crates_that_are_not_asked_for_keep_their_variables() {
        let variables = find(&["no_such_crate"], &writable()).unwrap_or_default();
        assert!(variables.statics.is_empty() && variables.locals.is_empty());
    }
}
