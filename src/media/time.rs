//! Time on the server's media clock.

use std::time::Duration;

/// Microseconds since the server's epoch (the moment it started), on a clock that never jumps.
///
/// Every capture time on the wire is one of these, for pictures and sound alike, so that both are on one clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MediaTime(u64);

impl MediaTime {
    /// The epoch itself.
    pub const ZERO: Self = Self(0);

    /// `us` microseconds after the epoch.
    pub const fn from_micros(us: u64) -> Self {
        Self(us)
    }

    /// Microseconds since the epoch.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// `since` as time after the epoch; saturates after 584,000 years.
    pub fn from_duration(since: Duration) -> Self {
        Self(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
    }

    /// Time from `earlier` until this; zero if `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// This minus `earlier` in microseconds, negative if `earlier` is later.
    pub fn micros_after(self, earlier: Self) -> i64 {
        i64::try_from(i128::from(self.0) - i128::from(earlier.0)).unwrap_or(if self.0 > earlier.0 {
            i64::MAX
        } else {
            i64::MIN
        })
    }

    /// This moved by `us` microseconds, clamped to the clock's range.
    #[must_use]
    pub const fn offset(self, us: i64) -> Self {
        Self(self.0.saturating_add_signed(us))
    }
}

impl std::ops::Add<Duration> for MediaTime {
    type Output = Self;

    fn add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(Self::from_duration(by).0))
    }
}
