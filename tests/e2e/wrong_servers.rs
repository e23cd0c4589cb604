//! Links that lead nowhere, or to somebody else: one line for a person and the right exit status each.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    time::Instant,
};

use tunnelcast::{
    client::Ask,
    config::IdentitySource,
    error::Status,
    trust::{Identity, Link, Seen},
};

use crate::support::{CARD, Program, SOON, TestServer, TestViewer, have, serve, watch};

/// A link to this port of loopback, with a key that nobody has.
fn link(port: u16) -> Link {
    format!("https://127.0.0.1:{port}/live#k={}", "A".repeat(43))
        .parse()
        .unwrap()
}

/// Watches whatever answers there with these bytes: with what it ends.
#[track_caller]
fn stranger(greeting: &'static [u8], words: &str) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        // It may be tried again with other first words.
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _gone = stream.read(&mut [0; 4096]);
            let _gone = stream.write_all(greeting);
            // Holds the connection until the other side gives up.
            let _gone = stream.read_to_end(&mut Vec::new());
        }
    });
    let ended = Program::watch(&link(port), "").end();
    ended.says(4, words);
    // A script learns from the figures that there was nothing.
    assert_eq!(ended.summary()["first_frame_ms"], serde_json::Value::Null);
}

#[test]
fn what_is_no_link_is_called_none_before_anything_else() {
    for (link, words) in [
        ("", "the link is empty"),
        ("holiday.mp4", "https://"),
        ("http://cam.example/live", "not encrypted"),
        ("ftp://cam.example/live", "begins with ftp://"),
        ("https:///live", "names no host"),
        ("https://cam.example:99999/live", "port"),
        ("https://me:secret@cam.example/live", "names a user"),
        ("https://cam.example/li ve", "blank"),
        ("https://cam.example/live#k=short", "key"),
    ] {
        let ended = Program::with(["watch", "--headless", link], |_| {}).end();
        assert_eq!(ended.status, Some(2), "{link}: {ended:?}");
        assert!(ended.words.contains(words), "{link}: {}", ended.words);
        assert!(ended.events.is_empty(), "{ended:?}");
    }
}

#[test]
fn a_name_without_an_address_is_named() {
    let link = format!("https://name.invalid/live#k={}", "A".repeat(43));
    let ended = Program::watch(&link.parse().unwrap(), "").end();
    ended.says(4, "the name name.invalid cannot be resolved");
}

#[test]
fn a_port_where_nothing_listens_is_called_so() {
    // Bound and not listening: nobody else can take it meanwhile.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket
        .bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())
        .unwrap();
    let port = socket.local_addr().unwrap().as_socket().unwrap().port();
    let ended = Program::watch(&link(port), "").end();
    ended.says(4, "refused the connection: nothing listens on that port");
}

#[test]
fn a_plain_web_server_is_called_one() {
    stranger(
        b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
        "does not speak TLS but plain HTTP",
    );
}

#[test]
fn an_ssh_server_is_called_one() {
    stranger(b"SSH-2.0-OpenSSH_9.7\r\n", "does not speak TLS but ssh");
}

#[test]
fn garbage_is_no_tls() {
    stranger(
        &[0xff, 0x00, 0x16, 0x80, 0x00, 0x00],
        "does not speak TLS but something unknown",
    );
}

#[test]
fn a_silent_port_is_given_up() {
    let started = Instant::now();
    stranger(b"", "took the connection but says nothing");
    assert!(started.elapsed() < SOON / 2);
}

#[test]
fn a_server_that_hangs_up_is_called_so() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let thread = std::thread::spawn(move || drop(listener.accept()));
    let ended = Program::watch(&link(port), "").end();
    thread.join().unwrap();
    ended.says(4, &format!("127.0.0.1:{port}"));
}

#[test]
fn tls_1_2_alone_is_called_old() {
    if !have("openssl") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    Identity::load_or_create(dir.path(), &[]).unwrap();
    // openssl cannot choose a port and tell it; should somebody else get it first, try again.
    for _ in 0..5 {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let mut openssl = s_server(port, dir.path());
        let give_up = Instant::now() + SOON;
        let listens = loop {
            if openssl.try_wait().unwrap().is_some() {
                break false;
            }
            if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
                break true;
            }
            assert!(Instant::now() < give_up, "openssl does not listen");
            std::thread::yield_now();
        };
        if !listens {
            continue;
        }
        let ended = Program::watch(&link(port), "").end();
        openssl.kill().unwrap();
        openssl.wait().unwrap();
        ended.says(4, "does not speak TLS 1.3");
        return;
    }
    panic!("openssl got no port");
}

fn s_server(port: u16, dir: &Path) -> std::process::Child {
    Command::new("openssl")
        .args(["s_server", "-tls1_2", "-quiet", "-accept"])
        .arg(format!("127.0.0.1:{port}"))
        .arg("-cert")
        .arg(dir.join("cert.pem"))
        .arg("-key")
        .arg(dir.join("key.pem"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn a_different_key_is_refused_with_both_keys_named() {
    let dir = tempfile::tempdir().unwrap();
    let (_server, link) = Program::serve(dir.path(), &format!("--video {CARD}"));
    let other = Link {
        pin: Some([7; 32].into()),
        ..link.clone()
    };
    let ended = Program::watch(&other, "").end();
    ended.says(3, &link.pin.unwrap().to_string());
    ended.says(3, &other.pin.unwrap().to_string());
    ended.says(3, "ask for a new link");
}

#[test]
fn a_link_without_a_key_and_without_a_terminal_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (_server, link) = Program::serve(dir.path(), &format!("--video {CARD}"));
    let bare = Link { pin: None, ..link };
    let known = dir.path().join("known_servers");
    let known = format!("--known-servers {}", known.display());
    let ended = Program::watch(&bare, &known).end();
    ended.says(3, "there is no terminal to ask on");
}

#[test]
fn an_unknown_stream_is_refused_with_the_names_that_there_are() {
    let dir = tempfile::tempdir().unwrap();
    let (_server, mut link) = Program::serve(dir.path(), &format!("--video {CARD}"));
    link.stream = "garden".to_owned();
    Program::watch(&link, "")
        .end()
        .says(3, "('garden'; there are: live)");
}

/// Says what it was told to say, and remembers how often it was asked.
struct Person {
    says: bool,
    asked: Arc<Mutex<u32>>,
}

impl Ask for Person {
    fn accept(&self, host: &str, _: u16, _: &Seen) -> Result<bool, &'static str> {
        assert_eq!(host, "127.0.0.1");
        *self.asked.lock().unwrap() += 1;
        Ok(self.says)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_is_asked_about_once_and_a_changed_key_is_refused_loudly() {
    let dir = tempfile::tempdir().unwrap();
    let asked = Arc::new(Mutex::new(0));
    let person = |says| Person {
        says,
        asked: Arc::clone(&asked),
    };
    let mut config = serve(CARD);
    config.identity = IdentitySource::Directory(dir.path().join("certs"));
    let server = TestServer::start(config.clone()).await;
    let mut wanted = watch(server.link());
    wanted.link.pin = None;
    wanted.known_servers = Some(dir.path().join("known_servers"));

    let error = TestViewer::asking(wanted.clone(), person(false))
        .end()
        .await;
    assert_eq!(error.unwrap_err().status(), Status::Refused);
    for _ in 0..2 {
        let mut viewer = TestViewer::asking(wanted.clone(), person(true));
        viewer.connected().await;
        viewer.stop().await;
    }
    // Once for the no, once for the yes, and then no more.
    assert_eq!(*asked.lock().unwrap(), 2);

    config.identity = IdentitySource::Fresh;
    config.listen = vec![([127, 0, 0, 1], wanted.link.port).into()];
    server.shutdown().await;
    let _other = TestServer::start(config).await;
    let error = TestViewer::asking(wanted, person(true)).end().await;
    let error = error.unwrap_err();
    assert_eq!(error.status(), Status::Refused);
    assert!(
        error.to_string().contains("THE SERVER'S KEY HAS CHANGED"),
        "{error}"
    );
    assert_eq!(*asked.lock().unwrap(), 2);
}
