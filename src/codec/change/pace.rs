//! So many cells a second, however the pictures come.

use std::time::Duration;

/// Counts out cells evenly over time.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// What is left of the last picture, in cells times microseconds.
    owed: u64,
}

impl Pace {
    /// Cells due after `elapsed`, when `count` of them are due in each `period`; never more than `count`.
    pub(super) fn take(&mut self, elapsed: Duration, count: usize, period: Duration) -> usize {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let period = micros(period);
        self.owed += micros(elapsed).min(period) * count as u64;
        let cells = self.owed / period;
        self.owed %= period;
        usize::try_from(cells).map_or(count, |cells| cells.min(count))
    }
}

/// Neighbouring cells, around the end.
pub(super) struct Turn {
    pub(super) from: usize,
    pub(super) cells: usize,
    pub(super) count: usize,
}

impl Turn {
    pub(super) const fn contains(&self, cell: usize) -> bool {
        (cell + self.count - self.from) % self.count < self.cells
    }

    /// The first cell behind it.
    pub(super) const fn end(&self) -> usize {
        (self.from + self.cells) % self.count
    }
}
