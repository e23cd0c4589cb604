//! One sentence on how it is, and one on what to do about it.

use super::Verdict;
use crate::client::doctor::{Facts, Fault, Name, Reply, Rung, Trouble, Udp, Way};
use crate::trust::Seen;

pub(super) fn verdict(facts: &Facts) -> Verdict {
    let best = best(facts);
    let (verdict, advice) = match best {
        Some(Way::Quic) => quic(facts),
        Some(Way::Tls) => tls(facts),
        Some(way @ (Way::WebSocket | Way::Http)) => inside(facts, way),
        None => nothing(facts),
    };
    Verdict {
        works: best.is_some(),
        best: best.map(Way::name),
        verdict,
        advice,
    }
}

/// The ways stand in the order in which they are to be preferred.
fn best(facts: &Facts) -> Option<Way> {
    let mut working = facts.rungs.iter().filter(|rung| rung.works());
    let first = working.next()?.way;
    if first == Way::Quic && facts.throttled() {
        return working.next().map(|rung| rung.way);
    }
    Some(first)
}

fn quic(facts: &Facts) -> (String, String) {
    if facts.works(Way::Tls) {
        return (
            "The network is open: quic works, and tls stands by.".to_owned(),
            "Nothing needs to be changed.".to_owned(),
        );
    }
    let port = facts.port;
    (
        format!(
            "quic works, and tls does not ({}), so nothing stands by should UDP fail.",
            words(facts, Way::Tls)
        ),
        format!("Let TCP port {port} to {} through as well.", facts.host),
    )
}

fn tls(facts: &Facts) -> (String, String) {
    let (host, port) = (&facts.host, facts.port);
    let open = format!("let UDP port {port} to {host} through, both ways");
    let through = facts
        .rung(Way::Tls)
        .and_then(|rung| rung.through.proxy.as_ref());
    if let Some(proxy) = through {
        return (
            format!("tls works through the proxy {proxy}."),
            format!(
                "Nothing needs to be changed; for less delay, {open}, and watch without the proxy."
            ),
        );
    }
    if facts.throttled() || facts.stalled() {
        return (
            "tls works; UDP is throttled, so quic is no better.".to_owned(),
            format!("Take the limit off UDP port {port} to {host}; many firewalls call it QUIC."),
        );
    }
    let (udp, advice) = match (facts.udp, facts.trouble(Way::Quic)) {
        (Udp::Untried, _) => (
            "UDP was not tried".to_owned(),
            "Nothing needs to be changed.".to_owned(),
        ),
        (Udp::Silent, _) => (
            format!("UDP port {port} is silent, as where a firewall drops it"),
            format!("For less delay, {open}; over TCP nothing needs to be changed."),
        ),
        (Udp::Refused, _) => (
            format!("UDP port {port} is refused"),
            format!("For less delay, {open}, unless the server itself was started with --no-quic."),
        ),
        (Udp::Answers, Some(Trouble::Unfinished)) => (
            "UDP answers but the QUIC handshake is not finished".to_owned(),
            format!("For less delay, exempt UDP port {port} to {host} from QUIC inspection."),
        ),
        (Udp::Answers, Some(_)) => (
            format!(
                "UDP answers but quic does not work ({})",
                words(facts, Way::Quic)
            ),
            format!("For less delay, {open}, past anything that looks into QUIC."),
        ),
        (Udp::Answers, None) => (
            "quic was not tried".to_owned(),
            "Nothing needs to be changed.".to_owned(),
        ),
    };
    (format!("tls works; {udp}, so there is no quic."), advice)
}

/// Inside somebody else's TLS.
fn inside(facts: &Facts, way: Way) -> (String, String) {
    let server = facts.server();
    let through = facts.rung(way).map(|rung| &rung.through);
    if let Some(who) = through.and_then(|through| through.front.as_deref()) {
        return (
            format!(
                "{} works, through a reverse proxy (its certificate is by {who}), which cannot read the media.",
                way.name()
            ),
            format!(
                "Nothing needs to be changed; for less delay, let viewers reach the server at {server} past the reverse proxy."
            ),
        );
    }
    let who = facts.inspector().unwrap_or("somebody in between");
    let past = format!("exempt {server} from TLS inspection");
    match way {
        Way::Quic | Way::Tls | Way::WebSocket => (
            format!("TLS is inspected by {who}; websocket works, and the media in it stay sealed."),
            format!("Nothing needs to be changed; for less delay, {past}."),
        ),
        Way::Http => (
            format!(
                "TLS is inspected by {who}, and no upgrade gets through; http works, and the media in it stay sealed."
            ),
            format!(
                "For less delay, {past}, or let WebSocket upgrades through the inspection (in squid: http_upgrade_request_protocols)."
            ),
        ),
    }
}

fn nothing(facts: &Facts) -> (String, String) {
    let (server, host, port) = (facts.server(), &facts.host, facts.port);
    let faults = || facts.rungs.iter().filter_map(|rung| rung.fault.as_ref());
    let any = |wanted: fn(&Trouble) -> bool| faults().find(|fault| wanted(&fault.trouble));
    if let Some(denied) = any(|trouble| *trouble == Trouble::Denied) {
        return (
            format!("The server can be reached and says no: {}.", denied.words),
            "Ask whoever sent the link for a new one; the network is not to blame.".to_owned(),
        );
    }
    if let Some(portal) = &facts.portal {
        return (
            format!("A login page stands in the way: plain HTTP is sent to {portal}."),
            "Open any page in a browser, log in to the network, and try again.".to_owned(),
        );
    }
    if let Some(proxy) = any(|trouble| *trouble == Trouble::Proxy) {
        return (
            format!("The proxy does not let it through: {}.", proxy.words),
            format!("Let the proxy connect (CONNECT) to {server}, or name another one."),
        );
    }
    if let (Name::Unknown { why }, None) = (&facts.name, &facts.proxy) {
        return (
            format!("The name {host} cannot be resolved: {why}."),
            "Check the link, and whether this machine is online; where only a proxy knows names, set HTTPS_PROXY."
                .to_owned(),
        );
    }
    if let Some(Trouble::OtherKey(seen)) = facts.trouble(Way::Tls) {
        return other_key(facts, seen);
    }
    if let Some(media) = any(|trouble| *trouble == Trouble::NoMedia) {
        return (
            format!(
                "The server can be reached and shows nothing: {}.",
                media.words
            ),
            "Look at the server's camera or file; the network is not to blame.".to_owned(),
        );
    }
    let takes = |reply: &Reply| matches!(reply, Reply::Takes(_));
    let replies = || facts.tcp.iter().map(|tcp| &tcp.reply);
    if replies().any(takes) || facts.proxy.is_some() {
        let why = facts.rung(Way::Tls).and_then(|rung| rung.fault.as_ref());
        let why = why.map_or("nothing more is known", |fault| &fault.words);
        return (
            format!("TCP port {port} is open, and no way works behind it: {why}."),
            format!(
                "Check that a tunnelcast server is at {server}, and that nothing in between looks into TLS."
            ),
        );
    }
    if replies().any(|reply| *reply == Reply::Refuses) {
        return (
            format!("Nothing listens at {server}, or a firewall refuses it."),
            format!(
                "Start the server, compare the port with the link, or let TCP port {port} to {host} through."
            ),
        );
    }
    (
        format!("Nothing comes back from {server}: it is off, or a firewall drops TCP and UDP."),
        format!(
            "Start the server, or let TCP port {port} to {host} through; where a proxy must be used, set HTTPS_PROXY."
        ),
    )
}

/// Somebody else answers over TLS: the server after a change of keys, or whoever stands between.
fn other_key(facts: &Facts, seen: &Seen) -> (String, String) {
    let server = facts.server();
    let over_udp = facts.trouble(Way::Quic);
    let same = matches!(over_udp, Some(Trouble::OtherKey(other)) if other.pin == seen.pin);
    // An inspecting box knows no QUIC; what shows the same key there is the server.
    if seen.self_issued || same {
        return (
            format!("Whoever answers at {server} has another key than the link."),
            "Ask whoever sent the link for a new one; do not go on with this one.".to_owned(),
        );
    }
    let rungs = [Way::WebSocket, Way::Http];
    let tried: Vec<&str> = rungs
        .into_iter()
        .filter(|way| facts.rung(*way).is_some())
        .map(Way::name)
        .collect();
    let beyond = match tried.as_slice() {
        [] => String::new(),
        ways => format!(", and {} do not get through it", ways.join(" and ")),
    };
    (
        format!("TLS is inspected by {}{beyond}.", seen.issuer),
        format!("Exempt {server} from TLS inspection, or let its key pass."),
    )
}

/// Why a way does not work.
fn words(facts: &Facts, way: Way) -> &str {
    let fault = facts.rung(way).and_then(|rung: &Rung| rung.fault.as_ref());
    fault.map_or("it was not tried", |fault: &Fault| &fault.words)
}
