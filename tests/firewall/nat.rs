//! Boxes that share one address among many, and forget who had which port.

use crate::{
    packets::{goes_on, until_over},
    rig::{Net, Play, Program, Serving, Side},
};

#[test]
fn a_nat_that_forgets_while_it_plays_is_not_the_end() {
    let Some(net) = Net::new(&["conntrack"]) else {
        return;
    };
    let mut serving = masquerading(&net, 15);
    let mut viewer = Play::new(&net, &serving.link).start();
    play(&mut viewer, 4);
    assert!(
        serving.viewer().starts_with("10.77.2.1:"),
        "there is no NAT"
    );
    let flushed = net.run(Side::Box, &["conntrack", "-F"]);
    assert!(
        flushed.status.success(),
        "{}",
        String::from_utf8_lossy(&flushed.stderr)
    );
    play(&mut viewer, 8);
    end(viewer, 4);
}

#[test]
fn what_stood_by_too_long_behind_a_nat_is_replaced() {
    replaced_after(15);
}

/// The same with the time that some firewalls of clouds take.
#[test]
#[ignore = "takes seven minutes"]
fn what_stood_by_for_six_minutes_is_replaced() {
    replaced_after(350);
}

/// Whatever was kept ready has been forgotten by the box when it is needed.
fn replaced_after(seconds: u32) {
    let Some(net) = Net::new(&[]) else { return };
    let serving = masquerading(&net, seconds);
    let mut viewer = Play::new(&net, &serving.link).start();
    // A busy machine may begin over tls.
    until_over(&mut viewer, "quic");
    play(&mut viewer, seconds + 5);
    net.rules(&nat("meta l4proto udp drop;"));
    until_over(&mut viewer, "tls");
    play(&mut viewer, 6);
    let ended = end(viewer, 4);
    let gap = &ended.last().unwrap()["video_gap_max_ms"];
    println!("forgotten after {seconds} s: longest gap of the picture {gap} ms");
}

/// A server behind a NAT that keeps what is idle for so many seconds.
fn masquerading(net: &Net, seconds: u32) -> Serving {
    for name in [
        "udp_timeout",
        "udp_timeout_stream",
        "tcp_timeout_established",
    ] {
        let name = format!("net/netfilter/nf_conntrack_{name}");
        net.sysctl(&name, &seconds.to_string()).unwrap();
    }
    net.rules(&nat(""));
    Serving::start(net)
}

/// Each flow gets a port of the box's choice, another one each time; what it does not know does not pass.
fn nat(also: &str) -> String {
    format!(
        "chain shared {{ type nat hook postrouting priority srcnat; oifname outer masquerade fully-random; }}
         chain passing {{ type filter hook forward priority 0; {also} ct state invalid drop; }}"
    )
}

/// Waits for so many seconds of figures.
fn play(viewer: &mut Program, seconds: u32) {
    for _ in 0..seconds {
        viewer.event("stats");
    }
}

/// Stops it; pictures came in the last seconds.
fn end(viewer: Program, seconds: usize) -> Vec<serde_json::Value> {
    viewer.interrupt();
    let ended = viewer.end();
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert!(goes_on(&ended.events, seconds), "{ended:?}");
    ended.events
}
