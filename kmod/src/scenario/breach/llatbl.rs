//! The link-level table and ARP.

use super::{Breach, breach};
use crate::kern::lwp::Arg;
use crate::kern::mutex::Kmutex;
use crate::kern::rwlock::Krw;
use crate::kern::spl::Ipl;
use crate::kern::synch::kpause;
use crate::net::InAddr;
use crate::net::arp::{arp_set_static, arp_settimer};
use crate::net::llatbl::{Llentry, LltOps, Lltable};
use crate::net::lleref::Holder;
use crate::net::mbuf::End;
use crate::scenario::share;

const NEIGHBOUR: InAddr = InAddr(0x0a00_0002);

static OPS: LltOps = LltOps {
    output: |_, m, _| m.free(End::Delivered),
    request: |_, _| {},
};

fn table() -> &'static Lltable {
    let softnet_lock = share("softnet_lock", Kmutex::new("softnet_lock", Ipl::None));
    let table = share("table", Lltable::new());
    if !table.init(softnet_lock, &OPS, Arg::NONE) {
        unreachable!("there is memory for a table");
    }
    table
}

/// A new entry of a table, with both locks held for writing.
fn entry(table: &'static Lltable) -> &'static Llentry {
    table.afdata_enter(Krw::Writer);
    match table.create(NEIGHBOUR) {
        Some(lle) => lle,
        None => unreachable!("there is memory for an entry"),
    }
}

pub(super) static BREACHES: &[Breach] = &[
    breach!("lltable-write-held": "makes an entry with the table's lock held to read", || {
        let table = table();
        table.afdata_enter(Krw::Reader);
        table.create(NEIGHBOUR);
    }),
    breach!("lltable-write-held", "delete": "deletes an entry without the table's lock", || {
        table().delete(NEIGHBOUR);
    }),
    breach!("lltable-empty": "frees a table that was not purged", || {
        let table = table();
        entry(table).wunlock();
        table.fini();
    }),
    breach!("llentry-write-held": "takes a reference to an entry without its lock", || {
        let lle = entry(table());
        lle.wunlock();
        lle.addref(Holder::Other("culprit"), "breach");
    }),
    breach!("llentry-holder": "drops a reference to an entry that it has not taken",
        || entry(table()).remref(Holder::Other("culprit"))),
    breach!("llentry-references": "takes the timer of an entry off, and keeps the timer's reference", || {
        let lle = entry(table());
        arp_settimer(lle, 1, "breach");
        lle.la_timer.stop();
        lle.wunlock();
    }),
    breach!("llentry-references", "unlinked": "unlinks an entry, and keeps the table's reference", || {
        let table = table();
        let lle = entry(table);
        table.unlink_entry(lle);
        lle.wunlock();
    }),
    breach!("llentry-references", "table": "drops the table's reference to an entry that is linked, with one of its own", || {
        let lle = entry(table());
        lle.addref(Holder::Other("culprit"), "breach");
        lle.remref(Holder::Table);
        lle.downgrade();
    }),
    breach!("lltable-handlers": "frees a table without a wait for the handlers of its timers", || {
        let table = table();
        let lle = entry(table);
        arp_settimer(lle, 1, "breach");
        lle.wunlock();
        table.afdata_exit();
        // The handler deletes the entry.
        kpause("arptimer", 3, None);
        table.fini();
    }),
    breach!("llentry-static": "arms the timer of an entry that was set by hand", || {
        let table = table();
        arp_set_static(table, NEIGHBOUR, [2, 0, 0, 0, 0, 1]);
        table.afdata_enter(Krw::Reader);
        if let Some(lle) = table.lookup(NEIGHBOUR, Krw::Writer) {
            arp_settimer(lle, 1, "breach");
        }
    }),
];
