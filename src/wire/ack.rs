//! How far a viewer has read.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::head::put_message;
use super::{Kind, WireError};

/// An acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    /// Bytes of whole messages that came over this link, heads included.
    pub received: u64,
    /// How long before the last of them came. Whole microseconds, at most 2^32 - 1 of them.
    pub held: Duration,
}

impl Ack {
    pub(super) fn put(self, out: &mut BytesMut) -> Result<(), WireError> {
        put_message(out, Kind::Ack, |out| {
            out.put_u64(self.received);
            out.put_u32(u32::try_from(self.held.as_micros()).unwrap_or(u32::MAX));
        })
    }

    pub(super) fn take(mut body: Bytes) -> Result<Self, WireError> {
        if body.len() < ACK_LEN {
            return Err(WireError::Short(Kind::Ack));
        }
        if body.len() > ACK_LEN {
            return Err(WireError::Trailing(Kind::Ack));
        }
        Ok(Self {
            received: body.get_u64(),
            held: Duration::from_micros(u64::from(body.get_u32())),
        })
    }
}

const ACK_LEN: usize = 12;
