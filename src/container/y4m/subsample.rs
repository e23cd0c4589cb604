//! Layouts other than 4:2:0: gathered whole, then averaged.

use super::{Chroma, Range};
use crate::container::planes::expand;
use crate::media::{Picture, Size};

/// A picture in its own layout, still arriving.
#[derive(Debug)]
pub(super) struct Planar {
    size: Size,
    chroma: Chroma,
    range: Range,
    samples: Vec<u8>,
    at: usize,
}

impl Planar {
    pub(super) fn new(size: Size, chroma: Chroma, range: Range) -> Self {
        let luma = size.width() * size.height();
        let (width, height) = chroma_size(size, chroma);
        Self {
            size,
            chroma,
            range,
            samples: vec![0; luma + 2 * width * height],
            at: 0,
        }
    }

    pub(super) fn space(&mut self) -> &mut [u8] {
        &mut self.samples[self.at..]
    }

    pub(super) fn filled(&mut self, count: usize) {
        self.at = (self.at + count).min(self.samples.len());
    }

    pub(super) fn take(&mut self, bytes: &[u8]) -> (usize, bool) {
        let space = self.space();
        let count = space.len().min(bytes.len());
        space[..count].copy_from_slice(&bytes[..count]);
        self.filled(count);
        (count, self.at == self.samples.len())
    }

    pub(super) fn into_picture(self) -> Picture {
        let mut picture = Picture::filled(self.size, [0, 128, 128]);
        let (width, height) = chroma_size(self.size, self.chroma);
        let (luma, chroma) = self
            .samples
            .split_at(self.size.width() * self.size.height());
        let (cb, cr) = chroma.split_at(width * height);
        let [y, out_cb, out_cr] = picture.planes_mut();
        y.copy_from_slice(luma);
        for (from, to) in [(cb, out_cb), (cr, out_cr)] {
            shrink(from, (width, height), to, self.size);
        }
        if self.range == Range::Limited {
            let [y, cb, cr] = picture.planes_mut();
            expand(y, false);
            expand(cb, true);
            expand(cr, true);
        }
        picture
    }
}

fn chroma_size(size: Size, chroma: Chroma) -> (usize, usize) {
    match chroma {
        Chroma::Yuv420 => (size.chroma_width(), size.chroma_height()),
        Chroma::Yuv422 => (size.chroma_width(), size.height()),
        Chroma::Yuv444 => (size.width(), size.height()),
        Chroma::Mono => (0, 0),
    }
}

/// Averages a colour plane of `width` x `height` down to 4:2:0; at an odd edge the last sample stands for two.
fn shrink(from: &[u8], (width, height): (usize, usize), to: &mut [u8], size: Size) {
    if width == 0 {
        return;
    }
    let columns = size.chroma_width();
    for (row, out) in to.chunks_exact_mut(columns).enumerate() {
        let above = &from[row * 2 * width..][..width];
        let below = &from[(row * 2 + 1).min(height - 1) * width..][..width];
        if width == columns {
            for ((out, a), b) in out.iter_mut().zip(above).zip(below) {
                *out = mean([*a, *a, *b, *b]);
            }
            continue;
        }
        let (pairs_above, last_above) = above.as_chunks::<2>();
        let (pairs_below, last_below) = below.as_chunks::<2>();
        for ((out, [a, b]), [c, d]) in out.iter_mut().zip(pairs_above).zip(pairs_below) {
            *out = mean([*a, *b, *c, *d]);
        }
        if let (Some(out), [a], [b]) = (out.last_mut(), last_above, last_below) {
            *out = mean([*a, *a, *b, *b]);
        }
    }
}

fn mean(samples: [u8; 4]) -> u8 {
    let [a, b, c, d] = samples.map(u16::from);
    let [mean, _] = ((a + b + c + d + 2) >> 2).to_le_bytes(); // at most 255
    mean
}
