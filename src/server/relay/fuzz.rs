//! Anything that a publisher may send, for the fuzzer and for tests.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::assemble::Assembler;
use super::times::{Clocks, Times};
use crate::hub::Stream;
use crate::media::{
    AudioCodec, AudioPacket, Grid, Level, MediaTime, Rung, RungId, RungKind, Size, Tracks,
};
use crate::session::client::Event;
use crate::timeline::Limits;

/// Four bytes are an event, of one of two levels, and some time. Whatever the sequence: what becomes a frame is whole, and
/// newer than the one before of its level in number and, or at least not older, in time; of the same number are frames of
/// the same time; nothing is of the future.
///
/// # Panics
/// Where that is not so.
#[expect(clippy::disallowed_methods, reason = "any instant to count from")]
#[cfg_attr(not(fuzzing), expect(unreachable_pub, reason = "the fuzzer calls it"))]
pub fn fuzz_relay(data: &[u8]) {
    let tracks = Tracks {
        video: true,
        audio: true,
    };
    let (stream, start) = (
        Stream::new("cam", tracks, Limits::default()),
        Instant::now(),
    );
    let filler = stream.open();
    let (times, names) = (
        Times::new(filler.clone(), start),
        Arc::new(AtomicU32::new(1)),
    );
    let mut assemblers = [Level::Full, Level::FullCoarse].map(|level| {
        let fills = (filler.clone(), times.clone());
        Assembler::new(level, fills, Arc::clone(&names), start)
    });
    let (mut passed, mut last) = (Duration::from_secs(3600), [(0, MediaTime::ZERO); 2]);
    let (chunks, _) = data.as_chunks::<4>();
    for [kind, a, b, c] in chunks.iter().copied() {
        passed += Duration::from_millis(u64::from(kind >> 4));
        let ours = MediaTime::from_duration(passed);
        let wild = u64::from_le_bytes([a, b, c, kind, c, a, b, a]);
        let clocks = Clocks {
            now: start + passed,
            ours,
            theirs: (b & 3 != 0).then(|| MediaTime::from_micros(wild)),
        };
        let (name, frame) = (RungId::from(a & 3), u64::from(b));
        let capture = MediaTime::from_micros(wild.rotate_left(u32::from(c)));
        let event = match kind & 7 {
            // Then another publisher's links are there.
            0 => {
                assemblers[0].anew();
                let fills = (filler.clone(), times.clone());
                let names = Arc::clone(&names);
                assemblers[1] = Assembler::new(Level::FullCoarse, fills, names, start + passed);
                continue;
            }
            1 => {
                assemblers[0].tick(clocks);
                continue;
            }
            2 => match rung(name, b) {
                Some(rung) => Event::Rung(rung),
                None => continue,
            },
            3 | 4 => Event::Cells {
                rung: name,
                frame,
                capture,
                cells: (0..u32::from(c & 7))
                    .map(|cell| (cell, Bytes::from(vec![a; usize::from(c) + 1])))
                    .collect(),
            },
            5 | 6 => Event::FrameEnd {
                rung: name,
                frame,
                capture,
            },
            _ => Event::Audio(AudioPacket {
                codec: AudioCodec::Opus,
                seq: if c & 1 == 0 { frame } else { wild },
                capture,
                duration: Duration::from_millis(20),
                bytes: Bytes::from_static(b"sound"),
            }),
        };
        let at = usize::from(kind >> 3 & 1);
        let Ok(Some(frame)) = assemblers[at].take(event, clocks) else {
            continue;
        };
        assert_eq!(frame.cells.len(), frame.rung.cells());
        assert!(frame.cells.iter().all(|cell| !cell.bytes.is_empty()));
        assert!(frame.cells.iter().all(|cell| cell.version <= frame.number));
        let [mine, other] = [last[at], last[1 - at]];
        assert!(frame.number > mine.0 && frame.capture >= mine.1 && frame.capture <= ours);
        assert!(frame.number != other.0 || frame.capture == other.1);
        last[at] = (frame.number, frame.capture);
    }
}

/// One to six cells, or a whole picture.
fn rung(id: RungId, shape: u8) -> Option<Arc<Rung>> {
    let wide = Size::new(16 * (u32::from(shape % 6) + 1), 16).ok()?;
    let kind = match Grid::new(wide, 1) {
        Ok(grid) if shape & 64 == 0 => RungKind::Cells {
            grid,
            header: Bytes::from_static(b"header"),
        },
        Ok(_) | Err(_) => RungKind::Whole { size: wide },
    };
    Some(Arc::new(Rung {
        id,
        source: None,
        kind,
    }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn whatever_comes_frames_are_whole_and_newer(data in proptest::collection::vec(any::<u8>(), 0..2000)) {
            super::fuzz_relay(&data);
        }
    }
}
