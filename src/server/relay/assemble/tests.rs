//! What a publisher sends, and what becomes of it.

use std::time::Duration;

use super::*;
use crate::hub::Stream;
use crate::media::{AudioCodec, Grid, RungKind, Size, Tracks};
use crate::timeline::Limits;

struct Bench {
    stream: Arc<Stream>,
    assembler: Assembler,
    start: Instant,
    now: Duration,
}

#[expect(clippy::disallowed_methods, reason = "any instant to count from")]
fn start() -> Instant {
    Instant::now()
}

/// Two rows of two cells.
fn rung(id: RungId) -> Arc<Rung> {
    let size = Size::new(320, 32).unwrap();
    Arc::new(Rung {
        id,
        source: None,
        kind: RungKind::Cells {
            grid: Grid::new(size, 10).unwrap(),
            header: Bytes::from_static(b"header"),
        },
    })
}

fn cells(rung: RungId, frame: u64, cells: &[(CellIndex, &'static str)]) -> Event {
    Event::Cells {
        rung,
        frame,
        capture: MediaTime::ZERO,
        cells: cells
            .iter()
            .map(|(index, bytes)| (*index, Bytes::from_static(bytes.as_bytes())))
            .collect(),
    }
}

fn end(rung: RungId, frame: u64, capture: u64) -> Event {
    Event::FrameEnd {
        rung,
        frame,
        capture: MediaTime::from_micros(capture),
    }
}

impl Bench {
    fn new() -> Self {
        let tracks = Tracks {
            video: true,
            audio: true,
        };
        let (stream, start) = (Stream::new("cam", tracks, Limits::default()), start());
        let filler = stream.open();
        let fills = (filler.clone(), Times::new(filler, start));
        let assembler = Assembler::new(Level::Full, fills, Arc::new(AtomicU32::new(70)), start);
        Self {
            stream,
            assembler,
            start,
            now: Duration::from_secs(100),
        }
    }

    /// Something comes, 40 ms after the last; the publisher's clock is 99 s behind ours.
    fn take(&mut self, event: Event) -> Option<Arc<Frame>> {
        self.try_take(event).unwrap()
    }

    fn try_take(&mut self, event: Event) -> Result<Option<Arc<Frame>>, Breach> {
        self.now += Duration::from_millis(40);
        let ours = MediaTime::from_duration(self.now);
        let clocks = Clocks {
            now: self.start + self.now,
            ours,
            theirs: Some(ours.offset(-99_000_000)),
        };
        self.assembler.take(event, clocks)
    }

    /// A whole frame.
    fn frame(
        &mut self,
        rung: RungId,
        number: u64,
        all: &[(CellIndex, &'static str)],
    ) -> Option<Arc<Frame>> {
        self.take(cells(rung, number, all));
        self.take(end(rung, number, 1_000_000))
    }
}

const ALL: &[(CellIndex, &str)] = &[(0, "a"), (1, "b"), (2, "c"), (3, "d")];

fn text(frame: &Frame) -> String {
    let cells = frame.cells.iter();
    cells
        .map(|cell| String::from_utf8_lossy(&cell.bytes).into_owned())
        .collect()
}

#[test]
fn frames_get_numbers_names_and_times_of_ours_and_cells_stay_as_they_are() {
    let mut bench = Bench::new();
    bench.take(Event::Rung(rung(5)));
    bench.take(cells(5, 900, &ALL[..3]));
    bench.take(cells(5, 900, &ALL[3..]));
    let first = bench.take(end(5, 900, 1_100_000)).unwrap();
    assert_eq!((first.number, text(&first).as_str()), (1, "abcd"));
    assert_eq!(first.capture, MediaTime::from_micros(100_100_000));
    assert_eq!(first.rung.id, 70);
    assert_eq!(first.rung.kind, rung(5).kind);
    let second = bench.frame(5, 905, &[(2, "X")]).unwrap();
    assert_eq!(text(&second), "abXd");
    let versions: Vec<u64> = second.cells.iter().map(|cell| cell.version).collect();
    assert_eq!(versions, [1, 1, second.number, 1]);
    let newest = bench
        .stream
        .look(|timeline| timeline.newest_frame(Level::Full).cloned());
    assert!(Arc::ptr_eq(&newest.unwrap(), &second));
}

#[test]
fn nothing_is_shown_before_all_of_it_is_there() {
    let mut bench = Bench::new();
    bench.take(Event::Rung(rung(5)));
    assert!(bench.frame(5, 1, &ALL[..2]).is_none());
    // Of a frame to come, which must not be shown with the one before.
    bench.take(cells(5, 3, &[(0, "Z")]));
    let second = bench.frame(5, 2, &ALL[2..]).unwrap();
    assert_eq!(text(&second), "abcd");
    let third = bench.take(end(5, 3, 0)).unwrap();
    assert_eq!(text(&third), "Zbcd");
}

#[test]
fn what_is_late_or_of_no_known_rung_is_left_out() {
    let mut bench = Bench::new();
    assert!(bench.frame(5, 1, ALL).is_none(), "nobody has announced it");
    bench.take(Event::Rung(rung(5)));
    bench.frame(5, 7, ALL).unwrap();
    assert!(bench.frame(5, 7, &[(0, "Z")]).is_none());
    assert!(bench.frame(5, 6, &[(0, "Z")]).is_none());
    let next = bench.frame(5, 8, &[(1, "Y")]).unwrap();
    assert_eq!(text(&next), "aYcd");
}

#[test]
fn another_rung_begins_from_nothing_and_the_same_picture_on_it_is_a_newer_frame() {
    let mut bench = Bench::new();
    bench.take(Event::Rung(rung(5)));
    let coarse = bench.frame(5, 7, ALL).unwrap();
    bench.take(Event::Rung(rung(6)));
    assert!(bench.frame(6, 7, &ALL[..3]).is_none());
    let fine = bench.frame(6, 8, &ALL[3..]).unwrap();
    assert!(fine.number > coarse.number && fine.rung.id != coarse.rung.id);
    bench.take(Event::Rung(rung(5)));
    let back = bench.frame(5, 9, ALL).unwrap();
    assert_eq!(back.rung.id, coarse.rung.id);
    assert_eq!(
        bench.frame(5, 10, &[]).map(|frame| text(&frame)).as_deref(),
        Some("abcd")
    );
}

#[test]
fn a_frame_that_never_ends_is_a_breach() {
    let mut bench = Bench::new();
    bench.take(Event::Rung(rung(5)));
    let large: &'static str = Box::leak("x".repeat(1 << 20).into_boxed_str());
    let breach = (0..100).find_map(|n| bench.try_take(cells(5, n, &[(0, large)])).err());
    assert_eq!(breach, Some(Breach::Endless));
    let mut bench = Bench::new();
    bench.take(Event::Rung(rung(5)));
    let small = (0..1_000_000).find_map(|n| bench.try_take(cells(5, n, &[(0, "x")])).err());
    assert_eq!(small, Some(Breach::Endless), "however small its cells are");
}

#[test]
fn cells_that_outlive_their_neighbours_do_not_keep_them_in_memory() {
    let mut bench = Bench::new();
    bench.take(Event::Rung(rung(5)));
    bench.frame(5, 1, ALL).unwrap();
    let large: &'static str = Box::leak("x".repeat(1 << 20).into_boxed_str());
    for n in 2..40 {
        bench.frame(5, n, &[(0, large)]).unwrap();
    }
    let picture = bench.assembler.picture.as_ref().unwrap();
    let shared: Vec<bool> = picture
        .cells
        .iter()
        .map(|held| held.since.is_some())
        .collect();
    assert_eq!(shared, [true, false, false, false]);
    assert_eq!(&picture.cells[3].cell.bytes[..], b"d");
}

#[test]
fn sound_is_numbered_anew_and_a_loss_stays_one() {
    let mut bench = Bench::new();
    let packet = |seq: u64| {
        Event::Audio(AudioPacket {
            codec: AudioCodec::Opus,
            seq,
            capture: MediaTime::from_micros(1_000_000 + seq),
            duration: Duration::from_millis(20),
            bytes: Bytes::from_static(b"sound"),
        })
    };
    let newest = |bench: &Bench| {
        bench
            .stream
            .look(|timeline| timeline.newest_sound().map(|packet| packet.seq))
    };
    bench.take(packet(500));
    assert_eq!(newest(&bench), Some(0));
    bench.take(packet(501));
    bench.take(packet(503));
    assert_eq!(newest(&bench), Some(1), "it may have been overtaken");
    bench.take(packet(504));
    assert_eq!(newest(&bench), Some(4));
    // After a new beginning there is no telling how many are missing.
    bench.assembler.anew();
    bench.take(packet(9));
    let after = newest(&bench).unwrap();
    assert!(after > 4);
}

/// As many cells as there may be.
fn large(id: RungId) -> Arc<Rung> {
    let size = Size::new(4096, 4096).unwrap();
    Arc::new(Rung {
        id,
        source: None,
        kind: RungKind::Cells {
            grid: Grid::new(size, 1).unwrap(),
            header: Bytes::from_static(b"header"),
        },
    })
}

/// Ends of frames of which nothing comes, each of another rung: no more cells are looked at or set up than is paid for.
#[test]
fn bare_ends_of_large_frames_cost_no_more_than_any_picture() {
    let mut bench = Bench::new();
    for id in [5, 6] {
        bench.take(Event::Rung(large(id)));
    }
    let cells = large(5).cells() as u64;
    assert_eq!(cells, 65_536);
    let (mut begun, mut looked) = (0, 0);
    let start = bench.now;
    for n in 0..10_000 {
        bench.now -= Duration::from_millis(39);
        let before = bench.assembler.picture.as_ref();
        let before = before.map(|picture| (picture.name, picture.frame));
        assert!(bench.take(end(5 + n % 2, u64::from(n), 0)).is_none());
        let after = bench.assembler.picture.as_ref();
        let after = after.map(|picture| (picture.name, picture.frame));
        begun += u64::from(before.map(|before| before.0) != after.map(|after| after.0));
        looked += u64::from(before != after && after.is_some_and(|after| after.1.is_some()));
    }
    // Two purses of 800,000 cells a second, each half full at first.
    let passed = u64::try_from((bench.now - start).as_micros()).unwrap();
    let paid = passed * 8 / 10 + 400_000;
    println!("{begun} begun and {looked} looked at, for {paid} cells each");
    assert!(begun > 2 && begun * cells <= paid);
    assert!(looked > 2 && looked * cells <= paid);
}

#[test]
fn a_picture_that_grows_cell_by_cell_has_a_bound() {
    let mut bench = Bench::new();
    bench.take(Event::Rung(large(5)));
    let bytes: &'static str = Box::leak("x".repeat(1 << 20).into_boxed_str());
    let mut sent = 0;
    let breach = (0..1000_u32).find_map(|n| {
        sent += 1;
        let cell = bench.try_take(cells(5, u64::from(n), &[(n, bytes)])).err();
        cell.or_else(|| bench.try_take(end(5, u64::from(n), 0)).err())
    });
    assert_eq!((breach, sent), (Some(Breach::TooLarge), 33));
    // What is replaced does not count.
    let mut bench = Bench::new();
    bench.take(Event::Rung(rung(5)));
    bench.frame(5, 0, ALL).unwrap();
    for n in 1..100 {
        bench.frame(5, n, &[(0, bytes)]).unwrap();
    }
}

#[test]
fn cells_of_frames_that_were_not_passed_on_weigh_with_the_one_that_is() {
    let mut bench = Bench::new();
    bench.take(Event::Rung(rung(5)));
    let bytes: &'static str = Box::leak("x".repeat(1 << 20).into_boxed_str());
    for n in 0..3 {
        assert!(bench.frame(5, u64::from(n), &[(n, bytes)]).is_none());
    }
    let whole = bench.frame(5, 3, &[(3, bytes)]).unwrap();
    let versions = whole.cells.iter().map(|cell| cell.version);
    assert!(versions.eq([whole.number; 4]));
    assert!(bench.stream.look(crate::timeline::Timeline::bytes) >= 4 << 20);
    // And on another rung.
    bench.take(Event::Rung(rung(6)));
    bench.frame(6, 4, &ALL[..1]);
    let next = bench.frame(6, 5, &ALL[1..]).unwrap();
    assert!(next.number > whole.number);
    assert!(next.cells.iter().all(|cell| cell.version == next.number));
}

#[test]
fn frames_of_a_level_have_the_numbers_of_the_best_and_are_as_large_as_they_should_be() {
    let mut bench = Bench::new();
    bench.take(Event::Rung(rung(5)));
    let names = Arc::new(AtomicU32::new(90));
    let fills = || {
        (
            bench.assembler.filler.clone(),
            bench.assembler.times.clone(),
        )
    };
    let (same, half) = (fills(), fills());
    let start = bench.start;
    let mut same = Assembler::new(Level::FullCoarse, same, Arc::clone(&names), start);
    let mut half = Assembler::new(Level::Half, half, names, start);
    let take = |assembler: &mut Assembler, now: Duration, frame| {
        let ours = MediaTime::from_duration(now);
        let clocks = Clocks {
            now: start + now,
            ours,
            theirs: None,
        };
        for event in [Event::Rung(rung(5)), cells(5, frame, ALL), end(5, frame, 7)] {
            if let Some(frame) = assembler.take(event, clocks).unwrap() {
                return Some((frame.number, frame.capture));
            }
        }
        None
    };
    assert_eq!(take(&mut same, bench.now, 1), None, "of what picture?");
    let best = bench.frame(5, 1, ALL).unwrap();
    let now = bench.now + Duration::from_millis(40);
    assert_eq!(take(&mut same, now, 1), Some((best.number, best.capture)));
    assert_eq!(take(&mut same, now, 1), None, "once");
    assert_eq!(take(&mut half, now, 1), None, "it is too large for half");
    let newest = |level| {
        bench
            .stream
            .look(|all| all.newest_frame(level).map(|it| it.number))
    };
    assert_eq!(newest(Level::FullCoarse), Some(best.number));
    assert_eq!(newest(Level::Half), None);
}
