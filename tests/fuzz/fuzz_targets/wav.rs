//! A WAV gives the same samples or the same error wherever it is cut, and no sample is louder than 1 or no number.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tunnelcast::container::wav::{Reader, WavError};

fn read(parts: &[&[u8]]) -> (Vec<f32>, Result<(), WavError>) {
    let mut reader = Reader::default();
    let mut samples = Vec::new();
    for part in parts {
        if let Err(error) = reader.push(part, &mut samples) {
            return (samples, Err(error));
        }
    }
    (samples, reader.finish())
}

/// Behind a good start, so that samples are reached.
const HEAD: &[u8] = b"RIFF\xFF\xFF\xFF\xFFWAVE";

fuzz_target!(|data: &[u8]| {
    for head in [&b""[..], HEAD] {
        let whole = read(&[head, data]);
        assert!(whole.0.iter().all(|sample| sample.abs() <= 1.0));
        assert!(whole.0.len() <= data.len() * 2);
        if data.len() <= 512 {
            for at in 0..data.len() {
                let (start, end) = data.split_at(at);
                assert_eq!(read(&[head, start, end]), whole, "cut at {at}");
            }
        }
    }
});
