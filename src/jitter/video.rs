//! Changes of the picture, held until they are due. The picture is state: what was never shown is merged into what is.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::pending::{Index, Pending};
use crate::media::{CellIndex, MAX_CELLS, MediaTime, RungId};

/// Holds the changes of one picture until they are due.
///
/// Frames come in order, as a stream brings them; the cells of the one that is coming may come in any.
///
/// Bounded by frames and bytes: beyond that the oldest changes are merged into the next ones, so that only moments
/// are lost, never cells.
#[derive(Debug, Default)]
pub struct Video {
    /// Whole frames, oldest first.
    ready: VecDeque<Pending>,
    /// The frame whose end has not come.
    open: Option<Pending>,
    /// Where the cells of `open` are; reused from frame to frame.
    index: Index,
    /// The same for frames that are merged.
    merging: Index,
    /// Cells and bytes of the frame before.
    usual: (usize, usize),
    bytes: usize,
    merged: u64,
    dropped: u64,
}

/// What to paint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// How the cells are coded.
    pub rung: RungId,
    /// The newest frame in it.
    pub frame: u64,
    /// Capture time of that frame.
    pub capture: MediaTime,
    /// The newest version of each cell that changed, by index.
    pub cells: Vec<(CellIndex, Bytes)>,
    /// Some cells of the frame may be missing: its time was up before it was whole.
    pub partial: bool,
    /// Frames that were never shown because this one was there.
    pub skipped: u64,
}

impl Video {
    /// Nothing waits.
    pub fn new() -> Self {
        Self::default()
    }

    /// Cells of a frame have come.
    pub fn push(
        &mut self,
        rung: RungId,
        frame: u64,
        capture: MediaTime,
        cells: Vec<(CellIndex, Bytes)>,
        now: Instant,
    ) {
        if self.open.as_ref().is_some_and(|open| open.rung != rung) {
            // the other rung's picture will never be whole
            self.forget_open();
        }
        let open = self.open.get_or_insert_with(|| {
            let mut open = Pending::new(rung, frame, capture, now);
            open.reserve(self.usual);
            open
        });
        open.frame = open.frame.max(frame);
        open.capture = open.capture.max(capture);
        self.bytes -= open.bytes;
        for (cell, bytes) in cells {
            let total = self.bytes + open.bytes + bytes.len();
            if total > REFUSED_BYTES || cell as usize >= MAX_CELLS {
                self.dropped += 1;
                continue;
            }
            open.put(cell, frame, &bytes, &mut self.index);
        }
        self.bytes += open.bytes;
        self.shrink();
    }

    /// All cells of a frame have come, with those of earlier frames that it shares.
    pub fn end(&mut self, rung: RungId, frame: u64, capture: MediaTime, now: Instant) {
        if self.open.as_ref().is_some_and(|open| open.rung != rung) {
            self.forget_open();
        }
        let mut whole = match self.open.take() {
            Some(open) => {
                open.leave(&mut self.index);
                open
            }
            None => Pending::new(rung, frame, capture, now),
        };
        whole.frame = whole.frame.max(frame);
        whole.capture = capture;
        self.usual = whole.fit();
        self.ready.push_back(whole);
        self.shrink();
    }

    /// What is to be shown now, if anything: everything captured until `playout`, or all that is whole if it is
    /// `None`. A frame that is due but does not get whole for [`Video::PATIENCE`] is shown as far as it came.
    pub fn due(&mut self, playout: Option<MediaTime>, now: Instant) -> Option<Update> {
        let playout = self.limit(playout);
        let mut update: Option<Pending> = None;
        while self
            .ready
            .front()
            .is_some_and(|front| is_due(front.capture, playout))
        {
            let Some(next) = self.ready.pop_front() else {
                break;
            };
            self.bytes -= next.bytes;
            update = Some(match update {
                Some(earlier) => next.over(earlier, &mut self.merging),
                None => next,
            });
        }
        let mut partial = false;
        if self.ready.is_empty()
            && let Some(open) = self.open.take_if(|open| {
                is_due(open.capture, playout)
                    && now.saturating_duration_since(open.since) >= Self::PATIENCE
                    && !open.is_empty()
            })
        {
            self.bytes -= open.bytes;
            open.leave(&mut self.index);
            partial = true;
            update = Some(match update {
                Some(earlier) => open.over(earlier, &mut self.merging),
                None => open,
            });
        }
        update.map(|pending| Update {
            rung: pending.rung,
            frame: pending.frame,
            capture: pending.capture,
            partial,
            skipped: pending.skipped,
            cells: pending.into_cells(),
        })
    }

    /// How long until [`Video::due`] may give something, if nothing more comes; `None`: only an arrival helps.
    pub fn wait(&self, playout: Option<MediaTime>, now: Instant) -> Option<Duration> {
        let playout = self.limit(playout);
        let until = |capture: MediaTime| {
            playout.map_or(Duration::ZERO, |playout| capture.since(playout + EARLY))
        };
        let ready = self.ready.front().map(|front| until(front.capture));
        let open = self
            .open
            .as_ref()
            .filter(|open| !open.is_empty())
            .map(|open| {
                let patience =
                    Self::PATIENCE.saturating_sub(now.saturating_duration_since(open.since));
                until(open.capture).max(patience)
            });
        match (ready, open) {
            (Some(ready), Some(open)) => Some(ready.min(open)),
            (ready, open) => ready.or(open),
        }
    }

    /// Drops all that waits: another server's picture begins.
    pub fn reset(&mut self) {
        self.ready.clear();
        self.forget_open();
        self.bytes = 0;
    }

    /// Whole frames that wait.
    pub fn frames(&self) -> usize {
        self.ready.len()
    }

    /// Coded bytes that wait.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Frames merged into later ones because too much waited.
    pub const fn merged(&self) -> u64 {
        self.merged
    }

    /// Cells refused because one picture alone was beyond the limit.
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// How long a frame that is due may be incomplete.
    pub const PATIENCE: Duration = Duration::from_millis(100);

    /// Merges the oldest frames until the bounds hold.
    fn shrink(&mut self) {
        while self.ready.len() > MAX_FRAMES || (self.bytes > MAX_BYTES && self.ready.len() > 1) {
            let (Some(oldest), Some(next)) = (self.ready.pop_front(), self.ready.pop_front())
            else {
                return;
            };
            self.bytes -= oldest.bytes + next.bytes;
            let both = next.over(oldest, &mut self.merging);
            self.bytes += both.bytes;
            self.merged += 1;
            self.ready.push_front(both);
        }
    }

    /// What is due: everything, while there is too much even for one frame.
    fn limit(&self, playout: Option<MediaTime>) -> Option<MediaTime> {
        playout.filter(|_| self.bytes <= MAX_BYTES)
    }

    fn forget_open(&mut self) {
        if let Some(open) = self.open.take() {
            open.leave(&mut self.index);
            self.bytes -= open.bytes;
        }
    }
}

fn is_due(capture: MediaTime, playout: Option<MediaTime>) -> bool {
    playout.is_none_or(|playout| capture <= playout + EARLY)
}

/// A picture this little too early is better than one frame too late.
const EARLY: Duration = Duration::from_millis(2);

/// 5 s at 60 frames a second.
const MAX_FRAMES: usize = 300;

/// Coded bytes in all frames that wait.
const MAX_BYTES: usize = 64 << 20;

/// Beyond this even a single picture's cells are refused: no picture is that large.
const REFUSED_BYTES: usize = 2 * MAX_BYTES;

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "virtual time has to begin somewhere"
)]
mod tests {
    use super::*;
    use crate::jitter::pending::CELL_OVERHEAD;

    #[test]
    fn a_cell_beyond_all_pictures_is_refused() {
        let now = Instant::now();
        let mut video = Video::new();
        frame(
            &mut video,
            1,
            100,
            &[(CellIndex::MAX, b"far"), (3, b"near")],
            now,
        );
        let update = video.due(None, now).expect("due");
        assert_eq!((update.cells, video.dropped()), (cells(&[(3, b"near")]), 1));
    }

    #[test]
    fn what_waits_keeps_no_read_buffer_alive() {
        let now = Instant::now();
        let mut video = Video::new();
        let read = Bytes::from(vec![7; 1 << 16]);
        video.push(1, 1, at(100), vec![(0, read.slice(5..9))], now);
        assert!(read.is_unique());
        video.end(1, 1, at(100), now);
        assert_eq!(
            video.due(None, now).expect("due").cells,
            [(0, read.slice(5..9))]
        );
    }

    fn at(ms: u64) -> MediaTime {
        MediaTime::from_micros(ms * 1000)
    }

    fn cells(list: &[(CellIndex, &'static [u8])]) -> Vec<(CellIndex, Bytes)> {
        list.iter()
            .map(|(index, bytes)| (*index, Bytes::from_static(bytes)))
            .collect()
    }

    fn frame(
        video: &mut Video,
        number: u64,
        ms: u64,
        list: &[(CellIndex, &'static [u8])],
        now: Instant,
    ) {
        video.push(1, number, at(ms), cells(list), now);
        video.end(1, number, at(ms), now);
    }

    #[test]
    fn a_frame_waits_until_the_sound_reaches_it() {
        let now = Instant::now();
        let mut video = Video::new();
        frame(&mut video, 1, 100, &[(0, b"a")], now);
        assert_eq!(video.due(Some(at(90)), now), None);
        assert_eq!(
            video.wait(Some(at(90)), now),
            Some(Duration::from_millis(8))
        );
        let update = video.due(Some(at(99)), now).expect("due");
        assert_eq!(
            (update.frame, update.skipped, update.partial),
            (1, 0, false)
        );
        assert_eq!(video.wait(Some(at(99)), now), None);
        assert_eq!(video.bytes(), 0);
    }

    #[test]
    fn frames_that_are_due_together_are_merged_newest_cell_first() {
        let now = Instant::now();
        let mut video = Video::new();
        frame(&mut video, 1, 100, &[(0, b"a1"), (1, b"b1")], now);
        frame(&mut video, 2, 133, &[(1, b"b2")], now);
        frame(&mut video, 3, 166, &[(2, b"c3")], now);
        frame(&mut video, 4, 200, &[(0, b"a4")], now);
        let update = video.due(Some(at(170)), now).expect("due");
        assert_eq!(
            (update.frame, update.capture, update.skipped),
            (3, at(166), 2)
        );
        assert_eq!(update.cells, cells(&[(0, b"a1"), (1, b"b2"), (2, b"c3")]));
        assert_eq!(video.frames(), 1);
    }

    #[test]
    fn without_pacing_everything_whole_is_due_at_once() {
        let now = Instant::now();
        let mut video = Video::new();
        frame(&mut video, 1, 5000, &[(0, b"a")], now);
        video.push(1, 2, at(5033), cells(&[(1, b"b")]), now);
        assert_eq!(video.due(None, now).map(|u| u.frame), Some(1));
        assert_eq!(video.due(None, now), None);
        video.end(1, 2, at(5033), now);
        assert_eq!(video.due(None, now).map(|u| u.frame), Some(2));
    }

    #[test]
    fn cells_of_an_unfinished_frame_belong_to_the_next() {
        let now = Instant::now();
        let mut video = Video::new();
        video.push(1, 1, at(100), cells(&[(0, b"a1"), (1, b"b1")]), now);
        frame(&mut video, 2, 133, &[(1, b"b2"), (2, b"c2")], now);
        let update = video.due(None, now).expect("due");
        assert_eq!(update.cells, cells(&[(0, b"a1"), (1, b"b2"), (2, b"c2")]));
        assert_eq!((update.frame, update.capture), (2, at(133)));
    }

    #[test]
    fn a_frame_that_does_not_get_whole_is_shown_after_a_while() {
        let now = Instant::now();
        let mut video = Video::new();
        video.push(1, 1, at(100), cells(&[(0, b"a")]), now);
        assert_eq!(video.due(Some(at(150)), now), None);
        assert_eq!(video.wait(Some(at(150)), now), Some(Video::PATIENCE));
        let update = video
            .due(Some(at(250)), now + Video::PATIENCE)
            .expect("due");
        assert!(update.partial);
    }

    #[test]
    fn an_older_version_that_comes_late_does_not_replace_a_newer_one() {
        let now = Instant::now();
        let mut video = Video::new();
        video.push(1, 2, at(133), cells(&[(0, b"new")]), now);
        video.push(1, 1, at(100), cells(&[(0, b"old")]), now);
        video.end(1, 2, at(133), now);
        assert_eq!(
            video.due(None, now).expect("due").cells,
            cells(&[(0, b"new")])
        );
    }

    #[test]
    fn another_rung_replaces_what_waits_of_the_old_one() {
        let now = Instant::now();
        let mut video = Video::new();
        frame(&mut video, 1, 100, &[(0, b"a"), (9, b"z")], now);
        video.push(1, 2, at(133), cells(&[(0, b"never whole")]), now);
        video.push(2, 3, at(166), cells(&[(0, b"b")]), now);
        video.end(2, 3, at(166), now);
        let update = video.due(None, now).expect("due");
        assert_eq!((update.rung, update.cells), (2, cells(&[(0, b"b")])));
        assert_eq!(video.bytes(), 0);
    }

    #[test]
    fn too_many_frames_are_merged_and_no_cell_is_lost() {
        let now = Instant::now();
        let mut video = Video::new();
        for n in 0..1000_u32 {
            video.push(
                1,
                u64::from(n),
                at(u64::from(n)),
                vec![(n, Bytes::from_static(b"x"))],
                now,
            );
            video.end(1, u64::from(n), at(u64::from(n)), now);
        }
        assert_eq!(video.frames(), MAX_FRAMES);
        assert_eq!(video.merged(), 700);
        let update = video.due(None, now).expect("due");
        assert_eq!(update.cells.len(), 1000);
        assert_eq!(update.skipped, 999);
    }

    #[test]
    fn too_many_bytes_are_merged_then_shown_early_then_refused() {
        let now = Instant::now();
        let mut video = Video::new();
        let big = Bytes::from(vec![0_u8; 1 << 20]);
        for n in 0..200_u64 {
            video.push(1, n, at(n * 33), vec![(0, big.clone())], now);
            video.end(1, n, at(n * 33), now);
            assert!(video.bytes() <= MAX_BYTES + (1 << 20) + CELL_OVERHEAD);
        }
        assert!(video.merged() > 0);
        video.reset();
        for n in 0..200 {
            video.push(1, 1, at(1000), vec![(n, big.clone())], now);
        }
        video.end(1, 1, at(1000), now);
        assert!(video.bytes() <= REFUSED_BYTES);
        assert!(video.dropped() > 0);
        assert_eq!(video.wait(Some(at(0)), now), Some(Duration::ZERO));
        assert!(video.due(Some(at(0)), now).is_some());
    }
}
