//! What is said of each kind of network.

use std::time::Duration;

use super::*;
use crate::client::doctor::{Body, Fault, Figures, Name, Proxied, Reply, Tcp, Through, Udp};
use crate::trust::{Pin, Seen};

const KEY: [u8; 32] = [1; 32];

fn seen(key: [u8; 32], issuer: &str) -> Seen {
    Seen {
        pin: Pin::from(key),
        issuer: issuer.to_owned(),
        self_issued: false,
    }
}

fn plays(way: Way, bps: u64) -> Rung {
    Rung {
        way,
        figures: Figures {
            reached_ms: Some(12.0),
            first_frame_ms: Some(30.0),
            rtt_ms: Some(10.0),
            jitter_ms: Some(2.0),
            throughput_bps: Some(bps),
            frames: 75,
            sounds: 150,
        },
        through: Through::default(),
        fault: None,
    }
}

fn fails(way: Way, trouble: Trouble, words: &str) -> Rung {
    Rung {
        way,
        figures: Figures::default(),
        through: Through::default(),
        fault: Some(Fault {
            trouble,
            words: words.to_owned(),
        }),
    }
}

/// An open network, with all four ways.
fn open() -> Facts {
    Facts {
        host: "cam.example".to_owned(),
        port: 443,
        pin: Some(Pin::from(KEY)),
        name: Name::Known {
            addresses: vec![[192, 0, 2, 7].into()],
            took: Duration::from_millis(3),
        },
        tcp: vec![Tcp {
            address: [192, 0, 2, 7].into(),
            reply: Reply::Takes(Duration::from_millis(10)),
        }],
        certificate: Ok(seen(KEY, "tunnelcast")),
        proxy: None,
        udp: Udp::Answers,
        datagram: Some(1400),
        portal: None,
        rungs: vec![
            plays(Way::Quic, 2_000_000),
            plays(Way::Tls, 2_100_000),
            plays(Way::WebSocket, 2_100_000),
            plays(Way::Http, 2_100_000),
        ],
    }
}

/// UDP of which nothing comes back.
fn silent() -> Facts {
    let mut facts = open();
    facts.udp = Udp::Silent;
    facts.datagram = None;
    facts.rungs[0] = fails(
        Way::Quic,
        Trouble::Silent,
        "cam.example:443/udp did not answer",
    );
    facts
}

/// A box with an authority of its own ends TLS.
fn inspected() -> Facts {
    let mut facts = silent();
    let other = seen([9; 32], "Bluecoat (Corp)");
    facts.certificate = Ok(other.clone());
    facts.rungs[1] = fails(
        Way::Tls,
        Trouble::OtherKey(Box::new(other)),
        "the server's key is another",
    );
    for rung in &mut facts.rungs[2..] {
        rung.through.inspected = Some("Bluecoat (Corp)".to_owned());
    }
    facts.rungs[3].through.body = Some(Body::Streamed);
    facts
}

/// Nothing works, all for this reason.
fn dead(trouble: &Trouble, words: &str) -> Facts {
    let mut facts = silent();
    facts.certificate = Err(words.to_owned());
    for rung in &mut facts.rungs {
        *rung = fails(rung.way, trouble.clone(), words);
    }
    facts
}

#[track_caller]
fn says(facts: &Facts, best: Option<&str>, verdict: &str, advice: &str) -> Report {
    let report = judge(facts);
    let said = &report.verdict;
    assert_eq!((said.best, said.works), (best, best.is_some()), "{said:?}");
    assert!(said.verdict.contains(verdict), "{said:?}");
    assert!(said.advice.contains(advice), "{said:?}");
    for sentence in [&said.verdict, &said.advice] {
        assert!(sentence.ends_with('.'), "{said:?}");
        assert!(!sentence.contains(".."), "{said:?}");
    }
    // What is said to work, is what was seen to work.
    for (row, rung) in report.rungs.iter().zip(&facts.rungs) {
        assert_eq!(row.works, rung.fault.is_none(), "{row:?}");
        assert!(row.works || row.why.is_some(), "{row:?}");
    }
    report
}

#[track_caller]
fn probe<'a>(report: &'a Report, what: &str) -> &'a Probe {
    let found = report.probes.iter().find(|probe| probe.what == what);
    found.unwrap_or_else(|| panic!("no {what} in {:?}", report.probes))
}

#[test]
fn on_an_open_network_quic_is_best_and_there_is_nothing_to_do() {
    let report = says(
        &open(),
        Some("quic"),
        "is open",
        "Nothing needs to be changed",
    );
    let whats: Vec<&str> = report.probes.iter().map(|probe| probe.what).collect();
    assert_eq!(
        whats,
        [
            "name", "tcp", "tls", "proxy", "upgrade", "body", "udp", "packets"
        ]
    );
    assert!(probe(&report, "tls").words.contains("issued by tunnelcast"));
    assert_eq!(probe(&report, "udp").ok, Some(true));
    assert!(probe(&report, "packets").words.contains("1400 bytes"));
}

#[test]
fn where_udp_is_silent_the_firewall_is_to_let_it_through() {
    let facts = silent();
    let report = says(
        &facts,
        Some("tls"),
        "UDP port 443 is silent",
        "let UDP port 443",
    );
    assert!(report.verdict.advice.contains("to cam.example through"));
    assert_eq!(probe(&report, "udp").ok, Some(false));
}

#[test]
fn where_udp_is_refused_it_may_also_be_the_server_that_does_not_want_it() {
    let mut facts = silent();
    facts.udp = Udp::Refused;
    facts.rungs[0] = fails(Way::Quic, Trouble::Refused, "refused");
    says(&facts, Some("tls"), "UDP port 443 is refused", "--no-quic");
}

#[test]
fn quic_with_less_than_half_of_what_tls_has_is_throttled_and_not_the_best() {
    let mut facts = open();
    facts.rungs[0] = plays(Way::Quic, 900_000);
    let report = says(
        &facts,
        Some("tls"),
        "UDP is throttled",
        "Take the limit off UDP",
    );
    assert!(
        probe(&report, "udp")
            .words
            .contains("0.9 Mbit/s where TLS has 2.1")
    );
    assert!(report.rungs[0].works);
    facts.rungs[0] = plays(Way::Quic, 1_100_000);
    says(&facts, Some("quic"), "is open", "");
    // With nothing else to be had, it is the best all the same.
    facts.rungs = vec![plays(Way::Quic, 900_000)];
    says(&facts, Some("quic"), "tls does not", "TCP port 443");
}

#[test]
fn quic_whose_media_stop_is_throttled_and_does_not_work() {
    let mut facts = open();
    facts.rungs[0] = fails(Way::Quic, Trouble::Stalled, "it stopped after 5 pictures");
    let report = says(
        &facts,
        Some("tls"),
        "UDP is throttled",
        "Take the limit off",
    );
    assert!(
        probe(&report, "udp")
            .words
            .contains("the media do not get through")
    );
}

#[test]
fn where_only_a_proxy_leads_out_it_is_named() {
    let mut facts = silent();
    facts.name = Name::Proxied;
    facts.tcp = Vec::new();
    facts.udp = Udp::Untried;
    facts.rungs.remove(0);
    facts.proxy = Some(Proxied {
        name: "proxy.corp:3128".to_owned(),
        leads: Ok(Duration::from_millis(9)),
    });
    for rung in &mut facts.rungs {
        rung.through.proxy = Some("proxy.corp:3128".to_owned());
    }
    let report = says(
        &facts,
        Some("tls"),
        "through the proxy proxy.corp:3128",
        "UDP",
    );
    let proxy = probe(&report, "proxy");
    assert!(
        proxy
            .words
            .contains("proxy.corp:3128 connects to cam.example:443")
    );
    assert_eq!((proxy.ok, proxy.ms), (Some(true), Some(9.0)));
    assert_eq!(probe(&report, "name").ok, None);
    assert_eq!(probe(&report, "udp").ok, None);

    for rung in &mut facts.rungs {
        *rung = fails(rung.way, Trouble::Proxy, "it wants a password");
    }
    says(&facts, None, "it wants a password", "CONNECT");
}

#[test]
fn under_inspection_with_upgrade_it_is_websocket_and_the_inspector_is_named() {
    let facts = inspected();
    let report = says(
        &facts,
        Some("websocket"),
        "inspected by Bluecoat (Corp); websocket works",
        "exempt cam.example:443 from TLS inspection",
    );
    assert_eq!(probe(&report, "tls").ok, Some(false));
    assert_eq!(probe(&report, "upgrade").ok, Some(true));
    let why = report.rungs[2].why.as_deref();
    assert!(why.is_some_and(|why| why.contains("Bluecoat")), "{why:?}");
}

#[test]
fn under_inspection_without_upgrade_it_is_http_and_upgrades_are_asked_for() {
    let mut facts = inspected();
    facts.rungs[2] = fails(Way::WebSocket, Trouble::Stripped, "no upgrade");
    let report = says(
        &facts,
        Some("http"),
        "no upgrade gets through; http works",
        "let WebSocket upgrades through",
    );
    assert_eq!(probe(&report, "upgrade").ok, Some(false));
    assert_eq!(probe(&report, "body").ok, Some(true));
}

#[test]
fn a_reverse_proxy_with_a_public_certificate_is_no_inspection() {
    let mut facts = inspected();
    for rung in &mut facts.rungs[2..] {
        rung.through.inspected = None;
        rung.through.front = Some("R11 (Let's Encrypt)".to_owned());
    }
    says(
        &facts,
        Some("websocket"),
        "through a reverse proxy (its certificate is by R11 (Let's Encrypt))",
        "Nothing needs to be changed",
    );
}

#[test]
fn inspection_that_lets_nothing_through_is_named_with_what_to_exempt() {
    let mut facts = inspected();
    facts.rungs[2] = fails(Way::WebSocket, Trouble::Stripped, "no upgrade");
    facts.rungs[3] = fails(Way::Http, Trouble::Stranger, "blocked");
    says(
        &facts,
        None,
        "inspected by Bluecoat (Corp), and websocket and http do not get through it",
        "Exempt cam.example:443",
    );
}

#[test]
fn a_login_page_is_named_before_the_wrong_key_that_it_shows() {
    let mut facts = inspected();
    for rung in &mut facts.rungs[2..] {
        *rung = fails(rung.way, Trouble::Stranger, "a web server");
    }
    facts.portal = Some("http://login.hotel.example/".to_owned());
    says(&facts, None, "http://login.hotel.example/", "log in");
}

#[test]
fn a_name_without_an_address_is_named_and_only_proxies_may_know_it() {
    let mut facts = dead(&Trouble::NoName, "cannot be resolved");
    facts.name = Name::Unknown {
        why: "no such name".to_owned(),
    };
    facts.tcp = Vec::new();
    let report = says(
        &facts,
        None,
        "cam.example cannot be resolved: no such name",
        "HTTPS_PROXY",
    );
    assert_eq!(probe(&report, "name").ok, Some(false));
}

#[test]
fn where_nothing_listens_the_server_is_to_be_started() {
    let mut facts = dead(&Trouble::Refused, "refused the connection");
    facts.tcp[0].reply = Reply::Refuses;
    facts.udp = Udp::Refused;
    says(
        &facts,
        None,
        "Nothing listens at cam.example:443",
        "Start the server",
    );
}

#[test]
fn where_nothing_comes_back_it_may_be_a_firewall() {
    let mut facts = dead(&Trouble::Silent, "did not answer");
    facts.tcp[0].reply = Reply::Silent;
    says(
        &facts,
        None,
        "a firewall drops TCP and UDP",
        "let TCP port 443",
    );
}

#[test]
fn something_else_behind_the_port_is_called_so() {
    let facts = dead(&Trouble::Stranger, "it does not speak TLS but ssh");
    says(
        &facts,
        None,
        "but ssh",
        "Check that a tunnelcast server is at",
    );
}

#[test]
fn a_server_with_another_key_over_udp_too_is_no_inspection() {
    let other = seen([9; 32], "tunnelcast");
    let mut facts = dead(&Trouble::OtherKey(Box::new(other.clone())), "another key");
    facts.udp = Udp::Answers;
    facts.certificate = Ok(other);
    let report = says(
        &facts,
        None,
        "has another key than the link",
        "for a new one",
    );
    assert_eq!(probe(&report, "tls").ok, Some(false));
}

#[test]
fn a_server_that_says_no_is_not_blamed_on_the_network() {
    let facts = dead(&Trouble::Denied, "the server refused: no such stream");
    says(&facts, None, "no such stream", "not to blame");
}

#[test]
fn a_server_without_a_picture_is_not_blamed_on_the_network() {
    let facts = dead(&Trouble::NoMedia, "neither picture nor sound");
    says(&facts, None, "neither picture nor sound", "camera or file");
}

#[test]
fn without_tcp_quic_works_and_tcp_is_asked_for() {
    let mut facts = open();
    for rung in &mut facts.rungs[1..] {
        *rung = fails(rung.way, Trouble::Silent, "did not answer");
    }
    says(
        &facts,
        Some("quic"),
        "nothing stands by",
        "Let TCP port 443",
    );
}
