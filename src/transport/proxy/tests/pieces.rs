use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

use super::super::*;

/// Asks over a buffer of one byte, so that every answer comes in single bytes.
async fn in_bytes(url: &str, answers: &[&str]) -> Result<(String, Bytes), ProxyError> {
    let proxy = Proxy::parse(url).unwrap();
    let (ours, theirs) = duplex(1);
    let ours = std::cell::Cell::new(Some(ours));
    let open = || {
        let next = ours.take().ok_or_else(|| ProxyError::Refused {
            proxy: proxy.name(),
        });
        std::future::ready(next)
    };
    let target = checked("cam", 443, "cam:443")?;
    let client = async {
        let (mut stream, early) = http::connect(open, &proxy, target).await?;
        let mut rest = String::new();
        stream.read_to_string(&mut rest).await.unwrap();
        Ok((rest, early))
    };
    let server = async move {
        let (mut read, mut write) = tokio::io::split(theirs);
        for answer in answers {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(read.read_u8().await.unwrap());
            }
            // Who has heard enough hears no more.
            let _rest = write.write_all(answer.as_bytes()).await;
        }
    };
    tokio::join!(client, server).0
}

#[tokio::test]
async fn answers_in_single_bytes_are_the_same_answers() {
    let (rest, early) = in_bytes("gate", &["HTTP/1.0 200 OK\r\nVia: x\r\n\r\nhello"])
        .await
        .unwrap();
    // Not a byte of the server's is read before its time.
    assert_eq!((rest.as_str(), early.len()), ("hello", 0));
    let asked = "HTTP/1.1 407 Who?\r\nProxy-Authenticate: Basic realm=x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let (rest, _) = in_bytes("a:b@gate", &[asked, "HTTP/1.1 200 OK\n\nhello"])
        .await
        .unwrap();
    assert_eq!(rest, "hello");
    let error = in_bytes("gate", &["HTTP/1.1 403 No\r\n\r\n<title>No!</title>"])
        .await
        .unwrap_err();
    assert!(error.to_string().contains("403, \"No!\""), "{error}");
}

#[tokio::test]
async fn a_page_that_is_cut_leads_to_another_connection() {
    // Of which there is none here.
    let asked = "HTTP/1.1 407 Who?\r\nProxy-Authenticate: Basic realm=x\r\n";
    for body in [
        "Content-Length: 5\r\n\r\nabc",
        "Transfer-Encoding: chunked\r\n\r\n3\r\nab",
        "Transfer-Encoding: chunked\r\n\r\nzz\r\nab",
        "Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n",
        "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nab",
        "Transfer-Encoding: gzip\r\n\r\n",
        "Content-Length: x\r\n\r\n",
    ] {
        let error = in_bytes("a:b@gate", &[&format!("{asked}{body}")])
            .await
            .unwrap_err();
        assert!(
            matches!(error, ProxyError::Refused { .. }),
            "{body}: {error}"
        );
    }
}
