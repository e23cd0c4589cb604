//! What lies under the ways, each in a line.

use std::time::Duration;

use super::{Probe, rate};
use crate::client::doctor::{Body, Facts, Name, Proxied, Reply, Tcp, Trouble, Udp, Way};

pub(super) fn probes(facts: &Facts) -> Vec<Probe> {
    let mut probes = vec![name(facts)];
    probes.extend(facts.tcp.iter().map(|tcp| self::tcp(tcp, facts.port)));
    probes.push(tls(facts));
    probes.push(match &facts.proxy {
        Some(proxy) => self::proxy(proxy, facts),
        None => probe("proxy", None, "none is set".to_owned()),
    });
    probes.push(upgrade(facts));
    probes.extend(body(facts));
    probes.push(udp(facts));
    probes.extend(packets(facts));
    probes
}

fn name(facts: &Facts) -> Probe {
    let host = &facts.host;
    match &facts.name {
        Name::Proxied => probe("name", None, format!("{host} is for the proxy to find")),
        Name::Literal => probe("name", Some(true), format!("{host} is an address")),
        Name::Known { addresses, took } => {
            let mut words: Vec<String> = addresses
                .iter()
                .take(SHOWN)
                .map(ToString::to_string)
                .collect();
            if addresses.len() > SHOWN {
                words.push(format!("{} more", addresses.len() - SHOWN));
            }
            let words = format!("{host} is {}", words.join(", "));
            probe("name", Some(true), words).after(*took)
        }
        Name::Unknown { why } => {
            probe("name", Some(false), format!("{host} has no address: {why}"))
        }
    }
}

fn tcp(tcp: &Tcp, port: u16) -> Probe {
    let address = tcp.address;
    match &tcp.reply {
        Reply::Takes(took) => {
            let words = format!("{address} takes connections on port {port}");
            probe("tcp", Some(true), words).after(*took)
        }
        Reply::Refuses => {
            let words = format!("{address} refuses connections on port {port}");
            probe("tcp", Some(false), words)
        }
        Reply::Silent => {
            let words = format!("{address} says nothing on port {port}");
            probe("tcp", Some(false), words)
        }
        Reply::No(why) => probe("tcp", Some(false), format!("{address}: {why}")),
    }
}

fn proxy(proxy: &Proxied, facts: &Facts) -> Probe {
    let name = &proxy.name;
    match &proxy.leads {
        Ok(took) => {
            let words = format!(
                "{name} connects to {}, for the ways over TCP",
                facts.server()
            );
            probe("proxy", Some(true), words).after(*took)
        }
        // It names the proxy.
        Err(why) => probe("proxy", Some(false), why.clone()),
    }
}

fn tls(facts: &Facts) -> Probe {
    let seen = match &facts.certificate {
        Ok(seen) => seen,
        Err(why) => return probe("tls", Some(false), format!("no certificate: {why}")),
    };
    let issuer = &seen.issuer;
    match facts.pin {
        Some(pin) if pin == seen.pin => probe(
            "tls",
            Some(true),
            format!("the key is that of the link, the certificate issued by {issuer}"),
        ),
        Some(_) => probe(
            "tls",
            Some(false),
            format!("the key is not that of the link, the certificate issued by {issuer}"),
        ),
        None => probe(
            "tls",
            facts.works(Way::Tls).then_some(true),
            format!(
                "the certificate is issued by {issuer}, the key is {}",
                seen.pin
            ),
        ),
    }
}

fn upgrade(facts: &Facts) -> Probe {
    let stripped = |way| facts.trouble(way) == Some(&Trouble::Stripped);
    if stripped(Way::WebSocket) {
        let words = "is stripped from requests on the way".to_owned();
        probe("upgrade", Some(false), words)
    } else if facts.works(Way::Tls) || facts.works(Way::WebSocket) {
        probe("upgrade", Some(true), "gets to the server".to_owned())
    } else {
        probe("upgrade", None, NOT_KNOWN.to_owned())
    }
}

/// Nothing where the way that depends on it is not tried.
fn body(facts: &Facts) -> Option<Probe> {
    let rung = facts.rung(Way::Http)?;
    Some(match rung.through.body {
        Some(Body::Streamed) => {
            let words = "of a long answer comes as it is sent".to_owned();
            probe("body", Some(true), words)
        }
        Some(Body::HeldBack) => {
            let words = "of a long answer is held back; many short ones take its place".to_owned();
            probe("body", Some(false), words)
        }
        None => probe("body", None, NOT_KNOWN.to_owned()),
    })
}

fn udp(facts: &Facts) -> Probe {
    let port = facts.port;
    let of = |way| facts.rung(way).and_then(|rung| rung.figures.throughput_bps);
    if facts.throttled()
        && let (Some(quic), Some(tls)) = (of(Way::Quic), of(Way::Tls))
    {
        let words = format!("throttled: {} where TLS has {}", rate(quic), rate(tls));
        return probe("udp", Some(false), words);
    }
    if facts.stalled() {
        let words =
            format!("throttled: port {port} answers, and then the media do not get through");
        return probe("udp", Some(false), words);
    }
    match facts.udp {
        Udp::Untried => {
            let words = "not tried: a proxy is set, and nothing goes beside it".to_owned();
            probe("udp", None, words)
        }
        Udp::Answers => probe("udp", Some(true), format!("port {port} answers")),
        Udp::Refused => probe("udp", Some(false), format!("refused: port {port}")),
        Udp::Silent => {
            let words = format!("silent: nothing comes back from port {port}");
            probe("udp", Some(false), words)
        }
    }
}

/// Nothing where UDP carries nothing.
fn packets(facts: &Facts) -> Option<Probe> {
    let most = facts.datagram?;
    let words = format!("datagrams of up to {most} bytes get to the server");
    Some(probe("packets", Some(true), words))
}

fn probe(what: &'static str, ok: Option<bool>, words: String) -> Probe {
    Probe {
        what,
        ok,
        ms: None,
        words,
    }
}

impl Probe {
    fn after(self, took: Duration) -> Self {
        Self {
            ms: Some((took.as_secs_f64() * 10_000.0).round() / 10.0),
            ..self
        }
    }
}

const NOT_KNOWN: &str = "not known";
/// Addresses that are named.
const SHOWN: usize = 3;
