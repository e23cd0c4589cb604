//! What people type for `--video` and `--audio`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::media::{Size, SizeError};

/// Where the picture comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum VideoSpec {
    /// A camera by its number in `tunnelcast devices`.
    Camera(u32),
    /// A moving picture made by the program.
    TestCard {
        /// Width and height.
        size: Size,
        /// Pictures a second, 1 to [`MAX_FPS`].
        fps: u32,
    },
    /// Anything that ffmpeg reads, in real time, again and again.
    File(PathBuf),
    /// YUV4MPEG2 or a stream of JPEGs on standard input.
    Pipe,
    /// No picture.
    None,
}

/// Where the sound comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AudioSpec {
    /// What belongs to the picture: a file's own sound, the tone with the test card, else none. Not typed by people.
    Auto,
    /// A microphone by name, or the system's default.
    Microphone(Option<String>),
    /// A tone made by the program, in step with the test card.
    Tone,
    /// Anything that ffmpeg reads, in real time, again and again.
    File(PathBuf),
    /// WAV from a file or a FIFO.
    Pipe(PathBuf),
    /// No sound.
    None,
}

/// The most pictures a second that a test card makes.
pub const MAX_FPS: u32 = 240;

/// The test card unless something else is asked for.
const CARD_SIZE: (u32, u32) = (1280, 720);
const CARD_FPS: u32 = 30;

impl FromStr for VideoSpec {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let (kind, rest) = split(text);
        match (kind, rest) {
            ("camera", None) => Ok(Self::Camera(0)),
            ("camera", Some(number)) => match number.parse() {
                Ok(number) => Ok(Self::Camera(number)),
                Err(_) => Err(SpecError::CameraNumber(number.to_owned())),
            },
            ("testcard", None) => card(CARD_SIZE, CARD_FPS),
            ("testcard", Some(rest)) => parse_card(rest),
            ("file", path) => Ok(Self::File(some_path("file", path)?)),
            ("pipe", Some("-")) => Ok(Self::Pipe),
            ("pipe", _) => Err(SpecError::PictureOnlyFromStandardInput),
            ("none", None) => Ok(Self::None),
            _ => Err(SpecError::UnknownVideo(text.to_owned())),
        }
    }
}

impl fmt::Display for VideoSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Camera(number) => write!(f, "camera:{number}"),
            Self::TestCard { size, fps } => write!(f, "testcard:{size}@{fps}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Pipe => f.write_str("pipe:-"),
            Self::None => f.write_str("none"),
        }
    }
}

impl FromStr for AudioSpec {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let (kind, rest) = split(text);
        match (kind, rest) {
            ("mic", None) => Ok(Self::Microphone(None)),
            ("mic", Some("")) => Err(SpecError::Empty("mic")),
            ("mic", Some(name)) => Ok(Self::Microphone(Some(name.to_owned()))),
            ("tone", None) => Ok(Self::Tone),
            ("file", path) => Ok(Self::File(some_path("file", path)?)),
            ("pipe", Some("-")) => Err(SpecError::SoundNotFromStandardInput),
            ("pipe", path) => Ok(Self::Pipe(some_path("pipe", path)?)),
            ("none", None) => Ok(Self::None),
            _ => Err(SpecError::UnknownAudio(text.to_owned())),
        }
    }
}

impl fmt::Display for AudioSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Microphone(None) => f.write_str("mic"),
            Self::Microphone(Some(name)) => write!(f, "mic:{name}"),
            Self::Tone => f.write_str("tone"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Pipe(path) => write!(f, "pipe:{}", path.display()),
            Self::None => f.write_str("none"),
        }
    }
}

/// A source that nobody can open, because its name is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// No such kind of video source.
    #[error(
        "unknown video source '{0}'; known: camera[:N], testcard[:WxH@FPS], file:PATH, pipe:-, none"
    )]
    UnknownVideo(String),
    /// No such kind of audio source.
    #[error("unknown audio source '{0}'; known: mic[:NAME], tone, file:PATH, pipe:PATH, none")]
    UnknownAudio(String),
    /// `camera:` and something that is no number.
    #[error(
        "camera '{0}' is no number; `tunnelcast devices` lists the cameras, the first is camera:0"
    )]
    CameraNumber(String),
    /// A test card's size and rate that cannot be read.
    #[error("test card '{0}' is not of the form WxH@FPS; try testcard:1280x720@30")]
    Card(String),
    /// A test card too small or too large.
    #[error(transparent)]
    Size(#[from] SizeError),
    /// A test card too slow or too fast.
    #[error("{0} pictures a second is out of bounds (1 to {MAX_FPS})")]
    Fps(u32),
    /// Nothing behind the colon.
    #[error("nothing after '{0}:'; give a path or a name")]
    Empty(&'static str),
    /// `pipe:PATH` as a picture.
    #[error("a picture is only piped through standard input; use pipe:-, or file:PATH for a file")]
    PictureOnlyFromStandardInput,
    /// `pipe:-` as sound.
    #[error("standard input is for the picture; give the sound as pipe:PATH of a FIFO or WAV file")]
    SoundNotFromStandardInput,
}

fn split(text: &str) -> (&str, Option<&str>) {
    match text.split_once(':') {
        Some((kind, rest)) => (kind, Some(rest)),
        None => (text, None),
    }
}

fn some_path(kind: &'static str, path: Option<&str>) -> Result<PathBuf, SpecError> {
    match path {
        None | Some("") => Err(SpecError::Empty(kind)),
        Some(path) => Ok(PathBuf::from(path)),
    }
}

/// `WxH`, `WxH@FPS` or `@FPS`.
fn parse_card(text: &str) -> Result<VideoSpec, SpecError> {
    let bad = || SpecError::Card(text.to_owned());
    let (size, fps) = match text.split_once('@') {
        Some((size, fps)) => (size, fps.parse().map_err(|_| bad())?),
        None => (text, CARD_FPS),
    };
    let size = match size.split_once('x') {
        Some((w, h)) => (w.parse().map_err(|_| bad())?, h.parse().map_err(|_| bad())?),
        None if size.is_empty() && text.len() > 1 => CARD_SIZE,
        None => return Err(bad()),
    };
    card(size, fps)
}

fn card((width, height): (u32, u32), fps: u32) -> Result<VideoSpec, SpecError> {
    if !(1..=MAX_FPS).contains(&fps) {
        return Err(SpecError::Fps(fps));
    }
    Ok(VideoSpec::TestCard {
        size: Size::new(width, height)?,
        fps,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_video_source_survives_being_written_and_read() {
        for text in [
            "camera:0",
            "camera:3",
            "testcard:640x360@25",
            "file:a:b.mp4",
            "pipe:-",
            "none",
        ] {
            let spec: VideoSpec = text.parse().unwrap();
            assert_eq!(spec.to_string(), text);
        }
        assert_eq!("camera".parse(), Ok(VideoSpec::Camera(0)));
        let card: VideoSpec = "testcard".parse().unwrap();
        assert_eq!(card.to_string(), "testcard:1280x720@30");
        assert_eq!("testcard:@30".parse(), Ok(card.clone()));
        assert_eq!("testcard:1280x720".parse(), Ok(card));
    }

    #[test]
    fn every_audio_source_survives_being_written_and_read() {
        for text in [
            "mic",
            "mic:Built-in: left",
            "tone",
            "file:x.wav",
            "pipe:/tmp/f",
            "none",
        ] {
            let spec: AudioSpec = text.parse().unwrap();
            assert_eq!(spec.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_source_says_what_would_be() {
        let error = |text: &str| text.parse::<VideoSpec>().unwrap_err().to_string();
        assert_eq!(
            error("vhs"),
            "unknown video source 'vhs'; known: camera[:N], testcard[:WxH@FPS], file:PATH, pipe:-, none"
        );
        assert!(error("camera:front").contains("no number"));
        assert!(error("testcard:big").contains("WxH@FPS"));
        assert!(error("testcard:").contains("WxH@FPS"));
        assert!(error("testcard:@").contains("WxH@FPS"));
        assert!(error("testcard:640x360@0").contains("out of bounds"));
        assert!(error("testcard:99999x1").contains("out of bounds"));
        assert!(error("testcard:4294967295x4294967295").contains("out of bounds"));
        assert!(error("file:").contains("nothing after"));
        assert!(error("file").contains("nothing after"));
        assert!(error("pipe:/tmp/x").contains("pipe:-"));
        assert!(error("none:x").contains("unknown"));
        let error = |text: &str| text.parse::<AudioSpec>().unwrap_err().to_string();
        assert!(error("auto").contains("mic[:NAME]"));
        assert!(error("pipe:-").contains("FIFO"));
        assert!(error("mic:").contains("nothing after"));
    }
}
