//! The links for levels below the best picture: dialled, kept, and given up, as [`Below`] says.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::below::{Below, Output};
use super::end::Taken;
use super::welcome::{Fault, Welcomed};
use crate::hub::Stream;
use crate::media::{Level, LevelSet};

/// All of them.
pub(super) struct Levels {
    /// Whether there may be any.
    allowed: bool,
    below: Below,
    stream: Arc<Stream>,
    dials: JoinSet<(Level, Result<Welcomed, Fault>)>,
    ends: JoinSet<Level>,
    stops: [Option<CancellationToken>; Level::COUNT],
    load: Load,
    /// What was said to be sent.
    told: LevelSet,
}

/// Something came of a link.
pub(super) enum Came {
    /// It has turned, or could not be had.
    Dialled(Level, Result<Welcomed, Fault>),
    /// It has ended.
    Ended(Level),
}

impl Levels {
    pub(super) fn new(allowed: bool, stream: Arc<Stream>, now: Instant) -> Self {
        Self {
            allowed,
            below: Below::new(now),
            load: Load::new(stream.pictures(), now),
            stream,
            dials: JoinSet::new(),
            ends: JoinSet::new(),
            stops: Default::default(),
            told: LevelSet::NONE,
        }
    }

    /// What is to be done, given how the best picture goes out.
    pub(super) fn poll(&mut self, taken: &Taken, now: Instant) -> Output {
        if !self.allowed {
            return Output::Wait(None);
        }
        self.below.wanted(taken.wanted);
        let is_late = self.load.look(self.stream.pictures(), now);
        match taken.goes_well() {
            None => self.below.idle(),
            Some(true) if !is_late => self.below.calm(now),
            Some(_) => self.below.strained(now),
        }
        let stream = &self.stream;
        let output = self.below.poll(|level| stream.has(level), now);
        if let Output::Drop(level) = output
            && let Some(stop) = &self.stops[level.index()]
        {
            stop.cancel();
        }
        output
    }

    /// Dials that level with this, until `stop`.
    pub(super) fn dial(
        &mut self,
        level: Level,
        stop: CancellationToken,
        dial: impl Future<Output = Result<Welcomed, Fault>> + Send + 'static,
    ) {
        self.stops[level.index()] = Some(stop.clone());
        self.dials.spawn(async move {
            let dialled = stop.run_until_cancelled(dial).await;
            let given_up = || Err(Fault::Lost("it is not wanted any more".to_owned()));
            (level, dialled.unwrap_or_else(given_up))
        });
    }

    /// Waits until something has come of a link. Cancel-safe.
    pub(super) async fn came(&mut self) -> Came {
        loop {
            tokio::select! {
                Some(dialled) = self.dials.join_next() => if let Ok((level, dialled)) = dialled {
                    return Came::Dialled(level, dialled);
                },
                Some(ended) = self.ends.join_next() => if let Ok(level) = ended {
                    return Came::Ended(level);
                },
                else => std::future::pending::<()>().await,
            }
        }
    }

    /// A link is there, and this is what is done on it; with what stops it.
    pub(super) fn begin<W: Future<Output = ()> + Send + 'static>(
        &mut self,
        level: Level,
        work: impl FnOnce(CancellationToken) -> W,
        now: Instant,
    ) {
        let Some(stop) = self.stops[level.index()].clone() else {
            return;
        };
        self.below.up(level, now);
        let work = work(stop);
        self.ends.spawn(async move {
            work.await;
            level
        });
    }

    /// It is not there, or not any more.
    pub(super) fn lost(&mut self, level: Level, now: Instant) {
        debug!(?level, "is not sent");
        self.stops[level.index()] = None;
        self.below.lost(level, now);
    }

    /// What is sent, where that has changed since this was asked.
    pub(super) fn news(&mut self) -> Option<LevelSet> {
        let sent = self.below.sent();
        (std::mem::replace(&mut self.told, sent) != sent).then_some(sent)
    }

    /// Waits until every link has said goodbye.
    pub(super) async fn part(&mut self) {
        self.dials.abort_all();
        while self.ends.join_next().await.is_some() {}
    }
}

/// Whether pictures are coded as fast as they come.
#[derive(Debug)]
struct Load {
    at: Instant,
    /// Taken, and left out.
    pictures: (u64, u64),
    is_late: bool,
}

impl Load {
    const fn new(pictures: (u64, u64), now: Instant) -> Self {
        Self {
            at: now,
            pictures,
            is_late: false,
        }
    }

    /// So many were taken by now, and so many left out.
    fn look(&mut self, (taken, skipped): (u64, u64), now: Instant) -> bool {
        if now.saturating_duration_since(self.at) >= WINDOW {
            let (took, missed) = (taken - self.pictures.0, skipped - self.pictures.1);
            self.is_late = missed >= MOST_MISSED && missed * 10 > took + missed;
            (self.at, self.pictures) = (now, (taken, skipped));
        }
        self.is_late
    }
}

/// Pictures are counted over so long.
const WINDOW: Duration = Duration::from_secs(1);
/// So few, or one in ten, are left out where a source gives them unevenly.
const MOST_MISSED: u64 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "any instant to count from")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_source_that_is_left_behind_is_noticed_and_one_that_is_uneven_is_not() {
        let t0 = start();
        let mut load = Load::new((0, 0), t0);
        let at = |ms| t0 + Duration::from_millis(ms);
        assert!(!load.look((25, 2), at(1000)), "two came at once");
        assert!(!load.look((30, 20), at(1500)), "too soon to say");
        assert!(load.look((40, 30), at(2000)));
        assert!(load.look((50, 30), at(2500)));
        assert!(!load.look((65, 31), at(3000)));
    }
}
