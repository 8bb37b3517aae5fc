//! Memory: kmem(9), percpu(9), pcq(9).

use core::alloc::Layout;
use core::ffi::{c_uint, c_void};
use core::mem::MaybeUninit;

use kmod::kern::cpu::Cpu;
use kmod::kern::kmem;
use kmod::kern::lwp::{Arg, curlwp};
use kmod::kern::pcq::Pcq;
use kmod::kern::percpu::{self, Percpu, PercpuData, PercpuFunc, percpu_alloc, percpu_create};
use kmod::kern::xcall::Priority;
use kmod::mem::Local;

use super::convert::Text;
use super::intern::{call_three, closure, parts};
use super::later::cross_call;
use super::references::no_memory;
use super::{Func, at_rest, bound, refused};

/// Bytes of a word of per-CPU storage.
const WORD: usize = 8;

/// Objects of C are aligned as `malloc` aligns them.
const ALIGN: usize = 16;

/// C goes on without the memory, if there is none (`KM_NOSLEEP`).
const KM_NOSLEEP: c_uint = 2;

/// The layout of an object of C of `size` bytes.
fn layout(size: usize) -> Layout {
    match Layout::from_size_align(size, ALIGN) {
        Ok(layout) if size > 0 => layout,
        _ => refused(format_args!("kmem has no objects of {size} bytes")),
    }
}

/// What an object is called whose size is this expression: `entry` for `sizeof(struct entry)`, `t` for `sizeof(*t)`,
/// `queue` for `offsetof(struct queue, items[n])`.
fn object_name(expression: &'static str) -> &'static str {
    let inside = expression
        .strip_prefix("sizeof")
        .or_else(|| Some(expression.strip_prefix("offsetof")?.split_once(',')?.0))
        .unwrap_or_default()
        .trim_matches(['(', ')', ' ', '*']);
    let inside = inside.strip_prefix("struct ").unwrap_or(inside);
    let is_name = |c: char| c.is_alphanumeric() || "_->.".contains(c);
    match !inside.is_empty() && inside.chars().all(is_name) {
        true => inside,
        false => "kmem",
    }
}

/// Per-CPU storage of `N` words, which only its users give a meaning.
#[repr(C)]
struct Words<const N: usize>([Local<MaybeUninit<u64>>; N]);

// SAFETY: (1) any bytes are a value; (2) cells of eight bytes; (3) what C keeps there it must not point at.
unsafe impl<const N: usize> PercpuData for Words<N> {}
// SAFETY: the cells are. C's accesses are checked as such.
unsafe impl<const N: usize> Sync for Words<N> {}

/// `percpu_t`: storage of one of the sizes that there are.
#[derive(Clone, Copy)]
enum Storage {
    One(Percpu<Words<1>>),
    Two(Percpu<Words<2>>),
    Four(Percpu<Words<4>>),
    Eight(Percpu<Words<8>>),
    Sixteen(Percpu<Words<16>>),
    ThirtyTwo(Percpu<Words<32>>),
}

/// Calls a method of the storage, whatever its size.
macro_rules! of_storage {
    ($storage:expr, $percpu:ident => $call:expr) => {
        match $storage {
            Storage::One($percpu) => $call,
            Storage::Two($percpu) => $call,
            Storage::Four($percpu) => $call,
            Storage::Eight($percpu) => $call,
            Storage::Sixteen($percpu) => $call,
            Storage::ThirtyTwo($percpu) => $call,
        }
    };
}

/// Makes storage for `size` bytes by an expression that has its type.
macro_rules! storage_of {
    ($size:expr, $make:expr) => {
        match usize::div_ceil($size, WORD) {
            0 => refused(format_args!("per-CPU storage of 0 bytes")),
            1 => Storage::One($make),
            2 => Storage::Two($make),
            3..=4 => Storage::Four($make),
            5..=8 => Storage::Eight($make),
            9..=16 => Storage::Sixteen($make),
            17..=32 => Storage::ThirtyTwo($make),
            _ => refused(format_args!(
                "per-CPU storage of {} bytes: there are at most 256",
                $size
            )),
        }
    };
}

/// The constructor and the destructor of storage: the function of a closure, and its first argument, called with the
/// storage, the second argument, and the CPU.
fn construct<const N: usize>(words: &Words<N>, arg: Arg, ci: &'static Cpu) {
    let (ctor, [_, arg]) = parts(arg);
    visit(words, &ctor, arg, ci);
}

fn destruct<const N: usize>(words: &Words<N>, arg: Arg, ci: &'static Cpu) {
    let (_, [dtor, arg]) = parts(arg);
    visit(words, &Func(dtor), arg, ci);
}

/// What a cross call does on a CPU: the function of a closure is called with its first argument.
fn visited<const N: usize>(words: &Words<N>, arg: Arg, ci: &'static Cpu) {
    let (func, [arg, _]) = parts(arg);
    visit(words, &func, arg, ci);
}

fn visit<const N: usize>(words: &Words<N>, func: &Func, arg: usize, ci: &'static Cpu) {
    let (words, ci): (*const Words<N>, _) = (words, core::ptr::from_ref(ci));
    call_three(
        func,
        [words.expose_provenance(), arg, ci.expose_provenance()],
    );
}

impl Storage {
    fn alloc(size: usize) -> Option<Storage> {
        Some(storage_of!(size, percpu_alloc()?))
    }

    fn create(size: usize, work: Arg, ends: bool) -> Option<Storage> {
        Some(storage_of!(
            size,
            percpu_create(construct, ends.then_some(destruct as PercpuFunc<_>), work)?
        ))
    }

    fn foreach_xcall(self, priority: Priority, work: Arg) {
        let called = of_storage!(self, percpu => percpu.foreach_xcall(priority, visited, work));
        if called.is_none() {
            no_memory("a cross call");
        }
    }

    fn free(self) {
        of_storage!(self, percpu => match at_rest() {
            true => percpu.free_at_rest(),
            false => percpu.free(),
        });
    }

    fn getref(self) -> *const c_void {
        of_storage!(self, percpu => core::ptr::from_ref(percpu.getref()).cast())
    }

    fn putref(self) {
        of_storage!(self, percpu => percpu.putref());
    }

    fn getptr_remote(self, ci: &Cpu) -> *const c_void {
        of_storage!(self, percpu => core::ptr::from_ref(percpu.getptr_remote(ci)).cast())
    }

    /// The storage of a CPU when nothing runs.
    fn peek(self, ci: &Cpu) -> *const c_void {
        of_storage!(self, percpu => core::ptr::from_ref(percpu.peek(ci)).cast())
    }
}

/// Calls the function of C for the storage of each CPU.
fn foreach(storage: Storage, func: &Func, arg: usize) {
    let rest = at_rest();
    if !rest {
        percpu::percpu_traverse_enter();
    }
    for ci in curlwp().kernel().cpus() {
        let at = match rest {
            true => storage.peek(ci),
            false => storage.getptr_remote(ci),
        };
        let ci = core::ptr::from_ref(ci);
        call_three(func, [at.expose_provenance(), arg, ci.expose_provenance()]);
    }
    if !rest {
        percpu::percpu_traverse_exit();
    }
}

/// What is in a queue of C: never looked at.
struct Item;

bound! {
    fn rumplab_kmem_alloc(size: usize, flags: c_uint, expression: Text) -> *mut u8 {
        let what = object_name(expression.0);
        match flags & KM_NOSLEEP {
            0 => kmem::raw_alloc(what, layout(size)),
            _ => kmem::raw_alloc_nosleep(what, layout(size)),
        }
    }
    fn kmem_free(at: *mut u8, size: usize) {
        if at.is_null() {
            refused(format_args!("kmem_free of a null pointer"));
        }
        // SAFETY: (1) C says so; the machine stops if no object begins there. (2) The machine checks it.
        unsafe { kmem::raw_free("object", at, layout(size)) };
    }

    fn percpu_alloc(size: usize) -> Option<&'static Storage> {
        let storage = Storage::alloc(size)?;
        let kept = kmem::kmem_alloc("percpu", storage);
        if kept.is_none() {
            storage.free();
        }
        kept
    }
    fn percpu_free(storage: &'static Storage, _size: usize) {
        storage.free();
        // SAFETY: (1) it came from `kmem_alloc`; (2) the caller's promise.
        unsafe { kmem::kmem_free(storage) };
    }
    fn percpu_getref(storage: &'static Storage) -> *const c_void {
        storage.getref()
    }
    fn percpu_putref(storage: &'static Storage) {
        storage.putref();
    }
    fn percpu_traverse_enter() {
        percpu::percpu_traverse_enter();
    }
    fn percpu_traverse_exit() {
        percpu::percpu_traverse_exit();
    }
    fn percpu_getptr_remote(storage: &'static Storage, ci: &'static Cpu) -> *const c_void {
        storage.getptr_remote(ci)
    }
    fn percpu_foreach(storage: &'static Storage, func: Func, arg: usize) {
        foreach(*storage, &func, arg);
    }

    fn percpu_foreach_xcall(storage: &'static Storage, flags: c_uint, func: Func, arg: usize) {
        storage.foreach_xcall(cross_call(flags), closure(func, [arg, 0]));
    }
    fn percpu_create(size: usize, ctor: Func, dtor: Func, arg: usize) -> Option<&'static Storage> {
        let storage = Storage::create(size, closure(ctor, [dtor.0, arg]), dtor.0 != 0)?;
        let kept = kmem::kmem_alloc("percpu", storage);
        if kept.is_none() {
            storage.free();
        }
        kept
    }

    fn pcq_create(items: usize, flags: c_uint) -> Option<&'static Pcq<Item>> {
        match flags & KM_NOSLEEP != 0 && kmod::machine::refuses("pcq") {
            true => None,
            false => Pcq::create(items),
        }
    }
    fn pcq_destroy(queue: &'static Pcq<Item>) {
        queue.destroy();
    }
    fn pcq_put(queue: &'static Pcq<Item>, item: &'static Item) -> bool {
        queue.put(item)
    }
    fn pcq_get(queue: &'static Pcq<Item>) -> Option<&'static Item> {
        queue.get()
    }
    fn pcq_peek(queue: &'static Pcq<Item>) -> Option<&'static Item> {
        queue.peek()
    }
    fn pcq_maxitems(queue: &'static Pcq<Item>) -> usize {
        queue.maxitems()
    }
}

#[cfg(test)]
mod tests {
    use super::object_name;

    #[test]
    fn an_object_is_called_by_what_it_is_as_large_as() {
        assert_eq!(object_name("sizeof(struct entry)"), "entry");
        assert_eq!(object_name("sizeof(*t)"), "t");
        assert_eq!(object_name("sizeof *sc->sc_queue"), "sc->sc_queue");
        assert_eq!(object_name("offsetof(pcq_t, pcq_items[nitems])"), "pcq_t");
        assert_eq!(object_name("n * sizeof(struct entry)"), "kmem");
        assert_eq!(object_name("size"), "kmem");
    }
}
