//! `doctor`: every way tried for real, and what is said of the network.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    process::Command,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::net;
use tokio_util::sync::CancellationToken;
use tunnelcast::{
    client::{
        Ask,
        doctor::{Report, examine},
    },
    transport::Kind,
    trust::{Link, Seen},
};

use crate::support::{CARD, Ended, Program, SOON, TestServer, serve, soon, watch};

fn doctor(link: &Link) -> Ended {
    Program::with(["doctor", &link.to_string()], |_| {}).end()
}

/// What it says of a way.
#[track_caller]
fn rung<'a>(ended: &'a Ended, way: &str) -> &'a Value {
    let is = |event: &&Value| event["event"] == "rung" && event["transport"] == way;
    let found = ended.events.iter().find(is);
    found.unwrap_or_else(|| panic!("no {way}: {ended:?}"))
}

/// What it says of what lies under the ways.
#[track_caller]
fn probe<'a>(ended: &'a Ended, what: &str) -> &'a Value {
    let is = |event: &&Value| event["event"] == "probe" && event["what"] == what;
    let found = ended.events.iter().find(is);
    found.unwrap_or_else(|| panic!("no {what}: {ended:?}"))
}

/// Its last word.
#[track_caller]
fn verdict(ended: &Ended) -> &Value {
    let last = ended.events.last().unwrap_or(&Value::Null);
    assert_eq!(last["event"], "verdict", "{ended:?}");
    last
}

#[track_caller]
fn contains(value: &Value, words: &str) {
    let text = value.as_str().unwrap_or_default();
    assert!(text.contains(words), "no '{words}' in {value}");
}

#[test]
fn at_an_open_server_every_way_works_and_quic_is_best() {
    let dir = tempfile::tempdir().unwrap();
    let (_server, link) = Program::serve(dir.path(), &format!("--video {CARD}"));
    let ended = doctor(&link);
    assert_eq!(ended.status, Some(0), "{ended:?}");
    for way in [Kind::Quic, Kind::Tls].map(Kind::name) {
        let rung = rung(&ended, way);
        assert_eq!(rung["works"], true, "{rung}");
        assert!(rung["frames"].as_u64() > Some(10), "{rung}");
        assert!(rung["throughput_bps"].as_u64() > Some(10_000), "{rung}");
        for figure in ["reached_ms", "first_frame_ms", "rtt_ms", "jitter_ms"] {
            assert!(rung[figure].is_number(), "{figure}: {rung}");
        }
    }
    let verdict = verdict(&ended);
    assert_eq!(
        (&verdict["works"], &verdict["best"]),
        (&true.into(), &"quic".into())
    );
    for what in ["name", "tcp", "tls", "upgrade", "udp", "packets"] {
        let probe = probe(&ended, what);
        assert_eq!(probe["ok"], true, "{probe}");
    }
    contains(
        &probe(&ended, "tls")["words"],
        "the key is that of the link",
    );
    assert!(ended.words.contains("trying every way"), "{}", ended.words);
}

#[test]
fn where_udp_is_silent_tls_works_and_the_advice_is_to_let_it_through() {
    let dir = tempfile::tempdir().unwrap();
    let (_server, link) = Program::serve(dir.path(), &format!("--video {CARD} --no-quic"));
    let _silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, link.port)).unwrap();
    let ended = doctor(&link);
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert_eq!(rung(&ended, "tls")["works"], true);
    assert_eq!(rung(&ended, "quic")["works"], false);
    let verdict = verdict(&ended);
    assert_eq!(verdict["best"], "tls");
    contains(&verdict["verdict"], "is silent");
    contains(
        &verdict["advice"],
        &format!("let UDP port {} to 127.0.0.1 through", link.port),
    );
    contains(&probe(&ended, "udp")["words"], "silent");
}

#[test]
fn where_udp_is_refused_that_is_told_from_silence() {
    let dir = tempfile::tempdir().unwrap();
    let (_server, link) = Program::serve(dir.path(), &format!("--video {CARD} --no-quic"));
    let ended = doctor(&link);
    assert_eq!(ended.status, Some(0), "{ended:?}");
    contains(&probe(&ended, "udp")["words"], "refused");
    contains(&verdict(&ended)["advice"], "--no-quic");
}

#[test]
fn where_nobody_listens_no_way_works() {
    // Bound and not listening: nobody else can take it meanwhile.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket
        .bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())
        .unwrap();
    let port = socket.local_addr().unwrap().as_socket().unwrap().port();
    let link = format!("https://127.0.0.1:{port}/live#k={}", "A".repeat(43));
    let ended = doctor(&link.parse().unwrap());
    ended.says(4, "refused the connection");
    let verdict = verdict(&ended);
    assert_eq!(
        (&verdict["works"], &verdict["best"]),
        (&false.into(), &Value::Null)
    );
    contains(&verdict["verdict"], "Nothing listens");
    assert_eq!(probe(&ended, "tcp")["ok"], false);
}

#[test]
fn a_server_with_another_key_is_refused_and_called_so() {
    let dir = tempfile::tempdir().unwrap();
    let (_server, link) = Program::serve(dir.path(), &format!("--video {CARD}"));
    let other = Link {
        pin: Some([7; 32].into()),
        ..link
    };
    let ended = doctor(&other);
    ended.says(3, "ask for a new link");
    let verdict = verdict(&ended);
    assert_eq!(verdict["works"], false);
    contains(&verdict["verdict"], "another key");
    assert_eq!(probe(&ended, "tls")["ok"], false);
}

#[test]
fn a_name_that_does_not_resolve_is_named() {
    let link = format!("https://name.invalid/live#k={}", "A".repeat(43));
    let ended = doctor(&link.parse().unwrap());
    ended.says(4, "the name name.invalid cannot be resolved");
    contains(&verdict(&ended)["verdict"], "name.invalid");
    assert_eq!(probe(&ended, "name")["ok"], false);
}

#[test]
fn a_stream_that_is_not_there_is_the_servers_no() {
    let dir = tempfile::tempdir().unwrap();
    let (_server, mut link) = Program::serve(dir.path(), &format!("--video {CARD}"));
    link.stream = "garden".to_owned();
    let ended = doctor(&link);
    ended.says(3, "there are: live");
    contains(&verdict(&ended)["verdict"], "says no");
}

#[test]
fn a_link_without_a_key_and_without_a_terminal_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (_server, link) = Program::serve(dir.path(), &format!("--video {CARD}"));
    let bare = Link { pin: None, ..link };
    let known = dir.path().join("known_servers");
    let known = ["--known-servers".as_ref(), known.as_os_str()];
    let link = bare.to_string();
    let arguments = ["doctor".as_ref(), link.as_ref()];
    let ended = Program::with(arguments.into_iter().chain(known), |_| {}).end();
    ended.says(3, "there is no terminal to ask on");
}

#[test]
fn ctrl_c_ends_it_at_once() {
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = silent.local_addr().unwrap().port();
    let link = format!("https://127.0.0.1:{port}/live#k={}", "A".repeat(43));
    let doctor = Program::with(["doctor", &link], |_| {});
    let _connected = silent.accept().unwrap();
    let interrupted = Instant::now();
    doctor.interrupt();
    let ended = doctor.end();
    ended.says(4, "it was stopped");
    assert!(ended.events.is_empty(), "{ended:?}");
    assert!(interrupted.elapsed() < SOON / 4);
}

/// For a person: no JSON, no colours where there is no terminal, and no line too long for one.
#[test]
fn the_table_fits_a_terminal() {
    let dir = tempfile::tempdir().unwrap();
    let (_server, link) = Program::serve(dir.path(), &format!("--video {CARD}"));
    let output = Command::new(env!("CARGO_BIN_EXE_tunnelcast"))
        .args(["doctor", &link.to_string()])
        .output()
        .unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{table}");
    assert!(!table.contains('\u{1b}'), "{table}");
    assert!(!table.contains("k="), "{table}");
    for line in table.lines() {
        assert!(line.chars().count() < 80, "{line}");
    }
    for words in ["round trip", "quic", "bit/s", "verdict", "advice"] {
        assert!(table.contains(words), "no {words} in {table}");
    }
}

/// Says yes, and counts.
#[derive(Default)]
struct Person(Mutex<u32>);

impl Ask for Person {
    fn accept(&self, _: &str, _: u16, _: &Seen) -> Result<bool, &'static str> {
        *self.0.lock().unwrap() += 1;
        Ok(true)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_is_asked_once_for_all_ways() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(serve(CARD)).await;
    let mut config = watch(server.link());
    config.link.pin = None;
    config.known_servers = Some(dir.path().join("known_servers"));
    let person = Arc::new(Person::default());
    let asked = Arc::<Person>::clone(&person);
    let done = soon(
        "a verdict",
        examine(config, asked, CancellationToken::new()),
    )
    .await;
    let done = done.unwrap();
    assert!(done.error.is_none(), "{done:?}");
    assert_eq!(done.report.verdict.best, Some("quic"), "{done:?}");
    let both = &done.report.rungs[..2];
    assert!(both.iter().all(|rung| rung.works), "{done:?}");
    assert_eq!(*person.0.lock().unwrap(), 1);
    server.shutdown().await;
}

/// What a firewall does to the packets of one UDP flow that go to the viewer.
#[derive(Clone, Copy)]
enum Limit {
    /// So many pass, and then none.
    Packets(u64),
    /// Those pass that fit into so many bytes each tenth of a second.
    Tenth(usize),
}

/// Stands between a viewer and a server: TCP passes, UDP within a limit.
async fn between(server: u16, limit: Limit) -> u16 {
    let (listener, socket) = loop {
        let listener = net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.unwrap();
        if let Ok(socket) = net::UdpSocket::bind(listener.local_addr().unwrap()).await {
            break (listener, socket);
        }
    };
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut viewer, _)) = listener.accept().await {
            tokio::spawn(async move {
                let to = net::TcpStream::connect((Ipv4Addr::LOCALHOST, server)).await;
                let _cut = tokio::io::copy_bidirectional(&mut viewer, &mut to.unwrap()).await;
            });
        }
    });
    tokio::spawn(async move {
        let (socket, mut flows) = (Arc::new(socket), HashMap::new());
        let mut packet = vec![0; 2048];
        while let Ok((length, from)) = socket.recv_from(&mut packet).await {
            let out = match flows.get(&from) {
                Some(out) => Arc::clone(out),
                None => {
                    let out = net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
                        .await
                        .unwrap();
                    out.connect((Ipv4Addr::LOCALHOST, server)).await.unwrap();
                    let out = Arc::new(out);
                    flows.insert(from, Arc::clone(&out));
                    tokio::spawn(down(Arc::clone(&out), Arc::clone(&socket), from, limit));
                    out
                }
            };
            let _lost = out.send(&packet[..length]).await;
        }
    });
    port
}

async fn down(
    from: Arc<net::UdpSocket>,
    to: Arc<net::UdpSocket>,
    viewer: SocketAddr,
    limit: Limit,
) {
    let (mut packets, mut bytes, mut began) = (0, 0, Instant::now());
    let mut packet = vec![0; 2048];
    while let Ok(length) = from.recv(&mut packet).await {
        if began.elapsed() > Duration::from_millis(100) {
            (bytes, began) = (0, Instant::now());
        }
        packets += 1;
        let passes = match limit {
            Limit::Packets(most) => packets <= most,
            Limit::Tenth(most) => bytes + length <= most,
        };
        if passes {
            bytes += length;
            let _lost = to.send_to(&packet[..length], viewer).await;
        }
    }
}

async fn behind(limit: Limit) -> Report {
    let server = TestServer::start(serve("testcard:640x360@25")).await;
    let mut link = server.link().clone();
    link.port = between(link.port, limit).await;
    let asked = Arc::new(Person::default());
    let done = soon(
        "a verdict",
        examine(watch(&link), asked, CancellationToken::new()),
    )
    .await;
    server.shutdown().await;
    let done = done.unwrap();
    assert!(done.error.is_none(), "{done:?}");
    done.report
}

#[track_caller]
fn is_throttled(report: &Report) {
    let udp = report.probes.iter().find(|probe| probe.what == "udp");
    assert!(udp.unwrap().words.starts_with("throttled"), "{report:?}");
    assert_eq!(report.verdict.best, Some("tls"), "{report:?}");
    assert!(report.verdict.verdict.contains("throttled"), "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn udp_that_is_silenced_while_it_plays_does_not_work_and_is_called_throttled() {
    let report = behind(Limit::Packets(100)).await;
    is_throttled(&report);
    assert!(!report.rungs[0].works, "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn udp_that_has_a_limit_is_called_throttled() {
    is_throttled(&behind(Limit::Tenth(3000)).await);
}
