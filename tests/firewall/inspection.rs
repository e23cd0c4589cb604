//! Boxes that look into TLS: what plays, what they see, what the person is told.

use crate::{
    boxes::{
        AUTHORITY, IMITATION, INSPECTION, INSPECTION_UPGRADES, INTERCEPTION, KEEPER_NEEDS, REFUSAL,
        SPLICE, STUNNEL, Standing, Upgrades, keeper,
    },
    rig::{Authority, Capture, Ended, NAME, Net, Play, SERVER, Serving, Side, holds},
};

#[test]
fn under_inspection_as_squid_comes_http_plays_and_the_inspector_is_named() {
    let Some((net, standing)) = INSPECTION.stand() else {
        return;
    };
    let ended = standing.play(&net).over("http");
    inspected_by_the_office(&ended);
    let squid = standing.squid.as_ref().unwrap();
    let log = squid.beyond(0, "GET https://stream.example/live?") + &squid.words();
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
            "http" => b"\ntunnelcast-up: ",
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

/// All that a box has read that ends TLS on one side and opens it on the other.
#[test]
fn an_inspector_that_writes_down_all_it_reads_has_neither_picture_nor_token() {
    for (way, upgrades, sign) in [
        (
            "websocket",
            Upgrades::Pass,
            "Sec-WebSocket-Protocol: tunnelcast",
        ),
        ("http", Upgrades::Stripped, "\ntunnelcast-up: "),
    ] {
        let Some(net) = Net::new(KEEPER_NEEDS) else {
            return;
        };
        let standing = keeper(&net, 0, upgrades);
        let snapshot = net.dir().join("shown.jpg");
        let options = format!("--snapshot {}", snapshot.display());
        let ended = standing.play(&net).with(&options).over(way);
        inspected_by_the_office(&ended);
        let seen = std::fs::read(net.dir().join("read")).unwrap();
        let shown = std::fs::read(snapshot).unwrap();
        let asked = seen
            .windows(sign.len())
            .any(|window| window == sign.as_bytes());
        assert!(asked, "{way}: this is not all that the box has read");
        assert!(seen.len() > 100_000, "{way}: where is the picture?");
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

/// Then the server's own certificate, inside, is looked at as any other: here the system knows who signed it.
#[test]
fn under_inspection_without_a_key_in_the_link_the_server_inside_is_vouched_for() {
    let Some((net, standing)) = INTERCEPTION.stand() else {
        return;
    };
    let trust = both(&net, &["Office-Inspection.crt", "Web-Authority.crt"]);
    let link = without_key(&standing);
    let known = format!("--known-servers {}/servers", net.dir().display());
    let ended = Play::new(&net, &link)
        .trusting(&trust)
        .with(&known)
        .over("http");
    inspected_by_the_office(&ended);
}

/// Where nobody vouches for it, the person is asked about the key inside, and not about the inspector's; what was answered
/// is remembered, and another key is refused.
#[test]
fn under_inspection_without_a_key_in_the_link_an_unknown_server_is_asked_about_once() {
    let Some((net, standing)) = INTERCEPTION.stand() else {
        return;
    };
    let office = net.dir().join("Office-Inspection.crt");
    let link = without_key(&standing);
    let servers = net.dir().join("servers");
    let play = || {
        let known = format!("--known-servers {}", servers.display());
        Play::new(&net, &link).trusting(&office).with(&known)
    };
    // Nobody can be asked here; the key that the question would have been about is the server's own.
    let key = standing.serving.secrets().next().unwrap();
    let line = play().seconds(5).sent_away(&[3]).to_owned();
    assert!(
        line.contains("terminal") || line.contains("asked"),
        "{line}"
    );
    let remember = |key: &str| std::fs::write(&servers, format!("{NAME}:443 {key}\n")).unwrap();
    remember(key);
    inspected_by_the_office(&play().over("http"));
    remember(&"A".repeat(43));
    let ended = play().seconds(5);
    let line = ended.sent_away(&[3]);
    assert!(line.contains("KEY HAS CHANGED"), "{line}");
}

/// Without a key in the link, a server of an authority that only this system knows cannot be told from an inspector until
/// its key has been seen inside: so it goes over WebSocket, and nobody is accused.
#[test]
fn a_server_of_a_private_authority_plays_sealed_and_nobody_is_said_to_inspect() {
    let Some(net) = Net::new(&[]) else { return };
    net.names(Side::Client, &format!("{SERVER} {NAME}"));
    net.passing("meta l4proto udp drop;");
    let own = Authority::new(&net, "Own Authority");
    let issued = own.issue(&net, NAME);
    let files = format!(
        "--cert {} --key {}",
        issued.cert.display(),
        issued.key.display()
    );
    let serving = Serving::at(&net, NAME, &files);
    let link = keyless(&serving.link);
    let known = format!("--known-servers {}/servers", net.dir().display());
    let ended = Play::new(&net, &link)
        .trusting(&own.cert)
        .with(&known)
        .over("websocket");
    assert!(ended.connected()["inspected"].is_null(), "{ended:?}");
    // With the key in the link there is no doubt.
    Play::new(&net, &serving.link).over("tls");
}

/// The link as somebody may have written it who has a certificate of his own.
fn without_key(standing: &Standing) -> String {
    keyless(&standing.serving.link)
}

fn keyless(link: &str) -> String {
    let (link, secrets) = link.split_once('#').unwrap();
    let token = secrets.split('&').find(|pair| pair.starts_with("t="));
    format!("{link}#{}", token.unwrap())
}

/// These certificates in one file.
fn both(net: &Net, names: &[&str]) -> std::path::PathBuf {
    let read = |name: &&str| std::fs::read_to_string(net.dir().join(name)).unwrap();
    net.file("both.crt", &names.iter().map(read).collect::<String>())
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
