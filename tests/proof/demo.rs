//! `demo` where there is no display.

use crate::rig::{Program, turn};

#[test]
fn without_a_display_the_demonstration_runs_headless_and_sums_up() {
    let Some(_turn) = turn("the demonstration", &[]) else {
        return;
    };
    let mut demo = Program::start(None, None, &["demo", "--duration", "2s"]);
    let connected = demo.named("connected");
    let summary = demo.named("summary");
    assert_eq!(demo.end().code(), Some(0));
    println!("{summary}");
    assert_eq!(connected["transport"], "quic");
    assert!(summary["frames_shown"].as_u64().unwrap() > 0);
    assert!(summary["audio_packets"].as_u64().unwrap() > 0);
    let duration = summary["duration_ms"].as_u64().unwrap();
    assert!((1900..10_000).contains(&duration), "{duration} ms");
}
