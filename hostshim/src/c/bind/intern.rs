//! What the kernel keeps of C: texts, and functions with their arguments. Each is stored once and stays as long as the
//! thread of the host, as the image of a kernel at boot refers to it.

use core::ffi::{CStr, c_void};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use kmod::kern::lwp::Arg;

use super::{Func, refused};
use crate::machine::side::Host;

thread_local! {
    static TEXTS: RefCell<BTreeSet<&'static str>> = RefCell::default();
    static CLOSURES: RefCell<BTreeMap<Closure, &'static Closure>> = RefCell::default();
}

/// The text, to be kept.
pub(super) fn text(text: &CStr) -> &'static str {
    let _host = Host::begin();
    string(&text.to_string_lossy())
}

/// The string, to be kept.
pub(super) fn string(text: &str) -> &'static str {
    let _host = Host::begin();
    TEXTS.with_borrow_mut(|texts| match texts.get(text) {
        Some(text) => *text,
        None => {
            let text: &'static str = Box::leak(text.to_owned().into_boxed_str());
            texts.insert(text);
            text
        }
    })
}

/// A function of C and what it is called with.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Closure {
    func: usize,
    args: [usize; 2],
}

/// The argument with which [`call`] and its like call the function `func` of C with `args`.
pub(super) fn closure(Func(func): Func, args: [usize; 2]) -> Arg {
    if func == 0 {
        refused(format_args!("a null pointer is passed for a function"));
    }
    let _host = Host::begin();
    let closure = Closure { func, args };
    let kept = CLOSURES.with_borrow_mut(|closures| {
        *closures
            .entry(closure)
            .or_insert_with(|| Box::leak(Box::new(closure)))
    });
    Arg::of(kept)
}

/// The function of a closure, and its arguments.
pub(super) fn parts(arg: Arg) -> (Func, [usize; 2]) {
    let Closure { func, args } = *of(arg);
    (Func(func), args)
}

fn of(arg: Arg) -> &'static Closure {
    let at = core::ptr::with_exposed_provenance::<Closure>(arg.0);
    // SAFETY: `closure` made the argument, and what it points to is never freed.
    unsafe { &*at }
}

/// Calls the function of a closure with its first argument.
pub(super) fn call(arg: Arg) {
    let Closure { func, args } = *of(arg);
    let func = core::ptr::with_exposed_provenance::<()>(func);
    // SAFETY: C has declared it as such a function.
    let func = unsafe { core::mem::transmute::<*const (), extern "C" fn(*mut c_void)>(func) };
    func(core::ptr::with_exposed_provenance_mut(args[0]));
}

/// Calls the function of a closure with both of its arguments.
pub(super) fn call_with_both(arg: Arg, _: Arg) {
    let Closure { func, args } = *of(arg);
    call_function(Func(func), args[0], args[1]);
}

/// Calls the function of a closure with `first`, then the closure's first argument.
pub(super) fn call_after(first: usize, arg: Arg) {
    let Closure { func, args } = *of(arg);
    call_function(Func(func), first, args[0]);
}

fn call_function(Func(func): Func, first: usize, second: usize) {
    let func = core::ptr::with_exposed_provenance::<()>(func);
    // SAFETY: C has declared it as such a function.
    let func =
        unsafe { core::mem::transmute::<*const (), extern "C" fn(*mut c_void, *mut c_void)>(func) };
    func(
        core::ptr::with_exposed_provenance_mut(first),
        core::ptr::with_exposed_provenance_mut(second),
    );
}

/// Calls the function of C with three arguments.
pub(super) fn call_three(Func(func): &Func, args: [usize; 3]) {
    type Three = extern "C" fn(*mut c_void, *mut c_void, *mut c_void);
    let func = core::ptr::with_exposed_provenance::<()>(*func);
    // SAFETY: C has declared it as such a function.
    let func = unsafe { core::mem::transmute::<*const (), Three>(func) };
    let [a, b, c] = args.map(core::ptr::with_exposed_provenance_mut);
    func(a, b, c);
}
