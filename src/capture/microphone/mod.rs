//! Microphones: short blocks of 48 kHz stereo, stamped with the time at which they were heard.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use cpal::traits::{DeviceTrait, StreamTrait};
use cpal::{BufferSize, FromSample, InputCallbackInfo, SampleFormat, SizedSample, StreamConfig};

use crate::capture::watch::{self, Supply, now};
use crate::capture::{CaptureError, Outlet, Pump};
use crate::media::SoundBlock;

mod device;
mod shape;
mod stamp;

pub(super) use device::{list_microphones, list_speakers};

use device::Found;
use shape::Shape;
use stamp::Stamper;

/// Why there is no sound from a microphone; the words are for a person.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MicrophoneError {
    /// There is no microphone at all.
    #[error("no microphone found; plug one in, or try --audio tone or --audio none")]
    NoneFound,
    /// There are others.
    #[error("no microphone is called '{name}'; there is {there}")]
    NoSuch {
        /// As asked for.
        name: String,
        /// What there is, listed.
        there: String,
    },
    /// The system's default only hears what the speakers play.
    #[error(
        "the system's default microphone is '{name}', which only hears what the speakers play; ask for that with --audio mic:NAME"
    )]
    OnlyMonitor {
        /// What it calls itself.
        name: String,
    },
    /// Somebody else has it.
    #[error("the microphone '{name}' is in use by another program; close that one")]
    Busy {
        /// What it calls itself.
        name: String,
    },
    /// The system does not let us.
    #[error(
        "no permission to use the microphone '{name}'; on Linux try: sudo usermod -aG audio $USER, and log in again"
    )]
    Forbidden {
        /// What it calls itself.
        name: String,
    },
    /// It went away.
    #[error("the microphone '{name}' is gone")]
    Gone {
        /// What it calls itself.
        name: String,
    },
    /// It failed otherwise.
    #[error("the microphone '{name}' failed: {why}")]
    Failed {
        /// What it calls itself.
        name: String,
        /// What the library says.
        why: String,
    },
}

/// Whether such a microphone is there; `name` is any part of its name, none the system's default.
pub(super) fn check(name: Option<&str>) -> Result<(), MicrophoneError> {
    device::find(name).map(drop)
}

/// Opens the microphone and keeps it going until the pump is dropped.
pub(super) fn open(name: Option<&str>, outlet: Outlet) -> Result<Pump, CaptureError> {
    let name = name.map(ToOwned::to_owned);
    watch::start(Microphones { name }, outlet)
}

/// Buffers to ask for, in frames at 48 kHz: the library's default is 2 s on PulseAudio. Some hardware has no short ones.
const BUFFERS: [u32; 3] = [480, 960, 2400];

/// Blocks of sound in a second.
const BLOCKS: u32 = 100;

/// How often the ring is looked at: the callback must not wake anybody.
const LOOK: Duration = Duration::from_millis(4);

/// How many looks without sound before the watch gets a turn.
const LOOKS: u32 = 25;

/// More than this is a wrong number, not a latency.
const MAX_LATENCY: Duration = Duration::from_millis(500);

/// Blocks over which the latency is smoothed: PulseAudio's first number is far off.
const LATENCY_SCALE: i64 = 32;

struct Microphones {
    name: Option<String>,
}

/// An open microphone; the stream may not leave its thread.
struct Running {
    name: String,
    _stream: cpal::Stream,
    ring: rtrb::Consumer<f32>,
    errors: mpsc::Receiver<cpal::Error>,
    counts: Arc<Counts>,
    dropped: u64,
    /// The latency in 1/[`LATENCY_SCALE`] microseconds, smoothed.
    latency: i64,
    channels: usize,
    rate: u32,
    stamper: Stamper,
    shape: Shape,
}

/// What the callback has to say.
#[derive(Debug, Default)]
struct Counts {
    /// Age of the newest sample when it was handed over, in microseconds.
    latency: AtomicU32,
    /// Samples that found no room.
    dropped: AtomicU64,
}

impl Supply for Microphones {
    type Device = Running;
    type Item = SoundBlock;
    type Error = MicrophoneError;

    fn name(&self) -> &'static str {
        "microphone"
    }

    fn open(&self) -> Result<Running, MicrophoneError> {
        let Found {
            device,
            name,
            config,
            format,
        } = device::find(self.name.as_deref())?;
        let mut last = None;
        for frames in BUFFERS {
            let buffer_size =
                BufferSize::Fixed(frames * config.sample_rate / crate::media::SAMPLE_RATE);
            let config = StreamConfig {
                buffer_size,
                ..config
            };
            match Running::start(&device, &name, config, format) {
                Ok(running) => {
                    tracing::info!(name, rate = config.sample_rate, channels = config.channels, %format, "microphone opened");
                    return Ok(running);
                }
                Err(err) => last = Some(err),
            }
        }
        Err(last.unwrap_or(MicrophoneError::NoneFound))
    }

    fn next(&self, running: &mut Running) -> Result<Option<SoundBlock>, MicrophoneError> {
        for _ in 0..LOOKS {
            if let Ok(err) = running.errors.try_recv() {
                return Err(device::error(&running.name, &err));
            }
            if let Some(block) = running.take() {
                return Ok(Some(block));
            }
            std::thread::sleep(LOOK);
        }
        Ok(None)
    }

    fn deliver(&self, outlet: &Outlet, block: SoundBlock) {
        outlet.sound(block);
    }
}

impl Running {
    fn start(
        device: &cpal::Device,
        name: &str,
        config: StreamConfig,
        format: SampleFormat,
    ) -> Result<Self, MicrophoneError> {
        let channels = usize::from(config.channels);
        let rate = config.sample_rate;
        let (ring, receiver) = rtrb::RingBuffer::new(channels * rate as usize);
        let (error_sender, errors) = mpsc::sync_channel(4);
        let counts = Arc::new(Counts::default());
        let callback = Callback {
            ring,
            counts: Arc::clone(&counts),
            channels,
            rate,
        };
        let failed = move |err: cpal::Error| {
            if device::is_fatal(&err) {
                let _ = error_sender.try_send(err); // the first one is enough
            }
        };
        let stream = if format == SampleFormat::F32 {
            callback.build::<f32>(device, config, failed)
        } else if format == SampleFormat::I16 {
            callback.build::<i16>(device, config, failed)
        } else if format == SampleFormat::I32 {
            callback.build::<i32>(device, config, failed)
        } else if format == SampleFormat::U8 {
            callback.build::<u8>(device, config, failed)
        } else {
            Err(cpal::ErrorKind::UnsupportedConfig.into())
        };
        let stream = stream.map_err(|err| device::error(name, &err))?;
        stream.play().map_err(|err| device::error(name, &err))?;
        Ok(Self {
            name: name.to_owned(),
            _stream: stream,
            ring: receiver,
            errors,
            counts,
            dropped: 0,
            latency: 0,
            channels,
            rate,
            stamper: Stamper::default(),
            shape: Shape::new(channels, rate).map_err(|why| MicrophoneError::Failed {
                name: name.to_owned(),
                why: why.to_string(),
            })?,
        })
    }

    /// A block, if one is there whole.
    fn take(&mut self) -> Option<SoundBlock> {
        let waiting = self.ring.slots() / self.channels;
        let frames = (self.rate / BLOCKS) as usize;
        if waiting < frames {
            return None;
        }
        let latency = i64::from(self.counts.latency.load(Ordering::Relaxed));
        self.latency += (latency * LATENCY_SCALE - self.latency) / LATENCY_SCALE;
        let latency = Duration::from_micros((self.latency / LATENCY_SCALE).unsigned_abs());
        let behind = length(waiting, self.rate) + latency;
        let dropped = self.counts.dropped.load(Ordering::Relaxed);
        if dropped != self.dropped {
            tracing::warn!(
                samples = dropped - self.dropped,
                "sound of the microphone was lost"
            );
            self.dropped = dropped;
            self.stamper.restart();
        }
        let chunk = self.ring.read_chunk(frames * self.channels).ok()?;
        let heard = self.stamper.stamp(now(), behind, length(frames, self.rate));
        self.shape.push(chunk.into_iter(), heard)
    }
}

struct Callback {
    ring: rtrb::Producer<f32>,
    counts: Arc<Counts>,
    channels: usize,
    rate: u32,
}

impl Callback {
    fn build<T>(
        mut self,
        device: &cpal::Device,
        config: StreamConfig,
        failed: impl FnMut(cpal::Error) + Send + 'static,
    ) -> Result<cpal::Stream, cpal::Error>
    where
        T: SizedSample,
        f32: FromSample<T>,
    {
        device.build_input_stream(
            config,
            move |samples: &[T], info: &InputCallbackInfo| self.hear(samples, info),
            failed,
            Some(Duration::from_secs(5)),
        )
    }

    /// Runs on the device's thread: no lock, no allocation, no system call.
    fn hear<T>(&mut self, samples: &[T], info: &InputCallbackInfo)
    where
        T: SizedSample,
        f32: FromSample<T>,
    {
        let room = self.ring.slots() / self.channels * self.channels;
        let taken = samples.len().min(room);
        if let Ok(chunk) = self.ring.write_chunk_uninit(taken) {
            chunk.fill_from_iter(samples.iter().map(|s| f32::from_sample_(*s)));
        }
        if taken < samples.len() {
            let lost = (samples.len() - taken) as u64;
            self.counts.dropped.fetch_add(lost, Ordering::Relaxed);
        }
        // `capture` is about the first of these samples, the newest is younger by their length
        let stamp = info.timestamp();
        let age = stamp.callback.duration_since(stamp.capture);
        let newest = age
            .saturating_sub(length(samples.len() / self.channels, self.rate))
            .min(MAX_LATENCY);
        let newest = u32::try_from(newest.as_micros()).unwrap_or(0);
        self.counts.latency.store(newest, Ordering::Relaxed);
    }
}

/// How long so many frames last.
fn length(frames: usize, rate: u32) -> Duration {
    Duration::from_micros(frames as u64 * 1_000_000 / u64::from(rate.max(1)))
}
