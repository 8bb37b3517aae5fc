//! Programs over the network stack: what they found once, and that they find.

use hostshim::names::Follower;
use hostshim::registry::Registry;
use hostshim::replay::{LIMITS, Parsed};
use hostshim::{Machine, Portfolio, Setup, Verdict};
use kmod::scenario::softnet::SCENARIO;

/// Boots a machine for the program of a file without a schedule, and lets it run under `runs` schedules. Gives the first
/// failure.
fn hunt(cards: usize, operations: &[&str], runs: u64) -> Option<String> {
    let mut text =
        "rumplab-replay 1\nscenario softnet\nvariant fixed\ncpus 2\nxcall native\n".to_owned();
    if cards != 2 {
        text += &format!("nics {cards}\n");
    }
    text += "program\n";
    for operation in operations {
        text += &format!("  {operation}\n");
    }
    text += "schedule\nend\n";
    let parsed =
        Parsed::read(text.as_bytes(), Registry::kmod()).unwrap_or_else(|wrong| panic!("{wrong}"));
    let mut machine = Machine::new();
    let setup = Setup {
        scenario: &SCENARIO,
        config: parsed.file.config,
        trace: false,
    };
    if let Err(failure) = machine.boot(&setup) {
        panic!("it does not boot: {failure}");
    }
    let Some(program) = &parsed.file.program else {
        panic!("the file has a program")
    };
    machine.load(program);
    let mut strategy = Portfolio::new(1);
    (0..runs).find_map(|run| match machine.run(&mut strategy, &LIMITS).verdict {
        Verdict::Passed => None,
        Verdict::Failed(failure) => Some(format!("run {run}: {failure}")),
    })
}

/// Who keeps an interface can open a tap on it when all taps have been taken off it. That tap was on the list of an
/// interface that was freed.
#[test]
fn regression_a_tap_is_opened_on_an_interface_on_its_way_out() {
    let program = [
        "l0 if_hold 0",
        "l0 kpause 3",
        "l0 kpause 3",
        "l0 kpause 3",
        "l0 tap_open_kept",
        "l0 if_release",
        "l0 kpause 3",
        "l0 tap_close",
        "l1 if_detach 0",
    ];
    assert_eq!(hunt(0, &program, 1_000), None);
}

/// The softint that empties the cards schedules itself again while there are frames. The stack ended meanwhile: the cross call
/// that `softint_disestablish` waits for came in front of that, and the handler ran on, disestablished.
#[test]
fn regression_the_softint_of_the_cards_schedules_itself_behind_its_end() {
    let found = "rumplab-replay 1
scenario softnet
variant fixed
cpus 2
xcall native
net_mpsafe 0
program
wire
  frame 1 020000000000303030303030303030303030303030303030303030303030303030303030303030303030303030303030
  frame 0 303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030
schedule
  before idle/0 on cpu0 wait #0: cpu0 steps
  before l2 on cpu0 load l2.l_mutex #1: cpu1 takes clock
  before l5 on cpu1 mutex_exit cpu1.ci_schedstate.spc_lwplock #1: cpu0 takes clock
  before l5 on cpu1 write world.scripts.lwps[5] #1: cpu1 takes ipi
  before l5 on cpu0 mutex_enter kernel.softints.softint_lock #3: cpu0 takes net
  before softnet/1 on cpu1 load net.nics.cards[0].claims[0] #1: cpu0 steps
end
";
    let parsed =
        Parsed::read(found.as_bytes(), Registry::kmod()).unwrap_or_else(|wrong| panic!("{wrong}"));
    let mut machine = Machine::new();
    if let Err(failure) = parsed.file.boot(&mut machine) {
        panic!("it does not boot: {failure}");
    }
    let (outcome, departures) = Follower::loose(&parsed.file.schedule, &mut machine, &LIMITS);
    assert_eq!(outcome.verdict, Verdict::Passed);
    assert_eq!(
        departures.len(),
        6,
        "the schedule is not the one that was found"
    );
}

#[test]
fn a_little_of_everything_holds() {
    let program = [
        "l0 frame_arp_ask 1 0",
        "l0 frame_echo 1 0",
        "l1 if_attach 0",
        "l1 addr_add 0 0",
        "l1 so_send 0 0",
        "l2 so_open 0",
        "l2 so_echo 0 2",
        "l3 tap_open 1",
        "l3 tap_read 2",
        "l4 if_detach 1",
        "l5 pktq_flush 1",
        "l5 ping 0",
    ];
    assert_eq!(hunt(2, &program, 500), None);
}
