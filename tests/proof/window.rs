//! The window shows the test card, fresh, obeys its keys, and outlives the server.

use tunnelcast::capture::testcard;

use crate::rig::{Display, Program, SEEING, Serving, Shot, clock_micros, turn};

const CARD: [&str; 4] = ["--video", "testcard", "--audio", "none"];

/// JPEG may shift a colour by so much.
const TOLERANCE: u8 = 12;

/// A picture older than this is not fresh, however busy the machine is.
const FRESH_MICROS: u64 = 1_000_000;

#[test]
fn the_window_shows_the_cards_colours_and_a_fresh_code_and_obeys_its_keys() {
    let Some(_turn) = turn("the window shows the card", &SEEING) else {
        return;
    };
    let display = Display::start();
    let mut serving = Serving::start(None, &CARD);
    let mut watch = Program::watch(Some(&display), None, &serving.link, &[]);
    let shot = display.wait_for("the test card", has_colours);
    for (centre, wanted) in testcard::bar_centres(shot.size)
        .into_iter()
        .zip(testcard::BARS)
    {
        println!("the bar {wanted:?} is {:?}", shot.colour(centre));
    }

    let mut last = 0;
    let mut ages = Vec::new();
    for _ in 0..5 {
        display.wait_for("a newer picture that is fresh", |shot| {
            shot.stamp()
                .is_some_and(|stamp| stamp > last && clock_micros() - stamp < FRESH_MICROS)
        });
        // Once more, so that what is compared with the clock is no older than a screenshot.
        let shot = display.shot();
        if let Some(stamp) = shot.stamp() {
            assert!(stamp > last, "time goes on");
            ages.push((clock_micros() - stamp) / 1000);
            last = stamp;
        }
    }
    println!("pictures were {ages:?} ms old when the screenshot of them was read");

    display.focus();
    display.key("i");
    let shot = display.wait_for("statistics", |shot| shot.says("round trip"));
    let (left, top) = shot.find("round trip").unwrap();
    assert!(left > 640 && top < 240, "at the top right: {left}, {top}");
    assert!(shot.says("1280x720") && shot.says("TLS") && shot.says("delay "));
    display.key("i");
    display.wait_for("no statistics", |shot| !shot.says("round trip"));
    for (key, words) in [("m", "sound off"), ("m", "sound on"), ("9", "volume 95 %")] {
        display.key(key);
        let shot = display.wait_for(words, |shot| shot.says(words));
        let (left, top) = shot.find(words).unwrap();
        assert!((400..880).contains(&left) && top > 540, "{left}, {top}");
    }
    assert!(has_colours(&display.shot()), "the picture is still there");

    display.key("q");
    let summary = watch.named("summary");
    assert_eq!(watch.end().code(), Some(0));
    println!("{summary}");
    assert!(summary["frames_shown"].as_u64().unwrap() > 10);
    serving.program.event("viewer that left", |event| {
        event["event"] == "viewer" && event["state"] == "left"
    });
}

#[test]
fn a_killed_server_leaves_the_picture_with_words_until_it_is_back() {
    let Some(_turn) = turn("the window outlives the server", &SEEING) else {
        return;
    };
    let display = Display::start();
    let mut serving = Serving::start(None, &CARD);
    let _watch = Program::watch(Some(&display), None, &serving.link, &[]);
    let before = display.wait_for("the test card", |shot| {
        has_colours(shot) && shot.stamp().is_some()
    });
    assert!(!before.says("disconnected: "));

    serving.program.kill();
    let alone = display.wait_for("words", |shot| shot.says("disconnected: "));
    assert!(has_colours(&alone), "the picture remains");
    let last = alone.stamp().expect("and its code can be read");
    let (_, top) = alone.find("disconnected: ").unwrap();
    assert!(top > 540, "the words stand at the bottom, not at {top}");

    serving.again();
    display.wait_for("a fresh picture without words", |shot| {
        let fresh = |stamp| stamp > last && clock_micros() - stamp < FRESH_MICROS;
        has_colours(shot) && shot.stamp().is_some_and(fresh) && !shot.says("disconnected: ")
    });
}

fn has_colours(shot: &Shot) -> bool {
    let centres = testcard::bar_centres(shot.size);
    centres
        .into_iter()
        .zip(testcard::BARS)
        .all(|(centre, wanted)| {
            let seen = shot.colour(centre);
            seen.iter()
                .zip(wanted)
                .all(|(seen, wanted)| seen.abs_diff(wanted) <= TOLERANCE)
        })
}
