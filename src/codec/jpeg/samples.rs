//! Cells to planes.

use std::sync::Arc;

use super::JpegError;
use super::cells::CellHeader;
use super::library::{Inverse, contained};

/// Decodes cells of one header, each alone.
#[derive(Debug)]
pub(in crate::codec) struct CellDecoder {
    header: Arc<CellHeader>,
    inverse: Inverse,
}

/// The samples of one cell, 4:2:0, row by row: sixteen rows of Y, eight of Cb, eight of Cr.
#[derive(Debug)]
pub(in crate::codec) struct CellSamples {
    planes: [Vec<u8>; 3],
}

impl CellSamples {
    /// Y, Cb, Cr.
    pub(in crate::codec) const fn planes(&self) -> &[Vec<u8>; 3] {
        &self.planes
    }
}

impl CellDecoder {
    /// For the cells of `header`.
    pub(in crate::codec) fn new(header: Arc<CellHeader>) -> Result<Self, JpegError> {
        Ok(Self {
            inverse: header.inverse()?,
            header,
        })
    }

    /// Room for a cell.
    pub(in crate::codec) fn samples(&self) -> CellSamples {
        let width = self.header.restart() * 16;
        CellSamples {
            planes: [width * 16, width * 4, width * 4].map(|length| vec![0; length]),
        }
    }

    /// Decodes one cell: what [`CellHeader::check`] refuses is refused, and after an error anything may be in `out`.
    pub(in crate::codec) fn decode(
        &self,
        cell: &[u8],
        scratch: &mut Vec<u8>,
        out: &mut CellSamples,
    ) -> Result<(), JpegError> {
        let width = self.header.restart() * 16;
        let [y, cb, cr] = &mut out.planes;
        contained(|| {
            self.inverse.machine().run(
                #[inline(always)]
                || {
                    self.header.read(
                        cell,
                        scratch,
                        #[inline(always)]
                        |macroblock, [upper, lower, coloured]| {
                            let luma = &mut y[macroblock * 16..];
                            self.inverse.luma(upper, luma, width);
                            self.inverse.luma(lower, &mut luma[width * 8..], width);
                            let chroma = [&mut cb[macroblock * 8..], &mut cr[macroblock * 8..]];
                            self.inverse.chroma(coloured, chroma, width / 2);
                        },
                    )
                },
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec::testing::{photo, size};
    use crate::codec::{Encoder, Quality};
    use crate::media::{Frame, MediaTime, RungKind};

    fn frame(quality: u8) -> Frame {
        let picture = photo(size(320, 64), 5);
        let quality = Quality::new(quality).unwrap();
        let mut encoder = Encoder::new(1, picture.size(), quality).unwrap();
        encoder.encode(&picture, 1, MediaTime::ZERO).unwrap()
    }

    fn header(frame: &Frame) -> Arc<CellHeader> {
        let RungKind::Cells { grid, header } = &frame.rung.kind else {
            panic!("cells");
        };
        Arc::new(CellHeader::parse(header, *grid).unwrap())
    }

    proptest! {
        #[test]
        fn what_the_check_takes_is_decoded_and_nothing_else(
            quality in 1u8..=100,
            cell in 0usize..8,
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
            tail in prop::collection::vec(any::<u8>(), 0..3),
        ) {
            let frame = frame(quality);
            let header = header(&frame);
            let decoder = CellDecoder::new(Arc::clone(&header)).unwrap();
            let mut bytes = frame.cells[cell].bytes.to_vec();
            for (at, value) in damage {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            bytes.extend(tail);
            let mut scratch = Vec::new();
            let checked = header.check(&bytes, &mut scratch);
            let decoded = decoder.decode(&bytes, &mut scratch, &mut decoder.samples());
            prop_assert_eq!(checked, decoded);
        }
    }

    #[test]
    fn a_blank_cell_is_mid_grey() {
        let header = header(&frame(75));
        let decoder = CellDecoder::new(Arc::clone(&header)).unwrap();
        let mut samples = decoder.samples();
        decoder
            .decode(header.blank(), &mut Vec::new(), &mut samples)
            .unwrap();
        assert!(
            samples
                .planes()
                .iter()
                .flatten()
                .all(|sample| *sample == 128)
        );
    }
}
