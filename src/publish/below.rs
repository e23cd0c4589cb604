//! Which levels below the best picture are sent beside it. A state machine without clock and IO.
//!
//! What an uplink has to spare is known only by using it. So a level is begun when the best picture has gone out whole and
//! in time for a while, the smallest that is wanted first, and one after the other; and where that was too much, which
//! shows by the best picture's step, by the level's own frames, or by a source that is not coded in time, it is given up,
//! and not tried again before a pause that grows with each time. The server makes what is not sent.

use std::time::{Duration, Instant};

use crate::media::{Level, LevelSet};

/// What is sent beside the best picture, and what is to be.
#[derive(Debug)]
pub(super) struct Below {
    wanted: LevelSet,
    levels: [State; Level::COUNT],
    /// Since when the best picture goes out as it should, or does not.
    calm: Option<Instant>,
    strained: Option<Instant>,
    /// Nothing is begun before.
    until: Instant,
    pause: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    Dialling,
    Up {
        since: Instant,
    },
    /// It is to be given up.
    Unwanted,
    /// It is being given up.
    Going,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Output {
    /// Dial a link for that level.
    Dial(Level),
    /// Close that level's link, or do not dial it any more.
    Drop(Level),
    /// Nothing until then.
    Wait(Option<Instant>),
}

impl Below {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            wanted: LevelSet::NONE,
            levels: [State::Idle; Level::COUNT],
            calm: None,
            strained: None,
            until: now,
            pause: FIRST_PAUSE,
        }
    }

    /// The server would have these.
    pub(super) fn wanted(&mut self, wanted: LevelSet) {
        self.wanted = wanted;
        self.drop_where(|level| !wanted.has(level));
    }

    /// The best picture goes out as it should.
    pub(super) const fn calm(&mut self, now: Instant) {
        self.strained = None;
        if self.calm.is_none() {
            self.calm = Some(now);
        }
    }

    /// It is not sent: nobody watches, or there is no link.
    pub(super) fn idle(&mut self) {
        (self.calm, self.strained) = (None, None);
        self.drop_where(|_| true);
    }

    /// It goes out coarser or rarer than it is, or is not coded in time. What was begun a moment ago is given up for that;
    /// and all, where there is no such thing, or where that did not help.
    pub(super) fn strained(&mut self, now: Instant) {
        self.calm = None;
        let since = *self.strained.get_or_insert(now);
        let first = since == now;
        if !first && now.saturating_duration_since(since) < RELIEF {
            return;
        }
        let newest = self
            .newest()
            .filter(|(_, since)| first && now.saturating_duration_since(*since) < TRIAL);
        let is_meant = |level| newest.is_none_or(|(newest, _)| level == newest);
        if self.drop_where(is_meant) {
            self.put_off(now);
        }
    }

    /// That level's link is there.
    pub(super) fn up(&mut self, level: Level, now: Instant) {
        let state = &mut self.levels[level.index()];
        if *state == State::Dialling {
            *state = State::Up { since: now };
        }
    }

    /// It could not be had, has ended, or was too much for the line.
    pub(super) fn lost(&mut self, level: Level, now: Instant) {
        let state = std::mem::replace(&mut self.levels[level.index()], State::Idle);
        match state {
            State::Dialling => self.put_off(now),
            State::Up { since } => {
                if now.saturating_duration_since(since) >= LASTED {
                    self.pause = FIRST_PAUSE;
                }
                self.put_off(now);
            }
            State::Idle | State::Unwanted | State::Going => {}
        }
    }

    /// What is sent.
    pub(super) fn sent(&self) -> LevelSet {
        let is_up = |level: &Level| matches!(self.levels[level.index()], State::Up { .. });
        Level::ALL.into_iter().filter(is_up).collect()
    }

    /// What was begun last of what is sent, and when.
    fn newest(&self) -> Option<(Level, Instant)> {
        let all = Level::ALL.into_iter().zip(&self.levels);
        let up = all.filter_map(|(level, state)| match state {
            State::Up { since } => Some((level, *since)),
            State::Idle | State::Dialling | State::Unwanted | State::Going => None,
        });
        up.max_by_key(|(_, since)| *since)
    }

    /// What to do now; `has`: the source has such a level.
    pub(super) fn poll(&mut self, has: impl Fn(Level) -> bool, now: Instant) -> Output {
        for (level, state) in Level::ALL.into_iter().zip(&mut self.levels) {
            if *state == State::Unwanted {
                *state = State::Going;
                return Output::Drop(level);
            }
        }
        // One after the other.
        let is_dialling = self.levels.contains(&State::Dialling);
        let Some(calm) = self.calm.filter(|_| !is_dialling) else {
            return Output::Wait(None);
        };
        let mut lacking = self.wanted.iter().rev();
        let lacking =
            lacking.find(|level| self.levels[level.index()] == State::Idle && has(*level));
        let Some(level) = lacking else {
            return Output::Wait(None);
        };
        let newest = self.newest().map_or(calm, |(_, since)| since);
        let at = (calm.max(newest) + CALM).max(self.until);
        if now < at {
            return Output::Wait(Some(at));
        }
        self.levels[level.index()] = State::Dialling;
        Output::Dial(level)
    }

    /// Gives up what there is of these; whether there was any.
    fn drop_where(&mut self, is_meant: impl Fn(Level) -> bool) -> bool {
        let mut any = false;
        for (level, state) in Level::ALL.into_iter().zip(&mut self.levels) {
            let is_there = matches!(state, State::Dialling | State::Up { .. });
            if is_there && is_meant(level) {
                *state = State::Unwanted;
                any = true;
            }
        }
        any
    }

    fn put_off(&mut self, now: Instant) {
        self.until = now + self.pause;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }
}

/// The best picture, and each level behind it, goes well for so long before the next is begun.
const CALM: Duration = Duration::from_secs(5);
/// What was begun so lately is what was too much.
const TRIAL: Duration = Duration::from_secs(30);
/// It is given up for so long before all are.
const RELIEF: Duration = Duration::from_secs(5);
/// After the first that was too much.
const FIRST_PAUSE: Duration = Duration::from_secs(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(600);
/// What went well for so long was no mistake.
const LASTED: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "any instant to count from")]
    fn start() -> Instant {
        Instant::now()
    }

    const fn s(s: u64) -> Duration {
        Duration::from_secs(s)
    }

    fn set(levels: &[Level]) -> LevelSet {
        levels.iter().copied().collect()
    }

    const WANTED: [Level; 3] = [Level::FullCoarse, Level::Half, Level::Quarter];

    /// An uplink that takes so many levels beside the best; says when what was dialled or dropped, in seconds.
    fn line(
        below: &mut Below,
        t0: Instant,
        seconds: u64,
        takes: impl Fn(u64) -> usize,
    ) -> Vec<(u64, Output)> {
        let mut said = Vec::new();
        for n in 0..seconds {
            let now = t0 + s(n);
            if below.sent().iter().count() > takes(n) {
                below.strained(now);
            } else {
                below.calm(now);
            }
            loop {
                let output = below.poll(|_| true, now);
                match output {
                    Output::Wait(_) => break,
                    Output::Dial(level) => below.up(level, now),
                    Output::Drop(level) => below.lost(level, now),
                }
                said.push((n, output));
            }
        }
        said
    }

    #[test]
    fn levels_are_begun_one_after_the_other_the_smallest_first_once_the_best_goes_well() {
        let t0 = start();
        let mut below = Below::new(t0);
        assert_eq!(below.poll(|_| true, t0), Output::Wait(None));
        below.wanted(set(&WANTED));
        let said = line(&mut below, t0, 60, |_| 4);
        let dialled = [
            (5, Level::Quarter),
            (10, Level::Half),
            (15, Level::FullCoarse),
        ];
        assert_eq!(said, dialled.map(|(at, level)| (at, Output::Dial(level))));
        assert_eq!(below.sent(), set(&WANTED));
        below.wanted(set(&[Level::Half]));
        assert_eq!(
            below.poll(|_| true, t0 + s(60)),
            Output::Drop(Level::FullCoarse)
        );
        assert_eq!(
            below.poll(|_| true, t0 + s(60)),
            Output::Drop(Level::Quarter)
        );
        assert_eq!(below.sent(), set(&[Level::Half]));
        assert_eq!(below.poll(|_| true, t0 + s(61)), Output::Wait(None));
    }

    #[test]
    fn what_the_source_does_not_have_is_not_dialled() {
        let t0 = start();
        let mut below = Below::new(t0);
        below.wanted(set(&WANTED));
        below.calm(t0);
        let has = |level| level == Level::FullCoarse;
        assert_eq!(below.poll(has, t0 + CALM), Output::Dial(Level::FullCoarse));
        assert_eq!(
            below.poll(|_| true, t0 + s(99)),
            Output::Wait(None),
            "dialling"
        );
    }

    /// Trials on a line that has no room become rare: of an hour next to nothing is spent on them.
    #[test]
    fn where_there_is_no_room_trials_become_rare_and_where_there_is_again_it_is_used() {
        let t0 = start();
        let mut below = Below::new(t0);
        below.wanted(set(&WANTED));
        let said = line(&mut below, t0, 10_800, |n| if n < 3600 { 0 } else { 2 });
        let trials = |from, until| {
            let within = said.iter().filter(|(at, output)| {
                (from..until).contains(at) && matches!(output, Output::Dial(_))
            });
            within.count()
        };
        println!(
            "{} in an hour, {} in another",
            trials(0, 3600),
            trials(7200, 10_800)
        );
        assert!((5..=12).contains(&trials(0, 3600)), "{said:?}");
        // Of three the line takes two: these stay, while the third is tried now and then.
        assert!((3..=8).contains(&trials(7200, 10_800)), "{said:?}");
        assert_eq!(
            below.sent(),
            set(&[Level::Quarter, Level::Half]),
            "{said:?}"
        );
        let is_third = |(_, output): &&(u64, Output)| *output == Output::Dial(Level::FullCoarse);
        let others = said
            .iter()
            .filter(|(at, _)| *at > 4800)
            .filter(|said| !is_third(said));
        assert!(
            others
                .clone()
                .all(|(_, o)| *o == Output::Drop(Level::FullCoarse)),
            "{said:?}"
        );
    }

    #[test]
    fn a_line_that_becomes_worse_by_itself_is_left_to_the_best_picture() {
        let t0 = start();
        let mut below = Below::new(t0);
        below.wanted(set(&WANTED));
        line(&mut below, t0, 60, |_| 4);
        let worse = t0 + s(100);
        below.strained(worse);
        for level in WANTED {
            assert_eq!(below.poll(|_| true, worse), Output::Drop(level));
        }
        assert_eq!(below.poll(|_| true, worse), Output::Wait(None));
    }

    #[test]
    fn where_giving_up_the_newest_does_not_help_all_are_given_up() {
        let t0 = start();
        let mut below = Below::new(t0);
        below.wanted(set(&WANTED));
        line(&mut below, t0, 20, |_| 4);
        let at = |n| t0 + s(n);
        below.strained(at(20));
        assert_eq!(
            below.poll(|_| true, at(20)),
            Output::Drop(Level::FullCoarse)
        );
        below.strained(at(22));
        assert_eq!(below.poll(|_| true, at(22)), Output::Wait(None));
        below.strained(at(20) + RELIEF);
        assert_eq!(below.poll(|_| true, at(25)), Output::Drop(Level::Half));
        assert_eq!(below.poll(|_| true, at(25)), Output::Drop(Level::Quarter));
    }

    #[test]
    fn while_the_best_picture_is_not_sent_nothing_is_and_that_is_no_failure() {
        let t0 = start();
        let mut below = Below::new(t0);
        below.wanted(set(&[Level::Half]));
        line(&mut below, t0, 10, |_| 4);
        assert_eq!(below.sent(), set(&[Level::Half]));
        below.idle();
        assert_eq!(below.poll(|_| true, t0 + s(10)), Output::Drop(Level::Half));
        below.lost(Level::Half, t0 + s(10));
        below.calm(t0 + s(11));
        assert_eq!(
            below.poll(|_| true, t0 + s(11)),
            Output::Wait(Some(t0 + s(16)))
        );
        assert_eq!(below.poll(|_| true, t0 + s(16)), Output::Dial(Level::Half));
    }

    #[test]
    fn a_link_that_cannot_be_had_or_falls_behind_is_tried_again_later_and_later() {
        let t0 = start();
        let mut below = Below::new(t0);
        below.wanted(set(&[Level::Half]));
        below.calm(t0);
        let (mut now, mut waits) = (t0 + CALM, Vec::new());
        for n in 0..8 {
            assert_eq!(below.poll(|_| true, now), Output::Dial(Level::Half));
            if n % 2 == 0 {
                below.up(Level::Half, now);
            }
            below.lost(Level::Half, now);
            let Output::Wait(Some(at)) = below.poll(|_| true, now) else {
                panic!("{below:?}");
            };
            waits.push((at - now).as_secs());
            now = at;
        }
        assert_eq!(waits, [20, 40, 80, 160, 320, 600, 600, 600]);
        below.poll(|_| true, now);
        below.up(Level::Half, now);
        below.lost(Level::Half, now + LASTED);
        let again = now + LASTED + FIRST_PAUSE;
        assert_eq!(
            below.poll(|_| true, now + LASTED),
            Output::Wait(Some(again))
        );
    }
}
