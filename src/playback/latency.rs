//! How long pictures and sound are held before they are played.

use std::time::Duration;

use crate::jitter::Bounds;

/// What a viewer prefers: fresh or smooth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Latency {
    /// Pictures as soon as they are whole, whatever the sound does.
    Instant,
    /// As short as the line allows, pictures held to the sound.
    #[default]
    Low,
    /// At least 200 ms, so that an uneven line is not noticed.
    Smooth,
    /// Exactly this much over the fastest that the line ever was, 20 ms to 10 s.
    Fixed(Duration),
}

impl Latency {
    /// Between what the sound's buffer may be.
    pub(super) fn bounds(self) -> Bounds {
        match self {
            Self::Instant | Self::Low => Bounds::ADAPTIVE,
            Self::Smooth => Bounds {
                min: SMOOTH,
                max: SMOOTHEST,
            },
            Self::Fixed(delay) => {
                let delay = delay.clamp(Bounds::ADAPTIVE.min, Bounds::MAX);
                Bounds {
                    min: delay,
                    max: delay,
                }
            }
        }
    }

    /// How long pictures without sound are held over the fastest, if 95 % of them are at most `spread` over it;
    /// `None`: not at all.
    pub(super) fn hold(self, spread: Duration) -> Option<Duration> {
        match self {
            Self::Instant => None,
            Self::Low => Some(spread.min(Bounds::ADAPTIVE.max)),
            Self::Smooth => Some(spread.clamp(SMOOTH, SMOOTHEST)),
            Self::Fixed(delay) => Some(delay.min(Bounds::MAX)),
        }
    }
}

const SMOOTH: Duration = Duration::from_millis(200);
const SMOOTHEST: Duration = Duration::from_millis(500);
