//! Watches over a device that may hang, vanish and come back: says so, and tries again with growing pauses.

use std::fmt::Display;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use super::{CaptureError, Leave, Outlet, Pump, SourceState, Stop};

/// A kind of device that can be opened again and again. Opening and reading happen on a thread that may hang for good.
pub(super) trait Supply: Send + Sync + 'static {
    /// The opened device; it never leaves its thread.
    type Device;
    /// What it delivers.
    type Item: Send + 'static;
    /// Why it does not.
    type Error: Display;

    /// What to call it, for threads and words.
    fn name(&self) -> &'static str;

    /// Opens the device.
    fn open(&self) -> Result<Self::Device, Self::Error>;

    /// Waits for what comes next. `None` has to come now and then if nothing else does and the device allows.
    fn next(&self, device: &mut Self::Device) -> Result<Option<Self::Item>, Self::Error>;

    /// Hands it on.
    fn deliver(&self, outlet: &Outlet, item: Self::Item);
}

/// Opens `supply` and keeps it going until the pump is dropped.
pub(super) fn start<S: Supply>(supply: S, outlet: Outlet) -> Result<Pump, CaptureError> {
    let supply = Arc::new(supply);
    Pump::start(supply.name(), Leave::Join, move |stop| {
        Watch::new(supply, outlet, now()).run(stop);
    })
    .map_err(CaptureError::Thread)
}

/// Time within which a device has to open and deliver for the first time.
const FIRST: Duration = Duration::from_secs(10);

/// A device that delivers nothing for this long is lost.
const SILENCE: Duration = Duration::from_secs(3);

/// The pause before the first new try; each further one is twice as long.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// The longest pause between two tries.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// How long a device has to have been there for the pauses to start over.
const STEADY: Duration = Duration::from_secs(10);

/// The most threads inside the device's driver: one that hangs and one that tries again.
const MAX_READERS: usize = 2;

/// What a reader may have waiting; it blocks then, and the device throws away by itself.
const DEPTH: usize = 4;

/// How long a reader may take to close its device when it is no longer wanted.
const CLOSING: Duration = Duration::from_millis(500);

/// How soon the watch notices that it should end.
const TICK: Duration = Duration::from_millis(100);

/// When to call a device lost and when to try again; knows no threads.
#[derive(Debug)]
struct Watchdog {
    phase: Phase,
    pause: Duration,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// Being opened since then.
    Opening(Instant),
    /// Delivers.
    Live { since: Instant, last: Instant },
    /// Lost; tried again then.
    Waiting(Instant),
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// It has been silent for this long: it is lost.
    Silent(Duration),
    /// Open it (again).
    Open,
}

impl Watchdog {
    const fn new(now: Instant) -> Self {
        Self {
            phase: Phase::Waiting(now),
            pause: PAUSE_MIN,
        }
    }

    /// It delivered something; true if that is news.
    fn delivered(&mut self, now: Instant) -> bool {
        let (since, news) = match self.phase {
            Phase::Live { since, .. } => (since, false),
            Phase::Opening(_) | Phase::Waiting(_) => (now, true),
        };
        self.phase = Phase::Live { since, last: now };
        news
    }

    /// It failed, or cannot be opened.
    fn failed(&mut self, now: Instant) {
        if let Phase::Live { since, .. } = self.phase
            && now.duration_since(since) >= STEADY
        {
            self.pause = PAUSE_MIN;
        }
        self.phase = Phase::Waiting(now + self.pause);
        self.pause = (self.pause * 2).min(PAUSE_MAX);
    }

    fn poll(&mut self, now: Instant) -> Option<Turn> {
        let silent = match self.phase {
            Phase::Waiting(until) if now >= until => {
                self.phase = Phase::Opening(now);
                return Some(Turn::Open);
            }
            Phase::Opening(since) if now >= since + FIRST => now.duration_since(since),
            Phase::Live { last, .. } if now >= last + SILENCE => now.duration_since(last),
            Phase::Waiting(_) | Phase::Opening(_) | Phase::Live { .. } => return None,
        };
        self.failed(now);
        Some(Turn::Silent(silent))
    }

    const fn is_live(&self) -> bool {
        matches!(self.phase, Phase::Live { .. })
    }
}

enum Event<T> {
    Item(T),
    Gone(String),
}

struct Reader {
    id: u64,
    pump: Pump,
}

struct Watch<S: Supply> {
    supply: Arc<S>,
    outlet: Outlet,
    dog: Watchdog,
    readers: Vec<Reader>,
    /// The reader whose word counts.
    current: u64,
    started: u64,
    /// The last trouble, until it delivers again.
    said: Option<String>,
}

impl<S: Supply> Watch<S> {
    fn new(supply: Arc<S>, outlet: Outlet, now: Instant) -> Self {
        Self {
            supply,
            outlet,
            dog: Watchdog::new(now),
            readers: Vec::new(),
            current: 0,
            started: 0,
            said: None,
        }
    }

    fn run(&mut self, stop: &Stop) {
        let (sender, events) = mpsc::sync_channel(DEPTH);
        while !stop.is_set() {
            match self.dog.poll(now()) {
                Some(Turn::Open) => self.open(&sender),
                Some(Turn::Silent(time)) => self.lost(format!(
                    "the {} has delivered nothing for {} s",
                    self.supply.name(),
                    time.as_secs()
                )),
                None => {}
            }
            match events.recv_timeout(TICK) {
                Ok((id, Event::Item(item))) => self.item(id, item),
                Ok((id, Event::Gone(why))) => self.gone(id, why),
                Err(mpsc::RecvTimeoutError::Timeout | mpsc::RecvTimeoutError::Disconnected) => {}
            }
        }
        drop(events); // a reader that waits to hand something over ends with this
        for reader in &self.readers {
            reader.pump.stop().set();
        }
    }

    fn open(&mut self, sender: &mpsc::SyncSender<(u64, Event<S::Item>)>) {
        if self.readers.len() >= MAX_READERS {
            self.dog.failed(now()); // both hang; one of them has to come back by itself
            return;
        }
        self.started += 1;
        let id = self.started;
        let supply = Arc::clone(&self.supply);
        let sender = sender.clone();
        let name = format!("{}-{id}", supply.name());
        match Pump::start(&name, Leave::After(CLOSING), move |stop| {
            let mut gone = Gone {
                id,
                why: format!("the {}'s driver failed", supply.name()),
                sender,
            };
            if let Err(err) = read(supply.as_ref(), id, &gone.sender, stop) {
                gone.why = err.to_string();
            }
        }) {
            Ok(pump) => {
                self.current = id;
                self.readers.push(Reader { id, pump });
            }
            Err(err) => {
                self.dog.failed(now());
                self.lost(CaptureError::Thread(err).to_string());
            }
        }
    }

    fn item(&mut self, id: u64, item: S::Item) {
        if self.dog.is_live() && id != self.current {
            return;
        }
        if self.dog.delivered(now()) {
            // whoever delivers first counts, be it one that seemed to hang
            self.current = id;
            for reader in self.readers.iter().filter(|reader| reader.id != id) {
                reader.pump.stop().set();
            }
            self.said = None;
            self.outlet.state(SourceState::Live);
        }
        self.supply.deliver(&self.outlet, item);
    }

    fn gone(&mut self, id: u64, why: String) {
        self.readers.retain(|reader| reader.id != id);
        if id != self.current {
            return;
        }
        self.dog.failed(now());
        // while another one hangs, "busy" would be us
        if self.readers.is_empty() {
            self.lost(why);
        }
    }

    fn lost(&mut self, why: String) {
        // each new try would say it again
        if self.said.as_ref() != Some(&why) {
            tracing::warn!(device = self.supply.name(), why, "lost");
            self.said = Some(why.clone());
        }
        self.outlet.state(SourceState::Lost { why });
    }
}

/// Tells the watch that a reader has ended, however it ended.
struct Gone<T> {
    id: u64,
    why: String,
    sender: mpsc::SyncSender<(u64, Event<T>)>,
}

impl<T> Drop for Gone<T> {
    fn drop(&mut self) {
        let why = std::mem::take(&mut self.why);
        let _ = self.sender.send((self.id, Event::Gone(why))); // nobody listens: nobody has to know
    }
}

/// The reader's thread.
fn read<S: Supply>(
    supply: &S,
    id: u64,
    sender: &mpsc::SyncSender<(u64, Event<S::Item>)>,
    stop: &Stop,
) -> Result<(), S::Error> {
    let mut device = supply.open()?;
    while !stop.is_set() {
        let item = supply.next(&mut device)?;
        if stop.is_set() {
            break;
        }
        if let Some(item) = item
            && sender.send((id, Event::Item(item))).is_err()
        {
            break;
        }
    }
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "a device's thread lives in real time"
)]
pub(super) fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests;
