//! The markers of a JPEG, one after the other.

use super::JpegError;

/// A marker and what belongs to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment<'a> {
    pub(super) marker: u8,
    /// Where its 0xFF stands.
    pub(super) at: usize,
    /// Without the length.
    pub(super) body: &'a [u8],
    pub(super) body_at: usize,
}

/// Walks the segments of a JPEG.
#[derive(Debug)]
pub(super) struct Segments<'a> {
    bytes: &'a [u8],
    /// Behind the segment that was read last.
    pub(super) at: usize,
}

impl<'a> Segments<'a> {
    /// Behind SOI.
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, JpegError> {
        match bytes {
            [0xFF, SOI, ..] => Ok(Self { bytes, at: 2 }),
            _ => Err(JpegError::NotJpeg),
        }
    }

    /// The next segment. Not for coded bytes: use [`Self::skip_scan`] behind SOS.
    pub(super) fn next_segment(&mut self) -> Result<Segment<'a>, JpegError> {
        let at = self.at;
        if *self.bytes.get(at).ok_or(JpegError::Truncated)? != 0xFF {
            return Err(JpegError::Broken("no marker where one must be"));
        }
        // A marker may be preceded by any number of 0xFF.
        let fill = self.bytes[at..].iter().position(|&b| b != 0xFF);
        let marker_at = at + fill.ok_or(JpegError::Truncated)?;
        let marker = self.bytes[marker_at];
        let mut body_at = marker_at + 1;
        let mut end = body_at;
        if marker != EOI {
            if marker < 0xC0 || (RST0..=SOI).contains(&marker) {
                return Err(JpegError::Broken("marker out of place"));
            }
            end += usize::from(be16(self.bytes, body_at)?);
            body_at += 2;
        }
        let body = self.bytes.get(body_at..end);
        self.at = end;
        Ok(Segment {
            marker,
            at: marker_at - 1,
            body: body.ok_or(if end < body_at {
                JpegError::Broken("segment length")
            } else {
                JpegError::Truncated
            })?,
            body_at,
        })
    }

    /// Moves over coded bytes and restart markers to the marker that ends them.
    pub(super) fn skip_scan(&mut self) -> Result<(), JpegError> {
        let mut at = self.at;
        loop {
            let rest = self.bytes.get(at..).ok_or(JpegError::Truncated)?;
            at += find_ff(rest).ok_or(JpegError::Truncated)?;
            match self.bytes.get(at + 1) {
                None => return Err(JpegError::Truncated),
                Some(0x00 | RST0..=RST7) => at += 2,
                Some(0xFF) => at += 1,
                Some(_) => {
                    self.at = at;
                    return Ok(());
                }
            }
        }
    }
}

/// Where the first 0xFF stands.
pub(super) fn find_ff(bytes: &[u8]) -> Option<usize> {
    // Eight at a time: a byte of 0xFF is a zero byte in the complement.
    const ONES: u64 = u64::MAX / 255;
    let (words, _) = bytes.as_chunks::<8>();
    let clean = words
        .iter()
        .position(|word| {
            let zero = !u64::from_ne_bytes(*word);
            zero.wrapping_sub(ONES) & !zero & (ONES << 7) != 0
        })
        .unwrap_or(words.len())
        * 8;
    bytes[clean..]
        .iter()
        .position(|&b| b == 0xFF)
        .map(|at| clean + at)
}

pub(super) fn be16(bytes: &[u8], at: usize) -> Result<u16, JpegError> {
    let pair = bytes.get(at..at + 2).ok_or(JpegError::Truncated)?;
    Ok(u16::from_be_bytes([pair[0], pair[1]]))
}

pub(super) const SOI: u8 = 0xD8;
pub(super) const EOI: u8 = 0xD9;
pub(super) const RST0: u8 = 0xD0;
pub(super) const RST7: u8 = 0xD7;
pub(super) const DHT: u8 = 0xC4;
pub(super) const SOS: u8 = 0xDA;
