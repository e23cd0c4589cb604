//! What a JPEG says about itself before its first coded byte, read once and bounded.

use super::JpegError;
use super::huffman::{Class, Spec};
use super::segments::{DHT, EOI, SOS, Segments};
use crate::media::Size;

/// The segments up to and with the first SOS.
#[derive(Debug)]
pub(super) struct Layout<'a> {
    pub(super) size: Size,
    /// One of grey, three of YCbCr.
    pub(super) components: Vec<Component>,
    /// By table number; DC, then AC.
    pub(super) huffman: [[Option<Spec<'a>>; 4]; 2],
    /// By table number; steps in zigzag order.
    pub(super) quantisation: [Option<&'a [u8; 64]>; 4],
    /// Macroblocks between RST markers; 0 for none.
    pub(super) restart: u16,
    /// Where the height stands, two bytes before the width.
    pub(super) height_at: usize,
    /// The first coded byte.
    pub(super) scan_at: usize,
    /// Nothing but JFIF in the way of application segments.
    pub(super) plain: bool,
    /// SOF0, not SOF1.
    pub(super) baseline: bool,
}

/// One component of a frame and of its only scan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Component {
    pub(super) id: u8,
    /// Blocks across in a macroblock.
    pub(super) across: u8,
    /// Blocks down in a macroblock.
    pub(super) down: u8,
    pub(super) quantisation: u8,
    /// Number of its DC table.
    pub(super) dc: u8,
    /// Number of its AC table.
    pub(super) ac: u8,
}

impl<'a> Layout<'a> {
    /// Reads to the end of SOS. Anything that is not sequential, 8 bit, Huffman coded, in one scan of one or three
    /// components is an error that says so.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, JpegError> {
        let mut segments = Segments::new(bytes)?;
        let mut frame = None;
        let mut huffman = [[None; 4]; 2];
        let mut quantisation = [None; 4];
        let mut restart = 0;
        let mut plain = true;
        loop {
            let segment = segments.next_segment()?;
            let body = segment.body;
            match segment.marker {
                DQT => read_dqt(body, &mut quantisation)?,
                DHT => read_dht(body, &mut huffman)?,
                DRI => {
                    let interval = body.try_into();
                    let interval = interval.map_err(|_| JpegError::Broken("restart interval"))?;
                    restart = u16::from_be_bytes(interval);
                }
                APP0 | COM => {}
                0xE1..=0xEF => plain = false,
                marker if is_sof(marker) => {
                    if frame.is_some() {
                        return Err(JpegError::Broken("second frame header"));
                    }
                    frame = Some(Frame::read(marker, body, segment.body_at)?);
                }
                SOS => {
                    let mut frame = frame.ok_or(JpegError::Broken("scan before frame header"))?;
                    read_sos(body, &mut frame.components)?;
                    return Ok(Self {
                        size: frame.size,
                        components: frame.components,
                        huffman,
                        quantisation,
                        restart,
                        height_at: segment_height(frame.body_at),
                        scan_at: segments.at,
                        plain,
                        baseline: frame.baseline,
                    });
                }
                EOI => return Err(JpegError::Truncated),
                _ => return Err(JpegError::Unsupported("unknown segment")),
            }
        }
    }

    /// Macroblocks across and down.
    pub(super) fn macroblocks(&self) -> (usize, usize) {
        let side = |n: Option<u8>| 8 * usize::from(n.unwrap_or(1));
        // A scan of one component has blocks for macroblocks, whatever its factors.
        let (across, down) = if self.components.len() == 1 {
            (8, 8)
        } else {
            (
                side(self.components.iter().map(|c| c.across).max()),
                side(self.components.iter().map(|c| c.down).max()),
            )
        };
        (
            self.size.width().div_ceil(across),
            self.size.height().div_ceil(down),
        )
    }
}

/// The size of a JPEG that [`super::normalise`] gave, if it is of a kind that can be decoded here: sequential, 8 bit,
/// Huffman coded, grey or YCbCr, in one scan, with its tables. The coded bytes are not looked at.
pub fn jpeg_size(bytes: &[u8]) -> Result<Size, JpegError> {
    let layout = Layout::read(bytes)?;
    for component in &layout.components {
        let table = usize::from(component.quantisation);
        if layout.quantisation.get(table).copied().flatten().is_none() {
            return Err(JpegError::Broken("quantisation table missing"));
        }
        let [dc, ac] = &layout.huffman;
        if dc[usize::from(component.dc)].is_none() || ac[usize::from(component.ac)].is_none() {
            return Err(JpegError::Broken("huffman table missing"));
        }
    }
    Ok(layout.size)
}

/// A frame header.
struct Frame {
    size: Size,
    components: Vec<Component>,
    body_at: usize,
    baseline: bool,
}

impl Frame {
    fn read(marker: u8, body: &[u8], body_at: usize) -> Result<Self, JpegError> {
        match marker {
            0xC0 | 0xC1 => {}
            0xC2 => return Err(JpegError::Unsupported("progressive")),
            0xC3 => return Err(JpegError::Unsupported("lossless")),
            _ => return Err(JpegError::Unsupported("arithmetic or hierarchical coding")),
        }
        let &[precision, h1, h0, w1, w0, count, ref rest @ ..] = body else {
            return Err(JpegError::Truncated);
        };
        if precision != 8 {
            return Err(JpegError::Unsupported("more than 8 bits a sample"));
        }
        let size = Size::new(
            u32::from(u16::from_be_bytes([w1, w0])),
            u32::from(u16::from_be_bytes([h1, h0])),
        )?;
        if rest.len() != usize::from(count) * 3 {
            return Err(JpegError::Broken("frame header"));
        }
        let components: Vec<Component> = rest
            .chunks_exact(3)
            .map(|c| Component {
                id: c[0],
                across: c[1] >> 4,
                down: c[1] & 15,
                quantisation: c[2],
                ..Component::default()
            })
            .collect();
        let factor = |n: u8| n == 1 || n == 2;
        let known = match components.as_slice() {
            [y] => factor(y.across) && factor(y.down),
            [y, cb, cr] => {
                let one = |c: &Component| c.across == 1 && c.down == 1;
                let distinct = y.id != cb.id && y.id != cr.id && cb.id != cr.id;
                factor(y.across) && factor(y.down) && one(cb) && one(cr) && distinct
            }
            _ => false,
        };
        if !known {
            return Err(JpegError::Unsupported("kind of colour"));
        }
        Ok(Self {
            size,
            components,
            body_at,
            baseline: marker == 0xC0,
        })
    }
}

const fn segment_height(frame_body_at: usize) -> usize {
    frame_body_at + 1
}

fn read_dqt<'a>(
    mut body: &'a [u8],
    tables: &mut [Option<&'a [u8; 64]>; 4],
) -> Result<(), JpegError> {
    while let Some((&head, rest)) = body.split_first() {
        if head >> 4 != 0 {
            return Err(JpegError::Unsupported("16-bit quantisation"));
        }
        let (table, rest) = rest.split_first_chunk().ok_or(JpegError::Truncated)?;
        let slot = tables.get_mut(usize::from(head & 15));
        let slot = slot.ok_or(JpegError::Broken("quantisation table"))?;
        if table.contains(&0) {
            return Err(JpegError::Broken("quantisation table"));
        }
        *slot = Some(table);
        body = rest;
    }
    Ok(())
}

fn read_dht<'a>(
    mut body: &'a [u8],
    tables: &mut [[Option<Spec<'a>>; 4]; 2],
) -> Result<(), JpegError> {
    while let Some((&head, rest)) = body.split_first() {
        let (counts, rest) = rest.split_first_chunk().ok_or(JpegError::Truncated)?;
        let total = counts.iter().map(|&n: &u8| usize::from(n)).sum();
        let (values, rest) = rest.split_at_checked(total).ok_or(JpegError::Truncated)?;
        let spec = Spec { counts, values };
        let class = match head >> 4 {
            0 => Class::Dc,
            1 => Class::Ac,
            _ => return Err(JpegError::Broken("huffman table")),
        };
        // One that no component names as well: not every decoder would look away.
        spec.check(class)?;
        let slot = tables[class as usize].get_mut(usize::from(head & 15));
        *slot.ok_or(JpegError::Broken("huffman table"))? = Some(spec);
        body = rest;
    }
    Ok(())
}

fn read_sos(body: &[u8], components: &mut [Component]) -> Result<(), JpegError> {
    let (&count, rest) = body.split_first().ok_or(JpegError::Truncated)?;
    if usize::from(count) != components.len() {
        return Err(JpegError::Unsupported("more than one scan"));
    }
    if rest.len() != components.len() * 2 + 3 {
        return Err(JpegError::Broken("scan header"));
    }
    for (component, entry) in components.iter_mut().zip(rest.chunks_exact(2)) {
        if entry[0] != component.id {
            return Err(JpegError::Broken("scan header"));
        }
        component.dc = entry[1] >> 4;
        component.ac = entry[1] & 15;
        if component.dc > 3 || component.ac > 3 {
            return Err(JpegError::Broken("scan header"));
        }
    }
    if rest[components.len() * 2..] != [0, 63, 0] {
        return Err(JpegError::Broken("scan header"));
    }
    Ok(())
}

const fn is_sof(marker: u8) -> bool {
    matches!(marker, 0xC0..=0xCF) && !matches!(marker, DHT | 0xC8 | 0xCC)
}

const DQT: u8 = 0xDB;
const DRI: u8 = 0xDD;
const APP0: u8 = 0xE0;
const COM: u8 = 0xFE;
