//! A coarse picture ahead of the first.

use super::*;

#[test]
fn far_away_the_coarsest_picture_goes_first_and_the_best_at_once_behind_it() {
    let live = Live::new();
    let mut viewer = far(&live, BYTES - 1);
    assert_eq!(viewer.steps(), ladder().steps());
    let (coarse, best) = (rung_of(Level::Quarter), rung_of(Level::Full));
    let first = live.picture();
    assert_eq!(ends(&mut viewer), [(coarse, first), (best, first)]);
    assert!(!live.filler.is_wanted(Level::Quarter));
    let next = live.picture();
    assert_eq!(ends(&mut viewer), [(best, next)]);
    viewer.set_step(step_of(Level::Half));
    let last = live.picture();
    let half = rung_of(Level::Half);
    assert_eq!(ends(&mut viewer), [(half, last)], "as at any other time");
}

#[test]
fn the_coarse_picture_is_waited_for_while_it_is_being_made() {
    let live = Live::new();
    let number = live.filler.next_frame();
    let best = || frame(Level::Full, number);
    live.filler.push_frame(Level::Full, best());
    let mut viewer = far(&live, BYTES - 1);
    assert_eq!(ends(&mut viewer), []);
    live.filler
        .push_frame(Level::Quarter, frame(Level::Quarter, number));
    let both = [rung_of(Level::Quarter), rung_of(Level::Full)];
    assert_eq!(ends(&mut viewer), both.map(|rung| (rung, number)));
}

#[test]
fn a_best_picture_that_the_line_takes_at_once_is_the_first() {
    let live = Live::new();
    let mut viewer = far(&live, BYTES);
    let number = live.picture();
    assert_eq!(ends(&mut viewer), [(rung_of(Level::Full), number)]);
    assert!(!live.filler.is_wanted(Level::Quarter));
}

#[test]
fn a_coarse_picture_that_nobody_makes_is_not_waited_for() {
    for failing in [true, false] {
        let live = Live::new();
        let mut viewer = far(&live, BYTES - 1);
        let number = live.filler.next_frame();
        live.filler
            .push_frame(Level::Full, frame(Level::Full, number));
        assert_eq!(ends(&mut viewer), []);
        if failing {
            live.filler.miss(number);
        } else {
            live.filler.off_demand();
        }
        assert_eq!(ends(&mut viewer), [(rung_of(Level::Full), number)]);
    }
}

#[test]
fn what_is_coarse_is_known_with_the_sources_first_picture() {
    let stream = Stream::new("live", VIDEO, Limits::default());
    let filler = stream.open();
    let live = Live { stream, filler };
    let mut viewer = far(&live, BYTES - 1);
    live.filler.set_ladder(ladder());
    assert_eq!(ends(&mut viewer), []);
    let number = live.picture();
    let both = [rung_of(Level::Quarter), rung_of(Level::Full)];
    assert_eq!(ends(&mut viewer), both.map(|rung| (rung, number)));
}
