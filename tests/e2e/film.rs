//! A film over TLS, from the file to the viewer's figures, by the real program on both sides.

use std::{path::PathBuf, time::Instant};

use serde_json::Value;
use tunnelcast::session::client::Event;

use crate::support::{
    FILM, Program, Raw, SOON, TestServer, TestViewer, children, have, serve, signal, watch,
};

/// What `summary` and, over its second, `stats` must hold, with whether it is known after a film with sound.
const FIELDS: &[&str] = &[
    "duration_ms",
    "transport",
    "first_frame_ms",
    "frames_shown",
    "frames_partial",
    "frames_repeated",
    "video_gap_max_ms",
    "latency_ms",
    "audio_packets",
    "audio_lost",
    "audio_gap_max_ms",
    "av_skew_ms",
    "bytes_received",
    "bitrate_bps",
    "rtt_ms",
    "held_ms",
    "switches",
];

fn has_all_fields(figures: &Value) {
    for field in FIELDS {
        assert!(figures.get(field).is_some(), "no {field}: {figures}");
    }
    for percentile in ["p50", "p95", "p99", "max"] {
        assert!(figures["latency_ms"].get(percentile).is_some(), "{figures}");
    }
    for percentile in ["p50", "p95"] {
        assert!(figures["av_skew_ms"].get(percentile).is_some(), "{figures}");
    }
}

#[test]
fn a_film_over_tls_is_seen_and_heard_to_its_figures() {
    if !have("ffmpeg") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (mut server, link) = Program::serve(dir.path(), &format!("--video file:{FILM}"));
    let viewer = Program::watch(&link, "--duration 6s --transport tls").end();
    assert_eq!(viewer.status, Some(0), "{viewer:?}");

    let summary = viewer.summary();
    has_all_fields(summary);
    let second = viewer.events.iter().find(|event| event["event"] == "stats");
    has_all_fields(second.unwrap());
    let connected = viewer
        .events
        .iter()
        .find(|event| event["event"] == "connected");
    let connected = connected.unwrap();
    assert_eq!(connected["transport"], "tls");
    assert_eq!(connected["server_key"], link.pin.unwrap().to_string());
    let closed = &viewer.events[viewer.events.len() - 2];
    assert_eq!(
        (&closed["event"], &closed["reason"]),
        (&"closed".into(), &"done".into())
    );

    // From the first picture on 25 a second; a machine with other work to do codes fewer, but never more.
    let seconds = (summary["duration_ms"].as_f64().unwrap()
        - summary["first_frame_ms"].as_f64().unwrap())
        / 1000.0;
    let shown = summary["frames_shown"].as_f64().unwrap();
    assert!(
        shown <= seconds * 25.0 + 5.0 && shown >= seconds * 25.0 / 4.0,
        "{shown} in {seconds} s: {summary}"
    );
    // A packet is 20 ms; none that was sent is missing, since TCP loses none.
    let packets = summary["audio_packets"].as_f64().unwrap();
    assert!(
        packets <= seconds * 50.0 + 50.0 && packets >= seconds * 50.0 / 4.0,
        "{packets} in {seconds} s: {summary}"
    );
    // Late is as good as lost to a player; a busy machine is late now and then.
    let lost = summary["audio_lost"].as_f64().unwrap();
    assert!(lost <= packets / 5.0, "{lost} lost: {summary}");
    assert!(summary["bytes_received"].as_u64().unwrap() > 50_000);
    assert!(summary["latency_ms"]["p50"].as_f64().unwrap() > 0.0);
    // In tenths of a millisecond, of which loopback may take none.
    assert!(summary["rtt_ms"].as_f64().unwrap() >= 0.0);

    // What the server told of it.
    for state in ["watching", "left"] {
        let told = server
            .event_where(|event| event["event"] == "viewer" && event["state"] == state)
            .unwrap();
        assert_eq!(
            (&told["id"], &told["transport"]),
            (&1.into(), &"tls".into())
        );
        assert!(told["addr"].as_str().unwrap().starts_with("127.0.0.1:"));
    }
    server.interrupt();
    let server = server.end();
    assert_eq!(server.status, Some(0), "{server:?}");
    assert!(
        server
            .events
            .iter()
            .any(|event| event["event"] == "source" && event["state"] == "live"),
        "{server:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_film_whose_ffmpeg_dies_begins_again_and_none_is_left_behind() {
    if !have("ffmpeg") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (server, link) = Program::serve(dir.path(), &format!("--video file:{FILM}"));
    let mut viewer = TestViewer::start(watch(&link));
    viewer.connected().await;
    let first = children(server.id());
    for ffmpeg in &first {
        signal(*ffmpeg, "KILL");
    }
    viewer.frames(30).await;
    let second = children(server.id());
    if cfg!(target_os = "linux") {
        assert!(
            first.len() == 1 && second.len() == 1 && first != second,
            "{first:?}, {second:?}"
        );
    }
    viewer.stop().await;
    server.interrupt();
    assert_eq!(server.end().status, Some(0));
    for ffmpeg in second {
        let left = PathBuf::from(format!("/proc/{ffmpeg}"));
        let give_up = Instant::now() + SOON;
        while left.exists() && Instant::now() < give_up {
            std::thread::yield_now();
        }
        assert!(!left.exists(), "ffmpeg is left behind");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_packet_of_a_films_sound_is_missing_on_the_way() {
    if !have("ffmpeg") {
        return;
    }
    let server = TestServer::start(serve(&format!("file:{FILM}"))).await;
    let mut hearing = Raw::wanting(server.link(), false, true).await;
    let mut last = None;
    let mut heard = 0;
    while heard < 150 {
        if let Event::Audio(packet) = hearing.event().await {
            assert!(last.is_none_or(|last| packet.seq == last + 1), "{last:?}");
            last = Some(packet.seq);
            heard += 1;
        }
    }
}
