//! How arguments and results pass between C and Rust.

use core::ffi::{CStr, c_char, c_int, c_uint, c_void};

use kmod::kern::spl::Ipl;
use kmod::machine::{self, Described};

use super::{intern, level, refused};
use crate::machine::host::member_at;
use crate::machine::side::Host;

/// An argument, as C passes it.
pub(super) trait FromC: Sized {
    /// What C passes.
    type Word;

    /// Converts it.
    ///
    /// # Safety
    ///
    /// The word is what the header declares: a pointer is null, or points to such an object or function.
    unsafe fn from_c(word: Self::Word) -> Self;
}

/// A result, as C gets it.
pub(super) trait IntoC {
    /// What C gets.
    type Word;

    /// Converts it.
    fn into_c(self) -> Self::Word;
}

macro_rules! numbers {
    ($($type:ty),*) => {$(
        impl FromC for $type {
            type Word = $type;

            unsafe fn from_c(word: $type) -> $type {
                word
            }
        }

        impl IntoC for $type {
            type Word = $type;

            fn into_c(self) -> $type {
                self
            }
        }
    )*};
}
numbers!(
    c_int,
    c_uint,
    i64,
    u64,
    usize,
    *mut u8,
    *mut c_void,
    *const c_void
);

impl IntoC for () {
    type Word = ();

    fn into_c(self) {}
}

/// A truth value: C declares it as `int` or as `bool`, and either reads it.
impl IntoC for bool {
    type Word = c_int;

    fn into_c(self) -> c_int {
        c_int::from(self)
    }
}

impl FromC for bool {
    type Word = u8;

    unsafe fn from_c(word: u8) -> bool {
        word != 0
    }
}

/// A level of interrupts.
impl FromC for Ipl {
    type Word = c_int;

    unsafe fn from_c(word: c_int) -> Ipl {
        level(word)
    }
}

impl IntoC for Ipl {
    type Word = c_int;

    fn into_c(self) -> c_int {
        c_int::from(self as u8)
    }
}

/// The object at `at`.
///
/// # Safety
///
/// `at` is null, or a `T` is there and stays while C uses it. The machine checks the latter at every access.
pub(super) unsafe fn object<T>(at: *const T) -> &'static T {
    // SAFETY: the caller's promise.
    match unsafe { at.as_ref() } {
        Some(object) => object,
        None => {
            let what = core::any::type_name::<T>();
            let what = what.rsplit("::").next().unwrap_or(what);
            refused(format_args!("a null pointer is passed for a {what}"))
        }
    }
}

impl<T> FromC for &'static T {
    type Word = *const T;

    unsafe fn from_c(word: *const T) -> &'static T {
        // SAFETY: the caller's promise.
        unsafe { object(word) }
    }
}

impl<T> FromC for Option<&'static T> {
    type Word = *const T;

    unsafe fn from_c(word: *const T) -> Option<&'static T> {
        // SAFETY: the caller's promise.
        unsafe { word.as_ref() }
    }
}

impl<T> IntoC for &'static T {
    type Word = *const T;

    fn into_c(self) -> *const T {
        self
    }
}

impl<T> IntoC for Option<&'static T> {
    type Word = *const T;

    fn into_c(self) -> *const T {
        self.map_or(core::ptr::null(), core::ptr::from_ref)
    }
}

/// Memory of C for a `T`.
pub(super) struct Raw<T>(*mut T);

impl<T> FromC for Raw<T> {
    type Word = *mut T;

    unsafe fn from_c(word: *mut T) -> Raw<T> {
        Raw(word)
    }
}

impl<T: 'static> Raw<T> {
    /// Where it is.
    pub(super) fn address(&self) -> *const T {
        self.0
    }

    /// The object, which was made before.
    ///
    /// # Safety
    ///
    /// It was, and is alive.
    pub(super) unsafe fn made(self) -> &'static T {
        // SAFETY: the caller's promise.
        unsafe { object(self.0) }
    }

    /// Makes the object.
    pub(super) fn make(self, value: T) -> &'static T {
        if !self.0.is_aligned() || self.0.is_null() {
            refused(format_args!(
                "an object is initialized at {:?}, where none can be",
                self.0
            ));
        }
        // SAFETY: C has memory for a `T` there: the header declares its size and its alignment. What was there needs no
        // drop.
        unsafe { self.0.write(value) };
        // SAFETY: it was written just now.
        unsafe { object(self.0) }
    }

    /// Makes the object, and names it in traces and reports: after the structure that it is in, or else by `name`.
    pub(super) fn make_named(self, value: T, name: &str) -> &'static T
    where
        T: Described,
    {
        let address = self.0.addr();
        let made = self.make(value);
        if machine::tracing() {
            match member_at(address) {
                Some(member) => machine::label(made, format_args!("{member}")),
                None => machine::label(made, format_args!("{name}")),
            }
        }
        made
    }
}

/// A string of C that is kept.
pub(super) struct Text(pub(super) &'static str);

impl FromC for Text {
    type Word = *const c_char;

    unsafe fn from_c(word: *const c_char) -> Text {
        if word.is_null() {
            return Text("?");
        }
        // SAFETY: the caller's promise: it is a string.
        let text = unsafe { CStr::from_ptr(word) };
        Text(intern::text(text))
    }
}

/// An expression of C that names an object: `table->lock` for `&table->lock`.
pub(super) struct Expression(pub(super) &'static str);

impl FromC for Expression {
    type Word = *const c_char;

    unsafe fn from_c(word: *const c_char) -> Expression {
        // SAFETY: the caller's promise.
        let Text(text) = unsafe { Text::from_c(word) };
        let _host = Host::begin();
        Expression(intern::string(&without_parentheses(text)))
    }
}

/// The expression without the parentheses that a macro has put around all of it or around a name: `lle->lock` for `(&(lle)->lock)`.
fn without_parentheses(text: &str) -> String {
    let mut text = text.to_owned();
    loop {
        let plain = text.trim_start_matches(['&', ' ']);
        let Some((open, close)) = superfluous(plain) else {
            return plain.to_owned();
        };
        text = [&plain[..open], &plain[open + 1..close], &plain[close + 1..]].concat();
    }
}

/// Where a pair of such parentheses is.
fn superfluous(text: &str) -> Option<(usize, usize)> {
    let is_word = |letter: char| letter == '_' || letter.is_alphanumeric();
    text.match_indices('(').find_map(|(open, _)| {
        let close = open + text[open..].find(')')?;
        let around_all = open == 0 && close + 1 == text.len();
        let around_name = text[open + 1..close].chars().all(is_word);
        let calls = text[..open].ends_with(is_word);
        (!calls && (around_all || around_name)).then_some((open, close))
    })
}

/// The address of a function of C; null if there is none.
pub(super) struct Func(pub(super) usize);

impl FromC for Func {
    type Word = *const c_void;

    unsafe fn from_c(word: *const c_void) -> Func {
        Func(word.expose_provenance())
    }
}

#[cfg(test)]
mod tests {
    use super::without_parentheses;

    #[test]
    fn an_object_is_called_as_its_code_would_be_without_macros() {
        for (text, name) in [
            ("&lock", "lock"),
            ("(&table->lock)", "table->lock"),
            ("&(lle)->lle_lock", "lle->lle_lock"),
            ("&((lle)->lle_lock)", "lle->lle_lock"),
            ("&locks[hash(key)]", "locks[hash(key)]"),
            ("(struct lock *)memory", "(struct lock *)memory"),
            ("(unclosed", "(unclosed"),
            ("", ""),
        ] {
            assert_eq!(without_parentheses(text), name);
        }
    }
}
