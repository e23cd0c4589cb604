//! Hostile headers, cells and whole JPEGs: an error or a picture. What was refused has changed nothing, whatever was
//! taken can be joined to a JPEG that is decoded again, and both libraries take the same: what our own walk lets
//! through neither of them refuses, nor panics on.
//!
//! An input is width, height and restart interval, a byte each, then records: kind, index and two bytes of length, big
//! endian, then so many bytes. Laid out like this so that seeds hold real headers and cells as they are.
#![no_main]

use std::sync::Arc;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use tunnelcast::codec::{
    Canvas, CodecError, Encoder, JpegError, JpegLibrary, Quality, decode_jpeg, jpeg_size, normalise,
};
use tunnelcast::media::{CellIndex, Frame, Grid, MediaTime, Picture, Raster, Rung, RungKind, Size};

struct Record<'a> {
    kind: u8,
    index: u8,
    bytes: &'a [u8],
}

/// A header instead of ours.
const HEADER: u8 = 0;
/// A cell.
const CELL: u8 = 1;
/// The cell of ours with that index.
const OUR_CELL: u8 = 2;
/// The cells so far come together.
const APPLY: u8 = 3;
/// A whole JPEG.
const WHOLE: u8 = 4;

fn records(mut rest: &[u8]) -> impl Iterator<Item = Record<'_>> {
    std::iter::from_fn(move || {
        let (&[kind, index, high, low], behind) = rest.split_first_chunk()?;
        let length = usize::from(u16::from_be_bytes([high, low])).min(behind.len());
        let (bytes, behind) = behind.split_at(length);
        rest = behind;
        Some(Record {
            kind: kind % 5,
            index,
            bytes,
        })
    })
}

fn frame(size: Size) -> Frame {
    let mut picture = Picture::filled(size, [90, 110, 150]);
    for plane in picture.planes_mut() {
        for (index, sample) in plane.iter_mut().enumerate() {
            *sample = sample.wrapping_add((index * index / 7 % 61) as u8);
        }
    }
    Encoder::new(1, size, Quality::DEFAULT)
        .and_then(|mut encoder| encoder.encode(&picture, 1, MediaTime::ZERO))
        .expect("our own picture")
}

/// Whatever was taken can be passed on.
fn joined_is_decoded(canvas: &Canvas) {
    if let Some(jpeg) = canvas.join() {
        let size = canvas.size();
        assert_eq!(jpeg_size(&jpeg), Ok(size));
        let kind = RungKind::Whole { size };
        let mut whole = Canvas::new(Arc::new(Rung {
            id: 2,
            kind,
            source: None,
        }))
        .expect("no header");
        assert_eq!(whole.apply(&[(0, jpeg)]).bad, 0);
    }
}

fn apply(canvas: &mut Canvas, cells: &[(CellIndex, Bytes)]) {
    let before = (canvas.pixels().to_vec(), canvas.join());
    let applied = canvas.apply(cells);
    let fault = applied.fault.as_ref();
    assert!(
        !matches!(fault, Some(CodecError::Jpeg(JpegError::Library(_)))),
        "{fault:?}"
    );
    assert!(applied.bad <= cells.len());
    assert_eq!(applied.bad > 0, applied.fault.is_some());
    if applied.bad == cells.len() {
        assert!(before == (canvas.pixels().to_vec(), canvas.join()));
        assert!(applied.dirty.is_empty());
    }
    let size = canvas.size();
    for rect in applied.dirty {
        assert!(rect.width > 0 && rect.x + rect.width <= size.width());
        assert!(rect.height > 0 && rect.y + rect.height <= size.height());
    }
    joined_is_decoded(canvas);
}

fn apply_both(canvases: &mut Option<[Canvas; 2]>, cells: &[(CellIndex, Bytes)]) {
    if let Some(canvases) = canvases {
        canvases.iter_mut().for_each(|canvas| apply(canvas, cells));
        let [turbo, plain] = canvases;
        assert_eq!(turbo.join(), plain.join());
    }
}

fn whole(jpeg: &Bytes) {
    let size = jpeg_size(jpeg);
    let decoded = decode_jpeg(jpeg);
    if let Ok(picture) = &decoded {
        assert_eq!(size, Ok(picture.size()));
    }
    if let Ok(once) = normalise(jpeg.clone()) {
        assert_eq!(normalise(once.clone()).as_ref(), Ok(&once));
        let _ = decode_jpeg(&once);
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((&[width, height, restart], rest)) = input.split_first_chunk() else {
        return;
    };
    let side = |n: u8| 16 + u32::from(n) % 100;
    let Ok(size) = Size::new(side(width), side(height)) else {
        return;
    };
    let ours = frame(size);
    let RungKind::Cells { grid, header } = &ours.rung.kind else {
        return;
    };
    let restart = if restart == 0 {
        grid.restart()
    } else {
        u16::from(restart)
    };
    let Ok(grid) = Grid::new(size, restart) else {
        return;
    };
    let header = records(rest)
        .find(|record| record.kind == HEADER)
        .map_or_else(
            || header.clone(),
            |record| Bytes::copy_from_slice(record.bytes),
        );
    let kind = RungKind::Cells { grid, header };
    let rung = Arc::new(Rung {
        id: 1,
        kind,
        source: None,
    });
    let canvas = |library| Canvas::with_library(Arc::clone(&rung), library);
    let mut canvases = match JpegLibrary::ALL.map(canvas) {
        [Ok(turbo), Ok(plain)] => Some([turbo, plain]),
        [Err(turbo), Err(plain)] => {
            assert_eq!(turbo, plain);
            None
        }
        _ => panic!("a header that only one of them takes"),
    };
    let mut cells: Vec<(CellIndex, Bytes)> = Vec::new();
    for record in records(rest).take(64) {
        let bytes = || Bytes::copy_from_slice(record.bytes);
        let index = CellIndex::from(record.index);
        match record.kind {
            CELL => cells.push((index, bytes())),
            OUR_CELL => {
                let count = ours.cells.len();
                cells.push((
                    index,
                    ours.cells[usize::from(record.index) % count].bytes.clone(),
                ));
            }
            APPLY => {
                apply_both(&mut canvases, &cells);
                cells.clear();
            }
            WHOLE => whole(&bytes()),
            _ => {}
        }
    }
    apply_both(&mut canvases, &cells);
});
