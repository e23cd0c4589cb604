//! JPEGs on their way in: only what every viewer can show goes on.

use bytes::Bytes;

#[cfg(any(feature = "camera", test))]
use crate::codec::cut_jpeg;
use crate::codec::{JpegError, jpeg_size, normalise};
use crate::media::Image;

/// Pictures in a row that cannot be shown after which a source is said to be at fault: a second's worth.
pub(super) const MAX_BROKEN: u32 = 30;

/// A whole JPEG, with the Huffman tables that motion JPEG leaves out; an error for what viewers do not decode.
pub(super) fn admit(bytes: Bytes) -> Result<Image, JpegError> {
    let bytes = normalise(bytes)?;
    let size = jpeg_size(&bytes)?;
    Ok(Image::Jpeg { size, bytes })
}

/// The same for the JPEG at the start of a driver's buffer: the rest is left over from older pictures, and would be
/// held for as long as the picture.
#[cfg(any(feature = "camera", test))]
pub(super) fn admit_from(buffer: &[u8]) -> Result<Image, JpegError> {
    admit(Bytes::copy_from_slice(cut_jpeg(buffer)?))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::codec::{Encoder, Quality, decode_jpeg, join};
    use crate::media::{MediaTime, Picture, Size};

    /// A JPEG of one colour.
    pub(in crate::capture) fn sample(width: u32, height: u32) -> Vec<u8> {
        let size = Size::new(width, height).unwrap();
        let picture = Picture::filled(size, [90, 100, 150]);
        let mut encoder = Encoder::new(1, size, Quality::DEFAULT).unwrap();
        join(&encoder.encode(&picture, 1, MediaTime::ZERO).unwrap()).to_vec()
    }

    /// As cameras send it: without Huffman tables.
    pub(in crate::capture) fn bare(jpeg: &[u8]) -> Vec<u8> {
        let mut out = jpeg[..2].to_vec();
        let mut at = 2;
        while jpeg[at + 1] != 0xDA {
            let end = at + 2 + usize::from(u16::from_be_bytes([jpeg[at + 2], jpeg[at + 3]]));
            if jpeg[at + 1] != 0xC4 {
                out.extend_from_slice(&jpeg[at..end]);
            }
            at = end;
        }
        out.extend_from_slice(&jpeg[at..]);
        out
    }

    /// The same with the marker of a progressive picture.
    pub(in crate::capture) fn progressive(jpeg: &[u8]) -> Vec<u8> {
        let mut out = jpeg.to_vec();
        let at = out.windows(2).position(|pair| pair == [0xFF, 0xC0]);
        out[at.unwrap() + 1] = 0xC2;
        out
    }

    #[test]
    fn what_a_webcam_leaves_out_is_put_in() {
        let jpeg = sample(64, 48);
        let bare = bare(&jpeg);
        assert!(decode_jpeg(&bare).is_err() && bare.len() < jpeg.len());
        let mut buffer = bare.clone();
        buffer.resize(bare.len() + 5000, 0xD9);
        for admitted in [admit(bare.into()), admit_from(&buffer)] {
            let Ok(Image::Jpeg { size, bytes }) = admitted else {
                panic!("a JPEG");
            };
            assert_eq!(size, Size::new(64, 48).unwrap());
            assert_eq!(decode_jpeg(&bytes), decode_jpeg(&jpeg));
        }
    }

    #[test]
    fn what_viewers_do_not_decode_is_refused_by_name() {
        let error = admit(progressive(&sample(64, 48)).into()).unwrap_err();
        assert_eq!(error, JpegError::Unsupported("progressive"));
        let jpeg = sample(64, 48);
        for length in 0..jpeg.len() {
            assert!(admit_from(&jpeg[..length]).is_err(), "{length}");
        }
    }
}
