//! Opus (RFC 6716), by libopus.

use ::opus::{Application, Bitrate, Channels};
use bytes::Bytes;

use super::sound::{PACKET_SAMPLES, SoundError};
use crate::media::{CHANNELS, MAX_AUDIO_PACKET, SAMPLE_RATE};

/// Codes 20 ms at a time.
#[derive(Debug)]
pub(super) struct Encoder {
    opus: Opaque<::opus::Encoder>,
    buffer: Vec<u8>,
}

impl Encoder {
    /// Clamped to 6,000 to 510,000 bit/s.
    pub(super) fn new(bitrate_bps: u32) -> Result<Self, SoundError> {
        let mut opus = ::opus::Encoder::new(SAMPLE_RATE, Channels::Stereo, Application::Audio)
            .map_err(failed)?;
        let bitrate = i32::try_from(bitrate_bps.clamp(6_000, 510_000)).unwrap_or(i32::MAX);
        opus.set_bitrate(Bitrate::Bits(bitrate)).map_err(failed)?;
        Ok(Self {
            opus: Opaque(opus),
            buffer: vec![0; MAX_AUDIO_PACKET],
        })
    }

    pub(super) fn encode(&mut self, samples: &[f32]) -> Result<Bytes, SoundError> {
        let encoder = &mut self.opus.0;
        let length = encoder
            .encode_float(samples, &mut self.buffer)
            .map_err(failed)?;
        Ok(Bytes::copy_from_slice(&self.buffer[..length]))
    }
}

/// Decodes, and guesses where there is nothing to decode.
#[derive(Debug)]
pub(super) struct Decoder(Opaque<::opus::Decoder>);

impl Decoder {
    pub(super) fn new() -> Result<Self, SoundError> {
        ::opus::Decoder::new(SAMPLE_RATE, Channels::Stereo)
            .map(|decoder| Self(Opaque(decoder)))
            .map_err(failed)
    }

    pub(super) fn decode(&mut self, packet: &[u8], out: &mut Vec<f32>) -> Result<(), SoundError> {
        let start = out.len();
        out.resize(start + LONGEST, 0.0);
        let decoded = self.0.0.decode_float(packet, &mut out[start..], false);
        let samples = decoded.as_ref().map_or(0, |frames| frames * CHANNELS);
        out.truncate(start + samples);
        decoded.map(drop).map_err(|_| SoundError::Packet)
    }

    pub(super) fn conceal(&mut self, out: &mut Vec<f32>) {
        let start = out.len();
        out.resize(start + PACKET_SAMPLES, 0.0);
        // An empty packet stands for a lost one; should that fail there is silence.
        if self
            .0
            .0
            .decode_float(&[], &mut out[start..], false)
            .is_err()
        {
            out[start..].fill(0.0);
        }
    }
}

/// A library's state, which says nothing about itself.
struct Opaque<T>(T);

impl<T> std::fmt::Debug for Opaque<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("libopus")
    }
}

fn failed(error: ::opus::Error) -> SoundError {
    SoundError::Library(error.to_string())
}

/// The most samples in one packet: 120 ms.
const LONGEST: usize = 6 * PACKET_SAMPLES;
