//! HTTP as anybody may say it, for the fuzzer.

use std::net::{Ipv4Addr, SocketAddr};

use http::{HeaderMap, HeaderValue, Method};

use super::answer::{Answer, Head, Wanted, title};
use super::forwarded::Proxies;
use super::plain::{fuzz_query, fuzz_word};

/// The first byte says what the rest is: a query, the head of an answer (which a second byte cuts), a header of whoever
/// forwards, or one with what goes up.
///
/// # Panics
/// Where something is read otherwise in pieces than at once, is longer than what it was read from, or is not written again
/// as it was read.
pub fn fuzz_http(data: &[u8]) {
    let [what, rest @ ..] = data else {
        return;
    };
    match what % 5 {
        0 => query(rest),
        1 => head(rest, Wanted::Tunnel),
        2 => head(rest, Wanted::WebSocket { accept: "s3pPL=" }),
        3 => forwarded(rest),
        _ => fuzz_word(&lines("tunnelcast-up", rest)),
    }
}

fn lines(name: &'static str, values: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in values.split(|byte| *byte == b'\n').take(8) {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(name, value);
        }
    }
    headers
}

fn query(text: &[u8]) {
    let text = String::from_utf8_lossy(text);
    for method in [Method::GET, Method::POST, Method::HEAD] {
        fuzz_query(&method, &text);
    }
}

fn head(bytes: &[u8], wanted: Wanted<'_>) {
    let [step, bytes @ ..] = bytes else {
        return;
    };
    let whole = Head::default().parse(bytes, wanted);
    let (mut pieces, mut found) = (Head::default(), Ok(None));
    let mut end = 0;
    while end < bytes.len() && found == Ok(None) {
        end = (end + usize::from(*step).max(1)).min(bytes.len());
        found = pieces.parse(&bytes[..end], wanted);
    }
    // A head beyond all measure is noticed at its end, or before.
    if let (Ok(Some(whole)), Ok(Some(found))) = (whole, found) {
        assert_eq!(whole, found);
    }
    if let Ok(Some(Answer::Upgraded { length } | Answer::Other { length, .. })) = found {
        assert!(length <= end);
        assert!(bytes[..length].ends_with(b"\n"));
    }
    if let Some(title) = title(bytes) {
        assert!(!title.contains(char::is_control) && title.chars().count() <= 81);
    }
}

fn forwarded(value: &[u8]) {
    let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 443));
    let headers = lines("x-forwarded-for", value);
    assert_eq!(Proxies::default().forwarded(&headers, peer), peer);
    let all = ["0.0.0.0/0", "::/0"].map(|range| range.parse().expect("a range"));
    let last = Proxies::from_iter(all).forwarded(&headers, peer);
    let nearest = ["127.0.0.1".parse().expect("a range")];
    let first = Proxies::from_iter(nearest).forwarded(&headers, peer);
    // Who believes nobody but the next learns no more than who believes all.
    assert!(first == peer || last != peer);
}
