//! The names that C code can use: hooks, functions of the compiler, and what is [bound](super::bind) to the kernel.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::bind;
use crate::hooks::modules as hooks;
use crate::suggest;

/// What every module can call: the address of each function.
static HOOKS: LazyLock<BTreeMap<&'static str, usize>> = LazyLock::new(|| {
    let address = |(name, entry): hooks::Entry| (name, entry as *const () as usize);
    hooks::entries().map(address).collect()
});

/// Whether only the compiler calls this function.
fn is_hook(name: &str) -> bool {
    name.starts_with("__tsan_")
}

/// The address of what has this name.
pub(super) fn lookup(name: &str) -> Option<usize> {
    let hook = HOOKS.get(name).copied();
    hook.or_else(|| bind::lookup(name).map(|at| at.expose_provenance()))
}

/// Whether something has this name.
pub(super) fn offers(name: &str) -> bool {
    lookup(name).is_some()
}

/// The name that was probably meant.
pub(super) fn nearest(name: &str) -> Option<String> {
    let hooks = HOOKS.keys().copied().filter(|name| !is_hook(name));
    let near = suggest::nearest(name, hooks.chain(bind::names()));
    near.names().first().cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_and_misspelled_ones_are_suggested() {
        assert!(offers("__tsan_read4") && offers("memcpy") && !offers("memcopy"));
        assert_eq!(nearest("memcopy").as_deref(), Some("memcpy"));
        assert!(is_hook("__tsan_func_entry") && !is_hook("memcpy"));
    }

    #[test]
    fn each_name_is_offered_once() {
        let hooks = Vec::from_iter(hooks::entries().map(|(name, _)| name));
        assert_eq!(hooks.len(), HOOKS.len());
        assert_eq!(bind::names().find(|name| HOOKS.contains_key(name)), None);
    }
}
