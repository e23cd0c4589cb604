//! What fills a published stream while somebody watches: the best picture, and who makes the levels below it.

use std::sync::Arc;
use std::time::Instant;

use tokio_util::sync::CancellationToken;

use super::assemble::Assembler;
use super::below::{Side, Wishes, hand_back};
use super::levels::Levels;
use super::times::Times;
use super::{Rights, Settings};
use crate::hub::{Filler, Stream};
use crate::media::{Level, LevelSet};
use crate::server::pictures::Supply;
use crate::transport::Kind;
use crate::wire::StreamName;

/// What there is while somebody watches.
pub(super) struct Filling {
    pub(super) filler: Filler,
    times: Times,
    pub(super) assembler: Assembler,
    pub(super) levels: Option<Levels>,
    /// Which levels the publisher makes, and which he is asked for.
    supply: Supply,
    pub(super) wishes: Wishes,
    /// Ends the links that bring them.
    below: [Option<CancellationToken>; Level::COUNT],
    /// Since when nobody does.
    pub(super) unwatched: Option<Instant>,
}

impl Filling {
    /// Nothing has come yet.
    pub(super) fn begin(stream: &Arc<Stream>, settings: &Settings, now: Instant) -> Self {
        let filler = stream.open();
        let pictures = settings.pictures.clone();
        let names = Arc::clone(&pictures.rungs);
        let supply = Supply::default();
        let levels = stream.tracks().video.then(|| {
            let turns = Arc::clone(&settings.turns);
            Levels::start(pictures, (filler.clone(), supply.clone()), turns)
        });
        let times = Times::new(filler.clone(), now);
        let fills = (filler.clone(), times.clone());
        Self {
            assembler: Assembler::new(Level::Full, fills, names, now),
            filler,
            times,
            levels: levels.flatten(),
            supply,
            wishes: Wishes::default(),
            below: Default::default(),
            unwatched: None,
        }
    }

    /// What takes this level from a link of its own, in place of what took it before.
    pub(super) fn bring(
        &mut self,
        level: Level,
        (kind, stream): (Kind, StreamName),
        rights: Rights,
        settings: &Settings,
        now: Instant,
    ) -> Side {
        self.end_level(level);
        let stop = settings.stop.child_token();
        self.below[level.index()] = Some(stop.clone());
        let (filler, times) = (self.filler.clone(), self.times.clone());
        let names = Arc::clone(&settings.pictures.rungs);
        let assembler = Assembler::new(level, (filler.clone(), times.clone()), names, now);
        Side::new(
            level,
            (kind, stream),
            assembler,
            (filler, times, self.supply.clone()),
            (stop, rights),
            (settings.pictures.epoch, now),
        )
    }

    /// The publisher makes none of the levels below the best any more.
    pub(super) fn end_below(&mut self) {
        for level in Level::ALL {
            self.end_level(level);
        }
    }

    fn end_level(&mut self, level: Level) {
        if let Some(side) = self.below[level.index()].take() {
            side.cancel();
            hand_back(level, &self.filler, &self.supply);
        }
    }

    /// Which levels are wanted.
    pub(super) fn wanted(&self) -> LevelSet {
        let is_wanted = |level: &Level| self.filler.is_wanted(*level);
        Level::ALL.into_iter().filter(is_wanted).collect()
    }
}

impl Drop for Filling {
    fn drop(&mut self) {
        self.end_below();
    }
}
