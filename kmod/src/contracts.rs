//! The index of contracts: what each one says, and what to do when it is broken.
//!
//! # Overview
//!
//! A contract is a rule that the kernel checks while it runs ([`contract!`](crate::contract!)). Its message says what broke it this time. This
//! index has what is true every time: the rule, the usual cause with its remedy, and where to read more. `rumplab explain mutex-owned`
//! prints an entry, and `docs/contracts.md` has all of them.
//!
//! A test compares the index with the contracts that the source checks. To add a contract, add an entry here and a
//! breach in `kmod/src/scenario/breach`.
//!
//! # Examples
//!
//! ```
//! let contract = kmod::contracts::find("mutex-owned").expect("an entry of the index");
//! assert_eq!(contract.page, "mutex(9)");
//! println!("{} {}", contract.rule, contract.advice);
//! ```

/// An entry of the index.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Contract {
    /// Its name, as reports have it.
    pub name: &'static str,
    /// The manual page of NetBSD that describes the primitive, or the module of this crate if there is none.
    pub page: &'static str,
    /// The rule.
    pub rule: &'static str,
    /// The usual cause of a failure, and what to do about it.
    pub advice: &'static str,
}

/// The contract of this name.
pub fn find(name: &str) -> Option<&'static Contract> {
    ALL.iter().find(|contract| contract.name == name)
}

macro_rules! index {
    ($($page:literal { $($name:literal: $rule:literal $advice:literal)* })*) => {
        /// Every contract, by manual page.
        pub static ALL: &[Contract] = &[$($(Contract {
            name: $name,
            page: $page,
            rule: $rule,
            advice: $advice,
        },)*)*];
    };
}

index! {
"mutex(9)" {
    "mutex-context":
        "An adaptive mutex is not entered in a hard interrupt."
        "An adaptive mutex may sleep. Use a spin mutex at the level of the interrupt, or move the work to a softint or a thread."
    "mutex-destroy":
        "A mutex is destroyed only when it has no owner and no waiters."
        "Exit it first, and make sure that no other thread can still reach it."
    "mutex-owned":
        "Only the owner of a mutex exits it."
        "Look for a path that exits twice, that exits without having entered, or on which another thread exits."
    "mutex-read-section":
        "An adaptive mutex is not entered in a read section of pserialize(9)."
        "A read section must not sleep. End the section first and keep the object alive with a psref(9) or a localcount(9)."
    "mutex-recursion":
        "A mutex is not entered by the thread or CPU that already owns it."
        "Split the function into one that enters the mutex and one that expects it held, or exit before the call."
    "mutex-spin-held":
        "An adaptive mutex is not entered while a spin mutex is held."
        "An adaptive mutex may sleep, and a holder of a spin mutex must not. Enter the adaptive mutex first, or exit the spin mutex."
    "preempt-off":
        "The owner of a lock is examined only with preemption disabled."
        "The owner could exit, and its LWP be reused, while it is examined. Call kpreempt_disable around it."
}
"rwlock(9)" {
    "rwlock-context":
        "An rwlock is not entered or tried in a hard interrupt."
        "An rwlock may sleep. Move the work to a softint or a thread."
    "rwlock-destroy":
        "An rwlock is destroyed only when no thread holds it or waits for it."
        "Exit it first, and make sure that no other thread can still reach it."
    "rwlock-handoff":
        "The last holder passes an rwlock to the waiters that it wakes, and there are such waiters."
        "The lock's own bookkeeping is inconsistent. Suspect a change to rwlock or turnstile, or a wake-up from elsewhere."
    "rwlock-held":
        "Only a thread that holds an rwlock exits it."
        "Look for a path that exits twice, or that exits without having entered."
    "rwlock-owned":
        "Only its writer exits an rwlock that is held for writing."
        "Look for a path on which another thread exits, or that exits without having entered."
    "rwlock-read-held":
        "Only a reader upgrades an rwlock."
        "Enter it with RW_READER before rw_tryupgrade; a writer has nothing to upgrade."
    "rwlock-read-section":
        "An rwlock is not entered in a read section of pserialize(9)."
        "A read section must not sleep. End the section first and keep the object alive with a psref(9) or a localcount(9)."
    "rwlock-recursion":
        "An rwlock is not entered by a thread that already holds it, not even twice for reading."
        "A writer that arrives between the two reads makes both wait for ever. Pass the held lock down instead of entering it again."
    "rwlock-spin-held":
        "An rwlock is not entered while a spin mutex is held."
        "An rwlock may sleep, and a holder of a spin mutex must not. Enter the rwlock first, or exit the spin mutex."
    "rwlock-write-held":
        "Only its writer downgrades an rwlock."
        "Enter it with RW_WRITER, or upgrade it successfully, before rw_downgrade."
}
"kmod::kern::turnstile" {
    "turnstile-count":
        "A turnstile wakes at most as many LWPs as wait on it."
        "The lock that uses the turnstile counted its waiters wrongly. Suspect a change to mutex or rwlock."
    "turnstile-given":
        "An LWP that wakes up gets a turnstile only if it has none."
        "Turnstiles were not exchanged as LWPs blocked and woke. Suspect a change to turnstile_block or turnstile_wakeup."
}
"condvar(9)" {
    "cv-context":
        "A thread does not wait on a condition variable in a hard interrupt."
        "Move the wait to a thread. An interrupt may only signal."
    "cv-interlock":
        "A thread that waits on a condition variable owns the interlock."
        "Enter the mutex, test the condition, then wait, all without exiting it in between; otherwise a wake-up can be lost."
    "cv-softint":
        "A softint does not wait on a condition variable."
        "A softint may block only on locks. Move the wait to a thread, for example with workqueue(9)."
    "cv-waiters":
        "A condition variable is destroyed only when no thread waits on it."
        "Wake the waiters, and wait until they have gone, before cv_destroy."
    "kpause-ticks":
        "kpause is called for at least one tick."
        "0 ticks would mean no timeout, and nothing else ends the pause. Use 1 tick for the shortest one."
}
"kmod::kern::sleepq" {
    "sleepable":
        "A function that may sleep is called only where sleeping is allowed."
        "Sleeping is not allowed in a hard interrupt, in a softint, on an idle LWP, in a read section, or with a spin mutex held. Call it before or after that, or move the work to a thread."
    "sleep-state":
        "An LWP goes to sleep only if it runs and is on no sleep queue, and is woken only if it sleeps."
        "Look for a second sleep before the first is over, or for a wake-up of an LWP that was already awake."
    "sleep-timeout":
        "A sleep is ended by its own timeout, and by no earlier one."
        "An LWP that wakes up halts its timeout before it goes on. Suspect a change to sleepq_block, or a callout_stop in place of callout_halt."
    "lwp-locked":
        "The state of an LWP changes only while the right lock of that LWP is held."
        "Call lwp_lock first. For a run queue, the LWP's lock must be the one of that CPU."
    "setrunnable-stat":
        "setrunnable is called for an LWP that is new and not yet running."
        "An LWP that sleeps is woken with sleepq_wake, and one that runs needs no call."
    "queue-order":
        "An LWP is put on a sleep queue or a run queue behind all of at least its priority, and before those of a lower one."
        "Who came first is to run first, and who is more important before all others. Suspect a change to the insertion in sleepq or sched."
}
"mi_switch(9)" {
    "switch-curlwp":
        "The LWP that continues after a context switch is the one that its CPU has as ci_curlwp."
        "The switch updated the wrong CPU. Suspect a change to mi_switch or to a softint's dispatch."
    "switch-first":
        "A CPU that switches runs the first LWP of the highest priority on its run queue."
        "The choice is wrong, or the queue is not in order. Suspect a change to sched_nextlwp or sched_enqueue."
    "switch-locks":
        "mi_switch is called with the spc_mutex of the CPU held."
        "Call sched_lock, or lock the LWP with the run queue's lock, before mi_switch."
    "switch-preempt":
        "mi_switch is called with preemption disabled."
        "Keep the level raised, or preemption disabled, until the switch is done."
    "switch-spin":
        "An LWP holds no spin mutex of its own when it switches away."
        "Exit every spin mutex before anything that may sleep or yield."
    "psz-switch":
        "An LWP does not switch away in a read section of pserialize(9)."
        "End the read section before anything that may sleep or yield."
}
"kpreempt(9)" {
    "preempt-balance":
        "Each kpreempt_enable has a kpreempt_disable before it."
        "Look for a path that enables preemption twice."
    "preempt-late":
        "An LWP that may be preempted again does not go on while a preemption of it is pending."
        "What was put off happens in kpreempt_enable, or when the level is lowered, before that returns. Suspect a change to these, or a request that only half happened: see need_resched."
}
"spl(9)" {
    "spl-raises":
        "splraise raises to a level above none."
        "At level none the LWP could be moved to another CPU before splx. Name the level that you need."
    "splx-lowers":
        "splx restores a level that is not above the current one."
        "Pass to splx what the matching splraise returned, in reverse order."
    "intr-spl":
        "An interrupt handler returns at the level at which it was called."
        "Add the missing splx to the handler, or remove the one too many."
    "intr-spin":
        "An interrupt handler returns without spin mutexes that it has entered."
        "Exit each of them on every path out of the handler."
    "intr-nopreempt":
        "An interrupt handler returns with as many kpreempt_disable in effect as when it was called."
        "Add the missing kpreempt_enable to the handler."
}
"curlwp_bind(9)" {
    "bind-balance":
        "curlwp_bindx is called by an LWP that is bound."
        "Pass it what the matching curlwp_bind returned, once."
}
"ipi(9)" {
    "ipi-preempt":
        "An inter-processor interrupt is sent with preemption disabled."
        "Otherwise the sender may migrate to the target CPU before it sends. Call kpreempt_disable around the choice and ipi_trigger."
    "ipi-registered":
        "An inter-processor interrupt is sent only with a registered number."
        "Use the number that ipi_register returned, and do not use it after ipi_unregister."
    "ipi-self":
        "A CPU does not send an inter-processor interrupt to itself."
        "Skip the current CPU and call the function directly."
    "ipi-handled":
        "The handler of the inter-processor interrupt looks at everything that the interrupt tells of."
        "Several kinds come as one interrupt. Suspect a change to the handler: a kind that it looks at only if another one is absent."
}
"kmod::kern::intr" {
    "intr-level":
        "A device's interrupt is established at a level of hard interrupts."
        "Use vm, sched or high; for a soft level use softint(9)."
    "intr-established":
        "A device's interrupt is raised and disestablished only while it is established."
        "Stop every source of the interrupt before intr_disestablish, and call that once."
}
"kmod::kern::idle" {
    "halt-spl":
        "A CPU halts only at level none."
        "A masked interrupt would end the halt and stay pending, and the loop would spin. Lower the level first."
    "halt-preempt":
        "A CPU halts with preemption disabled."
        "Otherwise the thread may migrate after its test and halt another CPU. Call kpreempt_disable around the test and the halt."
}
"softint(9)" {
    "softint-level":
        "A softint is established at a soft level."
        "Use softclock, softbio, softnet or softserial."
    "softint-established":
        "A softint is scheduled and disestablished only while it is established, and has run before it is disestablished."
        "Wait until it is no longer scheduled before softint_disestablish, and call that once."
    "softint-preempt":
        "A softint is scheduled with preemption disabled."
        "A softint belongs to a CPU, and a preempted caller may migrate. Call kpreempt_disable around softint_schedule."
    "softint-dispatch":
        "A softint level is dispatched only if it is active, on an LWP that is idle."
        "The dispatcher's state is inconsistent. Suspect a change to softint_trigger or softint_dispatch."
    "softint-rank":
        "Of the soft interrupts that are pending on a CPU, the one of the highest level is dispatched first."
        "Suspect a change to the order in which spl runs what is pending."
    "softint-execute":
        "The LWP of a softint runs on its own CPU."
        "It was dispatched on another CPU. Suspect a change to softint_dispatch."
    "softint-bound":
        "A softint's handler returns with its LWP bound."
        "A softint is always bound. Remove a curlwp_bindx without its curlwp_bind."
    "softint-locks":
        "A softint's handler returns without adaptive locks."
        "Exit each of them on every path out of the handler."
    "softint-nopreempt":
        "A softint's handler returns with preemption as it was."
        "Add the missing kpreempt_enable."
    "softint-psref":
        "A softint's handler returns without passive references."
        "Release each of them on every path out of the handler."
    "softint-read-section":
        "A softint's handler returns outside any read section of pserialize(9)."
        "Add the missing pserialize_read_exit."
    "softint-spin":
        "A softint's handler returns without spin mutexes."
        "Exit each of them on every path out of the handler."
    "softint-spl":
        "A softint's handler returns at its own level."
        "Add the missing splx."
}
"callout(9)" {
    "callout-init":
        "A callout is used only between callout_init and callout_destroy."
        "Initialize it before it becomes reachable; stop every user before it is destroyed."
    "callout-func":
        "A callout is scheduled only after it has a function."
        "Call callout_setfunc first, or use callout_reset."
    "callout-ticks":
        "A callout is scheduled at most half the range of the clock ahead."
        "Times are compared as signed differences. Schedule it in several steps, or fix the computation of the ticks."
    "callout-destroy":
        "A callout is destroyed only if it is neither pending nor running."
        "Call callout_halt first, which also waits for a running handler; callout_stop does not wait."
    "callout-freed":
        "Memory is freed only if no callout in it is pending."
        "Halt and destroy the callout before its memory is freed; softclock would otherwise use freed memory."
    "callout-flags":
        "The state of a queued callout is not overwritten."
        "It was initialized, or its memory reused, while it was pending. Halt it first."
    "callout-early":
        "A callout does not run before the tick at which it is due."
        "Suspect a change to the comparison in softclock, or to the wheel."
    "callout-late":
        "A callout that is due runs before softclock says that nothing is due any more on that CPU."
        "It was in a bucket that the wheel reaches too late. Suspect a change to where the wheel puts a callout, or to what softclock skips."
    "callout-context":
        "callout_halt is not called in a hard interrupt."
        "It waits for a running handler. Use callout_stop, or move the call to a thread."
    "callout-interlock":
        "The interlock given to callout_halt is owned by the caller."
        "Enter the mutex first, or pass none if the handler takes no lock of yours."
}
"xcall(9)" {
    "xcall-early":
        "When xc_wait returns, the function has returned on every CPU."
        "The counters of cross calls let a caller go too early. Suspect a change to xcall; callers cannot cause it."
    "xcall-context":
        "A cross call is made and waited for in a thread, and its function does not run in a hard interrupt."
        "It sleeps until all CPUs have run the function. Move the call to a thread."
    "xcall-level":
        "A high-priority cross call is made at a soft level."
        "Pass XC_HIGHPRI_IPL one of softclock, softbio, softnet or softserial."
    "xcall-func":
        "A CPU is asked for a cross call only when there is one."
        "The interrupt came before any request. Suspect a change to xcall, or a stray ipi."
    "xcall-count":
        "The functions that have returned never outnumber those that were requested, and are fewer while a request is open."
        "The counters are inconsistent. Suspect a change to xcall, or a stray ipi."
    "xcall-cpu":
        "The cross-call thread of a CPU stays on that CPU."
        "The thread was migrated although it is bound. Suspect a change to the scheduler."
    "xcall-bound":
        "The function of a cross call returns with its thread bound."
        "Remove a curlwp_bindx without its curlwp_bind."
    "xcall-locks":
        "The function of a low-priority cross call returns without adaptive locks."
        "Exit each of them on every path out of the function."
    "xcall-nopreempt":
        "The function of a low-priority cross call returns with preemption as it was."
        "Add the missing kpreempt_enable."
}
"workqueue(9)" {
    "workqueue-create-ipl":
        "A workqueue is created for a level of at most sched."
        "Above it, enqueueing cannot wake the worker."
    "workqueue-ipl":
        "Work is enqueued at most at the level for which the workqueue was created."
        "Create the workqueue for the highest level that enqueues to it."
    "workqueue-cpu":
        "Work is enqueued for a CPU only on a workqueue with one worker per CPU."
        "Create it with WQ_PERCPU, or pass no CPU."
    "workqueue-twice":
        "A work is enqueued again only after its function has been called."
        "Keep a flag that says whether it is enqueued, or use one work per request."
    "workqueue-dying":
        "No work is enqueued on a workqueue that is being destroyed."
        "Stop every source of work before workqueue_destroy."
    "workqueue-self-destroy":
        "A worker does not destroy its own workqueue."
        "It would wait for itself. Let another thread destroy it."
    "workqueue-generation":
        "A batch of work ends in the generation in which it began."
        "The worker's own bookkeeping is inconsistent. Suspect a change to workqueue."
}
"pcq(9)" {
    "pcq-size":
        "A producer/consumer queue has 1 to 65535 slots."
        "Fix the size passed to pcq_create."
    "pcq-consumers":
        "At most one consumer is in pcq_get at a time."
        "Let one thread or softint consume, or protect the consumers with a lock."
}
"sema(9)" {
    "sema-waiters":
        "A semaphore is destroyed only when no thread waits on it."
        "Wake the waiters, and wait until they have gone, before sema_destroy."
}
"kthread(9)" {
    "join-joinable":
        "kthread_join is called once, for a thread that was created joinable."
        "Create it with KTHREAD_MUSTJOIN, and let one thread join it."
    "exit-locks":
        "A thread exits without adaptive locks."
        "Exit each of them on every path out of the thread's function."
    "exit-nopreempt":
        "A thread exits with preemption enabled."
        "Add the missing kpreempt_enable."
    "exit-psref":
        "A thread exits without passive references."
        "Release each of them on every path out of the thread's function."
    "exit-spl":
        "A thread exits at level none, with no spin mutex held and no read section open."
        "Add the missing splx, mutex_spin_exit or pserialize_read_exit."
    "exit-final":
        "A thread that has exited never runs again."
        "Something made an exited LWP runnable. Look for a pointer to it that outlived it."
}
"kmem(9)" {
    "kmem-context":
        "Memory is neither allocated nor freed in a hard interrupt."
        "Allocate beforehand, or move the work to a softint or a thread."
}
"percpu(9)" {
    "percpu-current":
        "The storage of the current CPU is accessed only by an LWP that stays on that CPU."
        "Use percpu_getref, which disables preemption until percpu_putref."
    "percpu-putref":
        "Each percpu_putref has a percpu_getref before it."
        "Look for a path that gives the reference back twice."
    "percpu-remote":
        "The storage of another CPU is accessed only inside percpu_traverse_enter and percpu_traverse_exit."
        "It may move when per-CPU storage grows. Use percpu_foreach, or a cross call."
    "percpu-range":
        "An offset of per-CPU storage lies inside the buffer of every CPU."
        "An offset was given out before all buffers had grown. Suspect a change to percpu or xcall."
    "percpu-swap-cpu":
        "The per-CPU buffer of a CPU is replaced on that CPU only."
        "Suspect a change to the way percpu_cpu_enlarge makes its cross call."
}
"pserialize(9)" {
    "psz-balance":
        "Each pserialize_read_exit has a pserialize_read_enter before it, on the same CPU, at softserial or above."
        "Look for a path that exits twice, or that lowers the level inside the section."
    "psz-context":
        "pserialize_perform is called in a thread."
        "It sleeps until all readers have finished. Move the call out of the interrupt or softint."
    "psz-owner":
        "At most one thread performs on a pserialize at a time, and none while it is destroyed."
        "Protect pserialize_perform with the mutex that serializes writers."
    "psz-read-context":
        "A read section does not begin in a hard interrupt."
        "pserialize_perform does not wait for hard interrupts. Move the lookup to a softint."
    "psz-read-level":
        "A read section begins at a level of at most softserial."
        "The section sets the level to softserial, and cannot lower it. Begin it before you raise the level."
}
"pslist(9)" {
    "pslist-insert":
        "An entry is inserted only if it is initialized and on no list."
        "After a removal, wait for readers, destroy the entry and initialize it before it is inserted again."
    "pslist-before":
        "The place before which, or after which, an entry is inserted is on a list."
        "Hold the writer's lock from the lookup of the place to the insertion."
    "pslist-linked":
        "Neighbours on a list point to each other."
        "The list head or an entry was moved or copied in memory, or the place has been removed."
    "pslist-remove":
        "An entry is removed only if it is on a list."
        "Hold the writer's lock, and let one thread remove it."
    "pslist-next":
        "A reader does not follow an entry that was destroyed."
        "Wait with pserialize_perform after the removal, before the entry is destroyed; keep the reader in its read section, or give it a reference."
    "pslist-destroy":
        "An entry is destroyed only if it is on no list."
        "Remove it, and wait for its readers, first."
    "pslist-wait":
        "An entry of a list that has readers at any time is destroyed only after a wait for them that began after its removal."
        "Call pserialize_perform between PSLIST_WRITER_REMOVE and the end of the entry. A wait before the removal does not count: a reader may find the entry after it."
    "pslist-empty":
        "A list is destroyed only if it is empty."
        "Remove every entry first."
}
"psref(9)" {
    "psref-class":
        "A reference is acquired and released in the class of its target, which has not been destroyed."
        "Pass the class with which the target was initialized. For a destroyed target, find out how the caller could still reach it."
    "psref-class-busy":
        "A class is destroyed only if no reference of it is held."
        "Destroy every target of the class first."
    "psref-class-ipl":
        "A class is created for a soft level."
        "Use softclock, softbio, softnet or softserial: the highest that acquires references."
    "psref-context":
        "References are used at most at the level of their class, and not in hard interrupts."
        "Create the class for a higher soft level, or move the work."
    "psref-unbound":
        "A passive reference is acquired by an LWP that stays on its CPU."
        "Call curlwp_bind before, and curlwp_bindx after the release."
    "psref-cpu":
        "A passive reference is released on the CPU where it was acquired."
        "The holder must stay bound until the release. If it was bound, suspect the scheduler."
    "psref-lwp":
        "A passive reference is released by the LWP that acquired it."
        "Use psref_copy in the other LWP, or a localcount(9)."
    "psref-target":
        "A psref is released or copied for the target that it refers to."
        "Look for a path that releases twice, or that mixes two references up."
    "psref-twice":
        "A psref holds at most one reference."
        "Use a second struct psref, or release the first."
    "psref-copy":
        "A psref is copied from one that holds a reference to another one."
        "Copy before the original is released."
    "psref-listed":
        "A held psref is on the list of its CPU, at an address that does not change."
        "Do not move or copy a struct psref in memory; use psref_copy."
    "psref-dropped":
        "A psref goes out of scope only after it was released."
        "Release it on every path, including errors."
    "psref-draining":
        "No reference is acquired to a target that is being destroyed."
        "Make the target unreachable, and wait with pserialize_perform, before psref_target_destroy."
    "psref-destroy-twice":
        "A target is destroyed once."
        "Let the thread that unlinks the target destroy it."
}
"localcount(9)" {
    "localcount-init":
        "A localcount is used only after localcount_init."
        "Initialize it before the object becomes reachable."
    "localcount-acquire":
        "No reference is acquired once draining has begun."
        "Make the object unreachable, and wait with pserialize_perform, before localcount_drain."
    "localcount-release":
        "No reference is released after draining has finished."
        "Look for a path that releases twice, or that overwrites the counts."
    "localcount-underflow":
        "A reference is released only if one is held."
        "Look for a path that releases twice."
    "localcount-overflow":
        "A localcount has at most 4294967295 references."
        "Look for a path that acquires and never releases."
    "localcount-negative":
        "A localcount that is drained has no negative count."
        "Counts changed without acquire and release: memory was overwritten, or an increment was lost to an interrupt."
    "localcount-ownable":
        "A reference is not released with the drain's interlock held."
        "The release may enter it. Exit the mutex first."
    "localcount-interlock":
        "localcount_drain is called with its interlock owned."
        "Enter the mutex that localcount_release is given."
    "localcount-drain":
        "A localcount is drained once."
        "Let the thread that unlinks the object drain it."
    "localcount-fini":
        "A localcount ends only after it was drained, without references."
        "Call localcount_drain before localcount_fini."
}
"kmod::net" {
    "net-memory":
        "A network stack has memory and softints when it is created."
        "Give the kernel more memory, or end an earlier stack first."
    "net-busy":
        "A network stack ends only when all sockets are closed."
        "Close every socket before net::fini."
    "socket-readers":
        "A socket is closed only when no thread receives from it."
        "Wake its readers and wait for them before soclose."
    "softnet-lock":
        "A function that may wait for a holder of softnet_lock is called without softnet_lock."
        "Exit softnet_lock around the call."
    "ifnet-lock":
        "An interface is changed with IFNET_LOCK held."
        "Enter the lock of that interface around the change."
    "if-detach-twice":
        "An interface is detached once."
        "Let the thread that takes it off the list detach it."
    "if-late":
        "An interface that is being detached is not brought up, and is given no address and no route."
        "Ask if_is_deactivated, under IFNET_LOCK, before any of these."
    "bpf-listed":
        "A walk over the taps of an interface continues only from a tap that is on the list."
        "Clear the mark of a tap before it leaves the list. Its pointer may lead to a tap that was freed since."
    "mbuf-dropped":
        "A packet is freed with the reason for its end, or passed on; it does not just go out of scope."
        "Call m.free(End::…) on every path, including errors."
    "pktq-level":
        "Packets are put on a packet queue at softnet."
        "Raise the level to softnet, or do it in a softint of that level."
    "pktq-dequeue":
        "Only a softint of softnet takes packets from a packet queue."
        "Establish the consumer as the queue's softint."
    "pktq-barrier":
        "A barrier of a packet queue begins with no markers left of an earlier one."
        "The queue's own bookkeeping is inconsistent. Suspect a change to pktqueue."
    "lltable-empty":
        "A link-level table is freed only when it is empty."
        "Purge it, and wait for its readers, first."
    "lltable-handlers":
        "A link-level table is freed only after the handlers of timers that were on their way to it have returned."
        "A handler releases its entry before it locks the table, so nothing keeps the table alive. Call xc_barrier at the level of softclock after the purge."
    "lltable-write-held":
        "Entries are added to and deleted from a link-level table with its lock held for writing."
        "Enter the table's lock as a writer around the change."
    "llentry-write-held":
        "An entry of a link-level table is changed with its lock held for writing."
        "Enter the entry's lock as a writer around the change."
    "llentry-static":
        "An entry that was added by hand has no timer."
        "Check for LLE_STATIC before arming the timer."
    "llentry-holder":
        "A holder drops only references that it has taken."
        "Look for a path that drops twice, or that drops for another holder."
    "llentry-asked":
        "An entry whose link address is known, and has not expired, has no unanswered requests."
        "Set the count of requests to 0 when an answer comes. Otherwise the neighbour soon seems to be down."
    "llentry-references":
        "The reference count of an entry equals the number of its holders whenever its lock is released."
        "The message lists each reference, with who took it and why nothing will release it. Release it where that is said, or take the missing one."
}
"KASSERT(9)" {
    "kassert":
        "What a KASSERT or KASSERTMSG of C code states is true."
        "Look at what the report says happened before: either the assertion is wrong about its callers, or another thread came in between."
}
"panic(9)" {
    "panic":
        "C code does not call panic."
        "The message is that of the code. The report says how it came to that."
}
"kmod::kern::contract" {
    "c-argument":
        "C code calls the kernel's functions with arguments that they take: no null pointer, no level or flag that does not exist."
        "Look at the call in the report's first place. A pointer that is null there was perhaps never set, or was cleared by another thread."
}
"kmod::kernel" {
    "boot-memory":
        "The kernel has enough memory to boot."
        "Reduce what the configuration asks for: CPUs, or the size of the callout wheel."
    "scenario-cpus":
        "The machine has at least as many CPUs as the scenario needs."
        "Boot with more CPUs (--cpus)."
    "scenario-memory":
        "The setup of a scenario has enough memory."
        "Share less, or free what earlier rounds shared."
}
}

#[cfg(test)]
mod tests {
    use super::ALL;

    #[test]
    fn names_are_unique() {
        for (at, contract) in ALL.iter().enumerate() {
            assert!(
                !ALL[..at].iter().any(|other| other.name == contract.name),
                "two entries are named {}",
                contract.name
            );
        }
    }
}
