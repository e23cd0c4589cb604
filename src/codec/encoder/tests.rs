//! What is coded when, and that it comes out alike however it is coded.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::codec::decode_jpeg;
use crate::codec::testing::{photo, size};

fn at(ms: u64) -> MediaTime {
    MediaTime::from_duration(Duration::from_millis(ms))
}

fn encoder(size: Size) -> Encoder {
    Encoder::new(1, size, Quality::DEFAULT).unwrap()
}

fn encoder_with(size: Size, library: JpegLibrary) -> Encoder {
    Encoder::with_library(1, size, Quality::DEFAULT, library).unwrap()
}

const fn no_parts<'a>() -> Parts<'a> {
    Parts {
        number: 1,
        capture: MediaTime::ZERO,
        early: None,
        step: 1,
    }
}

fn versions(frame: &Frame) -> Vec<u64> {
    frame.cells.iter().map(|cell| cell.version).collect()
}

/// Mean error of luma.
fn error(a: &Picture, b: &Picture) -> f64 {
    let sum: u64 = a
        .y()
        .iter()
        .zip(b.y())
        .map(|(a, b)| u64::from(a.abs_diff(*b)))
        .sum();
    sum as f64 / a.y().len() as f64
}

#[test]
fn packed_cells_are_those_of_the_whole_picture() {
    for (width, height) in [
        (1366, 768),
        (16, 16),
        (17, 33),
        (33, 17),
        (1280, 720),
        (161, 95),
    ] {
        for library in JpegLibrary::ALL {
            let mut encoder = encoder_with(size(width, height), library);
            let picture = Arc::new(photo(size(width, height), 3));
            let all: Vec<CellIndex> = (0..).take(encoder.grid.count()).collect();
            encoder.start_rows(&picture);
            encoder.code_whole(&picture, &all, &mut no_parts()).unwrap();
            let whole = encoder.coded.clone();
            encoder
                .code_packed(&picture, &all, &mut no_parts())
                .unwrap();
            assert!(whole == encoder.coded, "{width}x{height} {library:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_cells_of_any_size_are_coded_alike_packed_and_whole(
        library in prop::sample::select(&JpegLibrary::ALL[..]),
        (width, height, shift) in (16u32..420, 16u32..200, 0usize..500),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 1..40),
    ) {
        let mut encoder = encoder_with(size(width, height), library);
        let picture = Arc::new(photo(size(width, height), shift));
        let count = encoder.grid.count();
        let mut due: Vec<_> = picks.iter().map(|pick| CellIndex::try_from(pick.index(count)).unwrap()).collect();
        due.sort_unstable();
        due.dedup();
        encoder.start_rows(&picture);
        encoder.code_whole(&picture, &due, &mut no_parts()).unwrap();
        let whole = encoder.coded.clone();
        encoder.code_packed(&picture, &due, &mut no_parts()).unwrap();
        prop_assert_eq!(whole.len(), due.len());
        prop_assert!(whole == encoder.coded);
    }

    #[test]
    fn joined_cells_are_cut_into_the_same_cells(
        library in prop::sample::select(&JpegLibrary::ALL[..]),
        (width, height) in (16u32..300, 16u32..120),
    ) {
        let mut encoder = encoder_with(size(width, height), library);
        let frame = encoder.encode(&photo(size(width, height), 9), 1, at(0)).unwrap();
        let cells: Result<Vec<_>, _> = Splitter::new(join(&frame), encoder.header_bytes).collect();
        prop_assert!(cells.unwrap().iter().eq(frame.cells.iter().map(|cell| &cell.bytes)));
    }
}

#[test]
fn splitting_and_joining_gives_the_bytes_back() {
    for library in JpegLibrary::ALL {
        // As the library wrote it, header and all; its size is a multiple of 16, so that ours is the same.
        let size = size(640, 96);
        let encoder = encoder_with(size, library);
        let picture = photo(size, 0);
        let strips: Vec<_> = (0..6).map(|row| (0, row * 16)).collect();
        let mut jpeg = Vec::new();
        let source = PackedSource {
            picture: &picture,
            strips: &strips,
            width: 640,
        };
        encoder.coder.encode(source, &mut jpeg).unwrap();
        let jpeg = Bytes::from(jpeg);
        let cells = Splitter::new(jpeg.clone(), encoder.header_bytes).map(Result::unwrap);
        let cells: Vec<_> = cells.collect();
        let RungKind::Cells { header, .. } = &encoder.rung().kind else {
            panic!("cells");
        };
        assert!(join_cells(header, cells.iter().map(|cell| &cell[..])) == jpeg);
    }
}

#[test]
fn a_joined_frame_looks_like_its_source() {
    for (width, height) in [(1366, 768), (16, 16), (65, 49)] {
        let picture = photo(size(width, height), 0);
        let frame = encoder(picture.size()).encode(&picture, 1, at(0)).unwrap();
        let decoded = decode_jpeg(&join(&frame)).unwrap();
        assert!(error(&picture, &decoded) < 4.0, "{width}x{height}");
    }
}

/// Of luma, in dB.
fn noise_ratio(a: &Picture, b: &Picture) -> f64 {
    let square = |(a, b): (&u8, &u8)| u64::from(a.abs_diff(*b)).pow(2);
    let sum: u64 = a.y().iter().zip(b.y()).map(square).sum();
    10.0 * (255.0 * 255.0 * a.y().len() as f64 / sum as f64).log10()
}

#[test]
fn both_libraries_code_equally_well_in_as_many_bytes() {
    for (quality, (width, height)) in [
        (10, (640, 360)),
        (50, (1366, 768)),
        (75, (1280, 720)),
        (97, (321, 97)),
    ] {
        let picture = photo(size(width, height), 7);
        let [(turbo, turbo_db), (plain, plain_db)] = JpegLibrary::ALL.map(|library| {
            let quality = Quality::new(quality).unwrap();
            let mut encoder = Encoder::with_library(1, picture.size(), quality, library).unwrap();
            let jpeg = join(&encoder.encode(&picture, 1, at(0)).unwrap());
            let decoded = decode_jpeg(&jpeg).unwrap();
            (jpeg.len() as f64, noise_ratio(&picture, &decoded))
        });
        let what = format!("{quality}: {turbo} and {plain} bytes, {turbo_db} and {plain_db} dB");
        assert!((turbo / plain - 1.0).abs() < 0.01, "{what}");
        assert!((turbo_db - plain_db).abs() < 0.1, "{what}");
    }
}

#[test]
fn the_hardest_pictures_are_coded_and_read_again() {
    // Each block as far from flat as can be, at the finest quality: the largest coefficients there are.
    let patterns: [fn(usize) -> bool; 4] = [
        |i| i % 2 == 0,
        |i| (i / 64 + i) % 2 == 0,
        |i| i / 64 % 2 == 0,
        |i| i % 16 < 8,
    ];
    for library in JpegLibrary::ALL {
        for pattern in patterns {
            let mut picture = Picture::filled(size(64, 64), [0; 3]);
            for plane in picture.planes_mut() {
                let samples = plane.iter_mut().enumerate();
                samples.for_each(|(index, sample)| *sample = if pattern(index) { 255 } else { 0 });
            }
            let finest = Quality::new(100).unwrap();
            let mut encoder = Encoder::with_library(1, picture.size(), finest, library).unwrap();
            let jpeg = join(&encoder.encode(&picture, 1, at(0)).unwrap());
            assert!(
                error(&picture, &decode_jpeg(&jpeg).unwrap()) < 1.5,
                "{library:?}"
            );
        }
    }
}

#[test]
fn what_does_not_change_is_not_coded_and_shares_its_bytes() {
    let mut encoder = encoder(size(640, 64));
    let mut picture = photo(size(640, 64), 0);
    let first = encoder.encode(&picture, 1, at(0)).unwrap();
    assert_eq!(versions(&first), vec![1; 16]);
    picture.planes_mut()[0][20 * 640 + 170] ^= 0x80;
    let second = encoder.encode(&picture, 2, at(33)).unwrap();
    let mut expected = vec![1; 16];
    expected[5] = 2;
    assert_eq!(versions(&second), expected);
    assert_eq!(
        first.cells[4].bytes.as_ptr(),
        second.cells[4].bytes.as_ptr()
    );
}

#[test]
fn a_change_of_colour_alone_is_seen() {
    let mut encoder = encoder(size(320, 32));
    let mut picture = photo(size(320, 32), 0);
    encoder.encode(&picture, 1, at(0)).unwrap();
    picture.planes_mut()[2][15 * 160 + 159] ^= 0x40;
    let frame = encoder.encode(&picture, 2, at(33)).unwrap();
    assert_eq!(versions(&frame), [1, 1, 1, 2]);
}

#[test]
fn a_sensor_s_noise_is_no_change() {
    let mut encoder = encoder(size(320, 64));
    let quiet = photo(size(320, 64), 0);
    encoder.encode(&quiet, 1, at(0)).unwrap();
    let mut noisy = quiet;
    for (index, sample) in noisy.planes_mut()[0].iter_mut().enumerate() {
        *sample = sample.saturating_add([0, 3, 2, 1][index % 4]);
    }
    let frame = encoder.encode(&noisy, 2, at(33)).unwrap();
    assert_eq!(versions(&frame), vec![1; 8]);
}

#[test]
fn every_cell_is_coded_anew_within_three_seconds_and_never_all_at_once() {
    let size = size(1280, 720);
    let mut encoder = encoder(size);
    let mut newest = vec![0; encoder.grid.count()];
    for number in 0..330 {
        let ms = number * 33;
        // Brightness creeps, always below the threshold.
        let mut picture = photo(size, 0);
        let grown = u8::try_from(number / 60).unwrap();
        picture.planes_mut()[0]
            .iter_mut()
            .for_each(|y| *y = y.saturating_add(grown));
        let capture = at(ms);
        let mut due = Vec::new();
        encoder.detector.select(&picture, capture, &mut due);
        if number > 0 {
            assert!(due.len() < 20, "{} cells at {ms} ms", due.len());
        }
        encoder.detector.keep(&Arc::new(picture), &due, capture);
        for cell in due {
            newest[cell as usize] = ms;
        }
        assert!(newest.iter().all(|then| ms - then <= 3000), "at {ms} ms");
    }
}

#[test]
fn at_one_picture_a_second_too_every_cell_is_coded_anew_in_time() {
    let size = size(320, 160);
    let mut encoder = encoder(size);
    let picture = Arc::new(photo(size, 0));
    let mut newest = [0; 20];
    for second in 0..12 {
        let mut due = Vec::new();
        encoder
            .detector
            .select(&picture, at(second * 1000), &mut due);
        encoder.detector.keep(&picture, &due, at(second * 1000));
        for cell in due {
            newest[cell as usize] = second;
        }
        assert!(newest.iter().all(|then| second - then <= 3));
    }
}

#[test]
fn refreshing_a_still_picture_makes_no_new_versions() {
    let mut encoder = encoder(size(320, 64));
    let picture = photo(size(320, 64), 0);
    let first = encoder.encode(&picture, 1, at(0)).unwrap();
    let later = encoder.encode(&picture, 2, at(5000)).unwrap();
    assert_eq!(versions(&later), vec![1; 8]);
    // ... but the old buffer is let go.
    assert_ne!(first.cells[0].bytes.as_ptr(), later.cells[0].bytes.as_ptr());
}

#[test]
fn a_clock_that_begins_anew_does_not_stop_the_refreshing() {
    let mut encoder = encoder(size(320, 64));
    let picture = photo(size(320, 64), 0);
    encoder.encode(&picture, 1, at(1_000_000)).unwrap();
    encoder.encode(&picture, 2, at(0)).unwrap();
    let mut due = Vec::new();
    encoder.detector.select(&picture, at(3000), &mut due);
    assert_eq!(due.len(), 8);
}

#[test]
fn a_picture_of_another_size_is_refused() {
    let refused = encoder(size(320, 64)).encode(&photo(size(320, 80), 0), 1, at(0));
    assert!(matches!(refused, Err(CodecError::PictureSize { .. })));
}

#[test]
fn what_is_coded_goes_while_the_rest_is_being_coded() {
    let size = size(1280, 720);
    let mut encoder = encoder(size);
    let mut parts = Vec::new();
    let mut keep = |extent| parts.push(extent);
    let pictures: Vec<_> = (0..3).map(|n| Arc::new(photo(size, n * 7))).collect();
    // Of the first frame nobody could show a part.
    encoder
        .encode_early(&pictures[0], 1, at(0), Some(&mut keep))
        .unwrap();
    let whole = encoder
        .encode_early(&pictures[1], 2, at(33), Some(&mut keep))
        .unwrap();
    assert!((2..=PARTS).contains(&parts.len()), "{}", parts.len());
    let mut before = 0;
    for part in &parts {
        assert_eq!((part.frame.number, part.frame.capture), (2, at(33)));
        assert!(part.cells > before && !part.is_whole());
        assert!(part.frame.cells[..part.cells] == whole.cells[..part.cells]);
        before = part.cells;
    }
    let mut alone = encoder_with(size, JpegLibrary::default());
    for (number, picture) in (1..).zip(&pictures[..2]) {
        let frame = alone
            .encode(picture, number, at(33 * (number - 1)))
            .unwrap();
        assert!(number == 1 || frame.cells == whole.cells);
    }
    encoder.encode_early(&pictures[2], 3, at(66), None).unwrap();
}
