use proptest::prelude::*;

use super::element as id;
use super::*;
use crate::media::Size;

fn element(id: u32, value: &[u8]) -> Vec<u8> {
    let name = id.to_be_bytes();
    let mut bytes = name[name.iter().take_while(|byte| **byte == 0).count()..].to_vec();
    bytes.extend((value.len() as u64 | 1 << 56).to_be_bytes());
    bytes.extend(value);
    bytes
}

fn open(id: u32) -> Vec<u8> {
    let mut bytes = id.to_be_bytes().to_vec();
    bytes.extend([0x01, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]);
    bytes
}

fn video(width: u16, height: u16) -> Vec<u8> {
    let inner = [
        element(id::PIXEL_WIDTH, &width.to_be_bytes()),
        element(id::PIXEL_HEIGHT, &height.to_be_bytes()),
        element(id::FOURCC, b"I420"),
    ];
    let entry = [
        element(id::TRACK_NUMBER, &[1]),
        element(id::CODEC_ID, b"V_UNCOMPRESSED"),
        element(id::VIDEO, &inner.concat()),
    ];
    element(id::TRACK_ENTRY, &entry.concat())
}

fn sound(codec: &[u8], bits: u8) -> Vec<u8> {
    let inner = [
        element(id::CHANNELS, &[2]),
        element(id::SAMPLING_FREQUENCY, &48_000_f64.to_be_bytes()),
        element(id::BIT_DEPTH, &[bits]),
    ];
    let entry = [
        element(id::TRACK_NUMBER, &[2]),
        element(id::CODEC_ID, codec),
        element(id::AUDIO, &inner.concat()),
    ];
    element(id::TRACK_ENTRY, &entry.concat())
}

fn block(track: u8, relative: i16, payload: &[u8]) -> Vec<u8> {
    let [high, low] = relative.to_be_bytes();
    element(
        id::SIMPLE_BLOCK,
        &[&[0x80 | track, high, low, 0x80], payload].concat(),
    )
}

fn head() -> Vec<u8> {
    [
        element(id::EBML, &element(0x4282, b"matroska")),
        open(id::SEGMENT),
        element(0xEC, &[0; 100]),
        element(id::INFO, &element(id::TIMESTAMP_SCALE, &[0x0F, 0x42, 0x40])),
        element(
            id::TRACKS,
            &[video(16, 18), sound(b"A_PCM/INT/LIT", 16)].concat(),
        ),
        open(id::CLUSTER),
        element(id::CLUSTER_TIMESTAMP, &[0x03, 0xE8]),
    ]
    .concat()
}

fn film() -> Vec<u8> {
    let samples: Vec<u8> = (0..=255).cycle().take(16 * 18 * 3 / 2).collect();
    let group = element(
        id::BLOCK_GROUP,
        &element(
            id::BLOCK,
            &[&[0x82, 0, 50, 0], &[0, 0x40, 0, 0xC0][..]].concat(),
        ),
    );
    [
        head(),
        block(1, -1, &samples),
        block(2, 10, &[0, 0x40, 0, 0xC0]),
        group,
        open(id::CLUSTER),
        element(id::CLUSTER_TIMESTAMP, &[0x07, 0xD0]),
        block(1, 0, &samples),
    ]
    .concat()
}

fn read(bytes: &[u8]) -> Result<Vec<Block>, MkvError> {
    let mut demuxer = Demuxer::default();
    let mut blocks = Vec::new();
    demuxer.push(bytes, |block| blocks.push(block))?;
    Ok(blocks)
}

#[test]
fn pictures_and_sound_come_with_their_times() {
    let blocks = read(&film()).unwrap();
    let ms: Vec<_> = blocks
        .iter()
        .map(|block| match block {
            Block::Video { pts, .. } | Block::Sound { pts, .. } => pts.as_millis(),
        })
        .collect();
    assert_eq!(ms, [999, 1010, 1050, 2000]);
    let Block::Video { picture, .. } = &blocks[0] else {
        panic!("a picture first");
    };
    assert_eq!(picture.size(), Size::new(16, 18).unwrap());
    assert_eq!((picture.y()[17], picture.cb()[0]), (17, 32));
    assert!(matches!(&blocks[2], Block::Sound { samples, .. } if *samples == [0.5, -0.5]));
}

#[test]
fn every_wrong_stream_says_what_is_wrong() {
    let error = |tail: &[u8]| read(&[&head(), tail].concat()).unwrap_err();
    assert_eq!(read(b"RIFF").unwrap_err(), MkvError::NotMatroska);
    assert_eq!(read(&[0xA3, 0x81]).unwrap_err(), MkvError::NotMatroska);
    assert_eq!(error(&[0; 20]), MkvError::BadHead);
    assert_eq!(error(&block(1, 0, &[0; 5])), MkvError::BlockLength(5));
    assert_eq!(error(&block(2, 0, &[0; 5])), MkvError::BlockLength(5));
    assert_eq!(error(&block(3, 0, &[0; 5])), MkvError::UnknownTrack(3));
    assert_eq!(
        error(&element(id::SIMPLE_BLOCK, &[0x81, 0, 0, 0x06])),
        MkvError::Laced
    );
    assert_eq!(
        error(&[0xA3, 0x82, 0x81, 0, 0, 0]),
        MkvError::BlockLength(2)
    );
    assert_eq!(error(&[0xA3, 0xFF]), MkvError::UnknownSize);
    let huge = [0xEC, 0x01, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFE];
    assert!(matches!(error(&huge), MkvError::TooLong(_)));
    assert!(matches!(
        error(&element(id::CLUSTER_TIMESTAMP, &[0; 65])),
        MkvError::TooLong(65)
    ));
    assert_eq!(
        error(&element(id::CLUSTER_TIMESTAMP, &[1; 9])),
        MkvError::BadValue
    );
    let late = [
        element(id::CLUSTER_TIMESTAMP, &[0xFF; 8]),
        block(2, 0, &[0; 4]),
    ]
    .concat();
    assert_eq!(error(&late), MkvError::BadTime);

    let error = |entries: &[Vec<u8>]| {
        let tracks = element(id::TRACKS, &entries.concat());
        read(&[element(id::EBML, &[]), tracks, open(id::CLUSTER)].concat()).unwrap_err()
    };
    assert!(matches!(error(&[video(8, 16)]), MkvError::Size(_)));
    assert!(matches!(error(&[video(65_535, 65_535)]), MkvError::Size(_)));
    assert_eq!(error(&[sound(b"A_AAC", 16)]), MkvError::Format);
    assert_eq!(error(&[sound(b"A_PCM/INT/LIT", 24)]), MkvError::Format);
    assert_eq!(error(&[element(id::TRACK_ENTRY, &[])]), MkvError::BadValue);
    assert_eq!(error(&vec![video(16, 16); 17]), MkvError::TooManyTracks);
}

#[test]
fn floating_point_is_read_and_tamed() {
    let tracks = element(id::TRACKS, &sound(b"A_PCM/FLOAT/IEEE", 32));
    let samples: Vec<u8> = [0.25, 7.0_f32]
        .iter()
        .flat_map(|f| f.to_le_bytes())
        .collect();
    let stream = [
        element(id::EBML, &[]),
        tracks,
        open(id::CLUSTER),
        block(2, 0, &samples),
    ]
    .concat();
    let blocks = read(&stream).unwrap();
    assert!(matches!(&blocks[0], Block::Sound { samples, .. } if *samples == [0.25, 1.0]));
}

proptest! {
    #[test]
    fn a_stream_may_be_cut_anywhere(cuts in proptest::collection::vec(1_usize..300, 1..40)) {
        let bytes = film();
        let whole = read(&bytes).unwrap();
        let mut demuxer = Demuxer::default();
        let mut blocks = Vec::new();
        let (mut rest, mut cuts) = (bytes.as_slice(), cuts.iter().cycle());
        while !rest.is_empty() {
            let (now, later) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
            demuxer.push(now, |block| blocks.push(block)).unwrap();
            rest = later;
        }
        prop_assert_eq!(blocks, whole);
    }

    #[test]
    fn nothing_panics(at in 0_usize..400, wrong in proptest::collection::vec(any::<u8>(), 1..12)) {
        let mut bytes = film();
        let at = at.min(bytes.len() - wrong.len());
        bytes[at..at + wrong.len()].copy_from_slice(&wrong);
        let _ = read(&bytes);
        let _ = read(&[head(), wrong].concat());
    }
}
