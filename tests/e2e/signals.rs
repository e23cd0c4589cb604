//! Ctrl-C ends either side cleanly, and the other learns of it at once.

use std::{
    io::{Read as _, Write as _},
    process::{Command, Stdio},
};

use serde_json::Value;
use tunnelcast::{
    config::Watch,
    transport::{Kind, race::Ways},
    trust::Link,
};

use crate::support::{CARD, Program, TestServer, TestViewer, have, serve, watch};

#[test]
fn ctrl_c_at_the_server_says_goodbye_to_its_viewers() {
    let dir = tempfile::tempdir().unwrap();
    let (mut server, link) = Program::serve(dir.path(), &format!("--video {CARD}"));
    // Words go to standard error only without --json.
    let mut viewer = Program::with(["watch", "--headless", &link.to_string()], |_| {});
    viewer.event("connected");
    server.event_where(|event| event["state"] == "watching");
    server.interrupt();
    let server = server.end();
    assert_eq!(server.status, Some(0), "{server:?}");
    let left = server.events.iter().find(|event| event["state"] == "left");
    let reason = left.unwrap()["reason"].as_str().unwrap();
    assert!(reason.contains("the server is stopping"), "{reason}");
    // The viewer tries again from now on; it still ends when it is told to.
    viewer.interrupt();
    let viewer = viewer.end();
    assert_eq!(viewer.status, Some(0), "{viewer:?}");
    assert!(viewer.summary()["frames_shown"].as_u64() >= Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whichever_way_a_viewer_came_he_is_told_that_the_server_stops() {
    let mut viewers = Vec::new();
    for kind in Kind::ALL {
        let server = TestServer::start(serve(CARD)).await;
        let mut viewer = TestViewer::start(Watch {
            ways: Ways::Only(kind),
            ..watch(server.link())
        });
        viewer.connected().await;
        viewer.frames(5).await;
        server.shutdown().await;
        viewers.push((kind, viewer));
    }
    for (kind, mut viewer) in viewers {
        let word = viewer.disconnected().await;
        assert!(word.contains("the server is stopping"), "{kind}: {word}");
        viewer.stop().await;
    }
}

#[test]
fn ctrl_c_at_a_viewer_is_told_to_its_server_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (mut server, link) = Program::serve(dir.path(), &format!("--video {CARD}"));
    let mut viewer = Program::watch(&link, "");
    viewer.event("connected");
    viewer.interrupt();
    let viewer = viewer.end();
    assert_eq!(viewer.status, Some(0), "{viewer:?}");
    assert!(viewer.summary()["frames_shown"].as_u64() >= Some(1));
    let left = server
        .event_where(|event| event["state"] == "left")
        .unwrap();
    assert_eq!(left["reason"], "done");
}

#[test]
fn ctrl_c_ends_a_viewer_that_is_still_connecting() {
    let silent = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = silent.local_addr().unwrap().port();
    let pin = "A".repeat(43);
    let link = format!("https://127.0.0.1:{port}/live#k={pin}").parse();
    let viewer = Program::watch(&link.unwrap(), "");
    let _connected = silent.accept().unwrap();
    viewer.interrupt();
    let viewer = viewer.end();
    assert_eq!(viewer.status, Some(0), "{viewer:?}");
    viewer.summary();
}

#[test]
fn a_viewer_whose_time_is_over_before_it_is_connected_says_so() {
    let silent = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = silent.local_addr().unwrap().port();
    let link = format!("https://127.0.0.1:{port}/live#k={}", "A".repeat(43));
    let viewer = Program::watch(&link.parse().unwrap(), "--duration 500ms").end();
    viewer.says(4, "in the time given");
}

#[test]
fn a_viewer_whose_time_is_over_while_the_server_is_away_ends_well() {
    let dir = tempfile::tempdir().unwrap();
    let (server, link) = Program::serve(dir.path(), &format!("--video {CARD}"));
    let mut viewer = Program::watch(&link, "--duration 3s");
    viewer.event("connected");
    drop(server);
    let viewer = viewer.end();
    assert_eq!(viewer.status, Some(0), "{viewer:?}");
    viewer.summary();
}

/// Takes the 15 s that a silent peer has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_freezes_is_given_up_and_found_again_when_he_thaws() {
    let dir = tempfile::tempdir().unwrap();
    let card = format!("--video {CARD}");
    let (server, link) = Program::serve(dir.path(), &card);
    let mut impatient = Program::watch(&link, "");
    let mut viewer = TestViewer::start(watch(&link));
    viewer.connected().await;
    impatient.event("connected");
    // Beside it, the other way round: a viewer that freezes.
    let (mut other, other_link) = Program::serve(dir.path(), &card);
    let mut frozen = Program::watch(&other_link, "");
    frozen.event("connected");

    server.signal("STOP");
    frozen.signal("STOP");
    // Who does not want to wait for the server ends at once.
    impatient.interrupt();
    let ended = impatient.end();
    assert_eq!(ended.status, Some(0), "{ended:?}");
    ended.summary();
    let word = viewer.disconnected().await;
    assert!(word.contains("no sign of life"), "{word}");
    let left = other.event_where(|event| event["state"] == "left").unwrap();
    assert_eq!(left["reason"], "no sign of life");

    server.signal("CONT");
    frozen.signal("CONT");
    viewer.frames(10).await;
    viewer.stop().await;
    let back = |event: &Value| event["id"] == 2 && event["state"] == "watching";
    other.event_where(back).unwrap();
    // SIGTERM is as good as Ctrl-C.
    for program in [frozen, server, other] {
        program.signal("TERM");
        assert_eq!(program.end().status, Some(0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_viewer_that_does_not_listen_does_not_keep_the_server_from_ending() {
    let dir = tempfile::tempdir().unwrap();
    let (mut server, link) = Program::serve(dir.path(), "--video testcard:1280x720@25");
    let viewer = Program::watch(&link, "");
    server.event_where(|event| event["state"] == "live");
    viewer.signal("STOP");
    // More than all the buffers on the way hold, at any rate.
    let mut other = TestViewer::start(watch(&link));
    other.connected().await;
    other.frames(50).await;
    server.interrupt();
    let server = server.end();
    assert_eq!(server.status, Some(0), "{server:?}");
    other.disconnected().await;
    other.stop().await;
    viewer.signal("CONT");
    viewer.interrupt();
    assert_eq!(viewer.end().status, Some(0));
}

/// What a person at a terminal sees who watches a stranger and answers with these keys, and the exit status.
fn at_a_terminal(link: &Link, known: &std::path::Path, keys: &[u8]) -> (Option<i32>, String) {
    let bare = Link {
        pin: None,
        ..link.clone()
    };
    let program = env!("CARGO_BIN_EXE_tunnelcast");
    let known = known.display();
    let watch = "watch --headless --duration 4s --known-servers";
    // Ctrl-C reaches all of the terminal's foreground group: a shell in between would end with a status of its own.
    let mut script = Command::new("script")
        .args([
            "-qefc",
            &format!("exec '{program}' {watch} '{known}' '{bare}'"),
        ])
        .arg("/dev/null")
        .env("SHELL", "/bin/sh")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut stdin, mut stdout) = (script.stdin.take().unwrap(), script.stdout.take().unwrap());
    let mut seen = Vec::new();
    let mut byte = [0];
    while !seen.ends_with(b"[y/N] ") && stdout.read(&mut byte).unwrap() > 0 {
        seen.push(byte[0]);
    }
    stdin.write_all(keys).unwrap();
    let _gone = stdout.read_to_end(&mut seen);
    let status = script.wait().unwrap();
    (status.code(), String::from_utf8_lossy(&seen).into_owned())
}

#[test]
fn a_person_is_asked_about_a_stranger_and_ctrl_c_is_an_answer() {
    if !cfg!(target_os = "linux") {
        println!("skipped: other systems have another `script`");
        return;
    }
    if !have("script") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (_server, link) = Program::serve(dir.path(), &format!("--video {CARD}"));
    let known = dir.path().join("known_servers");
    let pin = link.pin.unwrap().to_string();

    let (status, seen) = at_a_terminal(&link, &known, b"\x03");
    assert_eq!(status, Some(0), "{seen}");
    assert!(seen.contains(&pin), "{seen}");
    assert!(!known.exists());
    let (status, seen) = at_a_terminal(&link, &known, b"n\n");
    assert_eq!(status, Some(3), "{seen}");
    assert!(!known.exists());
    let (status, seen) = at_a_terminal(&link, &known, b"y\n");
    assert_eq!(status, Some(0), "{seen}");
    assert!(seen.contains("pictures shown"), "{seen}");
    assert!(std::fs::read_to_string(&known).unwrap().contains(&pin));
}
