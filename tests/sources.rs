//! Sources that need nothing but ffmpeg, on real input.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on fails, or says that it was left out"
)]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tunnelcast::capture::{
    self, AudioSpec, Capture, CaptureError, FileError, Inlet, Keeper, SourceState, Track, Tracks,
    VideoSpec, WaveError,
};
use tunnelcast::media::{Image, Picture, SoundBlock, VideoFrame};

/// Only ever waited for when something is wrong.
const SOON: Duration = Duration::from_secs(60);
const NOW: Duration = Duration::ZERO;
const FILM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/bigbuckbunny.mp4");

fn open(video: &VideoSpec, audio: &AudioSpec) -> (Capture, Inlet) {
    let (outlet, inlet) = capture::channel();
    let capture = capture::open(video, audio, outlet, &Keeper::default()).unwrap();
    (capture, inlet)
}

/// Whether ffmpeg is there; says so if `test` has to be left out.
fn has_ffmpeg(test: &str) -> bool {
    let found = Command::new("ffmpeg")
        .arg("-version")
        .stdout(Stdio::null())
        .status()
        .is_ok();
    if !found {
        println!("SKIPPED: {test}: ffmpeg is not installed");
    }
    found
}

fn film() -> VideoSpec {
    VideoSpec::File(FILM.into())
}

fn next_picture(inlet: &Inlet) -> (Picture, Instant) {
    let VideoFrame { image, captured } = inlet.video.recv(SOON).unwrap();
    match image {
        Image::Raw(picture) => (picture, captured),
        Image::Jpeg { .. } => panic!("a raw picture"),
    }
}

fn length(block: &SoundBlock) -> Duration {
    Duration::from_secs(1) * u32::try_from(block.samples.len() / 2).unwrap() / 48_000
}

fn wait_for(inlet: &Inlet, track: Track, wanted: impl Fn(&SourceState) -> bool) -> SourceState {
    loop {
        let (of, state) = inlet.state.recv(SOON).unwrap();
        if of == track && wanted(&state) {
            return state;
        }
    }
}

/// Runs ffmpeg to make a file.
fn make(arguments: &str, path: &Path) {
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-y"])
        .args(arguments.split(' '))
        .arg(path)
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
fn a_film_plays_in_real_time_with_its_sound_and_begins_again() {
    if !has_ffmpeg("a_film_plays_in_real_time_with_its_sound_and_begins_again") {
        return;
    }
    let tracks = capture::check(&film(), &AudioSpec::Auto).unwrap();
    assert_eq!(
        tracks,
        Tracks {
            video: true,
            audio: true
        }
    );
    let (_capture, inlet) = open(&film(), &AudioSpec::Auto);

    let (first, begun) = next_picture(&inlet);
    assert_eq!(first.size().to_string(), "1280x720");
    let (mut pictures, mut last) = (1, begun);
    let mut longest = Duration::ZERO;
    let mut sound: Vec<SoundBlock> = Vec::new();
    // The film has 5.3 s: this is well into its second round.
    while last < begun + Duration::from_millis(7500) {
        let (_, captured) = next_picture(&inlet);
        assert!(captured > last, "{last:?} {captured:?}");
        assert!(captured <= now());
        longest = longest.max(captured - last);
        (pictures, last) = (pictures + 1, captured);
        while let Ok(block) = inlet.sound.recv(NOW) {
            sound.push(block);
        }
    }
    let skipped = i64::try_from(inlet.video.skipped()).unwrap();
    assert!(
        (183..=200).contains(&(pictures + skipped)),
        "{pictures} and {skipped} skipped"
    );
    if skipped == 0 {
        assert!(longest < Duration::from_millis(130), "{longest:?}");
    }

    let apart = begun.max(sound[0].captured) - begun.min(sound[0].captured);
    assert!(apart < Duration::from_millis(100), "{apart:?}");
    assert_eq!(inlet.sound.dropped(), 0);
    let heard: Duration = sound.iter().map(length).sum();
    assert!(
        heard > Duration::from_secs(7) && heard < Duration::from_secs(9),
        "{heard:?}"
    );
    let loud = sound
        .iter()
        .flat_map(|block| &block.samples)
        .any(|sample| sample.abs() > 0.05);
    assert!(loud);
    // The anchor settles within the first second; after that, sound follows upon sound, over the seam too.
    for pair in sound
        .windows(2)
        .filter(|pair| pair[0].captured > begun + Duration::from_secs(1))
    {
        let (ends, begins) = (pair[0].captured + length(&pair[0]), pair[1].captured);
        let hole = ends.max(begins) - ends.min(begins);
        assert!(hole < Duration::from_millis(40), "{hole:?}");
    }
    assert_eq!(inlet.state.latest(Track::Video), SourceState::Live);
    assert_eq!(inlet.state.latest(Track::Sound), SourceState::Live);
}

#[test]
fn limited_range_becomes_full_range_and_odd_sizes_even() {
    if !has_ffmpeg("limited_range_becomes_full_range_and_odd_sizes_even") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("white: a film.mkv");
    make(
        "-f lavfi -i color=white:s=322x182:d=1:r=10 -c:v ffv1 -pix_fmt yuv444p",
        &path,
    );
    let video = VideoSpec::File(path);
    let tracks = capture::check(&video, &AudioSpec::Auto).unwrap();
    assert_eq!(
        tracks,
        Tracks {
            video: true,
            audio: false
        }
    );
    // Sound is asked for that the film does not have: the picture does not suffer.
    let (_capture, inlet) = open(&video, &AudioSpec::Auto);
    let (picture, _) = next_picture(&inlet);
    assert_eq!(picture.size().to_string(), "322x182");
    assert!(
        picture.y().iter().all(|sample| *sample >= 254),
        "{}",
        picture.y()[0]
    );
    assert!(
        picture
            .cb()
            .iter()
            .chain(picture.cr())
            .all(|sample| sample.abs_diff(128) <= 1)
    );
}

#[test]
fn sound_alone_comes_from_a_file() {
    if !has_ffmpeg("sound_alone_comes_from_a_file") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sound.m4a");
    make("-f lavfi -i sine=1000:d=1:r=44100 -c:a aac", &path);
    let audio = AudioSpec::File(path.clone());
    let tracks = capture::check(&VideoSpec::None, &audio).unwrap();
    assert_eq!(
        tracks,
        Tracks {
            video: false,
            audio: true
        }
    );
    let (_capture, inlet) = open(&VideoSpec::None, &audio);
    let mut heard = Duration::ZERO;
    while heard < Duration::from_millis(1500) {
        let block = inlet.sound.recv(SOON).unwrap();
        assert!(
            length(&block) <= Duration::from_millis(60),
            "{:?}",
            length(&block)
        );
        heard += length(&block);
    }
    let error = capture::check(&VideoSpec::File(path), &AudioSpec::Auto).unwrap_err();
    assert!(matches!(error, CaptureError::File(FileError::NoPicture(_))));
}

#[test]
fn every_bad_file_has_its_own_error() {
    if !has_ffmpeg("every_bad_file_has_its_own_error") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let make = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let film = fs::read(FILM).unwrap();
    let error = |path: PathBuf| match capture::check(&VideoSpec::File(path), &AudioSpec::Auto) {
        Err(CaptureError::File(error)) => error,
        other => panic!("{other:?}"),
    };
    assert!(matches!(
        error(dir.path().join("none.mp4")),
        FileError::Missing(_)
    ));
    assert!(matches!(
        error(dir.path().to_owned()),
        FileError::Directory(_)
    ));
    assert!(matches!(error(make("empty.mp4", b"")), FileError::Empty(_)));
    let cut = error(make("cut.mp4", &film[..film.len() / 3]));
    assert!(matches!(cut, FileError::Damaged { .. }));
    assert!(cut.to_string().contains("moov atom not found"), "{cut}");
    let text = error(make(
        "text.txt",
        b"a shopping list, and nothing to look at in it\n",
    ));
    assert!(matches!(text, FileError::NotMedia { .. }), "{text}");
    for error in [cut, text] {
        assert_eq!(error.to_string().lines().count(), 1);
    }
    let silent = capture::check(&VideoSpec::None, &AudioSpec::Pipe(make("x.wav", b"RIFX")));
    assert!(matches!(
        silent,
        Err(CaptureError::Wave(WaveError::Wav { .. }))
    ));
    let nothing = capture::check(&VideoSpec::None, &AudioSpec::Auto);
    assert!(matches!(nothing, Err(CaptureError::Nothing)));
}

const WITHOUT_FFMPEG: &str = "TUNNELCAST_TEST_WITHOUT_FFMPEG";

/// Runs in a process of its own, started by the next test, since the search path belongs to the process.
#[test]
fn without_ffmpeg() {
    if std::env::var_os(WITHOUT_FFMPEG).is_none() {
        return;
    }
    let error = capture::check(&film(), &AudioSpec::Auto).unwrap_err();
    assert!(
        matches!(error, CaptureError::File(FileError::NoFfmpeg)),
        "{error}"
    );
    let (_capture, inlet) = open(&film(), &AudioSpec::Auto);
    let lost = |state: &SourceState| matches!(state, SourceState::Lost { .. });
    wait_for(&inlet, Track::Video, lost);
}

#[test]
fn a_missing_ffmpeg_is_said_and_survived() {
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "without_ffmpeg"])
        .env(WITHOUT_FFMPEG, "1")
        .env("PATH", "/nonexistent")
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
}

#[cfg(target_os = "linux")]
fn signal(name: &str, pid: u32) {
    let sent = Command::new("kill")
        .args([name, &pid.to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
}

/// The running ffmpeg processes that read `path`.
#[cfg(target_os = "linux")]
fn players(path: &Path) -> Vec<u32> {
    let name = path.to_str().unwrap();
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line);
        (line.starts_with("ffmpeg") && line.contains(name)).then_some(pid)
    });
    processes.collect()
}

#[cfg(target_os = "linux")]
#[test]
fn an_ffmpeg_that_dies_is_started_again_and_ends_with_its_owner() {
    if !has_ffmpeg("an_ffmpeg_that_dies_is_started_again_and_ends_with_its_owner") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("film.mp4");
    fs::copy(FILM, &path).unwrap();
    let (capture, inlet) = open(&VideoSpec::File(path.clone()), &AudioSpec::Auto);
    next_picture(&inlet);
    let first = players(&path);
    assert_eq!(first.len(), 1);
    // Ctrl-C in our terminal is not for it.
    let stat = fs::read_to_string(format!("/proc/{}/stat", first[0])).unwrap();
    let group = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(2);
    assert_eq!(group, Some(first[0].to_string().as_str()));
    signal("-KILL", first[0]);
    let lost = |state: &SourceState| matches!(state, SourceState::Lost { .. });
    let lost = wait_for(&inlet, Track::Video, lost);
    assert!(matches!(lost, SourceState::Lost { why } if why.contains("ffmpeg")));
    wait_for(&inlet, Track::Video, |state| *state == SourceState::Live);
    next_picture(&inlet);
    let second = players(&path);
    assert_eq!(second.len(), 1);
    assert_ne!(second, first);
    drop(capture);
    assert!(players(&path).is_empty());
}

#[cfg(target_os = "linux")]
#[test]
fn an_ffmpeg_that_falls_silent_is_started_again() {
    if !has_ffmpeg("an_ffmpeg_that_falls_silent_is_started_again") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("film.mp4");
    fs::copy(FILM, &path).unwrap();
    let (capture, inlet) = open(&VideoSpec::File(path.clone()), &AudioSpec::Auto);
    next_picture(&inlet);
    let first = players(&path);
    signal("-STOP", first[0]);
    let lost = |state: &SourceState| matches!(state, SourceState::Lost { .. });
    let lost = wait_for(&inlet, Track::Video, lost);
    assert_eq!(
        lost,
        SourceState::Lost {
            why: "ffmpeg has delivered nothing for 3 s".to_owned()
        }
    );
    wait_for(&inlet, Track::Video, |state| *state == SourceState::Live);
    let second = players(&path);
    assert!(second.len() == 1 && second != first);
    // A stopped one can be ended too.
    signal("-STOP", second[0]);
    let before = now();
    drop(capture);
    assert!(now() - before < Duration::from_secs(2));
    assert!(players(&path).is_empty());
}

const ORPHAN: &str = "TUNNELCAST_TEST_ORPHAN";

/// Runs in a process of its own, started and killed by the next test.
#[test]
fn plays_until_it_is_killed() {
    let Some(path) = std::env::var_os(ORPHAN) else {
        return;
    };
    let (_capture, inlet) = open(&VideoSpec::File(path.into()), &AudioSpec::None);
    loop {
        next_picture(&inlet);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn an_ffmpeg_ends_when_its_owner_is_killed() {
    if !has_ffmpeg("an_ffmpeg_ends_when_its_owner_is_killed") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("film.mp4");
    fs::copy(FILM, &path).unwrap();
    let mut owner = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "plays_until_it_is_killed"])
        .env(ORPHAN, &path)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let wait = |there: bool| {
        let until = now() + SOON;
        while players(&path).is_empty() == there {
            assert!(now() < until);
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    wait(true);
    owner.kill().unwrap();
    owner.wait().unwrap();
    wait(false);
}

/// Sound and picture of a film stay together however often it is played: a flash and a beep in each round.
#[test]
fn a_film_s_sound_stays_with_its_picture_over_many_rounds() {
    if !has_ffmpeg("a_film_s_sound_stays_with_its_picture_over_many_rounds") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for (name, codecs) in [
        ("film.mkv", "-c:v ffv1 -c:a pcm_s16le"),
        ("film.mp4", "-c:v mpeg4 -q:v 2 -c:a aac"),
    ] {
        let path = dir.path().join(name);
        // Picture 12 is the first that is lit, at 0.48 s.
        let flash = "-f lavfi -i color=black:s=64x48:r=25:d=1.2,drawbox=c=white:t=fill:enable='between(t\\,0.47\\,0.7)'";
        let beep = "-f lavfi -i aevalsrc=0.5*sin(2000*PI*t)*between(t\\,0.48\\,0.7):s=48000:d=1.2";
        make(&format!("{flash} {beep} {codecs} -pix_fmt yuv420p"), &path);
        let (_capture, inlet) = open(&VideoSpec::File(path), &AudioSpec::Auto);
        let (mut lit, mut loud) = (Edges::default(), Edges::default());
        while lit.rises.len() < 11 || loud.rises.len() < 11 {
            if let Ok(VideoFrame { image, captured }) = inlet.video.recv(Duration::from_millis(5)) {
                assert!(captured <= now());
                let Image::Raw(picture) = image else {
                    panic!("a raw picture");
                };
                lit.see(picture.y()[0] > 128, captured);
            }
            while let Ok(block) = inlet.sound.recv(NOW) {
                // Counted samples may lead the container's rounded times by a little.
                assert!(block.captured + length(&block) <= now() + Duration::from_millis(5));
                for (number, pair) in (0_u32..).zip(block.samples.chunks_exact(2)) {
                    let at = block.captured + Duration::from_secs(1) * number / 48_000;
                    loud.hear(pair[0].abs() > 0.1, at);
                }
            }
        }
        // The anchor settles within the first second.
        let offsets: Vec<Duration> = lit.rises[1..11]
            .iter()
            .map(|at| {
                let off = |other: &Instant| (*at).max(*other) - (*at).min(*other);
                loud.rises.iter().map(off).min().unwrap()
            })
            .collect();
        println!("{name}: {offsets:?} apart");
        // What is guarded against grows from round to round (by 24 ms each, once). ffmpeg cuts the delay of an AAC
        // coder, 21 ms, off in the first round only and makes up for it by and by, so single rounds may be off by it,
        // and by the jitter of their arrival.
        let close = offsets
            .iter()
            .filter(|off| **off <= Duration::from_millis(20));
        assert!(
            close.count() > offsets.len() / 2
                && offsets.iter().all(|off| *off <= Duration::from_millis(40)),
            "{name}: {offsets:?}"
        );
    }
}

/// When something began.
#[derive(Default)]
struct Edges {
    rises: Vec<Instant>,
    on: Option<Instant>,
}

impl Edges {
    fn see(&mut self, on: bool, at: Instant) {
        if on && self.on.is_none() {
            self.rises.push(at);
        }
        self.on = on.then_some(at);
    }

    /// A wave passes through zero: only quiet for a while is quiet.
    fn hear(&mut self, on: bool, at: Instant) {
        let quiet = self
            .on
            .is_none_or(|last| at.saturating_duration_since(last) > Duration::from_millis(50));
        if on && quiet {
            self.rises.push(at);
        }
        if on {
            self.on = Some(at);
        }
    }
}

#[cfg(unix)]
fn piped(arguments: &str) -> (Child, Keeper) {
    use std::os::fd::OwnedFd;
    let mut ffmpeg = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin"])
        .args(arguments.split(' '))
        .arg("-")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = OwnedFd::from(ffmpeg.stdout.take().unwrap());
    let keeper = Keeper::reading(File::from(stdout), Box::new(|_| ())).unwrap();
    (ffmpeg, keeper)
}

#[cfg(unix)]
#[test]
fn what_ffmpeg_pipes_arrives_as_pictures_or_as_jpegs() {
    if !has_ffmpeg("what_ffmpeg_pipes_arrives_as_pictures_or_as_jpegs") {
        return;
    }
    for (format, raw) in [
        ("-f yuv4mpegpipe", true),
        ("-c:v mjpeg -q:v 5 -f image2pipe", false),
    ] {
        let card = format!("-re -f lavfi -i testsrc=s=640x360:r=25:d=3 -pix_fmt yuv420p {format}");
        let (mut ffmpeg, keeper) = piped(&card);
        let (outlet, inlet) = capture::channel();
        let _capture = capture::open(&VideoSpec::Pipe, &AudioSpec::Auto, outlet, &keeper).unwrap();
        let mut last = None;
        for _ in 0..30 {
            let frame = inlet.video.recv(SOON).unwrap();
            assert_eq!(frame.image.size().to_string(), "640x360");
            assert_eq!(matches!(frame.image, Image::Raw(_)), raw);
            if let Image::Jpeg { bytes, .. } = frame.image {
                assert!(bytes.starts_with(&[0xFF, 0xD8]) && bytes.ends_with(&[0xFF, 0xD9]));
            }
            assert!(last < Some(frame.captured));
            last = Some(frame.captured);
        }
        let ended = wait_for(&inlet, Track::Video, |state| {
            matches!(state, SourceState::Ended { .. })
        });
        assert!(matches!(ended, SourceState::Ended { why } if why == "standard input ended"));
        assert!(ffmpeg.wait().unwrap().success());
    }
}

#[cfg(unix)]
#[test]
fn wav_comes_through_a_fifo_at_any_rate() {
    if !has_ffmpeg("wav_comes_through_a_fifo_at_any_rate") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = fifo(dir.path());
    let audio = AudioSpec::Pipe(path.clone());
    capture::check(&VideoSpec::None, &audio).unwrap();
    let keeper = Keeper::default();
    let (outlet, inlet) = capture::channel();
    let capture = capture::open(&VideoSpec::None, &audio, outlet, &keeper).unwrap();
    // As fast as it can: it is held up, and what comes is in real time all the same.
    let sine = "-v error -nostdin -y -f lavfi -i sine=440:r=44100:d=2 -c:a pcm_s24le -f wav";
    let mut ffmpeg = Command::new("ffmpeg")
        .args(sine.split(' '))
        .arg(&path)
        .spawn()
        .unwrap();
    let first = inlet.sound.recv(SOON).unwrap();
    let (mut heard, mut last) = (length(&first), first.captured);
    while let Ok(block) = inlet.sound.recv(Duration::from_secs(2)) {
        assert!(block.captured > last && block.captured + length(&block) <= now());
        heard += length(&block);
        last = block.captured;
        if matches!(inlet.state.latest(Track::Sound), SourceState::Lost { .. }) {
            break;
        }
    }
    while let Ok(block) = inlet.sound.recv(NOW) {
        (heard, last) = (heard + length(&block), block.captured);
    }
    assert!(
        heard > Duration::from_millis(1900) && heard <= Duration::from_secs(2),
        "{heard:?}"
    );
    assert!(last - first.captured >= heard - Duration::from_millis(21));
    assert!(ffmpeg.wait().unwrap().success());
    drop(capture);
}

#[cfg(unix)]
fn fifo(dir: &Path) -> PathBuf {
    let path = dir.join("fifo");
    assert!(
        Command::new("mkfifo")
            .arg(&path)
            .status()
            .unwrap()
            .success()
    );
    path
}

/// A WAV of `level` that says nothing about its length.
#[cfg(unix)]
fn wave(level: i16, blocks: usize) -> Vec<u8> {
    let mut bytes = b"RIFF\xFF\xFF\xFF\xFFWAVEfmt \x10\0\0\0\x01\0\x02\0".to_vec();
    bytes.extend(48_000_u32.to_le_bytes());
    bytes.extend((48_000_u32 * 4).to_le_bytes());
    bytes.extend(b"\x04\0\x10\0data\xFF\xFF\xFF\xFF");
    bytes.extend(level.to_le_bytes().repeat(blocks * 960 * 2));
    bytes
}

#[cfg(unix)]
#[test]
fn who_writes_to_a_fifo_outlives_the_viewers_and_is_followed_by_the_next() {
    use std::io::Write;
    let dir = tempfile::tempdir().unwrap();
    let path = fifo(dir.path());
    let audio = AudioSpec::Pipe(path.clone());
    let keeper = Keeper::default();
    keeper
        .listen(&VideoSpec::None, &audio, Box::new(|_| ()))
        .unwrap();
    let open = || {
        let (outlet, inlet) = capture::channel();
        let capture = capture::open(&VideoSpec::None, &audio, outlet, &keeper).unwrap();
        (capture, inlet)
    };
    // Until a block of that level comes.
    let hear = |inlet: &Inlet, level: i16| {
        let level = f32::from(level) / 32_768.0;
        while (inlet.sound.recv(SOON).unwrap().samples[0] - level).abs() > 1e-3 {}
    };

    // Nobody watches: neither the opening nor more than the pipe holds waits for anybody.
    let mut writer = fs::OpenOptions::new().write(true).open(&path).unwrap();
    writer.write_all(&wave(1000, 30)).unwrap();
    let (capture, inlet) = open();
    writer.write_all(&wave(2000, 30)[44..]).unwrap();
    hear(&inlet, 2000);
    drop(capture);
    writer.write_all(&wave(3000, 30)[44..]).unwrap();
    let (_capture, inlet) = open();
    writer.write_all(&wave(4000, 5)[44..]).unwrap();
    hear(&inlet, 4000);

    drop(writer);
    let lost = |state: &SourceState| matches!(state, SourceState::Lost { .. });
    let state = wait_for(&inlet, Track::Sound, lost);
    assert!(matches!(state, SourceState::Lost { why } if why.contains("waiting for the next")));
    // One that is no WAV is read to its end too, and said.
    let mut writer = fs::OpenOptions::new().write(true).open(&path).unwrap();
    writer.write_all(&[b'x'; 100_000]).unwrap();
    let bad = |state: &SourceState| matches!(state, SourceState::Lost { why } if why.contains("WAV") || why.contains("RIFF"));
    wait_for(&inlet, Track::Sound, bad);
    drop(writer);
    std::thread::sleep(Duration::from_millis(300));
    for level in [5000, 6000] {
        let mut writer = fs::OpenOptions::new().write(true).open(&path).unwrap();
        writer.write_all(&wave(level, 5)).unwrap();
        hear(&inlet, level);
        drop(writer);
        wait_for(&inlet, Track::Sound, lost);
    }
}

#[cfg(unix)]
#[test]
fn a_fifo_that_nobody_writes_to_can_be_closed() {
    let dir = tempfile::tempdir().unwrap();
    let path = fifo(dir.path());
    let (keeper, audio) = (Keeper::default(), AudioSpec::Pipe(path));
    let (outlet, _inlet) = capture::channel();
    drop(capture::open(&VideoSpec::None, &audio, outlet, &keeper).unwrap());
    drop(keeper);
}

#[test]
fn flash_and_beep_go_together() {
    let video: VideoSpec = "testcard:640x360@60".parse().unwrap();
    let (_capture, inlet) = open(&video, &AudioSpec::Auto);
    let start = inlet.sound.recv(SOON).unwrap().captured;
    let mut seen = [0, 0];
    while seen[0] < 2 || seen[1] < 20 {
        let (picture, captured) = next_picture(&inlet);
        let (x, y) = capture::testcard::flash_centre(picture.size());
        let lit = picture.y()[y * 640 + x] == 255;
        let phase = (captured - start).as_micros() % 1_000_000;
        // A picture may be painted late on a busy machine, but never before its time.
        if lit {
            assert!(phase < 400_000, "{phase}");
        } else {
            assert!(phase >= 100_000, "{phase}");
        }
        seen[usize::from(!lit)] += 1;
    }
}

#[expect(clippy::disallowed_methods, reason = "a test may look at the clock")]
fn now() -> Instant {
    Instant::now()
}
