//! Threads that wait for work: started when first needed, ended with their owner.
//!
//! Starting and joining a thread for each picture took 120 us of it (median, 30 pictures a second; milliseconds at
//! worst), waking one that waits takes 20. A task owns what it needs and comes back with its buffers, which are used
//! again. All take the tasks in order from one heap, the owner too while he waits for one: nobody's share is fixed, so
//! that a core which other programs use as well costs no more than what it does not do.

mod beside;

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use beside::{Beside, Id};

/// Something to be done on any thread.
pub(super) trait Task: Send + 'static {
    /// Names the threads.
    const NAME: &'static str;

    /// Does it; the result stays in the task.
    fn work(&mut self);
}

/// The owner and the threads that help.
#[derive(Debug)]
pub(super) struct Workers<T> {
    most: NonZeroUsize,
    helpers: Vec<JoinHandle<()>>,
    beside: Beside,
    desk: Arc<Desk<T>>,
}

/// Where owner and helpers meet.
#[derive(Debug)]
struct Desk<T> {
    state: Mutex<State<T>>,
    /// There is something to do, or to end.
    work: Condvar,
    /// A task is done, or never will be.
    done: Condvar,
    /// How often one was, for somebody who looks and does not sleep. May overflow.
    ended: AtomicUsize,
}

#[derive(Debug)]
struct State<T> {
    /// Nobody's yet, oldest first: the last of `slots`.
    to_do: VecDeque<T>,
    /// Started and not taken back, oldest first.
    slots: VecDeque<Slot<T>>,
    /// Tasks taken back so far: the number of the first slot.
    taken: u64,
    /// The helpers that have come.
    helpers: Vec<Id>,
    /// The owner goes.
    closed: bool,
    /// A helper is gone.
    lost: bool,
}

#[derive(Debug)]
enum Slot<T> {
    /// In `to_do`, or at somebody.
    Open,
    Done(T),
}

impl<T> Slot<T> {
    const fn take(&mut self) -> Self {
        std::mem::replace(self, Self::Open)
    }
}

impl<T: Task> Workers<T> {
    /// As many as there are cores, at most [`MOST`].
    pub(super) fn of_this_machine() -> Self {
        Self::new(thread::available_parallelism().unwrap_or(NonZeroUsize::MIN))
    }

    /// `most` with the owner, at most [`MOST`].
    pub(super) fn new(most: NonZeroUsize) -> Self {
        Self {
            most: most.min(MOST),
            helpers: Vec::new(),
            beside: Beside::default(),
            desk: Arc::new(Desk {
                state: Mutex::new(State {
                    to_do: VecDeque::new(),
                    slots: VecDeque::new(),
                    taken: 0,
                    helpers: Vec::new(),
                    closed: false,
                    lost: false,
                }),
                work: Condvar::new(),
                done: Condvar::new(),
                ended: AtomicUsize::new(0),
            }),
        }
    }

    /// How many threads, with the owner, the work is worth.
    pub(super) fn for_cells(&self, cells: usize) -> usize {
        (cells / CELLS_EACH).clamp(1, self.most.get())
    }

    /// Into how many tasks work on so many cells is to be cut.
    pub(super) fn pieces(&self, cells: usize) -> usize {
        (cells / CELLS_EACH).clamp(1, PIECES_EACH * self.most.get())
    }

    /// Lays out `task`, for a helper or for the owner in [`Self::finish`].
    pub(super) fn start(&mut self, task: T) {
        let mut state = self.desk.lock();
        state.to_do.push_back(task);
        state.slots.push_back(Slot::Open);
        // One alone is done by the owner before anybody is awake.
        let waiting = state.to_do.len();
        if waiting < 2 {
            return;
        }
        self.beside.send_away(&state.helpers);
        drop(state);
        self.desk.work.notify_one();
        let helpers = self.helpers.len();
        if helpers + 1 < self.most.get().min(waiting) {
            self.helpers.extend(helper(&self.desk, helpers));
        }
    }

    /// Whether somebody begins at once with what is started.
    pub(super) const fn have_helpers(&self) -> bool {
        !self.helpers.is_empty()
    }

    /// Whether tasks are out that were not taken back.
    pub(super) fn is_busy(&self) -> bool {
        !self.desk.lock().slots.is_empty()
    }

    /// The task that was started first of those not yet taken back, as soon as it is done; `None` when there is none.
    pub(super) fn finish(&mut self) -> Option<T> {
        let mut state = self.desk.lock();
        let mut has_looked = false;
        loop {
            if let Slot::Done(task) = state.slots.front_mut()?.take() {
                state.slots.pop_front();
                state.taken += 1;
                return Some(task);
            }
            if state.lost {
                break;
            }
            if let Some((number, mut task)) = state.begin() {
                drop(state);
                task.work();
                state = self.desk.lock();
                state.end(number, task);
            } else if !std::mem::replace(&mut has_looked, true) {
                let ended = self.desk.ended.load(Ordering::Relaxed);
                drop(state);
                self.desk.look(ended);
                state = self.desk.lock();
            } else {
                let waited = self.desk.done.wait(state);
                state = waited.unwrap_or_else(PoisonError::into_inner);
            }
        }
        state.closed = true;
        drop(state);
        self.desk.work.notify_all();
        // A helper is only gone before its owner when a task panicked: that is the owner's panic.
        for helper in self.helpers.drain(..) {
            if let Err(panic) = helper.join() {
                std::panic::resume_unwind(panic);
            }
        }
        unreachable!("a helper that went without its owner")
    }
}

/// A thread that works at `desk`; `None` where the system has none.
fn helper<T: Task>(desk: &Arc<Desk<T>>, number: usize) -> Option<JoinHandle<()>> {
    let leaving = Leaving(Arc::clone(desk));
    let name = format!("{}-{number}", T::NAME);
    let thread = thread::Builder::new().name(name);
    thread.spawn(move || leaving.0.help()).ok()
}

impl<T: Task> Desk<T> {
    fn help(&self) {
        let mut state = self.lock();
        state.helpers.push(Id::mine());
        while !state.closed {
            if let Some((number, mut task)) = state.begin() {
                drop(state);
                task.work();
                state = self.lock();
                let first = number == state.taken;
                state.end(number, task);
                self.ended.fetch_add(1, Ordering::Relaxed);
                if first {
                    // Without the lock, which is the first thing that the owner wants.
                    drop(state);
                    self.done.notify_one();
                    state = self.lock();
                }
            } else {
                let waited = self.work.wait(state);
                state = waited.unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}

impl<T> Desk<T> {
    /// Waits a moment for a helper to be done, who was not so often yet, and keeps the core: whoever sleeps may have to
    /// wait for it behind somebody else (1.2 ms were seen), and the last task takes 0.1.
    fn look(&self, ended: usize) {
        for _ in 0..LOOKS {
            if self.ended.load(Ordering::Relaxed) != ended {
                break;
            }
            std::hint::spin_loop();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> State<T> {
    /// Takes the next task, and its number.
    fn begin(&mut self) -> Option<(u64, T)> {
        let place = self.slots.len() - self.to_do.len();
        let task = self.to_do.pop_front()?;
        Some((self.taken + place as u64, task))
    }

    /// A task is done.
    fn end(&mut self, number: u64, task: T) {
        let place = number.checked_sub(self.taken);
        let place = place.and_then(|place| usize::try_from(place).ok());
        if let Some(slot) = place.and_then(|place| self.slots.get_mut(place)) {
            *slot = Slot::Done(task);
        }
    }
}

/// Says so when its thread ends, in whichever way.
struct Leaving<T>(Arc<Desk<T>>);

impl<T> Drop for Leaving<T> {
    fn drop(&mut self) {
        self.0.lock().lost = true;
        self.0.done.notify_one();
    }
}

impl<T> Drop for Workers<T> {
    fn drop(&mut self) {
        self.desk.lock().closed = true;
        self.desk.work.notify_all();
        for helper in self.helpers.drain(..) {
            // Its panic has been passed on, or there is nobody left to whom it matters.
            let _ = helper.join();
        }
    }
}

/// More threads than this gain little on a picture and take cores from others.
pub(super) const MOST: NonZeroUsize = NonZeroUsize::new(4).expect("not zero");

/// A task has at least so many cells: waking a thread takes some 20 us, and so many take about 100 to code.
const CELLS_EACH: usize = 16;

/// Some 0.1 ms.
const LOOKS: usize = 5000;

/// Tasks for each thread: they end at about the same time, though cells and cores differ.
const PIECES_EACH: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    struct Square(u64);

    impl Task for Square {
        const NAME: &'static str = "square";

        fn work(&mut self) {
            assert!(self.0 != 13, "a bad number");
            self.0 *= self.0;
        }
    }

    #[test]
    fn tasks_come_back_done_and_in_order_however_many() {
        for most in 1..6 {
            let mut workers = Workers::new(NonZeroUsize::new(most).unwrap());
            for count in [0, 1, 3, 4, 9, 1] {
                (0..count).for_each(|n| workers.start(Square(n)));
                let done: Vec<_> = std::iter::from_fn(|| workers.finish()).collect();
                assert!(done.iter().map(|s| s.0).eq((0..count).map(|n| n * n)));
                assert!(workers.helpers.len() < most.min(4));
            }
        }
    }

    #[test]
    #[should_panic(expected = "a bad number")]
    fn a_panic_reaches_the_owner() {
        let mut workers = Workers::new(MOST);
        (1..40).for_each(|n| workers.start(Square(n)));
        while workers.finish().is_some() {}
    }
}
