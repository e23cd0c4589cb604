//! Makes a standard JPEG of what cameras send.

use bytes::{BufMut, Bytes, BytesMut};

use super::JpegError;
use super::huffman::STANDARD;
use super::segments::{DHT, EOI, SOS, Segments};

/// One complete standard JPEG: cut behind its end marker, with the Huffman tables that motion JPEG leaves out.
///
/// Where nothing is missing the bytes are passed through without a copy. Markers are followed from segment to
/// segment, so a preview picture inside an application segment is not mistaken for the end. Errors: bytes that are no
/// JPEG, or that end before the end marker.
pub fn normalise(bytes: Bytes) -> Result<Bytes, JpegError> {
    let Extent { end, bare_scan } = Extent::of(&bytes)?;
    let whole = bytes.slice(..end);
    let Some(scan) = bare_scan else {
        return Ok(whole);
    };
    let tables = standard_tables();
    let mut out = BytesMut::with_capacity(whole.len() + tables.len());
    out.put_slice(&whole[..scan]);
    out.put_slice(&tables);
    out.put_slice(&whole[scan..]);
    Ok(out.freeze())
}

/// The JPEG at the start of a longer buffer, up to and with its end marker. Errors as [`normalise`].
pub fn cut_jpeg(buffer: &[u8]) -> Result<&[u8], JpegError> {
    Extent::of(buffer).map(|extent| &buffer[..extent.end])
}

/// What walking a JPEG from marker to marker finds out.
struct Extent {
    /// Behind its end marker.
    end: usize,
    /// Where the first scan begins, if no Huffman table stands before it.
    bare_scan: Option<usize>,
}

impl Extent {
    fn of(bytes: &[u8]) -> Result<Self, JpegError> {
        let mut segments = Segments::new(bytes)?;
        let mut has_tables = false;
        let mut bare_scan = None;
        loop {
            let segment = segments.next_segment()?;
            match segment.marker {
                DHT => has_tables = true,
                SOS => {
                    if !has_tables && bare_scan.is_none() {
                        bare_scan = Some(segment.at);
                    }
                    segments.skip_scan()?;
                }
                EOI => {
                    let end = segments.at;
                    return Ok(Self { end, bare_scan });
                }
                _ => {}
            }
        }
    }
}

/// A DHT segment with the tables of annex K.3.
pub(super) fn standard_tables() -> Vec<u8> {
    let mut body = Vec::with_capacity(420);
    for (class, number, spec) in STANDARD {
        body.push((class as u8) << 4 | number);
        body.extend_from_slice(spec.counts);
        body.extend_from_slice(spec.values);
    }
    let length = u16::try_from(body.len() + 2).unwrap_or(u16::MAX);
    let mut segment = vec![0xFF, DHT];
    segment.extend_from_slice(&length.to_be_bytes());
    segment.extend_from_slice(&body);
    segment
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::jpeg::{decode_jpeg, jpeg_size};
    use crate::codec::testing::size;

    const PHOTO: &[u8] = include_bytes!("../../../tests/data/motorcycle.jpg");

    /// A JPEG of ours, whose tables are the standard ones.
    fn ours() -> Bytes {
        use crate::codec::testing::photo;
        use crate::codec::{Encoder, Quality, join};
        use crate::media::MediaTime;

        let picture = photo(size(320, 64), 0);
        let mut encoder = Encoder::new(1, picture.size(), Quality::DEFAULT).unwrap();
        join(&encoder.encode(&picture, 1, MediaTime::ZERO).unwrap())
    }

    fn without_tables(jpeg: &[u8]) -> Bytes {
        let mut segments = Segments::new(jpeg).unwrap();
        let mut out = jpeg[..2].to_vec();
        loop {
            let from = segments.at;
            let segment = segments.next_segment().unwrap();
            if segment.marker != DHT {
                out.extend_from_slice(&jpeg[from..segments.at]);
            }
            if segment.marker == SOS {
                out.extend_from_slice(&jpeg[segments.at..]);
                return out.into();
            }
        }
    }

    #[test]
    fn a_complete_jpeg_is_passed_through_without_a_copy() {
        let jpeg = Bytes::from_static(PHOTO);
        let out = normalise(jpeg.clone()).unwrap();
        assert_eq!((out.as_ptr(), out.len()), (jpeg.as_ptr(), jpeg.len()));
    }

    #[test]
    fn tables_that_motion_jpeg_leaves_out_are_put_in() {
        let jpeg = ours();
        let bare = without_tables(&jpeg);
        assert!(decode_jpeg(&bare).is_err());
        assert!(jpeg_size(&bare).is_err());
        let mended = normalise(bare).unwrap();
        assert_eq!(jpeg_size(&mended), jpeg_size(&jpeg));
        assert_eq!(decode_jpeg(&mended).unwrap(), decode_jpeg(&jpeg).unwrap());
    }

    #[test]
    fn what_stands_behind_the_end_is_cut_off() {
        let jpeg = ours();
        for tail in [&[0; 5000][..], &jpeg, b"\xFF\xD9"] {
            let long = Bytes::from([&jpeg[..], tail].concat());
            assert_eq!(cut_jpeg(&long).unwrap(), jpeg);
            assert_eq!(normalise(long).unwrap(), jpeg);
        }
    }

    #[test]
    fn a_preview_inside_is_not_taken_for_the_picture() {
        let jpeg = ours();
        let preview = [b"Exif\0\0", &jpeg[..]].concat();
        let length = u16::try_from(preview.len() + 2).unwrap().to_be_bytes();
        let parts = [&jpeg[..2], &[0xFF, 0xE1], &length, &preview, &jpeg[2..]];
        let nested = Bytes::from(parts.concat());
        assert_eq!(normalise(nested.clone()).unwrap(), nested);
        assert_eq!(jpeg_size(&nested).unwrap(), size(320, 64));
        assert_eq!(decode_jpeg(&nested).unwrap(), decode_jpeg(&jpeg).unwrap());
    }

    #[test]
    fn a_jpeg_cut_short_is_an_error_at_every_length() {
        let jpeg = ours();
        for length in 0..jpeg.len() {
            assert!(normalise(jpeg.slice(..length)).is_err(), "{length} bytes");
            assert!(decode_jpeg(&jpeg[..length]).is_err(), "{length} bytes");
        }
        assert_eq!(
            normalise(Bytes::from_static(b"RIFF")),
            Err(JpegError::NotJpeg)
        );
    }
}
