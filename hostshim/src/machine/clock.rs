//! Vector clocks, and epochs: one component of a clock, and its CPU.

use std::borrow::Cow;

use kmod::config::Config;

/// One component per CPU.
pub(crate) type Clock = [u32; Config::MAXCPUS];

/// The component-wise maximum of two clocks.
#[inline]
pub(crate) fn join(a: &Clock, b: &Clock) -> Clock {
    let mut joined = *a;
    for (mine, theirs) in joined.iter_mut().zip(b) {
        *mine = (*mine).max(*theirs);
    }
    joined
}

/// A moment of one CPU: its component, and its number in the low four bits. 0 is no moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Epoch(pub(crate) u32);

impl Epoch {
    /// The moment at which nothing has happened yet.
    pub(crate) const NONE: Epoch = Epoch::never(0);
    /// The bits for the number of the CPU.
    pub(crate) const CPU: u32 = 15;

    /// The moment `time` of `cpu`.
    #[inline]
    pub(crate) fn new(cpu: usize, time: u32) -> Epoch {
        Epoch(time << 4 | cpu as u32)
    }

    /// The moment of `cpu` that every CPU knows: it has done nothing yet.
    #[inline]
    pub(crate) const fn never(cpu: usize) -> Epoch {
        Epoch(cpu as u32)
    }

    /// The CPU.
    #[inline]
    pub(crate) fn cpu(self) -> usize {
        (self.0 & Self::CPU) as usize
    }

    /// The component.
    #[inline]
    pub(crate) const fn time(self) -> u32 {
        self.0 >> 4
    }

    /// Whether everything that `clock` knows of includes this moment. True of every [`Epoch::never`].
    #[inline]
    pub(crate) fn before(self, clock: &Clock) -> bool {
        self.time() <= clock[self.cpu()]
    }
}
const _: () = assert!(Config::MAXCPUS == 16, "an epoch has four bits for the CPU");

/// The clocks of the CPUs, and those attached to synchronizing addresses and to shared reads.
pub(crate) struct Clocks {
    cpus: [Clock; Config::MAXCPUS],
    epochs: [Epoch; Config::MAXCPUS],
    /// How often each CPU has learned something of others. With its number in the low four bits.
    lessons: [u32; Config::MAXCPUS],
    pool: Vec<Pooled>,
    /// What fences of each CPU still have to pass on.
    fences: Fences,
}

/// What fences order: the part of C11's happens-before that no ordering of an access makes.
struct Fences {
    /// The CPUs that have made a release fence: the clocks of [`Fences::released`] that count.
    releasing: u32,
    /// What each CPU knew at its last release fence. Its relaxed stores pass that on.
    released: [Clock; Config::MAXCPUS],
    /// Whether it is recorded what relaxed loads see. Only programs with acquire fences pay for that.
    watching: bool,
    /// Whether this run made an acquire fence although that was not recorded.
    missed: bool,
    /// The CPUs whose relaxed loads have seen something released: the clocks of [`Fences::seen`] that count.
    seeing: u32,
    /// What relaxed loads of each CPU have seen released. Its next acquire fence learns that.
    seen: [Clock; Config::MAXCPUS],
    /// The CPUs whose writes depend on loads: the clocks of [`Fences::controlled`] that count.
    controlling: u32,
    /// What was released to loads on which all further writes of each CPU depend.
    controlled: [Clock; Config::MAXCPUS],
}

/// A clock of the pool.
#[derive(Clone, Copy)]
struct Pooled {
    clock: Clock,
    /// A moment with this property: a CPU that knows it knows the whole clock. Or [`UNKNOWN`].
    seal: Epoch,
    /// The lesson of the CPU that it was copied from: as long as that has learned no other, only its own component is
    /// behind. Or [`NOBODY`].
    copied: u32,
}

impl Pooled {
    fn new(clock: Clock) -> Pooled {
        Pooled {
            clock,
            seal: UNKNOWN,
            copied: NOBODY,
        }
    }
}

/// A moment that no CPU ever knows.
const UNKNOWN: Epoch = Epoch(u32::MAX);
/// No lesson of any CPU: they are fewer than the steps of a run.
const NOBODY: u32 = u32::MAX;

impl Clocks {
    /// The clocks at the beginning of a run: no CPU knows anything of another.
    pub(crate) fn new() -> Clocks {
        let mut clocks = Clocks {
            cpus: [[0; Config::MAXCPUS]; Config::MAXCPUS],
            epochs: [Epoch::NONE; Config::MAXCPUS],
            lessons: [0; Config::MAXCPUS],
            pool: Vec::with_capacity(1024),
            fences: Fences {
                releasing: 0,
                released: [[0; Config::MAXCPUS]; Config::MAXCPUS],
                watching: false,
                missed: false,
                seeing: 0,
                seen: [[0; Config::MAXCPUS]; Config::MAXCPUS],
                controlling: 0,
                controlled: [[0; Config::MAXCPUS]; Config::MAXCPUS],
            },
        };
        clocks.reset();
        clocks
    }

    /// Back to the beginning of a run.
    pub(crate) fn reset(&mut self) {
        self.pool.clear();
        (self.fences.releasing, self.fences.seeing) = (0, 0);
        self.fences.controlling = 0;
        self.fences.missed = false;
        // So that the first clock in the pool does not have the number 0.
        self.put([0; _]);
        for cpu in 0..Config::MAXCPUS {
            self.cpus[cpu] = [0; Config::MAXCPUS];
            self.cpus[cpu][cpu] = 1;
            self.epochs[cpu] = Epoch::new(cpu, 1);
            self.lessons[cpu] = cpu as u32;
        }
    }

    /// What `cpu` knows.
    #[inline]
    pub(crate) fn of(&self, cpu: usize) -> &Clock {
        &self.cpus[cpu % Config::MAXCPUS]
    }

    /// The present moment of `cpu`.
    #[inline]
    pub(crate) fn now(&self, cpu: usize) -> Epoch {
        self.epochs[cpu % Config::MAXCPUS]
    }

    /// Separates everything that `cpu` did so far from what it does next.
    #[inline]
    fn advance(&mut self, cpu: usize) {
        self.cpus[cpu][cpu] += 1;
        self.epochs[cpu].0 += 16;
    }

    /// A clock of the pool.
    #[inline]
    pub(crate) fn pooled(&self, index: u32) -> &Clock {
        &self.pool[index as usize].clock
    }

    /// A clock of the pool, to be changed.
    #[inline]
    pub(crate) fn pooled_mut(&mut self, index: u32) -> &mut Clock {
        &mut self.pool[index as usize].clock
    }

    /// Adds a clock to the pool for the rest of the run. Returns its number, which is never 0.
    pub(crate) fn put(&mut self, clock: Clock) -> u32 {
        self.pool.push(Pooled::new(clock));
        (self.pool.len() - 1) as u32
    }

    /// The pooled clock is this from now on.
    pub(crate) fn set(&mut self, index: u32, clock: Clock) {
        self.pool[index as usize] = Pooled::new(clock);
    }

    /// Whether `cpu` is certain to know everything that the pooled clock knows.
    #[inline]
    pub(crate) fn knows(&self, cpu: usize, index: u32) -> bool {
        self.pool[index as usize].seal.before(self.of(cpu))
    }

    /// `cpu` learns everything that the pooled clock knows.
    #[inline]
    pub(crate) fn acquire(&mut self, cpu: usize, index: u32) {
        if !self.knows(cpu, index) {
            self.learn(cpu, index);
        }
    }

    #[inline(never)]
    fn learn(&mut self, cpu: usize, index: u32) {
        self.cpus[cpu] = join(&self.cpus[cpu], &self.pool[index as usize].clock);
        self.lessons[cpu] += 16;
    }

    /// Sets the pooled clock to what `cpu` knows; `keep` adds to the old value. Advances the time of `cpu`.
    #[inline]
    pub(crate) fn release(&mut self, cpu: usize, index: u32, keep: bool) {
        let (known, lesson) = (&self.cpus[cpu], self.lessons[cpu]);
        let pooled = &mut self.pool[index as usize];
        if keep && !pooled.seal.before(known) {
            pooled.clock = join(&pooled.clock, known);
            (pooled.seal, pooled.copied) = (UNKNOWN, NOBODY);
        } else {
            if pooled.copied == lesson {
                pooled.clock[cpu] = known[cpu];
            } else {
                pooled.clock = *known;
                pooled.copied = lesson;
            }
            pooled.seal = self.epochs[cpu];
        }
        self.advance(cpu);
    }

    /// `cpu` has loaded, relaxed, a word with that pooled clock: an acquire fence may follow.
    #[inline]
    pub(crate) fn see(&mut self, cpu: usize, index: u32) {
        if self.fences.watching && !self.knows(cpu, index) {
            self.remember(cpu, index);
        }
    }

    /// `cpu` has loaded a word with that pooled clock, and its writes from now on depend on that.
    pub(crate) fn control(&mut self, cpu: usize, index: u32) {
        let theirs = &self.pool[index as usize].clock;
        let controlled = &mut self.fences.controlled[cpu];
        *controlled = match self.fences.controlling & 1 << cpu {
            0 => *theirs,
            _ => join(controlled, theirs),
        };
        self.fences.controlling |= 1 << cpu;
    }

    /// What is certain to be before a write that `cpu` makes now.
    pub(crate) fn before_writes(&self, cpu: usize) -> Cow<'_, Clock> {
        match self.fences.controlling & 1 << cpu {
            0 => Cow::Borrowed(self.of(cpu)),
            _ => Cow::Owned(join(self.of(cpu), &self.fences.controlled[cpu])),
        }
    }

    /// Whether it is recorded what relaxed loads see.
    #[inline]
    pub(crate) fn watches(&self) -> bool {
        self.fences.watching
    }

    /// From now on it is recorded what relaxed loads see, or not.
    pub(crate) fn watch(&mut self, watching: bool) {
        self.fences.watching = watching;
    }

    /// Whether this run must be repeated with that recorded: it made an acquire fence.
    pub(crate) fn missed_fence(&self) -> bool {
        self.fences.missed
    }

    #[cold]
    #[inline(never)]
    fn remember(&mut self, cpu: usize, index: u32) {
        let theirs = &self.pool[index as usize].clock;
        let seen = &mut self.fences.seen[cpu];
        *seen = match self.fences.seeing & 1 << cpu {
            0 => *theirs,
            _ => join(seen, theirs),
        };
        self.fences.seeing |= 1 << cpu;
    }

    /// An acquire fence: `cpu` learns everything that its relaxed loads have seen released.
    pub(crate) fn fence_acquire(&mut self, cpu: usize) {
        if self.fences.watching {
            self.learn_seen(cpu);
        } else {
            // More than it may learn: the run is repeated, and until then goes on as far as it would.
            self.fences.missed = true;
            self.acquire_all(cpu);
        }
    }

    #[inline]
    fn learn_seen(&mut self, cpu: usize) {
        if self.fences.seeing & 1 << cpu != 0 {
            self.fences.seeing &= !(1 << cpu);
            self.cpus[cpu] = join(&self.cpus[cpu], &self.fences.seen[cpu]);
            self.lessons[cpu] += 16;
        }
    }

    /// A release fence: relaxed stores of `cpu` pass on what it knows now.
    pub(crate) fn fence_release(&mut self, cpu: usize) {
        self.fences.released[cpu] = self.cpus[cpu];
        self.fences.releasing |= 1 << cpu;
        self.advance(cpu);
    }

    /// Another LWP goes on, on `cpu`. It may have made its fences on another CPU; and a context switch is a full barrier by itself.
    #[inline]
    pub(crate) fn switch(&mut self, cpu: usize) {
        self.learn_seen(cpu);
        if self.fences.releasing != 0 {
            self.fence_release(cpu);
        }
    }

    /// Whether relaxed stores of `cpu` pass anything on.
    #[inline]
    pub(crate) fn is_releasing(&self, cpu: usize) -> bool {
        self.fences.releasing & 1 << cpu != 0
    }

    /// The moment of the last release fence of `cpu`, which has made one.
    pub(crate) fn fenced(&self, cpu: usize) -> Epoch {
        Epoch::new(cpu, self.fences.released[cpu][cpu])
    }

    /// The pooled clock becomes what `cpu` knew at its last release fence; `keep` adds to what was there.
    pub(crate) fn release_fenced(&mut self, cpu: usize, index: u32, keep: bool) {
        let fenced = &self.fences.released[cpu];
        let pooled = &mut self.pool[index as usize];
        pooled.clock = match keep {
            true => join(&pooled.clock, fenced),
            false => *fenced,
        };
        (pooled.seal, pooled.copied) = (UNKNOWN, NOBODY);
    }

    /// `cpu` learns everything that any CPU knows: the machine is at rest. No CPU knows more of another than that one
    /// itself.
    pub(crate) fn acquire_all(&mut self, cpu: usize) {
        for other in 0..Config::MAXCPUS {
            self.cpus[cpu][other] = self.cpus[other][other];
        }
        self.lessons[cpu] += 16;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_passes_on_what_was_learned_since_the_last_one() {
        let mut clocks = Clocks::new();
        let (of_zero, of_one) = (clocks.put([0; _]), clocks.put([0; _]));
        clocks.release(0, of_zero, false);
        // Nothing learned: only the own component has moved.
        clocks.release(0, of_zero, false);
        assert_eq!(clocks.pooled(of_zero)[..2], [2, 0]);
        let before = clocks.now(1);
        clocks.release(1, of_one, false);
        clocks.acquire(0, of_one);
        clocks.release(0, of_zero, false);
        clocks.acquire(2, of_zero);
        assert!(before.before(clocks.of(2)));
        assert_eq!(clocks.pooled(of_zero)[..2], [3, 1]);
        // Another CPU's release stands there meanwhile.
        clocks.release(1, of_zero, false);
        clocks.release(0, of_zero, false);
        assert_eq!(clocks.pooled(of_zero)[..2], [4, 1]);
    }

    #[test]
    fn who_learns_everything_passes_it_on() {
        let mut clocks = Clocks::new();
        let clock = clocks.put([0; _]);
        clocks.release(0, clock, false);
        clocks.acquire_all(0);
        clocks.release(0, clock, false);
        assert_eq!(clocks.pooled(clock)[..3], [2, 1, 1]);
    }

    #[test]
    fn fences_go_with_an_lwp_to_another_cpu() {
        let mut clocks = Clocks::new();
        clocks.watch(true);
        let (word, lock) = (clocks.put([0; _]), clocks.put([0; _]));
        // On CPU 0 somebody sees what CPU 1 has released, and makes a release fence; then CPU 2 takes him over.
        let before = clocks.now(1);
        clocks.release(1, word, false);
        clocks.see(0, word);
        assert!(!before.before(clocks.of(0)));
        let own = clocks.now(0);
        clocks.fence_release(0);
        clocks.switch(0);
        clocks.release(0, lock, false);
        clocks.acquire(2, lock);
        clocks.switch(2);
        assert!(before.before(clocks.of(2)), "what he saw is known there");
        let stored = clocks.put([0; _]);
        assert!(clocks.is_releasing(2));
        clocks.release_fenced(2, stored, false);
        clocks.acquire(3, stored);
        assert!(
            own.before(clocks.of(3)),
            "and what his fence covers is passed on"
        );
    }
}
