//! Pictures of half the width and half the height.

use super::{Picture, Size, SizeError};

impl Size {
    /// Half of each side, rounded up.
    ///
    /// # Errors
    /// That would be out of bounds.
    pub fn half(self) -> Result<Self, SizeError> {
        let [width, height] = [self.chroma_width(), self.chroma_height()].map(narrow);
        Self::new(width, height)
    }
}

/// Fills `out` with `picture` at [half its size](Size::half): each sample is the mean of the four it stands for,
/// rounded to nearest. A last odd column or row stands for itself. `out` keeps its memory where it has the size.
///
/// # Errors
/// Half the size would be out of bounds; `out` stays as it was.
pub fn halve(picture: &Picture, out: &mut Picture) -> Result<(), SizeError> {
    let size = picture.size().half()?;
    if out.size() != size {
        *out = Picture::filled(size, [0, 128, 128]);
    }
    let (full, half) = (picture.size(), size);
    let [y, cb, cr] = out.planes_mut();
    plane(picture.y(), full.width(), y, half.width());
    let (from_width, to_width) = (full.chroma_width(), half.chroma_width());
    plane(picture.cb(), from_width, cb, to_width);
    plane(picture.cr(), from_width, cr, to_width);
    Ok(())
}

fn plane(from: &[u8], from_width: usize, to: &mut [u8], to_width: usize) {
    let pairs = from.chunks(2 * from_width);
    for (rows, out) in pairs.zip(to.chunks_exact_mut(to_width)) {
        let (upper, lower) = rows.split_at(from_width);
        let lower = if lower.is_empty() { upper } else { lower };
        line(upper, lower, out);
    }
}

/// Two rows to one. Neighbours are taken as the halves of one number, of which the compiler makes vectors: 19 us for the
/// luma of 1280x720, and 100 with four samples summed one by one.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the mean of four bytes is a byte"
)]
fn line(upper: &[u8], lower: &[u8], out: &mut [u8]) {
    let ((above, upper_odd), (below, lower_odd)) = (upper.as_chunks::<2>(), lower.as_chunks::<2>());
    for ((to, above), below) in out.iter_mut().zip(above).zip(below) {
        let (above, below) = (u16::from_le_bytes(*above), u16::from_le_bytes(*below));
        let sum = (above & 0xFF) + (above >> 8) + (below & 0xFF) + (below >> 8);
        *to = ((sum + 2) >> 2) as u8;
    }
    if let ([above], [below], Some(to)) = (upper_odd, lower_odd, out.last_mut()) {
        *to = (u16::from(*above) + u16::from(*below)).div_ceil(2) as u8;
    }
}

fn narrow(side: usize) -> u32 {
    u32::try_from(side).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(width: u32, height: u32) -> Size {
        Size::new(width, height).unwrap()
    }

    fn halved(picture: &Picture) -> Picture {
        let mut out = Picture::filled(size(16, 16), [1, 2, 3]);
        halve(picture, &mut out).unwrap();
        out
    }

    #[test]
    fn one_colour_stays_that_colour_whatever_the_size() {
        for (width, height) in [(64, 48), (65, 47), (1280, 720), (33, 99)] {
            for colour in [[0, 0, 255], [255, 128, 1], [77, 200, 13]] {
                let full = Picture::filled(size(width, height), colour);
                let half = Picture::filled(full.size().half().unwrap(), colour);
                assert_eq!(halved(&full), half);
            }
        }
    }

    #[test]
    fn a_sample_is_the_mean_of_its_four() {
        let mut full = Picture::filled(size(32, 32), [0, 128, 128]);
        let [y, cb, _] = full.planes_mut();
        y[..4].copy_from_slice(&[10, 20, 255, 255]);
        y[32..36].copy_from_slice(&[30, 41, 255, 254]);
        cb[..2].copy_from_slice(&[0, 1]);
        cb[16..18].copy_from_slice(&[0, 0]);
        let half = halved(&full);
        assert_eq!(half.size(), size(16, 16));
        assert_eq!(half.y()[..3], [25, 255, 0]);
        assert_eq!(half.cb()[..2], [0, 128]);
    }

    #[test]
    fn an_odd_last_column_and_row_stand_for_themselves() {
        let mut full = Picture::filled(size(33, 35), [0, 128, 128]);
        let [y, ..] = full.planes_mut();
        for row in y.chunks_mut(33) {
            row[32] = 100;
        }
        y[34 * 33..].fill(200);
        let half = halved(&full);
        assert_eq!(half.size(), size(17, 18));
        assert_eq!(half.y()[16], 100);
        assert_eq!(half.y()[17 * 17], 200);
        assert_eq!(half.y()[17 * 18 - 1], 200);
        assert_eq!(half.y()[0], 0);
    }

    #[test]
    fn what_would_become_too_small_is_refused() {
        let tiny = Picture::filled(size(30, 200), [0; 3]);
        let mut out = tiny.clone();
        assert!(halve(&tiny, &mut out).is_err());
        assert_eq!(out, tiny);
    }

    #[test]
    fn memory_of_the_right_size_is_used_again() {
        let full = Picture::filled(size(64, 64), [9; 3]);
        let mut out = halved(&full);
        let at = out.y().as_ptr();
        halve(&full, &mut out).unwrap();
        assert_eq!(out.y().as_ptr(), at);
    }
}
