//! A microphone in a sound server of our own: speech played into it arrives whole.

#![cfg(all(target_os = "linux", feature = "audio"))]
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test's helpers are tests too"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tunnelcast::capture::{
    self, AudioSpec, CaptureError, Keeper, MicrophoneError, SourceState, Track, VideoSpec,
};

/// How long the microphone is heard.
const HEARD: Duration = Duration::from_secs(8);

#[test]
fn speech_played_into_a_microphone_arrives_whole() {
    let Some(rig) = Rig::start("sound_devices") else {
        return;
    };
    let speech = rig.speech("The quick brown fox jumps over the lazy dog, and then goes home.");
    let heard = rig.path("heard.f32");
    let mut probe = rig
        .inside("inside_listen")
        .env("HEARD", &heard)
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_secs(1));
    let mut player = rig
        .command("paplay")
        .arg("--device=vmicsink")
        .arg(rig.path("speech.wav"))
        .spawn()
        .unwrap();
    assert!(player.wait().unwrap().success());
    assert!(probe.wait().unwrap().success());

    let heard = floats(&fs::read(&heard).unwrap());
    let (left, right): (Vec<f32>, Vec<f32>) = heard.chunks_exact(2).map(|s| (s[0], s[1])).unzip();
    assert_eq!(left, right, "a mono microphone is the same on both sides");
    let seconds = left.len() as f64 / 48_000.0;
    assert!((seconds - HEARD.as_secs_f64()).abs() < 0.5, "{seconds} s");
    let (at, likeness) = locate(&left, &speech);
    println!(
        "found at {:.3} s, correlation {likeness:.6}",
        at as f64 / 48_000.0
    );
    assert!(likeness > 0.95, "correlation {likeness}");
}

#[test]
fn a_microphone_that_is_not_there_is_an_error_that_lists_the_others() {
    let Some(rig) = Rig::start("sound_devices") else {
        return;
    };
    assert!(rig.inside("inside_names").status().unwrap().success());
}

#[test]
fn a_sound_server_that_ends_is_lost_and_comes_back() {
    let Some(rig) = Rig::start("sound_devices") else {
        return;
    };
    assert!(rig.inside("inside_server_ends").status().unwrap().success());
}

#[test]
#[ignore = "runs inside the rig"]
fn inside_listen() {
    let path = PathBuf::from(std::env::var_os("HEARD").unwrap());
    let (outlet, inlet) = capture::channel();
    let spec = AudioSpec::Microphone(Some("VMIC".to_owned()));
    let running = capture::open(&VideoSpec::None, &spec, outlet, &Keeper::default()).unwrap();
    let mut heard: Vec<u8> = Vec::new();
    let mut first = None;
    let mut worst = Duration::ZERO;
    let end = now() + HEARD;
    let mut frames = 0u32;
    while now() < end {
        let block = inlet.sound.recv(Duration::from_secs(5)).unwrap();
        let start = *first.get_or_insert(block.captured);
        let expected = start + Duration::from_secs(1) * frames / 48_000;
        if frames > 48_000 {
            worst = worst.max(block.captured.max(expected) - block.captured.min(expected));
        }
        let behind = now() - block.captured;
        assert!(
            behind < Duration::from_millis(500),
            "stamped {behind:?} ago"
        );
        frames += u32::try_from(block.samples.len() / 2).unwrap();
        heard.extend(block.samples.iter().flat_map(|s| s.to_le_bytes()));
    }
    println!("{frames} frames, stamps off by at most {worst:?}");
    assert!(
        worst < Duration::from_millis(30),
        "stamps are off by {worst:?}"
    );
    assert_eq!(inlet.sound.dropped(), 0);
    assert_eq!(inlet.state.latest(Track::Sound), SourceState::Live);
    drop(running);
    fs::write(path, heard).unwrap();
}

#[test]
#[ignore = "runs inside the rig"]
fn inside_names() {
    let check = |name: Option<&str>| {
        let spec = AudioSpec::Microphone(name.map(ToOwned::to_owned));
        capture::check(&VideoSpec::None, &spec)
    };
    assert!(check(None).is_ok());
    assert!(check(Some("vmic")).is_ok());
    let err = check(Some("no such thing")).unwrap_err();
    println!("{err}");
    assert!(matches!(
        &err,
        CaptureError::Microphone(MicrophoneError::NoSuch { .. })
    ));
    assert!(err.to_string().contains("'vmic'"));
    let devices = capture::devices();
    println!("{}", serde_json::to_string(&devices).unwrap());
    assert_eq!(
        devices.microphones[0].name, "vmic",
        "the default comes first"
    );
    assert_eq!(devices.speakers[0].name, "vspk");
    assert!(
        devices
            .microphones
            .iter()
            .all(|microphone| microphone.id != "null")
    );
}

#[test]
#[ignore = "runs inside the rig"]
fn inside_server_ends() {
    let (outlet, inlet) = capture::channel();
    let spec = AudioSpec::Microphone(Some("vmic".to_owned()));
    let running = capture::open(&VideoSpec::None, &spec, outlet, &Keeper::default()).unwrap();
    let next = || inlet.state.recv(Duration::from_secs(30)).unwrap().1;
    assert_eq!(next(), SourceState::Live);
    let status = Command::new("pactl").arg("exit").status().unwrap();
    assert!(status.success());
    let SourceState::Lost { why } = next() else {
        panic!("lost");
    };
    println!("{why}");
    let status = Command::new("sh")
        .arg(script())
        .stdout(Stdio::null())
        .status();
    assert!(status.unwrap().success());
    while next() != SourceState::Live {}
    drop(running);
}

/// A sound server of our own and a directory; both go when this goes.
struct Rig {
    dir: tempfile::TempDir,
}

impl Rig {
    /// `None`, and a word about it, where the tools are missing.
    fn start(test: &str) -> Option<Self> {
        const TOOLS: [&str; 5] = ["pulseaudio", "pactl", "paplay", "espeak-ng", "ffmpeg"];
        let missing: Vec<_> = TOOLS.into_iter().filter(|tool| !is_there(tool)).collect();
        if !missing.is_empty() {
            println!("SKIPPED: {test}: needs {}", missing.join(", "));
            return None;
        }
        let rig = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        let up = rig
            .command("sh")
            .arg(script())
            .stdout(Stdio::null())
            .status();
        assert!(up.unwrap().success(), "the sound server does not start");
        Some(rig)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        let socket = self.path("pulse/native");
        command
            .env("XDG_RUNTIME_DIR", self.dir.path())
            .env("HOME", self.dir.path())
            .env("PULSE_SERVER", format!("unix:{}", socket.display()));
        command
    }

    /// One of the tests above, with the rig's environment; a process cannot change its own.
    fn inside(&self, test: &str) -> Command {
        let mut command = self.command(std::env::current_exe().unwrap());
        command.args(["--exact", test, "--ignored", "--nocapture"]);
        command
    }

    /// Speech as `speech.wav`, 48 kHz mono, and its samples.
    fn speech(&self, words: &str) -> Vec<f32> {
        let (spoken, wav) = (self.path("spoken.wav"), self.path("speech.wav"));
        let run = |command: &mut Command| assert!(command.status().unwrap().success());
        run(self.command("espeak-ng").arg("-w").arg(&spoken).arg(words));
        let mut convert = self.command("ffmpeg");
        convert.args(["-loglevel", "error", "-i"]).arg(&spoken);
        convert
            .args(["-ar", "48000", "-ac", "1", "-c:a", "pcm_s16le"])
            .arg(&wav);
        convert
            .args(["-f", "f32le"])
            .args(["-ar", "48000", "-ac", "1"])
            .arg(self.path("speech.f32"));
        run(&mut convert);
        floats(&fs::read(self.path("speech.f32")).unwrap())
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = self
            .command("pactl")
            .arg("exit")
            .stderr(Stdio::null())
            .status();
    }
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rigs/sound/pulse-up.sh")
}

fn is_there(tool: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(tool).is_file())
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect()
}

/// Where in `heard` the `speech` is, and their normalised correlation there.
fn locate(heard: &[f32], speech: &[f32]) -> (usize, f64) {
    const COARSE: usize = 16;
    let thin = |samples: &[f32]| -> Vec<f32> {
        samples
            .chunks(COARSE)
            .map(|chunk| chunk.iter().sum())
            .collect()
    };
    let (thin_heard, thin_speech) = (thin(heard), thin(speech));
    let best = |heard: &[f32], speech: &[f32], lags: std::ops::Range<usize>| {
        lags.map(|lag| (lag, likeness(&heard[lag..], speech)))
            .max_by(|a, b| a.1.total_cmp(&b.1))
            .unwrap()
    };
    let lags = thin_heard.len() - thin_speech.len();
    let (coarse, _) = best(&thin_heard, &thin_speech, 0..lags);
    let around = coarse * COARSE;
    let last = heard.len() - speech.len();
    best(
        heard,
        speech,
        around.saturating_sub(2 * COARSE)..(around + 2 * COARSE).min(last),
    )
}

fn likeness(a: &[f32], b: &[f32]) -> f64 {
    let (mut ab, mut aa, mut bb) = (0f64, 0f64, 0f64);
    for (a, b) in a.iter().zip(b) {
        let (a, b) = (f64::from(*a), f64::from(*b));
        ab += a * b;
        aa += a * a;
        bb += b * b;
    }
    ab / (aa * bb).sqrt().max(f64::MIN_POSITIVE)
}

#[expect(clippy::disallowed_methods, reason = "sound devices live in real time")]
fn now() -> Instant {
    Instant::now()
}
