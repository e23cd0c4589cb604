//! A stream of JPEGs gives the same pictures wherever it is cut, and each of them is one.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use tunnelcast::container::mjpeg::Splitter;

fn read(parts: &[&[u8]]) -> (Vec<Bytes>, u64, bool) {
    let mut splitter = Splitter::default();
    let mut pictures = Vec::new();
    for part in parts {
        splitter.push(part);
        pictures.extend(std::iter::from_fn(|| splitter.picture()));
    }
    (pictures, splitter.broken(), splitter.is_within())
}

fuzz_target!(|data: &[u8]| {
    let whole = read(&[data]);
    for bytes in &whole.0 {
        assert!(bytes.starts_with(&[0xFF, 0xD8]) && bytes.ends_with(&[0xFF, 0xD9]));
    }
    if data.len() <= 512 {
        for at in 0..data.len() {
            let (head, tail) = data.split_at(at);
            assert_eq!(read(&[head, tail]), whole, "cut at {at}");
        }
    }
});
