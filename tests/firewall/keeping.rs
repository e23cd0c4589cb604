//! Boxes that let the first bytes of a long answer through, so that nobody gives it up, and keep the rest.

use crate::boxes::{KEEPER_NEEDS, Upgrades, keeper};
use crate::rig::Net;

/// They end within the handshake inside, so it is not finished.
#[test]
fn where_the_first_bytes_of_a_long_answer_pass_alone_it_plays_in_pieces() {
    let Some(net) = Net::new(KEEPER_NEEDS) else {
        return;
    };
    let standing = keeper(&net, 600, Upgrades::Stripped);
    let networks = net.dir().join("networks");
    let play = || standing.play(&net).remembering(&networks);
    let first = play().over("http");
    assert_eq!(first.connected()["pieces"], true, "{first:?}");
    let second = play().over("http");
    assert_eq!(second.connected()["pieces"], true, "{second:?}");
    let reached = |ended: &crate::rig::Ended| ended.connected()["reached_ms"].as_f64().unwrap();
    // The first had to wait until there was no doubt.
    assert!(reached(&first) > 1000.0, "{first:?}");
    assert!(reached(&second) < reached(&first) / 2.0, "{second:?}");
}

/// They end in the middle of the picture.
#[test]
fn where_a_long_answer_is_kept_from_the_middle_on_it_plays_on_in_pieces() {
    let Some(net) = Net::new(KEEPER_NEEDS) else {
        return;
    };
    let standing = keeper(&net, 300_000, Upgrades::Stripped);
    let ended = standing.play(&net).seconds(16);
    assert_eq!(ended.status, Some(0), "{ended:?}");
    let pieces: Vec<_> = ended
        .events
        .iter()
        .filter(|event| event["event"] == "connected")
        .map(|event| event["pieces"].as_bool())
        .collect();
    assert_eq!(pieces, [Some(false), Some(true)], "{ended:?}");
    assert!(crate::packets::goes_on(&ended.events, 3), "{ended:?}");
}
