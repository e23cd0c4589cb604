//! Clocks, and the lack of signs of life.

use super::*;

#[test]
fn the_servers_clock_is_known_after_one_round_trip() {
    let mut pair = Pair::new(Some("cam"));
    assert_eq!(pair.client.server_time(pair.now), None);
    pair.latency = ms(40);
    pair.advance(ms(80));
    assert_eq!(pair.client.rtt(), Some(ms(80)));
    let known = pair.client.server_time(pair.now).unwrap();
    assert_eq!(known, MediaTime::from_micros(5_080_000));
}

#[test]
fn a_cut_cable_is_noticed_by_both_after_fifteen_seconds() {
    let mut pair = Pair::streaming();
    // Let the last pings and pongs of now arrive.
    pair.down.cut = true;
    pair.up.cut = true;
    pair.advance(ms(14_900));
    assert_eq!(pair.take_client_events(), []);
    assert_eq!(pair.take_server_events(), []);
    pair.advance(ms(1_100));
    let closed = client::Event::Closed(CloseReason::Silent);
    assert_eq!(pair.take_client_events(), [closed]);
    let closed = server::Event::Closed(CloseReason::Silent);
    assert_eq!(pair.take_server_events(), [closed]);
}

#[test]
fn a_viewer_that_reads_slowly_but_lives_is_kept() {
    let mut pair = Pair::streaming();
    pair.down.stalled = true;
    pair.feed.audio.push_back(sound(0));
    for _ in 0..6 {
        pair.advance(ms(10_000));
        // It reads what is there, ten seconds late.
        pair.down.stalled = false;
        pair.settle();
        pair.down.stalled = true;
    }
    pair.advance(ms(100));
    assert_eq!(pair.take_server_events(), []);
    assert!(pair.server.is_streaming());
}

#[test]
fn a_viewer_that_watches_nothing_takes_no_more_after_an_hour_than_before() {
    let mut pair = Pair::new(None);
    pair.advance(ms(3_600_000));
    let closed = |event: &server::Event| matches!(event, server::Event::Closed(_));
    assert!(!pair.take_server_events().iter().any(closed));
    assert!(pair.server.followed() <= 1);
}

#[test]
fn a_silent_viewer_is_asked_three_times_before_it_is_given_up() {
    let mut pair = Pair::streaming();
    pair.up.cut = true;
    // Nobody is at the other end of this cable either, so what the server writes stays on it.
    pair.latency = ms(1_000_000);
    pair.advance(ms(15_100));
    let asked: Vec<_> = pair
        .down
        .under_way
        .iter()
        .flat_map(|(_, bytes)| messages(bytes))
        .filter_map(|message| match message {
            Message::Control(json) => ServerControl::decode(&json).ok(),
            _ => None,
        })
        .collect();
    let ping = |id| ServerControl::Ping { id };
    assert_eq!(asked[..3], [ping(1), ping(2), ping(3)]);
    assert!(
        matches!(
            asked[3..],
            [ServerControl::Goodbye {
                code: CloseCode::Silent,
                ..
            }]
        ),
        "{asked:?}"
    );
    assert_eq!(
        pair.take_server_events(),
        [server::Event::Closed(CloseReason::Silent)]
    );
}

#[test]
fn a_suspended_machine_finds_its_session_over() {
    let mut pair = Pair::streaming();
    pair.now += Duration::from_secs(3600);
    pair.settle();
    let closed = client::Event::Closed(CloseReason::Silent);
    assert_eq!(pair.take_client_events(), [closed]);
}

#[test]
fn a_deadline_is_never_in_the_past_however_late_one_comes() {
    let mut pair = Pair::streaming();
    for late in [9_000, 10_500, 13_400, 14_999] {
        pair.now = pair.now.max(pair.heard() + ms(late));
        pair.down.stalled = true;
        for deadline in [pair.drain_client(), pair.drain_server()] {
            assert!(deadline.unwrap() > pair.now, "{late} ms");
        }
    }
}
