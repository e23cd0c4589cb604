//! What a window paints a picture from.

use super::{Rect, Size};

/// A picture whose pixels, 0x00RRGGBB, are made where they are wanted: most of them are never anywhere else.
pub trait Raster {
    /// Width and height.
    fn size(&self) -> Size;

    /// All of them, row by row.
    fn pixels(&mut self) -> &[u32];

    /// Writes those of `part` to `out`, where the first of them comes first and rows begin `stride` apart. What `out`
    /// has no room for is left out, and so is what lies outside the picture.
    fn paint(&mut self, part: Rect, out: &mut [u32], stride: usize);
}

/// Pixels that are there already.
#[derive(Clone, Copy, Debug)]
pub struct Pixels<'a> {
    pixels: &'a [u32],
    size: Size,
}

impl<'a> Pixels<'a> {
    /// `None` unless there are as many as `size` says.
    pub fn new(pixels: &'a [u32], size: Size) -> Option<Self> {
        (pixels.len() == size.width() * size.height()).then_some(Self { pixels, size })
    }
}

impl Raster for Pixels<'_> {
    fn size(&self) -> Size {
        self.size
    }

    fn pixels(&mut self) -> &[u32] {
        self.pixels
    }

    fn paint(&mut self, part: Rect, out: &mut [u32], stride: usize) {
        let width = self.size.width();
        let part = part.intersection(Rect::whole(width, self.size.height()));
        if part.is_empty() {
            return;
        }
        let rows = self.pixels[part.y * width..].chunks_exact(width);
        for (to, from) in out.chunks_mut(stride).zip(rows).take(part.height) {
            let length = part.width.min(to.len());
            to[..length].copy_from_slice(&from[part.x..part.x + length]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_copied_row_by_row_and_no_further_than_there_is_room() {
        let size = Size::new(16, 16).unwrap();
        let pixels: Vec<u32> = (0..256).collect();
        assert!(Pixels::new(&pixels[1..], size).is_none());
        let mut raster = Pixels::new(&pixels, size).unwrap();
        let mut out = [999; 9];
        raster.paint(Rect::new(14, 3, 5, 2), &mut out, 4);
        assert_eq!(out, [62, 63, 999, 999, 78, 79, 999, 999, 999]);
        raster.paint(Rect::new(0, 0, 16, 16), &mut out[..6], 4);
        assert_eq!(out[..6], [0, 1, 2, 3, 16, 17]);
        raster.paint(Rect::new(20, 3, 5, 2), &mut out, 4);
        assert_eq!(out[..6], [0, 1, 2, 3, 16, 17]);
    }
}
