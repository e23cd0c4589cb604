use std::{
    num::NonZeroU32,
    sync::Arc,
    task::Waker,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::*;
use crate::{
    codec::{Encoder, decode_jpeg, join},
    hub::{Step, Stream, Subscription},
    media::{self, RungKind, Tracks, VideoStep},
    session::Feed,
    timeline::Limits,
};

const VIDEO: Tracks = Tracks {
    video: true,
    audio: false,
};

/// A coder in virtual time, and the stream that it fills.
struct Bench {
    coder: Coder,
    stream: Arc<Stream>,
    start: Instant,
    now: Instant,
}

impl Bench {
    fn new(quality: Option<Quality>, fps: Option<u32>) -> Self {
        let start = now();
        let settings = Settings {
            epoch: start,
            quality,
            rungs: Arc::new(AtomicU32::new(1)),
        };
        let stream = Stream::new("live", VIDEO, Limits::default());
        let pace = fps.and_then(NonZeroU32::new).map(Pace::new);
        Self {
            coder: Coder::new(settings, pace, stream.open()),
            stream,
            start,
            now: start,
        }
    }

    fn viewer(&self) -> Subscription {
        Subscription::new(Arc::clone(&self.stream), VIDEO)
    }

    /// The source gives a picture, 40 ms after the last.
    fn image(&mut self, image: Image) {
        self.now += Duration::from_millis(40);
        let frame = VideoFrame {
            image,
            captured: self.now,
        };
        self.coder.take(frame, self.now);
    }

    fn picture(&mut self, luma: u8) {
        self.image(Image::Raw(plain(luma)));
    }

    /// Nothing comes for so long.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now += self.coder.patience();
            self.coder.rest(self.now);
        }
    }

    fn newest(&self, level: Level) -> Option<(u64, Size, RungId)> {
        self.stream.look(|timeline| {
            let frame = timeline.newest_frame(level)?;
            Some((frame.number, frame.rung.size(), frame.rung.id))
        })
    }

    fn number(&self, level: Level) -> Option<u64> {
        self.newest(level).map(|(number, ..)| number)
    }
}

fn size(width: u32, height: u32) -> Size {
    Size::new(width, height).unwrap()
}

fn plain(luma: u8) -> media::Picture {
    media::Picture::filled(size(640, 360), [luma, 128, 128])
}

fn jpeg(luma: u8) -> Image {
    let picture = plain(luma);
    let mut encoder = Encoder::new(1, picture.size(), Quality::DEFAULT).unwrap();
    let frame = encoder.encode(&picture, 1, MediaTime::ZERO).unwrap();
    Image::Jpeg {
        size: picture.size(),
        bytes: join(&frame),
    }
}

/// The first step of that level.
fn step_of(level: Level) -> usize {
    let ladder = Ladder::new(size(640, 360), None);
    (0..ladder.steps())
        .find(|step| ladder.step(*step).level == level)
        .unwrap()
}

/// What a viewer is sent now: numbers of the frames begun, with their widths.
fn sent(viewer: &mut Subscription) -> Vec<(u64, usize)> {
    let mut ends = Vec::new();
    let mut widths = std::collections::BTreeMap::new();
    while let Some(step) = viewer.next_video() {
        match step {
            VideoStep::Rung(rung) => {
                widths.insert(rung.id, rung.size().width());
            }
            VideoStep::End { rung, frame, .. } => {
                ends.push((frame, widths.get(&rung).copied().unwrap_or(0)));
            }
            VideoStep::Cell { .. } => {}
        }
    }
    ends
}

#[test]
fn only_levels_that_somebody_wants_are_made_and_all_have_the_number_of_their_picture() {
    let mut bench = Bench::new(None, None);
    let (best, mut low) = (bench.viewer(), bench.viewer());
    bench.picture(10);
    low.set_step(step_of(Level::Half));
    bench.picture(60);
    assert_eq!(bench.number(Level::Full), Some(2));
    let (number, half, rung) = bench.newest(Level::Half).unwrap();
    assert_eq!((number, half), (2, size(320, 180)));
    assert_ne!(rung, bench.newest(Level::Full).unwrap().2);
    for level in [Level::FullCoarse, Level::HalfCoarse, Level::Quarter] {
        assert_eq!(bench.newest(level), None, "{level:?}");
    }
    let times = [Level::Full, Level::Half].map(|level| {
        let capture =
            |timeline: &crate::timeline::Timeline| timeline.newest_frame(level).map(|f| f.capture);
        bench.stream.look(capture)
    });
    assert_eq!(times[0], times[1]);
    drop(best);
}

#[test]
fn a_level_that_becomes_wanted_while_the_source_stands_still_is_made_of_the_last_picture() {
    let mut bench = Bench::new(None, None);
    let mut viewer = bench.viewer();
    bench.picture(10);
    assert_eq!(sent(&mut viewer), [(1, 640)]);
    viewer.set_step(step_of(Level::Quarter));
    assert_eq!(sent(&mut viewer), []);
    bench.coder.make(bench.now);
    assert_eq!(sent(&mut viewer), [(1, 160)]);
    bench.coder.make(bench.now);
    assert_eq!(bench.newest(Level::Full), None, "nobody is there any more");
    viewer.set_step(0);
    bench.coder.make(bench.now);
    assert_eq!(sent(&mut viewer).len(), 1, "the frame that was kept");
}

#[test]
fn what_codes_a_level_outlives_a_short_absence_and_not_a_long_one() {
    let mut bench = Bench::new(None, None);
    let _best = bench.viewer();
    let mut low = bench.viewer();
    bench.picture(10);
    low.set_step(step_of(Level::Half));
    bench.picture(20);
    sent(&mut low);
    let (.., rung) = bench.newest(Level::Half).unwrap();
    low.set_step(0);
    sent(&mut low);
    bench.picture(30);
    assert_eq!(bench.newest(Level::Half), None);
    bench.pass(Duration::from_secs(3));
    low.set_step(step_of(Level::Half));
    bench.picture(40);
    assert_eq!(bench.newest(Level::Half).unwrap().2, rung);
    sent(&mut low);
    low.set_step(0);
    sent(&mut low);
    bench.pass(Duration::from_secs(8));
    assert!(!bench.coder.makers[Level::Half.index()].is_kept());
    low.set_step(step_of(Level::Half));
    bench.picture(50);
    assert!(bench.newest(Level::Half).unwrap().2 > rung);
}

#[test]
fn the_best_level_is_not_made_while_all_are_content_with_less() {
    let mut bench = Bench::new(None, None);
    let mut viewer = bench.viewer();
    bench.picture(10);
    viewer.set_step(step_of(Level::Half));
    bench.picture(20);
    sent(&mut viewer);
    bench.picture(30);
    assert_eq!(bench.newest(Level::Full), None);
    let mut newcomer = bench.viewer();
    assert_eq!(sent(&mut newcomer), [], "nothing old is shown");
    bench.coder.make(bench.now);
    assert_eq!(sent(&mut newcomer), [(3, 640)]);
    drop((viewer, newcomer));
    bench.picture(40);
    assert_eq!(bench.number(Level::Full), Some(4), "for the next who comes");
    assert_eq!(bench.newest(Level::Half), None);
}

#[test]
fn a_source_that_changes_its_size_gets_new_rungs_and_its_viewers_another_ladder() {
    let mut bench = Bench::new(None, None);
    let mut viewer = bench.viewer();
    assert_eq!(viewer.steps(), 1);
    viewer.set_step(99);
    bench.picture(10);
    assert_eq!(sent(&mut viewer), [(1, 640)]);
    let large = viewer.steps();
    bench.coder.make(bench.now);
    assert_eq!(sent(&mut viewer), [(1, 160)]);
    let small = media::Picture::filled(size(320, 180), [9, 128, 128]);
    bench.image(Image::Raw(small));
    sent(&mut viewer);
    assert!(viewer.steps() < large);
    bench.coder.make(bench.now);
    assert_eq!(sent(&mut viewer), [(2, 160)]);
    assert_eq!(bench.newest(Level::Quarter), None);
    assert_eq!(bench.newest(Level::HalfCoarse).unwrap().1, size(160, 90));
}

#[test]
fn jpegs_are_passed_through_and_decoded_only_for_lower_levels() {
    let mut bench = Bench::new(None, None);
    let mut low = bench.viewer();
    let _best = bench.viewer();
    let image = jpeg(90);
    bench.image(image.clone());
    let kind = |bench: &Bench, level| {
        bench.stream.look(|timeline| {
            let frame = timeline.newest_frame(level).unwrap();
            (frame.rung.kind.clone(), join(frame))
        })
    };
    let (whole, bytes) = kind(&bench, Level::Full);
    assert!(matches!(whole, RungKind::Whole { .. }));
    assert!(matches!(&image, Image::Jpeg { bytes: came, .. } if *came == bytes));
    low.set_step(step_of(Level::Half));
    bench.image(jpeg(120));
    let (cells, half) = kind(&bench, Level::Half);
    assert!(matches!(cells, RungKind::Cells { .. }));
    let half = decode_jpeg(&half).unwrap();
    assert_eq!(half.size(), size(320, 180));
    assert!(half.y().iter().all(|luma| luma.abs_diff(120) < 3));
    let broken = Image::Jpeg {
        size: size(640, 360),
        bytes: Bytes::from_static(b"none"),
    };
    bench.image(broken);
    assert_eq!(bench.number(Level::Full), Some(3), "for others to judge");
    assert_eq!(bench.number(Level::Half), Some(2));
    bench.image(jpeg(130));
    assert_eq!(bench.number(Level::Half), Some(4));
}

#[test]
fn a_fixed_quality_leaves_size_and_rate_to_choose_from() {
    let mut bench = Bench::new(Quality::new(90), None);
    let mut viewer = bench.viewer();
    bench.picture(10);
    sent(&mut viewer);
    let ladder = Ladder::new(size(640, 360), Quality::new(90));
    assert_eq!(viewer.steps(), ladder.steps());
    viewer.set_step(ladder.steps() - 1);
    bench.picture(20);
    assert_eq!(sent(&mut viewer), [(2, 160)]);
}

#[test]
fn of_too_many_pictures_some_are_left_out_but_never_the_one_that_stays() {
    let mut bench = Bench::new(None, Some(5));
    let mut viewer = bench.viewer();
    for luma in 0..25 {
        bench.picture(luma * 10);
    }
    assert_eq!(bench.number(Level::Full), Some(6));
    bench.picture(10);
    bench.picture(250);
    assert_eq!(bench.number(Level::Full), Some(6));
    bench.pass(Duration::from_millis(500));
    sent(&mut viewer);
    let shown = bench
        .stream
        .look(|timeline| join(timeline.newest_frame(Level::Full).unwrap()));
    assert!(
        decode_jpeg(&shown)
            .unwrap()
            .y()
            .iter()
            .all(|luma| luma.abs_diff(250) < 4)
    );
}

#[test]
fn a_viewer_who_leaves_pictures_out_gets_the_one_at_which_the_source_rests() {
    let mut bench = Bench::new(None, None);
    let mut viewer = bench.viewer();
    bench.picture(0);
    viewer.set_step(99);
    bench.coder.make(bench.now);
    let every = u64::from(Ladder::new(size(640, 360), None).step(99).every);
    assert!(every > 1);
    assert_eq!(sent(&mut viewer), [(1, 160)]);
    for number in 2..=every {
        bench.picture(u8::try_from(number * 20).unwrap());
        assert_eq!(sent(&mut viewer), []);
    }
    bench.pass(Duration::from_millis(200));
    assert_eq!(
        sent(&mut viewer).last().map(|(number, _)| *number),
        Some(every)
    );
    bench.picture(200);
    bench.picture(210);
    assert_eq!(sent(&mut viewer), [], "the divisor counts on");
}

#[test]
fn once_the_source_is_closed_whoever_comes_finds_the_last_picture() {
    let mut bench = Bench::new(None, None);
    let mut low = bench.viewer();
    bench.picture(10);
    low.set_step(step_of(Level::Half));
    bench.picture(20);
    sent(&mut low);
    bench.picture(30);
    assert_eq!(bench.newest(Level::Full), None);
    bench.coder.finish(bench.now);
    assert_eq!(sent(&mut bench.viewer()), [(3, 640)]);
    assert!(bench.now > bench.start);
}

#[test]
fn a_viewer_far_away_is_first_sent_a_smaller_copy_that_says_of_what() {
    let mut bench = Bench::new(None, None);
    bench.coder.filler.on_demand(Waker::noop().clone());
    bench.picture(10);
    let mut viewer = bench.viewer();
    viewer.ahead(100);
    bench.coder.make(bench.now);
    let copies: Vec<_> = std::iter::from_fn(|| viewer.next_video())
        .filter_map(|step| match step {
            VideoStep::Rung(rung) => Some((rung.size().width(), rung.source)),
            VideoStep::Cell { .. } | VideoStep::End { .. } => None,
        })
        .collect();
    assert_eq!(copies, [(160, Some(size(640, 360))), (640, None)]);
}

#[test]
fn where_no_smaller_copy_can_be_made_the_picture_goes_as_it_is() {
    let mut bench = Bench::new(None, None);
    bench.coder.filler.on_demand(Waker::noop().clone());
    let mut viewer = bench.viewer();
    viewer.ahead(0);
    bench.image(Image::Jpeg {
        size: size(640, 360),
        bytes: Bytes::from_static(b"none"),
    });
    assert_eq!(sent(&mut viewer), [], "it is asked for");
    bench.coder.make(bench.now);
    assert_eq!(sent(&mut viewer), [(1, 640)]);
}

#[test]
fn steps_that_differ_by_rate_alone_share_one_level() {
    let ladder = Ladder::new(size(640, 360), None);
    let steps: Vec<Step> = (0..ladder.steps()).map(|at| ladder.step(at)).collect();
    let pair = steps
        .windows(2)
        .position(|pair| pair[0].level == pair[1].level);
    let (first, second) = (pair.unwrap(), pair.unwrap() + 1);
    let mut bench = Bench::new(None, None);
    let (mut often, mut rare) = (bench.viewer(), bench.viewer());
    bench.picture(1);
    often.set_step(first);
    rare.set_step(second);
    bench.coder.make(bench.now);
    sent(&mut often);
    sent(&mut rare);
    let (mut many, mut few) = (0, 0);
    for luma in 0..40 {
        bench.picture(luma * 6);
        many += sent(&mut often).len();
        few += sent(&mut rare).len();
    }
    assert_eq!(many, 40);
    assert_eq!(few, 20);
}
