//! The lines of text.

use super::{MAGIC, Parameter, Range, Y4mError};
use crate::media::Size;

/// How a stream's pictures are laid out.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) size: Size,
    pub(super) chroma: Chroma,
    pub(super) range: Range,
}

/// How many colour samples there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chroma {
    /// One for two by two pixels; where exactly it sits makes no difference here.
    Yuv420,
    /// One for two pixels beside each other.
    Yuv422,
    /// One for each pixel.
    Yuv444,
    /// None.
    Mono,
}

impl Header {
    /// `line` begins with [`MAGIC`] and has no end of line. Parameters that are not known are skipped.
    pub(super) fn parse(line: &[u8]) -> Result<Self, Y4mError> {
        let (mut width, mut height) = (None, None);
        let (mut chroma, mut range) = (Chroma::Yuv420, Range::Limited);
        for word in line[MAGIC.len()..].split(|byte| *byte == b' ') {
            match word.split_first() {
                Some((b'W', value)) => width = Some(number(value, Parameter::Width)?),
                Some((b'H', value)) => height = Some(number(value, Parameter::Height)?),
                Some((b'C', value)) => chroma = layout(value)?,
                Some((b'X', b"COLORRANGE=FULL")) => range = Range::Full,
                _ => {}
            }
        }
        let width = width.ok_or(Y4mError::Missing(Parameter::Width))?;
        let height = height.ok_or(Y4mError::Missing(Parameter::Height))?;
        Ok(Self {
            size: Size::new(width, height)?,
            chroma,
            range,
        })
    }
}

/// Checks a picture's line.
pub(super) fn frame(line: &[u8]) -> Result<(), Y4mError> {
    match line.strip_prefix(b"FRAME") {
        Some([] | [b' ', ..]) => Ok(()),
        Some(_) | None => Err(Y4mError::NotAFrame),
    }
}

fn layout(name: &[u8]) -> Result<Chroma, Y4mError> {
    match name {
        b"420" | b"420jpeg" | b"420mpeg2" | b"420paldv" => Ok(Chroma::Yuv420),
        b"422" => Ok(Chroma::Yuv422),
        b"444" => Ok(Chroma::Yuv444),
        b"mono" => Ok(Chroma::Mono),
        _ => {
            let name = name[..name.len().min(LONGEST_NAME)].escape_ascii();
            Err(Y4mError::Chroma(name.to_string()))
        }
    }
}

/// What a person is shown of an unknown layout.
const LONGEST_NAME: usize = 32;

fn number(digits: &[u8], which: Parameter) -> Result<u32, Y4mError> {
    let digits = std::str::from_utf8(digits).ok();
    // Ten digits and more are no size either.
    digits
        .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|digits| digits.parse().ok())
        .ok_or(Y4mError::NotANumber(which))
}
