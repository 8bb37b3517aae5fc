//! Tests of completions: none is lost, and `complete` does not access it once the waiter continues.

use crate::kern::completion::Completion;
use crate::kern::kmem::{kmem_alloc, kmem_free};
use crate::kern::lwp::{Arg, curlwp};
use crate::kern::spl::Ipl;
use crate::machine;
use crate::mem::{AcqRel, Acquire, AtomicRef, Plain, Release};
use crate::scenario::classics::{free_data, shared};
use crate::scenario::{FIXED, Kind, Scenario, actor, broken_promise, share};

/// A request of a thread, which frees it when it was served.
struct Request {
    served: Completion,
    answer: Plain<u32>,
}

crate::fields!(Request { served, answer });

struct Service {
    /// Completed for each request that is made.
    asked: Completion,
    requests: [AtomicRef<Request>; 2],
    /// Completed once, for all.
    open: Completion,
}

crate::fields!(Service {
    asked,
    requests,
    open
});

/// How often each request is made.
const TIMES: u32 = 2;

/// Requests that are freed as soon as they were served.
pub static FREES: Scenario = Scenario {
    name: "completion-frees",
    summary: "a third thread serves the requests of two threads, which free them at once",
    about: "Each thread makes a request that contains a completion, waits for it, makes the request once more, and \
            frees it. The \
            server waits for as many completions as there are requests. It begins by opening the service, with a \
            completion for all: one thread waits for that; the other checks whether it is open, and waits at \
            most a tick if not.",
    variants: &[FIXED],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Sound,
    configure: |_| {},
    setup: |kernel| {
        let service = share(
            "service",
            Service {
                asked: Completion::new("asked", Ipl::None),
                requests: [const { AtomicRef::new() }; 2],
                open: Completion::new("open", Ipl::None),
            },
        );
        machine::label(service, format_args!("service"));
        let arg = Arg::of(service);
        kernel.set_data(arg);
        actor(kernel, "server", 0, serve, arg);
        let wait = |service| ask(shared(service), 0, Completion::wait);
        let hurry = |service| ask(shared(service), 1, |open| while !open.wait_timeout(1) {});
        actor(kernel, "patient", 1, wait, arg);
        actor(kernel, "hasty", 1, hurry, arg);
    },
    verify: |kernel| {
        let service: &Service = shared(kernel.data());
        if !service.open.done() {
            broken_promise(
                "completion-all",
                format_args!("a completion for all was used up"),
            );
        }
        if service.asked.try_wait() {
            broken_promise(
                "completion-counts",
                format_args!("all requests were served, but there is a completion too many"),
            );
        }
        service.asked.destroy();
        service.open.destroy();
    },
    teardown: free_data::<Service>,
};

fn ask(service: &Service, place: usize, wait_until_open: fn(&Completion)) {
    wait_until_open(&service.open);
    for round in 0..curlwp().kernel().config().repeat {
        let new = Request {
            served: Completion::new("served", Ipl::None),
            answer: Plain::new(round),
        };
        let Some(request) = kmem_alloc("request", new) else {
            return;
        };
        machine::label(request, format_args!("request{place}"));
        for served in 1..=TIMES {
            service.requests[place].store(Some(request), Release);
            service.asked.complete();
            request.served.wait();
            let answer = request.answer.get();
            if answer != round + served {
                broken_promise(
                    "completion-served",
                    format_args!(
                        "{} continued before it was served: the answer is {answer}, not {}",
                        curlwp().name(),
                        round + served
                    ),
                );
            }
            // The server has completed it for all: it must be as new.
            request.served.reinit();
        }
        request.served.destroy();
        // SAFETY: (1) it came from `kmem_alloc`; (2) the server has taken it and completed it.
        unsafe { kmem_free(request) };
    }
}

fn serve(service: Arg) {
    let service: &Service = shared(service);
    service.open.complete_all();
    for _ in 0..2 * TIMES * curlwp().kernel().config().repeat {
        service.asked.wait();
        let mut taken = service.requests.iter().filter_map(|place| {
            // Checked first without an exchange: most places are empty.
            place.load(Acquire)?;
            place.swap(None, AcqRel)
        });
        let Some(request) = taken.next() else {
            broken_promise(
                "completion-counts",
                format_args!("a wait returned without a completion"),
            );
        };
        request.answer.set(request.answer.get() + 1);
        request.served.complete_all();
    }
}
