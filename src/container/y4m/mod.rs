//! YUV4MPEG2: uncompressed pictures behind a line of text each.

use std::fmt;

use super::planes::Filling;
use super::scratch::Scratch;
use crate::media::{Picture, Size, SizeError};

mod header;
mod subsample;

pub use super::planes::Range;
pub use header::Chroma;
use header::Header;
use subsample::Planar;

/// What a stream begins with.
pub const MAGIC: &[u8] = b"YUV4MPEG2 ";

/// Reads a stream: put bytes into [`space`](Self::space), say so with [`filled`](Self::filled), then take every
/// [`picture`](Self::picture) before asking for space again.
#[derive(Debug)]
pub struct Reader {
    scratch: Scratch,
    state: State,
    header: Option<Header>,
    /// For the next picture.
    spare: Option<Samples>,
}

#[derive(Debug)]
enum State {
    /// Waiting for the end of a line of text.
    Line,
    Samples(Samples),
    /// What is wrong does not get better.
    Failed(Y4mError),
}

#[derive(Debug)]
enum Samples {
    /// 4:2:0 goes straight into its picture.
    Direct(Filling),
    /// Anything else is converted when it is whole.
    Converted(Planar),
}

/// A stream's first line and a picture's line are this long at most.
const MAX_LINE: usize = 1024;
const SCRATCH: usize = 4096;

impl Default for Reader {
    fn default() -> Self {
        Self {
            scratch: Scratch::new(SCRATCH),
            state: State::Line,
            header: None,
            spare: None,
        }
    }
}

impl Reader {
    /// Where the next bytes go; never empty once [`picture`](Self::picture) has said that there is none.
    pub fn space(&mut self) -> &mut [u8] {
        if !self.scratch.is_empty() {
            return self.scratch.space();
        }
        match &mut self.state {
            State::Samples(Samples::Direct(filling)) => filling.space(),
            State::Samples(Samples::Converted(planar)) => planar.space(),
            State::Line | State::Failed(_) => self.scratch.space(),
        }
    }

    /// Says that the first `count` bytes of [`space`](Self::space) are there.
    pub fn filled(&mut self, count: usize) {
        if !self.scratch.is_empty() {
            return self.scratch.filled(count);
        }
        match &mut self.state {
            State::Samples(Samples::Direct(filling)) => {
                filling.filled(count);
            }
            State::Samples(Samples::Converted(planar)) => planar.filled(count),
            State::Line | State::Failed(_) => self.scratch.filled(count),
        }
    }

    /// The next picture that is whole; after an error always that error.
    pub fn picture(&mut self) -> Result<Option<Picture>, Y4mError> {
        let step = self.step();
        if let Err(error) = &step {
            self.state = State::Failed(error.clone());
        }
        step
    }

    /// Makes room for the next picture, as well while nothing comes as when it does.
    pub fn prepare(&mut self) {
        if let Some(header) = &self.header
            && self.spare.is_none()
        {
            self.spare = Some(Samples::new(header));
        }
    }

    /// Bytes at once, for those who have them anyway.
    pub fn push(
        &mut self,
        mut bytes: &[u8],
        mut taker: impl FnMut(Picture),
    ) -> Result<(), Y4mError> {
        while !bytes.is_empty() {
            let space = self.space();
            let count = space.len().min(bytes.len());
            space[..count].copy_from_slice(&bytes[..count]);
            bytes = &bytes[count..];
            self.filled(count);
            while let Some(picture) = self.picture()? {
                taker(picture);
            }
        }
        Ok(())
    }

    /// Whether the stream may end here: not within a picture or a line.
    pub fn finish(&self) -> Result<(), Y4mError> {
        match &self.state {
            State::Failed(error) => Err(error.clone()),
            State::Line if self.scratch.is_empty() && self.header.is_some() => Ok(()),
            State::Line | State::Samples(_) => Err(Y4mError::CutShort),
        }
    }

    fn step(&mut self) -> Result<Option<Picture>, Y4mError> {
        loop {
            match &mut self.state {
                State::Failed(error) => return Err(error.clone()),
                State::Line => {
                    let Some(length) = line(self.scratch.data(), self.header.is_some())? else {
                        return Ok(None);
                    };
                    let text = &self.scratch.data()[..length];
                    if let Some(header) = &self.header {
                        header::frame(text)?;
                        let samples = self.spare.take();
                        let samples = samples.unwrap_or_else(|| Samples::new(header));
                        self.state = State::Samples(samples);
                    } else {
                        self.header = Some(Header::parse(text)?);
                    }
                    self.scratch.consume(length + 1);
                }
                State::Samples(samples) => {
                    let (count, whole) = samples.take(self.scratch.data());
                    self.scratch.consume(count);
                    if !whole {
                        return Ok(None);
                    }
                    let State::Samples(samples) = std::mem::replace(&mut self.state, State::Line)
                    else {
                        return Ok(None);
                    };
                    return Ok(Some(samples.into_picture()));
                }
            }
        }
    }
}

impl Samples {
    fn new(header: &Header) -> Self {
        match header.chroma {
            Chroma::Yuv420 => Self::Direct(Filling::new(header.size, header.range)),
            Chroma::Yuv422 | Chroma::Yuv444 | Chroma::Mono => {
                Self::Converted(Planar::new(header.size, header.chroma, header.range))
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) -> (usize, bool) {
        match self {
            Self::Direct(filling) => filling.take(bytes),
            Self::Converted(planar) => planar.take(bytes),
        }
    }

    fn into_picture(self) -> Picture {
        match self {
            Self::Direct(filling) => filling.into_picture(),
            Self::Converted(planar) => planar.into_picture(),
        }
    }
}

/// Length of the line at the start of `bytes`, without its end.
fn line(bytes: &[u8], within: bool) -> Result<Option<usize>, Y4mError> {
    let expected: &[u8] = if within { b"FRAME" } else { MAGIC };
    let known = bytes.len().min(expected.len());
    // Said at once: the end of the line may be far.
    if bytes[..known] != expected[..known] {
        return Err(if within {
            Y4mError::NotAFrame
        } else {
            Y4mError::NotY4m
        });
    }
    match bytes
        .iter()
        .take(MAX_LINE + 1)
        .position(|byte| *byte == b'\n')
    {
        Some(length) => Ok(Some(length)),
        None if bytes.len() > MAX_LINE => Err(Y4mError::LineTooLong),
        None => Ok(None),
    }
}

/// A stream that cannot be read on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Y4mError {
    /// Other first bytes.
    #[error("the stream does not begin with YUV4MPEG2")]
    NotY4m,
    /// No end within 1024 bytes.
    #[error("a line of the YUV4MPEG2 stream is longer than {MAX_LINE} bytes")]
    LineTooLong,
    /// A parameter that every stream needs.
    #[error("the YUV4MPEG2 header has no {0}")]
    Missing(Parameter),
    /// A parameter that is no number.
    #[error("the YUV4MPEG2 header's {0} is no number")]
    NotANumber(Parameter),
    /// Too small or absurdly large.
    #[error("the YUV4MPEG2 header's {0}")]
    Size(#[from] SizeError),
    /// A colour layout that is not supported.
    #[error(
        "YUV4MPEG2 colour space '{0}' is not supported; try 420jpeg, 422, 444 or mono (ffmpeg: -pix_fmt yuv420p)"
    )]
    Chroma(String),
    /// Something else where a picture should begin.
    #[error(
        "a picture of the YUV4MPEG2 stream does not begin with FRAME: bytes were lost or added"
    )]
    NotAFrame,
    /// An end within a picture.
    #[error("the YUV4MPEG2 stream ends within a picture")]
    CutShort,
}

/// A parameter of a stream's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parameter {
    /// `W`.
    Width,
    /// `H`.
    Height,
}

impl fmt::Display for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Width => "width (W)",
            Self::Height => "height (H)",
        })
    }
}

impl Reader {
    /// The size that the header gave, once it is there.
    pub fn size(&self) -> Option<Size> {
        self.header.as_ref().map(|header| header.size)
    }
}

#[cfg(test)]
mod tests;
