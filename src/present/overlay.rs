//! Words over the picture: notices, messages, statistics, help. Each is a panel: a dimmed box with text.

use std::time::{Duration, Instant};

use super::controls;
use super::panel::{Across, GLYPH_HEIGHT, GLYPH_WIDTH, MARGIN, PADDING, Panel, clean, wrap};

/// What is to be said at the moment.
#[derive(Debug, Default)]
pub(super) struct Overlay {
    words: Option<String>,
    statistics: Vec<String>,
    message: Option<(String, Instant)>,
    statistics_asked: bool,
    help_asked: bool,
}

/// What the person switches on and off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// How the stream is doing.
    Statistics,
    /// The keys.
    Help,
}

impl Overlay {
    /// A notice that stays until it is replaced. Says whether anything changed.
    pub(super) fn say(&mut self, words: Option<String>) -> bool {
        let changed = self.words != words;
        self.words = words;
        changed
    }

    /// A message that goes away by itself.
    pub(super) fn message(&mut self, text: String, now: Instant) {
        self.message = Some((text, now + MESSAGE_STAYS));
    }

    /// Lines for when statistics are asked for. Says whether what is seen changed.
    pub(super) fn statistics(&mut self, lines: Vec<String>) -> bool {
        let changed = self.statistics_asked && self.statistics != lines;
        self.statistics = lines;
        changed
    }

    /// On, or off again.
    pub(super) fn toggle(&mut self, part: Part) {
        let asked = match part {
            Part::Statistics => &mut self.statistics_asked,
            Part::Help => &mut self.help_asked,
        };
        *asked = !*asked;
    }

    /// Drops a message whose time is over. Says whether it did.
    pub(super) fn expire(&mut self, now: Instant) -> bool {
        let over = self
            .message
            .as_ref()
            .is_some_and(|(_, until)| *until <= now);
        if over {
            self.message = None;
        }
        over
    }

    /// When the next message goes away.
    pub(super) fn expires(&self) -> Option<Instant> {
        self.message.as_ref().map(|(_, until)| *until)
    }

    /// Statistics are on.
    pub(super) const fn wants_statistics(&self) -> bool {
        self.statistics_asked
    }

    /// Panels for a `window` of (width, height) pixels, in the order in which they are painted.
    ///
    /// With a picture, words stand at its bottom. Nothing that was not asked for by key lies over the top left
    /// corner where capture time is read, unless the window has no other room.
    pub(super) fn panels(&self, (width, height): (usize, usize), picture: bool) -> Vec<Panel> {
        let mut panels = Vec::new();
        let columns = width.saturating_sub(2 * (MARGIN + PADDING)) / GLYPH_WIDTH;
        let lines = |rows: usize| rows.saturating_sub(2 * PADDING) / GLYPH_HEIGHT;
        let room = lines(height.saturating_sub(2 * MARGIN)).max(1);
        if columns == 0 || height < GLYPH_HEIGHT {
            return panels;
        }
        let mut bottom = height.saturating_sub(MARGIN);
        if let Some(words) = &self.words {
            let free = lines(bottom.saturating_sub(STAMP_HEIGHT)).clamp(1, MAX_NOTICE_LINES);
            let panel = Panel::new(&wrap(words, columns, if picture { free } else { room }));
            let top = if picture {
                bottom.saturating_sub(panel.area().height)
            } else {
                height.saturating_sub(panel.area().height) / 2
            };
            if picture {
                bottom = top.saturating_sub(MARGIN);
            }
            panels.push(panel.at(Across::Centre(width), top));
        }
        if let Some((text, _)) = &self.message {
            let free = lines(bottom.saturating_sub(STAMP_HEIGHT)).min(MAX_NOTICE_LINES);
            // Where there is no room for both, the words stay.
            if free > 0 || panels.is_empty() {
                let panel = Panel::new(&wrap(text, columns, free.max(1)));
                let top = bottom.saturating_sub(panel.area().height);
                panels.push(panel.at(Across::Centre(width), top));
            }
        }
        if self.help_asked {
            let lines: Vec<_> = controls::help().into_iter().take(room).collect();
            let panel = Panel::new(&lines);
            let top = height.saturating_sub(panel.area().height) / 2;
            panels.push(panel.at(Across::Centre(width), top));
        }
        if self.statistics_asked {
            let lines: Vec<_> = if self.statistics.is_empty() {
                vec!["no statistics yet".to_owned()]
            } else {
                self.statistics
                    .iter()
                    .take(room)
                    .map(|line| clean(line))
                    .collect()
            };
            let panel = Panel::new(&lines);
            panels.push(panel.at(Across::Right(width), MARGIN.min(height)));
        }
        for panel in &mut panels {
            panel.clip(width, height);
        }
        panels
    }
}

/// How long a message stays.
const MESSAGE_STAYS: Duration = Duration::from_secs(2);

/// Rows at the top that only panels asked for by key may cover: a block code with the time of capture may stand there.
const STAMP_HEIGHT: usize = 32;

/// What was not asked for leaves most of the picture to be seen.
const MAX_NOTICE_LINES: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::Rect;
    use crate::present::panel::INK;

    #[expect(
        clippy::disallowed_methods,
        reason = "there is no other way to an Instant; its value does not matter"
    )]
    fn now() -> Instant {
        Instant::now()
    }

    fn overlaps_stamp(panel: &Panel) -> bool {
        !panel.area().intersection(Rect::whole(448, 32)).is_empty()
    }

    #[test]
    fn words_are_light_on_a_dimmed_box_and_nothing_else_changes() {
        let mut overlay = Overlay::default();
        overlay.say(Some("connecting".into()));
        let panels = overlay.panels((640, 360), false);
        let [panel] = &panels[..] else {
            panic!("one panel")
        };
        let mut window = vec![0x80_8080; 640 * 360];
        panel.draw(&mut window, 640);
        let inside = |n: usize| panel.area().contains(Rect::new(n % 640, n / 640, 1, 1));
        for (n, pixel) in window.iter().enumerate() {
            assert!(match *pixel {
                0x80_8080 => !inside(n),
                INK | 0x20_2020 => inside(n),
                _ => false,
            });
        }
        let ink = window.iter().filter(|pixel| **pixel == INK).count();
        assert!((200..2000).contains(&ink), "{ink}");
        let area = panel.area();
        assert_eq!((area.x + area.right(), area.y + area.bottom()), (640, 360));
    }

    #[test]
    fn nothing_unasked_covers_the_time_of_capture() {
        let now = now();
        let mut overlay = Overlay::default();
        overlay.say(Some("the source is gone ".repeat(60)));
        overlay.message("volume 80 %".into(), now);
        for window in [(1280, 720), (640, 360), (500, 120), (448, 100)] {
            for panel in overlay.panels(window, true) {
                assert!(!overlaps_stamp(&panel), "{window:?} {:?}", panel.area());
            }
        }
        overlay.toggle(Part::Statistics);
        assert_eq!(overlay.panels((1280, 720), true).len(), 3);
    }

    #[test]
    fn a_message_goes_away_by_itself() {
        let now = now();
        let mut overlay = Overlay::default();
        overlay.message("muted".into(), now);
        assert_eq!(overlay.expires(), Some(now + MESSAGE_STAYS));
        assert!(!overlay.expire(now + Duration::from_millis(1999)));
        assert_eq!(overlay.panels((640, 360), true).len(), 1);
        assert!(overlay.expire(now + Duration::from_secs(2)));
        assert!(overlay.panels((640, 360), true).is_empty());
        assert_eq!(overlay.expires(), None);
    }

    #[test]
    fn help_and_statistics_come_and_go() {
        let mut overlay = Overlay::default();
        assert!(!overlay.statistics(vec!["30 fps".into()]));
        overlay.toggle(Part::Help);
        overlay.toggle(Part::Statistics);
        assert!(overlay.wants_statistics());
        let panels = overlay.panels((1280, 720), true);
        assert_eq!(panels.len(), 2);
        assert_eq!(panels[1].area().right(), 1280 - MARGIN);
        assert!(overlay.statistics(vec!["29 fps".into()]));
        overlay.toggle(Part::Help);
        overlay.toggle(Part::Statistics);
        assert!(overlay.panels((1280, 720), true).is_empty());
    }

    #[test]
    fn long_words_wrap_and_hostile_ones_stay_bounded() {
        assert_eq!(wrap("one two three", 7, 9), ["one two", "three"]);
        assert_eq!(wrap("abcdefgh", 3, 9), ["abc", "def", "gh"]);
        assert_eq!(wrap("a\nb", 10, 9), ["a", "b"]);
        assert_eq!(wrap("a b c d", 1, 2), ["a", "b"]);
        assert_eq!(wrap("tab\u{7}bell", 20, 1), ["tab bell"]);
        let mut overlay = Overlay::default();
        overlay.say(Some("\u{1b}[2J wide 日本 ".repeat(100_000)));
        overlay.statistics(vec!["x".repeat(1 << 20); 1000]);
        overlay.toggle(Part::Statistics);
        overlay.toggle(Part::Help);
        for window in [(0, 0), (1, 1), (16, 16), (64, 48), (8192, 4096)] {
            let mut pixels = vec![0; window.0 * window.1];
            for panel in overlay.panels(window, false) {
                assert!(Rect::whole(window.0, window.1).contains(panel.area()));
                panel.draw(&mut pixels, window.0);
            }
        }
    }
}
