//! Firewalls that know packets and no more: what they drop, refuse, limit.

use serde_json::Value;

use crate::rig::{Net, Play, Program, SERVER, Serving, Side};

#[test]
fn with_nothing_in_the_way_quic_wins() {
    let Some(net) = Net::new(&[]) else { return };
    let serving = Serving::start(&net);
    // On a busy machine tls may have been first, and quic takes over.
    let mut viewer = Play::new(&net, &serving.link).start();
    until_over(&mut viewer, "quic");
    viewer.interrupt();
    assert_eq!(viewer.end().status, Some(0));
}

#[test]
fn where_udp_is_dropped_tls_plays_and_the_second_time_it_goes_first() {
    let Some(net) = Net::new(&[]) else { return };
    net.rules(
        "counter tried { }
         chain passing { type filter hook forward priority 0; udp dport 443 counter name tried drop; }",
    );
    let serving = Serving::start(&net);
    let networks = net.dir().join("networks");
    let play = || Play::new(&net, &serving.link).remembering(&networks);
    let first = play().with("--duration 6s").start().end();
    first.played("tls");
    assert!(net.counted("tried") > 0, "UDP was never tried");
    assert!(first.words.is_empty(), "nobody needs to know: {first:?}");
    assert!(first.connected()["why"].is_string(), "{first:?}");
    let second = play().over("tls");
    // What is remembered is the reason now, so tls did not wait.
    assert_ne!(
        second.connected()["why"],
        first.connected()["why"],
        "{second:?}"
    );
}

#[test]
fn where_udp_is_refused_tls_plays() {
    for refusal in ["admin-prohibited", "port-unreachable"] {
        let Some(net) = Net::new(&[]) else { return };
        net.passing(&format!("udp dport 443 reject with icmp type {refusal};"));
        let serving = Serving::start(&net);
        let ended = Play::new(&net, &serving.link).over("tls");
        let why = ended.connected()["why"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let heard = why.contains("refused") || why.contains("cannot be reached");
        assert!(heard, "{refusal}: {why}");
    }
}

/// The viewer's own firewall: its system does not even send, and says so.
#[test]
fn where_the_own_machine_forbids_udp_tls_plays() {
    let Some(net) = Net::new(&[]) else { return };
    net.rules_at(
        Side::Client,
        "chain leaving { type filter hook output priority 0; udp dport 443 drop; }",
    );
    let serving = Serving::start(&net);
    Play::new(&net, &serving.link).over("tls");
}

/// The other way round: TCP is reset, and UDP is open.
#[test]
fn where_tcp_is_reset_quic_plays() {
    let Some(net) = Net::new(&[]) else { return };
    net.passing("tcp dport 443 reject with tcp reset;");
    let serving = Serving::start(&net);
    Play::new(&net, &serving.link).over("quic");
}

/// UDP that passes, but not enough of it: whoever goes back and forth has not understood.
#[test]
fn where_udp_is_throttled_there_are_two_moves_at_most() {
    let Some(net) = Net::new(&[]) else { return };
    net.passing("meta l4proto udp limit rate over 500 kbytes/second burst 50 kbytes drop;");
    let serving = Serving::at(&net, SERVER, "--video testcard:1280x720@30 --audio tone");
    let viewer = Play::new(&net, &serving.link).seconds(60);
    assert_eq!(viewer.status, Some(0), "{viewer:?}");
    let summary = viewer.summary();
    assert!(summary["switches"].as_u64().unwrap() <= 2, "{viewer:?}");
    assert!(goes_on(&viewer.events, 50), "{viewer:?}");
}

#[test]
fn where_large_packets_of_udp_are_lost_it_plays_all_the_same() {
    let Some(net) = Net::new(&[]) else { return };
    let narrow = "meta l4proto udp meta length > 1280 drop;";
    net.passing(narrow);
    let serving = Serving::at(&net, SERVER, "--video testcard:1280x720@30 --audio tone");
    let start = Play::new(&net, &serving.link).seconds(4);
    assert_eq!(start.status, Some(0), "{start:?}");
    assert!(goes_on(&start.events, 2), "{start:?}");
    // The same from the middle on, when larger packets have been found to pass.
    net.passing("");
    let mut viewer = Play::new(&net, &serving.link)
        .with("--duration 12s")
        .start();
    for _ in 0..3 {
        viewer.event("stats");
    }
    net.passing(narrow);
    let ended = viewer.end();
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert!(goes_on(&ended.events, 5), "{ended:?}");
}

#[test]
fn where_udp_dies_one_way_alone_while_it_plays_it_plays_on() {
    for way in ["oifname outer", "iifname outer"] {
        if gap_when_dies(way).is_none() {
            return;
        }
    }
}

/// What the server sends still comes, so nothing seems to be amiss; but it waits for what the viewer says.
#[test]
fn who_is_not_heard_any_more_moves_as_soon_as_who_hears_nothing() {
    let (Some(deaf), Some(unheard)) = (
        gap_when_dies("iifname outer"),
        gap_when_dies("oifname outer"),
    ) else {
        return;
    };
    assert!(
        unheard < 5.0 * deaf,
        "{unheard} ms without a picture, and {deaf}"
    );
}

/// The longest time without a picture when UDP dies in this direction, once TLS stands by; the viewer goes on over TLS.
fn gap_when_dies(way: &str) -> Option<f64> {
    let net = Net::new(&[])?;
    let serving = Serving::start(&net);
    let mut viewer = Play::new(&net, &serving.link).start();
    until_over(&mut viewer, "quic");
    for _ in 0..3 {
        viewer.event("stats");
    }
    net.passing(&format!("{way} meta l4proto udp drop;"));
    until_over(&mut viewer, "tls");
    for _ in 0..4 {
        viewer.event("stats");
    }
    viewer.interrupt();
    let ended = viewer.end();
    assert!(goes_on(&ended.events, 3), "{way}: {ended:?}");
    let gap = ended.summary()["video_gap_max_ms"].as_f64().unwrap();
    println!("UDP dropped {way}: {gap} ms without a picture");
    Some(gap)
}

/// Waits until a second was played over this way.
pub(crate) fn until_over(viewer: &mut Program, way: &str) {
    let over = |event: &Value| event["event"] == "stats" && event["transport"] == way;
    assert!(viewer.event_where(over).is_some(), "never over {way}");
}

/// Some boxes read a connection's first packet alone, and drop it when TLS's first message is not whole in it.
#[test]
fn where_first_messages_of_tls_that_fill_a_packet_are_dropped_it_connects() {
    let Some(net) = Net::new(&["openssl", "timeout"]) else {
        return;
    };
    // Behind a head of 32 bytes (with timestamps, as Linux sends it): a record of the handshake.
    net.passing("udp dport 443 drop; tcp dport 443 meta length > 1200 @th,256,8 0x16 drop;");
    let serving = Serving::start(&net);
    let hello = |protocols: &str| {
        let server = format!("{SERVER}:443");
        let fixed = ["timeout", "3", "openssl", "s_client", "-connect", &server];
        let out = net.run(Side::Client, &[&fixed[..], &["-alpn", protocols]].concat());
        out.status.code()
    };
    assert_eq!(hello("http/1.1"), Some(0));
    let long = vec!["x".repeat(250); 10].join(",");
    assert_eq!(
        hello(&long),
        Some(124),
        "the rule does not do what it should"
    );
    Play::new(&net, &serving.link).over("tls");
}

/// Pictures came in each of the last seconds.
pub(crate) fn goes_on(events: &[Value], seconds: usize) -> bool {
    let stats: Vec<_> = events
        .iter()
        .filter(|event| event["event"] == "stats")
        .collect();
    // The very last is cut short by the end.
    let last = stats.iter().rev().skip(1).take(seconds);
    last.clone().count() == seconds
        && last
            .into_iter()
            .all(|event| event["frames_shown"].as_u64() > Some(0))
}
