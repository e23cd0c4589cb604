//! Signed 16-bit little-endian samples, interleaved; for tests.

use bytes::Bytes;

use super::sound::{PACKET_SAMPLES, SoundError};

pub(super) fn encode(samples: &[f32]) -> Bytes {
    samples
        .iter()
        .flat_map(|s| to_i16(*s).to_le_bytes())
        .collect()
}

/// Appends 20 ms; anything else is an error.
pub(super) fn decode(packet: &[u8], out: &mut Vec<f32>) -> Result<(), SoundError> {
    if packet.len() != PACKET_SAMPLES * 2 {
        return Err(SoundError::Packet);
    }
    let (pairs, _) = packet.as_chunks::<2>();
    out.extend(
        pairs
            .iter()
            .map(|pair| f32::from(i16::from_le_bytes(*pair)) / SCALE),
    );
    Ok(())
}

/// The last packet once more, quieter; silence where there was none.
pub(super) fn fade(last: &mut Vec<f32>) {
    last.resize(PACKET_SAMPLES, 0.0);
    last.iter_mut().for_each(|sample| *sample *= 0.5);
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "clamped to the range before"
)]
fn to_i16(sample: f32) -> i16 {
    (sample.clamp(-1.0, 1.0) * SCALE) as i16
}

const SCALE: f32 = 32_767.0;
