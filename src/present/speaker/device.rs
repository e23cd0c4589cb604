//! The thread that owns the sound card: opens it, watches it, opens it again.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, SyncSender},
    },
    time::{Duration, Instant},
};

use cpal::{
    BufferSize, Device, ErrorKind, OutputCallbackInfo, SampleFormat, SizedSample, Stream,
    StreamConfig,
    traits::{DeviceTrait as _, HostTrait as _, StreamTrait as _},
};

use super::{
    Command, News,
    fit::Fit,
    ring::{FromFloat, Line, Outflow, Shared, ring},
};
use crate::media::SAMPLE_RATE;

/// Until told to stop, or until nobody listens.
pub(super) fn run(
    news: &SyncSender<News>,
    commands: &Receiver<Command>,
    failures: &SyncSender<Command>,
) {
    let mut tries = Tries::default();
    let mut fit = Fit::new(PERIODS.len() - 1, now());
    // plays what it still holds while the next one begins
    let mut last: Option<Stream> = None;
    // who writes does not know yet that nobody plays
    let mut cut_off = false;
    loop {
        crate::quiet::alsa();
        let report = match open(fit.step(), failures) {
            Ok(Opened {
                stream,
                line,
                shared,
                step,
            }) => {
                (tries, cut_off) = (Tries::default(), false);
                fit.opened(step);
                if news.send(News::Playing(line)).is_err() {
                    return;
                }
                match watch(commands, &shared, &mut fit, last.take()) {
                    End::Stop => return,
                    End::Lost { why } => Some(News::Lost { why }),
                    End::OtherBuffer => {
                        tracing::debug!(frames = PERIODS[fit.step()][0], "sound in other steps");
                        last = Some(stream);
                        continue;
                    }
                }
            }
            // a device that takes one stream at a time
            Err(_) if last.take().is_some() => {
                cut_off = true;
                continue;
            }
            Err(why) if std::mem::take(&mut cut_off) => Some(News::Lost { why }),
            // once is enough to know
            Err(why) => (tries.failed == 0).then_some(News::Missing { why }),
        };
        if report.is_some_and(|report| news.send(report).is_err()) {
            return;
        }
        if !pause(commands, tries.next()) {
            return;
        }
    }
}

/// Grows the pauses between tries; a card that is not there is not asked for all the time.
#[derive(Default)]
struct Tries {
    failed: u32,
}

impl Tries {
    fn next(&mut self) -> Duration {
        let pause = Duration::from_millis(500) * 2_u32.saturating_pow(self.failed.min(7));
        self.failed += 1;
        pause.min(Duration::from_secs(60))
    }
}

/// Why a stream has ended.
enum End {
    Stop,
    Lost {
        why: String,
    },
    /// Its buffer is too short for this machine, or longer than it need be.
    OtherBuffer,
}

/// Sits beside a running stream until it has to end; lets go of the one before it at the first look.
fn watch(
    commands: &Receiver<Command>,
    shared: &Arc<Shared>,
    fit: &mut Fit,
    mut last: Option<Stream>,
) -> End {
    let mut seen = shared.callbacks();
    let mut quiet = 0;
    loop {
        match commands.recv_timeout(WATCH) {
            Ok(Command::Stop) | Err(RecvTimeoutError::Disconnected) => return End::Stop,
            Ok(Command::Failed { why }) => return End::Lost { why },
            Err(RecvTimeoutError::Timeout) => drop(last.take()),
        }
        // some streams die without a word
        let callbacks = shared.callbacks();
        quiet = if callbacks == seen { quiet + 1 } else { 0 };
        seen = callbacks;
        if quiet >= QUIET {
            return End::Lost {
                why: "it stopped asking for sound".into(),
            };
        }
        if fit.look(shared.late(), now()) {
            return End::OtherBuffer;
        }
    }
}

/// Waits; false to stop. What an old stream still has to say no longer matters.
fn pause(commands: &Receiver<Command>, time: Duration) -> bool {
    let mut left = time;
    while !left.is_zero() {
        let step = left.min(WATCH);
        match commands.recv_timeout(step) {
            Ok(Command::Stop) | Err(RecvTimeoutError::Disconnected) => return false,
            Ok(Command::Failed { .. }) => {}
            Err(RecvTimeoutError::Timeout) => left -= step,
        }
    }
    true
}

struct Opened {
    stream: Stream,
    line: Line,
    shared: Arc<Shared>,
    /// Of [`PERIODS`].
    step: usize,
}

/// The default device of the best sound system there is, with the first of [`PERIODS`] from `step` on that it takes.
fn open(step: usize, failures: &SyncSender<Command>) -> Result<Opened, String> {
    let device = find().ok_or("the system has none")?;
    let name = device.to_string();
    let ranges = device
        .supported_output_configs()
        .map_err(|err| err.to_string())?;
    let usual = device
        .default_output_config()
        .map_err(|err| err.to_string())?;
    // floats if it takes them, as they are; else what it likes best
    let format = ranges
        .filter(|range| range.channels() == usual.channels())
        .map(|range| range.sample_format())
        .find(|format| *format == SampleFormat::F32)
        .unwrap_or_else(|| usual.sample_format());
    let mut refused = String::new();
    let periods = PERIODS.iter().enumerate().skip(step);
    for (step, frames) in periods.flat_map(|(step, both)| both.map(|frames| (step, frames))) {
        let config = StreamConfig {
            channels: usual.channels(),
            sample_rate: if usual.sample_rate() == 0 {
                SAMPLE_RATE
            } else {
                usual.sample_rate()
            },
            // never the default: with PulseAudio that is 2 s
            buffer_size: BufferSize::Fixed(frames),
        };
        match build(&device, &name, config, format, failures) {
            Ok((stream, line, shared)) => {
                return Ok(Opened {
                    stream,
                    line,
                    shared,
                    step,
                });
            }
            Err(err) => refused = err,
        }
    }
    Err(refused)
}

/// PulseAudio (or PipeWire in its clothes) by its own protocol where it runs, else what the system calls its default.
fn find() -> Option<Device> {
    let preferred = cpal::available_hosts()
        .into_iter()
        .find(|id| id.to_string().eq_ignore_ascii_case("pulseaudio"))
        .and_then(|id| cpal::host_from_id(id).ok())
        .and_then(|host| host.default_output_device());
    let device = preferred.or_else(|| cpal::default_host().default_output_device())?;
    // ALSA's `null` has no clock: it would take sound as fast as a core can make it
    let is_null = device.to_string().eq_ignore_ascii_case("null")
        || device
            .id()
            .is_ok_and(|id| id.to_string().to_ascii_lowercase().ends_with(":null"));
    (!is_null).then_some(device)
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "sample formats are the library's, and no sound card has only the others"
)]
fn build(
    device: &Device,
    name: &str,
    config: StreamConfig,
    format: SampleFormat,
    failures: &SyncSender<Command>,
) -> Result<(Stream, Line, Arc<Shared>), String> {
    let (line, outflow, shared) = ring(config.sample_rate, name.to_owned(), now());
    let built = match format {
        SampleFormat::F32 => stream::<f32>(device, config, outflow, failures),
        SampleFormat::I32 => stream::<i32>(device, config, outflow, failures),
        SampleFormat::I16 => stream::<i16>(device, config, outflow, failures),
        SampleFormat::U8 => stream::<u8>(device, config, outflow, failures),
        _ => return Err(format!("it wants samples as {format}")),
    };
    let stream = built.map_err(|err| err.to_string())?;
    stream.play().map_err(|err| err.to_string())?;
    Ok((stream, line, shared))
}

fn stream<T: SizedSample + FromFloat + Send + 'static>(
    device: &Device,
    config: StreamConfig,
    mut outflow: Outflow,
    failures: &SyncSender<Command>,
) -> Result<Stream, cpal::Error> {
    let failures = failures.clone();
    let channels = usize::from(config.channels);
    device.build_output_stream::<T, _, _>(
        config,
        move |out: &mut [T], info: &OutputCallbackInfo| {
            let times = info.timestamp();
            let ahead = times.playback.duration_since(times.callback);
            outflow.fill(out, channels, now(), ahead);
        },
        move |err| {
            let goes_on = matches!(
                err.kind(),
                ErrorKind::DeviceChanged | ErrorKind::Xrun | ErrorKind::RealtimeDenied
            );
            if !goes_on {
                // if there is no room, another failure is already known
                let _ = failures.try_send(Command::Failed {
                    why: err.to_string(),
                });
            }
        },
        Some(Duration::from_secs(2)),
    )
}

#[expect(
    clippy::disallowed_methods,
    reason = "a device's thread: the device's time is this clock's"
)]
pub(super) fn now() -> Instant {
    Instant::now()
}

/// Frames asked for at a time: 10 ms, and where that is too short for the machine 20 and 40; each as a power of two
/// where the hardware insists.
const PERIODS: [[u32; 2]; 3] = [[480, 512], [960, 1024], [1920, 2048]];

/// How often a running stream is looked at.
const WATCH: Duration = Duration::from_millis(500);

/// Looks without a callback in between that make a stream dead.
const QUIET: u32 = 4;
