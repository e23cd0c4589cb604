//! Sound as WAV through a FIFO or from a file.
//!
//! A FIFO is held open and read all the time, so that writers neither wait for the first viewer nor die with the last;
//! after one of them it waits for the next. A file is read from its start at each opening. A writer that is faster than real time is held up by the pipe, which is kept small so that little sound waits in
//! it; one that is slower is followed.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::input::{Got, Input, SILENCE};
use super::kept::{Kept, Tap};
use super::pump::{Leave, Pump, Stop};
use super::resample::Resample;
use super::{Outlet, SourceState};
use crate::container::wav;
use crate::media::{CHANNELS, SAMPLE_RATE, SoundBlock};

/// Why there is no sound from a WAV.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WaveError {
    /// No such file.
    #[error("there is no '{}' to read WAV from; create it with `mkfifo` or check the path", .0.display())]
    Missing(PathBuf),
    /// A directory.
    #[error("'{}' is a directory; name a FIFO or a WAV file", .0.display())]
    Directory(PathBuf),
    /// The system's word.
    #[error("cannot read '{}': {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// Bad WAV.
    #[error("'{}': {source}", path.display())]
    Wav {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: wav::WavError,
    },
    /// A rate that cannot be turned into 48 kHz.
    #[error("'{}': cannot resample from {rate} Hz", path.display())]
    Rate {
        /// The file.
        path: PathBuf,
        /// Its rate.
        rate: u32,
    },
}

/// What can be said without reading from it: what is read from a FIFO is gone.
pub(super) fn check(path: &Path) -> Result<(), WaveError> {
    let data = std::fs::metadata(path).map_err(|source| unreadable(path, source))?;
    if data.is_dir() {
        return Err(WaveError::Directory(path.to_owned()));
    }
    if data.is_file() {
        let mut start = [0; CHUNK];
        let read =
            std::fs::File::open(path).and_then(|mut file| io::Read::read(&mut file, &mut start));
        let count = read.map_err(|source| unreadable(path, source))?;
        let bad = |source| WaveError::Wav {
            path: path.to_owned(),
            source,
        };
        let mut reader = wav::Reader::default();
        reader.push(&start[..count], &mut Vec::new()).map_err(bad)?;
        if count < CHUNK {
            reader.finish().map_err(bad)?;
        }
    }
    Ok(())
}

fn unreadable(path: &Path, source: io::Error) -> WaveError {
    let path = path.to_owned();
    if source.kind() == io::ErrorKind::NotFound {
        WaveError::Missing(path)
    } else {
        WaveError::Unreadable { path, source }
    }
}

/// Whether it is read all the time: anything that is no plain file.
pub(super) fn is_stream(path: &Path) -> bool {
    cfg!(unix) && std::fs::metadata(path).is_ok_and(|data| !data.is_file())
}

/// Plays a file once.
pub(super) fn play(path: &Path, outlet: Outlet) -> io::Result<Pump> {
    let path = path.to_owned();
    start(move |stop| {
        let hand_over = |block| {
            outlet.state(SourceState::Live);
            outlet.sound(block);
        };
        let ended = Input::open(&path)
            .map_err(|source| unreadable(&path, source))
            .and_then(|mut input| read(&path, &mut input, stop, hand_over, || ()));
        let why = match ended {
            Ok(_) if stop.is_set() => return,
            Ok(_) => format!("'{}' ended", path.display()),
            Err(error) => error.to_string(),
        };
        tracing::info!(%why, "the sound is over");
        outlet.state(SourceState::Ended { why });
    })
}

fn start(body: impl FnOnce(&Stop) + Send + 'static) -> io::Result<Pump> {
    // Where a read cannot be waited for with a time-out, it may never come.
    let leave = if cfg!(unix) {
        Leave::Join
    } else {
        Leave::After(Duration::from_millis(100))
    };
    Pump::start("wave", leave, body)
}

/// A FIFO that is read until this is dropped.
#[derive(Debug)]
pub(super) struct Stream {
    path: PathBuf,
    kept: Kept,
    _pump: Pump,
}

impl Stream {
    pub(super) fn start(path: &Path) -> io::Result<Self> {
        let kept = Kept::default();
        let (own, inside) = (path.to_owned(), kept.clone());
        Ok(Self {
            path: path.to_owned(),
            kept,
            _pump: start(move |stop| follow(&own, &inside, stop))?,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// From now on the sound goes to `outlet`.
    pub(super) fn tap(&self, outlet: Outlet) -> Tap {
        self.kept.tap(outlet)
    }
}

/// Between two tries to open what was there before.
const AGAIN: Duration = Duration::from_secs(1);

/// Reads one writer after the other.
fn follow(path: &Path, kept: &Kept, stop: &Stop) {
    let mut held: Option<Input> = None;
    while !stop.is_set() {
        // The next opening comes before the last one is closed: a writer always finds a reader.
        let mut input = match Input::open(path) {
            Ok(input) => input,
            Err(source) => {
                kept.lost(unreadable(path, source).to_string());
                stop.wait(AGAIN);
                continue;
            }
        };
        drop(held.take());
        let hand_over = |block| kept.deliver(|outlet| outlet.sound(block));
        let silence = || {
            let seconds = SILENCE.as_secs();
            kept.silent(|| {
                let path = path.display();
                format!("nothing has come through '{path}' for {seconds} s")
            });
        };
        let ended = read(path, &mut input, stop, hand_over, silence);
        if stop.is_set() {
            return;
        }
        let at_end = matches!(ended, Ok(Ended::Input));
        kept.lost(match ended {
            Ok(_) => format!(
                "whoever wrote to '{}' has ended; waiting for the next",
                path.display()
            ),
            Err(error) => error.to_string(),
        });
        // Where the writer has ended, what comes now is already the next one's.
        if !at_end {
            drain(&mut input, stop);
        }
        held = Some(input);
    }
}

/// Throws away what a writer says behind the end of its sound, or that is no sound.
fn drain(input: &mut Input, stop: &Stop) {
    let mut chunk = [0; CHUNK];
    while let Ok(Got::Bytes(_) | Got::Silence) = input.read(&mut chunk, stop) {}
}

const CHUNK: usize = 4096;

/// Holds 85 ms of 48 kHz 16-bit stereo.
const PIPE: usize = 16 << 10;

/// 20 ms in both channels.
const BLOCK: usize = SAMPLE_RATE as usize / 50 * CHANNELS;
const BLOCK_TIME: Duration = Duration::from_millis(20);

/// What a WAV ended with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// Its writer.
    Input,
    /// The length that its header promised.
    Sound,
    /// The owner's wish.
    Stopped,
}

/// Hands on the sound of one WAV in real time until it ends.
#[expect(clippy::disallowed_methods, reason = "a device thread")]
fn read(
    path: &Path,
    input: &mut Input,
    stop: &Stop,
    hand_over: impl Fn(SoundBlock),
    silence: impl Fn(),
) -> Result<Ended, WaveError> {
    let bad = |source| WaveError::Wav {
        path: path.to_owned(),
        source,
    };
    input.resize(PIPE);
    let mut reader = wav::Reader::default();
    let (mut chunk, mut samples) = ([0; CHUNK], Vec::new());
    let mut resample = None;
    let (mut ready, mut pace) = (Vec::new(), Pace::default());
    loop {
        match input
            .read(&mut chunk, stop)
            .map_err(|source| unreadable(path, source))?
        {
            Got::Stopped => return Ok(Ended::Stopped),
            Got::End => return reader.finish().map(|()| Ended::Input).map_err(bad),
            Got::Silence => silence(),
            Got::Bytes(count) => reader.push(&chunk[..count], &mut samples).map_err(bad)?,
        }
        let Some(format) = reader.format() else {
            continue;
        };
        let resample = match &mut resample {
            Some(resample) => resample,
            none => {
                let rate = format.rate;
                none.insert(Resample::new(rate).map_err(|_| WaveError::Rate {
                    path: path.to_owned(),
                    rate,
                })?)
            }
        };
        resample.push(&samples, &mut ready);
        samples.clear();
        while ready.len() >= BLOCK {
            let rest = ready.split_off(BLOCK);
            let samples = std::mem::replace(&mut ready, rest);
            let (captured, due) = pace.next(Instant::now());
            if stop.wait(due.saturating_duration_since(Instant::now())) {
                return Ok(Ended::Stopped);
            }
            hand_over(SoundBlock { samples, captured });
        }
        if reader.is_over() {
            return Ok(Ended::Sound);
        }
    }
}

/// When each block is captured and due, on the machine's clock.
#[derive(Debug, Default)]
struct Pace(Option<Instant>);

/// More than this behind is no slow clock but a pause.
const FAR: Duration = Duration::from_millis(300);
/// How much of a delay the pace takes over with each block.
const FOLLOW: u32 = 64;

impl Pace {
    /// When the block that is whole at `now` was captured, and when it is due: at its end.
    fn next(&mut self, now: Instant) -> (Instant, Instant) {
        let arrived = now.checked_sub(BLOCK_TIME).unwrap_or(now);
        let captured = match self.0 {
            None => arrived,
            Some(planned) => {
                let late = arrived.saturating_duration_since(planned);
                if late > FAR {
                    arrived
                } else {
                    planned + late / FOLLOW
                }
            }
        };
        let end = captured + BLOCK_TIME;
        self.0 = Some(end);
        (captured, end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn base() -> Instant {
        Instant::now() + Duration::from_secs(1000)
    }

    #[test]
    fn a_fast_writer_is_paced() {
        let (mut pace, base) = (Pace::default(), base());
        for number in 0..50 {
            let (captured, due) = pace.next(base);
            assert_eq!(captured, base - 20 * MS + 20 * MS * number);
            assert_eq!(due, captured + 20 * MS);
        }
    }

    #[test]
    fn a_slow_writer_is_followed_and_a_pause_skipped() {
        let (mut pace, base) = (Pace::default(), base());
        pace.next(base);
        for number in 1..2000 {
            // A clock that is 0.5 % slow.
            let now = base + Duration::from_micros(20_100) * number;
            let (captured, _) = pace.next(now);
            let behind = now - 20 * MS - captured;
            assert!(behind < 7 * MS, "{behind:?}");
        }
        let later = base + Duration::from_secs(100);
        assert_eq!(pace.next(later).0, later - 20 * MS);
    }

    #[test]
    fn what_is_no_wav_is_known_before_anybody_listens() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.wav");
        assert!(matches!(check(&path), Err(WaveError::Missing(_))));
        assert!(matches!(check(dir.path()), Err(WaveError::Directory(_))));
        for bytes in [&b"OggS"[..], b"RIFF", b""] {
            std::fs::write(&path, bytes).unwrap();
            assert!(matches!(check(&path), Err(WaveError::Wav { .. })));
        }
    }
}
