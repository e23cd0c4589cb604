//! Rate control: which step of the picture a viewer's line can take, judged by how long frames take until they are
//! complete at the viewer.
//!
//! One step down when their median age has been above 100 ms for 300 ms (one more for each doubling); one step up, as a
//! trial, when all have been below 50 ms for 3 s. A trial that fails doubles the wait before the next one to the same
//! step, up to two minutes, so that on a steady line the trials become rare. Only frames that were begun on the present
//! step are counted: what is still under way from before says nothing about it. One that is late already, and that the
//! line will take long for, is given up: a newcomer's first picture may be seconds of his line. A line that delivers
//! nothing gives no reason to change anything.
//!
//! No clock, no IO: time is an argument.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Frames older than this are too late.
const LATE: Duration = Duration::from_millis(100);

/// Frames younger than this leave room for more.
const EARLY: Duration = Duration::from_millis(50);

/// How long they must be late for a step down.
const LATE_FOR: Duration = Duration::from_millis(300);

/// How long they must be early for a step up, before any failure.
const EARLY_FOR: Duration = Duration::from_secs(3);

/// The longest such wait.
const LONGEST_WAIT: Duration = Duration::from_secs(120);

/// A step up that holds for so long has succeeded; or twice its wait, if that is longer. One that the line nearly takes
/// holds for half a minute, while the queue that gives it up grows.
const TRIAL: Duration = Duration::from_secs(60);

/// Frames remembered.
const MAX_FRAMES: usize = 64;

/// Steps there can be.
const MAX_STEPS: usize = 32;

/// Chooses the step.
#[derive(Debug)]
pub(super) struct Pace {
    step: usize,
    /// Frames begun before are not judged.
    since: Instant,
    /// When frames completed and how old they were, of the last [`LATE_FOR`].
    lately: VecDeque<(Instant, Duration)>,
    /// Since when the median of these was late.
    late_since: Option<Instant>,
    /// Since when every frame was early.
    early_since: Option<Instant>,
    /// How long to be early before trying each step.
    waits: [Duration; MAX_STEPS],
    /// When the present step was tried from below.
    trial: Option<Instant>,
}

impl Pace {
    /// On the best step.
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            step: 0,
            since: now,
            lately: VecDeque::new(),
            late_since: None,
            early_since: None,
            waits: [EARLY_FOR; MAX_STEPS],
            trial: None,
        }
    }

    /// The step, from 0 for the best picture.
    pub(super) const fn step(&self) -> usize {
        self.step
    }

    /// A frame, begun then, is complete at the viewer and so old, beyond what the way there takes at least; there are
    /// `steps` steps. Whether the step has changed.
    pub(super) fn complete(
        &mut self,
        began: Instant,
        age: Duration,
        steps: usize,
        now: Instant,
    ) -> bool {
        let last = steps.clamp(1, MAX_STEPS) - 1;
        if self.step > last {
            // The source became smaller, and the ladder shorter.
            return self.go(last, now);
        }
        if began < self.since {
            return false;
        }
        self.remember(age, now);
        if age >= EARLY {
            self.early_since = None;
        } else if self.early_since.is_none() {
            self.early_since = Some(now);
        }
        if self.median() > LATE {
            let since = *self.late_since.get_or_insert(now);
            let long = now.saturating_duration_since(since) >= LATE_FOR;
            return long && self.step < last && self.down(last, now);
        }
        self.late_since = None;
        self.up(now)
    }

    /// Whether a frame, begun then, that a line as fast as it gets `takes` so long for is late already and better given
    /// up. Then the step has changed.
    pub(super) fn give_up(
        &mut self,
        began: Instant,
        takes: Duration,
        steps: usize,
        now: Instant,
    ) -> bool {
        let last = steps.clamp(1, MAX_STEPS) - 1;
        let late = now.saturating_duration_since(began) >= LATE_FOR && takes >= LATE_FOR;
        if !late || began < self.since || self.step >= last {
            return false;
        }
        self.remember(takes, now);
        self.down(last, now)
    }

    /// Median age of the frames of late.
    fn median(&self) -> Duration {
        let mut ages = [Duration::ZERO; MAX_FRAMES];
        let ages = &mut ages[..self.lately.len()];
        for (to, (_, age)) in ages.iter_mut().zip(&self.lately) {
            *to = *age;
        }
        let middle = ages.len() / 2;
        if ages.is_empty() {
            return Duration::ZERO;
        }
        *ages.select_nth_unstable(middle).1
    }

    fn down(&mut self, last: usize, now: Instant) -> bool {
        if let Some(tried) = self.trial {
            let wait = &mut self.waits[self.step];
            if now.saturating_duration_since(tried) < TRIAL.max(*wait * 2) {
                *wait = (*wait * 2).min(LONGEST_WAIT);
            } else {
                *wait = EARLY_FOR;
            }
        }
        // A step makes frames a little more than half as large.
        let times = self.median().as_millis() / LATE.as_millis();
        let far = 1 + usize::try_from(times.max(1).ilog2()).unwrap_or(MAX_STEPS);
        self.go((self.step + far).min(last), now)
    }

    fn up(&mut self, now: Instant) -> bool {
        let Some(above) = self.step.checked_sub(1) else {
            return false;
        };
        let early = self
            .early_since
            .is_some_and(|since| now.saturating_duration_since(since) >= self.waits[above]);
        if !early {
            return false;
        }
        // What was tried from below and has held is not on trial any more.
        if let Some(tried) = self.trial
            && now.saturating_duration_since(tried) >= TRIAL.max(self.waits[self.step] * 2)
        {
            self.waits[self.step] = EARLY_FOR;
        }
        self.go(above, now);
        self.trial = Some(now);
        true
    }

    fn go(&mut self, step: usize, now: Instant) -> bool {
        self.step = step;
        self.since = now;
        self.lately.clear();
        self.late_since = None;
        self.early_since = None;
        self.trial = None;
        true
    }

    fn remember(&mut self, age: Duration, now: Instant) {
        while self.lately.len() == MAX_FRAMES
            || self.lately.len() > 2
                && self
                    .lately
                    .front()
                    .is_some_and(|(at, _)| now.saturating_duration_since(*at) > LATE_FOR)
        {
            self.lately.pop_front();
        }
        self.lately.push_back((now, age));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any instant to count from")]
    fn a_step_that_the_line_nearly_takes_is_tried_ever_more_rarely() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        let (mut since, mut steps) = (start, Vec::new());
        for frame in 0..20 * 60 * 30 {
            let now = start + Duration::from_millis(33) * frame;
            // On the best step a queue grows, which is too long after 20 s; on the next there is none.
            let age = match pace.step() {
                0 => now.saturating_duration_since(since) / 200,
                _ => Duration::from_millis(10),
            };
            if pace.complete(now, age, 2, now) {
                since = now;
                steps.push(now.saturating_duration_since(start).as_secs());
            }
        }
        let (first, second): (Vec<u64>, Vec<u64>) = steps.iter().partition(|at| **at < 600);
        assert!(first.len() <= 17, "{first:?}");
        assert!(second.len() <= 9, "{second:?}");
    }
}
