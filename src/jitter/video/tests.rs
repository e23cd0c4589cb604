//! Which changes are due when, and that none is lost.

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

#[test]
fn what_has_come_of_the_next_frame_can_be_had_ahead_and_no_cell_twice() {
    let now = Instant::now();
    let mut video = Video::new();
    let list: Vec<_> = (0..40)
        .map(|cell| (cell, Bytes::from_static(b"x")))
        .collect();
    video.push(1, 1, at(100), list[..15].to_vec(), now);
    assert_eq!(video.ahead(None, now), None);
    video.push(1, 1, at(100), list[15..20].to_vec(), now);
    assert_eq!(video.ahead(Some(at(90)), now), None);
    assert_eq!(video.ahead(None, now).expect("enough").cells, list[..20]);
    assert_eq!((video.ahead(None, now), video.bytes()), (None, 0));
    video.push(1, 1, at(100), list[20..].to_vec(), now);
    video.end(1, 1, at(100), now);
    // A whole frame waits: what comes then is not the next.
    video.push(1, 2, at(133), list.clone(), now);
    assert_eq!(video.ahead(None, now), None);
    let update = video.due(None, now).expect("due");
    assert_eq!((update.frame, update.cells), (1, list[20..].to_vec()));
}

#[test]
fn a_frame_of_which_all_was_had_ahead_and_that_never_ends_is_shown_after_a_while() {
    let now = Instant::now();
    let mut video = Video::new();
    let list: Vec<_> = (0..20)
        .map(|cell| (cell, Bytes::from_static(b"x")))
        .collect();
    video.push(1, 1, at(100), list, now);
    video.ahead(None, now).expect("enough");
    assert_eq!(video.due(None, now), None);
    assert_eq!(video.wait(None, now), Some(Video::PATIENCE));
    let update = video.due(None, now + Video::PATIENCE).expect("due");
    assert!(update.partial && update.cells.is_empty());
}

#[test]
fn what_comes_of_the_next_frame_waits_for_its_end() {
    let now = Instant::now();
    let mut video = Video::new();
    video.push(1, 1, at(100), cells(&[(0, b"a1")]), now);
    video.push(1, 2, at(133), cells(&[(0, b"a2"), (1, b"b2")]), now);
    video.push(1, 1, at(100), cells(&[(1, b"b1")]), now);
    video.end(1, 1, at(100), now);
    let update = video.due(None, now).expect("due");
    assert_eq!((update.frame, update.capture), (1, at(100)));
    assert_eq!(update.cells, cells(&[(0, b"a1"), (1, b"b1")]));
    video.end(1, 2, at(133), now);
    let update = video.due(None, now).expect("due");
    assert_eq!(update.cells, cells(&[(0, b"a2"), (1, b"b2")]));
    assert_eq!((update.frame, video.bytes()), (2, 0));
}

#[test]
fn a_frame_that_never_ends_is_in_the_next() {
    let now = Instant::now();
    let mut video = Video::new();
    video.push(1, 1, at(100), cells(&[(0, b"a1"), (1, b"b1")]), now);
    video.push(1, 2, at(133), cells(&[(1, b"b2")]), now);
    video.push(1, 3, at(166), cells(&[(2, b"c3")]), now);
    video.end(1, 3, at(166), now);
    let update = video.due(None, now).expect("due");
    assert_eq!(
        (update.frame, update.partial, update.skipped),
        (3, false, 0)
    );
    assert_eq!(update.cells, cells(&[(0, b"a1"), (1, b"b2"), (2, b"c3")]));
    assert_eq!(video.bytes(), 0);
}

#[test]
fn a_frame_that_ends_behind_the_next_is_shown_in_its_turn() {
    let now = Instant::now();
    let mut video = Video::new();
    video.push(1, 1, at(100), cells(&[(0, b"a1")]), now);
    frame(&mut video, 2, 133, &[(0, b"a2"), (1, b"b2")], now);
    frame(&mut video, 3, 166, &[(1, b"b3")], now);
    assert_eq!(video.due(Some(at(90)), now), None);
    video.push(1, 1, at(100), cells(&[(1, b"b1")]), now);
    video.end(1, 1, at(100), now);
    for (ms, number, expected) in [
        (100, 1, cells(&[(0, b"a1"), (1, b"b1")])),
        (133, 2, cells(&[(0, b"a2"), (1, b"b2")])),
        (166, 3, cells(&[(1, b"b3")])),
    ] {
        let update = video.due(Some(at(ms)), now).expect("due");
        assert_eq!((update.frame, update.skipped), (number, 0));
        assert_eq!((update.cells, update.partial), (expected, false));
    }
    assert_eq!(video.bytes(), 0);
}

#[test]
fn what_comes_of_a_frame_when_a_later_one_was_shown_is_forgotten() {
    let now = Instant::now();
    let mut video = Video::new();
    video.push(1, 1, at(100), cells(&[(0, b"a1")]), now);
    frame(&mut video, 2, 133, &[(1, b"b2")], now);
    assert_eq!(
        video.wait(Some(at(120)), now + Video::PATIENCE),
        Some(Duration::from_millis(11))
    );
    let update = video.due(Some(at(133)), now).expect("due");
    assert_eq!(update.cells, cells(&[(0, b"a1"), (1, b"b2")]));
    video.push(1, 1, at(100), cells(&[(1, b"b1")]), now);
    video.end(1, 1, at(100), now);
    assert_eq!((video.due(None, now), video.bytes()), (None, 0));
    frame(&mut video, 3, 166, &[(2, b"c3")], now);
    let update = video.due(None, now).expect("due");
    assert_eq!(update.cells, cells(&[(2, b"c3")]));
}

#[test]
fn of_more_frames_than_can_be_under_way_the_oldest_is_in_the_next() {
    let now = Instant::now();
    let mut video = Video::new();
    for number in 1..=10 {
        let index = CellIndex::try_from(number).expect("few");
        video.push(
            1,
            number,
            at(100 + number),
            vec![(index, Bytes::from_static(b"x"))],
            now,
        );
    }
    // The second is in the third by now, and what comes of it late as well.
    video.push(1, 2, at(102), cells(&[(20, b"y")]), now);
    video.end(1, 2, at(102), now);
    assert_eq!(video.due(None, now), None);
    video.end(1, 3, at(103), now);
    let update = video.due(None, now).expect("due");
    let expected = cells(&[(1, b"x"), (2, b"x"), (3, b"x"), (20, b"y")]);
    assert_eq!((update.frame, update.cells), (3, expected));
    video.end(1, 10, at(110), now);
    assert_eq!(video.due(None, now).expect("due").cells.len(), 7);
    assert_eq!(video.bytes(), 0);
}
