//! The command line: help, wrong usage, and what the verbs print.

use std::process::Command;

use tunnelcast::trust::Link;

use crate::support::{CARD, FILM, Program};

/// Runs it to its end: status, standard output, standard error.
fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_tunnelcast"))
        .args(arguments)
        .output()
        .unwrap();
    (
        output.status.code(),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

#[test]
fn every_verb_explains_itself() {
    for (verb, words) in [
        (
            &["--help"][..],
            &["demo", "serve", "watch", "devices", "--json"][..],
        ),
        (
            &["serve", "--help"],
            &[
                "--listen",
                "--video",
                "--audio",
                "testcard[:WxH@FPS]",
                "--certs",
            ],
        ),
        (
            &["watch", "--help"],
            &[
                "LINK",
                "--headless",
                "--duration",
                "--snapshot",
                "--latency",
            ],
        ),
        (&["demo", "--help"], &["--video", "--headless"]),
        (&["doctor", "--help"], &["LINK", "--known-servers"]),
        (&["devices", "--help"], &["cameras"]),
    ] {
        let (status, out, err) = run(verb);
        assert_eq!(status, Some(0), "{verb:?}: {err}");
        for word in words {
            assert!(out.contains(word), "{verb:?}: no {word} in {out}");
        }
        assert_eq!(err, "");
    }
    let (status, out, _) = run(&["--version"]);
    assert_eq!(status, Some(0));
    assert_eq!(
        out.trim(),
        concat!("tunnelcast ", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn wrong_usage_ends_with_2_and_a_word_about_it() {
    let link = format!("https://127.0.0.1:9/live#k={}", "A".repeat(43));
    for (arguments, words) in [
        (&[][..], "Usage"),
        (&["dance"], "dance"),
        (&["watch"], "LINK"),
        (&["watch", &link, "--duration", "10"], "10s"),
        (
            &["watch", &link, "--duration", "soon"],
            "a number with a unit",
        ),
        (&["watch", &link, "--latency", "300"], "300ms"),
        (&["watch", &link, "--latency", "1h"], "at most 10s"),
        (
            &["watch", &link, "--no-audio", "--no-video"],
            "cannot be used with",
        ),
        (
            &["watch", &link, "--no-video", "--snapshot", "a.jpg"],
            "cannot be used with",
        ),
        (&["serve", "--listen", "8443"], "8443"),
        (&["serve", "--listen", "127.0.0.1:99999"], "99999"),
        (&["serve", "--name", "two words"], "letters, digits"),
        (&["serve", "--quality", "0"], "from 1 to 100"),
        (&["serve", "--quality", "101"], "from 1 to 100"),
        (&["serve", "--max-fps", "0"], "from 1 to 1000"),
        (&["serve", "--max-bitrate", "5"], "5M"),
        (&["watch", &link, "--max-bitrate", "fast"], "800k"),
        (&["serve", "--video", "holiday.mp4"], "holiday.mp4"),
        (&["serve", "--video", "testcard:0x0@0"], "testcard:0x0@0"),
        (&["serve", "--video", "testcard:100000x100000@25"], "100000"),
        (&["serve", "--video", "pipe:somewhere"], "standard input"),
        (&["serve", "--audio", "loud"], "loud"),
        (&["serve", "--cert", "a.pem"], "--key"),
    ] {
        let (status, out, err) = run(arguments);
        assert_eq!(status, Some(2), "{arguments:?}: {err}");
        assert!(err.contains(words), "{arguments:?}: no '{words}' in {err}");
        assert_eq!(out, "", "{arguments:?}");
    }
}

#[test]
fn devices_are_one_object_whatever_there_is() {
    let ended = Program::start("devices").end();
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert_eq!(ended.events.len(), 1);
    let devices = &ended.events[0];
    assert_eq!(devices["event"], "devices");
    for list in ["cameras", "microphones", "speakers"] {
        assert!(devices[list].is_array(), "{devices}");
    }
    let (status, out, _) = run(&["devices"]);
    assert_eq!(status, Some(0));
    assert!(out.starts_with("cameras\n"), "{out}");
}

#[test]
fn serve_prints_where_it_listens_and_a_link_that_is_one() {
    let dir = tempfile::tempdir().unwrap();
    let certs = dir.path().display().to_string();
    let mut server = Program::start(&format!(
        "serve --listen 127.0.0.1:0 --name garden --video {CARD} --certs {certs} --host cam.example"
    ));
    let listening = server.event("listening");
    let link: Link = listening["link"].as_str().unwrap().parse().unwrap();
    assert_eq!(
        (link.host.as_str(), link.stream.as_str()),
        ("cam.example", "garden")
    );
    assert!(link.pin.is_some());
    let tcp = listening["tcp"].as_array().unwrap();
    assert_eq!(tcp.len(), 1);
    assert_eq!(tcp[0], format!("127.0.0.1:{}", link.port));
    assert_eq!(listening["udp"], listening["tcp"]);
    server.interrupt();
    let ended = server.end();
    assert_eq!(ended.status, Some(0), "{ended:?}");

    // The key stays, and is nobody else's.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let key = std::fs::metadata(dir.path().join("key.pem")).unwrap();
        assert_eq!(key.permissions().mode() & 0o777, 0o600);
    }
    let (_server, again) = Program::serve(dir.path(), &format!("--video {CARD}"));
    assert_eq!(again.pin, link.pin);
}

#[test]
fn a_second_address_is_listened_on_too() {
    let dir = tempfile::tempdir().unwrap();
    let (server, link) =
        Program::serve(dir.path(), &format!("--listen 127.0.0.2:0 --video {CARD}"));
    server.interrupt();
    let listening = &server.end().events[0];
    let tcp = listening["tcp"].as_array().unwrap();
    assert_eq!(tcp.len(), 2, "{listening}");
    assert_eq!(tcp[0], format!("127.0.0.1:{}", link.port));
    assert!(tcp[1].as_str().unwrap().starts_with("127.0.0.2:"));
}

#[test]
fn a_key_that_is_none_keeps_the_server_from_starting() {
    let dir = tempfile::tempdir().unwrap();
    let certs = dir.path().display().to_string();
    let bad = dir.path().join("bad.pem");
    std::fs::write(&bad, "no key").unwrap();
    let bad = bad.display().to_string();
    for (arguments, words) in [
        (
            ["--cert", &bad, "--key", &bad],
            "holds no certificate in PEM",
        ),
        (
            ["--cert", "/gone.pem", "--key", &bad],
            "/gone.pem does not exist",
        ),
        (["--certs", "/dev/null/certs", "--host", "x"], "/dev/null"),
        (
            ["--certs", &certs, "--host", "two words"],
            "neither a host name nor an address",
        ),
    ] {
        let fixed = ["serve", "--listen", "127.0.0.1:0", "--video", CARD];
        let ended = Program::with(fixed.into_iter().chain(arguments), |_| {}).end();
        ended.says(2, words);
    }
}

#[test]
fn demo_without_a_display_plays_for_itself_and_sums_up() {
    let ended = Program::with(
        ["demo", "--headless", "--duration", "2s", "--video", CARD],
        |_| {},
    )
    .end();
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert!(ended.summary()["frames_shown"].as_u64() >= Some(1));
}

#[test]
fn a_film_by_name_is_missed_by_demo_too() {
    let video = format!("file:{FILM}.gone");
    let ended = Program::with(["demo", "--headless", "--video", &video], |_| {}).end();
    ended.says(5, "there is no file");
}
