//! What is heard now, and what time it is at the server.

use std::time::{Duration, Instant};

use crate::media::MediaTime;

/// The capture time of the sound that leaves the speaker: the clock that pictures are held to.
#[derive(Debug, Default)]
pub(super) struct SoundClock {
    anchor: Option<(MediaTime, Instant)>,
    /// Counts subscriptions: times of one mean nothing in the next.
    generation: u64,
}

impl SoundClock {
    /// `heard`, a time of `generation`, was measured to leave the speaker at `at`. Measurements jump with the device's
    /// steps, so they only pull at the clock, unless they are far off. One of an earlier generation comes too late.
    pub(super) fn set(&mut self, generation: u64, heard: MediaTime, at: Instant) {
        if generation != self.generation {
            return;
        }
        let smooth = self.heard(at).and_then(|expected| {
            let off = heard.micros_after(expected);
            (off.abs() < FAR).then(|| expected.offset(off / 8))
        });
        self.anchor = Some((smooth.unwrap_or(heard), at));
    }

    /// The sound's position, or `None` if there is no sound or it has stopped.
    pub(super) fn heard(&self, now: Instant) -> Option<MediaTime> {
        let (heard, at) = self.anchor?;
        if now < at {
            let back = i64::try_from((at - now).as_micros()).ok()?;
            return Some(heard.offset(-back));
        }
        let passed = now - at;
        (passed < STALE).then(|| heard + passed)
    }

    /// There is no sound for now.
    pub(super) const fn stop(&mut self) {
        self.anchor = None;
    }

    /// Another subscription begins.
    pub(super) const fn restart(&mut self) {
        self.anchor = None;
        self.generation += 1;
    }

    /// Whose times are taken.
    pub(super) const fn generation(&self) -> u64 {
        self.generation
    }
}

/// The server's media clock as last told by the session.
#[derive(Debug, Default)]
pub(super) struct ServerClock {
    anchor: Option<(MediaTime, Instant)>,
}

impl ServerClock {
    pub(super) const fn set(&mut self, server: MediaTime, at: Instant) {
        self.anchor = Some((server, at));
    }

    pub(super) const fn forget(&mut self) {
        self.anchor = None;
    }

    /// What it shows at `at`.
    pub(super) fn time(&self, at: Instant) -> Option<MediaTime> {
        let (server, anchor) = self.anchor?;
        if at >= anchor {
            return Some(server + (at - anchor));
        }
        let back = i64::try_from((anchor - at).as_micros()).ok()?;
        Some(server.offset(-back))
    }
}

/// In microseconds: no device's steps are so large.
const FAR: i64 = 40_000;

/// So long after the last packet pictures no longer wait for sound.
const STALE: Duration = Duration::from_millis(250);

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "virtual time has to begin somewhere"
)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn at(ms: u64) -> MediaTime {
        MediaTime::from_micros(ms * 1000)
    }

    #[test]
    fn the_sound_clock_runs_on_between_packets_smooths_steps_and_stops() {
        let start = Instant::now();
        let mut clock = SoundClock::default();
        assert_eq!(clock.heard(start), None);
        clock.set(0, at(1000), start);
        assert_eq!(clock.heard(start + MS * 15), Some(at(1015)));
        // measured 8 ms late: one of them is believed
        clock.set(0, at(1012), start + MS * 20);
        assert_eq!(clock.heard(start + MS * 20), Some(at(1019)));
        clock.set(0, at(5000), start + MS * 40);
        assert_eq!(clock.heard(start + MS * 40), Some(at(5000)));
        assert_eq!(clock.heard(start + MS * 400), None);
    }

    #[test]
    fn what_was_measured_of_an_earlier_subscription_is_not_believed() {
        let start = Instant::now();
        let mut clock = SoundClock::default();
        let old = clock.generation();
        clock.set(old, at(90_000), start);
        clock.restart();
        clock.set(old, at(90_005), start + MS * 5);
        assert_eq!(clock.heard(start + MS * 5), None);
        clock.set(clock.generation(), at(20), start + MS * 6);
        assert_eq!(clock.heard(start + MS * 6), Some(at(20)));
    }

    #[test]
    fn the_servers_clock_can_be_asked_about_the_past() {
        let start = Instant::now() + MS * 10;
        let mut clock = ServerClock::default();
        clock.set(at(50), start);
        assert_eq!(clock.time(start + MS * 5), Some(at(55)));
        assert_eq!(clock.time(start - MS * 5), Some(at(45)));
    }
}
