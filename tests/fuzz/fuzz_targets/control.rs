//! Any bytes as the body of a control message: an error or a value; what is a value can be said again.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use tunnelcast::wire::limits::{HEAD_LEN, MAX_TEXT};
use tunnelcast::wire::{ClientControl, Hello, ServerControl};

fuzz_target!(|body: &[u8]| {
    if let Ok(control) = ClientControl::decode(body)
        && control != ClientControl::Unknown
    {
        if let ClientControl::Hello(Hello { agent, .. }) = &control {
            assert!(agent.as_str().len() <= MAX_TEXT);
            assert!(!agent.as_str().chars().any(char::is_control));
        }
        let mut out = BytesMut::new();
        // What was longer than a message when it came may be so again.
        if control.encode(&mut out).is_ok() {
            assert_eq!(ClientControl::decode(&out[HEAD_LEN..]), Ok(control));
        }
    }
    if let Ok(control) = ServerControl::decode(body)
        && control != ServerControl::Unknown
    {
        if let ServerControl::Rung(info) = &control {
            let _ = info.rung();
        }
        let mut out = BytesMut::new();
        if control.encode(&mut out).is_ok()
            && !matches!(
                control,
                ServerControl::Rung(_) | ServerControl::Source { .. }
            )
        {
            assert_eq!(ServerControl::decode(&out[HEAD_LEN..]), Ok(control));
        }
    }
});
