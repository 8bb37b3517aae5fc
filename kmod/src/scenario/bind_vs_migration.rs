//! Bug d of the talk: an LWP is moved although it has bound itself.

use crate::config::Config;
use crate::history::{Bug, History};
use crate::kern::lwp::{Arg, curlwp, curlwp_bind, curlwp_bindx};
use crate::kern::synch::{preempt_point, yield_now};
use crate::scenario::classics::{free_data, shared};
use crate::scenario::key::{self, Sad};
use crate::scenario::{FIXED, Kind, Scenario, Variant, actor};

/// A busy thread processes packets with passive references, while the scheduler balances.
pub static SCENARIO: Scenario = Scenario {
    name: "bind-vs-migration",
    summary: "a busy thread binds itself and takes passive references while the scheduler balances: is it moved?",
    about: "A thread that never sleeps repeatedly binds itself, looks an entry up, works with a passive \
            reference to it, lets others run, releases the reference and unbinds itself. Every tick the \
            scheduler's balancer chooses such threads, to be moved to another CPU at their next context switch; \
            it skips those that are bound at that moment. A thread that binds itself later must be skipped by \
            mi_switch, because a passive reference is on a list of the CPU where it was acquired, and must be \
            released there.",
    variants: &[
        FIXED,
        Variant {
            name: "historical",
            summary: "mi_switch moves an LWP that was chosen to move, bound or not (kern_synch.c 1.313)",
            history: History::NONE.with(Bug::SwitchIgnoresBound),
            xcall: None,
            net_mpsafe: None,
            fails: true,
            ..FIXED
        },
    ],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Sound,
    configure: |config: &mut Config| {
        config.balance_ticks = 1;
        config.timeslice_ticks = 1;
        config.repeat = config.repeat.max(4);
    },
    setup: |kernel| {
        let sad = key::share_table();
        sad.add();
        kernel.set_data(Arg::of(sad));
        actor(kernel, "busy", 0, busy, Arg::of(sad));
    },
    verify: |kernel| shared::<Sad>(kernel.data()).fini(kernel),
    teardown: free_data::<Sad>,
};

fn busy(sad: Arg) {
    let sad: &'static Sad = shared(sad);
    for _ in 0..curlwp().kernel().config().repeat {
        let bound = curlwp_bind();
        sad.with_packet(|sa| {
            // It stays busy, and lets others run.
            yield_now();
            sa.touch();
        });
        curlwp_bindx(bound);
        preempt_point();
    }
}
