//! Finding a sound device and the configuration to ask of it.

use std::time::Duration;

use cpal::traits::{DeviceTrait, HostTrait};
use cpal::{BufferSize, Device, ErrorKind, SampleFormat, StreamConfig};

use super::MicrophoneError;
use crate::media::SAMPLE_RATE;

/// A microphone and what to ask of it.
pub(super) struct Found {
    pub(super) device: Device,
    /// What it calls itself.
    pub(super) name: String,
    pub(super) config: StreamConfig,
    pub(super) format: SampleFormat,
}

/// The microphone with `name` in its name or id, else the system's default.
pub(super) fn find(name: Option<&str>) -> Result<Found, MicrophoneError> {
    let host = host();
    let device = match name {
        None => default(&host)?,
        Some(name) => named(&host, name)?,
    };
    let called = called(&device);
    match config(&device, &called) {
        Ok((config, format)) => Ok(Found {
            device,
            name: called,
            config,
            format,
        }),
        // ALSA always has a default; whether anything is behind it shows only now
        Err(MicrophoneError::Gone { .. }) if name.is_none() => Err(MicrophoneError::NoneFound),
        Err(err) => Err(err),
    }
}

fn default(host: &cpal::Host) -> Result<Device, MicrophoneError> {
    let device = host
        .default_input_device()
        .filter(|device| !is_plugin(device))
        .ok_or(MicrophoneError::NoneFound)?;
    if is_monitor(&device) {
        let name = called(&device);
        return Err(MicrophoneError::OnlyMonitor { name });
    }
    Ok(device)
}

/// The one of exactly that name, else one with it as a part, rather a microphone than what a speaker plays.
fn named(host: &cpal::Host, wanted: &str) -> Result<Device, MicrophoneError> {
    let mut devices = inputs(host);
    let folded = wanted.to_lowercase();
    let has = |text: String| text.to_lowercase().contains(&folded);
    let rank = |device: &Device| {
        if called(device) == wanted || id(device) == wanted {
            Some(0)
        } else if has(called(device)) || has(id(device)) {
            Some(1 + u8::from(is_monitor(device)))
        } else {
            None
        }
    };
    let best = (0..devices.len())
        .filter_map(|at| Some((rank(&devices[at])?, at)))
        .min();
    match best {
        Some((_, at)) => Ok(devices.swap_remove(at)),
        None if devices.is_empty() => Err(MicrophoneError::NoneFound),
        None => {
            let names: Vec<_> = devices.iter().map(|d| format!("'{}'", called(d))).collect();
            Err(MicrophoneError::NoSuch {
                name: wanted.to_owned(),
                there: names.join(", "),
            })
        }
    }
}

/// What to ask of it: 48 kHz where it can, its own channels, floats where it can.
fn config(device: &Device, name: &str) -> Result<(StreamConfig, SampleFormat), MicrophoneError> {
    let failed = |err: cpal::Error| error(name, &err);
    let usual = device.default_input_config().map_err(failed)?;
    let channels = usual.channels().clamp(1, 2);
    let best = device
        .supported_input_configs()
        .map_err(failed)?
        .filter_map(|range| {
            let format = format_rank(range.sample_format())?;
            let (low, high) = (range.min_sample_rate(), range.max_sample_rate());
            let rate = SAMPLE_RATE.clamp(low, high);
            if !RATES.contains(&rate) {
                return None;
            }
            let off = (
                rate.abs_diff(SAMPLE_RATE),
                range.channels().abs_diff(channels),
                format,
            );
            Some((off, range.channels(), rate, range.sample_format()))
        })
        .min_by_key(|(off, ..)| *off);
    let Some((_, channels, sample_rate, format)) = best else {
        return Err(error(name, &ErrorKind::UnsupportedConfig.into()));
    };
    let config = StreamConfig {
        channels,
        sample_rate,
        buffer_size: BufferSize::Default,
    };
    Ok((config, format))
}

/// Names and ids of microphones; the default first.
pub(in crate::capture) fn list_microphones() -> Vec<(String, String)> {
    let host = host();
    let default = host.default_input_device().map(|device| id(&device));
    described(&inputs(&host), default.as_deref())
}

/// Names and ids of speakers; the default first.
pub(in crate::capture) fn list_speakers() -> Vec<(String, String)> {
    let host = host();
    let default = host.default_output_device().map(|device| id(&device));
    let devices: Vec<_> = host
        .output_devices()
        .map(|devices| devices.filter(|device| !is_plugin(device)).collect())
        .unwrap_or_default();
    described(&devices, default.as_deref())
}

/// Whether the stream is over with this.
pub(super) fn is_fatal(err: &cpal::Error) -> bool {
    !matches!(
        err.kind(),
        ErrorKind::Xrun | ErrorKind::DeviceChanged | ErrorKind::RealtimeDenied
    )
}

/// The library's error about the device of that name.
pub(super) fn error(name: &str, err: &cpal::Error) -> MicrophoneError {
    let name = name.to_owned();
    let kind = err.kind();
    if kind == ErrorKind::DeviceBusy {
        MicrophoneError::Busy { name }
    } else if kind == ErrorKind::PermissionDenied {
        MicrophoneError::Forbidden { name }
    } else if matches!(
        kind,
        ErrorKind::DeviceNotAvailable | ErrorKind::HostUnavailable | ErrorKind::StreamInvalidated
    ) {
        MicrophoneError::Gone { name }
    } else {
        MicrophoneError::Failed {
            name,
            why: err.to_string(),
        }
    }
}

/// Rates that can be brought to 48 kHz.
const RATES: std::ops::RangeInclusive<u32> = 8_000..=192_000;

/// Lower is better; `None` for what we do not read.
fn format_rank(format: SampleFormat) -> Option<usize> {
    FORMATS.iter().position(|known| *known == format)
}

/// What we read, best first.
const FORMATS: [SampleFormat; 4] = [
    SampleFormat::F32,
    SampleFormat::I16,
    SampleFormat::I32,
    SampleFormat::U8,
];

fn inputs(host: &cpal::Host) -> Vec<Device> {
    host.input_devices()
        .map(|devices| devices.filter(|device| !is_plugin(device)).collect())
        .unwrap_or_default()
}

fn described(devices: &[Device], default: Option<&str>) -> Vec<(String, String)> {
    let mut list: Vec<_> = devices
        .iter()
        .map(|device| (called(device), id(device)))
        .collect();
    list.sort_by_key(|(_, id)| Some(id.as_str()) != default);
    list
}

fn called(device: &Device) -> String {
    device.description().map_or_else(
        |_| id(device),
        |description| {
            description
                .name()
                .lines()
                .next()
                .unwrap_or_default()
                .to_owned()
        },
    )
}

fn id(device: &Device) -> String {
    device.id().map(|id| id.id().to_owned()).unwrap_or_default()
}

/// The sound server where one answers, else the system's own devices.
fn host() -> cpal::Host {
    crate::quiet::alsa();
    for _ in 0..SERVER_TRIES {
        let server = cpal::available_hosts()
            .into_iter()
            .find(|id| id.name() == "PulseAudio");
        let Some(server) = server else {
            break;
        };
        match cpal::host_from_id(server) {
            Ok(host) => return host,
            Err(err) => tracing::debug!(%err, "the sound server does not answer"),
        }
        std::thread::sleep(SERVER_PAUSE);
    }
    cpal::default_host()
}

/// A server that has just started may refuse at first.
const SERVER_TRIES: u32 = 3;

/// Between two of these tries.
const SERVER_PAUSE: Duration = Duration::from_millis(100);

/// ALSA's plug-ins that are no devices; the first hears nothing for ever, at any speed.
fn is_plugin(device: &Device) -> bool {
    const PLUGINS: [&str; 9] = [
        "null",
        "lavrate",
        "samplerate",
        "speexrate",
        "jack",
        "oss",
        "speex",
        "upmix",
        "vdownmix",
    ];
    PLUGINS.contains(&id(device).as_str())
}

/// A source that hears what a speaker plays.
fn is_monitor(device: &Device) -> bool {
    id(device).ends_with(".monitor")
}
