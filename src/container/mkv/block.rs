//! What stands before a block's samples.

use std::time::Duration;

use super::MkvError;
use super::element::{Marker, number};

#[derive(Debug)]
pub(super) struct BlockHead {
    pub(super) track: u64,
    /// Ticks after the start of the cluster.
    relative: i16,
    /// Bytes of this head.
    pub(super) length: usize,
    /// Bytes behind it.
    pub(super) payload: u64,
}

const LACING: u8 = 0x06;

impl BlockHead {
    /// Reads the head of a block of `size` bytes; `None` if more bytes are needed.
    pub(super) fn parse(data: &[u8], size: u64) -> Result<Option<Self>, MkvError> {
        let Some((track, width)) = number(data, Marker::Removed)? else {
            return Ok(None);
        };
        let Some(&[high, low, flags]) = data.get(width..width + 3) else {
            return Ok(None);
        };
        if flags & LACING != 0 {
            return Err(MkvError::Laced);
        }
        let length = width + 3;
        let payload = size.checked_sub(length as u64);
        Ok(Some(Self {
            track,
            relative: i16::from_be_bytes([high, low]),
            length,
            payload: payload.ok_or(MkvError::BlockLength(size))?,
        }))
    }

    /// Time after the stream's start, given where the cluster begins and how long a tick is in nanoseconds.
    pub(super) fn time(&self, cluster: u64, scale: u64) -> Option<Duration> {
        let ticks = i128::from(cluster) + i128::from(self.relative);
        // Encoders start a little before zero.
        let nanos = ticks.max(0).checked_mul(i128::from(scale))?;
        u64::try_from(nanos).ok().map(Duration::from_nanos)
    }
}
