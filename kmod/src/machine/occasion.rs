//! What a campaign counts: whether it happened in any of its runs.

/// Something that happened. If it happened in no run, a campaign that found nothing says so.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Occasion {
    /// The scenario begins to set up: what is labelled from now on is its own.
    SetUp,
    /// The scenario has set up.
    SetUpOver,
    /// The running LWP is an actor, and begins.
    ActorBegins,
    /// The running LWP is an actor, and has finished.
    ActorEnds,
    /// The running LWP goes to sleep on the condition variable at this address.
    Slept(usize),
    /// The running LWP found the lock at this address held, and waits for it.
    Contended(usize),
    /// The handler of the object at this address begins. True: it interrupts an LWP that is not idle.
    HandlerBegins(usize, bool),
    /// That handler has ended.
    HandlerEnds(usize),
}

/// What a structure is, if it is an object that an [`Occasion`] is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ObjectKind {
    /// A condition variable.
    Condvar,
    /// A mutex or an rwlock.
    Lock,
    /// An object with a handler that runs by itself: a callout, a softint, a device.
    Handler,
    /// A part of the kernel, with everything in it.
    Kernel,
    /// Anything else.
    Other,
}
