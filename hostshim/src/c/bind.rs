//! The kernel's functions under their names in C.

use std::ffi::{CStr, c_char, c_uint, c_void};

use kmod::kern::lwp::{Arg, curlwp};
use kmod::scenario;

struct Record {
    func: extern "C" fn(*mut c_void),
    arg: *mut c_void,
}

extern "C" fn rumplab_actor(
    name: *const c_char,
    cpu: c_uint,
    func: extern "C" fn(*mut c_void),
    arg: *mut c_void,
) {
    // SAFETY: a string.
    let name = unsafe { CStr::from_ptr(name) }.to_str().unwrap_or("actor");
    let record =
        kmod::machine::alloc(std::alloc::Layout::new::<Record>(), "record").cast::<Record>();
    // SAFETY: fresh memory.
    unsafe { record.write(Record { func, arg }) };
    // SAFETY: as above.
    let record: &'static Record = unsafe { &*record };
    scenario::actor(
        curlwp().kernel(),
        name,
        cpu as usize,
        |arg| {
            // SAFETY: as above.
            let record: &'static Record = unsafe { arg.get() };
            (record.func)(record.arg);
        },
        Arg::of(record),
    );
}

extern "C" fn rumplab_broken(_: *const c_char, text: *const c_char) {
    // SAFETY: a string.
    let text = unsafe { CStr::from_ptr(text) }.to_str().unwrap_or("");
    scenario::broken_promise("promise", format_args!("{text}"))
}

/// The function with this name.
pub(crate) fn lookup(name: &str) -> Option<*const ()> {
    match name {
        "rumplab_actor" => Some(rumplab_actor as *const ()),
        "rumplab_broken" => Some(rumplab_broken as *const ()),
        _ => None,
    }
}

/// Every name.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    ["rumplab_actor", "rumplab_broken"].into_iter()
}
