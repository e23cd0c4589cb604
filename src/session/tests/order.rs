//! What goes first, and that nothing is lost however the bytes are cut.

use proptest::prelude::*;

use super::*;

#[test]
fn a_chunk_is_control_then_sound_then_picture() {
    let now = start();
    let mut session = server::Session::new(offer(), now, now);
    let mut first = BytesMut::new();
    let mut client = client::Session::new(want(Some("cam")), now);
    client.linked(now);
    assert_eq!(client.poll(now, &mut first), Output::Send);
    assert!(matches!(client.poll(now, &mut first), Output::Idle(_)));
    session.handle(&mut first, now).unwrap();
    let mut feed = Fake {
        audio: [sound(0)].into(),
        video: [VideoStep::Rung(cells_rung()), cell(1, 0, &b"x"[..]), end(1)].into(),
        ..Fake::default()
    };
    session.source(SourceState::Live, None);
    let mut out = BytesMut::new();
    while session.poll(now, &mut feed, &mut out) != Output::Send {}
    let kinds: Vec<_> = messages(&out)
        .into_iter()
        .map(|message| match message {
            Message::Control(json) => match ServerControl::decode(&json).unwrap() {
                ServerControl::Welcome { .. } => "welcome",
                ServerControl::Subscribed { .. } => "subscribed",
                ServerControl::Pong { .. } => "pong",
                ServerControl::Source { .. } => "source",
                ServerControl::Rung(_) => "rung",
                other => panic!("{other:?}"),
            },
            Message::Audio(_) => "audio",
            Message::Cells { .. } => "cells",
            Message::CellPart(_) => "part",
            Message::FrameEnd(_) => "end",
            Message::Ack(_) => "ack",
            Message::Arrivals(_) => "arrivals",
            Message::Settled(_) => "settled",
        })
        .collect();
    assert_eq!(
        kinds,
        [
            "welcome",
            "subscribed",
            "pong",
            "source",
            "audio",
            "rung",
            "cells",
            "end"
        ]
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn media_survive_any_chunking(
        sizes in proptest::collection::vec(1_usize..40_000, 1..30),
        pieces in proptest::collection::vec(1_usize..5000, 1..20),
        packets in 0_u64..40,
    ) {
        let mut pair = Pair::new(Some("cam"));
        pair.pieces = pieces.into();
        pair.advance(ms(30));
        pair.take_client_events();
        pair.feed.video.push_back(VideoStep::Rung(cells_rung()));
        let sent: Vec<_> = sizes
            .iter()
            .zip(0_u32..)
            .map(|(len, index)| (u64::from(index / 4), index % 120, Bytes::from(pattern(*len))))
            .collect();
        for (frame, index, bytes) in &sent {
            pair.feed.video.push_back(cell(*frame, *index, bytes.clone()));
        }
        pair.feed.audio = (0..packets).map(sound).collect();
        pair.advance(ms(100));
        prop_assert!(pair.longest <= MAX_MESSAGE);
        let heard: Vec<_> = pair
            .client_events
            .iter()
            .filter_map(|event| match event {
                client::Event::Audio(packet) => Some(packet.clone()),
                _ => None,
            })
            .collect();
        let spoken: Vec<_> = (0..packets).map(|seq| (*sound(seq)).clone()).collect();
        prop_assert_eq!(heard, spoken);
        prop_assert_eq!(pair.take_cells(), sent);
    }

    #[test]
    fn garbage_never_panics_and_a_session_always_ends(
        garbage in proptest::collection::vec(any::<u8>(), 1..3000),
        streaming in any::<bool>(),
    ) {
        let mut pair = if streaming { Pair::streaming() } else { Pair::new(Some("cam")) };
        pair.up.cut = true;
        pair.down.cut = true;
        let _ = pair.inject_up(&garbage);
        pair.inject_down(&garbage);
        pair.advance(ms(20_000));
        prop_assert!(matches!(pair.server_events.last(), Some(server::Event::Closed(_))));
        prop_assert!(matches!(pair.client_events.last(), Some(client::Event::Closed(_))));
    }

    #[test]
    fn damaged_messages_never_panic(
        at in 0_usize..2000,
        to in any::<u8>(),
    ) {
        let mut pair = Pair::streaming();
        pair.feed.video.push_back(VideoStep::Rung(cells_rung()));
        for index in 0..4 {
            pair.feed.video.push_back(cell(1, index, pattern(300)));
        }
        pair.feed.audio.push_back(sound(0));
        pair.down.stalled = true;
        pair.settle();
        if let Some(byte) = pair.down.pending.get_mut(at) {
            *byte = to;
        }
        pair.down.stalled = false;
        pair.advance(ms(20_000));
    }
}
