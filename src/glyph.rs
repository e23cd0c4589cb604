//! Text as pixels, from a bitmap font.
//!
//! It knows no pixel format: [`Face::runs`] tells where the lit pixels are, in horizontal runs, and the caller fills.

use embedded_graphics::geometry::Point;
use embedded_graphics::image::GetPixel;
use embedded_graphics::mono_font::MonoFont;
use embedded_graphics::mono_font::iso_8859_1::{FONT_6X13, FONT_10X20};
use embedded_graphics::pixelcolor::BinaryColor;

/// A font at a size: Latin-1, every character equally wide; what it lacks is shown as a question mark.
#[derive(Clone, Copy, Debug)]
pub struct Face {
    font: &'static MonoFont<'static>,
    scale: usize,
}

/// The most that a pixel of the font is magnified.
const MAX_SCALE: usize = 16;

impl Face {
    /// Characters of 6 x 13 px.
    pub const SMALL: Self = Self {
        font: &FONT_6X13,
        scale: 1,
    };
    /// Characters of 10 x 20 px.
    pub const LARGE: Self = Self {
        font: &FONT_10X20,
        scale: 1,
    };

    /// The same font, each of its pixels a square of `scale` px (1 to 16).
    #[must_use]
    pub fn scaled(self, scale: usize) -> Self {
        Self {
            scale: scale.clamp(1, MAX_SCALE),
            ..self
        }
    }

    /// Width of a character in pixels.
    pub const fn width(self) -> usize {
        self.font.character_size.width as usize * self.scale
    }

    /// Height of a line in pixels.
    pub const fn height(self) -> usize {
        self.font.character_size.height as usize * self.scale
    }

    /// Width and height that `text` takes in pixels; lines end with `\n`.
    pub fn extent(self, text: &str) -> (usize, usize) {
        let widest = text.lines().map(|line| line.chars().count()).max();
        (
            widest.unwrap_or(0) * self.width(),
            text.lines().count() * self.height(),
        )
    }

    /// Calls `run(x, y, length)` for each horizontal run of lit pixels of `text`, from the top left of its extent.
    pub fn runs(self, text: &str, mut run: impl FnMut(usize, usize, usize)) {
        for (row, line) in text.lines().enumerate() {
            for (column, character) in line.chars().enumerate() {
                let (x, y) = (column * self.width(), row * self.height());
                self.character(character, |dx, dy, length| {
                    for copy in 0..self.scale {
                        run(
                            x + dx * self.scale,
                            y + dy * self.scale + copy,
                            length * self.scale,
                        );
                    }
                });
            }
        }
    }

    /// Runs of one character in the font's own pixels.
    fn character(self, character: char, mut run: impl FnMut(usize, usize, usize)) {
        let size = self.font.character_size;
        let columns = (self.font.image_width() / size.width).max(1);
        let index = u32::try_from(self.font.glyph_mapping.index(character)).unwrap_or(0);
        let left = index % columns * size.width;
        let top = index / columns * size.height;
        for dy in 0..size.height {
            let mut start = None;
            for dx in 0..=size.width {
                let lit = dx < size.width && self.lit(left + dx, top + dy);
                match (start, lit) {
                    (None, true) => start = Some(dx),
                    (Some(from), false) => {
                        run(from as usize, dy as usize, (dx - from) as usize);
                        start = None;
                    }
                    (None, false) | (Some(_), true) => {}
                }
            }
        }
    }

    fn lit(self, x: u32, y: u32) -> bool {
        let (Ok(x), Ok(y)) = (i32::try_from(x), i32::try_from(y)) else {
            return false;
        };
        self.font.image.pixel(Point::new(x, y)) == Some(BinaryColor::On)
    }
}

/// Width of a font's image.
trait ImageWidth {
    fn image_width(&self) -> u32;
}

impl ImageWidth for MonoFont<'_> {
    fn image_width(&self) -> u32 {
        embedded_graphics::geometry::OriginDimensions::size(&self.image).width
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(face: Face, text: &str) -> Vec<String> {
        let (width, height) = face.extent(text);
        let mut rows = vec![vec![b'.'; width]; height];
        face.runs(text, |x, y, length| rows[y][x..x + length].fill(b'#'));
        rows.into_iter()
            .map(|row| String::from_utf8(row).unwrap())
            .collect()
    }

    #[test]
    fn a_letter_looks_like_itself() {
        let rows = picture(Face::SMALL, "T");
        let lit: Vec<_> = rows.iter().filter(|row| row.contains('#')).collect();
        assert_eq!(lit[0], "#####.");
        assert!(lit[1..].iter().all(|row| *row == "..#..."), "{rows:#?}");
    }

    #[test]
    fn every_run_stays_inside_the_extent() {
        let text: String = (0..0x250)
            .filter_map(char::from_u32)
            .chain("\nsecond line \u{1F3A5}".chars())
            .collect();
        for face in [Face::SMALL, Face::LARGE.scaled(3)] {
            let (width, height) = face.extent(&text);
            face.runs(&text, |x, y, length| {
                assert!(length > 0 && x + length <= width && y < height);
            });
        }
    }

    #[test]
    fn scaling_magnifies_every_pixel() {
        let small: usize = picture(Face::LARGE, "8é").concat().matches('#').count();
        let large: usize = picture(Face::LARGE.scaled(3), "8é")
            .concat()
            .matches('#')
            .count();
        assert_eq!(large, small * 9);
    }

    #[test]
    fn nothing_takes_no_room() {
        assert_eq!(Face::SMALL.extent(""), (0, 0));
    }
}
