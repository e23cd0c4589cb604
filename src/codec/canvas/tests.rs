//! What is painted, measured against decoding the joined picture as a whole.

mod refused;

use std::num::NonZeroUsize;

use bytes::Bytes;
use proptest::prelude::*;

use super::packed::Packed;
use super::planes::Planes;
use super::*;
use crate::codec::testing::{photo, size};
use crate::codec::workers::MOST;
use crate::codec::{Encoder, Quality, join};
use crate::media::{Frame, Grid, MediaTime};

fn frame(size: Size, shift: usize) -> Frame {
    Encoder::new(7, size, Quality::DEFAULT)
        .unwrap()
        .encode(&photo(size, shift), 1, MediaTime::ZERO)
        .unwrap()
}

fn cells(frame: &Frame) -> Vec<(CellIndex, Bytes)> {
    (0..)
        .zip(frame.cells.iter().map(|cell| cell.bytes.clone()))
        .collect()
}

fn grid(frame: &Frame) -> Grid {
    match &frame.rung.kind {
        RungKind::Cells { grid, .. } => *grid,
        RungKind::Whole { .. } => panic!("cells"),
    }
}

fn empty(frame: &Frame, library: JpegLibrary) -> Canvas {
    Canvas::with_library(Arc::clone(&frame.rung), library).unwrap()
}

fn full(frame: &Frame, library: JpegLibrary) -> Canvas {
    let mut canvas = empty(frame, library);
    assert_eq!(canvas.apply(&cells(frame)).bad, 0);
    assert!(canvas.is_complete());
    canvas
}

/// All of it, made anew.
fn painted(canvas: &mut Canvas) -> Vec<u32> {
    let (width, height) = (canvas.size().width(), canvas.size().height());
    let mut pixels = vec![9; width * height];
    canvas.paint(Rect::whole(width, height), &mut pixels, width);
    pixels
}

/// The same picture as a whole JPEG would show it.
fn reference(canvas: &Canvas) -> Vec<u32> {
    let rung = Rung {
        id: 1,
        source: None,
        kind: RungKind::Whole {
            size: canvas.size(),
        },
    };
    let mut whole = Canvas::new(Arc::new(rung)).unwrap();
    assert_eq!(whole.apply(&[(0, canvas.join().unwrap())]).bad, 0);
    whole.pixels().to_vec()
}

/// Differences by channel: of the columns at the cells' left and right edges, and of all others.
fn differences(a: &[u32], b: &[u32], width: usize, cell: usize) -> (Vec<u8>, Vec<u8>) {
    let mut edge = Vec::new();
    let mut inside = Vec::new();
    for (index, (a, b)) in a.iter().zip(b).enumerate() {
        let x = index % width % cell;
        let list = if x == 0 || x == cell - 1 {
            &mut edge
        } else {
            &mut inside
        };
        for (a, b) in a.to_be_bytes().iter().zip(b.to_be_bytes()) {
            list.push(a.abs_diff(b));
        }
    }
    (edge, inside)
}

fn mean(values: &[u8]) -> f64 {
    values.iter().map(|v| f64::from(*v)).sum::<f64>() / values.len() as f64
}

#[test]
fn a_whole_frame_is_painted_as_its_jpeg_is() {
    for (width, height) in [(1280, 720), (1366, 768), (16, 16), (33, 47), (500, 20)] {
        let frame = frame(size(width, height), 0);
        let mut canvas = full(&frame, JpegLibrary::Plain);
        let expected = reference(&canvas);
        assert!(canvas.pixels() == expected, "{width}x{height}");
        assert_eq!(canvas.join().unwrap(), join(&frame));
        // Another transform and other rounding: one level here and there.
        let mut turbo = full(&frame, JpegLibrary::Turbo);
        let (edge, inside) = differences(turbo.pixels(), canvas.pixels(), width as usize, 160);
        let all = [edge, inside].concat();
        assert!(
            mean(&all) < 0.5 && all.iter().all(|d| *d < 8),
            "{width}x{height}: {}",
            mean(&all)
        );
        assert_eq!(turbo.join().unwrap(), join(&frame));
    }
}

#[test]
fn each_library_reads_what_either_wrote() {
    let picture = photo(size(656, 363), 11);
    for encoder in JpegLibrary::ALL {
        let size = picture.size();
        let mut encoder = Encoder::with_library(7, size, Quality::DEFAULT, encoder).unwrap();
        let frame = encoder.encode(&picture, 1, MediaTime::ZERO).unwrap();
        let [mut turbo, mut plain] = JpegLibrary::ALL.map(|library| full(&frame, library));
        let (edge, inside) = differences(turbo.pixels(), plain.pixels(), size.width(), 160);
        let all = [edge, inside].concat();
        assert!(
            mean(&all) < 0.5 && all.iter().all(|d| *d < 8),
            "{}",
            mean(&all)
        );
        assert_eq!(turbo.join(), plain.join());
    }
}

#[test]
fn every_tenth_cell_of_a_photograph_stays_within_the_bounds() {
    let (old, new) = (frame(size(1280, 720), 0), frame(size(1280, 720), 2));
    let mut canvas = full(&old, JpegLibrary::Plain);
    // Scattered, so that every one is a run of its own.
    let changed: Vec<_> = cells(&new).into_iter().skip(3).step_by(10).collect();
    assert_eq!(changed.len(), 36);
    assert_eq!(canvas.apply(&changed).bad, 0);
    let expected = reference(&canvas);
    let (edge, inside) = differences(canvas.pixels(), &expected, 1280, 160);
    assert!(inside.iter().all(|d| *d == 0), "rows are exact");
    assert!(mean(&edge) < 0.3, "{}", mean(&edge));
}

#[test]
fn cells_that_come_one_by_one_stay_within_the_bounds() {
    let frame = frame(size(1280, 720), 0);
    let mut canvas = empty(&frame, JpegLibrary::Plain);
    for cell in cells(&frame).chunks(3) {
        assert_eq!(canvas.apply(cell).bad, 0);
    }
    let expected = reference(&canvas);
    let (edge, inside) = differences(canvas.pixels(), &expected, 1280, 160);
    assert!(inside.iter().all(|d| *d == 0));
    assert!(mean(&edge) < 0.5, "{}", mean(&edge));
    let far = edge.iter().filter(|d| **d > 8).count();
    assert!(far < 1000, "{far} of 2.8 million samples");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn planes_give_the_same_pixels_however_the_cells_came(
        (width, height) in (16u32..500, 16u32..220),
        rounds in prop::collection::vec((0usize..300, 0u8..=100, any::<u64>(), 1usize..60), 1..6),
    ) {
        let size = size(width, height);
        let mut canvas = empty(&frame(size, 0), JpegLibrary::Turbo);
        let mut newest: Vec<Option<(CellIndex, Bytes)>> = vec![None; grid(&frame(size, 0)).count()];
        for (shift, share, seed, at_once) in rounds {
            let mut state = seed;
            let mut random = |most: usize| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 33) as usize % most
            };
            let mut changed = cells(&frame(size, shift));
            changed.retain(|_| random(100) < usize::from(share));
            for from in (1..changed.len()).rev() {
                changed.swap(from, random(from + 1));
            }
            for part in changed.chunks(at_once) {
                prop_assert_eq!(canvas.apply(part).bad, 0);
            }
            for cell in changed {
                let index = cell.0 as usize;
                newest[index] = Some(cell);
            }
            let all: Vec<_> = newest.iter().flatten().cloned().collect();
            let mut at_once = empty(&frame(size, 0), JpegLibrary::Turbo);
            at_once.apply(&all);
            prop_assert!(canvas.pixels() == at_once.pixels());
        }
    }

    #[test]
    fn any_sequence_of_any_cells_ends_like_the_whole_picture(
        (width, height) in (16u32..500, 16u32..220),
        rounds in prop::collection::vec((0usize..300, 0u8..=100, any::<u64>()), 1..5),
    ) {
        let size = size(width, height);
        let first = frame(size, 0);
        let cell_width = grid(&first).cell_width();
        let mut canvas = full(&first, JpegLibrary::Plain);
        for (shift, share, seed) in rounds {
            let mut state = seed;
            let changed: Vec<_> = cells(&frame(size, shift))
                .into_iter()
                .filter(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    (state >> 33) % 100 < u64::from(share)
                })
                .collect();
            prop_assert_eq!(canvas.apply(&changed).bad, 0);
        }
        let expected = reference(&canvas);
        let (edge, inside) =
            differences(canvas.pixels(), &expected, size.width(), cell_width);
        prop_assert!(inside.iter().all(|d| *d == 0));
        prop_assert!(edge.is_empty() || mean(&edge) < 10.0, "{}", mean(&edge));
    }

    #[test]
    fn whatever_is_dirty_covers_what_was_painted(
        library in prop::sample::select(&JpegLibrary::ALL[..]),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 1..30),
    ) {
        let size = size(330, 100);
        let mut canvas = full(&frame(size, 0), library);
        let before = canvas.pixels().to_vec();
        let new = cells(&frame(size, 40));
        let changed: Vec<_> = picks.iter().map(|pick| pick.get(&new).clone()).collect();
        let applied = canvas.apply(&changed);
        let after = painted(&mut canvas);
        prop_assert!(after == canvas.pixels());
        for (index, (old, new)) in before.iter().zip(&after).enumerate() {
            let (x, y) = (index % 330, index / 330);
            let covered = applied.dirty.iter().any(|rect| {
                (rect.x..rect.x + rect.width).contains(&x) && (rect.y..rect.y + rect.height).contains(&y)
            });
            prop_assert!(covered || old == new);
        }
    }

    #[test]
    fn a_part_is_painted_as_it_is_in_the_whole(
        library in prop::sample::select(&JpegLibrary::ALL[..]),
        corners in ((0usize..340, 0usize..110), (1usize..340, 1usize..110)),
        some in 1usize..21,
    ) {
        let size = size(330, 100);
        let mut canvas = empty(&frame(size, 0), library);
        canvas.apply(&cells(&frame(size, 0))[..some]);
        let all = painted(&mut canvas);
        let ((x, y), (width, height)) = corners;
        let part = Rect::new(x, y, width, height);
        let mut out = vec![7; 345 * 120];
        canvas.paint(part, &mut out, 345);
        for (index, pixel) in out.iter().enumerate() {
            let (column, row) = (index % 345, index / 345);
            let within = column < width && row < height && x + column < 330 && y + row < 100;
            let expected = if within { all[(y + row) * 330 + x + column] } else { 7 };
            prop_assert_eq!(*pixel, expected, "{} {}", column, row);
        }
    }

    #[test]
    fn damaged_cells_never_panic_and_never_touch_other_cells(
        library in prop::sample::select(&JpegLibrary::ALL[..]),
        victim in 0usize..16,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
        tail in prop::collection::vec(any::<u8>(), 0..4),
    ) {
        let size = size(320, 128);
        let base = frame(size, 0);
        let mut bytes = base.cells[victim].bytes.to_vec();
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        bytes.extend(tail);
        let mut canvas = full(&base, library);
        let before = canvas.pixels().to_vec();
        let held = canvas.join();
        let applied = canvas.apply(&[(CellIndex::try_from(victim).unwrap(), bytes.into())]);
        if applied.bad == 1 {
            prop_assert!(painted(&mut canvas) == before && canvas.join() == held);
        }
        let (row, column) = (victim / 2, victim % 2);
        for (index, (old, new)) in before.iter().zip(canvas.pixels()).enumerate() {
            // The neighbours' touching lines have this cell's chroma in them.
            let (x, y) = (index % 320 + 1, index / 320 + 1);
            let inside = (column * 160..column * 160 + 162).contains(&x)
                && (row * 16..row * 16 + 18).contains(&y);
            prop_assert!(inside || old == new);
        }
    }

    #[test]
    fn any_header_is_refused_or_usable(
        library in prop::sample::select(&JpegLibrary::ALL[..]),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let base = frame(size(320, 32), 0);
        let RungKind::Cells { grid, header } = &base.rung.kind else { panic!("cells") };
        let mut header = header.to_vec();
        for (at, value) in damage {
            let at = at.index(header.len());
            header[at] = value;
        }
        if let Some(cut) = cut {
            header.truncate(cut.index(header.len()));
        }
        let kind = RungKind::Cells { grid: *grid, header: header.into() };
        if let Ok(mut canvas) = Canvas::with_library(Arc::new(Rung { id: 1, kind, source: None }), library) {
            let applied = canvas.apply(&cells(&base));
            // What has passed our walk is decoded.
            prop_assert!(!matches!(applied.fault, Some(CodecError::Jpeg(JpegError::Library(_)))));
        }
    }
}

#[test]
fn a_cell_with_a_marker_in_it_is_bad() {
    for library in JpegLibrary::ALL {
        let base = frame(size(320, 32), 0);
        let good = &base.cells[1].bytes;
        for marker in [0xD0, 0xD9, 0xDA, 0xC4, 0xFF, 0x01] {
            for at in [0, good.len() / 2, good.len()] {
                let smuggled = [&good[..at], &[0xFF, marker], &good[at..]].concat();
                let mut canvas = full(&base, library);
                assert_eq!(canvas.apply(&[(1, smuggled.into())]).bad, 1);
            }
        }
        let mut canvas = full(&base, library);
        let open_end = [&good[..], &[0xFF]].concat();
        assert_eq!(canvas.apply(&[(1, open_end.into())]).bad, 1);
        assert_eq!(canvas.apply(&[(1, Bytes::new())]).bad, 1);
        assert_eq!(canvas.apply(&[(4, good.clone())]).bad, 1, "there are four");
        assert_eq!(canvas.apply(&[(u32::MAX, good.clone())]).bad, 1);
    }
}

#[test]
fn a_cell_with_too_much_or_too_little_in_it_is_bad() {
    for library in JpegLibrary::ALL {
        let base = frame(size(320, 32), 0);
        let good = &base.cells[1].bytes;
        let mut canvas = full(&base, library);
        for bytes in [
            good.slice(..good.len() - 2),
            [&good[..], &[0x12, 0x34]].concat().into(),
            [&good[..], &good[..]].concat().into(),
        ] {
            assert_eq!(canvas.apply(&[(1, bytes)]).bad, 1);
        }
    }
}

#[test]
fn good_cells_beside_bad_ones_are_painted() {
    for library in JpegLibrary::ALL {
        let (old, new) = (frame(size(320, 128), 0), frame(size(320, 128), 30));
        let mut mixed = cells(&new);
        for (_, bytes) in mixed.iter_mut().step_by(3) {
            *bytes = Bytes::from_static(b"\x00\x00garbage");
        }
        let mut canvas = full(&old, library);
        assert_eq!(canvas.apply(&mixed).bad, 6);
        let mut good = cells(&new);
        let mut place = 0..;
        good.retain(|_| place.next().is_some_and(|place| place % 3 != 0));
        let mut expected = full(&old, library);
        assert_eq!(expected.apply(&good).bad, 0);
        assert!(expected.pixels() == canvas.pixels());
    }
}

#[test]
fn what_has_not_come_stays_black() {
    for library in JpegLibrary::ALL {
        let frame = frame(size(320, 64), 0);
        let mut canvas = empty(&frame, library);
        canvas.apply(&cells(&frame)[2..3]);
        assert!(!canvas.is_complete() && canvas.join().is_none());
        for (index, pixel) in canvas.pixels().iter().enumerate() {
            let cell = index / 320 / 16 * 2 + index % 320 / 160;
            assert!(cell == 2 || *pixel == 0);
        }
        // Seven of eight are done in whole rows: still not the eighth.
        canvas.apply(&cells(&frame)[..7]);
        let last = canvas.pixels()[63 * 320 + 200];
        assert_eq!(last, 0);
        canvas.apply(&cells(&frame)[7..]);
        assert!(canvas.is_complete());
    }
}

#[test]
fn equal_bytes_are_not_decoded_again() {
    for library in JpegLibrary::ALL {
        let frame = frame(size(320, 64), 0);
        let mut canvas = full(&frame, library);
        assert_eq!(canvas.apply(&cells(&frame)), Applied::default());
    }
}

#[test]
fn several_threads_paint_what_one_does() {
    let (old, new) = (frame(size(1280, 720), 0), frame(size(1280, 720), 5));
    let RungKind::Cells { grid, header } = &old.rung.kind else {
        panic!("cells")
    };
    for step in [1, 2, 5] {
        let some: Vec<_> = cells(&new).into_iter().step_by(step).collect();
        let packed = |most: NonZeroUsize| {
            let mut held = Packed::new(*grid, header).unwrap();
            held.set_workers(most);
            let mut pixels = vec![0; 1280 * 720];
            held.apply(&cells(&old), &mut pixels);
            held.apply(&some, &mut pixels);
            pixels
        };
        let planes = |most: NonZeroUsize| {
            let mut held = Planes::new(*grid, header).unwrap();
            held.set_workers(most);
            let mut pixels = vec![0; 1280 * 720];
            for cells in [&cells(&old), &some] {
                held.begin(cells, &mut Applied::default());
                while held.advance().is_some() {}
            }
            held.paint(Rect::whole(1280, 720), &mut pixels, 1280);
            pixels
        };
        assert!(packed(NonZeroUsize::MIN) == packed(MOST), "every {step}");
        assert!(planes(NonZeroUsize::MIN) == planes(MOST), "every {step}");
    }
}
