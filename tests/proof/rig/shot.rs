//! A screenshot: colours, words, the time of capture.

use tunnelcast::capture::stamp;
use tunnelcast::glyph::Face;
use tunnelcast::media::Size;

/// What the window writes with.
const INK: u32 = 0xf0_f0f0;

/// Pixels as 0x00RRGGBB.
pub(crate) struct Shot {
    pub(crate) size: Size,
    pub(crate) pixels: Vec<u32>,
}

impl Shot {
    /// The X window dump format: a header of 32-bit big-endian words, colour entries of 12 bytes, rows.
    pub(super) fn parse(dump: &[u8]) -> Self {
        let word = |n: usize| u32::from_be_bytes(dump[n * 4..][..4].try_into().unwrap());
        let index = |n: usize| usize::try_from(word(n)).unwrap();
        let (width, stride) = (index(4), index(12));
        assert_eq!(
            (word(7), word(11)),
            (0, 32),
            "little-endian pixels of 32 bits"
        );
        let rows = dump[index(0) + index(19) * 12..].chunks_exact(stride);
        let pixel = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().unwrap()) & 0xff_ffff;
        let pixels = rows
            .take(index(5))
            .flat_map(|row| row[..width * 4].chunks_exact(4).map(pixel))
            .collect();
        Self {
            size: Size::new(word(4), word(5)).unwrap(),
            pixels,
        }
    }

    /// Red, green and blue at a place.
    pub(crate) fn colour(&self, (x, y): (usize, usize)) -> [u8; 3] {
        let [_, red, green, blue] = self.pixels[y * self.size.width() + x].to_be_bytes();
        [red, green, blue]
    }

    /// The whole as full-range luma.
    pub(crate) fn luma(&self) -> Vec<u8> {
        let luma = |pixel: &u32| {
            let [_, red, green, blue] = pixel.to_be_bytes();
            luma([red, green, blue])
        };
        self.pixels.iter().map(luma).collect()
    }

    /// The time of capture that the test card's code tells.
    pub(crate) fn stamp(&self) -> Option<u64> {
        stamp::read(&self.luma(), self.size)
    }

    /// Whether the window says this anywhere, to the pixel.
    pub(crate) fn says(&self, words: &str) -> bool {
        self.find(words).is_some()
    }

    /// Where the window says this: the top left of the words.
    pub(crate) fn find(&self, words: &str) -> Option<(usize, usize)> {
        let face = Face::LARGE;
        let (width, height) = face.extent(words);
        let mut mask = vec![false; width * height];
        face.runs(words, |x, y, length| {
            mask[y * width + x..][..length].fill(true);
        });
        let is_there = |left: usize, top: usize| {
            mask.chunks_exact(width).enumerate().all(|(y, wanted)| {
                let row = &self.pixels[(top + y) * self.size.width() + left..][..width];
                row.iter()
                    .zip(wanted)
                    .all(|(pixel, lit)| (*pixel == INK) == *lit)
            })
        };
        let (right, bottom) = (self.size.width() - width, self.size.height() - height);
        let mut places = (0..=bottom).flat_map(|top| (0..=right).map(move |left| (left, top)));
        // Most places are ruled out by one pixel.
        let first = mask.iter().position(|lit| *lit)?;
        let (dx, dy) = (first % width, first / width);
        places.find(|(left, top)| {
            self.pixels[(top + dy) * self.size.width() + left + dx] == INK && is_there(*left, *top)
        })
    }
}

/// Full-range BT.601 luma of red, green and blue.
pub(crate) fn luma([red, green, blue]: [u8; 3]) -> u8 {
    let sum = 299 * u32::from(red) + 587 * u32::from(green) + 114 * u32::from(blue);
    u8::try_from((sum + 500) / 1000).unwrap()
}
