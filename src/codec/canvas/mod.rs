//! The viewer's picture of one rung: the cells it holds, and their pixels.

mod packed;
mod planes;
mod store;

use std::sync::Arc;

use bytes::Bytes;

use super::CodecError;
use super::jpeg::{JpegError, JpegLibrary, Whole};
use crate::media::{CellIndex, Rect, Rung, RungKind, Size};
use packed::Packed;
use planes::Planes;
use store::Store;

/// Holds the newest cells of a rung and what they look like. Only what changed is decoded.
#[derive(Debug)]
pub struct Canvas {
    rung: Arc<Rung>,
    pixels: Vec<u32>,
    held: Held,
}

#[derive(Debug)]
enum Held {
    Planes(Box<Planes>),
    Packed(Box<Packed>),
    Whole {
        jpeg: Option<Bytes>,
        scratch: Vec<u8>,
        rgba: Vec<u8>,
    },
}

/// What a call of [`Canvas::apply`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Where pixels were painted: never empty, never outside. May overlap.
    pub dirty: Vec<Rect>,
    /// Cells that could not be used: bytes that are not one cell, or an index out of range. They are as before.
    pub bad: usize,
    /// What was wrong with the first of them.
    pub fault: Option<CodecError>,
}

impl Applied {
    fn add_bad(&mut self, fault: JpegError) {
        self.bad += 1;
        self.fault.get_or_insert_with(|| fault.into());
    }
}

impl Canvas {
    /// An empty, black picture. Errors: a header that is not one of plain baseline 4:2:0 cells of the announced size
    /// and cut.
    pub fn new(rung: Arc<Rung>) -> Result<Self, CodecError> {
        Self::with_library(rung, JpegLibrary::default())
    }

    /// As [`Self::new`], with the library that decodes cells. Whole pictures have one of their own.
    pub fn with_library(rung: Arc<Rung>, library: JpegLibrary) -> Result<Self, CodecError> {
        let held = match (&rung.kind, library) {
            (RungKind::Cells { grid, header }, JpegLibrary::Turbo) => {
                Held::Planes(Box::new(Planes::new(*grid, header)?))
            }
            (RungKind::Cells { grid, header }, JpegLibrary::Plain) => {
                Held::Packed(Box::new(Packed::new(*grid, header)?))
            }
            (RungKind::Whole { .. }, _) => Held::Whole {
                jpeg: None,
                scratch: Vec::new(),
                rgba: Vec::new(),
            },
        };
        let size = rung.size();
        Ok(Self {
            pixels: vec![0; size.width() * size.height()],
            rung,
            held,
        })
    }

    /// Takes cells and paints them. A cell whose bytes are bad keeps its old bytes and pixels, and is counted; it
    /// disturbs no other. Later cells of the same index replace earlier ones.
    pub fn apply(&mut self, cells: &[(CellIndex, Bytes)]) -> Applied {
        let size = self.size();
        match &mut self.held {
            Held::Planes(held) => held.apply(cells, &mut self.pixels),
            Held::Packed(held) => held.apply(cells, &mut self.pixels),
            Held::Whole {
                jpeg,
                scratch,
                rgba,
            } => {
                let mut applied = Applied::default();
                // Of several whole pictures only the newest matters.
                let [older @ .., newest] = cells else {
                    return applied;
                };
                for _ in older.iter().filter(|(index, _)| *index != 0) {
                    applied.add_bad(NO_SUCH_CELL);
                }
                let decoded = if newest.0 == 0 {
                    decode_whole(&newest.1, size, scratch, rgba)
                } else {
                    Err(NO_SUCH_CELL)
                };
                match decoded {
                    Ok(()) => {
                        paint_line(rgba, &mut self.pixels);
                        *jpeg = Some(newest.1.clone());
                        applied.dirty.push(Rect::whole(size.width(), size.height()));
                    }
                    Err(fault) => applied.add_bad(fault),
                }
                applied
            }
        }
    }

    /// The rung it shows.
    pub const fn rung(&self) -> &Arc<Rung> {
        &self.rung
    }

    /// Width and height.
    pub fn size(&self) -> Size {
        self.rung.size()
    }

    /// Row by row, 0x00RRGGBB; black where nothing has come yet.
    pub fn pixels(&self) -> &[u32] {
        &self.pixels
    }

    /// Whether every cell has come at least once.
    pub const fn is_complete(&self) -> bool {
        match &self.held {
            Held::Planes(held) => held.store().is_complete(),
            Held::Packed(held) => held.store().is_complete(),
            Held::Whole { jpeg, .. } => jpeg.is_some(),
        }
    }

    /// A standard JPEG of what is held, bit for bit as it was coded; `None` until it [is complete](Self::is_complete).
    pub fn join(&self) -> Option<Bytes> {
        let join = |store: &Store| match &self.rung.kind {
            RungKind::Cells { header, .. } => store.join(header),
            RungKind::Whole { .. } => None,
        };
        match &self.held {
            Held::Planes(held) => join(held.store()),
            Held::Packed(held) => join(held.store()),
            Held::Whole { jpeg, .. } => jpeg.clone(),
        }
    }
}

fn decode_whole(
    jpeg: &[u8],
    expected: Size,
    scratch: &mut Vec<u8>,
    rgba: &mut Vec<u8>,
) -> Result<(), JpegError> {
    let whole = Whole::check(jpeg, scratch)?;
    let found = whole.size();
    if found != expected {
        return Err(JpegError::WrongSize { expected, found });
    }
    whole.rgba(rgba)
}

const NO_SUCH_CELL: JpegError = JpegError::Broken("cell outside the picture");

/// RGBA to 0x00RRGGBB, as many pixels as `to` has.
fn paint_line(rgba: &[u8], to: &mut [u32]) {
    let (pixels, _) = rgba.as_chunks::<4>();
    for (to, from) in to.iter_mut().zip(pixels) {
        *to = u32::from_be_bytes(*from) >> 8;
    }
}

#[cfg(test)]
mod tests;
