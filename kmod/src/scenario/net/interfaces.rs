//! What the programs that attach and detach interfaces have in common.

use core::fmt;

use smoltcp::wire::Ipv4Address;

use crate::kern::lwp::{Arg, Name, curlwp, curlwp_bind, curlwp_bindx};
use crate::mem::{AcqRel, AtomicU32};
use crate::net::ifnet::{Driver, Ifnet, Spec, if_attach};
use crate::net::mbuf::End;
use crate::net::{Net, inet};
use crate::scenario::memory::obtain;

/// Bits of an address that name its net.
pub(super) const PREFIX: u8 = 24;

/// Attaches an interface that ends what it sends. `None`: there is no memory, or no index.
pub(super) fn attach_quiet(net: &'static Net, name: fmt::Arguments<'_>) -> Option<&'static Ifnet> {
    let spec = Spec {
        lladdr: Some([2, 0, 0, 0, 1, 0]),
        mtu: 1500,
        driver: Driver {
            input: |_, m| m.free(End::Delivered),
            transmit: |_, m| m.free(End::Delivered),
            softc: Arg::NONE,
        },
    };
    if_attach(net, Name::format(name), &spec)
}

/// Gives an interface an address, without telling the other hosts.
pub(super) fn give_address(ifp: &'static Ifnet, addr: Ipv4Address) {
    obtain("an address", || {
        ifp.lock();
        let added = inet::ifa_insert(ifp, addr, PREFIX);
        ifp.unlock();
        added.ok()
    });
}

/// Does `part` as often as the configuration says, bound. The last of the `actors` to finish calls `take_down`.
pub(super) fn each_time(actors: &AtomicU32, part: impl Fn(), take_down: impl FnOnce()) {
    for _ in 0..curlwp().kernel().config().repeat {
        let bound = curlwp_bind();
        part();
        curlwp_bindx(bound);
    }
    if actors.fetch_sub(1, AcqRel) == 1 {
        take_down();
    }
}
