//! NetBSD PR kern/57659: closing a descriptor while another thread sleeps in a write to it hangs.

use super::{OLD, historical, start};
use crate::kern::condvar::Kcondvar;
use crate::kern::lwp::Arg;
use crate::kern::mutex::Kmutex;
use crate::kern::spl::Ipl;
use crate::mem::Plain;
use crate::scenario::classics::{free_data, shared};
use crate::scenario::{FIXED, PORTED, Scenario, runs};

struct File {
    fd_lock: Kmutex,
    closing: Kcondvar,
    references: Plain<u32>,
    closed: Plain<bool>,
    pipe_lock: Kmutex,
    room: Kcondvar,
    full: Plain<bool>,
    restart: Plain<bool>,
}

crate::fields!(File {
    fd_lock,
    closing,
    references,
    closed,
    pipe_lock,
    room,
    full,
    restart
});

/// The program.
pub static SCENARIO: Scenario = Scenario {
    name: "descriptor-close",
    summary: "a descriptor is closed while another thread writes to it",
    about: "A writer holds a reference to a descriptor and sleeps until its pipe has room. Another thread closes \
            the descriptor: it tells the writer to give up, and waits until there is no reference.",
    variants: &[
        FIXED,
        historical("the writer is not told that the descriptor is about to be closed"),
    ],
    setup: |kernel| {
        let file = File {
            fd_lock: Kmutex::new("fd_lock", Ipl::None),
            closing: Kcondvar::new("fdclose"),
            references: Plain::new(0),
            closed: Plain::new(false),
            pipe_lock: Kmutex::new("pipe_lock", Ipl::None),
            room: Kcondvar::new("pipewr"),
            full: Plain::new(true),
            restart: Plain::new(false),
        };
        start(
            kernel,
            "file",
            file,
            &[("writer", 0, write), ("closer", 1, close)],
        );
    },
    teardown: free_data::<File>,
    ..PORTED
};

fn write(file: Arg) {
    let file: &File = shared(file);
    file.fd_lock.enter();
    if file.closed.get() {
        return file.fd_lock.exit();
    }
    file.references.set(file.references.get() + 1);
    file.fd_lock.exit();

    file.pipe_lock.enter();
    while file.full.get() && !file.restart.get() {
        file.room.wait(&file.pipe_lock);
    }
    file.pipe_lock.exit();

    file.fd_lock.enter();
    file.references.set(file.references.get() - 1);
    file.closing.broadcast();
    file.fd_lock.exit();
}

fn close(file: Arg) {
    let file: &File = shared(file);
    file.fd_lock.enter();
    file.closed.set(true);
    if file.references.get() != 0 {
        if !runs(OLD) {
            file.pipe_lock.enter();
            file.restart.set(true);
            file.room.broadcast();
            file.pipe_lock.exit();
        }
        while file.references.get() != 0 {
            file.closing.wait(&file.fd_lock);
        }
    }
    file.fd_lock.exit();
}
