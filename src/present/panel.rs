//! A dimmed box with text on it, bounded whatever it is asked to say.

use embedded_graphics::Drawable;
use embedded_graphics::Pixel;
use embedded_graphics::draw_target::DrawTarget;
use embedded_graphics::geometry::{OriginDimensions, Point, Size as Extent};
use embedded_graphics::mono_font::{MonoTextStyle, iso_8859_1::FONT_10X20};
use embedded_graphics::pixelcolor::BinaryColor;
use embedded_graphics::text::{Baseline, Text};

use crate::media::Rect;

/// A dimmed box with text, ready to be painted any number of times.
#[derive(Clone, Debug)]
pub(super) struct Panel {
    area: Rect,
    /// Pixels in a row of `ink`; the area may have been clipped.
    stride: usize,
    ink: Vec<bool>,
}

impl Panel {
    /// Draws `lines`, which are wrapped and clean.
    pub(super) fn new(lines: &[String]) -> Self {
        let columns = lines
            .iter()
            .map(|line| line.chars().count())
            .max()
            .unwrap_or(0);
        let width = columns.min(MAX_COLUMNS) * GLYPH_WIDTH + 2 * PADDING;
        let height = lines.len().min(MAX_LINES) * GLYPH_HEIGHT + 2 * PADDING;
        let mut sheet = Sheet {
            width,
            height,
            ink: vec![false; width * height],
        };
        let style = MonoTextStyle::new(&FONT_10X20, BinaryColor::On);
        for (n, line) in lines.iter().take(MAX_LINES).enumerate() {
            let at = Point::new(signed(PADDING), signed(PADDING + n * GLYPH_HEIGHT));
            let Ok(_) = Text::with_baseline(line, at, style, Baseline::Top).draw(&mut sheet);
        }
        Self {
            area: Rect::whole(width, height),
            stride: width,
            ink: sheet.ink,
        }
    }

    /// Places its top at row `y`.
    pub(super) fn at(mut self, across: Across, y: usize) -> Self {
        self.area.y = y;
        self.area.x = match across {
            Across::Centre(width) => width.saturating_sub(self.area.width) / 2,
            Across::Right(width) => width.saturating_sub(self.area.width + MARGIN),
        };
        self
    }

    /// Cuts off what lies outside the window.
    pub(super) fn clip(&mut self, width: usize, height: usize) {
        self.area = self.area.intersection(Rect::whole(width, height));
    }

    /// Where in the window it lies.
    pub(super) const fn area(&self) -> Rect {
        self.area
    }

    /// Dims what lies under the box and writes its text. Not to be done twice without repainting what lies under it.
    pub(super) fn draw(&self, window: &mut [u32], stride: usize) {
        if self.area.is_empty() || self.area.right() > stride {
            return;
        }
        let rows = window.chunks_exact_mut(stride).skip(self.area.y);
        for (row, ink) in rows
            .zip(self.ink.chunks_exact(self.stride))
            .take(self.area.height)
        {
            for (pixel, ink) in row[self.area.x..self.area.right()].iter_mut().zip(ink) {
                *pixel = if *ink { INK } else { *pixel >> 2 & 0x3f_3f3f };
            }
        }
    }
}

/// Where a panel stands in a row of so many pixels.
pub(super) enum Across {
    Centre(usize),
    Right(usize),
}

struct Sheet {
    width: usize,
    height: usize,
    ink: Vec<bool>,
}

impl OriginDimensions for Sheet {
    fn size(&self) -> Extent {
        let unsigned = |v: usize| u32::try_from(v).unwrap_or(u32::MAX);
        Extent::new(unsigned(self.width), unsigned(self.height))
    }
}

impl DrawTarget for Sheet {
    type Color = BinaryColor;
    type Error = std::convert::Infallible;

    fn draw_iter<I>(&mut self, pixels: I) -> Result<(), Self::Error>
    where
        I: IntoIterator<Item = Pixel<BinaryColor>>,
    {
        for Pixel(at, colour) in pixels {
            let (Ok(x), Ok(y)) = (usize::try_from(at.x), usize::try_from(at.y)) else {
                continue;
            };
            if x < self.width && y < self.height {
                self.ink[y * self.width + x] = colour.is_on();
            }
        }
        Ok(())
    }
}

fn signed(v: usize) -> i32 {
    i32::try_from(v).unwrap_or(i32::MAX)
}

/// One line of what a peer may have written: no control characters, not longer than a panel.
pub(super) fn clean(line: &str) -> String {
    line.chars()
        .take(MAX_COLUMNS)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// Breaks `text` into at most `room` lines of at most `columns` characters, between words where it can.
pub(super) fn wrap(text: &str, columns: usize, room: usize) -> Vec<String> {
    let columns = columns.clamp(1, MAX_COLUMNS);
    let mut lines = Vec::new();
    let text: String = text.chars().take(MAX_COLUMNS * MAX_LINES).collect();
    for paragraph in text.lines() {
        let mut line = String::new();
        let mut used = 0;
        for word in paragraph.split_whitespace() {
            let letters: Vec<char> = word
                .chars()
                .map(|c| if c.is_control() { ' ' } else { c })
                .collect();
            if used > 0 && used + 1 + letters.len() > columns {
                lines.push(std::mem::take(&mut line));
                used = 0;
            } else if used > 0 {
                line.push(' ');
                used += 1;
            }
            for letter in letters {
                if used == columns {
                    lines.push(std::mem::take(&mut line));
                    used = 0;
                }
                line.push(letter);
                used += 1;
            }
        }
        lines.push(line);
    }
    lines.truncate(room.min(MAX_LINES));
    lines
}

/// Of the font.
pub(super) const GLYPH_WIDTH: usize = 10;
pub(super) const GLYPH_HEIGHT: usize = 20;

/// Around the text, inside the box.
pub(super) const PADDING: usize = 8;

/// Around the box.
pub(super) const MARGIN: usize = 8;

/// What may be asked to be painted has bounds, whoever asks.
const MAX_COLUMNS: usize = 120;
const MAX_LINES: usize = 24;

/// Text is light grey.
pub(super) const INK: u32 = 0xf0_f0f0;
