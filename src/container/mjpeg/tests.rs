use proptest::prelude::*;

use super::*;

/// A JPEG as far as markers go: a thumbnail in a comment, tables, a frame header, coded samples.
fn jpeg(width: u16, coded: usize) -> Vec<u8> {
    let mut bytes = vec![0xFF, SOI, 0xFF, 0xE1, 0, 8, 0xFF, SOI, 0xFF, EOI, 0, 0];
    bytes.extend([0xFF, 0xC0, 0, 11, 8, 0, 32]);
    bytes.extend(width.to_be_bytes());
    bytes.extend([1, 1, 0x11, 0]);
    bytes.extend([0xFF, 0xFF, SOS, 0, 8, 1, 1, 0, 0, 63, 0]);
    bytes.extend((0..200).cycle().take(coded));
    bytes.extend([0xFF, 0x00, 0xFF, RST0, 7, 0xFF, EOI]);
    bytes
}

fn read(bytes: &[u8]) -> (Vec<Bytes>, u64) {
    let mut splitter = Splitter::default();
    splitter.push(bytes);
    let pictures = std::iter::from_fn(|| splitter.picture()).collect();
    (pictures, splitter.broken())
}

#[test]
fn pictures_are_cut_apart() {
    let stream = [jpeg(64, 100), jpeg(80, 5), jpeg(8192, 0)].concat();
    let (pictures, broken) = read(&stream);
    assert_eq!(pictures, [jpeg(64, 100), jpeg(80, 5), jpeg(8192, 0)]);
    assert_eq!(broken, 0);
}

#[test]
fn what_stands_between_pictures_is_skipped() {
    let between = b"\r\n--boundary\r\nContent-Type: image/jpeg\r\n\r\n";
    let stream = [
        between,
        &jpeg(64, 9)[..],
        between,
        &[0, 0xFF],
        &jpeg(64, 9),
        &[0; 50],
    ]
    .concat();
    let (pictures, broken) = read(&stream);
    assert_eq!((pictures.len(), broken), (2, 0));
}

#[test]
fn a_picture_cut_short_is_dropped_and_counted() {
    let whole = jpeg(64, 500);
    // In its coded samples, and between its segments.
    for cut in [400, 12, 2] {
        let stream = [&whole[..cut], &whole, &whole].concat();
        let (pictures, broken) = read(&stream);
        assert_eq!((pictures.len(), broken), (2, 1), "{cut}");
    }
    // In a segment, which then swallows the start of the next.
    let stream = [&whole[..7], &whole, &whole].concat();
    let (pictures, broken) = read(&stream);
    assert!(!pictures.is_empty() && broken >= 1);
}

#[test]
fn a_picture_without_samples_is_dropped() {
    let (pictures, broken) = read(&[0xFF, SOI, 0xFF, EOI]);
    assert_eq!((pictures.len(), broken), (0, 1));
}

#[test]
fn an_endless_picture_is_given_up() {
    let mut splitter = Splitter::default();
    splitter.push(&jpeg(64, 100)[..50]);
    for _ in 0..MAX_PICTURE / 65_536 + 2 {
        splitter.push(&[7; 65_536]);
        assert_eq!(splitter.picture(), None);
        assert!(splitter.bytes.len() <= MAX_PICTURE + 65_536);
    }
    assert_eq!(splitter.broken(), 1);
    splitter.push(&jpeg(64, 100));
    assert!(splitter.picture().is_some());
}

#[test]
fn noise_is_not_kept() {
    let mut splitter = Splitter::default();
    for _ in 0..100 {
        splitter.push(&[0xFF; 1000]);
        assert_eq!(splitter.picture(), None);
        assert!(splitter.bytes.len() <= 1);
    }
}

proptest! {
    #[test]
    fn a_stream_may_be_cut_anywhere(cuts in proptest::collection::vec(1_usize..300, 1..40)) {
        let stream = [jpeg(64, 300), vec![1, 2, 0xFF], jpeg(80, 5)[..20].to_vec(), jpeg(96, 700), jpeg(16, 1)].concat();
        let whole = read(&stream);
        let mut splitter = Splitter::default();
        let mut pictures = Vec::new();
        let (mut rest, mut cuts) = (stream.as_slice(), cuts.iter().cycle());
        while !rest.is_empty() {
            let (now, later) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
            splitter.push(now);
            pictures.extend(std::iter::from_fn(|| splitter.picture()));
            rest = later;
        }
        prop_assert_eq!((pictures, splitter.broken()), whole);
    }

    #[test]
    fn nothing_panics(bytes in proptest::collection::vec(prop_oneof![Just(0xFF_u8), Just(SOI), Just(EOI), any::<u8>()], 0..400)) {
        read(&bytes);
    }
}
