//! What a track holds.

use super::MkvError;
use super::element::{self, float, unsigned};
use crate::container::wav::tame;
use crate::media::{CHANNELS, SAMPLE_RATE, Size};

#[derive(Debug)]
pub(super) struct Track {
    pub(super) number: u64,
    pub(super) kind: Kind,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Video(Size),
    Sound(Pcm),
}

/// How samples of sound are written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pcm {
    Int16,
    Float32,
}

/// A track while it is being described.
#[derive(Debug, Default)]
pub(super) struct Entry {
    number: Option<u64>,
    codec: Vec<u8>,
    width: u64,
    height: u64,
    fourcc: Vec<u8>,
    rate: f64,
    channels: u64,
    bits: u64,
}

impl Entry {
    /// Takes one value of the description.
    pub(super) fn describe(&mut self, id: u32, value: &[u8]) -> Result<(), MkvError> {
        let number = || unsigned(value).ok_or(MkvError::BadValue);
        match id {
            element::TRACK_NUMBER => self.number = Some(number()?),
            element::CODEC_ID => self.codec = value.to_vec(),
            element::PIXEL_WIDTH => self.width = number()?,
            element::PIXEL_HEIGHT => self.height = number()?,
            element::FOURCC => self.fourcc = value.to_vec(),
            element::SAMPLING_FREQUENCY => self.rate = float(value).ok_or(MkvError::BadValue)?,
            element::CHANNELS => self.channels = number()?,
            element::BIT_DEPTH => self.bits = number()?,
            _ => {}
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<Track, MkvError> {
        let number = self.number.ok_or(MkvError::BadValue)?;
        let kind = match (self.codec.as_slice(), self.bits) {
            (b"V_UNCOMPRESSED", _) => Kind::Video(self.picture()?),
            (b"A_PCM/INT/LIT", 16) => Kind::Sound(self.sound(Pcm::Int16)?),
            (b"A_PCM/FLOAT/IEEE", 32) => Kind::Sound(self.sound(Pcm::Float32)?),
            _ => return Err(MkvError::Format),
        };
        Ok(Track { number, kind })
    }

    fn picture(&self) -> Result<Size, MkvError> {
        if self.fourcc != b"I420" {
            return Err(MkvError::Format);
        }
        let side = |side| u32::try_from(side).unwrap_or(u32::MAX);
        Ok(Size::new(side(self.width), side(self.height))?)
    }

    fn sound(&self, format: Pcm) -> Result<Pcm, MkvError> {
        if (self.rate - f64::from(SAMPLE_RATE)).abs() > 0.5 || self.channels != CHANNELS as u64 {
            return Err(MkvError::Format);
        }
        Ok(format)
    }
}

impl Pcm {
    const fn width(self) -> usize {
        match self {
            Self::Int16 => 2,
            Self::Float32 => 4,
        }
    }

    /// Whether so many bytes are whole samples of both channels.
    pub(super) const fn divides(self, bytes: usize) -> bool {
        bytes.is_multiple_of(self.width() * CHANNELS)
    }

    pub(super) fn samples(self, bytes: &[u8]) -> Vec<f32> {
        match self {
            Self::Int16 => {
                let (samples, _) = bytes.as_chunks::<2>();
                let value = |sample: &[u8; 2]| f32::from(i16::from_le_bytes(*sample)) / 32_768.0;
                samples.iter().map(value).collect()
            }
            Self::Float32 => {
                let (samples, _) = bytes.as_chunks::<4>();
                samples
                    .iter()
                    .map(|sample| tame(f32::from_le_bytes(*sample)))
                    .collect()
            }
        }
    }
}
