//! Threads that wait for work: started when first needed, ended with their owner.
//!
//! Starting and joining a thread for each picture took 120 us of it (median, 30 pictures a second; milliseconds at
//! worst), waking one that waits takes 20. A task owns what it needs and comes back with its buffers, which are used
//! again. What no thread has begun by the time the owner wants it, the owner does: other programs may have the cores.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

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
    helpers: Vec<Helper<T>>,
    /// Started and not taken back, oldest first.
    underway: VecDeque<Underway<T>>,
}

#[derive(Debug)]
enum Underway<T> {
    /// At the helper of that number.
    Away(usize),
    Done(T),
}

#[derive(Debug)]
struct Helper<T> {
    desk: Arc<Desk<T>>,
    thread: Option<JoinHandle<()>>,
}

/// Where owner and helper meet.
#[derive(Debug)]
struct Desk<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

#[derive(Debug)]
enum State<T> {
    Free,
    ToDo(T),
    Begun,
    Done(T),
    /// The owner goes, or the helper is gone.
    Closed,
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
            underway: VecDeque::new(),
        }
    }

    /// How many, with the owner, the work is worth.
    pub(super) fn for_cells(&self, cells: usize) -> usize {
        (cells / CELLS_EACH).clamp(1, self.most.get())
    }

    /// Gives `task` to a thread. Where all have one, or no thread can be had, it is done before this returns.
    pub(super) fn start(&mut self, mut task: T) {
        let away = |underway: &&Underway<T>| matches!(underway, Underway::Away(_));
        let helper = self.underway.iter().filter(away).count();
        if helper + 1 < self.most.get() && helper == self.helpers.len() {
            self.helpers.extend(Helper::new(helper));
        }
        if let Some(free) = self.helpers.get(helper) {
            free.desk.set(State::ToDo(task));
            self.underway.push_back(Underway::Away(helper));
            return;
        }
        task.work();
        self.underway.push_back(Underway::Done(task));
    }

    /// The task that was started first of those not yet taken back, as soon as it is done; `None` when there is none.
    /// All must be taken back before any is started again.
    pub(super) fn finish(&mut self) -> Option<T> {
        match self.underway.pop_front()? {
            Underway::Done(task) => Some(task),
            Underway::Away(helper) => Some(self.helpers.get_mut(helper)?.finish()),
        }
    }
}

impl<T: Task> Helper<T> {
    fn new(number: usize) -> Option<Self> {
        let desk = Arc::new(Desk::<T> {
            state: Mutex::new(State::Free),
            changed: Condvar::new(),
        });
        let closing = Closing(Arc::clone(&desk));
        let thread = thread::Builder::new()
            .name(format!("{}-{number}", T::NAME))
            .spawn(move || {
                while let Some(mut task) = closing.0.begin() {
                    task.work();
                    closing.0.set(State::Done(task));
                }
            })
            .ok()?;
        Some(Self {
            desk,
            thread: Some(thread),
        })
    }

    fn finish(&mut self) -> T {
        let mut state = self.desk.lock();
        loop {
            match std::mem::replace(&mut *state, State::Free) {
                State::Done(task) => return task,
                State::ToDo(mut task) => {
                    drop(state);
                    task.work();
                    return task;
                }
                State::Closed => break,
                other @ (State::Free | State::Begun) => *state = other,
            }
            state = self.desk.wait(state);
        }
        drop(state);
        // It is only gone before its owner when a task panicked: that is the owner's panic.
        match self.thread.take().map(JoinHandle::join) {
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            Some(Ok(())) | None => unreachable!("a helper that went without its owner"),
        }
    }
}

impl<T> Desk<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State<T>>) -> MutexGuard<'a, State<T>> {
        let waited = self.changed.wait(state);
        waited.unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, state: State<T>) {
        let mut now = self.lock();
        // What closes a desk is not undone by a task that comes back late.
        if !matches!(*now, State::Closed) {
            *now = state;
        }
        drop(now);
        self.changed.notify_one();
    }

    /// The next task, when there is one; `None` to end.
    fn begin(&self) -> Option<T> {
        let mut state = self.lock();
        loop {
            match std::mem::replace(&mut *state, State::Begun) {
                State::ToDo(task) => return Some(task),
                State::Closed => {
                    *state = State::Closed;
                    return None;
                }
                other @ (State::Free | State::Begun | State::Done(_)) => *state = other,
            }
            state = self.wait(state);
        }
    }
}

/// Closes the desk when its thread ends, in whichever way.
struct Closing<T>(Arc<Desk<T>>);

impl<T> Drop for Closing<T> {
    fn drop(&mut self) {
        self.0.set(State::Closed);
    }
}

impl<T> Drop for Helper<T> {
    fn drop(&mut self) {
        self.desk.set(State::Closed);
        if let Some(thread) = self.thread.take() {
            // Its panic has been passed on, or there is nobody left to whom it matters.
            let _ = thread.join();
        }
    }
}

/// Items for each of `workers`, so that all get about the same; at least one.
pub(super) fn shares(items: usize, workers: usize) -> usize {
    items.div_ceil(workers).max(1)
}

/// More threads than this gain little on a picture and take cores from others.
pub(super) const MOST: NonZeroUsize = NonZeroUsize::new(4).expect("not zero");

/// Waking a thread takes some 20 us; this many cells take about 100 to code. Measured with 36 of 360 cells changed, one
/// thread and two: encoding 0.66 and 0.60 ms, most of it finding the changes; decoding 0.41 and 0.35.
const CELLS_EACH: usize = 16;

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
        workers.start(Square(13));
        workers.finish();
    }
}
