//! The viewer's picture of one rung: the cells it holds, and their pixels.

mod packed;
mod planes;
mod store;

use std::sync::Arc;

use bytes::Bytes;

use super::CodecError;
use super::jpeg::{JpegError, JpegLibrary, Whole};
use crate::media::{CellIndex, Pixels, Raster, Rect, Rung, RungKind, Size};
use packed::Packed;
use planes::Planes;
use store::Store;

/// Holds the newest cells of a rung and what they look like. Only what changed is decoded, and pixels are made of it
/// when they are asked for.
#[derive(Debug)]
pub struct Canvas {
    rung: Arc<Rung>,
    /// Empty until somebody wants them all, where they are made of planes.
    pixels: Vec<u32>,
    /// Where they are older than the planes.
    stale: Vec<Rect>,
    /// Done at once when it was begun.
    ready: Option<Applied>,
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
    /// Where pixels changed: never empty, never outside. May overlap.
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

    /// Together with what was done afterwards.
    pub fn extend(&mut self, later: Self) {
        self.dirty.extend(later.dirty);
        self.bad += later.bad;
        self.fault = self.fault.take().or(later.fault);
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
        let count = match held {
            Held::Planes(_) => 0,
            Held::Packed(_) | Held::Whole { .. } => rung.size().width() * rung.size().height(),
        };
        Ok(Self {
            pixels: vec![0; count],
            stale: Vec::new(),
            ready: None,
            rung,
            held,
        })
    }

    /// Takes cells and decodes them. A cell whose bytes are bad keeps its old bytes and pixels, and is counted; it
    /// disturbs no other. Later cells of the same index replace earlier ones.
    pub fn apply(&mut self, cells: &[(CellIndex, Bytes)]) -> Applied {
        self.begin(cells);
        let mut applied = Applied::default();
        while let Some(part) = self.advance() {
            applied.extend(part);
        }
        applied
    }

    /// Begins to take cells, as [`Self::apply`]. Other threads decode them, while the caller sees to those that are done:
    /// call [`Self::advance`] until nothing is left.
    pub fn begin(&mut self, cells: &[(CellIndex, Bytes)]) {
        while self.advance().is_some() {}
        let mut applied = Applied::default();
        match &mut self.held {
            Held::Planes(held) => held.begin(cells, &mut applied),
            Held::Packed(held) => applied = held.apply(cells, &mut self.pixels),
            Held::Whole {
                jpeg,
                scratch,
                rgba,
            } => {
                let size = self.rung.size();
                // Of several whole pictures only the newest matters.
                let [older @ .., newest] = cells else {
                    return;
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
            }
        }
        self.ready = Some(applied).filter(|applied| *applied != Applied::default());
    }

    /// What was done since the last call, of what was begun: some cells, which can be painted. Waits for them, or helps.
    /// `None` when nothing is left.
    pub fn advance(&mut self) -> Option<Applied> {
        if let Some(applied) = self.ready.take() {
            return Some(applied);
        }
        let Held::Planes(held) = &mut self.held else {
            return None;
        };
        let applied = held.advance()?;
        if !self.pixels.is_empty() {
            self.stale.extend(&applied.dirty);
            if self.stale.len() > MOST_STALE {
                self.stale.clear();
                let size = self.rung.size();
                self.stale.push(Rect::whole(size.width(), size.height()));
            }
        }
        Some(applied)
    }

    /// Whether [`Self::advance`] has more to give.
    pub fn is_underway(&self) -> bool {
        let decoding = match &self.held {
            Held::Planes(held) => held.is_underway(),
            Held::Packed(_) | Held::Whole { .. } => false,
        };
        decoding || self.ready.is_some()
    }

    /// The rung it shows.
    pub const fn rung(&self) -> &Arc<Rung> {
        &self.rung
    }

    /// Width and height.
    pub fn size(&self) -> Size {
        self.rung.size()
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

/// Black where nothing has come yet.
impl Raster for Canvas {
    fn size(&self) -> Size {
        self.rung.size()
    }

    fn pixels(&mut self) -> &[u32] {
        let size = self.rung.size();
        let width = size.width();
        if let Held::Planes(held) = &mut self.held {
            if self.pixels.is_empty() {
                self.pixels.resize(width * size.height(), 0);
                self.stale.push(Rect::whole(width, size.height()));
            }
            for part in self.stale.drain(..) {
                held.paint(part, &mut self.pixels[part.y * width + part.x..], width);
            }
        }
        &self.pixels
    }

    fn paint(&mut self, part: Rect, out: &mut [u32], stride: usize) {
        let size = self.rung.size();
        match &mut self.held {
            Held::Planes(held) => held.paint(part, out, stride),
            Held::Packed(_) | Held::Whole { .. } => {
                if let Some(mut pixels) = Pixels::new(&self.pixels, size) {
                    pixels.paint(part, out, stride);
                }
            }
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

/// Beyond so many parts all pixels are made anew.
const MOST_STALE: usize = 64;

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
