//! Every box in turn.

use crate::boxes::ALL;

/// Each is built, and lets `curl` through as it should.
#[test]
fn every_box_is_what_it_says() {
    for kind in ALL {
        // Those that are not installed say so.
        drop(kind.stand());
    }
}

/// A row for each box: what got through, how long until the first picture, and what came in `FIREWALL_SECONDS` (60). Only
/// those whose names hold what `FIREWALL_BOX` says, if it says anything.
#[test]
#[ignore = "takes a minute a box: sh tests/bench/boxes.sh"]
fn table() {
    let seconds = std::env::var("FIREWALL_SECONDS").ok();
    let seconds = seconds.and_then(|text| text.parse().ok()).unwrap_or(60);
    println!(
        "| between | way | first picture, ms | frames | longest gap, ms | sound lost | delay p50 / p99, ms |"
    );
    println!("|---|---|---|---|---|---|---|");
    let mut wrong = Vec::new();
    let only = std::env::var("FIREWALL_BOX").unwrap_or_default();
    for kind in ALL.iter().filter(|kind| kind.name.contains(&only)) {
        let Some((net, standing)) = kind.stand() else {
            continue;
        };
        let ended = standing.play(&net).seconds(seconds);
        if ended.status != Some(0) {
            let last = ended.words.lines().last().unwrap_or_default();
            println!("| {} | - | {last} |", kind.name);
            wrong.push(kind.name);
            continue;
        }
        let summary = ended.summary();
        println!(
            "| {} | {} | {:.0} | {} | {:.0} | {} of {} | {:.0} / {:.0} |",
            kind.name,
            summary["transport"].as_str().unwrap_or("-"),
            summary["first_frame_ms"].as_f64().unwrap_or(f64::NAN),
            summary["frames_shown"],
            summary["video_gap_max_ms"].as_f64().unwrap_or(f64::NAN),
            summary["audio_lost"],
            summary["audio_packets"],
            summary["latency_ms"]["p50"].as_f64().unwrap_or(f64::NAN),
            summary["latency_ms"]["p99"].as_f64().unwrap_or(f64::NAN),
        );
        if summary["transport"] != kind.way {
            wrong.push(kind.name);
        }
    }
    assert!(wrong.is_empty(), "not as it should be: {wrong:?}");
}
