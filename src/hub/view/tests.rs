mod ahead;

use std::{collections::BTreeMap, task::Waker};

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::{
    hub::{Filler, Subscription},
    media::{Cell, CellIndex, Frame, Grid, MediaTime, Rung, RungId, RungKind, Size, Tracks},
    session::Feed,
    timeline::Limits,
};

const VIDEO: Tracks = Tracks {
    video: true,
    audio: false,
};

/// A stream whose frames have four cells, filled by hand.
struct Live {
    stream: Arc<Stream>,
    filler: Filler,
}

impl Live {
    fn new() -> Self {
        let stream = Stream::new("live", VIDEO, Limits::default());
        let filler = stream.open();
        filler.set_ladder(ladder());
        Self { stream, filler }
    }

    fn viewer(&self) -> Subscription {
        Subscription::new(Arc::clone(&self.stream), VIDEO)
    }

    /// A picture at every level that is wanted.
    fn picture(&self) -> u64 {
        let number = self.filler.next_frame();
        self.levels(number);
        number
    }

    fn levels(&self, number: u64) {
        for level in Level::ALL {
            if self.filler.is_wanted(level) {
                self.filler.push_frame(level, frame(level, number));
            }
        }
    }
}

fn ladder() -> Ladder {
    Ladder::new(Size::new(1280, 720).unwrap(), None)
}

fn rung_of(level: Level) -> RungId {
    10 + RungId::try_from(level.index()).unwrap()
}

fn frame(level: Level, number: u64) -> Arc<Frame> {
    let grid = Grid::for_size(Size::new(640, 16).unwrap());
    let cell = Cell {
        version: number,
        bytes: Bytes::from_static(b"cell"),
    };
    Arc::new(Frame {
        number,
        capture: MediaTime::from_micros(number),
        rung: Arc::new(Rung {
            id: rung_of(level),
            source: None,
            kind: RungKind::Cells {
                grid,
                header: Bytes::new(),
            },
        }),
        cells: vec![cell; grid.count()],
    })
}

/// Ends of frames, as rung and number.
fn ends(viewer: &mut Subscription) -> Vec<(RungId, u64)> {
    std::iter::from_fn(|| viewer.next_video())
        .filter_map(|step| match step {
            VideoStep::End { rung, frame, .. } => Some((rung, frame)),
            VideoStep::Rung(_) | VideoStep::Cell { .. } => None,
        })
        .collect()
}

fn step_of(level: Level) -> usize {
    (0..ladder().steps())
        .find(|step| ladder().step(*step).level == level)
        .unwrap()
}

#[test]
fn viewers_at_different_steps_get_different_rungs_of_the_same_pictures() {
    let live = Live::new();
    let (mut fine, mut coarse) = (live.viewer(), live.viewer());
    coarse.set_step(step_of(Level::Half));
    live.picture();
    ends(&mut fine);
    ends(&mut coarse);
    for _ in 0..5 {
        let number = live.picture();
        assert_eq!(ends(&mut fine), [(rung_of(Level::Full), number)]);
        assert_eq!(ends(&mut coarse), [(rung_of(Level::Half), number)]);
    }
}

#[test]
fn a_frame_that_was_begun_is_finished_before_the_move() {
    let live = Live::new();
    let mut viewer = live.viewer();
    let first = live.picture();
    assert!(matches!(viewer.next_video(), Some(VideoStep::Rung(_))));
    assert!(matches!(viewer.next_video(), Some(VideoStep::Cell { .. })));
    viewer.set_step(step_of(Level::FullCoarse));
    let second = live.picture();
    let full = rung_of(Level::Full);
    let mut cells = 0;
    loop {
        match viewer.next_video().unwrap() {
            VideoStep::Cell { rung, frame, .. } => {
                assert_eq!((rung, frame), (full, first));
                cells += 1;
            }
            VideoStep::End { rung, frame, .. } => {
                assert_eq!((rung, frame), (full, first));
                break;
            }
            VideoStep::Rung(_) => panic!("no other rung before the end"),
        }
    }
    assert_eq!(cells, 3);
    assert_eq!(ends(&mut viewer), [(rung_of(Level::FullCoarse), second)]);
}

#[test]
fn the_old_level_goes_on_until_the_new_one_has_a_frame() {
    let live = Live::new();
    let mut viewer = live.viewer();
    live.picture();
    ends(&mut viewer);
    viewer.set_step(step_of(Level::Quarter));
    let number = live.filler.next_frame();
    live.filler
        .push_frame(Level::Full, frame(Level::Full, number));
    assert_eq!(ends(&mut viewer), [(rung_of(Level::Full), number)]);
    assert!(live.filler.is_wanted(Level::Full) && live.filler.is_wanted(Level::Quarter));
    live.filler
        .push_frame(Level::Quarter, frame(Level::Quarter, number));
    let quarter = rung_of(Level::Quarter);
    assert_eq!(ends(&mut viewer), [(quarter, number)], "the same picture");
    assert!(!live.filler.is_wanted(Level::Full));
    assert_eq!(ends(&mut viewer), []);
}

#[test]
fn an_older_frame_of_the_new_level_is_not_shown() {
    let live = Live::new();
    let mut viewer = live.viewer();
    let old = live.filler.next_frame();
    live.filler.push_frame(Level::Half, frame(Level::Half, old));
    live.picture();
    ends(&mut viewer);
    viewer.set_step(step_of(Level::Half));
    assert_eq!(ends(&mut viewer), []);
    let number = live.picture();
    assert_eq!(ends(&mut viewer), [(rung_of(Level::Half), number)]);
}

#[test]
fn a_move_taken_back_leaves_everything_as_it_was() {
    let live = Live::new();
    let mut viewer = live.viewer();
    live.picture();
    ends(&mut viewer);
    viewer.set_step(step_of(Level::Half));
    viewer.set_step(0);
    assert!(!live.filler.is_wanted(Level::Half));
    let number = live.picture();
    let steps: Vec<_> = std::iter::from_fn(|| viewer.next_video()).collect();
    assert!(!steps.iter().any(|step| matches!(step, VideoStep::Rung(_))));
    assert!(matches!(steps.last(), Some(VideoStep::End { frame, .. }) if *frame == number));
}

#[test]
fn of_every_so_many_pictures_one_is_sent_and_the_one_at_which_the_source_rests() {
    let live = Live::new();
    let mut viewer = live.viewer();
    let last = ladder().steps() - 1;
    let every = u64::from(ladder().step(last).every);
    viewer.set_step(last);
    let mut sent = Vec::new();
    for _ in 0..=10 * every {
        live.picture();
        sent.extend(ends(&mut viewer).into_iter().map(|(_, number)| number));
    }
    let gaps: Vec<u64> = sent.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(gaps, vec![every; 10]);
    let rest = live.picture();
    assert_eq!(ends(&mut viewer), []);
    live.filler.settle(rest);
    assert_eq!(ends(&mut viewer), [(rung_of(Level::Quarter), rest)]);
    assert_eq!(ends(&mut viewer), [], "once");
    live.picture();
    assert_eq!(ends(&mut viewer), [], "from there it counts anew");
}

#[test]
fn a_viewer_who_goes_wants_nothing_any_more() {
    let live = Live::new();
    let mut viewer = live.viewer();
    viewer.set_step(step_of(Level::Half));
    live.picture();
    drop(viewer);
    assert!(
        Level::ALL
            .iter()
            .all(|level| !live.filler.is_wanted(*level))
    );
    let sound = Tracks {
        video: false,
        audio: true,
    };
    let mut listener = Subscription::new(Arc::clone(&live.stream), sound);
    listener.set_step(3);
    assert_eq!(listener.steps(), 1);
    assert!(
        Level::ALL
            .iter()
            .all(|level| !live.filler.is_wanted(*level))
    );
}

#[tokio::test]
async fn viewers_are_woken_by_their_own_level_alone_and_by_a_move() {
    let live = Live::new();
    let mut viewer = live.viewer();
    live.picture();
    ends(&mut viewer);
    let is_woken = async |viewer: &mut Subscription| {
        tokio::select! {
            biased;
            () = viewer.changed() => true,
            () = std::future::ready(()) => false,
        }
    };
    assert!(!is_woken(&mut viewer).await);
    live.filler.push_frame(Level::Half, frame(Level::Half, 9));
    assert!(!is_woken(&mut viewer).await);
    viewer.set_step(step_of(Level::Half));
    assert!(is_woken(&mut viewer).await, "there is a frame to move to");
    assert_eq!(ends(&mut viewer), [(rung_of(Level::Half), 9)]);
    assert!(!is_woken(&mut viewer).await);
    live.filler.settle(9);
    assert!(is_woken(&mut viewer).await);
}

#[test]
fn whoever_makes_the_frames_is_called_when_somebody_wants_a_level() {
    struct Calls(std::sync::atomic::AtomicUsize);
    impl std::task::Wake for Calls {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        }
    }
    let live = Live::new();
    let calls = Arc::new(Calls(std::sync::atomic::AtomicUsize::new(0)));
    let count = || calls.0.swap(0, std::sync::atomic::Ordering::SeqCst);
    live.filler.on_demand(Waker::from(Arc::clone(&calls)));
    let mut viewer = live.viewer();
    assert_eq!(count(), 1);
    viewer.set_step(step_of(Level::Half));
    assert_eq!(count(), 1);
    viewer.set_step(step_of(Level::Half));
    assert_eq!(count(), 0);
    live.stream.close();
    viewer.set_step(0);
    assert_eq!((count(), Arc::strong_count(&calls)), (0, 1));
}

/// A viewer far away, whose line takes so many bytes at once.
fn far(live: &Live, bytes: usize) -> Subscription {
    live.filler.on_demand(Waker::noop().clone());
    let mut viewer = live.viewer();
    viewer.ahead(bytes);
    viewer
}

/// Bytes of a picture.
const BYTES: usize = 16;

/// Something that happens.
#[derive(Clone, Debug)]
enum Event {
    Picture,
    /// Levels that became wanted are made of the last picture.
    Again,
    Step(usize),
    /// The other viewer's.
    Other(usize),
    /// So many steps of the picture are taken.
    Take(usize),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => Just(Event::Picture),
        1 => Just(Event::Again),
        1 => (0usize..10).prop_map(Event::Step),
        1 => (0usize..10).prop_map(Event::Other),
        4 => (1usize..9).prop_map(Event::Take),
    ]
}

/// Everything that a viewer is sent while `events` happen, and, once the source rests, until nothing is left.
fn play(events: &[Event], with_other: bool, is_far: bool) -> Vec<VideoStep> {
    let live = Live::new();
    let mut viewer = if is_far {
        far(&live, BYTES - 1)
    } else {
        live.viewer()
    };
    let mut other = with_other.then(|| live.viewer());
    let mut number = live.picture();
    let mut steps = Vec::new();
    for event in events {
        match event {
            Event::Picture => number = live.picture(),
            Event::Again => live.levels(number),
            Event::Step(step) => viewer.set_step(*step),
            Event::Other(step) => {
                if let Some(other) = &mut other {
                    other.set_step(*step);
                    ends(other);
                }
            }
            Event::Take(count) => steps.extend((0..*count).map_while(|_| viewer.next_video())),
        }
    }
    live.levels(number);
    live.filler.settle(number);
    steps.extend(std::iter::from_fn(|| viewer.next_video()));
    let last = steps.iter().rev().find_map(|step| match step {
        VideoStep::End { frame, .. } => Some(*frame),
        VideoStep::Rung(_) | VideoStep::Cell { .. } => None,
    });
    assert_eq!(last, Some(number), "the final state is delivered");
    steps
}

proptest! {
    /// Numbers never go back, cells belong to the rung announced last, every frame ends before another begins, and
    /// at each end the viewer has every cell of that rung in the version of that frame.
    #[test]
    fn whatever_happens_a_viewer_gets_whole_pictures_in_order(
        events in prop::collection::vec(event(), 0..80),
        is_far: bool,
    ) {
        let mut rung = None;
        let mut open = None;
        let mut newest = 0;
        let mut held = BTreeMap::new();
        for step in play(&events, true, is_far) {
            match step {
                VideoStep::Rung(announced) => {
                    prop_assert_eq!(open, None);
                    prop_assert_ne!(rung, Some(announced.id));
                    rung = Some(announced.id);
                    held.clear();
                }
                VideoStep::Cell { rung: of, frame, index, .. } => {
                    prop_assert_eq!(rung, Some(of));
                    prop_assert!(open.is_none_or(|open| open == frame));
                    prop_assert!(frame >= newest);
                    open = Some(frame);
                    newest = frame;
                    held.insert(index, frame);
                }
                VideoStep::End { rung: of, frame, .. } => {
                    prop_assert_eq!(rung, Some(of));
                    prop_assert_eq!(open.take(), Some(frame));
                    prop_assert_eq!(held.len(), 4);
                    prop_assert!(held.values().all(|version| *version == frame));
                }
            }
        }
    }

    /// Another viewer's moves change nothing for one who stays where he is.
    #[test]
    fn one_viewers_steps_change_nothing_for_others(
        step in 0usize..10,
        is_far: bool,
        events in prop::collection::vec(event(), 0..80),
    ) {
        let stays = |event: &Event| !matches!(event, Event::Step(_));
        let mut events: Vec<Event> = events.into_iter().filter(stays).collect();
        events.insert(0, Event::Step(step));
        let told = |steps: Vec<VideoStep>| format!("{steps:?}");
        let alone = told(play(&events, false, is_far));
        prop_assert_eq!(told(play(&events, true, is_far)), alone);
    }
}

/// Cells and ends of frames: number, and place or none.
fn steps(viewer: &mut Subscription) -> Vec<(u64, Option<CellIndex>)> {
    std::iter::from_fn(|| viewer.next_video())
        .filter_map(|step| match step {
            VideoStep::Cell { frame, index, .. } => Some((frame, Some(index))),
            VideoStep::End { frame, .. } => Some((frame, None)),
            VideoStep::Rung(_) => None,
        })
        .collect()
}

#[test]
fn the_cells_that_are_made_go_and_the_rest_of_the_frame_follows() {
    let live = Live::new();
    let mut viewer = live.viewer();
    live.picture();
    ends(&mut viewer);
    let number = live.filler.next_frame();
    let part = |cells| Extent {
        frame: frame(Level::Full, number),
        cells,
    };
    live.filler.push_early(Level::Full, part(2));
    assert_eq!(steps(&mut viewer), [(number, Some(0)), (number, Some(1))]);
    assert!(steps(&mut viewer).is_empty());
    // The step waits for the frame that was begun.
    viewer.set_step(step_of(Level::Half));
    live.filler.push_early(Level::Full, part(3));
    assert_eq!(steps(&mut viewer), [(number, Some(2))]);
    live.levels(number);
    let rest = steps(&mut viewer);
    assert_eq!(rest[..2], [(number, Some(3)), (number, None)]);
    assert_eq!(ends(&mut viewer), []);
    live.picture();
    assert_eq!(ends(&mut viewer).len(), 1);
}

#[test]
fn a_frame_of_which_nothing_more_comes_is_followed_by_the_next() {
    let live = Live::new();
    let mut viewer = live.viewer();
    live.picture();
    ends(&mut viewer);
    let number = live.filler.next_frame();
    let extent = Extent {
        frame: frame(Level::Full, number),
        cells: 1,
    };
    live.filler.push_early(Level::Full, extent);
    assert_eq!(steps(&mut viewer), [(number, Some(0))]);
    let next = live.picture();
    assert_eq!(ends(&mut viewer), [(rung_of(Level::Full), next)]);
}

#[test]
fn a_frame_that_is_given_up_is_followed_by_one_of_the_other_level() {
    let live = Live::new();
    let mut viewer = live.viewer();
    let first = live.picture();
    assert!(matches!(viewer.next_video(), Some(VideoStep::Rung(_))));
    assert!(matches!(viewer.next_video(), Some(VideoStep::Cell { .. })));
    assert!(viewer.left() > 0);
    assert!(!viewer.give_up(), "nothing else is wanted");
    viewer.set_step(step_of(Level::Half));
    assert!(viewer.give_up());
    assert_eq!((viewer.left(), ends(&mut viewer)), (0, vec![]));
    // As soon as there is one, even of the same picture.
    live.levels(first);
    assert_eq!(ends(&mut viewer), [(rung_of(Level::Half), first)]);
}

#[test]
fn a_viewer_who_gave_up_a_frame_and_comes_back_goes_on_with_the_next() {
    let live = Live::new();
    let mut viewer = live.viewer();
    live.picture();
    assert!(matches!(viewer.next_video(), Some(VideoStep::Rung(_))));
    viewer.set_step(step_of(Level::Half));
    assert!(viewer.give_up());
    viewer.set_step(step_of(Level::Full));
    let next = live.picture();
    assert_eq!(ends(&mut viewer), [(rung_of(Level::Full), next)]);
}
