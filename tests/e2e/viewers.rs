//! Several viewers of one stream: all are served, late ones at once, and only what each wants; the source is open
//! while somebody watches.

use std::{
    net::{Ipv6Addr, SocketAddr},
    time::{Duration, Instant},
};

use tunnelcast::{capture::AudioSpec, error::Status, media::MediaTime, session::client::Event};

use crate::support::{CARD, Raw, TestServer, TestViewer, serve, watch};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_viewers_at_once_all_see_and_hear() {
    let server = TestServer::start(serve(CARD)).await;
    let mut viewers: Vec<TestViewer> = (0..8)
        .map(|_| TestViewer::start(watch(server.link())))
        .collect();
    for viewer in &mut viewers {
        viewer.connected().await;
        viewer.frames(20).await;
    }
    for viewer in viewers {
        let summary = viewer.stop().await;
        assert!(summary.frames_shown >= 20, "{summary:?}");
        assert!(summary.audio_packets > 20, "{summary:?}");
    }
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_joiner_has_a_complete_picture_from_the_live_head_at_once() {
    let server = TestServer::start(serve(CARD)).await;
    let mut early = Raw::connect(server.link()).await;
    while early.frame().await.number < 30 {}
    let before = early.frame().await.number;

    let mut late = Raw::connect(server.link()).await;
    let mut newest = before;
    let first = loop {
        tokio::select! {
            step = late.step() => if let Some(frame) = step { break frame },
            step = early.step() => if let Some(frame) = step { newest = frame.number },
        }
    };
    assert!(first.complete, "{first:?}");
    assert!(first.number >= before, "{first:?}: older than {before}");
    assert!(
        newest - before <= 50,
        "the others had {} frames meanwhile",
        newest - before
    );
    // From there on it sees what all see, and newer each time.
    let mut last = first.number;
    for _ in 0..5 {
        let frame = late.frame().await;
        assert!(frame.complete && frame.number > last, "{frame:?}");
        last = frame.number;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_wants_no_sound_or_no_picture_is_sent_none() {
    let server = TestServer::start(serve(CARD)).await;
    let mut both = Raw::connect(server.link()).await;
    let mut seeing = Raw::wanting(server.link(), true, false).await;
    let mut hearing = Raw::wanting(server.link(), false, true).await;
    while both.frame().await.number < 25 {}
    let mut heard = 0;
    while heard < 20 {
        match hearing.event().await {
            Event::Audio(_) => heard += 1,
            Event::Subscribed { video, audio, .. } => assert!(!video && audio),
            Event::Rung(_) | Event::Cells { .. } | Event::FrameEnd { .. } => panic!("a picture"),
            Event::Closed(reason) => panic!("{reason:?}"),
            Event::Welcome(_)
            | Event::Unsubscribed
            | Event::Refused { .. }
            | Event::Source { .. }
            | Event::LateEnd { .. }
            | Event::Answer(_) => {}
        }
    }
    let mut seen = 0;
    while seen < 10 {
        match seeing.event().await {
            Event::FrameEnd { .. } => seen += 1,
            Event::Subscribed { video, audio, .. } => assert!(video && !audio),
            Event::Audio(_) => panic!("sound"),
            Event::Closed(reason) => panic!("{reason:?}"),
            Event::Welcome(_)
            | Event::Unsubscribed
            | Event::Refused { .. }
            | Event::Rung(_)
            | Event::Cells { .. }
            | Event::Source { .. }
            | Event::LateEnd { .. }
            | Event::Answer(_) => {}
        }
    }

    let mut config = watch(server.link());
    config.video = false;
    let mut viewer = TestViewer::start(config);
    let connected = viewer.connected().await;
    assert_eq!(connected.first_frame_ms, None);
    let summary = viewer.stop().await;
    assert_eq!(summary.frames_shown, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_source_is_open_from_the_first_viewer_until_the_linger_after_the_last() {
    let mut config = serve(CARD);
    config.linger = Duration::from_millis(100);
    let mut server = TestServer::start(config).await;
    for round in 1..=2 {
        let mut viewer = TestViewer::start(watch(server.link()));
        viewer.connected().await;
        let seen = server.until("source live").await;
        // A source that opens at once may be live before anybody is told that it opens.
        let watching = format!("viewer {round} watching");
        let mut others = seen.iter().filter(|line| *line != "source opening");
        assert!(others.clone().any(|line| *line == watching), "{seen:?}");
        assert!(
            others.all(|line| *line == watching || line == "source live"),
            "{seen:?}"
        );
        viewer.stop().await;
        let seen = server.until("source idle").await;
        assert_eq!(seen, [&format!("viewer {round} left: done"), "source idle"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_opens_again_shows_nothing_of_before() {
    // A large picture, so that one is being coded whenever the source closes.
    let mut config = serve("testcard:1920x1080@60");
    config.linger = Duration::ZERO;
    let mut server = TestServer::start(config).await;
    for _ in 0..4 {
        let before = Instant::now();
        let mut viewer = Raw::connect(server.link()).await;
        let first = viewer.frame().await;
        while viewer.frame().await.age.is_none() {}
        let began = viewer.server_time(before).unwrap();
        let allowed = began.since(MediaTime::ZERO).saturating_sub(CLOCKS);
        assert!(
            first.capture.since(MediaTime::ZERO) >= allowed,
            "{first:?} is older than {began:?}"
        );
        drop(viewer);
        server.until("source idle").await;
        // So that what is of before is old enough to be told apart.
        tokio::time::sleep(5 * CLOCKS).await;
    }
}

/// How far the two clocks may be off.
const CLOCKS: Duration = Duration::from_millis(50);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_back_within_the_linger_finds_the_source_still_open() {
    let mut config = serve(CARD);
    config.linger = Duration::from_secs(3600);
    let mut server = TestServer::start(config).await;
    let mut viewer = TestViewer::start(watch(server.link()));
    viewer.connected().await;
    viewer.stop().await;
    server.until("viewer 1 left: done").await;
    let mut viewer = TestViewer::start(watch(server.link()));
    viewer.connected().await;
    viewer.stop().await;
    let seen = server.until("viewer 2 left: done").await;
    assert_eq!(seen, ["viewer 2 watching", "viewer 2 left: done"]);
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_another_name_is_refused_with_the_names_that_there_are() {
    let server = TestServer::start(serve(CARD)).await;
    let mut config = watch(server.link());
    config.link.stream = "garden".to_owned();
    let error = TestViewer::start(config).end().await.unwrap_err();
    assert_eq!(error.status(), Status::Refused);
    let words = error.to_string();
    assert!(words.contains("'garden'; there are: live"), "{words}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_viewer_too_many_comes_in_when_another_has_left() {
    let mut config = serve(CARD);
    config.max_viewers = 1;
    let server = TestServer::start(config).await;
    let mut first = TestViewer::start(watch(server.link()));
    first.connected().await;
    let mut second = TestViewer::start(watch(server.link()));
    let word = second.disconnected().await;
    assert!(word.contains("no more viewers"), "{word}");
    first.frames(5).await;
    first.stop().await;
    second.connected().await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_sound_alone_is_heard() {
    let mut config = serve("none");
    config.audio = AudioSpec::Tone;
    let server = TestServer::start(config).await;
    let mut hearing = Raw::connect(server.link()).await;
    let mut viewer = TestViewer::start(watch(server.link()));
    assert_eq!(viewer.connected().await.first_frame_ms, None);
    let mut heard = 0;
    while heard < 25 {
        heard += u32::from(matches!(hearing.event().await, Event::Audio(_)));
    }
    let summary = viewer.stop().await;
    assert_eq!(summary.frames_shown, 0);
    assert!(summary.audio_packets > 0, "{summary:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ipv6_is_as_good() {
    let any: SocketAddr = (Ipv6Addr::LOCALHOST, 0).into();
    if std::net::TcpListener::bind(any).is_err() {
        println!("skipped: this machine has no IPv6");
        return;
    }
    let mut config = serve(CARD);
    config.listen = vec![any];
    let server = TestServer::start(config).await;
    let link = server.link().to_string();
    assert!(link.starts_with("https://[::1]:"), "{link}");
    let mut viewer = TestViewer::start(watch(&link.parse().unwrap()));
    viewer.connected().await;
    viewer.frames(5).await;
    viewer.stop().await;
}
