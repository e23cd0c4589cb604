//! A Matroska stream gives the same blocks or the same error wherever it is cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tunnelcast::container::mkv::{Block, Demuxer, MkvError};

fn read(parts: &[&[u8]]) -> (Vec<Block>, Result<(), MkvError>) {
    let mut demuxer = Demuxer::default();
    let mut blocks = Vec::new();
    for part in parts {
        if let Err(error) = demuxer.push(part, |block| blocks.push(block)) {
            return (blocks, Err(error));
        }
    }
    (blocks, Ok(()))
}

/// Behind a good head, so that blocks are reached: one track of 16x16 pictures, one of sound.
const HEAD: &[u8] = b"\x1A\x45\xDF\xA3\x80\x18\x53\x80\x67\xFF\x16\x54\xAE\x6B\xFF\
    \xAE\xFF\xD7\x81\x01\x86\x8EV_UNCOMPRESSED\xE0\xFF\xB0\x81\x10\xBA\x81\x10\x2E\xB5\x24\x84I420\
    \xAE\xFF\xD7\x81\x02\x86\x8DA_PCM/INT/LIT\xE1\xFF\x9F\x81\x02\xB5\x84\x47\x3B\x80\x00\x62\x64\x81\x10\
    \x1F\x43\xB6\x75\xFF\xE7\x81\x05";

fuzz_target!(|data: &[u8]| {
    for head in [&b""[..], HEAD] {
        let whole = read(&[head, data]);
        if data.len() <= 512 {
            for at in 0..data.len() {
                let (start, end) = data.split_at(at);
                assert_eq!(read(&[head, start, end]), whole, "cut at {at}");
            }
        }
    }
});
