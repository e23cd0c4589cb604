//! `doctor`: every way tried for real, and what is said of the network.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    process::Command,
    time::Instant,
};

use serde_json::Value;
use tunnelcast::{transport::Kind, trust::Link};

use crate::support::{CARD, Ended, Program, SOON};

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
    for words in ["round trip", "quic", "Mbit/s", "verdict", "advice"] {
        assert!(table.contains(words), "no {words} in {table}");
    }
}
