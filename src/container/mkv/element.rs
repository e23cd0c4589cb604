//! Elements: a name and a length, both of variable width, and numbers within.

use super::MkvError;

pub(super) const EBML: u32 = 0x1A45_DFA3;
pub(super) const SEGMENT: u32 = 0x1853_8067;
pub(super) const INFO: u32 = 0x1549_A966;
pub(super) const TIMESTAMP_SCALE: u32 = 0x2A_D7B1;
pub(super) const TRACKS: u32 = 0x1654_AE6B;
pub(super) const TRACK_ENTRY: u32 = 0xAE;
pub(super) const TRACK_NUMBER: u32 = 0xD7;
pub(super) const CODEC_ID: u32 = 0x86;
pub(super) const VIDEO: u32 = 0xE0;
pub(super) const PIXEL_WIDTH: u32 = 0xB0;
pub(super) const PIXEL_HEIGHT: u32 = 0xBA;
pub(super) const FOURCC: u32 = 0x2E_B524;
pub(super) const AUDIO: u32 = 0xE1;
pub(super) const SAMPLING_FREQUENCY: u32 = 0xB5;
pub(super) const CHANNELS: u32 = 0x9F;
pub(super) const BIT_DEPTH: u32 = 0x6264;
pub(super) const CLUSTER: u32 = 0x1F43_B675;
pub(super) const CLUSTER_TIMESTAMP: u32 = 0xE7;
pub(super) const SIMPLE_BLOCK: u32 = 0xA3;
pub(super) const BLOCK_GROUP: u32 = 0xA0;
pub(super) const BLOCK: u32 = 0xA1;

/// The most bytes of a leaf that is read.
pub(super) const MAX_LEAF: usize = 64;

/// Elements whose children are read.
pub(super) const fn is_master(id: u32) -> bool {
    matches!(
        id,
        EBML | SEGMENT | INFO | TRACKS | TRACK_ENTRY | VIDEO | AUDIO | CLUSTER | BLOCK_GROUP
    )
}

/// Elements whose value is read.
pub(super) const fn is_leaf(id: u32) -> bool {
    matches!(
        id,
        TIMESTAMP_SCALE
            | CLUSTER_TIMESTAMP
            | TRACK_NUMBER
            | CODEC_ID
            | PIXEL_WIDTH
            | PIXEL_HEIGHT
            | FOURCC
            | SAMPLING_FREQUENCY
            | CHANNELS
            | BIT_DEPTH
    )
}

/// What stands before an element's value.
pub(super) struct Head {
    pub(super) id: u32,
    /// `None` for "until something else begins".
    pub(super) size: Option<u64>,
    /// Bytes of the head itself.
    pub(super) length: usize,
}

impl Head {
    /// `None` if more bytes are needed.
    pub(super) fn parse(data: &[u8]) -> Result<Option<Self>, MkvError> {
        let Some((id, id_length)) = number(data, Marker::Kept)? else {
            return Ok(None);
        };
        let id = u32::try_from(id).map_err(|_| MkvError::BadHead)?;
        let Some((size, size_length)) = number(&data[id_length..], Marker::Removed)? else {
            return Ok(None);
        };
        let unknown = size == (1 << (7 * size_length)) - 1;
        Ok(Some(Self {
            id,
            size: (!unknown).then_some(size),
            length: id_length + size_length,
        }))
    }
}

/// What becomes of the bit that tells a number's width.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Marker {
    Kept,
    Removed,
}

/// A number of variable width (1 to 8 bytes) and that width; `None` if more bytes are needed.
pub(super) fn number(data: &[u8], marker: Marker) -> Result<Option<(u64, usize)>, MkvError> {
    let Some(first) = data.first() else {
        return Ok(None);
    };
    let length = first.leading_zeros() as usize + 1;
    if length > 8 {
        return Err(MkvError::BadHead);
    }
    let Some(bytes) = data.get(..length) else {
        return Ok(None);
    };
    let value = bytes
        .iter()
        .fold(0, |value, byte| value << 8 | u64::from(*byte));
    let value = match marker {
        Marker::Kept => value,
        Marker::Removed => value & ((1 << (7 * length)) - 1),
    };
    Ok(Some((value, length)))
}

/// A leaf's unsigned value.
pub(super) fn unsigned(value: &[u8]) -> Option<u64> {
    (value.len() <= 8).then(|| {
        value
            .iter()
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    })
}

/// A leaf's floating-point value.
pub(super) fn float(value: &[u8]) -> Option<f64> {
    match value.len() {
        4 => Some(f64::from(f32::from_be_bytes(value.try_into().ok()?))),
        8 => Some(f64::from_be_bytes(value.try_into().ok()?)),
        _ => None,
    }
}
