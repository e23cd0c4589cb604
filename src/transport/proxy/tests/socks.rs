use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::super::*;
use super::{PATIENCE, dial_to};

/// One connection: reads `.0` bytes, then answers with `.1`. What was read, and what came of it.
async fn ask(
    user: &str,
    host: &str,
    script: &[(usize, &[u8])],
) -> (Result<Base, ProxyError>, Vec<u8>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("socks5h://{user}{}", listener.local_addr().unwrap());
    let server = async {
        let (mut tcp, _) = listener.accept().await.unwrap();
        let mut heard = Vec::new();
        for (length, answer) in script {
            let mut said = vec![0; *length];
            tcp.read_exact(&mut said).await.unwrap();
            heard.extend(said);
            tcp.write_all(answer).await.unwrap();
        }
        heard
    };
    let both = async { tokio::join!(dial_to(&url, host), server) };
    tokio::time::timeout(PATIENCE, both).await.unwrap()
}

/// Granted, at 0.0.0.0:0, with the server's first word behind it.
const GRANTED: &[u8] = b"\x05\0\0\x01\0\0\0\0\0\0hello";

#[tokio::test]
async fn the_name_is_given_to_the_proxy_and_the_rest_is_the_servers() {
    let script: &[(usize, &[u8])] = &[(3, b"\x05\0"), (4 + 1 + 3 + 2, GRANTED)];
    let (base, heard) = ask("", "cam", script).await;
    assert_eq!(heard, b"\x05\x01\0\x05\x01\0\x03\x03cam\x01\xbb");
    let mut word = String::new();
    base.unwrap().read_to_string(&mut word).await.unwrap();
    assert_eq!(word, "hello");
}

#[tokio::test]
async fn an_address_is_given_as_one() {
    let (base, heard) = ask("", "2001:db8::1", &[(3, b"\x05\0"), (22, GRANTED)]).await;
    assert!(base.is_ok());
    assert_eq!(heard[3..8], [5, 1, 0, 4, 0x20]);
}

#[tokio::test]
async fn user_and_password_are_given_where_they_are_asked_for() {
    let script: &[(usize, &[u8])] = &[(4, b"\x05\x02"), (13, b"\x01\0"), (10, GRANTED)];
    let (base, heard) = ask("anna:secret@", "cam", script).await;
    assert!(base.is_ok());
    assert_eq!(heard[4..17], *b"\x01\x04anna\x06secret");
}

#[tokio::test]
async fn what_the_proxy_says_of_users_is_told_apart() {
    let kind = async |user: &str, script: &[(usize, &[u8])]| {
        let error = ask(user, "cam", script).await.0.unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(!text.contains("secret"), "{text}");
        error.kind()
    };
    assert_eq!(
        kind("", &[(3, b"\x05\xff")]).await,
        ErrorKind::NeedsCredentials
    );
    assert_eq!(
        kind("", &[(3, b"\x05\x02")]).await,
        ErrorKind::NeedsCredentials
    );
    assert_eq!(
        kind("a:secret@", &[(4, b"\x05\xff")]).await,
        ErrorKind::WrongCredentials
    );
    let wrong: &[(usize, &[u8])] = &[(4, b"\x05\x02"), (10, b"\x01\x01")];
    assert_eq!(kind("a:secret@", wrong).await, ErrorKind::WrongCredentials);
    assert_eq!(kind("anna@", &[]).await, ErrorKind::WrongCredentials);
}

#[tokio::test]
async fn every_reply_has_its_words() {
    let mut seen = std::collections::BTreeSet::new();
    for code in 1..=9 {
        let answer = [5, code, 0, 1, 0, 0, 0, 0, 0, 0];
        let (outcome, _) = ask("", "cam", &[(3, b"\x05\0"), (10, &answer)]).await;
        let error = outcome.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Target);
        assert!(seen.insert(error.to_string()), "{error}");
    }
}

#[tokio::test]
async fn an_http_proxy_asked_for_socks_is_called_by_name() {
    let (outcome, _) = ask("", "cam", &[(3, b"HTTP/1.1 400 Bad Request\r\n\r\n")]).await;
    let error = outcome.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotProxy);
    let text = error.to_string();
    assert!(
        text.contains("speaks plain HTTP") && text.contains("try http://"),
        "{text}"
    );
    let (outcome, _) = ask("", "cam", &[(3, b"\x05")]).await;
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Unreachable);
}
