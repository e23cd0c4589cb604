//! The levels below a published stream's best picture, made here while a viewer needs them: by a thread that decodes what
//! the publisher has coded, and that whatever he sends cannot take further than to its end.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use tracing::{debug, warn};

use crate::codec::{join, jpeg_size};
use crate::hub::Filler;
use crate::media::{Frame, Image};
use crate::server::pictures::{Coder, Settings, Supply};

/// Takes the newest picture at its own pace. Dropped, it ends.
#[derive(Debug)]
pub(super) struct Levels(Arc<Slot>);

/// Where the newest frame waits for the thread.
#[derive(Debug, Default)]
struct Slot {
    inside: Mutex<Inside>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Inside {
    frame: Option<Arc<Frame>>,
    woken: bool,
    closed: bool,
}

/// What the thread has waited for.
enum Came {
    Frame(Arc<Frame>),
    Woken,
    Nothing,
    Closed,
}

/// How many of them may decode at once, on the whole server: what publishers send must not have all of the machine.
#[derive(Debug)]
pub(super) struct Turns {
    free: Mutex<usize>,
    freed: Condvar,
}

impl Turns {
    /// Half of this machine's cores.
    pub(super) fn of_this_machine() -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Self {
            free: Mutex::new((cores / 2).max(1)),
            freed: Condvar::new(),
        }
    }

    fn take<T>(&self, work: impl FnOnce() -> T) -> T {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.freed.wait_while(free, |free| *free == 0);
        *waited.unwrap_or_else(PoisonError::into_inner) -= 1;
        let _turn = Turn(self);
        work()
    }

    /// How long the work took; not how long others had it wait.
    fn timed(&self, work: impl FnOnce()) -> Duration {
        self.take(|| {
            let begun = now();
            work();
            now().saturating_duration_since(begun)
        })
    }
}

/// Somebody's turn, which is over when this is dropped, however that comes.
struct Turn<'a>(&'a Turns);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.freed.notify_one();
    }
}

impl Levels {
    /// Starts the thread; a server that has none left goes on without the lower levels.
    pub(super) fn start(
        settings: Settings,
        (filler, supply): (Filler, Supply),
        turns: Arc<Turns>,
    ) -> Option<Self> {
        let slot = Arc::new(Slot::default());
        let theirs = Arc::clone(&slot);
        let work = move || {
            let stream = filler.stream().name().to_owned();
            filler.on_demand(Waker::from(Arc::clone(&theirs)));
            let worker = AssertUnwindSafe(|| {
                Worker::new(settings, (&filler, supply), turns).run(&theirs);
            });
            if catch_unwind(worker).is_err() {
                warn!(
                    stream,
                    "a picture was too much for the decoder: only the best level goes on"
                );
            }
            filler.off_demand();
            debug!(stream, "levels end");
        };
        let thread = thread::Builder::new().name("levels".to_owned()).spawn(work);
        if let Err(err) = thread {
            warn!(%err, "no thread for lower levels");
            return None;
        }
        Some(Self(slot))
    }

    /// This is the newest frame.
    pub(super) fn offer(&self, frame: Arc<Frame>) {
        self.0.lock().frame = Some(frame);
        self.0.changed.notify_one();
    }
}

impl Drop for Levels {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.changed.notify_one();
    }
}

impl Slot {
    fn wait(&self, patience: Duration) -> Came {
        let nothing =
            |inside: &mut Inside| inside.frame.is_none() && !inside.woken && !inside.closed;
        let waited = self
            .changed
            .wait_timeout_while(self.lock(), patience, nothing);
        let mut inside =
            waited.map_or_else(|poisoned| poisoned.into_inner().0, |(inside, _)| inside);
        if inside.closed {
            return Came::Closed;
        }
        let woken = std::mem::take(&mut inside.woken);
        match inside.frame.take() {
            Some(frame) => Came::Frame(frame),
            None if woken => Came::Woken,
            None => Came::Nothing,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Slot {
    fn wake(self: Arc<Self>) {
        self.lock().woken = true;
        self.changed.notify_one();
    }
}

/// What the thread has.
struct Worker<'a> {
    filler: &'a Filler,
    coder: Coder,
    turns: Arc<Turns>,
    newest: Option<Arc<Frame>>,
    /// The number of the picture that the coder has, or that was of no use to it.
    given: Option<u64>,
    /// When the newest one came, and how long after the one before.
    came: Option<Instant>,
    interval: Duration,
    settled: bool,
}

impl<'a> Worker<'a> {
    fn new(settings: Settings, (filler, supply): (&'a Filler, Supply), turns: Arc<Turns>) -> Self {
        Self {
            filler,
            coder: Coder::below(settings, filler.clone(), supply),
            turns,
            newest: None,
            given: None,
            came: None,
            interval: Duration::ZERO,
            settled: true,
        }
    }

    fn run(&mut self, slot: &Slot) {
        loop {
            let patience = if self.settled {
                PATIENCE
            } else {
                (self.interval * 3).clamp(SHORTEST_REST, PATIENCE)
            };
            match slot.wait(patience) {
                Came::Frame(frame) => {
                    let now = now();
                    if let Some(before) = self.came.replace(now) {
                        self.interval = now.saturating_duration_since(before);
                    }
                    self.coder.sized(frame.rung.size());
                    self.newest = Some(frame);
                    self.settled = false;
                    self.make();
                }
                Came::Woken => self.make(),
                Came::Nothing => {
                    self.make();
                    if let Some(newest) = &self.newest
                        && !std::mem::replace(&mut self.settled, true)
                    {
                        self.filler.settle(newest.number);
                    }
                }
                Came::Closed => return,
            }
        }
    }

    fn make(&mut self) {
        if !self.coder.is_wanted() {
            self.coder.make(now());
            return;
        }
        let turns = Arc::clone(&self.turns);
        let took = turns.timed(|| {
            if let Some(frame) = &self.newest
                && self.given.replace(frame.number) != Some(frame.number)
            {
                match image(frame) {
                    Some(image) => self.coder.is_now(image, frame.number, frame.capture),
                    None => self.filler.miss(frame.number),
                }
            }
            self.coder.make(now());
        });
        if took > LONG {
            // Such pictures would keep others from their turn for ever.
            thread::sleep(took);
        }
    }
}

/// The picture to be decoded; `None` where it is not what it was said to be, as with a header that speaks of more pixels.
fn image(frame: &Frame) -> Option<Image> {
    let bytes = join(frame);
    let size = frame.rung.size();
    let found = jpeg_size(&bytes).ok()?;
    (found == size).then_some(Image::Jpeg { size, bytes })
}

#[expect(clippy::disallowed_methods, reason = "this thread owns its time")]
fn now() -> Instant {
    Instant::now()
}

/// How long the thread waits before it looks around.
const PATIENCE: Duration = Duration::from_secs(1);
/// As with any source: see `pictures`.
const SHORTEST_REST: Duration = Duration::from_millis(100);
/// A picture that takes so long is none that anybody would send.
const LONG: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn who_waits_for_a_turn_has_not_worked_meanwhile() {
        let turns = Turns {
            free: Mutex::new(1),
            freed: Condvar::new(),
        };
        let (ready, is_ready) = mpsc::channel();
        let (waited, took) = thread::scope(|scope| {
            let other = turns.take(|| {
                let other = scope.spawn(|| {
                    let since = now();
                    ready.send(()).unwrap();
                    let took = turns.timed(|| {});
                    (now().saturating_duration_since(since), took)
                });
                is_ready.recv().unwrap();
                thread::sleep(Duration::from_millis(100));
                other
            });
            other.join().unwrap()
        });
        assert!(took < waited / 2, "{took:?} of {waited:?}");
    }
}
