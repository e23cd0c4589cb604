//! A proxy that answers anything, in any pieces: the same outcome as in one piece, nothing lost of what follows, no
//! word of the password in an error, and no end to the waiting that is not the deadline's.
#![no_main]

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use libfuzzer_sys::fuzz_target;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tunnelcast::transport::proxy::{ErrorKind, Proxy, connect_over};

/// Says the bytes in pieces of `most`, then ends; hears everything.
struct Answers<'a> {
    bytes: &'a [u8],
    most: usize,
}

impl AsyncRead for Answers<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let length = self.bytes.len().min(self.most).min(buf.remaining());
        let (now, later) = self.bytes.split_at(length);
        buf.put_slice(now);
        self.bytes = later;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Answers<'_> {
    fn poll_write(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// What the server is left to say, or what is wrong.
async fn outcome(url: &str, bytes: &[u8], most: usize) -> Result<Vec<u8>, ErrorKind> {
    let proxy = Proxy::parse(url).expect("a good URL");
    let answers = Answers { bytes, most };
    match connect_over(answers, &proxy, "cam.example", 443).await {
        Ok((mut rest, early)) => {
            let mut said = early.to_vec();
            rest.read_to_end(&mut said).await.expect("it only ends");
            Ok(said)
        }
        Err(error) => {
            let text = format!("{error} {error:?}");
            assert!(!text.contains("hushhush"), "{text}");
            assert!(!error.to_string().contains(char::is_control), "{text}");
            assert!(text.len() < 2000, "{text}");
            Err(error.kind())
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let [way, most, bytes @ ..] = input else {
        return;
    };
    let url = match way % 4 {
        0 => "http://gate:3128",
        1 => "http://CORP%5Canna:hushhush@gate:3128",
        2 => "socks5://gate",
        _ => "socks5://anna:hushhush@gate",
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let (whole, pieces) = runtime.block_on(async {
        let pieces = outcome(url, bytes, usize::from(*most).max(1)).await;
        (outcome(url, bytes, usize::MAX).await, pieces)
    });
    assert_eq!(whole, pieces);
    if let Ok(said) = whole {
        assert!(bytes.ends_with(&said));
    }
});
