//! The thread that paints: takes pictures out of the buffer when they are due, decodes what changed, shows it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    News, lock, now,
    shared::{Pictures, Shared},
    stats::Shown,
};
use crate::{
    codec::{Applied, Canvas, CodecError},
    jitter::Update,
    media::{CellIndex, MediaTime, Rect, Rung, RungId},
    present::ScreenWriter,
};

/// Owns the pictures on their way to the screen.
pub(super) struct Painter {
    shared: Arc<Shared>,
    screen: Option<ScreenWriter>,
    /// A rung that is not whole yet; the old picture stands until it is.
    coming: Option<Held>,
    /// Counts what was given to the screen.
    number: u64,
    /// Given to the screen, which had not shown it yet.
    underway: Option<Underway>,
    /// The newest generation of which a picture was shown, and whether all of them were smaller copies.
    seen: Option<(u64, bool)>,
    /// The rung that was told to be undecodable, unless something of use has come since.
    refused: Option<(u64, RungId)>,
    /// What was painted and not given to the screen.
    dirty: Vec<Rect>,
    /// The screen was given some of the picture ahead of the rest.
    begun: bool,
    /// Since when the screen shows a picture that it has yet to keep.
    unkept: Option<Instant>,
    /// Some of that could not be decoded.
    spoilt: bool,
}

/// A canvas and what it belongs to.
#[derive(Debug)]
pub(super) struct Held {
    generation: u64,
    rung: RungId,
    canvas: Canvas,
}

#[derive(Clone, Copy, Debug)]
struct Underway {
    number: u64,
    generation: u64,
    since: Instant,
    capture: MediaTime,
    partial: bool,
    repeated: bool,
    /// Of the source's picture, a smaller one.
    copy: bool,
}

/// What is to be painted, and into what.
#[derive(Debug)]
pub(super) struct Job {
    update: Update,
    /// More of the same frame follows: it is not for the screen yet.
    ahead: bool,
    generation: u64,
    rung: Option<Arc<Rung>>,
}

impl Painter {
    pub(super) const fn new(shared: Arc<Shared>, screen: Option<ScreenWriter>) -> Self {
        Self {
            shared,
            screen,
            coming: None,
            number: 0,
            underway: None,
            seen: None,
            refused: None,
            dirty: Vec::new(),
            begun: false,
            unkept: None,
            spoilt: false,
        }
    }

    pub(super) fn run(&mut self) {
        while let Some(job) = self.next() {
            self.paint(job, now());
            self.settle(now());
        }
        self.keep();
    }

    /// Waits for what is due; `None` to end.
    fn next(&mut self) -> Option<Job> {
        let shared = Arc::clone(&self.shared);
        let mut pictures = shared.pictures();
        while !shared.is_stopped() {
            if self.underway.is_some() {
                // tells people things, which is no business for a thread with a lock
                drop(pictures);
                self.settle(now());
                pictures = shared.pictures();
            }
            let now = now();
            let wait = match self.take(&mut pictures, now) {
                Ok(job) => return Some(job),
                Err(wait) => wait,
            };
            if self
                .unkept
                .is_some_and(|since| now.saturating_duration_since(since) >= KEEP)
            {
                drop(pictures);
                self.keep();
                pictures = shared.pictures();
                continue;
            }
            pictures = shared
                .pictures_wake
                .wait_timeout(pictures, wait)
                .map_or_else(|poisoned| poisoned.into_inner().0, |(guard, _)| guard);
        }
        None
    }

    /// Lets the screen keep what it shows.
    fn keep(&mut self) {
        let shared = Arc::clone(&self.shared);
        if let Some(held) = lock(&shared.canvas).as_mut()
            && self.unkept.take().is_some()
            && let Some(screen) = &self.screen
        {
            screen.keep(&mut held.canvas);
        }
    }

    /// What is due, or how long to wait if nothing comes.
    pub(super) fn take(&self, pictures: &mut Pictures, now: Instant) -> Result<Job, Duration> {
        let heard = lock(&self.shared.sound_clock).heard(now);
        let playout = self
            .shared
            .latency
            .hold(pictures.estimate.spread())
            .and_then(|hold| heard.or_else(|| pictures.estimate.playout(now, hold)));
        let due = pictures.jitter.due(playout, now);
        let ahead = due.is_none();
        let update = due.or_else(|| pictures.jitter.ahead(playout, now));
        let Some(update) = update else {
            // the sound's clock may be corrected meanwhile, so do not sleep long
            let longest = if self.underway.is_some() {
                GLANCE
            } else if self.unkept.is_some() {
                KEEP
            } else {
                LOOK
            };
            let wait = pictures.jitter.wait(playout, now);
            return Err(wait.map_or(longest, |wait| wait.clamp(SHORTEST, longest)));
        };
        let rung = pictures
            .rungs
            .iter()
            .find(|rung| rung.id == update.rung)
            .map(Arc::clone);
        Ok(Job {
            generation: pictures.generation,
            update,
            ahead,
            rung,
        })
    }

    /// Decodes what changed and hands the picture to the screen, unless there is more to come.
    pub(super) fn paint(&mut self, job: Job, now: Instant) {
        let Job {
            update,
            ahead,
            generation,
            rung,
        } = job;
        let Some(rung) = rung else {
            // the session only lets known rungs through; so this one was crowded out by newer ones
            return;
        };
        let shared = Arc::clone(&self.shared);
        let mut shown = lock(&shared.canvas);
        let is = |held: &Held| held.generation == generation && held.rung == rung.id;
        let applied = if let Some(held) = shown.as_mut().filter(|held| is(held)) {
            self.decode(held, &update.cells)
        } else {
            if !self.coming.as_ref().is_some_and(is) {
                self.coming = match Canvas::new(Arc::clone(&rung)) {
                    Ok(canvas) => Some(Held {
                        generation,
                        rung: rung.id,
                        canvas,
                    }),
                    Err(error) => {
                        drop(shown);
                        self.refuse(generation, rung.id, error);
                        return;
                    }
                };
            }
            let Some(held) = &mut self.coming else {
                return;
            };
            let applied = held.canvas.apply(&update.cells);
            if ahead || !held.canvas.is_complete() {
                drop(shown);
                self.judge(generation, rung.id, update.cells.len(), applied);
                return;
            }
            let size = rung.size();
            self.dirty.clear();
            self.dirty.push(Rect::whole(size.width(), size.height()));
            *shown = self.coming.take();
            applied
        };
        let Some(held) = shown.as_mut() else {
            return;
        };
        self.spoilt |= applied.bad > 0;
        if ahead {
            self.prepare(held);
            drop(shown);
            self.judge(generation, rung.id, update.cells.len(), applied);
            return;
        }
        self.number += 1;
        if let Some(screen) = &self.screen {
            screen.show(self.number, &mut held.canvas, &self.dirty);
            self.unkept = Some(now);
        }
        drop(shown);
        let begun = std::mem::take(&mut self.begun);
        self.underway = Some(Underway {
            number: self.number,
            generation,
            since: now,
            capture: update.capture,
            partial: update.partial || std::mem::take(&mut self.spoilt),
            repeated: self.dirty.is_empty() && !begun,
            copy: rung.source.is_some(),
        });
        self.dirty.clear();
        self.judge(generation, rung.id, update.cells.len(), applied);
    }

    /// Decodes what changed, and paints what is there while the rest is being decoded.
    fn decode(&mut self, held: &mut Held, cells: &[(CellIndex, Bytes)]) -> Applied {
        let mut applied = Applied::default();
        held.canvas.begin(cells);
        while let Some(part) = held.canvas.advance() {
            self.dirty.extend(&part.dirty);
            applied.extend(part);
            if held.canvas.is_underway() {
                self.prepare(held);
            }
        }
        applied
    }

    /// Lets the screen have what is there of the picture that it is to show next.
    fn prepare(&mut self, held: &mut Held) {
        if let Some(screen) = &self.screen
            && screen.prepare(&mut held.canvas, &self.dirty)
        {
            self.dirty.clear();
            self.begun = true;
        }
    }

    /// Says so if nothing at all of an update could be used: one bad cell among good ones is only counted, but a
    /// picture of which nothing is ever decoded must not leave a person waiting for it.
    fn judge(&mut self, generation: u64, rung: RungId, came: usize, applied: Applied) {
        if applied.bad < came {
            self.refused = None;
        } else if let Some(fault) = applied.fault {
            self.refuse(generation, rung, fault);
        }
    }

    /// Says that a rung is of no use, once until something of use comes.
    fn refuse(&mut self, generation: u64, rung: RungId, error: CodecError) {
        if self.refused != Some((generation, rung)) {
            self.refused = Some((generation, rung));
            self.shared.tell(News::Undecodable(error));
        }
    }

    /// Counts the picture that was under way, if it is shown by now.
    pub(super) fn settle(&mut self, now: Instant) {
        let Some(underway) = self.underway else {
            return;
        };
        let at = match &self.screen {
            None => Some(now),
            Some(screen) => screen
                .presented()
                .filter(|presented| presented.frame == underway.number)
                .map(|presented| presented.at),
        };
        if at.is_none() && now.saturating_duration_since(underway.since) < HIDDEN {
            return;
        }
        self.underway = None;
        if let Some(at) = at {
            self.count(underway, at);
        }
        let Underway {
            generation, copy, ..
        } = underway;
        let known = self.seen.filter(|(seen, _)| *seen == generation);
        if known.is_none_or(|(_, copies)| copies && !copy) {
            self.seen = Some((generation, copy));
            let after = lock(&self.shared.tally).first_frame().unwrap_or_default();
            self.shared.tell(News::Picture { after, copy });
        }
    }

    fn count(&self, underway: Underway, at: Instant) {
        let server = lock(&self.shared.server_clock).time(at);
        let heard = lock(&self.shared.sound_clock).heard(at);
        lock(&self.shared.tally).shown(Shown {
            at,
            latency: server.map(|server| server.since(underway.capture)),
            skew: heard.map(|heard| {
                Duration::from_micros(heard.micros_after(underway.capture).unsigned_abs())
            }),
            partial: underway.partial,
            repeated: underway.repeated,
        });
    }
}

impl Held {
    /// The picture as a standard JPEG.
    pub(super) fn join(&self) -> Option<Bytes> {
        self.canvas.join()
    }
}

/// How long to sleep when nothing is known to become due.
const LOOK: Duration = Duration::from_millis(100);

/// The same while the window has yet to show a picture.
const GLANCE: Duration = Duration::from_millis(5);

/// A picture that stands for so long is kept; where the next one comes sooner that would be work for nothing.
const KEEP: Duration = Duration::from_millis(50);

/// A window that takes longer than this is hidden: its pictures are not counted as shown.
const HIDDEN: Duration = Duration::from_secs(1);

/// Never spin.
const SHORTEST: Duration = Duration::from_micros(200);

#[cfg(test)]
mod tests;
