//! Boxes that let the first bytes of a long answer through, so that nobody gives it up, and keep the rest.

use crate::boxes::{KEEPER_NEEDS, Upgrades, keeper};
use crate::packets::goes_on;
use crate::rig::{Ended, Net};

/// They end within the handshake inside, so it is not finished.
#[test]
fn where_the_first_bytes_of_a_long_answer_pass_alone_it_plays_in_pieces() {
    let Some(net) = Net::new(KEEPER_NEEDS) else {
        return;
    };
    let standing = keeper(&net, 600, Upgrades::Stripped);
    let networks = net.dir().join("networks");
    let play = || standing.play(&net).remembering(&networks).seconds(15);
    in_pieces(&play());
    assert!(long_answers(&net) > 0);
    let before = long_answers(&net);
    in_pieces(&play());
    assert_eq!(long_answers(&net), before, "it is remembered");
}

/// They end in the middle of the picture.
#[test]
fn where_a_long_answer_is_kept_from_the_middle_on_it_plays_on_in_pieces() {
    let Some(net) = Net::new(KEEPER_NEEDS) else {
        return;
    };
    let standing = keeper(&net, 300_000, Upgrades::Stripped);
    let networks = net.dir().join("networks");
    let play = || standing.play(&net).remembering(&networks).seconds(16);
    let ended = play();
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert_eq!(ended.connected()["pieces"], false, "{ended:?}");
    assert!(goes_on(&ended.events, 3), "{ended:?}");
    in_pieces(&play());
}

#[track_caller]
fn in_pieces(ended: &Ended) {
    ended.played("http");
    assert_eq!(ended.connected()["pieces"], true, "{ended:?}");
}

/// How many have been asked for, as the box has read.
fn long_answers(net: &Net) -> usize {
    let read = std::fs::read(net.dir().join("read")).unwrap();
    let read = String::from_utf8_lossy(&read);
    let asked = read.match_indices("GET /live?t=");
    let lines = asked.map(|(at, _)| read[at..].lines().next().unwrap_or_default());
    lines.filter(|line| !line.contains('&')).count()
}
