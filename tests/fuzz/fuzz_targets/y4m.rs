//! A YUV4MPEG2 stream gives the same pictures or the same error wherever it is cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tunnelcast::container::y4m::{Reader, Y4mError};
use tunnelcast::media::Picture;

/// Pictures of more than this would only test the memory.
const MAX_SIDE: usize = 512;

struct Outcome {
    pictures: Vec<Picture>,
    end: Result<(), Y4mError>,
    large: bool,
}

fn read(parts: &[&[u8]]) -> Outcome {
    let mut reader = Reader::default();
    let mut pictures = Vec::new();
    for part in parts {
        if let Err(error) = reader.push(part, |picture| pictures.push(picture)) {
            assert_eq!(reader.finish(), Err(error));
            break;
        }
    }
    let side = reader
        .size()
        .map_or(0, |size| size.width().max(size.height()));
    Outcome {
        pictures,
        end: reader.finish(),
        large: side > MAX_SIDE,
    }
}

fuzz_target!(|data: &[u8]| {
    let whole = read(&[data]);
    if whole.large {
        return;
    }
    for at in 0..data.len().min(600) {
        let (head, tail) = data.split_at(at);
        let cut = read(&[head, tail]);
        assert_eq!(
            (cut.pictures, cut.end),
            (whole.pictures.clone(), whole.end.clone()),
            "cut at {at}"
        );
    }
});
