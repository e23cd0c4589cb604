//! Pictures for the tests of this module.

use std::sync::LazyLock;

use super::jpeg::decode_jpeg;
use crate::media::{Picture, Size};

/// A photograph, 1280x720.
pub(super) static PHOTO: LazyLock<Picture> = LazyLock::new(|| {
    decode_jpeg(include_bytes!("../../tests/data/motorcycle.jpg")).expect("a JPEG of our own")
});

/// A size within bounds.
pub(super) fn size(width: u32, height: u32) -> Size {
    Size::new(width, height).unwrap()
}

/// A part of the photograph, `shift` px to the right and down, around its edges.
pub(super) fn photo(size: Size, shift: usize) -> Picture {
    let mut out = Picture::filled(size, [0; 3]);
    let (full, half) = (PHOTO.size(), PHOTO.size().chroma_width());
    let [y, cb, cr] = out.planes_mut();
    copy(y, size.width(), PHOTO.y(), full.width(), shift);
    copy(cb, size.chroma_width(), PHOTO.cb(), half, shift / 2);
    copy(cr, size.chroma_width(), PHOTO.cr(), half, shift / 2);
    out
}

fn copy(to: &mut [u8], to_width: usize, from: &[u8], from_width: usize, shift: usize) {
    let from_height = from.len() / from_width;
    for (row, line) in to.chunks_mut(to_width).enumerate() {
        let start = (row + shift) % from_height * from_width;
        let source = from[start..start + from_width].iter().cycle().skip(shift);
        line.iter_mut()
            .zip(source)
            .for_each(|(to, from)| *to = *from);
    }
}
