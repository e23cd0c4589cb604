//! Whether something on the way keeps what comes down although what goes up arrives.
//!
//! Some boxes let the first bytes of an answer through, so that nobody gives it up, and keep the rest until they have
//! looked at all of it: of an answer that does not end that is for ever.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

/// What is known of the long answers of one server from one place: that something holds them back. Cheap to clone; all
/// clones know the same.
#[derive(Clone, Debug, Default)]
pub struct Held(Arc<AtomicBool>);

impl Held {
    /// Known from the start, or not.
    pub fn new(is: bool) -> Self {
        Self(Arc::new(AtomicBool::new(is)))
    }

    /// Whether they are held back.
    pub fn is(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(in crate::transport) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// When something came down, and what went up was heard.
#[derive(Debug)]
pub(super) struct Pulse(Mutex<State>);

impl Pulse {
    /// Nothing has come yet.
    pub(super) fn new() -> Self {
        Self(Mutex::new(State::new(Instant::now())))
    }

    /// Something came down.
    pub(super) fn came(&self) {
        self.lock().came(Instant::now());
    }

    /// Something goes up.
    pub(super) fn mark(&self) -> Mark {
        self.lock().mark()
    }

    /// The server has it.
    pub(super) fn heard(&self, mark: Mark) {
        self.lock().heard(mark, Instant::now());
    }

    /// Waits until there is no doubt: the server has heard us, and nothing of what it says has come. On a line that is
    /// dead nothing is heard either.
    pub(super) async fn held_back(&self) {
        loop {
            let due = self.lock().due();
            let Some(due) = due else {
                sleep(LOOK).await;
                continue;
            };
            sleep_until(due).await;
            let now = Instant::now();
            let mut state = self.lock();
            if now > due + LATE {
                // This program was not running; what has come meanwhile is yet to be read.
                state.came(now);
            } else if state.due() == Some(due) {
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct State {
    /// How often something came down.
    count: u64,
    /// When that was last, or when it began.
    last: Instant,
    /// When the server first had something that went up after that.
    heard: Option<Instant>,
}

/// How much had come down when something went up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark(u64);

impl State {
    const fn new(now: Instant) -> Self {
        Self {
            count: 0,
            last: now,
            heard: None,
        }
    }

    const fn came(&mut self, now: Instant) {
        self.count += 1;
        self.last = now;
        self.heard = None;
    }

    const fn mark(&self) -> Mark {
        Mark(self.count)
    }

    fn heard(&mut self, mark: Mark, now: Instant) {
        if mark.0 == self.count {
            self.heard.get_or_insert(now);
        }
    }

    /// When it would be certain that something is held back, if nothing comes before.
    fn due(&self) -> Option<Instant> {
        let heard = self.heard?;
        if self.count == 0 {
            // The handshake inside, for which a server in a crowd may take its time: whoever does it knows how long.
            return None;
        }
        (heard <= self.last + HEARD).then(|| (heard + ANSWER).max(self.last + SILENCE))
    }
}

/// How long the server may think after it has heard something.
const ANSWER: Duration = Duration::from_secs(1);
/// No server of ours is silent for so long, since it is asked for its time each second, and answers. Less than the 5 s
/// after which it would be given up for dead.
const SILENCE: Duration = Duration::from_millis(3_500);
/// Whoever hears us again only later was cut off himself: his answers are on their way, and TCP takes its time.
const HEARD: Duration = Duration::from_millis(2_500);
/// Who wakes up so much too late has slept.
const LATE: Duration = Duration::from_millis(250);
const LOOK: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_server_that_takes_its_time_for_the_first_word_holds_nothing_back() {
        let now = Instant::now();
        let mut state = State::new(now);
        let mark = state.mark();
        state.heard(mark, now + SECOND / 10);
        assert_eq!(state.due(), None);
    }

    #[test]
    fn what_stops_while_the_server_hears_us_is_held_back() {
        let now = Instant::now();
        let mut state = State::new(now);
        state.came(now);
        let mark = state.mark();
        state.heard(mark, now + SECOND / 10);
        assert_eq!(state.due(), Some(now + SILENCE));
        // What is heard later makes it neither sooner nor later.
        let mark = state.mark();
        state.heard(mark, now + 3 * SECOND);
        assert_eq!(state.due(), Some(now + SILENCE));
        state.came(now + 3 * SECOND);
        assert_eq!(state.due(), None);
    }

    #[test]
    fn a_line_that_was_dead_for_a_while_holds_nothing_back() {
        let now = Instant::now();
        let mut state = State::new(now);
        state.came(now);
        let mark = state.mark();
        state.heard(mark, now + 3 * SECOND);
        assert_eq!(state.due(), None);
    }

    #[test]
    fn what_was_said_before_something_came_proves_nothing() {
        let now = Instant::now();
        let mut state = State::new(now);
        let mark = state.mark();
        state.came(now);
        state.heard(mark, now);
        assert_eq!(state.due(), None);
    }
}
