//! Sound to packets and back: one packet is 20 ms of 48 kHz stereo.

use std::time::Duration;

use super::opus;
use super::pcm;
use crate::media::{AudioCodec, AudioPacket, CHANNELS, MAX_AUDIO_PACKET, MediaTime, SAMPLE_RATE};

/// Samples of one packet for both channels together, interleaved.
pub const PACKET_SAMPLES: usize = SAMPLE_RATE as usize / 50 * CHANNELS;

/// How long a packet plays.
pub const PACKET_DURATION: Duration = Duration::from_millis(20);

/// Music and speech alike, with nothing to be heard missing.
pub const DEFAULT_BITRATE_BPS: u32 = 128_000;

/// Codes sound.
#[derive(Debug)]
pub struct AudioEncoder(Encoding);

#[derive(Debug)]
enum Encoding {
    Opus(opus::Encoder),
    Pcm,
}

impl AudioEncoder {
    /// `bitrate_bps` is a wish, clamped to what the codec can do; PCM has no choice.
    pub fn new(codec: AudioCodec, bitrate_bps: u32) -> Result<Self, SoundError> {
        Ok(Self(match codec {
            AudioCodec::Opus => Encoding::Opus(opus::Encoder::new(bitrate_bps)?),
            AudioCodec::Pcm => Encoding::Pcm,
        }))
    }

    /// Codes exactly [`PACKET_SAMPLES`] samples, each -1.0 to 1.0, interleaved. `capture` is when the first was.
    pub fn encode(
        &mut self,
        samples: &[f32],
        seq: u64,
        capture: MediaTime,
    ) -> Result<AudioPacket, SoundError> {
        if samples.len() != PACKET_SAMPLES {
            return Err(SoundError::Length {
                found: samples.len(),
            });
        }
        let (codec, bytes) = match &mut self.0 {
            Encoding::Opus(encoder) => (AudioCodec::Opus, encoder.encode(samples)?),
            Encoding::Pcm => (AudioCodec::Pcm, pcm::encode(samples)),
        };
        Ok(AudioPacket {
            codec,
            seq,
            capture,
            duration: PACKET_DURATION,
            bytes,
        })
    }
}

/// Decodes sound.
#[derive(Debug)]
pub struct AudioDecoder {
    decoding: Decoding,
    /// PCM: the last packet, to be faded out on loss.
    last: Vec<f32>,
}

#[derive(Debug)]
enum Decoding {
    Opus(opus::Decoder),
    Pcm,
}

impl AudioDecoder {
    /// A decoder that has heard nothing yet.
    pub fn new(codec: AudioCodec) -> Result<Self, SoundError> {
        Ok(Self {
            decoding: match codec {
                AudioCodec::Opus => Decoding::Opus(opus::Decoder::new()?),
                AudioCodec::Pcm => Decoding::Pcm,
            },
            last: Vec::new(),
        })
    }

    /// Appends the packet's samples to `out`, interleaved: 20 ms of ours, at most 120 ms of a stranger's. On an error
    /// nothing is appended; treat the packet as lost.
    pub fn decode(&mut self, packet: &[u8], out: &mut Vec<f32>) -> Result<(), SoundError> {
        if packet.is_empty() || packet.len() > MAX_AUDIO_PACKET {
            return Err(SoundError::Packet);
        }
        match &mut self.decoding {
            Decoding::Opus(decoder) => decoder.decode(packet, out),
            Decoding::Pcm => {
                let start = out.len();
                pcm::decode(packet, out)?;
                self.last.clear();
                self.last.extend_from_slice(&out[start..]);
                Ok(())
            }
        }
    }

    /// Appends 20 ms in place of a packet that did not come: what is likely, fading to silence if it goes on.
    pub fn conceal(&mut self, out: &mut Vec<f32>) {
        match &mut self.decoding {
            Decoding::Opus(decoder) => decoder.conceal(out),
            Decoding::Pcm => {
                pcm::fade(&mut self.last);
                out.extend_from_slice(&self.last);
            }
        }
    }
}

/// Why sound could not be coded or decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SoundError {
    /// Not one packet's worth of samples: a mistake of the caller.
    #[error("{found} samples are not one packet of {PACKET_SAMPLES}")]
    Length {
        /// As given.
        found: usize,
    },
    /// The packet is empty, too long or broken.
    #[error("the sound packet is broken")]
    Packet,
    /// The library would not do it.
    #[error("opus failed: {0}")]
    Library(String),
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 20 ms of a tone of `hz` in both channels.
    fn tone(hz: f32, packet: usize) -> Vec<f32> {
        let step = std::f32::consts::TAU * hz / SAMPLE_RATE as f32;
        let first = packet * PACKET_SAMPLES / 2;
        (first..first + PACKET_SAMPLES / 2)
            .flat_map(|n| [0.5 * (n as f32 * step).sin(); 2])
            .collect()
    }

    fn power(samples: &[f32]) -> f32 {
        samples.iter().map(|s| s * s).sum::<f32>() / samples.len() as f32
    }

    fn pair(codec: AudioCodec) -> (AudioEncoder, AudioDecoder) {
        (
            AudioEncoder::new(codec, DEFAULT_BITRATE_BPS).unwrap(),
            AudioDecoder::new(codec).unwrap(),
        )
    }

    #[test]
    fn pcm_gives_the_samples_back() {
        let (mut encoder, mut decoder) = pair(AudioCodec::Pcm);
        let samples = tone(1000.0, 0);
        let packet = encoder.encode(&samples, 3, MediaTime::ZERO).unwrap();
        assert_eq!((packet.codec, packet.seq), (AudioCodec::Pcm, 3));
        let mut out = Vec::new();
        decoder.decode(&packet.bytes, &mut out).unwrap();
        assert_eq!(out.len(), samples.len());
        assert!(samples.iter().zip(&out).all(|(a, b)| (a - b).abs() < 1e-4));
    }

    #[test]
    fn opus_keeps_a_tone_its_pitch_and_its_loudness() {
        let (mut encoder, mut decoder) = pair(AudioCodec::Opus);
        let mut out = Vec::new();
        let mut coded = 0;
        for seq in 0..50 {
            let packet = encoder
                .encode(&tone(1000.0, seq), seq as u64, MediaTime::ZERO)
                .unwrap();
            coded += packet.bytes.len();
            decoder.decode(&packet.bytes, &mut out).unwrap();
        }
        assert_eq!(out.len(), 50 * PACKET_SAMPLES);
        assert!(coded < 50 * 500, "{coded} bytes in a second");
        let settled = &out[20 * PACKET_SAMPLES..];
        assert!((power(settled) - 0.125).abs() < 0.01, "{}", power(settled));
        let left: Vec<f32> = settled.iter().step_by(2).copied().collect();
        let rises = left
            .windows(2)
            .filter(|w| w[0] < 0.0 && w[1] >= 0.0)
            .count();
        assert!((599..=601).contains(&rises), "{rises} periods in 0.6 s");
    }

    #[test]
    fn a_lost_packet_is_concealed_and_a_long_loss_fades() {
        for codec in AudioCodec::ALL {
            let (mut encoder, mut decoder) = pair(codec);
            let mut out = Vec::new();
            for seq in 0..10 {
                let packet = encoder
                    .encode(&tone(440.0, seq), seq as u64, MediaTime::ZERO)
                    .unwrap();
                decoder.decode(&packet.bytes, &mut out).unwrap();
            }
            out.clear();
            decoder.conceal(&mut out);
            assert_eq!(out.len(), PACKET_SAMPLES);
            assert!(power(&out) > 0.01, "{codec:?}: {}", power(&out));
            for _ in 0..50 {
                decoder.conceal(&mut out);
            }
            assert!(
                power(&out[out.len() - PACKET_SAMPLES..]) < 1e-3,
                "{codec:?}"
            );
        }
    }

    #[test]
    fn a_decoder_that_has_heard_nothing_conceals_with_silence() {
        for codec in AudioCodec::ALL {
            let mut out = Vec::new();
            AudioDecoder::new(codec).unwrap().conceal(&mut out);
            assert_eq!(out.len(), PACKET_SAMPLES);
            assert!(power(&out) < 1e-9);
        }
    }

    #[test]
    fn the_wrong_number_of_samples_is_refused() {
        let (mut encoder, _) = pair(AudioCodec::Opus);
        let refused = encoder.encode(&[0.0; 960], 0, MediaTime::ZERO);
        assert_eq!(refused, Err(SoundError::Length { found: 960 }));
    }

    proptest! {
        #[test]
        fn any_packet_is_sound_or_an_error(
            packet in prop::collection::vec(any::<u8>(), 0..5000),
        ) {
            for codec in AudioCodec::ALL {
                let mut out = vec![0.25];
                let mut decoder = AudioDecoder::new(codec).unwrap();
                let result = decoder.decode(&packet, &mut out);
                prop_assert!(out.len() <= 1 + 6 * PACKET_SAMPLES);
                prop_assert!(result.is_ok() || out == [0.25]);
                prop_assert!(out.iter().all(|sample| sample.is_finite()));
                decoder.conceal(&mut out);
            }
        }
    }
}
