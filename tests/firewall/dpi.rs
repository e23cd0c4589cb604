//! What a box that sorts traffic by looking at it (nDPI) makes of each way: what it says it is, and nothing odd.

use crate::rig::{CLIENT_SIDE, Capture, NAME, Net, Play, SERVER, Serving, Side};

/// What nDPI may find odd about us, and why we leave it so.
const KNOWN: &[(&str, &str)] = &[];

#[test]
fn quic_looks_like_quic() {
    looks_like("quic", "QUIC");
}

#[test]
fn tls_looks_like_tls() {
    looks_like("tls", "TLS");
}

#[test]
fn websocket_looks_like_tls() {
    looks_like("websocket", "TLS");
}

#[test]
fn http_looks_like_tls() {
    looks_like("http", "TLS");
}

/// Under its name, as people give links to each other: an address instead is odd indeed (no SNI).
fn looks_like(way: &str, protocol: &str) {
    let Some(net) = Net::new(&["ndpiReader", "tcpdump"]) else {
        return;
    };
    net.names(Side::Client, &format!("{SERVER} {NAME}"));
    let serving = Serving::named(&net);
    let capture = Capture::start(&net, CLIENT_SIDE, "port 443");
    let only = format!("--transport {way}");
    Play::new(&net, &serving.link).with(&only).over(way);
    let file = capture.end();
    let arguments = ["ndpiReader", "-i", file.to_str().unwrap(), "-v", "2"];
    let out = net.run(Side::Box, &arguments);
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    let flows: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("[proto: "))
        .collect();
    assert!(!flows.is_empty(), "nothing was captured: {said}");
    for flow in flows {
        let is =
            |name: &str| flow.contains(&format!("/{name}]")) && flow.contains("[Confidence: DPI]");
        assert!(is(protocol), "not {protocol}: {flow}");
        println!("{flow}");
        for risk in risks(flow) {
            let known = KNOWN.iter().any(|(name, _)| *name == risk);
            assert!(known, "{risk}: {flow}");
        }
    }
}

/// `[Risk: ** One **** Another **]`
fn risks(flow: &str) -> Vec<&str> {
    let (_, behind) = flow.split_once("[Risk: ").unwrap_or_default();
    let list = behind.split(']').next().unwrap_or_default();
    list.split("**")
        .map(str::trim)
        .filter(|risk| !risk.is_empty())
        .collect()
}
