//! workqueue(9).

use super::{Breach, breach, other_cpu, pause, thread};
use crate::kern::lwp::{Arg, curlwp, pri};
use crate::kern::spl::{self, Ipl};
use crate::kern::workqueue::{self, Work, WorkFunc, Workers, Workqueue};
use crate::scenario::classics::shared;
use crate::scenario::share;

fn create(ipl: Ipl, func: WorkFunc) -> &'static Workqueue {
    let kernel = curlwp().kernel();
    let func = (func, Arg::NONE);
    match workqueue::create(kernel, "ifwq", func, pri::KTHREAD, ipl, Workers::One) {
        Some(queue) => queue,
        None => unreachable!("there is memory for a workqueue"),
    }
}

/// A queue for thread context.
fn queue(func: WorkFunc) -> &'static Workqueue {
    create(Ipl::None, func)
}

fn work(arg: Arg) -> &'static Work {
    share("work", Work::new(arg))
}

pub(super) static BREACHES: &[Breach] = &[
    breach!("workqueue-create-ipl": "creates a workqueue for a level at which no thread can be woken", || {
        create(Ipl::High, |_, _| {});
    }),
    breach!("workqueue-ipl": "enqueues work above the level that the workqueue was created for", || {
        let queue = queue(|_, _| {});
        let work = work(Arg::NONE);
        spl::splsoftserial();
        queue.enqueue(work, None);
    }),
    breach!("workqueue-cpu": "enqueues work for a CPU on a workqueue with one worker",
        || queue(|_, _| {}).enqueue(work(Arg::NONE), Some(other_cpu()))),
    breach!("workqueue-twice": "enqueues a work twice", || {
        let (queue, first, second) = (queue(|_, _| pause(9)), work(Arg::NONE), work(Arg::NONE));
        queue.enqueue(first, None);
        pause(1);
        queue.enqueue(second, None);
        queue.enqueue(second, None);
    }),
    breach!("workqueue-dying": "enqueues work while another thread destroys the workqueue", || {
        let queue = queue(|_, _| pause(9));
        queue.enqueue(work(Arg::NONE), None);
        thread("destroyer", 0, |queue| shared::<Workqueue>(queue).destroy(), Arg::of(queue));
        pause(1);
        queue.enqueue(work(Arg::NONE), None);
    }),
    breach!("workqueue-self-destroy": "destroys a workqueue in its own worker", || {
        let queue = queue(|work, _| shared::<Workqueue>(work.arg()).destroy());
        queue.enqueue(work(Arg::of(queue)), None);
        pause(1);
    }),
];
