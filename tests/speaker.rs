//! Sound through a real sound server: what is played into our speaker is recorded behind it.
//!
//! A private PulseAudio with a null sink, so that no machine is made to beep. Skipped, by name, where there is none.

#![cfg(feature = "audio")]
#![expect(
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    reason = "real time, real sound, small numbers"
)]

use std::{
    f64::consts::TAU,
    io::{BufRead as _, BufReader, Read as _},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tunnelcast::{
    codec::AudioEncoder,
    media::{AudioCodec, CHANNELS, MediaTime},
    playback::{Latency, News, Options, Playback, Traffic},
    present::{AudioSink as _, Resample, SinkNotice, Speaker},
    session::client::Event,
};

const RATE: usize = 48_000;

/// Set in the process that plays: the sound server is chosen by environment variables.
const PLAYER: &str = "TUNNELCAST_TEST_PLAYER";

#[test]
fn a_tone_through_the_speaker_keeps_its_pitch_and_has_no_gap() {
    if std::env::var_os(PLAYER).is_some() {
        return;
    }
    let Some(server) = Server::start() else {
        println!("skipped: no pulseaudio here");
        return;
    };
    listen(&server, "the_player");
}

#[test]
fn a_tone_through_codec_and_buffer_keeps_its_pitch_and_has_no_gap() {
    if std::env::var_os(PLAYER).is_some() {
        return;
    }
    let Some(server) = Server::start() else {
        println!("skipped: no pulseaudio here");
        return;
    };
    listen(&server, "the_viewer");
}

/// Runs in a process of its own, see above.
#[test]
fn the_viewer() {
    if std::env::var_os(PLAYER).is_none() {
        return;
    }
    let (tell, news) = std::sync::mpsc::channel();
    let playback = Playback::start(Options {
        latency: Latency::Low,
        sink: Some(Box::new(Speaker::start().expect("a thread"))),
        screen: None,
        started: Instant::now(),
        news: Box::new(move |news| {
            let _ = tell.send(news);
        }),
    })
    .expect("threads");
    let first = news.recv_timeout(Duration::from_secs(5));
    assert!(
        matches!(first, Ok(News::Sound(SinkNotice::Playing { .. }))),
        "{first:?}"
    );
    let mut encoder = AudioEncoder::new(AudioCodec::Opus, 128_000).expect("opus");
    let start = Instant::now();
    for n in 0..220_u32 {
        let capture = Duration::from_millis(20) * n;
        let packet = encoder
            .encode(
                &tone(n as usize),
                u64::from(n),
                MediaTime::from_duration(capture),
            )
            .expect("a whole packet");
        std::thread::sleep(
            (start + capture + Duration::from_millis(20)).saturating_duration_since(Instant::now()),
        );
        playback.handle(Event::Audio(packet), Instant::now());
    }
    std::thread::sleep(Duration::from_millis(300));
    let summary = playback.summary(&Traffic::default(), Instant::now());
    assert_eq!((summary.audio_packets, summary.audio_lost), (220, 0));
    println!("the longest gap was {} ms", summary.audio_gap_max_ms);
}

/// The player must be heard without fault. A machine that is busy with other things may be late once; a fault of
/// ours would be there each time.
fn listen(server: &Server, player: &str) {
    let mut faults = Vec::new();
    while let Err(fault) = judge(&record(server, player)) {
        faults.push(fault);
        assert!(faults.len() < 4, "{faults:?}");
    }
}

#[test]
fn a_sound_server_that_goes_and_comes_back_is_found_again() {
    if std::env::var_os(PLAYER).is_some() {
        return;
    }
    let Some(mut server) = Server::start() else {
        println!("skipped: no pulseaudio here");
        return;
    };
    let this = std::env::current_exe().expect("this test");
    let mut player = server
        .command(&this.to_string_lossy())
        .args(["--exact", "the_survivor", "--nocapture"])
        .env(PLAYER, "1")
        .stdout(Stdio::piped())
        .spawn()
        .expect("this test runs");
    let words = BufReader::new(player.stdout.take().expect("piped above"));
    for line in words.lines().map_while(Result::ok) {
        if line.contains("sound goes to") && !server.is_second {
            server = server.again();
        }
    }
    let status = player.wait().expect("it ends");
    assert!(status.success(), "the player failed");
}

/// Runs in a process of its own, see above.
#[test]
fn the_survivor() {
    if std::env::var_os(PLAYER).is_none() {
        return;
    }
    let mut speaker = Speaker::start().expect("a thread");
    let started = Instant::now();
    let mut heard = Vec::new();
    while heard.len() < 3 {
        assert!(started.elapsed() < Duration::from_secs(20), "{heard:?}");
        for notice in play(&mut speaker, Duration::from_millis(100)) {
            println!("{notice}");
            heard.push(notice);
        }
    }
    assert!(matches!(heard[1], SinkNotice::Lost { .. }), "{heard:?}");
    assert!(matches!(heard[2], SinkNotice::Playing { .. }), "{heard:?}");
}

#[test]
fn without_a_sound_server_the_speaker_takes_sound_in_real_time_all_the_same() {
    if std::env::var_os(PLAYER).is_some() {
        return;
    }
    let nothing = tempfile::tempdir().expect("a directory");
    let status = in_silence(
        &std::env::current_exe()
            .expect("this test")
            .to_string_lossy(),
        nothing.path(),
    )
    .args(["--exact", "the_mute_player", "--nocapture"])
    .env(PLAYER, "1")
    .stderr(Stdio::null())
    .status()
    .expect("this test runs");
    assert!(status.success());
}

/// Runs in a process of its own, see above.
#[test]
fn the_player() {
    if std::env::var_os(PLAYER).is_none() {
        return;
    }
    let mut speaker = Speaker::start().expect("a thread");
    let started = Instant::now();
    while !matches!(
        speaker.poll(Instant::now()),
        Some(SinkNotice::Playing { .. })
    ) {
        assert!(started.elapsed() < Duration::from_secs(5), "no device");
        std::thread::sleep(Duration::from_millis(5));
    }
    play(&mut speaker, Duration::from_secs(4));
    let delay = speaker.delay(Instant::now());
    println!("{} underruns", speaker.underruns());
    assert!(
        (Duration::from_millis(10)..Duration::from_millis(120)).contains(&delay),
        "{delay:?}"
    );
    std::thread::sleep(Duration::from_millis(300));
}

/// Runs in a process of its own, see above.
#[test]
fn the_mute_player() {
    if std::env::var_os(PLAYER).is_none() {
        return;
    }
    let mut speaker = Speaker::start().expect("a thread");
    let started = Instant::now();
    let told = play(&mut speaker, Duration::from_secs(2));
    let took = started.elapsed();
    assert!(
        (Duration::from_millis(1_850)..Duration::from_millis(2_500)).contains(&took),
        "{took:?}"
    );
    let notice = told.first().map(ToString::to_string);
    assert!(
        notice
            .as_ref()
            .is_some_and(|n| n.starts_with("no sound device: playing without sound")),
        "{notice:?}"
    );
}

/// The left channel behind the speaker while the player plays.
fn record(server: &Server, player: &str) -> Vec<f64> {
    let mut recorder = server
        .command("parec")
        .args(["-d", "vspk.monitor", "--format=s16le", "--channels=2"])
        .args(["--rate=48000", "--latency-msec=20"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("parec came with pulseaudio");
    let mut tape = recorder.stdout.take().expect("piped above");
    let recording = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        tape.read_to_end(&mut bytes).expect("a pipe");
        bytes
    });
    let player = server
        .command(
            &std::env::current_exe()
                .expect("this test")
                .to_string_lossy(),
        )
        .args(["--exact", player, "--nocapture"])
        .env(PLAYER, "1")
        .status()
        .expect("this test runs");
    std::thread::sleep(Duration::from_millis(500));
    recorder.kill().expect("still recording");
    recorder.wait().expect("killed above");
    assert!(player.success(), "the player failed");
    let bytes = recording.join().expect("recorded");
    bytes
        .chunks_exact(2 * CHANNELS)
        .map(|frame| f64::from(i16::from_le_bytes([frame[0], frame[1]])) / 32_768.0)
        .collect()
}

/// What is wrong with a recording of the tone.
fn judge(left: &[f64]) -> Result<(), String> {
    let first = left.iter().position(|s| s.abs() > 0.2).ok_or("silence")?;
    let last = left.iter().rposition(|s| s.abs() > 0.2).ok_or("silence")?;
    let tone = &left[first + RATE / 2..last - RATE / 10];
    let seconds = tone.len() as f64 / RATE as f64;
    if seconds < 3.0 {
        return Err(format!("only {seconds} s of the tone were recorded"));
    }
    let quietest = tone
        .chunks_exact(RATE / 200)
        .map(|part| part.iter().fold(0.0_f64, |a, b| a.max(b.abs())))
        .fold(f64::MAX, f64::min);
    if quietest < 0.4 {
        return Err(format!("a gap: 5 ms with a peak of {quietest} only"));
    }
    // at half volume a tone of 440 Hz never goes further from one sample to the next than 0.029
    let clicks = tone
        .windows(2)
        .filter(|pair| (pair[1] - pair[0]).abs() > 0.04)
        .count();
    if clicks > 0 {
        return Err(format!("{clicks} clicks"));
    }
    let peak = peak(&tone[..3 * RATE]);
    if (peak - 440.0).abs() > 2.0 {
        return Err(format!("the peak is at {peak} Hz"));
    }
    Ok(())
}

/// Plays 440 Hz for `time`, in packets, the way the viewer does.
/// Gives what was told of the device meanwhile.
fn play(speaker: &mut Speaker, time: Duration) -> Vec<SinkNotice> {
    let mut told = Vec::new();
    let mut resample = Resample::new(speaker.rate()).expect("a usual rate");
    let mut out = Vec::new();
    let packets = time.as_millis() / 20;
    for n in 0..packets as usize {
        resample.process(&tone(n), &mut out);
        while !out.is_empty() {
            let now = Instant::now();
            // As a player does: a device that changes waits for it.
            told.extend(speaker.poll(now));
            let taken = speaker.write(&out, now);
            out.drain(..taken * CHANNELS);
            if speaker.buffered(now) > speaker.reserve() {
                std::thread::sleep(speaker.buffered(now) - speaker.reserve());
            }
        }
    }
    told
}

/// The n-th packet of 440 Hz at half volume.
fn tone(n: usize) -> Vec<f32> {
    (n * 960..(n + 1) * 960)
        .flat_map(|k| [(k as f64 * 440.0 / RATE as f64 * TAU).sin() as f32 * 0.5; CHANNELS])
        .collect()
}

/// Where the spectrum of 3 s of sound is highest, to half a hertz, between 400 and 480 Hz.
fn peak(samples: &[f64]) -> f64 {
    (800..960)
        .map(|halves| {
            let hertz = f64::from(halves) / 2.0;
            let (mut re, mut im) = (0.0, 0.0);
            for (n, sample) in samples.iter().enumerate() {
                let phase = n as f64 * hertz / RATE as f64 * TAU;
                let window = 1.0 - (n as f64 / samples.len() as f64 * TAU).cos();
                re += sample * window * phase.cos();
                im += sample * window * phase.sin();
            }
            (hertz, re.hypot(im))
        })
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .map_or(0.0, |(hertz, _)| hertz)
}

/// A sound server of our own, gone when dropped.
struct Server {
    process: Child,
    dir: tempfile::TempDir,
    is_second: bool,
}

impl Server {
    fn start() -> Option<Self> {
        Self::start_in(tempfile::tempdir().ok()?)
    }

    /// Ends it and starts another in its place.
    fn again(mut self) -> Self {
        self.end();
        let dir = std::mem::replace(&mut self.dir, tempfile::tempdir().expect("a directory"));
        let mut second = Self::start_in(dir).expect("the first one started too");
        second.is_second = true;
        second
    }

    fn end(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    fn start_in(dir: tempfile::TempDir) -> Option<Self> {
        let socket = dir.path().join("native");
        let process = Command::new("pulseaudio")
            .args([
                "-n",
                "--daemonize=no",
                "--exit-idle-time=-1",
                "--use-pid-file=no",
            ])
            .args(["--log-level=error", "-L"])
            .arg(format!(
                "module-native-protocol-unix auth-anonymous=1 socket={}",
                socket.display()
            ))
            // without norewinds a null sink takes sound in bursts
            .args([
                "-L",
                "module-null-sink sink_name=vspk rate=48000 channels=2 norewinds=1",
            ])
            .env("XDG_RUNTIME_DIR", dir.path())
            .env("HOME", dir.path())
            .env_remove("PULSE_SERVER")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let server = Self {
            process,
            dir,
            is_second: false,
        };
        for _ in 0..100 {
            let info = server.command("pactl").arg("info").output();
            if info.ok()?.status.success() {
                return Some(server);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        None
    }

    fn command(&self, program: &str) -> Command {
        let mut command = in_silence(program, self.dir.path());
        let socket = self.dir.path().join("native");
        command.env("PULSE_SERVER", format!("unix:{}", socket.display()));
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// A program that finds no sound server of this machine's user.
fn in_silence(program: &str, dir: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env("XDG_RUNTIME_DIR", dir)
        .env("HOME", dir)
        .env("PULSE_SERVER", "unix:/nonexistent")
        .env_remove("DISPLAY");
    command
}
