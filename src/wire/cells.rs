//! Cells on the wire: several whole ones in a message, or one large one in parts.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::WireError;
use super::head::{Kind, patch_len, put_message};
use super::limits::{CELL_HEAD_LEN, HEAD_LEN, MAX_CELL, MAX_PART, MOMENT_LEN, PART_HEAD_LEN};
use crate::media::{CellIndex, MediaTime, RungId};

/// To what cells belong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// How they are coded.
    pub rung: RungId,
    /// The frame they are taken from.
    pub frame: u64,
    /// When that frame was captured.
    pub capture: MediaTime,
}

impl Moment {
    pub(super) fn put(self, out: &mut BytesMut) {
        out.put_u32(self.rung);
        out.put_u64(self.frame);
        out.put_u64(self.capture.as_micros());
    }

    pub(super) fn take(kind: Kind, body: &mut Bytes) -> Result<Self, WireError> {
        if body.len() < MOMENT_LEN {
            return Err(WireError::Short(kind));
        }
        Ok(Self {
            rung: body.get_u32(),
            frame: body.get_u64(),
            capture: MediaTime::from_micros(body.get_u64()),
        })
    }
}

/// A piece of a cell that does not fit one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CellPart {
    /// To what the cell belongs.
    pub moment: Moment,
    /// Where the cell stands.
    pub index: CellIndex,
    /// Where in the cell the part stands, in bytes.
    pub offset: u32,
    /// Bytes of the whole cell, at most [`MAX_CELL`].
    pub total: u32,
    /// The part: at least one byte, and not past `total`.
    pub bytes: Bytes,
}

impl CellPart {
    pub(super) fn put(&self, out: &mut BytesMut) -> Result<(), WireError> {
        let index = wire_index(self.index, Kind::CellPart)?;
        self.check()?;
        put_message(out, Kind::CellPart, |out| {
            self.moment.put(out);
            out.put_u16(index);
            out.put_u32(self.offset);
            out.put_u32(self.total);
            out.put_slice(&self.bytes);
        })
    }

    pub(super) fn take(mut body: Bytes) -> Result<Self, WireError> {
        if body.len() <= PART_HEAD_LEN {
            return Err(WireError::Short(Kind::CellPart));
        }
        let part = Self {
            moment: Moment::take(Kind::CellPart, &mut body)?,
            index: CellIndex::from(body.get_u16()),
            offset: body.get_u32(),
            total: body.get_u32(),
            bytes: body,
        };
        part.check()?;
        Ok(part)
    }

    fn check(&self) -> Result<(), WireError> {
        let range = |field| WireError::Range {
            kind: Kind::CellPart,
            field,
        };
        let len = u32::try_from(self.bytes.len()).map_err(|_| range("total"))?;
        let end = self
            .offset
            .checked_add(len)
            .ok_or_else(|| range("offset"))?;
        if usize::try_from(self.total).map_or(true, |total| total > MAX_CELL) {
            return Err(range("total"));
        }
        if end > self.total || self.bytes.is_empty() || self.bytes.len() > MAX_PART {
            return Err(range("offset"));
        }
        Ok(())
    }
}

/// A `cells` message that is being written at the end of a buffer; it is valid after each cell.
#[derive(Debug)]
pub struct CellsWriter {
    start: usize,
    moment: Moment,
}

impl CellsWriter {
    /// Bytes that a message with one cell of `len` bytes takes.
    pub const fn first_len(len: usize) -> usize {
        HEAD_LEN + MOMENT_LEN + CELL_HEAD_LEN + len
    }

    /// Begins a message with its first cell. The cell must not be empty nor larger than
    /// [`MAX_INLINE_CELL`](super::limits::MAX_INLINE_CELL).
    pub fn begin(
        out: &mut BytesMut,
        moment: Moment,
        index: CellIndex,
        bytes: &[u8],
    ) -> Result<Self, WireError> {
        let start = out.len();
        out.put_slice(&[Kind::Cells as u8, 0, 0, 0]);
        moment.put(out);
        let mut writer = Self { start, moment };
        writer
            .push(out, index, bytes)
            .inspect_err(|_| out.truncate(start))?;
        Ok(writer)
    }

    /// Appends another cell. An error leaves the message as it was.
    pub fn push(
        &mut self,
        out: &mut BytesMut,
        index: CellIndex,
        bytes: &[u8],
    ) -> Result<(), WireError> {
        let before = out.len();
        let len = u16::try_from(bytes.len())
            .ok()
            .filter(|len| *len > 0)
            .ok_or(WireError::Range {
                kind: Kind::Cells,
                field: "length",
            })?;
        out.put_u16(wire_index(index, Kind::Cells)?);
        out.put_u16(len);
        out.put_slice(bytes);
        patch_len(out, self.start).inspect_err(|_| out.truncate(before))
    }

    /// To what the cells belong.
    pub const fn moment(&self) -> Moment {
        self.moment
    }
}

/// The cells of a `cells` body behind its moment, as slices of it.
pub(super) fn take_cells(mut body: Bytes) -> Result<Vec<(CellIndex, Bytes)>, WireError> {
    // Room for what is probable, not for what is possible: a cell has some 200 bytes or more.
    let mut cells = Vec::with_capacity(body.len() / 128 + 1);
    while body.has_remaining() {
        if body.len() < CELL_HEAD_LEN {
            return Err(WireError::Short(Kind::Cells));
        }
        let index = CellIndex::from(body.get_u16());
        let len = usize::from(body.get_u16());
        if len == 0 {
            return Err(WireError::Range {
                kind: Kind::Cells,
                field: "length",
            });
        }
        if body.len() < len {
            return Err(WireError::Short(Kind::Cells));
        }
        cells.push((index, body.split_to(len)));
    }
    if cells.is_empty() {
        return Err(WireError::Short(Kind::Cells));
    }
    Ok(cells)
}

fn wire_index(index: CellIndex, kind: Kind) -> Result<u16, WireError> {
    u16::try_from(index).map_err(|_| WireError::Range {
        kind,
        field: "index",
    })
}
