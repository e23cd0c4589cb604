//! What a stream has made lately.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use crate::media::{AudioPacket, Cell, Frame, Level};

/// A ring of frames and audio packets, bounded by time and by bytes.
///
/// The ring is of [`Level::Full`]; of the other levels there is only the newest frame, for as long as they are made.
#[derive(Debug)]
pub struct Timeline {
    limits: Limits,
    frames: VecDeque<Arc<Frame>>,
    /// The newest of each level that is being made.
    live: [Option<Arc<Frame>>; Level::COUNT],
    sounds: VecDeque<Arc<AudioPacket>>,
    bytes: usize,
}

/// How much a [`Timeline`] keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Frames and sound older than this, against the newest, go.
    pub span: Duration,
    /// The most bytes; the oldest frames go first. Holds always, except that the newest frame stays.
    pub bytes: usize,
    /// So many frames stay even if they are older than `span`.
    pub least_frames: usize,
}

impl Default for Limits {
    /// 60 s or 256 MiB, at least 300 frames.
    fn default() -> Self {
        Self {
            span: Duration::from_secs(60),
            bytes: 256 << 20,
            least_frames: 300,
        }
    }
}

impl Timeline {
    /// An empty ring.
    pub const fn new(limits: Limits) -> Self {
        Self {
            limits,
            frames: VecDeque::new(),
            live: [const { None }; Level::COUNT],
            sounds: VecDeque::new(),
            bytes: 0,
        }
    }

    /// Adds the newest frame of a level; one that is not newer than that level's newest is left out.
    pub fn push_frame(&mut self, level: Level, frame: Arc<Frame>) {
        let newest = &mut self.live[level.index()];
        if newest
            .as_ref()
            .is_some_and(|newest| newest.number >= frame.number)
        {
            return;
        }
        *newest = Some(Arc::clone(&frame));
        if level == Level::Full {
            self.keep(frame);
        }
    }

    /// A level is not made any more: its newest frame is no longer live.
    pub fn retire(&mut self, level: Level) {
        self.live[level.index()] = None;
    }

    fn keep(&mut self, frame: Arc<Frame>) {
        // The frame kept last comes once more where its level was retired and is made again.
        if self
            .frames
            .back()
            .is_some_and(|newest| newest.number >= frame.number)
        {
            return;
        }
        self.bytes += weight(&frame);
        let capture = frame.capture;
        self.frames.push_back(frame);
        while self.frames.len() > 1 {
            let Some(oldest) = self.frames.front() else {
                break;
            };
            let stale = capture.since(oldest.capture) > self.limits.span
                && self.frames.len() > self.limits.least_frames;
            if !stale && self.bytes <= self.limits.bytes {
                break;
            }
            self.bytes -= weight(oldest);
            self.frames.pop_front();
        }
    }

    /// Adds the newest packet of sound; one that is not newer than the newest is left out.
    pub fn push_sound(&mut self, packet: Arc<AudioPacket>) {
        if self
            .sounds
            .back()
            .is_some_and(|newest| newest.seq >= packet.seq)
        {
            return;
        }
        let capture = packet.capture;
        self.sounds.push_back(packet);
        while self
            .sounds
            .front()
            .is_some_and(|oldest| capture.since(oldest.capture) > self.limits.span)
            || self.sounds.len() > MAX_SOUNDS
        {
            self.sounds.pop_front();
        }
    }

    /// The newest frame of a level, if that is being made.
    pub fn newest_frame(&self, level: Level) -> Option<&Arc<Frame>> {
        self.live[level.index()].as_ref()
    }

    /// The newest packet of sound.
    pub fn newest_sound(&self) -> Option<&Arc<AudioPacket>> {
        self.sounds.back()
    }

    /// The packet that follows `seq`; the oldest there is if that one has left the ring.
    pub fn sound_after(&self, seq: u64) -> Option<&Arc<AudioPacket>> {
        self.sounds
            .get(self.sounds.partition_point(|packet| packet.seq <= seq))
    }

    /// Frames held in the ring.
    pub fn frames(&self) -> usize {
        self.frames.len()
    }

    /// Bytes held in the ring, cells that frames share counted once: with the frame in which they came into being.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Forgets everything: the source was closed, and what it showed is no longer live.
    pub fn clear(&mut self) {
        self.frames.clear();
        self.live = [const { None }; Level::COUNT];
        self.sounds.clear();
        self.bytes = 0;
    }
}

/// The bytes that a frame added: its own cells and the table of all of them.
fn weight(frame: &Frame) -> usize {
    let own: usize = frame
        .cells
        .iter()
        .filter(|cell| cell.version == frame.number)
        .map(|cell| cell.bytes.len())
        .sum();
    own + frame.cells.len() * size_of::<Cell>()
}

/// Packets of 20 ms in ten minutes: the bound where a source's clock stands still.
const MAX_SOUNDS: usize = 30_000;

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::media::{AudioCodec, Grid, MediaTime, Rung, RungKind, Size};

    fn frame(number: u64, at: Duration, own: usize) -> Arc<Frame> {
        let grid = Grid::for_size(Size::new(160, 16).unwrap());
        let rung = Arc::new(Rung {
            id: 1,
            source: None,
            kind: RungKind::Cells {
                grid,
                header: Bytes::new(),
            },
        });
        let cells = vec![Cell {
            version: number,
            bytes: Bytes::from(vec![0; own]),
        }];
        Arc::new(Frame {
            number,
            capture: MediaTime::from_duration(at),
            rung,
            cells,
        })
    }

    fn sound(seq: u64) -> Arc<AudioPacket> {
        let duration = Duration::from_millis(20);
        let capture = MediaTime::ZERO + duration * u32::try_from(seq).unwrap();
        Arc::new(AudioPacket {
            codec: AudioCodec::Pcm,
            seq,
            capture,
            duration,
            bytes: Bytes::new(),
        })
    }

    #[test]
    fn frames_older_than_the_span_leave_once_there_are_enough() {
        let mut ring = Timeline::new(Limits {
            span: Duration::from_secs(1),
            bytes: 1 << 20,
            least_frames: 3,
        });
        for n in 0..10 {
            ring.push_frame(Level::Full, frame(n, Duration::from_secs(n), 10));
        }
        assert_eq!(ring.frames(), 3);
        assert_eq!(ring.newest_frame(Level::Full).unwrap().number, 9);
    }

    #[test]
    fn bytes_are_a_hard_bound_but_the_newest_frame_stays() {
        let mut ring = Timeline::new(Limits {
            span: Duration::from_secs(60),
            bytes: 1000,
            least_frames: 300,
        });
        for n in 0..50 {
            ring.push_frame(Level::Full, frame(n, Duration::from_millis(n), 300));
            assert!(ring.bytes() <= 1000);
        }
        ring.push_frame(Level::Full, frame(50, Duration::from_millis(50), 5000));
        assert_eq!(ring.frames(), 1);
        ring.clear();
        assert_eq!(ring.bytes(), 0);
    }

    #[test]
    fn a_frame_that_is_not_newer_is_left_out() {
        let mut ring = Timeline::new(Limits::default());
        ring.push_frame(Level::Full, frame(5, Duration::ZERO, 1));
        ring.push_frame(Level::Full, frame(5, Duration::ZERO, 1));
        ring.push_frame(Level::Full, frame(4, Duration::ZERO, 1));
        assert_eq!(ring.frames(), 1);
    }

    #[test]
    fn of_lower_levels_only_the_newest_frame_is_held() {
        let mut ring = Timeline::new(Limits::default());
        for n in 1..=9 {
            ring.push_frame(Level::Half, frame(n, Duration::ZERO, 100));
        }
        ring.push_frame(Level::Half, frame(8, Duration::ZERO, 100));
        assert_eq!(ring.newest_frame(Level::Half).unwrap().number, 9);
        assert!(ring.newest_frame(Level::Full).is_none());
        assert_eq!((ring.frames(), ring.bytes()), (0, 0));
        ring.clear();
        assert!(ring.newest_frame(Level::Half).is_none());
    }

    #[test]
    fn a_level_that_is_no_longer_made_has_nothing_live_until_it_is_made_again() {
        let mut ring = Timeline::new(Limits::default());
        for level in [Level::Full, Level::Quarter] {
            ring.push_frame(level, frame(5, Duration::ZERO, 1));
            ring.retire(level);
            assert!(ring.newest_frame(level).is_none());
            ring.push_frame(level, frame(5, Duration::ZERO, 1));
            assert_eq!(ring.newest_frame(level).unwrap().number, 5);
        }
        assert_eq!(ring.frames(), 1, "the ring has it once");
    }

    #[test]
    fn a_listener_who_fell_off_the_ring_goes_on_with_the_oldest_packet() {
        let mut ring = Timeline::new(Limits {
            span: Duration::from_millis(100),
            ..Limits::default()
        });
        for seq in 0..100 {
            ring.push_sound(sound(seq));
        }
        assert_eq!(ring.sound_after(3).unwrap().seq, 94);
        assert_eq!(ring.sound_after(97).unwrap().seq, 98);
        assert!(ring.sound_after(99).is_none());
    }
}
