//! Any bytes, in any pieces: the same messages or the same error as in one piece, and nothing held beyond a message.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use tunnelcast::wire::limits::MAX_MESSAGE;
use tunnelcast::wire::{Deframer, Message, Raw, WireError};

fn drain(deframer: &mut Deframer, into: &mut Vec<Raw>) -> Result<(), WireError> {
    while let Some(raw) = deframer.pull()? {
        into.push(raw);
    }
    Ok(())
}

fuzz_target!(|input: (Vec<u8>, Vec<u16>)| {
    let (stream, cuts) = input;

    let mut whole = Deframer::new();
    whole.push(&mut BytesMut::from(&stream[..]));
    let mut expected = Vec::new();
    let end = drain(&mut whole, &mut expected).and_then(|()| whole.finish());

    let mut pieces = Deframer::new();
    let mut got = Vec::new();
    let mut rest = &stream[..];
    let mut result = Ok(());
    let mut cuts = cuts.into_iter().map(usize::from);
    while !rest.is_empty() && result.is_ok() {
        let cut = cuts.next().unwrap_or(rest.len()).clamp(1, rest.len());
        let (now, later) = rest.split_at(cut);
        pieces.push(&mut BytesMut::from(now));
        result = drain(&mut pieces, &mut got);
        rest = later;
    }
    let result = result.and_then(|()| pieces.finish());
    assert_eq!(got, expected);
    assert_eq!(result, end);
    if let Err(WireError::EndInside { have }) = end {
        assert!(have < MAX_MESSAGE);
    }

    // What can be understood can be said again, and means the same.
    for raw in expected {
        if let Ok(Some(message)) = Message::decode(raw) {
            let mut again = BytesMut::new();
            message.encode(&mut again).expect("what was understood");
            let mut deframer = Deframer::new();
            deframer.push(&mut again);
            let raw = deframer.pull().expect("a message").expect("a whole one");
            assert_eq!(Message::decode(raw), Ok(Some(message)));
        }
    }
});
