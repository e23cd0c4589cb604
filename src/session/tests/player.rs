//! What a viewer is shown of what comes, in virtual time: the sound's buffer as playback uses it, and pictures in step
//! with what is heard.

use std::collections::VecDeque;

use super::*;
use crate::jitter::{Audio, Bounds, Estimate, Lateness, Pull};

/// A speaker and a screen.
pub(super) struct Player {
    epoch: Instant,
    sounds: Audio,
    pictures: Estimate,
    lateness: Lateness,
    /// Whole frames that are not due.
    waiting: VecDeque<MediaTime>,
    /// Until when the speaker has sound.
    sounds_until: Instant,
    heard: Option<(MediaTime, Instant)>,
    /// When a picture was shown, in milliseconds, and how old it was then.
    pub(super) shown: Vec<(u64, u64)>,
    /// Packets that were not there when they were due.
    pub(super) concealed: u64,
}

impl Player {
    pub(super) fn new(epoch: Instant) -> Self {
        Self {
            epoch,
            sounds: Audio::new(Bounds::ADAPTIVE, epoch),
            pictures: Estimate::new(epoch),
            lateness: Lateness::new(epoch),
            waiting: VecDeque::new(),
            sounds_until: epoch,
            heard: None,
            shown: Vec::new(),
            concealed: 0,
        }
    }

    pub(super) fn sound(&mut self, packet: AudioPacket, now: Instant) {
        self.sounds.push(packet, now);
    }

    pub(super) fn picture(&mut self, rung: RungId, capture: MediaTime, now: Instant) {
        self.pictures.add(capture, now);
        self.lateness.add(rung, capture, now);
        self.waiting.push_back(capture);
        if let (Some(slowest), Some(sound)) =
            (self.lateness.slowest(), self.sounds.estimate().fastest())
        {
            let floor = u64::try_from(slowest - sound).unwrap_or(0);
            self.sounds.set_floor(Duration::from_micros(floor));
        }
    }

    /// Packets that were not heard.
    pub(super) fn lost(&self) -> u64 {
        let counts = self.sounds.counts();
        counts.lost + counts.skipped
    }

    /// A millisecond.
    pub(super) fn tick(&mut self, now: Instant) {
        while self.sounds_until <= now {
            let rate = self.sounds.rate();
            let pulled = self.sounds.pull(now);
            let lasts = match pulled {
                Pull::Packet(packet) => {
                    self.heard = Some((packet.capture, self.sounds_until));
                    packet.duration.div_f64(rate)
                }
                Pull::Conceal => {
                    self.concealed += 1;
                    ms(20)
                }
                Pull::Silence => ms(5),
            };
            self.sounds_until += lasts;
        }
        let age = now - self.epoch;
        let at = u64::try_from(age.as_millis()).unwrap();
        let playout = match self.heard {
            Some((capture, from)) if now < from + ms(250) => {
                Some(capture + now.saturating_duration_since(from))
            }
            _ => self.pictures.playout(now, self.pictures.spread()),
        };
        let mut due = None;
        while let Some(capture) = self.waiting.front()
            && playout.is_none_or(|playout| *capture <= playout + ms(2))
        {
            due = self.waiting.pop_front();
        }
        if let Some(capture) = due {
            self.shown.push((at, at - capture.as_micros() / 1000));
        }
    }
}
