//! Bug b of the talk: localcount_drain's cross call takes a mutex that is held across pserialize_perform.

use crate::config::Wiring;
use crate::history::{Bug, History};
use crate::kern::lwp::{Arg, curlwp};
use crate::scenario::classics::{free_data, shared};
use crate::scenario::key::{self, Sad};
use crate::scenario::{FIXED, Kind, Scenario, Variant, actor};

const OLD_USE: History = History::NONE.with(Bug::PerformHoldsMutex);

/// Two threads each destroy an entry of the same table, while a connection uses it.
pub static SCENARIO: Scenario = Scenario {
    name: "drain-vs-perform",
    summary: "two entries of a table are destroyed at once: does localcount_drain return?",
    about: "Two threads each destroy an entry: under the table's mutex they unlink it, and call \
            pserialize_perform, psref_target_destroy and localcount_drain. A third thread looks entries up and \
            uses them. While one drains, with the mutex released, the cross-call threads enter the mutex for it. \
            If the other thread holds the mutex and waits for a cross call of the same box, the box waits for \
            the mutex and the mutex for the box. In a rump kernel all cross calls share a box; on hardware, two \
            low-priority ones do.",
    variants: &[
        FIXED,
        Variant {
            name: "historical",
            summary: "the mutex is held across pserialize_perform (key.c 1.233), in a rump kernel",
            history: OLD_USE,
            xcall: Some(Wiring::Rump),
            net_mpsafe: None,
            fails: true,
            ..FIXED
        },
        Variant {
            name: "historical-native",
            summary: "also across psref_target_destroy, which made low-priority calls (subr_psref.c 1.10), on hardware",
            history: OLD_USE.with(Bug::PsrefSweepLow),
            xcall: Some(Wiring::Native),
            net_mpsafe: None,
            fails: true,
            ..FIXED
        },
        Variant {
            name: "fixed-use",
            summary: "the old psref, but the mutex is released: the performing flag and its cv (key.c 1.234)",
            history: History::NONE.with(Bug::PsrefSweepLow),
            xcall: None,
            net_mpsafe: None,
            fails: false,
            ..FIXED
        },
    ],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Sound,
    configure: |_| {},
    setup: |kernel| {
        let sad = key::share_table();
        kernel.set_data(Arg::of(sad));
        actor(kernel, "a", 0, destroyer, Arg::of(sad));
        actor(kernel, "b", 1, destroyer, Arg::of(sad));
        actor(kernel, "user", 1, user, Arg::of(sad));
    },
    verify: |kernel| shared::<Sad>(kernel.data()).fini(kernel),
    teardown: free_data::<Sad>,
};

fn destroyer(sad: Arg) {
    let sad: &'static Sad = shared(sad);
    for _ in 0..curlwp().kernel().config().repeat {
        sad.add();
        sad.destroy();
    }
}

fn user(sad: Arg) {
    let sad: &'static Sad = shared(sad);
    for _ in 0..curlwp().kernel().config().repeat {
        if let Some(sa) = sad.lookup() {
            sa.touch();
            sad.unref(sa);
        }
    }
}
