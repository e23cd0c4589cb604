//! What goes next, and what of that did not come goes again.

use bytes::Bytes;

use super::*;
use crate::media::{Cell, Frame, Grid, MediaTime, Rung, RungKind, Size};

fn frame(rung: RungId, number: u64, versions: &[u64]) -> Arc<Frame> {
    let grid = Grid::for_size(Size::new(160, 16).unwrap());
    let rung = Arc::new(Rung {
        id: rung,
        source: None,
        kind: RungKind::Cells {
            grid,
            header: Bytes::new(),
        },
    });
    let cells = versions
        .iter()
        .map(|version| Cell {
            version: *version,
            bytes: Bytes::new(),
        })
        .collect();
    Arc::new(Frame {
        number,
        capture: MediaTime::from_micros(number),
        rung,
        cells,
    })
}

fn whole(rung: RungId, number: u64, versions: &[u64]) -> Extent {
    Extent::whole(frame(rung, number, versions))
}

fn drain(cursor: &mut Cursor) -> Vec<String> {
    let mut steps = Vec::new();
    while let Some(step) = cursor.step() {
        steps.push(match step {
            VideoStep::Rung(rung) => format!("rung {}", rung.id),
            VideoStep::Cell { frame, index, .. } => format!("{index}@{frame}"),
            VideoStep::End { frame, .. } => format!("end {frame}"),
        });
    }
    steps
}

#[test]
fn a_newcomer_gets_the_rung_and_every_cell_in_raster_order() {
    let mut cursor = Cursor::new();
    cursor.aim(whole(1, 7, &[3, 7, 5]));
    assert_eq!(drain(&mut cursor), ["rung 1", "0@7", "1@7", "2@7", "end 7"]);
    assert!(cursor.is_free());
}

#[test]
fn only_cells_whose_version_changed_are_sent_again() {
    let mut cursor = Cursor::new();
    cursor.aim(whole(1, 7, &[7, 7, 7]));
    drain(&mut cursor);
    cursor.aim(whole(1, 9, &[7, 9, 7]));
    assert_eq!(drain(&mut cursor), ["1@9", "end 9"]);
    cursor.aim(whole(1, 10, &[7, 9, 7]));
    assert_eq!(drain(&mut cursor), ["end 10"]);
}

#[test]
fn the_cell_that_was_sent_longest_ago_goes_first() {
    let mut cursor = Cursor::new();
    cursor.aim(whole(1, 1, &[1, 1, 1]));
    drain(&mut cursor);
    cursor.aim(whole(1, 2, &[2, 1, 1]));
    drain(&mut cursor);
    cursor.aim(whole(1, 3, &[3, 3, 3]));
    assert_eq!(drain(&mut cursor), ["1@3", "2@3", "0@3", "end 3"]);
}

#[test]
fn another_rung_is_announced_and_lacks_every_cell() {
    let mut cursor = Cursor::new();
    cursor.aim(whole(1, 1, &[1, 1]));
    drain(&mut cursor);
    cursor.aim(whole(2, 2, &[1, 1, 1]));
    assert_eq!(drain(&mut cursor), ["rung 2", "0@2", "1@2", "2@2", "end 2"]);
}

#[test]
fn a_frame_given_up_midway_leaves_its_unsent_cells_lacking() {
    let mut cursor = Cursor::new();
    cursor.aim(whole(1, 1, &[1, 1, 1]));
    cursor.step();
    cursor.step();
    cursor.aim(whole(1, 2, &[1, 1, 1]));
    assert_eq!(drain(&mut cursor), ["1@2", "2@2", "end 2"]);
}

#[test]
fn the_first_cells_go_before_the_last_are_made_and_none_goes_twice() {
    let mut cursor = Cursor::new();
    cursor.aim(whole(1, 1, &[1, 1, 1]));
    drain(&mut cursor);
    let part = |number, versions: &[u64], cells| Extent {
        frame: frame(1, number, versions),
        cells,
    };
    cursor.aim(part(2, &[2, 1, 1], 1));
    assert_eq!(drain(&mut cursor), ["0@2"]);
    assert!(cursor.is_free() && cursor.is_unfinished());
    assert!(!cursor.goes_on_with(&part(2, &[2, 1, 1], 1)));
    let rest = whole(1, 2, &[2, 2, 1]);
    assert!(cursor.goes_on_with(&rest));
    cursor.aim(rest);
    assert_eq!(drain(&mut cursor), ["1@2", "end 2"]);
    assert!(!cursor.is_unfinished());
}

#[test]
fn a_cell_that_is_not_made_yet_is_not_sent_as_it_was_before() {
    let mut cursor = Cursor::new();
    cursor.aim(Extent {
        frame: frame(1, 5, &[5, 4]),
        cells: 1,
    });
    assert_eq!(drain(&mut cursor), ["rung 1", "0@5"]);
    let next = whole(1, 6, &[6, 6]);
    assert!(cursor.goes_on_with(&next));
    cursor.aim(next);
    assert_eq!(drain(&mut cursor), ["1@6", "0@6", "end 6"]);
}

#[test]
fn what_did_not_come_of_the_frame_under_way_goes_once_more_with_it() {
    let mut cursor = Cursor::new();
    cursor.aim(whole(1, 1, &[1, 1, 1]));
    cursor.step();
    cursor.step();
    cursor.lost(1, 1, 0);
    assert_eq!(drain(&mut cursor), ["0@1", "1@1", "2@1", "end 1"]);
}

#[test]
fn what_did_not_come_of_a_frame_that_ended_completes_it_though_the_next_is_under_way() {
    let mut cursor = Cursor::new();
    cursor.aim(whole(1, 1, &[1, 1, 1]));
    drain(&mut cursor);
    cursor.aim(whole(1, 2, &[2, 1, 2]));
    cursor.step();
    cursor.lost(1, 1, 1);
    cursor.lost(1, 1, 2);
    cursor.lost(2, 1, 0);
    cursor.lost(1, 1, 9);
    assert_eq!(drain(&mut cursor), ["2@1", "1@1", "end 1", "2@2", "end 2"]);
    assert!(!cursor.is_lacking());
}

#[test]
fn what_did_not_come_goes_once_more_while_nothing_is_new() {
    let mut cursor = Cursor::new();
    cursor.aim(whole(1, 1, &[1, 1]));
    drain(&mut cursor);
    cursor.lost(1, 1, 1);
    cursor.lost(1, 1, 1);
    assert!(cursor.is_free() && cursor.is_lacking());
    assert_eq!(drain(&mut cursor), ["1@1", "end 1"]);
    assert_eq!(drain(&mut cursor), Vec::<String>::new());
}

#[test]
fn what_did_not_come_of_an_unfinished_frame_comes_with_its_rest() {
    let mut cursor = Cursor::new();
    cursor.aim(Extent {
        frame: frame(1, 5, &[5, 5, 5]),
        cells: 2,
    });
    drain(&mut cursor);
    cursor.lost(1, 5, 0);
    assert!(!cursor.is_lacking());
    cursor.aim(whole(1, 5, &[5, 5, 5]));
    assert_eq!(drain(&mut cursor), ["2@5", "0@5", "end 5"]);
}

#[test]
fn a_frame_is_given_up_for_one_of_another_rung_and_nothing_stays_unannounced() {
    let mut cursor = Cursor::new();
    cursor.aim(whole(1, 1, &[1, 1, 1]));
    assert_eq!(cursor.left(), 0);
    cursor.give_up();
    cursor.aim(whole(1, 1, &[1, 1, 1]));
    assert!(matches!(cursor.step(), Some(VideoStep::Rung(_))));
    assert!(matches!(cursor.step(), Some(VideoStep::Cell { .. })));
    cursor.give_up();
    assert!(cursor.is_free());
    cursor.aim(whole(2, 1, &[1]));
    assert_eq!(drain(&mut cursor), ["rung 2", "0@1", "end 1"]);
}

/// Frames of which all cells are new, sent to their ends.
fn ended(frames: std::ops::RangeInclusive<u64>) -> Cursor {
    let mut cursor = Cursor::new();
    for number in frames {
        cursor.aim(whole(1, number, &[number, number, number]));
        drain(&mut cursor);
    }
    cursor
}

#[test]
fn what_did_not_come_of_frames_before_the_last_goes_once_more_as_it_was_the_newest_first() {
    let mut cursor = ended(1..=3);
    cursor.lost(1, 1, 2);
    cursor.lost(1, 2, 0);
    cursor.lost(1, 1, 1);
    assert!(!cursor.is_lacking());
    assert_eq!(drain(&mut cursor), ["0@2", "end 2", "1@1", "2@1", "end 1"]);
    cursor.aim(whole(1, 4, &[4, 3, 3]));
    assert_eq!(drain(&mut cursor), ["0@4", "end 4"]);
}

#[test]
fn a_frame_under_way_waits_for_the_one_before_alone() {
    let mut cursor = ended(1..=2);
    cursor.aim(whole(1, 3, &[3, 3, 3]));
    cursor.step();
    cursor.lost(1, 1, 0);
    cursor.lost(1, 2, 1);
    assert_eq!(
        drain(&mut cursor),
        ["1@2", "end 2", "1@3", "2@3", "end 3", "0@1", "end 1"]
    );
}

#[test]
fn what_several_frames_show_goes_once_for_all_of_them() {
    let mut cursor = Cursor::new();
    for (number, versions) in [(1, [1, 1]), (2, [2, 1]), (3, [3, 1])] {
        cursor.aim(whole(1, number, &versions));
        drain(&mut cursor);
    }
    cursor.lost(1, 1, 0);
    cursor.lost(1, 1, 1);
    assert!(cursor.is_lacking());
    assert_eq!(
        drain(&mut cursor),
        ["1@1", "end 3", "end 2", "0@1", "end 1"]
    );
    // It was sent with the first of them, and is lost with it.
    cursor.lost(1, 1, 1);
    assert_eq!(drain(&mut cursor), ["1@1", "end 3", "end 2", "end 1"]);
}

#[test]
fn of_frames_that_are_not_shown_any_more_nothing_goes_again() {
    let mut cursor = ended(1..=3);
    cursor.lost(1, 1, 0);
    cursor.lost(1, 2, 0);
    cursor.forget(MediaTime::from_micros(3));
    assert_eq!(drain(&mut cursor), ["0@2", "end 2"]);
    cursor.lost(1, 3, 0);
    cursor.forget(MediaTime::from_micros(100));
    assert_eq!(drain(&mut cursor), ["0@3", "end 3"]);
    cursor.lost(1, 2, 1);
    assert_eq!(drain(&mut cursor), Vec::<String>::new());
}

#[test]
fn two_frames_are_remembered_beside_the_one_under_way() {
    let mut cursor = ended(1..=3);
    cursor.aim(whole(1, 4, &[4, 4, 4]));
    drain(&mut cursor);
    cursor.lost(1, 1, 0);
    assert_eq!(drain(&mut cursor), Vec::<String>::new());
    cursor.lost(1, 2, 0);
    assert_eq!(drain(&mut cursor), ["0@2", "end 2"]);
}
