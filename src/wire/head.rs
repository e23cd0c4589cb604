//! The four bytes in front of every message.

use bytes::{BufMut, BytesMut};

use super::WireError;
use super::limits::{HEAD_LEN, MAX_BODY};

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// A JSON object.
    Control = 0,
    /// A packet of sound.
    Audio = 1,
    /// Whole cells of one moment.
    Cells = 2,
    /// A piece of a cell that does not fit one message.
    CellPart = 3,
    /// Nothing lacks of this frame any more.
    FrameEnd = 4,
    /// How far a viewer has read.
    Ack = 5,
    /// Which datagrams came to a viewer.
    Arrivals = 6,
    /// Nothing lacks of this frame once these datagrams came.
    Settled = 7,
}

impl Kind {
    /// Every kind there is.
    pub const ALL: [Self; 8] = [
        Self::Control,
        Self::Audio,
        Self::Cells,
        Self::CellPart,
        Self::FrameEnd,
        Self::Ack,
        Self::Arrivals,
        Self::Settled,
    ];

    /// `None` for kinds of a newer peer; the caller skips the message.
    pub fn from_wire(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == byte)
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Control => "control",
            Self::Audio => "audio",
            Self::Cells => "cells",
            Self::CellPart => "cell part",
            Self::FrameEnd => "frame end",
            Self::Ack => "acknowledgement",
            Self::Arrivals => "arrivals",
            Self::Settled => "settled",
        })
    }
}

/// Length of a message's body in bytes. At most [`MAX_BODY`], so waiting for it is always safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BodyLen(u16);

impl BodyLen {
    pub(super) fn new(len: usize) -> Result<Self, WireError> {
        match u16::try_from(len) {
            Ok(short) if len <= MAX_BODY => Ok(Self(short)),
            Ok(_) | Err(_) => Err(WireError::TooLong {
                len,
                limit: MAX_BODY,
            }),
        }
    }

    pub(super) fn from_wire(raw: [u8; 2]) -> Result<Self, WireError> {
        Self::new(usize::from(u16::from_be_bytes(raw)))
    }

    pub(super) const fn bytes(self) -> usize {
        self.0 as usize
    }
}

/// Appends a message whose body `write` appends; leaves `out` as it was if that became too long.
pub(super) fn put_message(
    out: &mut BytesMut,
    kind: Kind,
    write: impl FnOnce(&mut BytesMut),
) -> Result<(), WireError> {
    let start = out.len();
    out.put_slice(&[kind as u8, 0, 0, 0]);
    write(out);
    patch_len(out, start).inspect_err(|_| out.truncate(start))
}

/// Writes the length of the message that begins at `start` and ends with `out` into its head.
pub(super) fn patch_len(out: &mut BytesMut, start: usize) -> Result<(), WireError> {
    let body = out.len().saturating_sub(start + HEAD_LEN);
    let len = BodyLen::new(body)?.0.to_be_bytes();
    if let Some(field) = out.get_mut(start + 2..start + HEAD_LEN) {
        field.copy_from_slice(&len);
    }
    Ok(())
}
