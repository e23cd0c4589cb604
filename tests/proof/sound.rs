//! The tone through the program, TLS and a sound server: its pitch, its beeps, and no gap.

use std::time::Duration;

use crate::rig::{
    Display, HEARING, Program, Pulse, Recorder, SEEING, Serving, Tape, at_last, turn,
};

#[test]
fn the_tone_is_heard_with_its_pitch_its_beeps_and_no_gap() {
    let needs = [&SEEING[..], &HEARING].concat();
    let Some(_turn) = turn("the tone is heard", &needs) else {
        return;
    };
    let (display, pulse) = (Display::start(), Pulse::start());
    let serving = Serving::start(None, &["--video", "testcard:640x360@25", "--audio", "tone"]);
    let mut watch = Program::watch(Some(&display), Some(&pulse), &serving.link, &[]);
    watch.named("connected");
    // The buffer finds its depth.
    std::thread::sleep(Duration::from_secs(3));
    at_last(|| {
        let recorder = Recorder::start(&pulse);
        std::thread::sleep(Duration::from_secs(8));
        judge(&recorder.stop())
    });
    for stats in watch
        .news()
        .iter()
        .filter(|event| event["event"] == "stats")
    {
        println!(
            "sound: {} packets, {} lost, gap {} ms, off the picture by {} ms",
            stats["audio_packets"],
            stats["audio_lost"],
            stats["audio_gap_max_ms"],
            stats["av_skew_ms"]
        );
    }
}

fn judge(tape: &Tape) -> Result<(), String> {
    if tape.seconds() < 7.0 {
        return Err(format!("only {} s were recorded", tape.seconds()));
    }
    // The steady tone's peaks are at 0.032.
    if let Some(at) = tape.gap(0.015) {
        return Err(format!("a gap at {at} s of {}", tape.seconds()));
    }
    let peak = tape.peak();
    let beeps = tape.beeps();
    let spaces: Vec<f64> = beeps.windows(2).map(|pair| pair[1] - pair[0]).collect();
    println!(
        "{} s, the peak is at {peak} Hz, beeps are {spaces:.3?} s apart",
        tape.seconds()
    );
    if (peak - 440.0).abs() > 2.0 {
        return Err(format!("the peak is at {peak} Hz"));
    }
    if spaces.len() < 6 || spaces.iter().any(|space| (space - 1.0).abs() > 0.03) {
        return Err(format!("beeps are {spaces:?} s apart"));
    }
    Ok(())
}
