//! Anything that ffmpeg reads, in real time and again and again, with its own sound.
//!
//! One ffmpeg decodes both tracks into one Matroska stream, so both are on one clock whatever the pipe does.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ChildStdout;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::anchor::Clock;
use super::ffmpeg::{Process, Reins, SpawnError, reading};
use super::input::{Got, Input, SILENCE};
use super::pump::{Leave, Pump, Stop};
use super::{Outlet, SourceState, Track, Tracks};
use crate::container::mkv::{Block, Demuxer};
use crate::media::{CHANNELS, Image, SAMPLE_RATE, SoundBlock, VideoFrame};

mod check;

pub use check::FileError;
pub(super) use check::{check_audio, check_video, look};

/// A playing file. Dropping it kills ffmpeg and joins the thread.
#[derive(Debug)]
pub(super) struct Player {
    pump: Pump,
    running: Arc<Running>,
}

/// The ffmpeg of the moment, for killing it.
#[derive(Debug, Default)]
struct Running(Mutex<Option<Reins>>);

impl Running {
    fn lock(&self) -> MutexGuard<'_, Option<Reins>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        // First the flag, under the lock: a child that is born meanwhile sees it.
        let running = self.running.lock();
        self.pump.stop().set();
        if let Some(child) = running.as_ref() {
            child.kill();
        }
    }
}

/// Plays `tracks` of the file into the outlet.
pub(super) fn play(path: &Path, tracks: Tracks, outlet: Outlet) -> io::Result<Player> {
    let running = Arc::new(Running::default());
    let (path, shared) = (path.to_owned(), Arc::clone(&running));
    // A disk that hangs keeps even a killed ffmpeg.
    let leave = Leave::After(Duration::from_secs(5));
    let pump = Pump::start("file", leave, move |stop| {
        let playing = Playing {
            path,
            tracks,
            outlet,
            running: shared,
        };
        playing.run(stop);
    })?;
    Ok(Player { pump, running })
}

/// The thread's side.
struct Playing {
    path: PathBuf,
    tracks: Tracks,
    outlet: Outlet,
    running: Arc<Running>,
}

/// Between a failure and the next try; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// How long ffmpeg may take to come to its first picture or sound.
const FIRST: Duration = Duration::from_secs(10);
/// The most that silence is put up with before ffmpeg is started again. It begins with [`SILENCE`] and doubles each
/// time: what is silent at the same place again and again is the file's own doing.
const LONGEST_SILENCE: Duration = Duration::from_secs(60);

/// Having played this long counts as success: the next failure waits for the first pause again.
const PLAYED: Duration = Duration::from_secs(10);

impl Playing {
    #[expect(clippy::disallowed_methods, reason = "a device thread")]
    fn run(&self, stop: &Stop) {
        let (mut pause, mut patience) = (FIRST_PAUSE, SILENCE);
        while !stop.is_set() {
            let begun = Instant::now();
            let why = match self.once(stop, &mut patience) {
                Ok(why) => why,
                Err(SpawnError::Missing) => FileError::NoFfmpeg.to_string(),
                Err(SpawnError::Failed(error)) => FileError::Ffmpeg(error).to_string(),
            };
            if stop.is_set() {
                return;
            }
            tracing::warn!(path = %self.path.display(), %why, "the file stopped playing");
            self.say(&SourceState::Lost { why });
            if begun.elapsed() >= PLAYED {
                pause = FIRST_PAUSE;
            }
            if stop.wait(pause) {
                return;
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Plays until ffmpeg ends, and says why it did.
    fn once(&self, stop: &Stop, patience: &mut Duration) -> Result<String, SpawnError> {
        let (process, stdout) = Process::spawn(&mut self.command())?;
        {
            let mut running = self.running.lock();
            if stop.is_set() {
                return Ok(String::new());
            }
            *running = Some(process.reins());
        }
        widen(&stdout);
        let broken = self.pump(Input::of_child(stdout), stop, patience);
        if broken.is_some() {
            process.reins().kill();
        }
        let (status, words) = process.end();
        *self.running.lock() = None;
        let cause = words.cause();
        Ok(match (broken, status) {
            (Some(broken), _) => broken,
            (None, _) if !cause.is_empty() => format!("ffmpeg: {cause}"),
            (None, Ok(status)) => format!("ffmpeg ended ({status})"),
            (None, Err(error)) => format!("ffmpeg ended ({error})"),
        })
    }

    /// Hands on what comes until it ends; why it cannot go on, unless ffmpeg knows better.
    #[expect(clippy::disallowed_methods, reason = "a device thread")]
    fn pump(&self, mut input: Input, stop: &Stop, patience: &mut Duration) -> Option<String> {
        let mut demuxer = Demuxer::default();
        let mut clock = Clock::default();
        let (mut last, mut limit) = (Instant::now(), FIRST);
        loop {
            match input.read(demuxer.space(), stop) {
                Ok(Got::Stopped | Got::End) => return None,
                Ok(Got::Bytes(read)) => demuxer.filled(read),
                Ok(Got::Silence) => {}
                Err(error) => return Some(error.to_string()),
            }
            let now = Instant::now();
            loop {
                match demuxer.block() {
                    Ok(Some(block)) => {
                        (last, limit) = (now, *patience);
                        self.hand_over(block, &mut clock, now);
                    }
                    Ok(None) => break,
                    Err(error) => return Some(error.to_string()),
                }
            }
            let silent = now.duration_since(last);
            if silent >= SILENCE.min(limit) {
                let why = format!("ffmpeg has delivered nothing for {} s", SILENCE.as_secs());
                if silent >= limit {
                    *patience = (*patience * 2).min(LONGEST_SILENCE);
                    return Some(why);
                }
                self.say(&SourceState::Lost { why });
            }
        }
    }

    fn hand_over(&self, block: Block, clock: &mut Clock, now: Instant) {
        match block {
            Block::Video { pts, picture } => {
                self.outlet.of(Track::Video).state(SourceState::Live);
                self.outlet.video(VideoFrame {
                    image: Image::Raw(picture),
                    captured: clock.picture(pts, now),
                });
            }
            Block::Sound { pts, samples } => {
                self.outlet.of(Track::Sound).state(SourceState::Live);
                let frames = u32::try_from(samples.len() / CHANNELS).unwrap_or(u32::MAX);
                let length = Duration::from_secs(1) * frames / SAMPLE_RATE;
                let captured = clock.sound(pts, length, now);
                self.outlet.sound(SoundBlock { samples, captured });
            }
        }
    }

    fn say(&self, state: &SourceState) {
        for (track, here) in [
            (Track::Video, self.tracks.video),
            (Track::Sound, self.tracks.audio),
        ] {
            if here {
                self.outlet.of(track).state(state.clone());
            }
        }
    }

    fn command(&self) -> ffmpeg_sidecar::command::FfmpegCommand {
        let mut command = reading(&self.path, &["-re", "-stream_loop", "-1"]);
        if self.tracks.video {
            command
                .args(["-map", PICTURE, "-vf", FILTER])
                .codec_video("rawvideo");
        }
        if self.tracks.audio {
            let sound = if self.tracks.video {
                SOUND_IF_ANY
            } else {
                SOUND
            };
            command
                .args(["-map", sound, "-af", RESAMPLE])
                .args(["-ar", "48000", "-ac", "2"])
                .codec_audio("pcm_s16le");
        }
        // Without a limit sound alone is gathered for a fifth of a second.
        command
            .args(["-cluster_time_limit", "0", "-flush_packets", "1"])
            .format("matroska")
            .output("pipe:1");
        command
    }
}

/// Square pixels, even sides of at most 4096, full range, BT.601.
const FILTER: &str = "scale=iw*sar:ih,setsar=1,scale=w='min(iw,4096)':h='min(ih,4096)':force_original_aspect_ratio=decrease:force_divisible_by=2:out_range=full:out_color_matrix=bt601,format=yuv420p";

/// Holes between the rounds of a loop are filled with silence, and what is too much is cut, before either is noticed:
/// by itself ffmpeg waits for a tenth of a second to gather.
const RESAMPLE: &str = "aresample=48000:async=1:min_hard_comp=0.012";

/// Room for a picture in the pipe, so that ffmpeg decodes the next one meanwhile.
#[cfg(target_os = "linux")]
fn widen(stdout: &ChildStdout) {
    if let Err(error) = rustix::pipe::fcntl_setpipe_size(stdout, 1 << 20) {
        tracing::debug!(%error, "the pipe from ffmpeg stays small");
    }
}

#[cfg(not(target_os = "linux"))]
fn widen(_stdout: &ChildStdout) {}

/// The first picture that is no cover of a record.
const PICTURE: &str = "0:V:0";
const SOUND: &str = "0:a:0";
/// A film may be silent.
const SOUND_IF_ANY: &str = "0:a:0?";
