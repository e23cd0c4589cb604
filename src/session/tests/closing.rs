//! How a session ends.

use super::*;

#[test]
fn a_goodbye_is_flushed_and_heard_at_once() {
    let mut pair = Pair::streaming();
    pair.server.close(CloseCode::Going, pair.now);
    pair.advance(ms(10));
    let local = server::Event::Closed(CloseReason::Local(CloseCode::Going));
    assert_eq!(pair.take_server_events(), [local]);
    assert_eq!(
        pair.take_client_events(),
        [client::Event::Closed(CloseReason::Peer {
            code: CloseCode::Going,
            reason: Text::new("the server is stopping")
        })]
    );
    pair.advance(ms(60_000));
    assert_eq!(pair.take_client_events(), []);
}

#[test]
fn closed_is_told_only_when_the_goodbye_is_written() {
    let mut pair = Pair::streaming();
    pair.down.stalled = true;
    pair.server.close(CloseCode::Done, pair.now);
    pair.advance(ms(500));
    assert_eq!(pair.take_server_events(), []);
    pair.down.stalled = false;
    pair.settle();
    assert_eq!(pair.take_server_events().len(), 1);
}

#[test]
fn a_goodbye_that_cannot_be_written_is_given_up_after_a_second() {
    let mut pair = Pair::streaming();
    pair.down.stalled = true;
    pair.feed.audio.push_back(sound(0));
    pair.settle();
    pair.server.close(CloseCode::Done, pair.now);
    pair.advance(ms(1_000));
    let local = server::Event::Closed(CloseReason::Local(CloseCode::Done));
    assert_eq!(pair.take_server_events(), [local]);
}

#[test]
fn a_link_that_ends_without_goodbye_is_a_cut() {
    let mut pair = Pair::streaming();
    pair.client.end();
    pair.server.end();
    pair.settle();
    let cut = client::Event::Closed(CloseReason::Cut);
    assert_eq!(pair.take_client_events(), [cut]);
    let cut = server::Event::Closed(CloseReason::Cut);
    assert_eq!(pair.take_server_events(), [cut]);
}
