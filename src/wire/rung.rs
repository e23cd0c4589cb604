//! A rung as a control message says it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::limits::MAX_RUNG_HEADER;
use crate::media::{Grid, Rung, RungId, RungKind, Size};

/// The fields of a `rung` message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RungInfo {
    /// Its name in cells.
    pub id: RungId,
    /// How its frames are made up.
    pub coding: Coding,
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// Macroblocks in a cell; only with [`Coding::Cells`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<u16>,
    /// SOI to SOS, base64url without padding; only with [`Coding::Cells`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// The source's picture, where this one is a smaller copy of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Pixels>,
}

/// A size as it is said, unchecked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pixels {
    /// In a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

/// How the frames of a rung are made up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Coding {
    /// Cells of a 4:2:0 JPEG.
    Cells,
    /// One cell, which is a complete JPEG.
    Whole,
    /// Of a newer peer: the rung is not remembered, so its cells are skipped.
    #[serde(other)]
    Unknown,
}

impl RungInfo {
    /// What to say of `rung`.
    pub fn of(rung: &Rung) -> Self {
        let side = |pixels: usize| u32::try_from(pixels).unwrap_or(u32::MAX);
        let size = rung.size();
        let (coding, restart, header) = match &rung.kind {
            RungKind::Cells { grid, header } => (
                Coding::Cells,
                Some(grid.restart()),
                Some(URL_SAFE_NO_PAD.encode(header)),
            ),
            RungKind::Whole { .. } => (Coding::Whole, None, None),
        };
        Self {
            id: rung.id,
            coding,
            width: side(size.width()),
            height: side(size.height()),
            restart,
            header,
            source: rung.source.map(|size| Pixels {
                width: side(size.width()),
                height: side(size.height()),
            }),
        }
    }

    /// The rung, with size and cut checked (the header's bytes are the decoder's to check); `None` if its coding is
    /// unknown.
    pub fn rung(&self) -> Result<Option<Rung>, RungError> {
        if self.coding == Coding::Unknown {
            return Ok(None);
        }
        let size = Size::new(self.width, self.height).map_err(|_| RungError::Size)?;
        let source = self.source.map(|size| Size::new(size.width, size.height));
        let source = source.transpose().map_err(|_| RungError::Size)?;
        let kind = match self.coding {
            Coding::Whole => RungKind::Whole { size },
            Coding::Cells | Coding::Unknown => {
                let restart = self.restart.ok_or(RungError::Restart)?;
                let header = self.header.as_deref().ok_or(RungError::Header)?;
                let header = URL_SAFE_NO_PAD
                    .decode(header)
                    .map_err(|_| RungError::Header)?;
                if header.is_empty() || header.len() > MAX_RUNG_HEADER {
                    return Err(RungError::Header);
                }
                RungKind::Cells {
                    grid: Grid::new(size, restart).map_err(|_| RungError::Restart)?,
                    header: Bytes::from(header),
                }
            }
        };
        Ok(Some(Rung {
            id: self.id,
            kind,
            source,
        }))
    }
}

/// What is wrong with a rung.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RungError {
    /// Out of bounds.
    #[error("its size is out of bounds")]
    Size,
    /// Missing, or it does not divide the picture.
    #[error("its restart interval does not fit its size")]
    Restart,
    /// Missing, no base64url, empty or too long.
    #[error("its header is not usable")]
    Header,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(source: Option<Pixels>) -> RungInfo {
        RungInfo {
            id: 7,
            coding: Coding::Whole,
            width: 320,
            height: 180,
            restart: None,
            header: None,
            source,
        }
    }

    #[test]
    fn a_smaller_copy_says_of_what_and_nothing_else_does() {
        let (width, height) = (1280, 720);
        let copy = whole(Some(Pixels { width, height }));
        let rung = copy.rung().unwrap().unwrap();
        assert_eq!(rung.source_size(), Size::new(width, height).unwrap());
        assert_eq!(RungInfo::of(&rung), copy);
        let plain = whole(None);
        let rung = plain.rung().unwrap().unwrap();
        assert_eq!(rung.source_size(), rung.size());
        assert!(!serde_json::to_string(&plain).unwrap().contains("source"));
    }

    #[test]
    fn a_source_out_of_bounds_is_refused() {
        for (width, height) in [(0, 720), (1280, 9000), (8192, 8192)] {
            let copy = whole(Some(Pixels { width, height }));
            assert_eq!(copy.rung(), Err(RungError::Size));
        }
    }
}
