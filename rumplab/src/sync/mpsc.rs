//! `std::sync::mpsc`: queues with many senders and one receiver.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use super::{Arc, Condvar, Mutex, MutexGuard};

pub use std::sync::mpsc::{RecvError, RecvTimeoutError, SendError, TryRecvError, TrySendError};

struct Channel<T> {
    state: Mutex<State<T>>,
    /// Something came, or the last sender is gone.
    filled: Condvar,
    /// Something was taken, or the receiver is gone.
    emptied: Condvar,
    /// How many values wait at most; `None` for any number.
    bound: Option<usize>,
}

struct State<T> {
    queue: VecDeque<T>,
    senders: usize,
    has_receiver: bool,
    /// Values that were taken: who sends without a buffer waits for that.
    taken: usize,
    /// Values that were put in.
    sent: usize,
}

impl<T> Channel<T> {
    fn new(bound: Option<usize>) -> Arc<Channel<T>> {
        Arc::new(Channel {
            state: Mutex::new(State {
                queue: VecDeque::new(),
                senders: 1,
                has_receiver: true,
                taken: 0,
                sent: 0,
            }),
            filled: Condvar::new(),
            emptied: Condvar::new(),
            bound,
        })
    }

    #[track_caller]
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        match self.state.lock() {
            Ok(state) => state,
            Err(_) => unreachable!("it is never poisoned"),
        }
    }

    #[track_caller]
    fn send(&self, value: T) -> Result<(), SendError<T>> {
        let mut state = self.lock();
        // Without a buffer there is room for the one that is handed over.
        let room = self.bound.map(|bound| bound.max(1));
        while state.has_receiver && room.is_some_and(|room| state.queue.len() >= room) {
            state = wait(&self.emptied, state);
        }
        if !state.has_receiver {
            return Err(SendError(value));
        }
        state.queue.push_back(value);
        state.sent += 1;
        let number = state.sent;
        self.filled.notify_one();
        if self.bound == Some(0) {
            while state.has_receiver && state.taken < number {
                state = wait(&self.emptied, state);
            }
        }
        Ok(())
    }

    /// A value, if one waits.
    fn take(&self, state: &mut State<T>) -> Option<T> {
        let value = state.queue.pop_front()?;
        state.taken += 1;
        if self.bound.is_some() {
            self.emptied.notify_all();
        }
        Some(value)
    }

    fn add_sender(&self) {
        self.lock().senders += 1;
    }

    fn drop_sender(&self) {
        if !hostshim::machine::is_running() {
            return;
        }
        let mut state = self.lock();
        state.senders -= 1;
        if state.senders == 0 {
            self.filled.notify_all();
        }
    }
}

#[track_caller]
fn wait<'a, T>(on: &Condvar, state: MutexGuard<'a, State<T>>) -> MutexGuard<'a, State<T>> {
    match on.wait(state) {
        Ok(state) => state,
        Err(_) => unreachable!("it is never poisoned"),
    }
}

/// `std::sync::mpsc::Sender`.
pub struct Sender<T>(Arc<Channel<T>>);

/// `std::sync::mpsc::SyncSender`.
pub struct SyncSender<T>(Arc<Channel<T>>);

/// `std::sync::mpsc::Receiver`.
pub struct Receiver<T>(Arc<Channel<T>>);

/// A queue for any number of values.
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let channel = Channel::new(None);
    (Sender(Arc::clone(&channel)), Receiver(channel))
}

/// A queue for `bound` values. With 0 who sends waits for who receives.
pub fn sync_channel<T>(bound: usize) -> (SyncSender<T>, Receiver<T>) {
    let channel = Channel::new(Some(bound));
    (SyncSender(Arc::clone(&channel)), Receiver(channel))
}

impl<T> Sender<T> {
    /// Puts a value in. Context: thread that may sleep.
    ///
    /// # Errors
    ///
    /// If the receiver is gone: the value.
    #[track_caller]
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        self.0.send(value)
    }
}

impl<T> SyncSender<T> {
    /// Puts a value in, and waits for room. Context: thread that may sleep.
    ///
    /// # Errors
    ///
    /// If the receiver is gone: the value.
    #[track_caller]
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        self.0.send(value)
    }

    /// Puts a value in, if there is room. A queue for 0 values never has any here. Context: thread that may sleep.
    ///
    /// # Errors
    ///
    /// If there is no room, or the receiver is gone: the value.
    #[track_caller]
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        let mut state = self.0.lock();
        if !state.has_receiver {
            return Err(TrySendError::Disconnected(value));
        }
        if self.0.bound.is_some_and(|bound| state.queue.len() >= bound) {
            return Err(TrySendError::Full(value));
        }
        state.queue.push_back(value);
        state.sent += 1;
        self.0.filled.notify_one();
        Ok(())
    }
}

impl<T> Receiver<T> {
    /// Takes a value, and waits for one. Context: thread that may sleep.
    ///
    /// # Errors
    ///
    /// If there is none, and the last sender is gone.
    #[track_caller]
    pub fn recv(&self) -> Result<T, RecvError> {
        let mut state = self.0.lock();
        loop {
            if let Some(value) = self.0.take(&mut state) {
                return Ok(value);
            }
            if state.senders == 0 {
                return Err(RecvError);
            }
            state = wait(&self.0.filled, state);
        }
    }

    /// [`recv`](Self::recv), for so long at most.
    ///
    /// # Errors
    ///
    /// If there is none after that time, or ever.
    #[track_caller]
    pub fn recv_timeout(&self, time: Duration) -> Result<T, RecvTimeoutError> {
        let nothing = |state: &mut State<T>| state.queue.is_empty() && state.senders > 0;
        let waited = self
            .0
            .filled
            .wait_timeout_while(self.0.lock(), time, nothing);
        let (mut state, _) = match waited {
            Ok(waited) => waited,
            Err(_) => unreachable!("it is never poisoned"),
        };
        match self.0.take(&mut state) {
            Some(value) => Ok(value),
            None if state.senders == 0 => Err(RecvTimeoutError::Disconnected),
            None => Err(RecvTimeoutError::Timeout),
        }
    }

    /// Takes a value, if one waits. Context: thread that may sleep.
    ///
    /// # Errors
    ///
    /// If there is none now, or ever.
    #[track_caller]
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        let mut state = self.0.lock();
        match self.0.take(&mut state) {
            Some(value) => Ok(value),
            None if state.senders == 0 => Err(TryRecvError::Disconnected),
            None => Err(TryRecvError::Empty),
        }
    }

    /// The values as they come, until the last sender is gone.
    pub fn iter(&self) -> impl Iterator<Item = T> + '_ {
        std::iter::from_fn(|| self.recv().ok())
    }

    /// The values that wait now.
    pub fn try_iter(&self) -> impl Iterator<Item = T> + '_ {
        std::iter::from_fn(|| self.try_recv().ok())
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.add_sender();
        Sender(Arc::clone(&self.0))
    }
}

impl<T> Clone for SyncSender<T> {
    fn clone(&self) -> Self {
        self.0.add_sender();
        SyncSender(Arc::clone(&self.0))
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.drop_sender();
    }
}

impl<T> Drop for SyncSender<T> {
    fn drop(&mut self) {
        self.0.drop_sender();
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        if !hostshim::machine::is_running() {
            return;
        }
        let mut state = self.0.lock();
        state.has_receiver = false;
        let rest = std::mem::take(&mut state.queue);
        self.0.emptied.notify_all();
        drop(state);
        drop(rest);
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sender { .. }")
    }
}

impl<T> fmt::Debug for SyncSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SyncSender { .. }")
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receiver { .. }")
    }
}
