//! An echo at the lowest level: every frame that a network card receives is sent back.

use crate::kern::lwp::{Arg, curlwp};
use crate::kern::mutex::Kmutex;
use crate::kern::softint::{self, Softint};
use crate::kern::spl::Ipl;
use crate::kern::synch::{self, kpause};
use crate::kern::{kmem, xcall};
use crate::machine::{self, NIC_FRAME};
use crate::mem::{AtomicU32, Relaxed};
use crate::net::listener::listen;
use crate::scenario::classics::{free_data, shared};
use crate::scenario::{FIXED, Kind, Scenario, actor, broken_promise, rounds, share};

/// Every card sends back what it receives.
pub static SCENARIO: Scenario = Scenario {
    name: "nic-loop",
    summary: "each frame of EtherType 0x88b5 is sent back to its sender",
    about: "The interrupt of a card schedules a softint on the CPU that took it. The softint takes frame after \
            frame, swaps the two Ethernet addresses, and sends the frame on the same card. No protocol is \
            involved: this tests cards, interrupts and softints. A program outside sends the frames and checks \
            what comes back.",
    variants: &[FIXED],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Net,
    configure: |_| {},
    setup: |kernel| {
        let echo = share(
            "echo",
            Echo {
                receives: Kmutex::new("receives", Ipl::Vm),
                refused: AtomicU32::new(0),
            },
        );
        kernel.set_data(Arg::of(echo));
        actor(kernel, "echo", 0, serve, Arg::of(echo));
    },
    verify: |kernel| {
        let refused = shared::<Echo>(kernel.data()).refused.load(Relaxed);
        if refused != 0 {
            machine::console(format_args!(
                "# nic-loop: {refused} frames found no room to be sent back\n"
            ));
        }
    },
    teardown: free_data::<Echo>,
};

struct Echo {
    /// Held while receiving: one CPU at a time empties a queue.
    receives: Kmutex,
    /// Frames that were not sent back, because the card had no room.
    refused: AtomicU32,
}

crate::fields!(Echo { receives, refused });

/// Ticks that the actor sleeps before it reports progress.
const PAUSE_TICKS: u32 = 10;

/// Sends frames back for a while.
fn serve(echo: Arg) {
    let kernel = curlwp().kernel();
    let Some(softint) = softint::establish(Ipl::SoftNet, send_back, echo) else {
        broken_promise(
            "nic-loop-softint",
            format_args!("there is no place for the softint of nic-loop"),
        );
    };
    let listener = share("listener", softint);
    listen(Some(listener));
    // Frames that came before there was a listener have interrupted to no effect.
    synch::kpreempt_disable();
    softint::schedule(softint);
    synch::kpreempt_enable();
    for _ in 0..kernel.config().repeat {
        kpause("nic-loop", PAUSE_TICKS, None);
        if !rounds::time_is_left(kernel) {
            break;
        }
    }
    listen(None);
    // No interrupt that has seen the listener is still being handled.
    xcall::barrier(xcall::Priority::Low);
    softint::disestablish(softint);
    // SAFETY: (1) it came from `share`; (2) nobody finds it any more.
    unsafe { kmem::kmem_free::<Softint>(listener) };
}

/// The softint: empties all queues of all cards.
fn send_back(echo: Arg) {
    let echo: &Echo = shared(echo);
    let mut frame = [0; NIC_FRAME];
    for unit in 0..machine::nics() {
        for queue in 0..machine::nic(unit).queues {
            while let Some(len) = receive(echo, unit, queue, &mut frame) {
                let frame = &mut frame[..len];
                if is_ours(frame) {
                    turn_round(frame);
                    if !machine::nic_transmit(unit, frame) {
                        echo.refused.fetch_add(1, Relaxed);
                    }
                }
            }
        }
    }
}

fn receive(echo: &Echo, unit: usize, queue: usize, frame: &mut [u8]) -> Option<usize> {
    echo.receives.spin_enter();
    let len = machine::nic_receive(unit, queue, frame);
    echo.receives.spin_exit();
    len
}

/// Whether the frame is of the first EtherType for local experiments (IEEE 802).
fn is_ours(frame: &[u8]) -> bool {
    frame.get(12..14) == Some(&[0x88, 0xb5])
}

/// Swaps the two addresses with which a frame begins.
fn turn_round(frame: &mut [u8]) {
    let (to, rest) = frame.split_at_mut(6);
    to.swap_with_slice(&mut rest[..6]);
}
