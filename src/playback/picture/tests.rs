//! What the painter tells, and what it leaves with the screen.

use std::sync::mpsc::{Receiver, channel};

use super::*;
use crate::{
    codec::{Encoder, JpegError, Quality, join},
    media::{CellIndex, Frame, Picture, RungKind, Size},
    playback::Latency,
    present::testing::Window,
};

const SIZE: (u32, u32) = (64, 48);

fn painter() -> (Painter, Receiver<News>) {
    let (tell, news) = channel();
    let news_of = Box::new(move |news| tell.send(news).expect("the test listens"));
    let shared = Shared::new(Latency::Instant, false, now(), news_of);
    (Painter::new(Arc::new(shared), None), news)
}

fn frame(shade: u8) -> Frame {
    let size = Size::new(SIZE.0, SIZE.1).expect("in bounds");
    Encoder::new(1, size, Quality::DEFAULT)
        .and_then(|mut encoder| {
            let picture = Picture::filled(size, [shade, 128, 128]);
            encoder.encode(&picture, 1, MediaTime::ZERO)
        })
        .expect("the encoder's size")
}

fn show(painter: &mut Painter, rung: &Arc<Rung>, cells: Vec<(CellIndex, Bytes)>) {
    bring(painter, rung, cells, false);
}

fn bring(painter: &mut Painter, rung: &Arc<Rung>, cells: Vec<(CellIndex, Bytes)>, ahead: bool) {
    let update = Update {
        rung: rung.id,
        frame: 1,
        capture: MediaTime::ZERO,
        cells,
        partial: false,
        skipped: 0,
    };
    let job = Job {
        update,
        ahead,
        generation: 1,
        rung: Some(Arc::clone(rung)),
    };
    painter.paint(job, now());
    painter.settle(now());
}

fn told(news: &Receiver<News>) -> Vec<News> {
    news.try_iter().collect()
}

#[test]
fn pictures_that_are_never_decoded_are_told_once() {
    let (mut painter, news) = painter();
    let size = Size::new(SIZE.0, SIZE.1).expect("in bounds");
    let whole = Arc::new(Rung {
        id: 1,
        source: None,
        kind: RungKind::Whole { size },
    });
    let garbage = || vec![(0, Bytes::from_static(b"no JPEG"))];
    for _ in 0..3 {
        show(&mut painter, &whole, garbage());
    }
    let undecodable = News::Undecodable(CodecError::Jpeg(JpegError::NotJpeg));
    assert_eq!(told(&news), std::slice::from_ref(&undecodable));
    show(&mut painter, &whole, vec![(0, join(&frame(9)))]);
    assert!(matches!(told(&news)[..], [News::Picture { .. }]));
    for _ in 0..3 {
        show(&mut painter, &whole, garbage());
    }
    assert_eq!(told(&news), [undecodable]);
}

#[test]
fn the_first_picture_is_told_and_the_first_that_is_no_smaller_copy() {
    let (mut painter, news) = painter();
    let mut copy = frame(70);
    let large = Size::new(2 * SIZE.0, 2 * SIZE.1).expect("in bounds");
    let rung = Rung {
        id: 9,
        source: Some(large),
        ..(*copy.rung).clone()
    };
    copy.rung = Arc::new(rung);
    let itself = frame(70);
    let mut told_of = |frame: &Frame| {
        let cells = (0..).zip(frame.cells.iter().map(|cell| cell.bytes.clone()));
        show(&mut painter, &frame.rung, cells.collect());
        let copies = told(&news).into_iter().map(|news| {
            let News::Picture { copy, .. } = news else {
                panic!("{news:?}");
            };
            copy
        });
        copies.collect::<Vec<_>>()
    };
    assert_eq!(told_of(&copy), [true]);
    assert_eq!(told_of(&copy), Vec::<bool>::new());
    assert_eq!(told_of(&itself), [false]);
    assert_eq!(told_of(&copy), Vec::<bool>::new());
}

#[test]
fn a_picture_of_bad_cells_is_told_and_one_bad_cell_is_not() {
    let (mut painter, news) = painter();
    let frame = frame(70);
    let good = || (0..).zip(frame.cells.iter().map(|cell| cell.bytes.clone()));
    let bad = || good().map(|(index, _)| (index, Bytes::from_static(&[0xFF])));
    show(&mut painter, &frame.rung, bad().collect());
    show(&mut painter, &frame.rung, bad().collect());
    assert!(matches!(told(&news)[..], [News::Undecodable(_)]));
    let mixed = good().skip(1).chain(bad().take(1)).collect();
    show(&mut painter, &frame.rung, mixed);
    show(&mut painter, &frame.rung, Vec::new());
    assert!(told(&news).is_empty());
    show(&mut painter, &frame.rung, good().collect());
    assert!(matches!(told(&news)[..], [News::Picture { .. }]));
    show(&mut painter, &frame.rung, bad().collect());
    assert!(matches!(told(&news)[..], [News::Undecodable(_)]));
}

#[test]
fn parts_of_the_next_picture_are_seen_early_only_if_it_is_late_and_the_window_has_to_be_painted() {
    let (mut painter, _news) = painter();
    let size = Size::new(SIZE.0, SIZE.1).expect("in bounds");
    let (writer, window) = Window::open(size);
    painter.screen = Some(writer);
    let frames = [40, 90, 200].map(frame);
    let rung = Arc::clone(&frames[0].rung);
    let cells = |frame: &Frame| -> Vec<(CellIndex, Bytes)> {
        let bytes = frame.cells.iter().map(|cell| cell.bytes.clone());
        (0..).zip(bytes).collect()
    };
    show(&mut painter, &rung, cells(&frames[0]));
    window.lay_out();
    show(&mut painter, &rung, cells(&frames[1]));
    let shown = window.shown();
    bring(&mut painter, &rung, cells(&frames[2])[..2].to_vec(), true);
    assert_eq!(window.shown(), shown, "nobody sees it yet");
    window.lay_out();
    assert_eq!(window.shown(), shown, "the window waits for the rest");
    // The rest is late: the window can be painted again, with what there is.
    painter.keep();
    assert_eq!(window.shown(), shown, "nor then");
    let (old, new) = (shown[0], window.painted_again());
    let (parts, rest) = new.split_at(SIZE.0 as usize * 40);
    assert!(parts[0] != old && rest.iter().all(|pixel| *pixel == old));
    show(&mut painter, &rung, cells(&frames[2])[2..].to_vec());
    let next = window.shown();
    assert!(next[0] != old && next.iter().all(|pixel| *pixel == next[0]));
}
