use std::net::Ipv4Addr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use super::*;

/// What is expected in a request, and what is answered.
type Turn<'a> = (&'a str, &'a str);

/// A proxy that does what it is told: connections, and on each some turns. After a turn that grants the tunnel it is
/// the server, and answers `ping` with `pong`.
struct Scripted<'a> {
    listener: TcpListener,
    connections: &'a [&'a [Turn<'a>]],
    /// The requests, with `--` where a connection begins.
    heard: Mutex<Vec<String>>,
}

impl<'a> Scripted<'a> {
    async fn new(connections: &'a [&'a [Turn<'a>]]) -> Self {
        Self {
            listener: TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap(),
            connections,
            heard: Mutex::default(),
        }
    }

    fn url(&self, user: &str) -> String {
        format!("http://{user}{}", self.listener.local_addr().unwrap())
    }

    async fn serve(&self) {
        for turns in self.connections {
            let (mut tcp, _) = self.listener.accept().await.unwrap();
            tcp.set_nodelay(true).unwrap();
            self.hear("--".to_owned());
            for (expected, answer) in *turns {
                let request = request(&mut tcp).await;
                assert!(request.contains(expected), "{request}");
                self.hear(request);
                tcp.write_all(answer.as_bytes()).await.unwrap();
                if answer
                    .split(' ')
                    .nth(1)
                    .is_some_and(|status| status.starts_with('2'))
                {
                    let mut ping = [0; 4];
                    tcp.read_exact(&mut ping).await.unwrap();
                    tcp.write_all(b"pong").await.unwrap();
                }
            }
        }
        loop {
            let _more = self.listener.accept().await.unwrap();
            self.hear("-- beyond the script".to_owned());
        }
    }

    fn hear(&self, what: String) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.push(what);
    }

    /// How many requests came on each connection.
    fn counts(&self) -> Vec<usize> {
        let heard = self.heard.lock().unwrap();
        let connections = heard.split(|line| line.starts_with("--"));
        connections.skip(1).map(<[String]>::len).collect()
    }
}

/// Up to the blank line; not a byte more.
async fn request(tcp: &mut TcpStream) -> String {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(tcp.read_u8().await.unwrap());
    }
    String::from_utf8(request).unwrap()
}

async fn dial(url: &str) -> Result<Base, ProxyError> {
    dial_to(url, "cam.example").await
}

async fn dial_to(url: &str, host: &str) -> Result<Base, ProxyError> {
    let proxy = Proxy::parse(url).unwrap();
    let deadline = Instant::now() + PATIENCE;
    connect(&proxy, host, 443, PATIENCE, deadline).await
}

/// What comes of it, and how many requests came on each connection.
async fn ask(user: &str, script: &[&[Turn<'_>]]) -> (Result<Base, ProxyError>, Vec<usize>) {
    let proxy = Scripted::new(script).await;
    let url = proxy.url(user);
    let outcome = tokio::select! {
        outcome = dial(&url) => outcome,
        () = proxy.serve() => unreachable!("it serves for ever"),
    };
    (outcome, proxy.counts())
}

/// Asks, and goes on to say `ping` through the tunnel; what was read of `wanted` many bytes.
async fn ping(user: &str, script: &[&[Turn<'_>]], wanted: usize) -> (String, Vec<usize>) {
    let proxy = Scripted::new(script).await;
    let url = proxy.url(user);
    let through = async {
        let mut base = dial(&url).await.unwrap();
        base.write_all(b"ping").await.unwrap();
        let mut read = vec![0; wanted];
        base.read_exact(&mut read).await.unwrap();
        String::from_utf8(read).unwrap()
    };
    let read = tokio::select! {
        read = through => read,
        () = proxy.serve() => unreachable!("it serves for ever"),
    };
    (read, proxy.counts())
}

const GRANTED: &str = "HTTP/1.1 200 Connection established\r\n\r\n";

#[tokio::test]
async fn a_proxy_connects_and_is_told_the_name() {
    let turn = (
        "CONNECT cam.example:443 HTTP/1.1\r\nHost: cam.example:443\r\n",
        GRANTED,
    );
    let (read, counts) = ping("", &[&[turn]], 4).await;
    assert_eq!((read.as_str(), counts), ("pong", vec![1]));
}

#[tokio::test]
async fn any_success_of_any_version_after_any_head_is_one_and_what_follows_is_the_servers() {
    let long = format!(
        "HTTP/1.1 299 Odd\r\nVia: {}\r\nbad header\r\n\r\nearly",
        "x".repeat(60_000)
    );
    for answer in [
        "HTTP/1.0 200 OK\r\n\r\nearly",
        "HTTP/1.1 200\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nearly",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No\n\nearly",
        &long,
    ] {
        // The second word says that it is one.
        let script: &[&[Turn<'_>]] = &[&[("", answer)]];
        if answer.starts_with("HTTP/1.1 100") {
            let (outcome, _) = ask("", script).await;
            let mut base = outcome.unwrap();
            let mut read = [0; 5];
            base.read_exact(&mut read).await.unwrap();
            assert_eq!(&read, b"early");
            continue;
        }
        let (read, _) = ping("", script, 9).await;
        assert_eq!(read, "earlypong");
    }
}

#[tokio::test]
async fn a_proxy_that_asks_is_told_on_the_same_connection_past_its_page() {
    for body in [
        "Content-Length: 13\r\n\r\n<title>no\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n5;x=y\r\n01234\r\n0A\r\n0123456789\r\n0\r\nX: y\r\n\r\n",
        "Content-Length: 99\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\n\r\n",
    ] {
        let asked = format!(
            "HTTP/1.1 407 Who?\r\nProxy-Authenticate: Digest realm=\"a\", nonce=\"n\"\r\nproxy-authenticate: Basic realm=\"b\"\r\n{body}"
        );
        let script: &[&[Turn<'_>]] = &[&[
            ("Proxy-Connection: keep-alive\r\n\r\n", &asked),
            (
                "Proxy-Authorization: Digest username=\"anna\", realm=\"a\"",
                GRANTED,
            ),
        ]];
        let (read, counts) = ping("anna:secret@", script, 4).await;
        assert_eq!((read.as_str(), counts), ("pong", vec![2]), "{body}");
    }
}

#[tokio::test]
async fn a_proxy_that_ends_the_connection_with_its_question_is_told_on_another() {
    for head in [
        "HTTP/1.0 407 Who?\r\nContent-Length: 0\r\n",
        "HTTP/1.1 407 Who?\r\nConnection: close\r\n",
        "HTTP/1.1 407 Who?\r\n",
        "HTTP/1.1 407 Who?\r\nContent-Length: 99999999\r\n",
        "HTTP/1.1 407 Who?\r\nContent-Length: 0\r\n",
    ] {
        let asked = format!("{head}Proxy-Authenticate: Basic realm=\"b\"\r\n\r\n");
        let told = "Proxy-Authorization: Basic YW5uYTpzZWNyZXQ=\r\n";
        let script: &[&[Turn<'_>]] = &[&[("", &asked)], &[(told, GRANTED)]];
        let (read, counts) = ping("anna:secret@", script, 4).await;
        assert_eq!((read.as_str(), counts), ("pong", vec![1, 1]), "{head}");
    }
}

#[tokio::test]
async fn ntlm_is_spoken_in_three_messages() {
    // Of a proxy that keeps the connection from the second message on.
    let asked = "HTTP/1.1 407 Who?\r\nProxy-Authenticate: NTLM\r\nConnection: close\r\n\r\n";
    let second = "HTTP/1.1 407 Who?\r\nContent-Length: 3\r\nProxy-Authenticate: NTLM TlRMTVNTUAACAAAAAAAAADAAAAAHggAAAQIDBAUGBwgAAAAAAAAAAA==\r\n\r\nabc";
    let script: &[&[Turn<'_>]] = &[
        &[("", asked)],
        &[
            ("Proxy-Authorization: NTLM TlRMTVNTUAABAAAA", second),
            ("Proxy-Authorization: NTLM TlRMTVNTUAADAAAA", GRANTED),
        ],
    ];
    let (read, counts) = ping("CORP%5Canna:secret@", script, 4).await;
    assert_eq!((read.as_str(), counts), ("pong", vec![1, 2]));
}

#[tokio::test]
async fn a_proxy_that_asks_and_is_told_nothing_is_named_with_what_it_wants() {
    let asked = "HTTP/1.1 407 Who?\r\nProxy-Authenticate: NTLM, Basic realm=\"the \u{202e}gate\"\r\nContent-Length: 9\r\n\r\n";
    let (outcome, counts) = ask("", &[&[("", asked)]]).await;
    let error = outcome.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NeedsCredentials);
    assert!(
        error.to_string().contains("for \"the gate\" (NTLM, Basic)"),
        "{error}"
    );
    assert_eq!(counts, [1]);
}

#[tokio::test]
async fn a_wrong_password_is_sent_once_and_said_in_one_line() {
    for scheme in [
        "Basic realm=\"gate\"",
        "Digest realm=\"gate\", nonce=\"n\", qop=\"auth\"",
    ] {
        let asked = format!(
            "HTTP/1.1 407 Who?\r\nProxy-Authenticate: {scheme}\r\nContent-Length: 0\r\n\r\n"
        );
        let turns: &[Turn<'_>] = &[
            ("", &asked),
            ("Proxy-Authorization: ", &asked),
            ("", GRANTED),
        ];
        let (outcome, counts) = ask("anna:secret@", &[turns]).await;
        let error = outcome.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WrongCredentials);
        let text = format!("{error} {error:?}");
        assert!(text.contains("gate") && !text.contains("secret"), "{text}");
        assert_eq!(counts, [2]);
    }
}

#[tokio::test]
async fn a_password_refused_as_tinyproxy_does_is_a_wrong_password() {
    let asked = "HTTP/1.0 407 Who?\r\nProxy-Authenticate: Basic realm=\"gate\"\r\n\r\n";
    let refused = "HTTP/1.0 401 Unauthorized\r\n\r\n";
    let (outcome, counts) = ask("anna:secret@", &[&[("", asked)], &[("", refused)]]).await;
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::WrongCredentials);
    assert_eq!(counts, [1, 1]);
    let (outcome, _) = ask("anna:secret@", &[&[("", refused)]]).await;
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Target);
}

#[tokio::test]
async fn a_proxy_that_refuses_is_quoted() {
    let page = "HTTP/1.1 403 Forbidden\r\nContent-Length: 99\r\n\r\n<html><title>Blocked by\n policy</title>";
    let (outcome, _) = ask("", &[&[("", page)]]).await;
    let error = outcome.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Target);
    let text = error.to_string();
    assert!(
        text.contains("connect to cam.example:443: it answered 403, \"Blocked by policy\":"),
        "{text}"
    );
    let (outcome, _) = ask("", &[&[("", "HTTP/1.0 503 No\r\n\r\n")]]).await;
    assert!(matches!(
        outcome.unwrap_err(),
        ProxyError::Status { status: 503, .. }
    ));
}

#[tokio::test]
async fn whatever_is_no_proxy_is_told_apart_from_one_that_goes_away() {
    let (outcome, _) = ask("", &[&[("", "SSH-2.0-OpenSSH_9\r\n")]]).await;
    let error = outcome.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotProxy);
    assert!(error.to_string().contains("speaks ssh"), "{error}");
    let (outcome, _) = ask("", &[&[("", "HTTP/1.1 what?\r\n\r\n")]]).await;
    let error = outcome.unwrap_err();
    assert!(error.to_string().contains("\"HTTP/1.1 what?\""), "{error}");
    let endless = format!("HTTP/1.1 200 OK\r\nVia: {}", "x".repeat(80_000));
    let (outcome, _) = ask("", &[&[("", &endless)]]).await;
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::NotProxy);
    let (outcome, counts) = ask("", &[&[("", "HTTP/1.1 4")]]).await;
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Unreachable);
    assert_eq!(counts, [1]);
}

#[tokio::test]
async fn a_proxy_that_never_stops_asking_is_left() {
    let asked = "HTTP/1.1 407 Who?\r\nProxy-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n";
    let (outcome, counts) = ask("anna:secret@", &[&[("", asked), ("", asked), ("", asked)]]).await;
    assert!(matches!(outcome.unwrap_err(), ProxyError::NoScheme { .. }));
    assert_eq!(counts, [2]);
    let closing: &[Turn<'_>] = &[(
        "",
        "HTTP/1.0 407 Who?\r\nProxy-Authenticate: Negotiate, NTLM\r\n\r\n",
    )];
    let (outcome, counts) = ask("anna:secret@", &[closing; 9]).await;
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::WrongCredentials);
    assert!(counts.len() <= 4, "{counts:?}");
}

#[tokio::test]
async fn a_proxy_that_says_nothing_has_until_the_deadline() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    for scheme in ["http", "https", "socks5"] {
        let url = format!("{scheme}://{}", listener.local_addr().unwrap());
        let proxy = Proxy::parse(&url).unwrap();
        let deadline = Instant::now() + Duration::from_millis(100);
        let outcome = connect(&proxy, "cam", 443, PATIENCE, deadline).await;
        assert!(
            matches!(outcome.unwrap_err(), ProxyError::Slow { .. }),
            "{scheme}"
        );
    }
}

#[tokio::test]
async fn a_proxy_that_is_not_there_is_not_the_servers_fault() {
    let shut = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = shut.local_addr().unwrap();
    drop(shut);
    let error = dial(&address.to_string()).await.unwrap_err();
    assert!(matches!(error, ProxyError::Refused { .. }), "{error}");
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    let error = dial("http://no.such.name.invalid:1").await.unwrap_err();
    assert!(matches!(error, ProxyError::NoName { .. }), "{error}");
}

#[tokio::test]
async fn a_name_that_would_be_a_request_of_its_own_is_never_sent() {
    for host in ["", "a b", "a\r\nX: y", "bücher", &"x".repeat(256)] {
        let error = dial_to("127.0.0.1:1", host).await.unwrap_err();
        assert!(matches!(error, ProxyError::Target { .. }), "{error}");
    }
}

#[test]
fn a_password_is_never_shown() {
    let proxy = Proxy::parse("http://anna:secret@gate:3128").unwrap();
    assert!(proxy.has_credentials());
    let text = format!("{proxy:?} {}", proxy.name());
    assert!(text.contains("anna") && !text.contains("secret"), "{text}");
    let other = proxy.with_credentials(Credentials::new("bob", "hidden"));
    let text = format!("{other:?}");
    assert!(text.contains("bob") && !text.contains("hidden"), "{text}");
}

mod pieces;
mod socks;
mod tls;

/// Turns a hang into a failure.
const PATIENCE: Duration = Duration::from_secs(20);
