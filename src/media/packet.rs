//! Coded sound.

use std::time::Duration;

use bytes::Bytes;

use super::MediaTime;

/// The most bytes in one audio packet (20 ms of 48 kHz stereo PCM are 3,840).
pub const MAX_AUDIO_PACKET: usize = 4096;

/// How a packet of sound is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum AudioCodec {
    /// Opus (RFC 6716), 48 kHz, stereo.
    Opus = 1,
    /// Signed 16-bit little-endian samples, interleaved; for tests.
    Pcm = 2,
}

impl AudioCodec {
    /// Every codec there is.
    pub const ALL: [Self; 2] = [Self::Opus, Self::Pcm];

    /// `None` for codecs of a newer peer.
    pub fn from_wire(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| *codec as u8 == byte)
    }
}

/// One packet of coded sound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AudioPacket {
    /// How `bytes` are coded.
    pub codec: AudioCodec,
    /// Counts up by one with each packet of a stream, from 0; a hole is a loss.
    pub seq: u64,
    /// When its first sample was captured.
    pub capture: MediaTime,
    /// How long it plays.
    pub duration: Duration,
    /// The coded sound, at most [`MAX_AUDIO_PACKET`] bytes.
    pub bytes: Bytes,
}
