//! Composes the window: picture, bars beside it, panels over it; only what changed since the buffer was last shown.

use crate::media::Raster;

use super::blit::Fit;
use super::panel::Panel;
use super::region::Region;
use crate::media::Rect;

/// Knows what the window's buffer holds, and paints the difference.
#[derive(Debug, Default)]
pub(super) struct Composer {
    window: (usize, usize),
    fit: Option<Fit>,
    panels: Vec<Panel>,
    /// Where panels came or went since the last painting.
    uncovered: Region,
    /// What this painting paints, what of it is new, and what was new in the one before.
    now: Region,
    new: Region,
    before: Region,
    /// What was painted ahead: it is in the buffer, and the display has not been told.
    ahead: Region,
    stale: bool,
}

impl Composer {
    /// The window's size in pixels; everything is painted anew.
    pub(super) fn resize(&mut self, window: (usize, usize)) {
        self.window = window;
        self.stale = true;
    }

    /// The window's (width, height) in pixels.
    pub(super) const fn window(&self) -> (usize, usize) {
        self.window
    }

    /// What the window shows has to be painted anew altogether.
    pub(super) fn spoil(&mut self) {
        self.stale = true;
    }

    /// Other panels from now on.
    pub(super) fn cover(&mut self, panels: Vec<Panel>) {
        for panel in self.panels.iter().chain(&panels) {
            self.uncovered.add(panel.area());
        }
        self.panels = panels;
    }

    /// There is something to paint even where the picture is the same.
    pub(super) fn is_due(&self) -> bool {
        self.stale || !self.uncovered.is_empty()
    }

    /// Paints what belongs to the next picture, of which more is to come, into a `buffer` that holds what was painted
    /// last. The parts are given by [`Self::paint`] then. Whether it was painted.
    pub(super) fn paint_ahead(
        &mut self,
        buffer: &mut [u32],
        picture: &mut dyn Raster,
        dirty: &[Rect],
    ) -> bool {
        let fits = |fit: &Fit| fit.is_for(picture.size(), self.window);
        if self.is_due() || !self.fit.as_ref().is_some_and(fits) {
            return false;
        }
        let painted = self.paint(buffer, 1, Some(picture), dirty);
        let painted = painted.to_vec();
        self.ahead.extend(&painted);
        true
    }

    /// What was painted ahead has to be painted once more.
    pub(super) fn forget_ahead(&mut self) {
        self.ahead.clear();
    }

    /// Paints into `buffer`, which holds what was painted `age` paintings ago (0: anything). `picture` has changed
    /// within `dirty` (in its own pixels) since the last painting. Gives the parts of the window that were painted; none
    /// if there was nothing to do, and then the buffer need not be shown.
    pub(super) fn paint(
        &mut self,
        buffer: &mut [u32],
        age: u8,
        picture: Option<&mut dyn Raster>,
        dirty: &[Rect],
    ) -> &[Rect] {
        let (width, height) = self.window;
        self.now.clear();
        self.new.clear();
        if width == 0 || buffer.len() != width * height {
            return self.now.rects();
        }
        let size = picture.as_ref().map(|picture| picture.size());
        let fit = match (&mut self.fit, size) {
            (Some(fit), Some(size)) if fit.is_for(size, self.window) => Some(fit),
            (fit, Some(size)) => {
                self.stale = true;
                Some(fit.insert(Fit::new(size, self.window)))
            }
            (fit, None) => {
                self.stale |= fit.is_some();
                *fit = None;
                None
            }
        };
        if self.stale {
            self.ahead.clear();
            self.new.add(Rect::whole(width, height));
        } else {
            self.new.extend(self.uncovered.rects());
            if let Some(fit) = &fit {
                for rect in dirty {
                    self.new.add(fit.to_window(*rect));
                }
            }
        }
        self.stale = false;
        self.uncovered.clear();
        if age != 1 {
            // Another buffer than the one in which it was painted.
            self.new.extend(self.ahead.rects());
            self.ahead.clear();
        }
        if self.new.is_empty() && self.ahead.is_empty() {
            return self.new.rects();
        }
        match age {
            1 => {}
            2 => self.now.extend(self.before.rects()),
            _ => self.now.add(Rect::whole(width, height)),
        }
        self.now.extend(self.new.rects());
        self.new.extend(self.ahead.rects());
        std::mem::swap(&mut self.new, &mut self.before);
        take_whole_panels(&mut self.now, &self.panels);

        let area = fit.as_ref().map_or_else(Rect::default, |fit| fit.area());
        let bars = if picture.is_some() { BAR } else { DARK };
        for rect in self.now.rects() {
            if !area.contains(*rect) {
                for row in buffer
                    .chunks_exact_mut(width)
                    .skip(rect.y)
                    .take(rect.height)
                {
                    row[rect.x..rect.right()].fill(bars);
                }
            }
        }
        if let (Some(fit), Some(picture)) = (fit, picture) {
            for rect in self.now.rects() {
                fit.blit(picture, buffer, *rect);
            }
        }
        for panel in &self.panels {
            if self
                .now
                .rects()
                .iter()
                .any(|rect| rect.contains(panel.area()))
            {
                panel.draw(buffer, width);
            }
        }
        self.now.extend(self.ahead.rects());
        self.ahead.clear();
        self.now.rects()
    }
}

/// Dimming twice is too dark, so a panel that is touched is painted whole, and so are those that it touches.
fn take_whole_panels(region: &mut Region, panels: &[Panel]) {
    for _ in panels {
        for panel in panels {
            let area = panel.area();
            let touched = region
                .rects()
                .iter()
                .any(|rect| !rect.intersection(area).is_empty());
            if touched {
                region.add(area);
            }
        }
    }
}

/// Beside a picture.
const BAR: u32 = 0;

/// Where there is no picture yet.
const DARK: u32 = 0x18_1a1e;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{Pixels, Size};
    use crate::present::overlay::{Overlay, Part};

    fn size() -> Size {
        Size::new(320, 180).unwrap()
    }

    fn of(pixels: &[u32]) -> Pixels<'_> {
        Pixels::new(pixels, size()).unwrap()
    }

    fn picture(seed: u32) -> Vec<u32> {
        (0..320 * 180)
            .map(|n: u32| n.wrapping_mul(2_654_435_761).wrapping_add(seed) & 0xff_ffff)
            .collect()
    }

    fn fresh(window: (usize, usize), panels: Vec<Panel>, pixels: &[u32]) -> Vec<u32> {
        let mut composer = Composer::default();
        composer.resize(window);
        composer.cover(panels);
        let mut buffer = vec![9; window.0 * window.1];
        composer.paint(&mut buffer, 0, Some(&mut of(pixels)), &[]);
        buffer
    }

    #[test]
    fn painting_differences_gives_what_painting_afresh_gives() {
        for window in [(320, 180), (640, 480), (300, 300)] {
            let mut overlay = Overlay::default();
            let mut composer = Composer::default();
            composer.resize(window);
            let mut pixels = picture(1);
            // Two buffers in turn, as a compositing display server has them, and one, as X11 has it.
            for ages in [[0, 0, 2, 2, 2, 2, 2, 2], [0, 1, 1, 1, 1, 1, 1, 1]] {
                composer.spoil();
                let mut buffers = vec![vec![3; window.0 * window.1]; 2];
                for (step, age) in ages.into_iter().enumerate() {
                    let changed = Rect::new(step * 31, step * 17, 40, 33);
                    for y in changed.y..changed.bottom() {
                        pixels[y * 320..][changed.x..changed.right()]
                            .fill(u32::try_from(step).unwrap() * 0x1f_1f1f);
                    }
                    match step {
                        2 => _ = overlay.say(Some("the source is gone".into())),
                        3 => overlay.toggle(Part::Statistics),
                        4 => overlay.toggle(Part::Help),
                        6 => _ = overlay.say(None),
                        _ => {}
                    }
                    composer.cover(overlay.panels(window, true));
                    let buffer = &mut buffers[if age == 1 { 0 } else { step % 2 }];
                    if age == 1 && step == 0 {
                        continue;
                    }
                    composer.paint(buffer, age, Some(&mut of(&pixels)), &[changed]);
                    assert!(
                        *buffer == fresh(window, overlay.panels(window, true), &pixels),
                        "{window:?} step {step}"
                    );
                    if ages[1] == 1 {
                        buffers[0] = buffers[0].clone();
                    }
                }
                overlay = Overlay::default();
            }
        }
    }

    #[test]
    fn an_unchanged_picture_costs_nothing() {
        let mut composer = Composer::default();
        composer.resize((320, 180));
        let pixels = picture(2);
        let mut buffer = vec![0; 320 * 180];
        assert_eq!(
            composer.paint(&mut buffer, 0, Some(&mut of(&pixels)), &[]),
            [Rect::whole(320, 180)]
        );
        assert!(!composer.is_due());
        assert!(
            composer
                .paint(&mut buffer, 1, Some(&mut of(&pixels)), &[])
                .is_empty()
        );
        assert_eq!(buffer, pixels);
    }

    #[test]
    fn without_a_picture_the_window_is_dark() {
        let mut composer = Composer::default();
        composer.resize((64, 48));
        let mut buffer = vec![0; 64 * 48];
        composer.paint(&mut buffer, 0, None, &[]);
        assert!(buffer.iter().all(|pixel| *pixel == DARK));
    }

    #[test]
    fn a_buffer_of_another_size_is_left_alone() {
        let mut composer = Composer::default();
        composer.resize((64, 48));
        let mut buffer = vec![4; 10];
        assert!(composer.paint(&mut buffer, 0, None, &[]).is_empty());
        assert_eq!(buffer, [4; 10]);
    }
}
