//! Publishers where nothing leaves but through a box, or on the move; whoever watches is where the server is.

use std::process::Command;

use serde_json::Value;

use crate::{
    boxes::{AUTHORITY, INSPECTION, INSPECTION_UPGRADES, Kind, SQUID},
    packets::goes_on,
    rig::{Ended, NAME, Net, Play, Program, SERVER, Serving, Side},
};

#[test]
fn through_squid_that_connects_to_443_alone_it_is_published_over_tls() {
    let Some(ended) = published(&SQUID) else {
        return;
    };
    assert!(ended.connected()["inspected"].is_null(), "{ended:?}");
}

#[test]
fn under_inspection_that_lets_websocket_through_it_is_published_over_websocket() {
    if let Some(ended) = published(&INSPECTION_UPGRADES) {
        inspected(&ended);
    }
}

#[test]
fn under_inspection_as_squid_comes_it_is_published_over_http() {
    if let Some(ended) = published(&INSPECTION) {
        inspected(&ended);
    }
}

/// QUIC goes on from the other address; the connection over TCP is dead, and dialled again beside it.
#[test]
fn a_publisher_that_gets_another_address_goes_on_over_quic() {
    let Some((net, serving, mut publisher)) = on_the_move("auto") else {
        return;
    };
    let mut viewer = watching(&net, &serving).start();
    // On a busy machine tls may have been first, and quic takes over.
    publisher.event_where(|event| event["transport"] == "quic" || event["to"] == "quic");
    viewer.event_where(|event| event["event"] == "stats" && event["frames_shown"] != 0);
    moves_over(&net);
    for _ in 0..8 {
        viewer.event("stats");
    }
    viewer.interrupt();
    let seen = viewer.end();
    assert!(goes_on(&seen.events, 3), "{seen:?}");
    publisher.event_where(|event| event["event"] == "watched" && event["watched"] == false);
    let ended = stopped(publisher);
    assert!(!told(&ended, "lost"), "{ended:?}");
}

/// It does not wait until silence on the dead connection is its end.
#[test]
fn a_publisher_over_tls_that_gets_another_address_is_soon_back() {
    let Some((net, serving, mut publisher)) = on_the_move("tls") else {
        return;
    };
    publisher.event("connected");
    let mut viewer = watching(&net, &serving).start();
    let mut pictures = |some: bool| {
        let is = |event: &Value| event["event"] == "stats" && (event["frames_shown"] != 0) == some;
        viewer.event_where(is).unwrap()
    };
    pictures(true);
    moves_over(&net);
    let lost = publisher.event("lost");
    assert_eq!(lost["why"], "the connection was cut");
    publisher.event("connected");
    pictures(false);
    pictures(true);
    stopped(publisher);
}

/// A stream is published through this box, over the box's way, and is seen and heard.
fn published(kind: &Kind) -> Option<Ended> {
    let (net, mut standing) = kind.stand()?;
    net.names(Side::Server, &format!("{SERVER} {NAME}"));
    let mut publisher = standing.publish(&net).publish("door");
    assert_eq!(publisher.event("connected")["transport"], kind.way);
    let told = standing.serving.program.event("publisher");
    assert_eq!(told["state"], "publishing", "{told}");
    assert_eq!(told["transport"], kind.way, "{told}");
    watching(&net, &standing.serving).seconds(6).played("tls");
    let ended = stopped(publisher);
    assert!(!self::told(&ended, "lost"), "{ended:?}");
    if let Some(squid) = &standing.squid {
        let log = squid.logged() + &squid.words();
        let (_, secrets) = standing.serving.publish_link.split_once('#').unwrap();
        let mut secrets = secrets.split('&').map(|pair| &pair[2..]);
        assert!(secrets.all(|secret| !log.contains(secret)), "{log}");
    }
    Some(ended)
}

/// A publisher with nothing in the way, over this way, that the server has taken.
fn on_the_move(way: &str) -> Option<(Net, Serving, Program)> {
    let net = Net::new(&[])?;
    let mut serving = Serving::start(&net);
    let publish = Play::new(&net, &serving.publish_link).with(&format!("--transport {way}"));
    let publisher = publish.publish("door");
    serving.program.event("publisher");
    Some((net, serving, publisher))
}

/// The publisher's machine has another address from now on.
fn moves_over(net: &Net) {
    let at = net.namespace(Side::Client);
    for line in [
        "addr del 10.77.1.2/24 dev net",
        "addr add 10.77.1.3/24 dev net",
        "route replace default via 10.77.1.1",
    ] {
        let mut ip = Command::new("ip");
        let moved = ip.args(["-n", &at]).args(line.split(' ')).status();
        assert!(moved.unwrap().success(), "{line}");
    }
}

/// Somebody on the server's side of the box who watches what is published.
fn watching<'a>(net: &'a Net, serving: &Serving) -> Play<'a> {
    let link = serving.link.replacen("/live#", "/door#", 1);
    Play::new(net, &link)
        .from(Side::Server)
        .with("--transport tls")
}

fn stopped(publisher: Program) -> Ended {
    publisher.interrupt();
    let ended = publisher.end();
    assert_eq!(ended.status, Some(0), "{ended:?}");
    ended
}

fn told(ended: &Ended, event: &str) -> bool {
    ended.events.iter().any(|all| all["event"] == event)
}

/// It is told who looks into TLS.
#[track_caller]
fn inspected(ended: &Ended) {
    let by = ended.connected()["inspected"].as_str().unwrap_or_default();
    assert!(by.contains(AUTHORITY), "{ended:?}");
}
