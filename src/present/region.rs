//! Rectangles in pixels: how a list of them is kept short.

use crate::media::Rect;

/// A bounded list of rectangles: neighbours grow together, and too many become the one around them all.
#[derive(Clone, Debug, Default)]
pub(super) struct Region {
    rects: Vec<Rect>,
}

impl Region {
    /// Adds `rect`; a run of cells in raster order becomes one rectangle per row, and equal rows one block.
    pub(super) fn add(&mut self, rect: Rect) {
        if rect.is_empty() || self.rects.iter().any(|held| held.contains(rect)) {
            return;
        }
        let mut rect = rect;
        while let Some(last) = self.rects.last() {
            let across = last.y == rect.y
                && last.height == rect.height
                && last.right() >= rect.x
                && rect.right() >= last.x;
            let down = last.x == rect.x
                && last.width == rect.width
                && last.bottom() >= rect.y
                && rect.bottom() >= last.y;
            if !across && !down && !rect.contains(*last) {
                break;
            }
            rect = rect.union(*last);
            self.rects.pop();
        }
        if self.rects.len() >= MAX_RECTS {
            let around = self.rects.drain(..).fold(rect, Rect::union);
            self.rects.push(around);
        } else {
            self.rects.push(rect);
        }
    }

    /// Adds every rectangle of `other`.
    pub(super) fn extend(&mut self, other: &[Rect]) {
        for rect in other {
            self.add(*rect);
        }
    }

    /// Forgets everything; keeps its memory.
    pub(super) fn clear(&mut self) {
        self.rects.clear();
    }

    /// The rectangles, which may overlap.
    pub(super) fn rects(&self) -> &[Rect] {
        &self.rects
    }

    /// Nothing was added.
    pub(super) fn is_empty(&self) -> bool {
        self.rects.is_empty()
    }
}

/// Each becomes a request to the display server; beyond this a few pixels too many are cheaper.
const MAX_RECTS: usize = 48;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_picture_of_cells_becomes_one_rectangle() {
        let mut region = Region::default();
        for row in 0..45 {
            for column in 0..8 {
                region.add(Rect::new(column * 160, row * 16, 160, 16));
            }
        }
        assert_eq!(region.rects(), [Rect::whole(1280, 720)]);
    }

    #[test]
    fn a_region_never_grows_beyond_its_bound_and_loses_nothing() {
        let mut region = Region::default();
        let scattered: Vec<_> = (0..1000)
            .map(|n| Rect::new((n * 37) % 1200, (n * 61) % 700, 5, 5))
            .collect();
        region.extend(&scattered);
        assert!(region.rects().len() <= MAX_RECTS);
        for rect in scattered {
            assert!(region.rects().iter().any(|held| held.contains(rect)));
        }
    }

    #[test]
    fn rectangles_apart_stay_apart() {
        let mut region = Region::default();
        region.add(Rect::new(0, 0, 16, 16));
        region.add(Rect::new(100, 100, 16, 16));
        region.add(Rect::default());
        assert_eq!(region.rects().len(), 2);
        assert!(
            Rect::new(0, 0, 4, 4)
                .intersection(Rect::new(9, 9, 4, 4))
                .is_empty()
        );
    }
}
