//! Boxes that look into TLS: what plays, what they see, what the person is told.

use crate::{
    boxes::{
        AUTHORITY, IMITATION, INSPECTION, INSPECTION_UPGRADES, INTERCEPTION, REFUSAL, SPLICE,
        STUNNEL, Standing,
    },
    rig::{Capture, Ended, Net, holds},
};

#[test]
fn under_inspection_as_squid_comes_http_plays_and_the_inspector_is_named() {
    let Some((net, standing)) = INSPECTION.stand() else {
        return;
    };
    let ended = standing.play(&net).over("http");
    inspected_by_the_office(&ended);
    let squid = standing.squid.as_ref().unwrap();
    let log = squid.beyond(0, "POST https://stream.example/") + &squid.words();
    let mut secrets = standing.serving.secrets();
    assert!(secrets.all(|secret| !log.contains(secret)), "{log}");
}

#[test]
fn under_inspection_that_lets_websocket_through_websocket_plays() {
    let Some((net, standing)) = INSPECTION_UPGRADES.stand() else {
        return;
    };
    let ended = standing.play(&net).over("websocket");
    inspected_by_the_office(&ended);
}

/// The certificate that it shows looks like the server's own: only the key tells.
#[test]
fn under_inspection_that_imitates_the_server_http_plays() {
    let Some((net, standing)) = IMITATION.stand() else {
        return;
    };
    let ended = standing.play(&net).over("http");
    assert!(ended.connected()["inspected"].is_string(), "{ended:?}");
}

#[test]
fn under_inspection_that_nobody_was_told_of_http_plays() {
    let Some((net, standing)) = INTERCEPTION.stand() else {
        return;
    };
    let ended = standing.play(&net).over("http");
    inspected_by_the_office(&ended);
}

/// The office's authority is not known on this machine: the key decides all the same.
#[test]
fn under_inspection_by_a_stranger_http_plays_too() {
    let Some((net, standing)) = INTERCEPTION.stand() else {
        return;
    };
    let nobody = net.file("nobody.crt", "");
    let ended = standing.play(&net).trusting(&nobody).over("http");
    assert!(ended.connected()["inspected"].is_string(), "{ended:?}");
}

#[test]
fn who_wants_no_inspection_is_told_who_inspects() {
    let Some((net, standing)) = INTERCEPTION.stand() else {
        return;
    };
    let ended = standing.play(&net).with("--inspected refuse").seconds(5);
    let line = ended.sent_away(&[3]);
    assert!(
        line.contains("inspect") && line.contains(AUTHORITY),
        "{line}"
    );
}

#[test]
fn where_the_inspector_refuses_the_server_the_person_reads_its_words() {
    let Some((net, standing)) = REFUSAL.stand() else {
        return;
    };
    let ended = standing.play(&net).seconds(12);
    let line = ended.sent_away(&[3, 4]);
    assert!(line.contains(AUTHORITY), "{line}");
    assert!(line.contains("503"), "{line}");
}

#[test]
fn through_a_proxy_that_looks_at_names_alone_tls_plays() {
    let Some((net, standing)) = SPLICE.stand() else {
        return;
    };
    let ended = standing.play(&net).over("tls");
    assert!(ended.connected()["inspected"].is_null(), "{ended:?}");
}

#[test]
fn whoever_ends_tls_sees_neither_picture_nor_token() {
    for way in ["websocket", "http"] {
        let Some((net, standing)) = STUNNEL.stand() else {
            return;
        };
        let seen = seen_in_the_clear(&net, &standing, way);
        let shown = std::fs::read(net.dir().join("shown.jpg")).unwrap();
        let sign: &[u8] = match way {
            "http" => b"post /",
            _ => b"sec-websocket-protocol: tunnelcast",
        };
        let lower = seen.to_ascii_lowercase();
        let asked = lower.windows(sign.len()).any(|window| window == sign);
        assert!(asked, "{way}: this is not what the box saw");
        assert!(holds(&shown, tables(&shown)));
        assert!(
            !holds(&seen, tables(&shown)),
            "{way}: a picture's tables are in the clear"
        );
        for secret in standing.serving.secrets() {
            assert!(
                !holds(&seen, secret.as_bytes()),
                "{way}: {secret} is in the clear"
            );
        }
    }
}

/// It is told who looks into TLS.
#[track_caller]
fn inspected_by_the_office(ended: &Ended) {
    let by = ended.connected()["inspected"].as_str().unwrap_or_default();
    assert!(by.contains(AUTHORITY), "{ended:?}");
}

/// What goes between stunnel's two halves while a viewer plays and takes a snapshot.
fn seen_in_the_clear(net: &Net, standing: &Standing, way: &str) -> Vec<u8> {
    let capture = Capture::start(net, "lo", "tcp port 8080");
    let snapshot = net.dir().join("shown.jpg");
    let options = format!("--transport {way} --snapshot {}", snapshot.display());
    standing.play(net).with(&options).over(way);
    capture.bytes()
}

/// The first table of a JPEG, which went over the line as it stands there.
fn tables(jpeg: &[u8]) -> &[u8] {
    let at = jpeg
        .windows(2)
        .position(|marker| marker == [0xFF, 0xC4])
        .unwrap();
    &jpeg[at + 5..at + 35]
}
