//! How a session begins.

use super::*;

#[test]
fn the_first_picture_needs_one_round_trip() {
    let mut pair = Pair::new(Some("cam"));
    pair.feed.video = [
        VideoStep::Rung(cells_rung()),
        cell(1, 0, &b"abc"[..]),
        end(1),
    ]
    .into();
    pair.feed.audio = [sound(0)].into();
    pair.advance(2 * pair.latency);
    let capture = MediaTime::from_micros(1000);
    let events = pair.take_client_events();
    assert!(matches!(&events[0], client::Event::Welcome(welcome) if welcome.streams.len() == 2));
    assert_eq!(
        events[1..],
        [
            client::Event::Subscribed {
                stream: name("cam"),
                video: true,
                audio: true
            },
            client::Event::Audio((*sound(0)).clone()),
            client::Event::Rung(cells_rung()),
            client::Event::Cells {
                rung: RUNG,
                frame: 1,
                capture,
                cells: vec![(0, Bytes::from_static(b"abc"))]
            },
            client::Event::FrameEnd {
                rung: RUNG,
                frame: 1,
                capture
            },
        ]
    );
    assert_eq!(
        pair.take_server_events(),
        [
            server::Event::Hello(Box::new(Hello {
                versions: vec![1],
                agent: Text::new("viewer"),
                ..Hello::default()
            })),
            server::Event::Subscribed(server::Subscription {
                stream: name("cam"),
                video: true,
                audio: true
            })
        ]
    );
}

#[test]
fn a_coarse_picture_goes_ahead_where_the_way_is_long_and_once() {
    for (round_trip, times) in [
        (None, 0),
        (Some(1), 0),
        (Some(20), 0),
        (Some(40), 1),
        (Some(600), 1),
    ] {
        let mut pair = Pair::new(Some("cam"));
        if let Some(round_trip) = round_trip {
            pair.server = pair.server.with_round_trip(ms(round_trip));
        }
        pair.advance(ms(100));
        assert_eq!(pair.feed.ahead.len(), times, "{round_trip:?} ms");
        pair.client.subscribe(name("cam"), true, true);
        pair.advance(ms(100));
        assert_eq!(pair.feed.ahead.len(), times, "a picture is seen already");
    }
}

#[test]
fn whoever_hears_first_and_sees_later_is_not_told_of_a_coarse_picture_before() {
    let mut pair = Pair::new(None);
    pair.latency = ms(50);
    pair.server = pair.server.with_round_trip(2 * pair.latency);
    pair.client.subscribe(name("cam"), false, true);
    pair.advance(ms(500));
    assert_eq!(pair.feed.ahead.len(), 0);
    pair.client.subscribe(name("cam"), true, true);
    pair.advance(ms(500));
    assert_eq!(pair.feed.ahead.len(), 1);
}

#[test]
fn another_rung_begins_another_chunk_once_a_frame_has_ended() {
    let mut pair = Pair::streaming();
    let other = Arc::new(Rung {
        id: RUNG + 1,
        ..(*cells_rung()).clone()
    });
    pair.feed.video = [
        VideoStep::Rung(cells_rung()),
        cell(1, 0, &b"abc"[..]),
        end(1),
        VideoStep::Rung(other),
        cell(1, 0, &b"abc"[..]),
    ]
    .into();
    let mut out = BytesMut::new();
    assert_eq!(
        pair.server.poll(pair.now, &mut pair.feed, &mut out),
        Output::Send
    );
    let last = messages(&out).pop();
    assert!(matches!(last, Some(Message::FrameEnd(_))), "{last:?}");
    out.clear();
    assert_eq!(
        pair.server.poll(pair.now, &mut pair.feed, &mut out),
        Output::Send
    );
    assert_eq!(messages(&out).len(), 2);
}

#[test]
fn a_link_that_took_long_to_come_up_costs_no_time_and_does_not_falsify_the_clock() {
    let mut pair = Pair::new(Some("cam"));
    let began = pair.now;
    pair.client = client::Session::new(want(Some("cam")), began);
    let mut first = BytesMut::new();
    assert_eq!(pair.client.poll(began, &mut first), Output::Send);
    let said: Vec<_> = messages(&first)
        .into_iter()
        .map(|message| match message {
            Message::Control(json) => ClientControl::decode(&json).unwrap(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(
        matches!(
            said[..],
            [ClientControl::Hello(_), ClientControl::Subscribe { .. }]
        ),
        "{said:?}"
    );
    // A person was asked whether this is the right server.
    pair.now += ms(60_000);
    let epoch = pair.now - ms(7_000);
    pair.server = server::Session::new(offer(), epoch, pair.now);
    pair.client.linked(pair.now);
    pair.up.pending = first;
    pair.advance(2 * pair.latency);
    let events = pair.take_client_events();
    assert!(
        matches!(
            events[..],
            [client::Event::Welcome(_), client::Event::Subscribed { .. }]
        ),
        "{events:?}"
    );
    pair.advance(2 * pair.latency);
    assert_eq!(pair.client.rtt(), Some(2 * pair.latency));
    let known = pair.client.server_time(pair.now).unwrap();
    assert_eq!(known, MediaTime::from_duration(pair.now - epoch));
}

#[test]
fn time_outs_count_from_the_links_coming_up() {
    let mut pair = Pair::new(Some("cam"));
    pair.client = client::Session::new(want(Some("cam")), pair.now);
    let mut first = BytesMut::new();
    pair.client.poll(pair.now, &mut first);
    pair.now += ms(9_000);
    pair.client.linked(pair.now);
    pair.down.cut = true;
    pair.advance(ms(9_999));
    assert_eq!(pair.take_client_events(), []);
    pair.advance(ms(1));
    let closed = client::Event::Closed(CloseReason::Silent);
    assert_eq!(pair.take_client_events(), [closed]);
}

#[test]
fn without_a_stream_the_viewer_sees_what_there_is_and_chooses_later() {
    let mut pair = Pair::new(None);
    pair.feed.audio = [sound(0)].into();
    pair.advance(ms(100));
    let events = pair.take_client_events();
    assert_eq!(events.len(), 1, "no media before the subscription");
    pair.client.subscribe(name("radio"), true, true);
    pair.advance(ms(100));
    let events = pair.take_client_events();
    let subscribed = client::Event::Subscribed {
        stream: name("radio"),
        video: false,
        audio: true,
    };
    assert_eq!(events[0], subscribed, "radio has no picture");
    assert!(matches!(events[1], client::Event::Audio(_)));
}

#[test]
fn a_stream_that_is_none_is_refused_and_the_session_lives() {
    let mut pair = Pair::new(Some("nothing"));
    pair.advance(ms(100));
    let events = pair.take_client_events();
    assert!(matches!(
        &events[1],
        client::Event::Refused { code: CloseCode::NoSuchStream, stream, .. } if stream.as_str() == "nothing"
    ));
    pair.client.subscribe(name("cam"), true, false);
    pair.advance(ms(100));
    assert!(pair.server.is_streaming());
}

#[test]
fn no_common_version_is_said_to_both() {
    let mut pair = Pair::new(None);
    let agent = Text::default();
    let versions = vec![2, 3];
    let hello = wish(&ClientControl::Hello(Hello {
        versions,
        agent,
        ..Hello::default()
    }));
    assert!(matches!(
        pair.inject_up(&hello),
        Err(SessionError::Incompatible(_))
    ));
    pair.advance(ms(20));
    assert!(matches!(
        &pair.take_client_events()[..],
        [client::Event::Closed(CloseReason::Peer {
            code: CloseCode::Incompatible,
            ..
        })]
    ));
}

#[test]
fn a_peer_that_says_nothing_is_given_ten_seconds() {
    let mut pair = Pair::new(Some("cam"));
    pair.up.cut = true;
    pair.advance(ms(9_999));
    assert_eq!(pair.take_server_events(), []);
    pair.advance(ms(1));
    let silent = server::Event::Closed(CloseReason::Silent);
    assert_eq!(pair.take_server_events(), [silent]);
    // The server's goodbye got through.
    pair.advance(ms(10));
    assert_eq!(pair.take_client_events().len(), 1);
}

#[test]
fn one_byte_a_second_is_no_hello() {
    let mut pair = Pair::new(None);
    pair.up.cut = true;
    let agent = Text::default();
    let versions = vec![1];
    for byte in wish(&ClientControl::Hello(Hello {
        versions,
        agent,
        ..Hello::default()
    })) {
        let _ = pair.inject_up(&[byte]);
        pair.advance(ms(1_000));
    }
    let silent = server::Event::Closed(CloseReason::Silent);
    assert_eq!(pair.take_server_events(), [silent]);
}
