//! What a stream is made of, and how its source is.

/// Picture and sound: what there is, or what is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tracks {
    /// The picture.
    pub video: bool,
    /// The sound.
    pub audio: bool,
}

/// How a source is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SourceState {
    /// Being opened: nothing has come yet.
    #[default]
    Opening,
    /// Delivering.
    Live,
    /// Gone, and waited for.
    Lost {
        /// For a person.
        why: String,
    },
    /// Over, and will not come back.
    Ended {
        /// For a person.
        why: String,
    },
}

impl SourceState {
    /// One word for it, as in `--json`.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Opening => "opening",
            Self::Live => "live",
            Self::Lost { .. } => "lost",
            Self::Ended { .. } => "ended",
        }
    }

    /// Why, where there is a reason.
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::Lost { why } | Self::Ended { why } => Some(why),
            Self::Opening | Self::Live => None,
        }
    }
}
