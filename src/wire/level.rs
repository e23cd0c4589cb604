//! What the levels below the best picture are called.

use serde::{Deserialize, Serialize};

use crate::media::Level;

/// A level below the best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LevelName {
    /// [`Level::FullCoarse`].
    FullCoarse,
    /// [`Level::Half`].
    Half,
    /// [`Level::HalfCoarse`].
    HalfCoarse,
    /// [`Level::Quarter`].
    Quarter,
    /// Of a newer peer. Never sent.
    #[serde(other)]
    Unknown,
}

impl LevelName {
    /// `None` for the best, which has none.
    pub const fn of(level: Level) -> Option<Self> {
        Some(match level {
            Level::Full => return None,
            Level::FullCoarse => Self::FullCoarse,
            Level::Half => Self::Half,
            Level::HalfCoarse => Self::HalfCoarse,
            Level::Quarter => Self::Quarter,
        })
    }

    /// Which it is; `None` for one of a newer peer.
    pub const fn level(self) -> Option<Level> {
        Some(match self {
            Self::FullCoarse => Level::FullCoarse,
            Self::Half => Level::Half,
            Self::HalfCoarse => Level::HalfCoarse,
            Self::Quarter => Level::Quarter,
            Self::Unknown => return None,
        })
    }

    /// The same as on the wire.
    pub const fn word(self) -> &'static str {
        match self {
            Self::FullCoarse => "full_coarse",
            Self::Half => "half",
            Self::HalfCoarse => "half_coarse",
            Self::Quarter => "quarter",
            Self::Unknown => "unknown",
        }
    }
}
