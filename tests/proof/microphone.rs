//! Speech into a microphone at one end is heard from the speaker at the other.

use std::fs;
use std::ops::Range;
use std::process::Command;
use std::time::Duration;

use crate::rig::{HEARING, Program, Pulse, RATE, Recorder, Serving, at_last, turn};

const WORDS: &str = "The quick brown fox jumps over the lazy dog, and then goes home.";

#[test]
fn speech_into_the_microphone_is_heard_from_the_speaker() {
    let needs = [&HEARING[..], &["paplay", "espeak-ng", "ffmpeg"]].concat();
    let Some(_turn) = turn("speech", &needs) else {
        return;
    };
    let pulse = Pulse::start();
    let speech = speak(&pulse);
    let serving = Serving::start(Some(&pulse), &["--video", "none", "--audio", "mic"]);
    let mut watch = Program::watch(None, Some(&pulse), &serving.link, &["--no-video"]);
    watch.named("connected");
    std::thread::sleep(Duration::from_secs(3));
    at_last(|| {
        let recorder = Recorder::start(&pulse);
        std::thread::sleep(Duration::from_millis(500));
        let mut player = pulse.command("paplay");
        player
            .arg("--device=vmicsink")
            .arg(pulse.path("speech.wav"));
        run(&mut player);
        std::thread::sleep(Duration::from_secs(1));
        let tape = recorder.stop();
        if tape.samples.len() < speech.len() {
            return Err(format!("only {} s were recorded", tape.seconds()));
        }
        judge(&tape.samples, &speech)
    });
}

/// Whether the speech is in there. The viewer may play a little faster or slower to keep its buffer as it should be, by
/// which a whole sentence is soon out of step with the original; pieces of it are not.
fn judge(heard: &[f32], speech: &[f32]) -> Result<(), String> {
    const PIECE: usize = RATE / 4;
    const REACH: usize = RATE / 20;
    let (start, _) = locate(heard, speech);
    let loudest = speech.chunks_exact(PIECE).map(energy).fold(0.0, f64::max);
    let mut alike = Vec::new();
    let mut lags = Vec::new();
    for (number, piece) in speech.chunks_exact(PIECE).enumerate() {
        let at = start + number * PIECE;
        let first = at.saturating_sub(REACH);
        let last = (at + PIECE + REACH).min(heard.len());
        if energy(piece) > loudest / 20.0 && last > first + PIECE {
            let (lag, best) = locate(&heard[first..last], piece);
            alike.push(best);
            lags.push((first + lag) as f64 / RATE as f64 - number as f64 / 4.0);
        }
    }
    println!("pieces are heard {lags:.4?} s into the recording, correlation {alike:.3?}");
    alike.sort_by(f64::total_cmp);
    // A piece in which the device of a busy machine skipped is allowed for, if it is still the same piece.
    let is_whole = alike.len() >= 8 && alike[0] > 0.4;
    if !is_whole || alike[alike.len() / 2] < 0.9 {
        return Err(format!("correlation {alike:.3?}"));
    }
    Ok(())
}

fn energy(samples: &[f32]) -> f64 {
    samples
        .iter()
        .map(|sample| f64::from(*sample).powi(2))
        .sum()
}

/// Speech as `speech.wav`, 48 kHz mono; and its samples.
fn speak(pulse: &Pulse) -> Vec<f32> {
    let (spoken, wave, raw) = ("spoken.wav", "speech.wav", "speech.f32");
    let path = |name: &str| pulse.path(name);
    run(pulse
        .command("espeak-ng")
        .arg("-w")
        .arg(path(spoken))
        .arg(WORDS));
    let mut convert = pulse.command("ffmpeg");
    convert.args(["-loglevel", "error", "-i"]).arg(path(spoken));
    for (form, name) in [(["-c:a", "pcm_s16le"], wave), (["-f", "f32le"], raw)] {
        convert
            .args(["-ar", "48000", "-ac", "1"])
            .args(form)
            .arg(path(name));
    }
    run(&mut convert);
    let sample = |bytes: &[u8]| f32::from_le_bytes(bytes.try_into().unwrap());
    fs::read(path(raw))
        .unwrap()
        .chunks_exact(4)
        .map(sample)
        .collect()
}

fn run(command: &mut Command) {
    assert!(command.status().unwrap().success(), "{command:?}");
}

/// Where in `heard` the `speech` is, and their normalised correlation there.
fn locate(heard: &[f32], speech: &[f32]) -> (usize, f64) {
    const THIN: usize = 16;
    let thin = |samples: &[f32]| -> Vec<f32> {
        samples.chunks(THIN).map(|part| part.iter().sum()).collect()
    };
    let best = |heard: &[f32], speech: &[f32], lags: Range<usize>| {
        lags.map(|lag| (lag, likeness(&heard[lag..], speech)))
            .max_by(|a, b| a.1.total_cmp(&b.1))
            .unwrap()
    };
    let (thin_heard, thin_speech) = (thin(heard), thin(speech));
    let last = thin_heard.len() - thin_speech.len();
    let (rough, _) = best(&thin_heard, &thin_speech, 0..last + 1);
    let around = (rough * THIN).saturating_sub(2 * THIN)..rough * THIN + 2 * THIN;
    let last = heard.len() - speech.len();
    best(
        heard,
        speech,
        around.start.min(last)..around.end.min(last + 1),
    )
}

fn likeness(a: &[f32], b: &[f32]) -> f64 {
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (a, b) in a.iter().zip(b) {
        let (a, b) = (f64::from(*a), f64::from(*b));
        ab += a * b;
        aa += a * a;
        bb += b * b;
    }
    ab / (aa * bb).sqrt().max(f64::MIN_POSITIVE)
}
