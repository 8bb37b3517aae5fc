//! heapless: queues without a heap, between a program and an interrupt handler.

use heapless::mpmc;
use heapless::spsc::Queue;
use rumplab::check;

/// An spsc queue between a thread and an interrupt on its CPU: each word once, in order.
#[test]
fn spsc_from_an_interrupt() {
    from_an_interrupt(0);
}

/// Likewise from a CPU to another one.
#[test]
fn spsc_from_another_cpu() {
    from_an_interrupt(1);
}

fn from_an_interrupt(cpu: usize) {
    check(move |program| {
        // For the whole run: both halves borrow it.
        let queue: &'static mut Queue<u32, 3> = Box::leak(Box::new(Queue::new()));
        let (mut producer, mut consumer) = queue.split();
        let mut next = 0;
        let device = program.interrupt_on(cpu, rumplab::kern::spl::Ipl::Vm, "device", move || {
            while next < 4 && producer.enqueue(next).is_ok() {
                next += 1;
            }
        });
        program.actor_on(0, "driver", move || {
            for expected in 0..4 {
                let word = loop {
                    match consumer.dequeue() {
                        Some(word) => break word,
                        None => device.raise(),
                    }
                };
                assert_eq!(word, expected);
            }
        });
    });
}

/// The queue for several of both, between threads: each word once.
#[test]
fn mpmc_between_threads() {
    check(|program| {
        let queue = program.share(queue_of_two());
        let taken = program.share(spin::Mutex::new(Vec::new()));
        for (name, word) in [("one", 1), ("other", 2)] {
            program.actor(name, move || assert!(queue.enqueue(word).is_ok()));
        }
        program.actor("consumer", move || taken.lock().extend(queue.dequeue()));
        program.at_end(move || {
            let mut taken = taken.lock();
            taken.extend(std::iter::from_fn(|| queue.dequeue()));
            taken.sort();
            assert_eq!(*taken, [1, 2]);
        });
    });
}

/// The same with an interrupt as producer and consumer. In the middle of a thread's operation the queue may look empty to it although
/// it has just put something in, as is documented; what was put in comes out once.
#[test]
fn mpmc_from_an_interrupt() {
    check(|program| {
        let queue = program.share(queue_of_two());
        let taken = program.share(spin::Mutex::new(Vec::new()));
        let device = program.interrupt("device", move || {
            assert!(queue.enqueue(1).is_ok());
            taken.lock().extend(queue.dequeue());
        });
        program.actor_on(0, "driver", move || {
            device.raise();
            assert!(queue.enqueue(2).is_ok());
        });
        program.at_end(move || {
            let mut taken = taken.lock();
            taken.extend(std::iter::from_fn(|| queue.dequeue()));
            taken.sort();
            assert_eq!(*taken, [1, 2]);
        });
    });
}

/// It may look full or empty while an operation is under way: no test here relies on the opposite.
#[expect(deprecated, reason = "it is not lock-free, and says so")]
fn queue_of_two() -> mpmc::Queue<u32, 2> {
    mpmc::Queue::new()
}
