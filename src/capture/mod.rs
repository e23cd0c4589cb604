//! Sources: camera, microphone, file, pipe, test card, tone.
//!
//! [`open`] starts the threads that a [`VideoSpec`] and an [`AudioSpec`] ask for; they put what they make into an
//! [`Outlet`] until the [`Capture`] is dropped. Both tracks are stamped on the machine's monotonic clock.

use std::any::Any;
use std::fmt;
use std::fs::File;
use std::io::IsTerminal;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use self::input::Input;
use self::pipe::{OnEnd, Pipe};

mod anchor;
#[cfg(feature = "camera")]
mod camera;
mod error;
mod ffmpeg;
mod file;
mod input;
mod jpeg;
mod kept;
mod listing;
#[cfg(feature = "audio")]
mod microphone;
mod outlet;
mod paint;
mod pipe;
mod pump;
mod resample;
mod spec;
pub mod stamp;
pub mod testcard;
mod tone;
#[cfg(any(feature = "camera", feature = "audio"))]
mod watch;
mod wave;

pub use crate::media::{SourceState, Tracks};
#[cfg(feature = "camera")]
pub use camera::{Camera, CameraError, CameraFormat, PixelFormat, RawFrame};
pub use error::{CaptureError, Hardware};
pub use file::FileError;
pub use listing::{CameraInfo, Devices, SoundInfo, devices};
#[cfg(feature = "audio")]
pub use microphone::MicrophoneError;
pub use outlet::{Empty, Inlet, Outlet, SoundInlet, StateInlet, Track, VideoInlet, channel};
pub use pipe::{PipeEnd, PipeError};
pub use pump::{Leave, Pump, Stop};
pub use spec::{AudioSpec, MAX_FPS, SpecError, VideoSpec};
pub use wave::WaveError;

/// Running sources. Dropping it stops them; a thread that hangs in a driver is left behind.
pub struct Capture {
    /// Whatever stops a source when it is dropped: a [`Pump`], or something around one.
    parts: Vec<Box<dyn Any + Send>>,
}

impl fmt::Debug for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Capture")
            .field("parts", &self.parts.len())
            .finish()
    }
}

/// What outlives a single opening: standard input cannot be opened twice, and whoever writes to a FIFO is not to be cut
/// off because the last viewer left. One for the process, kept by whoever opens.
#[derive(Debug, Default)]
pub struct Keeper {
    pipe: Mutex<Option<Pipe>>,
    sound: Mutex<Option<wave::Stream>>,
}

impl Keeper {
    /// Begins to read standard input if `video` is [`VideoSpec::Pipe`], and a FIFO if `audio` is one, so that whoever
    /// writes there is not held up, and the first viewer does not see old pictures. Without it the first opening does.
    ///
    /// `on_end` is called once, on a thread of the keeper's, if standard input comes to its end; it must not block.
    pub fn listen(
        &self,
        video: &VideoSpec,
        audio: &AudioSpec,
        on_end: Box<dyn FnOnce(PipeEnd) + Send>,
    ) -> Result<(), CaptureError> {
        if matches!(video, VideoSpec::Pipe) {
            self.with_pipe(on_end, |_| ())?;
        }
        if let AudioSpec::Pipe(path) = audio
            && wave::is_stream(path)
        {
            self.with_stream(path, |_| ())?;
        }
        Ok(())
    }

    /// Reads `input` in the place of standard input; `on_end` as with [`listen`](Self::listen).
    pub fn reading(
        input: File,
        on_end: Box<dyn FnOnce(PipeEnd) + Send>,
    ) -> Result<Self, CaptureError> {
        let pipe = Pipe::start(Input::of(input), on_end).map_err(CaptureError::Thread)?;
        Ok(Self {
            pipe: Mutex::new(Some(pipe)),
            ..Self::default()
        })
    }

    fn with_pipe<T>(
        &self,
        on_end: OnEnd,
        action: impl FnOnce(&Pipe) -> T,
    ) -> Result<T, CaptureError> {
        let mut slot = self.pipe.lock().unwrap_or_else(PoisonError::into_inner);
        let pipe = match &mut *slot {
            Some(pipe) => pipe,
            none => {
                let input = Input::stdin().map_err(PipeError::Io)?;
                none.insert(Pipe::start(input, on_end).map_err(CaptureError::Thread)?)
            }
        };
        Ok(action(pipe))
    }

    fn with_stream<T>(
        &self,
        path: &Path,
        action: impl FnOnce(&wave::Stream) -> T,
    ) -> Result<T, CaptureError> {
        let mut slot = self.sound.lock().unwrap_or_else(PoisonError::into_inner);
        let stream = match slot.take() {
            Some(stream) if stream.path() == path => stream,
            _ => wave::Stream::start(path).map_err(CaptureError::Thread)?,
        };
        Ok(action(slot.insert(stream)))
    }
}

/// Whether the files are there that would be read. Starts nothing, and asks no device.
pub fn check_files(video: &VideoSpec, audio: &AudioSpec) -> Result<(), CaptureError> {
    if let VideoSpec::File(path) = video {
        file::look(path)?;
    }
    if let AudioSpec::File(path) = audio {
        file::look(path)?;
    }
    Ok(())
}

/// Whether this looks as if it could be opened, without opening it for good: files are there and hold what they should,
/// devices are listed. May take seconds.
pub fn check(video: &VideoSpec, audio: &AudioSpec) -> Result<Tracks, CaptureError> {
    let mut own_sound = false;
    let picture = match video {
        VideoSpec::Camera(number) => check_camera(*number)?,
        VideoSpec::TestCard { .. } => {
            own_sound = true;
            true
        }
        VideoSpec::File(path) => {
            let tracks = file::check_video(path)?;
            own_sound = tracks.audio;
            tracks.video
        }
        VideoSpec::Pipe if std::io::stdin().is_terminal() => return Err(PipeError::Terminal.into()),
        VideoSpec::Pipe => true,
        VideoSpec::None => false,
    };
    let sound = match audio {
        AudioSpec::Microphone(name) => check_microphone(name.as_deref())?,
        AudioSpec::Auto => own_sound,
        AudioSpec::File(path) => file::check_audio(path).map(|()| true)?,
        AudioSpec::Pipe(path) => wave::check(path).map(|()| true)?,
        AudioSpec::Tone => true,
        AudioSpec::None => false,
    };
    if !picture && !sound {
        return Err(CaptureError::Nothing);
    }
    Ok(Tracks {
        video: picture,
        audio: sound,
    })
}

/// Starts the threads of both sources.
#[expect(
    clippy::disallowed_methods,
    clippy::needless_pass_by_value,
    reason = "both tracks count from one start; the caller's outlet ends with the sources"
)]
pub fn open(
    video: &VideoSpec,
    audio: &AudioSpec,
    outlet: Outlet,
    keeper: &Keeper,
) -> Result<Capture, CaptureError> {
    let start = Instant::now();
    let mut parts: Vec<Box<dyn Any + Send>> = Vec::new();
    let picture = outlet.of(Track::Video);
    let sound = outlet.of(Track::Sound);
    // A film's picture and sound come from one ffmpeg.
    let own_sound = match (video, audio) {
        (VideoSpec::File(_), AudioSpec::Auto) => true,
        (VideoSpec::File(film), AudioSpec::File(path)) => film == path,
        _ => false,
    };
    match video {
        VideoSpec::Camera(number) => parts.push(open_camera(*number, picture)?),
        VideoSpec::TestCard { size, fps } => {
            let (size, fps) = (*size, *fps);
            let body = move |stop: &Stop| testcard::run(size, fps, start, &picture, stop);
            parts.push(Box::new(thread("testcard", body)?));
        }
        VideoSpec::File(path) => {
            let tracks = Tracks {
                video: true,
                audio: own_sound,
            };
            let player = file::play(path, tracks, picture).map_err(CaptureError::Thread)?;
            parts.push(Box::new(player));
        }
        VideoSpec::Pipe => {
            let tap = keeper.with_pipe(Box::new(|_| ()), |pipe| pipe.tap(picture))?;
            parts.push(Box::new(tap));
        }
        VideoSpec::None => {}
    }
    match (audio, video) {
        (AudioSpec::Microphone(name), _) => parts.push(open_microphone(name.as_deref(), sound)?),
        (AudioSpec::Tone, _) | (AudioSpec::Auto, VideoSpec::TestCard { .. }) => {
            let body = move |stop: &Stop| tone::run(start, &sound, stop);
            parts.push(Box::new(thread("tone", body)?));
        }
        (AudioSpec::File(path), _) if !own_sound => {
            let tracks = Tracks {
                video: false,
                audio: true,
            };
            let player = file::play(path, tracks, sound).map_err(CaptureError::Thread)?;
            parts.push(Box::new(player));
        }
        (AudioSpec::Pipe(path), _) if wave::is_stream(path) => {
            parts.push(Box::new(
                keeper.with_stream(path, |stream| stream.tap(sound))?,
            ));
        }
        (AudioSpec::Pipe(path), _) => {
            parts.push(Box::new(
                wave::play(path, sound).map_err(CaptureError::Thread)?,
            ));
        }
        (AudioSpec::Auto | AudioSpec::File(_) | AudioSpec::None, _) => {}
    }
    Ok(Capture { parts })
}

/// A thread that only ever waits for its [`Stop`].
fn thread(name: &str, body: impl FnOnce(&Stop) + Send + 'static) -> Result<Pump, CaptureError> {
    Pump::start(name, Leave::Join, body).map_err(CaptureError::Thread)
}

#[cfg(feature = "camera")]
fn check_camera(number: u32) -> Result<bool, CaptureError> {
    camera::check(number)?;
    Ok(true)
}

#[cfg(feature = "camera")]
fn open_camera(number: u32, outlet: Outlet) -> Result<Box<dyn Any + Send>, CaptureError> {
    Ok(Box::new(camera::open(number, outlet)?))
}

#[cfg(not(feature = "camera"))]
const fn check_camera(_number: u32) -> Result<bool, CaptureError> {
    Err(CaptureError::Unbuilt(Hardware::Camera))
}

#[cfg(not(feature = "camera"))]
fn open_camera(_number: u32, _outlet: Outlet) -> Result<Box<dyn Any + Send>, CaptureError> {
    Err(CaptureError::Unbuilt(Hardware::Camera))
}

#[cfg(feature = "audio")]
fn check_microphone(name: Option<&str>) -> Result<bool, CaptureError> {
    microphone::check(name)?;
    Ok(true)
}

#[cfg(feature = "audio")]
fn open_microphone(
    name: Option<&str>,
    outlet: Outlet,
) -> Result<Box<dyn Any + Send>, CaptureError> {
    Ok(Box::new(microphone::open(name, outlet)?))
}

#[cfg(not(feature = "audio"))]
const fn check_microphone(_name: Option<&str>) -> Result<bool, CaptureError> {
    Err(CaptureError::Unbuilt(Hardware::Microphone))
}

#[cfg(not(feature = "audio"))]
fn open_microphone(
    _name: Option<&str>,
    _outlet: Outlet,
) -> Result<Box<dyn Any + Send>, CaptureError> {
    Err(CaptureError::Unbuilt(Hardware::Microphone))
}
