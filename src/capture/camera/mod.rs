//! Cameras: a trait of our own, the library behind it, and what keeps a camera going.

use std::borrow::Cow;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::capture::jpeg::MAX_BROKEN;
use crate::capture::watch::{self, Supply};
use crate::capture::{CaptureError, Outlet, Pump};
use crate::codec::JpegError;
use crate::media::{Size, SizeError, VideoFrame};

mod choose;
mod convert;
mod nokhwa;
#[cfg(target_os = "linux")]
mod v4l2;

pub(super) use self::nokhwa::{Offer, list};
pub(super) use choose::rank as ranked;

use convert::Converter;

/// An opened camera. Reading may hang for as long as the driver likes, so it belongs on a thread of its own.
pub trait Camera {
    /// Waits for the next frame.
    fn next(&mut self) -> Result<RawFrame<'_>, CameraError>;

    /// What the camera says that it delivers.
    fn format(&self) -> CameraFormat;
}

/// A frame as it came from the driver.
#[derive(Clone, Debug)]
pub struct RawFrame<'a> {
    /// What it is.
    pub format: CameraFormat,
    /// The driver's buffer: at least the frame, with anything behind it.
    pub bytes: Cow<'a, [u8]>,
    /// When the driver had it whole.
    pub captured: Instant,
}

/// What a camera delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CameraFormat {
    /// Width and height.
    pub size: Size,
    /// Pictures a second.
    pub fps: u32,
    /// How they are coded.
    pub pixels: PixelFormat,
}

impl std::fmt::Display for CameraFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at {} fps as {}", self.size, self.fps, self.pixels)
    }
}

/// How a camera codes its pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PixelFormat {
    /// JPEGs (MJPG).
    Jpeg,
    /// 4:2:2, packed, limited range.
    Yuyv,
    /// 4:2:0, luma then interleaved chroma, limited range.
    Nv12,
}

impl std::fmt::Display for PixelFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Jpeg => "JPEG",
            Self::Yuyv => "YUYV",
            Self::Nv12 => "NV12",
        })
    }
}

/// Why there is no picture from a camera; the words are for a person.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CameraError {
    /// There is no camera at all.
    #[error("no camera found; plug one in, or try --video testcard")]
    NoneFound,
    /// There are others.
    #[error("there is no camera {number}; there is {there}")]
    NoSuch {
        /// As asked for.
        number: u32,
        /// What there is, listed.
        there: String,
    },
    /// It was there before.
    #[error("the camera {name} is unplugged")]
    Unplugged {
        /// What it calls itself.
        name: String,
    },
    /// Somebody else has it.
    #[error("the camera {name} is in use by another program; close that one")]
    Busy {
        /// What it calls itself.
        name: String,
    },
    /// The system does not let us.
    #[error(
        "no permission to open the camera {name}; on Linux try: sudo usermod -aG video $USER, and log in again"
    )]
    Forbidden {
        /// What it calls itself.
        name: String,
    },
    /// It offers nothing that we understand.
    #[error("the camera {name} offers neither JPEG nor YUYV nor NV12 of at most 1920x1080")]
    NoFormat {
        /// What it calls itself.
        name: String,
    },
    /// It failed otherwise.
    #[error("the camera {name} failed: {why}")]
    Failed {
        /// What it calls itself.
        name: String,
        /// What the library says.
        why: String,
    },
    /// One frame after the other was unusable.
    #[error("the camera delivers no picture that can be shown; the last one: {0}")]
    Broken(#[source] Box<Self>),
    /// This frame is no JPEG, or none that a viewer could show.
    #[error(transparent)]
    Jpeg(#[from] JpegError),
    /// This frame is too short.
    #[error("a picture of {bytes} instead of {expected} bytes")]
    Short {
        /// What came.
        bytes: usize,
        /// What had to come.
        expected: usize,
    },
    /// This frame cannot be converted.
    #[error("a picture that cannot be converted: {0}")]
    Convert(#[from] yuv::YuvError),
    /// A size out of bounds.
    #[error(transparent)]
    Size(#[from] SizeError),
}

/// Whether the camera is there and can be used.
pub(super) fn check(number: u32) -> Result<(), CameraError> {
    nokhwa::find(number).map(drop)
}

/// Opens the camera and keeps it going until the pump is dropped.
pub(super) fn open(number: u32, outlet: Outlet) -> Result<Pump, CaptureError> {
    let cameras = Cameras {
        number,
        known: Mutex::default(),
    };
    watch::start(cameras, outlet)
}

/// The camera of one number; after the first opening, the one of that name.
struct Cameras {
    number: u32,
    known: Mutex<Option<nokhwa::Known>>,
}

/// A camera at work.
struct Running {
    camera: Box<dyn Camera>,
    converter: Converter,
    /// Unusable frames in a row, and in all.
    broken: u32,
    dropped: u64,
}

impl Cameras {
    fn known(&self) -> MutexGuard<'_, Option<nokhwa::Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Supply for Cameras {
    type Device = Running;
    type Item = VideoFrame;
    type Error = CameraError;

    fn name(&self) -> &'static str {
        "camera"
    }

    fn open(&self) -> Result<Running, CameraError> {
        let known = self.known().clone();
        let (known, camera) = match known {
            Some(known) => nokhwa::open_again(&known)?,
            None => nokhwa::open(self.number)?,
        };
        tracing::info!(name = known.name, format = %camera.format(), "camera opened");
        *self.known() = Some(known);
        Ok(Running {
            camera,
            converter: Converter::default(),
            broken: 0,
            dropped: 0,
        })
    }

    fn next(&self, running: &mut Running) -> Result<Option<VideoFrame>, CameraError> {
        let raw = running.camera.next()?;
        let captured = raw.captured;
        match running.converter.convert(&raw) {
            Ok(image) => {
                running.broken = 0;
                Ok(Some(VideoFrame { image, captured }))
            }
            Err(err) => {
                running.broken += 1;
                running.dropped += 1;
                tracing::debug!(%err, dropped = running.dropped, "a picture of the camera is left out");
                if running.broken >= MAX_BROKEN {
                    return Err(CameraError::Broken(Box::new(err)));
                }
                Ok(None)
            }
        }
    }

    fn deliver(&self, outlet: &Outlet, frame: VideoFrame) {
        outlet.video(frame);
    }
}
