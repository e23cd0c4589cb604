//! A part of a picture or of a window.

/// Some pixels: left, top, width, height. May be empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rect {
    /// First column.
    pub x: usize,
    /// First row.
    pub y: usize,
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

impl Rect {
    /// All four at once.
    pub const fn new(x: usize, y: usize, width: usize, height: usize) -> Self {
        Self {
            x,
            y,
            width,
            height,
        }
    }

    /// From the origin.
    pub const fn whole(width: usize, height: usize) -> Self {
        Self::new(0, 0, width, height)
    }

    /// Has no pixel.
    pub const fn is_empty(self) -> bool {
        self.width == 0 || self.height == 0
    }

    /// One past the last column.
    pub const fn right(self) -> usize {
        self.x.saturating_add(self.width)
    }

    /// One past the last row.
    pub const fn bottom(self) -> usize {
        self.y.saturating_add(self.height)
    }

    /// The pixel in the middle.
    pub const fn centre(self) -> (usize, usize) {
        (self.x + self.width / 2, self.y + self.height / 2)
    }

    /// The pixels that both have.
    #[must_use]
    pub fn intersection(self, other: Self) -> Self {
        let (x, y) = (self.x.max(other.x), self.y.max(other.y));
        let right = self.right().min(other.right());
        let bottom = self.bottom().min(other.bottom());
        Self::new(x, y, right.saturating_sub(x), bottom.saturating_sub(y))
    }

    /// The smallest rectangle around both.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        if self.is_empty() {
            return other;
        }
        if other.is_empty() {
            return self;
        }
        let (x, y) = (self.x.min(other.x), self.y.min(other.y));
        let right = self.right().max(other.right());
        let bottom = self.bottom().max(other.bottom());
        Self::new(x, y, right - x, bottom - y)
    }

    /// Every pixel of `other` is in this.
    pub fn contains(self, other: Self) -> bool {
        self.union(other) == self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_rectangles_are_in_every_other_and_change_no_union() {
        let some = Rect::new(4, 5, 6, 7);
        assert!(some.contains(Rect::default()));
        assert_eq!(some.union(Rect::new(90, 90, 0, 4)), some);
        assert_eq!(Rect::default().union(some), some);
        assert!(some.intersection(Rect::new(10, 5, 9, 9)).is_empty());
        assert_eq!(some.centre(), (7, 8));
    }

    #[test]
    fn what_reaches_beyond_all_numbers_is_clipped() {
        let huge = Rect::new(60, 40, usize::MAX, usize::MAX);
        let picture = Rect::whole(64, 48);
        assert_eq!(huge.intersection(picture), Rect::new(60, 40, 4, 8));
    }
}
