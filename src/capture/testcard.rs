//! A moving picture made by the program: colour bars, a stamp, a ball on a gliding gradient, a flash with each beep,
//! what it is, and the time.

use std::time::{Duration, Instant};

use super::paint::{fill, text, ycbcr};
use super::pump::Stop;
use super::tone::BEEP;
use super::{Outlet, SourceState, stamp};
use crate::glyph::Face;
use crate::media::{Image, Picture, Rect, Size, VideoFrame};

/// The colours of the bars from left to right, as red, green, blue.
pub const BARS: [[u8; 3]; 8] = [
    [255, 255, 255],
    [255, 255, 0],
    [0, 255, 255],
    [0, 255, 0],
    [255, 0, 255],
    [255, 0, 0],
    [0, 0, 255],
    [0, 0, 0],
];

/// The centre of each bar of [`BARS`] on a card of `size`: x and y in pixels.
pub fn bar_centres(size: Size) -> [(usize, usize); 8] {
    let layout = Layout::new(size);
    std::array::from_fn(|index| layout.bar(index).centre())
}

/// The centre of the box that is white for the first 100 ms of each second and dark otherwise: x and y in pixels.
pub fn flash_centre(size: Size) -> (usize, usize) {
    Layout::new(size).flash.centre()
}

/// Being later than this (the machine slept, or cannot keep up) skips the pictures that were missed.
const TOO_LATE_PICTURES: u64 = 1;

const DARK: [u8; 3] = [32, 32, 32];
const WHITE: [u8; 3] = [255, 255, 255];
const BALL: [u8; 3] = [255, 140, 0];
/// Brightness of words that matter less.
const GREY: u8 = 160;

/// Delivers the card from `start` on in real time.
#[expect(
    clippy::disallowed_methods,
    reason = "a device thread; the clock that is shown is the wall's"
)]
pub(super) fn run(size: Size, fps: u32, start: Instant, outlet: &Outlet, stop: &Stop) {
    let card = Card::new(size, fps);
    let mut number = 0;
    outlet.state(SourceState::Live);
    loop {
        // From the start each time: what one sleep oversleeps, the next does not inherit.
        let due = start + picture_time(number, fps);
        let now = Instant::now();
        if stop.wait(due.saturating_duration_since(now)) {
            return;
        }
        let late = now.saturating_duration_since(due).as_micros() * u128::from(fps) / 1_000_000;
        let late = u64::try_from(late).unwrap_or(0);
        if late > TOO_LATE_PICTURES {
            number += late;
            continue;
        }
        let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let mut picture = card.paint(&Moment {
            number,
            since: picture_time(number, fps),
            wall: wall.unwrap_or_default(),
        });
        // The clock is read last: only now is the picture whole.
        let captured = Instant::now();
        stamp::paint(picture.planes_mut()[0], size, stamp::clock_micros());
        outlet.video(VideoFrame {
            image: Image::Raw(picture),
            captured,
        });
        number += 1;
    }
}

/// When picture `number` is due.
fn picture_time(number: u64, fps: u32) -> Duration {
    let (seconds, rest) = (number / u64::from(fps), number % u64::from(fps));
    Duration::from_secs(seconds) + Duration::from_micros(rest * 1_000_000 / u64::from(fps))
}

/// What a picture shows beside its stamp.
struct Moment {
    number: u64,
    /// Time since the start, on which the flash and the beep go by.
    since: Duration,
    /// Time since 1970 in UTC.
    wall: Duration,
}

/// What does not move, painted once, and how the rest moves.
struct Card {
    layout: Layout,
    still: Picture,
    /// Two periods of the gradient, of which a window glides by.
    gradient: Vec<u8>,
}

impl Card {
    fn new(size: Size, fps: u32) -> Self {
        let layout = Layout::new(size);
        let mut still = Picture::filled(size, ycbcr(DARK));
        for (index, colour) in BARS.into_iter().enumerate() {
            fill(&mut still, layout.bar(index), ycbcr(colour));
        }
        fill(&mut still, layout.edge, ycbcr(BALL));
        layout.name.write(&mut still, NAME, ycbcr(WHITE)[0]);
        let kind = format!("\n{size} at {fps} fps");
        layout.name.write(&mut still, &kind, GREY);
        let width = size.width();
        let gradient = (0..2 * width)
            .map(|x| {
                let at = x % width * 2;
                let rise = if at < width { at } else { 2 * width - at };
                u8::try_from(40 + rise * 170 / width).unwrap_or(u8::MAX)
            })
            .collect();
        Self {
            layout,
            still,
            gradient,
        }
    }

    fn paint(&self, moment: &Moment) -> Picture {
        let layout = &self.layout;
        let mut picture = self.still.clone();
        let size = picture.size();

        let glide = usize::try_from(moment.number).unwrap_or(0) % size.width();
        let band = layout.gradient;
        let rows = picture.planes_mut()[0]
            .chunks_exact_mut(size.width())
            .skip(band.y)
            .take(band.height);
        for row in rows {
            row.copy_from_slice(&self.gradient[glide..glide + size.width()]);
        }

        fill(&mut picture, layout.ball(moment.since), ycbcr(BALL));
        if moment.since.subsec_nanos() < BEEP.subsec_nanos() {
            fill(&mut picture, layout.flash, ycbcr(WHITE));
        }
        let words = format!("{}\n{:08}", clock(moment.wall), moment.number);
        layout.clock.write(&mut picture, &words, ycbcr(WHITE)[0]);
        picture
    }
}

/// What is where.
#[derive(Clone, Copy)]
struct Layout {
    bars: Rect,
    gradient: Rect,
    /// Between the gradient and the dark part.
    edge: Rect,
    flash: Rect,
    /// What it is, left of the flash.
    name: Words,
    /// The time and the picture's number, right of it.
    clock: Words,
}

impl Layout {
    fn new(size: Size) -> Self {
        let (width, height) = (size.width(), size.height());
        let top = (height / 16).max(stamp::HEIGHT).min(height / 4);
        let middle = height / 2;
        let low = height * 3 / 4;
        let across = |top, bottom| Rect {
            x: 0,
            y: top,
            width,
            height: bottom - top,
        };
        let (side, tall) = (width / 10, (height - low) * 2 / 3);
        let flash = Rect {
            x: width / 2 - side / 2,
            y: low + (height - low - tall) / 2,
            width: side,
            height: tall,
        };
        let margin = width / 40;
        let beside = |left, right: usize| Rect {
            x: left + margin,
            width: right.saturating_sub(left + 2 * margin),
            ..flash
        };
        Self {
            bars: across(top, middle),
            gradient: across(middle, low),
            edge: across(low, low + height / 240),
            flash,
            name: Words::within(beside(0, flash.x), NAME.len()),
            clock: Words::within(beside(flash.right(), width), CLOCK_LENGTH),
        }
    }

    fn bar(&self, index: usize) -> Rect {
        let edge = |index| self.bars.width * index / BARS.len();
        Rect {
            x: edge(index),
            width: edge(index + 1) - edge(index),
            ..self.bars
        }
    }

    /// Crosses the gradient from side to side in four seconds.
    fn ball(&self, since: Duration) -> Rect {
        let side = self.gradient.height / 3;
        let way = self.gradient.width.saturating_sub(side);
        let phase = usize::try_from(since.as_millis() % 4000).unwrap_or(0);
        let phase = if phase < 2000 { phase } else { 4000 - phase };
        Rect {
            x: way * phase / 2000,
            y: self.gradient.y + side,
            width: side,
            height: side,
        }
    }
}

/// Two lines of text in a place.
#[derive(Clone, Copy)]
struct Words {
    at: (usize, usize),
    /// None where the place is too small to read anything in.
    face: Option<Face>,
}

impl Words {
    /// As large as two lines of that length can be, in the middle of the place's height.
    fn within(place: Rect, length: usize) -> Self {
        let fits = |face: &Face| {
            length * face.width() <= place.width && LINES * face.height() <= place.height
        };
        let large = (1..=LARGEST).rev().map(|scale| Face::LARGE.scaled(scale));
        let face = large.chain([Face::SMALL]).find(fits);
        let height = face.map_or(0, |face| LINES * face.height());
        Self {
            at: (place.x, place.y + place.height.saturating_sub(height) / 2),
            face,
        }
    }

    fn write(&self, picture: &mut Picture, words: &str, luma: u8) {
        if let Some(face) = self.face {
            text(picture, face, words, self.at, luma);
        }
    }
}

const LINES: usize = 2;
/// Magnification on the largest of cards.
const LARGEST: usize = 12;
const NAME: &str = "tunnelcast test card";
const CLOCK_LENGTH: usize = "12:34:56.789 UTC".len();

fn clock(wall: Duration) -> String {
    let of_day = wall.as_secs() % 86_400;
    let (hours, minutes, seconds) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    let millis = wall.subsec_millis();
    format!("{hours:02}:{minutes:02}:{seconds:02}.{millis:03} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::{Leave, Pump, channel};

    fn moment(since: Duration) -> Moment {
        Moment {
            number: 12_345,
            since,
            wall: Duration::from_millis(86_400_000 * 20_000 + 45_296_789),
        }
    }

    fn at(picture: &Picture, (x, y): (usize, usize)) -> [u8; 3] {
        let chroma = y / 2 * picture.size().chroma_width() + x / 2;
        [
            picture.y()[y * picture.size().width() + x],
            picture.cb()[chroma],
            picture.cr()[chroma],
        ]
    }

    #[test]
    fn cards_of_every_size_can_be_painted() {
        for (width, height) in [
            (16, 16),
            (17, 31),
            (448, 32),
            (641, 359),
            (16, 4000),
            (8192, 16),
        ] {
            let size = Size::new(width, height).unwrap();
            let card = Card::new(size, 30);
            for ms in [0, 99, 100, 1999, 2000, 3999] {
                let picture = card.paint(&moment(Duration::from_millis(ms)));
                assert_eq!(picture.size(), size);
            }
        }
    }

    #[test]
    fn the_bars_have_their_colours_at_their_centres() {
        for (width, height) in [(1280, 720), (320, 240), (1920, 1080)] {
            let size = Size::new(width, height).unwrap();
            let picture = Card::new(size, 30).paint(&moment(Duration::ZERO));
            for (centre, colour) in bar_centres(size).into_iter().zip(BARS) {
                assert_eq!(at(&picture, centre), ycbcr(colour));
            }
        }
    }

    #[test]
    fn the_flash_lasts_as_long_as_the_beep() {
        let size = Size::new(1280, 720).unwrap();
        let card = Card::new(size, 30);
        let lit = |ms| {
            at(
                &card.paint(&moment(Duration::from_millis(ms))),
                flash_centre(size),
            )[0]
        };
        assert_eq!([lit(0), lit(99), lit(1000), lit(7099)], [255; 4]);
        assert_eq!([lit(100), lit(500), lit(999), lit(7100)], [32; 4]);
    }

    #[test]
    fn the_clock_tells_the_time_of_day() {
        assert_eq!(clock(moment(Duration::ZERO).wall), "12:34:56.789 UTC");
    }

    #[test]
    fn it_says_what_it_is_without_touching_the_flash() {
        for (width, height) in [(320, 240), (640, 360), (1280, 720), (1920, 1080)] {
            let size = Size::new(width, height).unwrap();
            let card = Card::new(size, 30);
            let picture = card.paint(&moment(Duration::from_millis(500)));
            let Layout {
                flash, name, clock, ..
            } = card.layout;
            for words in [name, clock] {
                let face = words.face.unwrap();
                let lit = |(x, y): (usize, usize)| picture.y()[y * size.width() + x] > 100;
                let box_of = (0..2 * face.height())
                    .flat_map(|dy| (0..16 * face.width()).map(move |dx| (dx, dy)));
                let (x, y) = words.at;
                assert!(box_of.map(|(dx, dy)| (x + dx, y + dy)).any(lit));
            }
            for y in flash.y..flash.y + flash.height {
                let row = &picture.y()[y * size.width() + flash.x..][..flash.width];
                assert!(row.iter().all(|luma| *luma == 32), "{size}");
            }
        }
    }

    #[test]
    fn each_picture_is_new_where_something_moves() {
        let size = Size::new(640, 360).unwrap();
        let card = Card::new(size, 30);
        let first = card.paint(&moment(Duration::ZERO));
        let second = card.paint(&Moment {
            number: 12_346,
            ..moment(Duration::from_millis(33))
        });
        let changed = first
            .y()
            .iter()
            .zip(second.y())
            .filter(|(a, b)| a != b)
            .count();
        assert!(changed > 500, "{changed}");
    }

    #[test]
    fn pictures_are_due_without_drift() {
        assert_eq!(
            picture_time(30 * 86_400 * 365, 30),
            Duration::from_secs(86_400 * 365)
        );
        assert_eq!(picture_time(1, 30), Duration::from_micros(33_333));
    }

    #[test]
    fn pictures_come_with_a_stamp_of_the_shared_clock() {
        let size = Size::new(640, 360).unwrap();
        let (outlet, inlet) = channel();
        let before = stamp::clock_micros();
        #[expect(clippy::disallowed_methods, reason = "a real clock is what is tested")]
        let start = Instant::now();
        let _pump = Pump::start("card", Leave::Join, move |stop| {
            run(size, 200, start, &outlet, stop)
        })
        .unwrap();
        let mut last = before;
        for _ in 0..5 {
            let frame = inlet.video.recv(Duration::from_secs(10)).unwrap();
            let Image::Raw(picture) = frame.image else {
                panic!("a picture");
            };
            let stamp = stamp::read(picture.y(), size).unwrap();
            assert!(stamp > last && stamp <= stamp::clock_micros());
            last = stamp;
            let since = u64::try_from(frame.captured.duration_since(start).as_micros()).unwrap();
            assert!((stamp - before).abs_diff(since) < 1_000_000);
        }
    }
}
