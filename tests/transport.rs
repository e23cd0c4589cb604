//! Links over real sockets, and every kind of wrong peer.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]
#![expect(clippy::print_stdout, reason = "a test that is skipped says so")]

use std::future::Future;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rustls::ClientConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tunnelcast::transport::dial::{self, DialError, Looks, Target, Timeouts};
use tunnelcast::transport::{AcceptError, Kind, Link, Listener, Ready};
use tunnelcast::trust::{Identity, KnownServers, Pin, Policy, Rejection, client_config};

const SECOND: Duration = Duration::from_secs(1);
/// For peers that are meant to fail by being silent.
const SHORT: Timeouts = Timeouts {
    connect: SECOND,
    silence: Duration::from_millis(300),
    overall: Duration::from_secs(2),
};

/// A server on a port of its own, with a fresh identity.
struct Server {
    identity: Identity,
    listener: Listener,
    _dir: tempfile::TempDir,
}

impl Server {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self {
            identity: Identity::load_or_create(dir.path(), &[]).unwrap(),
            listener: Listener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap(),
            _dir: dir,
        }
    }

    fn port(&self) -> u16 {
        self.listener.local().port()
    }

    fn viewer(&self) -> Arc<ClientConfig> {
        pinned(self.identity.pin(), self.port())
    }

    /// Takes connections in turn until one is a link.
    async fn link(&self) -> Link {
        loop {
            let incoming = self.listener.accept().await;
            let secured = incoming
                .handshake(self.identity.server_config(), 5 * SECOND)
                .await;
            if let Ok(secured) = secured
                && let Ok(Some(link)) = secured
                    .serve(self.identity.sealed_server_config(), 5 * SECOND)
                    .await
            {
                return link;
            }
        }
    }

    async fn dial(&self, first: &[u8]) -> Result<Link, DialError> {
        dial::tls(
            at("127.0.0.1", self.port()),
            self.viewer(),
            &Bytes::copy_from_slice(first),
            Timeouts::default(),
        )
        .await
    }

    async fn pair(&self, first: &[u8]) -> (Link, Link) {
        let (server, viewer) = tokio::join!(self.link(), self.dial(first));
        (server, viewer.unwrap())
    }
}

fn pinned(pin: Pin, port: u16) -> Arc<ClientConfig> {
    client_config(Policy::Pinned(pin), "127.0.0.1", port).unwrap()
}

/// Reads until `wanted` bytes are there.
async fn read(link: &mut Link, wanted: usize) -> BytesMut {
    let (mut got, mut nothing) = (BytesMut::new(), BytesMut::new());
    while got.len() < wanted {
        assert!(matches!(
            link.ready(&mut got, &mut nothing).await.unwrap(),
            Ready::Read(_)
        ));
    }
    got
}

async fn write(link: &mut Link, bytes: &[u8]) {
    let (mut got, mut pending) = (BytesMut::new(), BytesMut::from(bytes));
    while !(pending.is_empty() && link.is_clear()) {
        link.ready(&mut got, &mut pending).await.unwrap();
    }
}

const fn at(host: &str, port: u16) -> Target<'_> {
    Target {
        host,
        port,
        stream: "cam",
        proxy: None,
    }
}

/// Dials a port whose owner is no tunnelcast server.
async fn fails(port: u16) -> DialError {
    let config = pinned(Pin::from([1; 32]), port);
    dial::tls(at("127.0.0.1", port), config, b"hello", SHORT)
        .await
        .unwrap_err()
}

/// A thread that greets each of `n` callers with `greeting` once they have said something, or at once.
fn stranger(greeting: &'static [u8], patience: Patience) -> (u16, std::thread::JoinHandle<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let thread = std::thread::Builder::new().name("stranger".into());
    let run = move || {
        let (mut stream, _) = listener.accept().unwrap();
        if patience == Patience::Listens {
            let mut heard = [0; 4096];
            let _ = stream.read(&mut heard);
        }
        let _ = stream.write_all(greeting);
        // Holds the connection until the other side gives up.
        let _ = stream.read_to_end(&mut Vec::new());
    };
    (port, thread.spawn(run).unwrap())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Patience {
    Listens,
    SpeaksFirst,
}

/// A TLS server that is none of ours: does `then` inside TLS.
async fn web_server<F: Future<Output = ()>>(
    then: impl FnOnce(tokio_rustls::server::TlsStream<tokio::net::TcpStream>) -> F,
) -> Result<Link, DialError> {
    let server = Server::new();
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .unwrap();
    let port = listener.local_addr().unwrap().port();
    let serve = async {
        let (tcp, _) = listener.accept().await.unwrap();
        let tls = TlsAcceptor::from(server.identity.server_config())
            .accept(tcp)
            .await
            .unwrap();
        then(tls).await;
    };
    let config = pinned(server.identity.pin(), port);
    let viewer = async { dial::tls(at("127.0.0.1", port), config, b"hello", SHORT).await };
    tokio::pin!(serve);
    tokio::pin!(viewer);
    tokio::select! {
        link = &mut viewer => link,
        () = &mut serve => viewer.await,
    }
}

fn have(program: &str) -> bool {
    let there = Command::new(program)
        .arg("version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if there.is_err() {
        println!("skipped: {program} is not installed");
    }
    there.is_ok()
}

#[tokio::test]
async fn bytes_go_both_ways_and_both_sides_know_what_they_speak() {
    let server = Server::new();
    let (mut there, mut here) = server.pair(b"").await;
    write(&mut here, b"to the server").await;
    assert_eq!(read(&mut there, 13).await, "to the server");
    write(&mut there, b"to the viewer").await;
    assert_eq!(read(&mut here, 13).await, "to the viewer");

    assert_eq!(here.kind(), Kind::Tls);
    assert_eq!(here.kind().to_string(), "tls");
    assert!(here.cipher().starts_with("TLS_"), "{}", here.cipher());
    assert_eq!(here.cipher(), there.cipher());
    assert_eq!(here.server_key(), Some(server.identity.pin()));
    assert_eq!(there.server_key(), None);
    assert_eq!(here.peer().port(), server.port());
}

#[tokio::test]
async fn the_first_bytes_arrive_with_the_request() {
    let server = Server::new();
    let first: Vec<u8> = (0..=255).cycle().take(16 * 1024).collect();
    let (mut there, mut here) = server.pair(&first).await;
    assert_eq!(read(&mut there, first.len()).await, first);
    write(&mut here, b"and then these").await;
    assert_eq!(read(&mut there, 14).await, "and then these");
}

#[tokio::test]
async fn megabytes_in_both_directions_at_once_neither_stall_nor_get_mixed_up() {
    async fn exchange(mut link: Link, seed: u8) -> Link {
        let total = 3_000_000_usize;
        let byte = |at: usize, seed: u8| at.to_le_bytes()[0] ^ at.to_le_bytes()[1] ^ seed;
        let (mut sent, mut received) = (0, 0);
        let (mut got, mut pending) = (BytesMut::new(), BytesMut::new());
        while received < total || sent < total || !link.is_clear() || !pending.is_empty() {
            if link.is_clear() && pending.is_empty() && sent < total {
                let end = total.min(sent + 10_007);
                pending.extend((sent..end).map(|at| byte(at, seed)));
                sent = end;
            }
            // Cancelled over and over: nothing may be lost or come twice.
            let ready = link.ready(&mut got, &mut pending);
            let Ok(ready) = tokio::time::timeout(Duration::from_micros(50), ready).await else {
                continue;
            };
            if let Ready::Read(n) = ready.unwrap() {
                assert_eq!(n, got.len());
                let right = (received..)
                    .zip(got.iter())
                    .all(|(at, b)| *b == byte(at, !seed));
                assert!(right, "wrong bytes after {received}");
                received += n;
                got.clear();
            }
        }
        link
    }
    let server = Server::new();
    let (there, here) = server.pair(b"").await;
    let (there, here) = tokio::join!(exchange(there, 0x55), exchange(here, 0xaa));
    drop((there, here));
}

#[tokio::test]
async fn a_shutdown_is_an_end_and_a_drop_is_an_error() {
    let server = Server::new();
    let (mut there, here) = server.pair(b"").await;
    let (mut got, mut nothing) = (BytesMut::new(), BytesMut::new());
    let other = async {
        loop {
            if there.ready(&mut got, &mut nothing).await.unwrap() == Ready::Eof {
                break there.shutdown(b"", SECOND).await;
            }
        }
    };
    let (ended, other) = tokio::join!(here.shutdown(b"bye", SECOND), other);
    ended.unwrap();
    other.unwrap();
    assert_eq!(got, "bye");

    let (mut there, here) = server.pair(b"").await;
    drop(here);
    assert!(there.ready(&mut got, &mut nothing).await.is_err());
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_a_peer_that_never_answers() {
    let server = Server::new();
    let (there, here) = server.pair(b"").await;
    let error = here
        .shutdown(b"bye", Duration::from_millis(100))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    drop(there);
}

#[tokio::test]
async fn another_key_than_the_links_is_refused_with_both_named() {
    let server = Server::new();
    let wrong = Pin::from([9; 32]);
    let config = pinned(wrong, server.port());
    let viewer = dial::tls(at("127.0.0.1", server.port()), config, b"", SHORT);
    let serve = async {
        let incoming = server.listener.accept().await;
        incoming
            .handshake(server.identity.server_config(), SECOND)
            .await
    };
    let (served, viewer) = tokio::join!(serve, viewer);
    assert!(matches!(served, Err(AcceptError::Tls(_))));
    let error = viewer.unwrap_err();
    let Some(Rejection::OtherKey { expected, seen }) = error.rejection() else {
        panic!("{error}");
    };
    assert_eq!((*expected, seen.pin), (wrong, server.identity.pin()));
    assert_eq!(seen.issuer, "tunnelcast");
    assert!(error.to_string().contains(&wrong.to_string()));
}

#[tokio::test]
async fn an_unknown_server_is_asked_about_once_and_then_known() {
    let server = Server::new();
    let dir = tempfile::tempdir().unwrap();
    let mut known = KnownServers::open(&dir.path().join("known_servers")).unwrap();
    let dial = async |known: &KnownServers| {
        let policy = Policy::SystemOrKnown(known.clone());
        let config = client_config(policy, "localhost", server.port()).unwrap();
        let viewer = dial::tls(
            at("localhost", server.port()),
            config,
            b"",
            Timeouts::default(),
        );
        tokio::select! {
            biased;
            result = viewer => result,
            link = async { let link = server.link().await; std::future::pending::<()>().await; link } => Ok(link),
        }
    };
    let error = dial(&known).await.unwrap_err();
    let Some(Rejection::Untrusted { seen, .. }) = error.rejection() else {
        panic!("{error}");
    };
    assert!(seen.self_issued);
    known
        .remember("localhost", server.port(), seen.pin)
        .unwrap();
    assert_eq!(
        dial(&known).await.unwrap().server_key(),
        Some(server.identity.pin())
    );
}

#[tokio::test]
async fn a_second_connection_with_the_same_configuration_still_knows_the_key() {
    let server = Server::new();
    let config = server.viewer();
    for _ in 0..3 {
        let viewer = dial::tls(
            at("127.0.0.1", server.port()),
            Arc::clone(&config),
            b"",
            Timeouts::default(),
        );
        let (mut there, viewer) = tokio::join!(server.link(), viewer);
        let mut here = viewer.unwrap();
        assert_eq!(here.server_key(), Some(server.identity.pin()));
        write(&mut there, b"x").await;
        read(&mut here, 1).await; // and with it the ticket for the next
    }
}

#[tokio::test]
async fn a_port_that_nobody_has_refuses() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let error = fails(port).await;
    assert!(matches!(error, DialError::Refused { .. }), "{error}");
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_named() {
    let config = pinned(Pin::from([1; 32]), 443);
    let error = dial::tls(at("nowhere.invalid", 443), config, b"", SHORT)
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("the name nowhere.invalid cannot be resolved"),
        "{error}"
    );
}

#[tokio::test]
async fn a_plain_web_server_is_recognised() {
    let (port, thread) = stranger(b"HTTP/1.1 400 Bad Request\r\n\r\n", Patience::Listens);
    let error = fails(port).await;
    assert!(
        matches!(
            error,
            DialError::NotTls {
                looks: Looks::Http,
                ..
            }
        ),
        "{error}"
    );
    thread.join().unwrap();
}

#[tokio::test]
async fn ssh_is_recognised() {
    for greeting in [&b"SSH-2.0-x\r\n"[..], b"SSH-"] {
        let (port, thread) = stranger(greeting, Patience::SpeaksFirst);
        let error = fails(port).await;
        assert!(
            matches!(
                error,
                DialError::NotTls {
                    looks: Looks::Ssh,
                    ..
                }
            ),
            "{error}"
        );
        thread.join().unwrap();
    }
}

#[tokio::test]
async fn a_silent_port_is_given_up() {
    let (port, thread) = stranger(b"", Patience::Listens);
    let error = fails(port).await;
    assert!(matches!(error, DialError::Silent { .. }), "{error}");
    thread.join().unwrap();
}

#[tokio::test]
async fn a_server_that_only_begins_tls_is_given_up() {
    let (port, thread) = stranger(&[22, 3, 3, 0, 100, 2], Patience::Listens);
    let error = fails(port).await;
    assert!(matches!(error, DialError::Slow { .. }), "{error}");
    thread.join().unwrap();
}

#[tokio::test]
async fn an_older_tls_is_called_old() {
    if !have("openssl") {
        return;
    }
    let server = Server::new(); // for its certificate
    let cert = |name: &str| server._dir.path().join(name);
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let mut child = openssl(port, &cert("cert.pem"), &cert("key.pem"));
    let give_up = Instant::now() + 10 * SECOND;
    let error = loop {
        let error = fails(port).await;
        if !matches!(error, DialError::Refused { .. }) || Instant::now() > give_up {
            break error;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(matches!(error, DialError::OldTls { .. }), "{error}");
}

fn openssl(port: u16, cert: &Path, key: &Path) -> std::process::Child {
    Command::new("openssl")
        .args([
            "s_server",
            "-tls1_2",
            "-quiet",
            "-accept",
            &format!("127.0.0.1:{port}"),
        ])
        .arg("-cert")
        .arg(cert)
        .arg("-key")
        .arg(key)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn a_web_server_without_our_protocol_is_quoted() {
    let page =
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 99\r\n\r\n<html><title>nginx\x1b[2J</title>";
    let error = web_server(async |mut tls| {
        tls.write_all(page).await.unwrap();
        tls.flush().await.unwrap();
        let _ = tls.read_to_end(&mut Vec::new()).await;
    })
    .await
    .unwrap_err();
    assert!(
        error.to_string().ends_with("it answered 404, \"nginx[2J\""),
        "{error}"
    );
}

#[tokio::test]
async fn other_servers_inside_tls_are_told_apart() {
    let garbage = web_server(async |mut tls| {
        tls.write_all(b"* OK IMAP4rev1\r\n").await.unwrap();
        let _ = tls.read_to_end(&mut Vec::new()).await;
    });
    assert!(matches!(garbage.await, Err(DialError::NotHttp { .. })));
    let silence = web_server(async |mut tls| {
        let _ = tls.read_to_end(&mut Vec::new()).await;
    });
    assert!(matches!(silence.await, Err(DialError::NoAnswer { .. })));
    let endless = web_server(async |mut tls| {
        while tls
            .write_all(&b"HTTP/1.1 200 OK\r\nx: y\r\n".repeat(100))
            .await
            .is_ok()
        {}
    });
    assert!(matches!(endless.await, Err(DialError::NotHttp { .. })));
    let gone = web_server(async |tls| drop(tls));
    assert!(matches!(gone.await, Err(DialError::Lost { .. })));
}

#[tokio::test]
async fn the_request_is_for_the_links_path_and_the_first_bytes_follow_it() {
    let mut heard = Vec::new();
    let link = web_server(async |mut tls| {
        while !heard.ends_with(b"hello") {
            assert!(tls.read_buf(&mut heard).await.unwrap() > 0);
        }
    });
    assert!(link.await.is_err());
    let heard = String::from_utf8(heard).unwrap();
    assert!(
        heard.starts_with("GET /cam HTTP/1.1\r\nHost: 127.0.0.1:"),
        "{heard}"
    );
    assert!(heard.ends_with("\r\n\r\nhello"), "{heard}");
}

#[tokio::test]
async fn an_answer_in_single_bytes_with_the_session_behind_it_is_understood() {
    let link = web_server(async |mut tls| {
        let answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: tunnelcast\r\n\r\nand more";
        for byte in answer {
            tls.write_all(&[*byte]).await.unwrap();
            tls.flush().await.unwrap();
        }
        let _ = tls.read_to_end(&mut Vec::new()).await;
    });
    // The server goes away with the call, so only what came together with the answer is sure to be here.
    let mut link = link.await.unwrap();
    let (mut got, mut nothing) = (BytesMut::new(), BytesMut::new());
    while link
        .ready(&mut got, &mut nothing)
        .await
        .is_ok_and(|ready| ready != Ready::Eof)
    {}
    assert!(b"and more".starts_with(&got), "{got:?}");
}

#[tokio::test]
async fn curl_gets_an_ordinary_page() {
    if !have("curl") {
        return;
    }
    let server = Server::new();
    let port = server.port();
    let curl = move |extra: &[&str], path: &str| {
        let output = Command::new("curl")
            .args([
                "-sk",
                "--max-time",
                "10",
                "-w",
                " %{http_code} %{http_version}",
            ])
            .args(extra)
            .arg(format!("https://127.0.0.1:{port}{path}"))
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let asking = tokio::task::spawn_blocking(move || {
        let page = curl(&[], "/front");
        assert!(
            page.starts_with("<!doctype html>") && page.ends_with(" 200 1.1"),
            "{page}"
        );
        assert!(curl(&[], "/favicon.ico").ends_with(" 404 1.1"));
        assert!(curl(&["-d", "x"], "/").ends_with(" 405 1.1"));
        assert!(
            curl(
                &["-H", "Connection: Upgrade", "-H", "Upgrade: websocket"],
                "/"
            )
            .ends_with(" 200 1.1")
        );
        let long = format!("x: {}", "y".repeat(20_000));
        assert!(curl(&["-H", &long], "/").contains(" 431 "));
    });
    tokio::select! {
        _ = server.link() => panic!("curl got a link"),
        done = asking => done.unwrap(),
    }
}

#[tokio::test]
async fn slow_handshakes_hold_up_nobody() {
    let server = Server::new();
    let config = server.identity.server_config();
    let mut tasks = tokio::task::JoinSet::new();
    let mut sleepers = Vec::new();
    for _ in 0..20 {
        sleepers.push(TcpStream::connect(server.listener.local()).unwrap());
        let incoming = server.listener.accept().await;
        tasks.spawn(incoming.handshake(Arc::clone(&config), 2 * SECOND));
    }
    let started = Instant::now();
    let (mut there, _here) = server.pair(b"quick").await;
    assert_eq!(read(&mut there, 5).await, "quick");
    assert!(started.elapsed() < 2 * SECOND, "{:?}", started.elapsed());
    while let Some(slow) = tasks.join_next().await {
        assert!(matches!(slow.unwrap(), Err(AcceptError::Slow)));
    }
}

#[tokio::test]
async fn a_client_that_sends_no_request_is_given_up() {
    let server = Server::new();
    let tls = tokio_rustls::TlsConnector::from(server.viewer());
    let viewer = async {
        let tcp = tokio::net::TcpStream::connect(server.listener.local())
            .await
            .unwrap();
        let name = "127.0.0.1".try_into().unwrap();
        let mut tls = tls.connect(name, tcp).await.unwrap();
        tls.write_all(b"GET / HT").await.unwrap();
        let _ = tls.read_to_end(&mut Vec::new()).await;
    };
    let serve = async {
        let incoming = server.listener.accept().await;
        let secured = incoming
            .handshake(server.identity.server_config(), SECOND)
            .await
            .unwrap();
        secured
            .serve(
                server.identity.sealed_server_config(),
                Duration::from_millis(200),
            )
            .await
    };
    let (served, ()) = tokio::join!(serve, viewer);
    assert!(matches!(served, Err(AcceptError::Http(_))), "{served:?}");
}

/// What the kernel holds of a socket that is not acknowledged; what the peer's kernel took is.
#[cfg(target_os = "linux")]
fn queued(local: SocketAddr, peer: SocketAddr) -> usize {
    let end = |addr: SocketAddr| format!("0100007F:{:04X}", addr.port());
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let mut lines = table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    let line = lines
        .find(|words| words[1] == end(local) && words[2] == end(peer))
        .unwrap();
    let (sending, _) = line[4].split_once(':').unwrap();
    usize::from_str_radix(sending, 16).unwrap()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_viewer_that_does_not_read_leaves_less_than_24_kib_unsent() {
    let server = Server::new();
    let (mut there, here) = server.pair(b"").await;
    let (mut got, mut taken) = (BytesMut::new(), 0);
    // Until the viewer's kernel takes no more, and for a while after that.
    let fill = async {
        loop {
            let mut pending = BytesMut::from(&[7; 16 * 1024][..]);
            while !pending.is_empty() {
                if let Ready::Wrote(n) = there.ready(&mut got, &mut pending).await.unwrap() {
                    taken += n;
                }
            }
        }
    };
    let stalled = tokio::time::timeout(2 * SECOND, fill).await;
    assert!(stalled.is_err());
    let unsent = queued(here.peer(), there.peer());
    println!("took {taken} bytes, {unsent} of them unsent in the kernel");
    assert!(unsent <= 24 * 1024, "{unsent} bytes are unsent");
    assert!(!there.is_clear() || unsent > 0);
    drop(here);
}

#[tokio::test]
async fn ipv6_and_ipv4_meet_on_one_listener() {
    let server = Server {
        listener: Listener::bind_all(0).unwrap(),
        ..Server::new()
    };
    if !server.listener.local().is_ipv6() {
        println!("skipped: no IPv6 on this machine");
        return;
    }
    for host in ["127.0.0.1", "::1"] {
        let dial = dial::tls(
            at(host, server.port()),
            server.viewer(),
            b"x",
            Timeouts::default(),
        );
        let (mut there, here) = tokio::join!(server.link(), dial);
        assert_eq!(read(&mut there, 1).await, "x");
        drop(here.unwrap());
    }
}

/// Runs the test that calls this once more, in a process of its own; `true` in that process.
fn in_own_process(test: &str, prepare: impl FnOnce(&mut Command)) -> bool {
    const MARK: &str = "TUNNELCAST_TEST_CHILD";
    if std::env::var_os(MARK).is_some() {
        return true;
    }
    let this = std::env::current_exe().unwrap();
    let mut command = Command::new("sh");
    command
        .args(["-c", "ulimit -n 64; exec \"$0\" \"$@\""])
        .arg(this)
        .args(["--exact", test, "--nocapture"]);
    prepare(command.env(MARK, "1"));
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    false
}

#[cfg(unix)]
#[tokio::test]
async fn accepting_survives_a_want_of_file_descriptors() {
    if !in_own_process("accepting_survives_a_want_of_file_descriptors", |_| ()) {
        return;
    }
    let server = Server::new();
    let _viewer = TcpStream::connect(server.listener.local()).unwrap();
    let mut hog = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        hog.push(file);
    }
    let accepting = server.listener.accept();
    tokio::pin!(accepting);
    assert!(
        tokio::time::timeout(Duration::from_millis(200), &mut accepting)
            .await
            .is_err()
    );
    drop(hog);
    tokio::time::timeout(5 * SECOND, accepting).await.unwrap();
}

/// A certificate authority, and an identity in `dir` that it vouches for under the name `localhost`.
#[cfg(target_os = "linux")]
fn authority(dir: &Path) -> Identity {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    let (ca_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = ca.self_signed(&ca_key).unwrap().pem();
    let leaf = CertificateParams::new([String::from("localhost")]).unwrap();
    let leaf = leaf
        .signed_by(&key, &Issuer::new(ca, ca_key))
        .unwrap()
        .pem();
    std::fs::write(dir.join("root.pem"), root).unwrap();
    std::fs::write(dir.join("cert.pem"), leaf).unwrap();
    std::fs::write(dir.join("key.pem"), key.serialize_pem()).unwrap();
    let own = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(dir.join("key.pem"), own).unwrap();
    Identity::load(&dir.join("cert.pem"), &dir.join("key.pem")).unwrap()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn what_only_this_system_trusts_may_be_somebody_who_reads_along() {
    let name = "what_only_this_system_trusts_may_be_somebody_who_reads_along";
    let dir = tempfile::tempdir().unwrap();
    let root = match std::env::var_os("SSL_CERT_FILE") {
        Some(root) if Path::new(&root).ends_with("of-this-test/root.pem") => root.into(),
        _ => dir.path().join("of-this-test/root.pem"),
    };
    let home = root.parent().unwrap();
    std::fs::create_dir_all(home).unwrap();
    if !in_own_process(name, |command| {
        authority(home);
        command
            .env("SSL_CERT_FILE", &root)
            .env_remove("SSL_CERT_DIR");
    }) {
        return;
    }
    let server = Server {
        identity: Identity::load(&home.join("cert.pem"), &home.join("key.pem")).unwrap(),
        ..Server::new()
    };
    let port = server.port();
    let mut known = KnownServers::open(&dir.path().join("known_servers")).unwrap();
    let dial = async |host: &str, known: &KnownServers| {
        let config = client_config(Policy::SystemOrKnown(known.clone()), host, port).unwrap();
        let viewer = dial::tls(at(host, port), config, b"", Timeouts::default());
        tokio::select! {
            biased;
            result = viewer => result,
            _ = async { server.link().await.shutdown(b"", SECOND).await } => panic!("no answer"),
        }
    };
    // The system vouches for it, and nobody else does: so it would for a box that inspects.
    let error = dial("localhost", &known).await.unwrap_err();
    let seen = Some(server.identity.pin());
    match error.rejection() {
        Some(Rejection::Private { seen: shown }) => assert_eq!(Some(shown.pin), seen),
        _ => panic!("{error}"),
    }
    let error = dial("127.0.0.1", &known).await.unwrap_err();
    assert!(
        matches!(error.rejection(), Some(Rejection::Untrusted { .. })),
        "{error}"
    );
    known
        .remember("localhost", port, Pin::from([1; 32]))
        .unwrap();
    let error = dial("localhost", &known).await.unwrap_err();
    assert!(
        matches!(error.rejection(), Some(Rejection::Changed { .. })),
        "{error}"
    );
}
