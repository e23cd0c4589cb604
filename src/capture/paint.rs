//! Filling parts of a picture with colour and words; everything is clipped to the picture.

use crate::glyph::Face;
use crate::media::{Picture, Rect};

/// A colour given as red, green, blue in the picture's own terms: full range, BT.601.
pub(super) fn ycbcr([r, g, b]: [u8; 3]) -> [u8; 3] {
    let [r, g, b] = [r, g, b].map(f32::from);
    let luma = 0.299 * r + 0.587 * g + 0.114 * b;
    [luma, 128.0 + (b - luma) / 1.772, 128.0 + (r - luma) / 1.402].map(|sample| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to the type's range"
        )]
        let sample = sample.round().clamp(0.0, 255.0) as u8;
        sample
    })
}

/// Fills `rect` with a colour; chroma to the nearest even pixel.
pub(super) fn fill(picture: &mut Picture, rect: Rect, colour: [u8; 3]) {
    let size = picture.size();
    let widths = [size.width(), size.chroma_width(), size.chroma_width()];
    for ((plane, width), (colour, shift)) in picture
        .planes_mut()
        .into_iter()
        .zip(widths)
        .zip(colour.into_iter().zip([0, 1, 1]))
    {
        let left = (rect.x >> shift).min(width);
        let right = ((rect.x + rect.width) >> shift).clamp(left, width);
        let (top, bottom) = (rect.y >> shift, (rect.y + rect.height) >> shift);
        for row in plane
            .chunks_exact_mut(width)
            .skip(top)
            .take(bottom.saturating_sub(top))
        {
            row[left..right].fill(colour);
        }
    }
}

/// Writes `text` in luma `luma` with its top left at `(x, y)`; the colour behind stays.
pub(super) fn text(
    picture: &mut Picture,
    face: Face,
    text: &str,
    (x, y): (usize, usize),
    luma: u8,
) {
    let width = picture.size().width();
    let [plane, ..] = picture.planes_mut();
    face.runs(text, |dx, dy, length| {
        let left = (x + dx).min(width);
        let right = (x + dx + length).min(width);
        let from = (y + dy).saturating_mul(width);
        if let Some(run) = plane.get_mut(from + left..from + right) {
            run.fill(luma);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::Size;

    #[test]
    fn known_colours_become_known_samples() {
        assert_eq!(ycbcr([255, 255, 255]), [255, 128, 128]);
        assert_eq!(ycbcr([0, 0, 0]), [0, 128, 128]);
        assert_eq!(ycbcr([255, 0, 0]), [76, 85, 255]);
        assert_eq!(ycbcr([0, 0, 255]), [29, 255, 107]);
    }

    #[test]
    fn what_reaches_past_the_edge_is_clipped() {
        let mut picture = Picture::filled(Size::new(17, 17).unwrap(), [0; 3]);
        let rect = Rect {
            x: 10,
            y: 10,
            width: 100,
            height: 100,
        };
        fill(&mut picture, rect, [9; 3]);
        assert_eq!(
            picture.y().iter().filter(|sample| **sample == 9).count(),
            49
        );
        text(&mut picture, Face::LARGE.scaled(9), "@@@", (3, 3), 200);
        text(&mut picture, Face::LARGE, "@", (500, 500), 200);
    }
}
