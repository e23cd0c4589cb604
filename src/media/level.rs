//! The ways in which one picture is coded side by side.

/// A way to code a stream's picture, best first. All levels of one picture are frames of the same number and time.
///
/// What size and quality a level has for a given source is said by `hub::Ladder`; a source of few pixels has not all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// The source as it is.
    Full = 0,
    /// The same size at a lower quality.
    FullCoarse = 1,
    /// Half as wide and half as high.
    Half = 2,
    /// The same at a lower quality.
    HalfCoarse = 3,
    /// A quarter as wide and a quarter as high.
    Quarter = 4,
}

impl Level {
    /// All of them.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Full,
        Self::FullCoarse,
        Self::Half,
        Self::HalfCoarse,
        Self::Quarter,
    ];

    /// How many there are.
    pub const COUNT: usize = 5;

    /// Its place in [`Self::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// How often each side of the source is halved.
    pub const fn halvings(self) -> usize {
        match self {
            Self::Full | Self::FullCoarse => 0,
            Self::Half | Self::HalfCoarse => 1,
            Self::Quarter => 2,
        }
    }
}

/// Some of the levels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LevelSet([bool; Level::COUNT]);

impl LevelSet {
    /// None of them.
    pub const NONE: Self = Self([false; Level::COUNT]);

    /// Whether that one is among them.
    pub const fn has(self, level: Level) -> bool {
        self.0[level.index()]
    }

    /// Puts one in, or takes it out.
    pub const fn set(&mut self, level: Level, is_in: bool) {
        self.0[level.index()] = is_in;
    }

    /// Those that there are, best first.
    pub fn iter(self) -> impl DoubleEndedIterator<Item = Level> {
        Level::ALL.into_iter().filter(move |level| self.has(*level))
    }
}

impl FromIterator<Level> for LevelSet {
    fn from_iter<I: IntoIterator<Item = Level>>(levels: I) -> Self {
        let mut set = Self::NONE;
        for level in levels {
            set.set(level, true);
        }
        set
    }
}
