use proptest::prelude::*;

use super::*;

fn read(bytes: &[u8]) -> Result<Vec<Picture>, Y4mError> {
    let mut reader = Reader::default();
    let mut pictures = Vec::new();
    reader.push(bytes, |picture| pictures.push(picture))?;
    reader.finish()?;
    Ok(pictures)
}

fn stream(header: &str, frame: &str, length: usize, frames: u8) -> Vec<u8> {
    let mut bytes = format!("YUV4MPEG2 {header}\n").into_bytes();
    for number in 0..frames {
        bytes.extend_from_slice(format!("{frame}\n").as_bytes());
        bytes.extend((0..251_u8).cycle().take(length).map(|at| at ^ number));
    }
    bytes
}

#[test]
fn full_range_samples_arrive_as_they_are() {
    let bytes = stream(
        "W17 H19 F25:1 C420jpeg XCOLORRANGE=FULL",
        "FRAME",
        17 * 19 + 2 * 9 * 10,
        2,
    );
    let pictures = read(&bytes).unwrap();
    assert_eq!(pictures.len(), 2);
    let samples = [pictures[1].y(), pictures[1].cb(), pictures[1].cr()].concat();
    assert_eq!(samples, bytes[bytes.len() - samples.len()..]);
}

#[test]
fn limited_range_is_the_default() {
    let mut bytes = b"YUV4MPEG2 W16 H16\nFRAME Ip\n".to_vec();
    bytes.extend([235; 256]);
    bytes.extend([240; 64]);
    bytes.extend([16; 64]);
    let pictures = read(&bytes).unwrap();
    assert_eq!(pictures[0], {
        let mut picture = Picture::filled(Size::new(16, 16).unwrap(), [255, 255, 0]);
        let cr = pictures[0].cr()[0];
        assert!(cr <= 1);
        picture.planes_mut()[2].fill(cr);
        picture
    });
}

#[test]
fn other_layouts_are_averaged_to_420() {
    for (name, columns, rows) in [("422", 9, 19), ("444", 17, 19)] {
        let mut bytes = format!("YUV4MPEG2 W17 H19 C{name} XCOLORRANGE=FULL\nFRAME\n").into_bytes();
        bytes.extend([50; 17 * 19]);
        for row in 0..rows {
            bytes.extend((0..columns).map(|_| if row % 2 == 0 { 100 } else { 110 }));
        }
        bytes.extend(vec![90; columns * rows]);
        let picture = read(&bytes).unwrap().remove(0);
        assert!(picture.y().iter().all(|sample| *sample == 50));
        let (inner, edge) = picture.cb().split_at(9 * 9);
        assert!(inner.iter().all(|sample| *sample == 105), "{name}");
        assert!(edge.iter().all(|sample| *sample == 100), "{name}");
        assert!(picture.cr().iter().all(|sample| *sample == 90));
    }
    let picture = read(&stream("W16 H16 Cmono XCOLORRANGE=FULL", "FRAME", 256, 1)).unwrap();
    assert!(picture[0].cb().iter().all(|sample| *sample == 128));
}

#[test]
fn every_wrong_stream_says_what_is_wrong() {
    let error = |bytes: &[u8]| read(bytes).unwrap_err();
    assert_eq!(error(b"RIFF"), Y4mError::NotY4m);
    assert_eq!(error(b"Y"), Y4mError::CutShort);
    assert_eq!(error(b"YUV4MPEG2 W16 H16\nFRAME\nx"), Y4mError::CutShort);
    assert_eq!(read(b"YUV4MPEG2 W16 H16\n"), Ok(vec![]));
    assert_eq!(
        error(b"YUV4MPEG2 H16\n"),
        Y4mError::Missing(Parameter::Width)
    );
    assert_eq!(
        error(b"YUV4MPEG2 W16\n"),
        Y4mError::Missing(Parameter::Height)
    );
    for width in ["", "-1", "+16", "0x10", "99999999999"] {
        let header = format!("YUV4MPEG2 W{width} H16\n");
        assert_eq!(
            error(header.as_bytes()),
            Y4mError::NotANumber(Parameter::Width)
        );
    }
    for size in [
        "W0 H16",
        "W4000000000 H4000000000",
        "W8192 H8192",
        "W15 H16",
    ] {
        let header = format!("YUV4MPEG2 {size}\n");
        assert!(
            matches!(error(header.as_bytes()), Y4mError::Size(_)),
            "{size}"
        );
    }
    assert_eq!(
        error(b"YUV4MPEG2 W16 H16 C420p10\n"),
        Y4mError::Chroma("420p10".to_owned())
    );
    assert_eq!(error(b"YUV4MPEG2 W16 H16\nFRAMES\n"), Y4mError::NotAFrame);
    assert_eq!(error(b"YUV4MPEG2 W16 H16\nframe\n"), Y4mError::NotAFrame);
    let long = [b"YUV4MPEG2 ".as_slice(), &[b'X'; 2000]].concat();
    assert_eq!(error(&long), Y4mError::LineTooLong);
    let long = [b"YUV4MPEG2 W16 H16\nFRAME ".as_slice(), &[b'X'; 5000]].concat();
    assert_eq!(error(&long), Y4mError::LineTooLong);
    let mut reader = Reader::default();
    assert!(reader.push(b"nonsense", |_| ()).is_err());
    assert_eq!(reader.push(b"YUV4MPEG2 ", |_| ()), Err(Y4mError::NotY4m));
}

proptest! {
    #[test]
    fn a_stream_may_be_cut_anywhere(cuts in proptest::collection::vec(1_usize..700, 1..40), layout in 0_usize..4) {
        let (name, length) = [("420", 256 + 128), ("422", 512), ("444", 768), ("mono", 256)][layout];
        let bytes = stream(&format!("W16 H16 C{name}"), "FRAME Ip", length, 5);
        let whole = read(&bytes).unwrap();
        let mut reader = Reader::default();
        let mut pictures = Vec::new();
        let (mut rest, mut cuts) = (bytes.as_slice(), cuts.iter().cycle());
        while !rest.is_empty() {
            let (now, later) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
            reader.push(now, |picture| pictures.push(picture)).unwrap();
            rest = later;
        }
        prop_assert_eq!(whole.len(), 5);
        prop_assert_eq!(pictures, whole);
        prop_assert_eq!(reader.finish(), Ok(()));
    }

    #[test]
    fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300), tail in any::<bool>()) {
        let head: &[u8] = if tail { b"YUV4MPEG2 W16 H16 " } else { b"" };
        let _ = read(&[head, &bytes].concat());
    }
}
