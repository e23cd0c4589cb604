//! Puts pixels into a window: letterboxed, row by row where sizes are equal, else scaled bilinearly in integers.

use crate::media::{Raster, Rect, Size};

/// How a picture of one size lies in a window of another.
#[derive(Debug)]
pub(super) struct Fit {
    size: Size,
    window: (usize, usize),
    area: Rect,
    columns: Vec<Tap>,
    rows: Vec<Tap>,
    lines: [Line; 2],
}

/// Between `first` and the sample after it lies a target pixel; `weight` of 256 parts is the latter's.
///
/// Where there is no sample after it the weight is 0. Kept small: a row of them has to stay in the nearest cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tap {
    first: u16,
    weight: u16,
}

impl Tap {
    const fn first(self) -> usize {
        self.first as usize
    }

    const fn last(self) -> usize {
        self.first as usize + (self.weight > 0) as usize
    }
}

/// A row of the picture at the window's width, a channel each, so that the compiler mixes eight pixels at a time.
#[derive(Debug, Default)]
struct Line {
    row: Option<usize>,
    spread: Vec<u64>,
    red: Vec<u16>,
    green: Vec<u16>,
    blue: Vec<u16>,
}

impl Line {
    fn scale(&mut self, row: usize, source: &[u32], columns: &[Tap]) {
        self.row = Some(row);
        self.spread.clear();
        self.spread.extend(source.iter().map(|pixel| {
            let pixel = u64::from(*pixel);
            (pixel & 0xff_0000) << 16 | (pixel & 0xff00) << 8 | pixel & 0xff
        }));
        // The last one may be asked for its neighbour, with weight 0.
        self.spread.extend(self.spread.last().copied());
        let start = columns.first().map_or(0, |tap| tap.first());
        for channel in [&mut self.red, &mut self.green, &mut self.blue] {
            channel.resize(columns.len(), 0);
        }
        let out = self.red.iter_mut().zip(&mut self.green).zip(&mut self.blue);
        for (((red, green), blue), tap) in out.zip(columns) {
            let at = tap.first() - start;
            let [here, next] = [self.spread[at], self.spread[at + 1]];
            // Wraps, and comes right again: here * (256 - weight) + next * weight, three channels at once.
            let sum = (here << 8)
                .wrapping_add(next.wrapping_sub(here).wrapping_mul(u64::from(tap.weight)));
            *red = (sum >> 40 & 0xff) as u16;
            *green = (sum >> 24 & 0xff) as u16;
            *blue = (sum >> 8 & 0xff) as u16;
        }
    }
}

impl Fit {
    /// The largest placing of `size` that keeps its shape, in the middle of a `window` of (width, height) pixels.
    pub(super) fn new(size: Size, window: (usize, usize)) -> Self {
        let (width, height) = (size.width(), size.height());
        let (across, down) = window;
        let (fit_width, fit_height) = if across * height <= down * width {
            (
                across,
                ((across * height + width / 2) / width).clamp(down.min(1), down),
            )
        } else {
            (
                ((down * width + height / 2) / height).clamp(across.min(1), across),
                down,
            )
        };
        let area = Rect::new(
            (across - fit_width) / 2,
            (down - fit_height) / 2,
            fit_width,
            fit_height,
        );
        let same = fit_width == width && fit_height == height;
        Self {
            size,
            window,
            area,
            columns: if same {
                Vec::new()
            } else {
                taps(width, fit_width)
            },
            rows: if same {
                Vec::new()
            } else {
                taps(height, fit_height)
            },
            lines: Default::default(),
        }
    }

    /// Where in the window the picture is.
    pub(super) const fn area(&self) -> Rect {
        self.area
    }

    /// What this was made for.
    pub(super) fn is_for(&self, size: Size, window: (usize, usize)) -> bool {
        self.size == size && self.window == window
    }

    /// The window's pixels that depend on `dirty` pixels of the picture.
    pub(super) fn to_window(&self, dirty: Rect) -> Rect {
        let dirty = dirty.intersection(Rect::whole(self.size.width(), self.size.height()));
        if dirty.is_empty() {
            return Rect::default();
        }
        if self.columns.is_empty() {
            return Rect::new(
                dirty.x + self.area.x,
                dirty.y + self.area.y,
                dirty.width,
                dirty.height,
            );
        }
        let span = |taps: &[Tap], from: usize, to: usize| {
            let start = taps.partition_point(|tap| tap.last() < from);
            let end = taps.partition_point(|tap| tap.first() < to);
            (start, end.saturating_sub(start))
        };
        let (x, width) = span(&self.columns, dirty.x, dirty.right());
        let (y, height) = span(&self.rows, dirty.y, dirty.bottom());
        Rect::new(x + self.area.x, y + self.area.y, width, height)
    }

    /// Paints the part of `picture` that shows within `part` of the window.
    ///
    /// `window` must have the window's pixels and `picture` its size, or nothing is painted.
    pub(super) fn blit(&mut self, picture: &mut dyn Raster, window: &mut [u32], part: Rect) {
        let stride = self.window.0;
        let width = self.size.width();
        let part = part.intersection(self.area);
        if part.is_empty() || window.len() != stride * self.window.1 || picture.size() != self.size
        {
            return;
        }
        let left = part.x - self.area.x;
        let top = part.y - self.area.y;
        if self.columns.is_empty() {
            let shown = Rect::new(left, top, part.width, part.height);
            picture.paint(shown, &mut window[part.y * stride + part.x..], stride);
            return;
        }
        let pixels = picture.pixels();
        let targets = window[part.y * stride..].chunks_mut(stride);
        let columns = &self.columns[left..left + part.width];
        let (Some(from), Some(to)) = (columns.first(), columns.last()) else {
            return;
        };
        let span = from.first()..to.last() + 1;
        for line in &mut self.lines {
            line.row = None;
        }
        for (target, tap) in targets.zip(&self.rows[top..top + part.height]) {
            for row in tap.first()..=tap.last() {
                if self.lines[row % 2].row != Some(row) {
                    self.lines[row % 2].scale(row, &pixels[row * width..][span.clone()], columns);
                }
            }
            let upper = &self.lines[tap.first() % 2];
            let lower = &self.lines[tap.last() % 2];
            mix(upper, lower, tap.weight, &mut target[part.x..part.right()]);
        }
    }
}

/// `weight` of 256 parts of `lower`, the rest of `upper`. Sums stay below 65,536.
fn mix(upper: &Line, lower: &Line, weight: u16, target: &mut [u32]) {
    let channel = |a: &u16, b: &u16| u32::from((*a * (256 - weight) + *b * weight) >> 8);
    let red = upper.red.iter().zip(&lower.red);
    let green = upper.green.iter().zip(&lower.green);
    let blue = upper.blue.iter().zip(&lower.blue);
    for (((pixel, (r, s)), (g, h)), (b, c)) in target.iter_mut().zip(red).zip(green).zip(blue) {
        *pixel = channel(r, s) << 16 | channel(g, h) << 8 | channel(b, c);
    }
}

/// Where each of `to` pixels takes its colour among `from` samples; centres lie on centres.
fn taps(from: usize, to: usize) -> Vec<Tap> {
    let (step, half) = (from as u64, to as u64);
    let last = u16::try_from(from.saturating_sub(1)).unwrap_or(u16::MAX);
    (0..to as u64)
        .map(|pixel| {
            // In 1/256 of a sample: (pixel + 1/2) * from / to - 1/2.
            let at = ((2 * pixel + 1) * step * 128 / half.max(1)).saturating_sub(128);
            let first = u16::try_from(at / 256).unwrap_or(u16::MAX).min(last);
            Tap {
                first,
                weight: if first == last { 0 } else { (at % 256) as u16 },
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::Pixels;

    fn size(width: u32, height: u32) -> Size {
        Size::new(width, height).unwrap()
    }

    fn of(pixels: &[u32], size: Size) -> Pixels<'_> {
        Pixels::new(pixels, size).unwrap()
    }

    fn gradient(size: Size) -> Vec<u32> {
        let (width, height) = (size.width(), size.height());
        (0..width * height)
            .map(|n| {
                let (x, y) = (n % width, n / width);
                u32::try_from((x * 255 / width) << 16 | (y * 255 / height) << 8 | (x ^ y) & 0xff)
                    .unwrap()
            })
            .collect()
    }

    #[test]
    fn an_equal_size_is_copied_bit_for_bit() {
        let size = size(64, 32);
        let pixels = gradient(size);
        let mut window = vec![7; 64 * 32];
        let mut fit = Fit::new(size, (64, 32));
        assert_eq!(fit.area(), Rect::whole(64, 32));
        fit.blit(&mut of(&pixels, size), &mut window, Rect::whole(64, 32));
        assert_eq!(window, pixels);
    }

    #[test]
    fn only_the_part_asked_for_is_touched() {
        let size = size(64, 32);
        let pixels = gradient(size);
        for window_size in [(64, 32), (100, 60), (40, 24)] {
            let mut window = vec![0xdead_beef; window_size.0 * window_size.1];
            let part = Rect::new(10, 6, 9, 5);
            Fit::new(size, window_size).blit(&mut of(&pixels, size), &mut window, part);
            for (n, pixel) in window.iter().enumerate() {
                let inside = part.contains(Rect::new(n % window_size.0, n / window_size.0, 1, 1));
                assert_eq!(
                    *pixel != 0xdead_beef,
                    inside,
                    "pixel {n} of {window_size:?}"
                );
            }
        }
    }

    #[test]
    fn a_wide_picture_gets_bars_above_and_below_and_a_tall_one_at_the_sides() {
        assert_eq!(
            Fit::new(size(160, 90), (160, 160)).area(),
            Rect::new(0, 35, 160, 90)
        );
        assert_eq!(
            Fit::new(size(90, 160), (160, 160)).area(),
            Rect::new(35, 0, 90, 160)
        );
        assert_eq!(
            Fit::new(size(1280, 720), (1920, 1200)).area(),
            Rect::new(0, 60, 1920, 1080)
        );
        assert_eq!(
            Fit::new(size(8192, 16), (100, 100)).area(),
            Rect::new(0, 49, 100, 1)
        );
        assert!(Fit::new(size(64, 64), (0, 10)).area().is_empty());
    }

    #[test]
    fn a_plain_picture_stays_plain_at_any_scale() {
        let size = size(50, 40);
        let pixels = vec![0x12_80fe; 50 * 40];
        for window in [(50, 41), (25, 20), (500, 400), (3, 3), (51, 39)] {
            let mut fit = Fit::new(size, window);
            let mut out = vec![0; window.0 * window.1];
            let area = fit.area();
            fit.blit(&mut of(&pixels, size), &mut out, area);
            for y in area.y..area.bottom() {
                assert!(
                    out[y * window.0..][area.x..area.right()]
                        .iter()
                        .all(|p| *p == 0x12_80fe)
                );
            }
        }
    }

    #[test]
    fn doubling_keeps_corners_and_goes_smoothly_between() {
        let size = size(16, 16);
        let pixels: Vec<u32> = (0..256)
            .map(|n| if n % 16 < 8 { 0 } else { 0xff_ffff })
            .collect();
        let mut out = vec![1; 32 * 32];
        let whole = Rect::whole(32, 32);
        Fit::new(size, (32, 32)).blit(&mut of(&pixels, size), &mut out, whole);
        let row: Vec<u32> = out[..32].iter().map(|p| p & 0xff).collect();
        assert_eq!((row[0], row[31]), (0, 255));
        assert!(row.windows(2).all(|pair| pair[0] <= pair[1]));
        assert_eq!((row[14], row[15], row[16], row[17]), (0, 63, 191, 255));
    }

    #[test]
    fn painting_the_changed_part_gives_what_painting_everything_gives() {
        let size = size(64, 48);
        let before = gradient(size);
        let changed = Rect::new(17, 9, 16, 16);
        let mut after = before.clone();
        for y in changed.y..changed.bottom() {
            after[y * 64..][changed.x..changed.right()].fill(0xff_ffff);
        }
        for window in [(64, 48), (97, 61), (200, 150), (31, 23), (64, 100)] {
            let mut fit = Fit::new(size, window);
            let everything = fit.area();
            let mut whole = vec![0; window.0 * window.1];
            fit.blit(&mut of(&after, size), &mut whole, everything);
            let mut partly = vec![0; window.0 * window.1];
            fit.blit(&mut of(&before, size), &mut partly, everything);
            let part = fit.to_window(changed);
            fit.blit(&mut of(&after, size), &mut partly, part);
            assert_eq!(partly, whole, "{window:?}");
            assert!(part.width < everything.width);
        }
    }

    #[test]
    fn buffers_of_the_wrong_length_are_left_alone() {
        let mut window = vec![5; 10];
        let (size, whole) = (size(64, 32), Rect::whole(64, 32));
        let pixels = [1; 64 * 32];
        Fit::new(size, (64, 32)).blit(&mut of(&pixels, size), &mut window, whole);
        assert_eq!(window, [5; 10]);
    }
}
