//! Peers that break the protocol.

use super::*;

fn client_fails(pair: &mut Pair, bytes: &[u8]) -> Misbehaviour {
    pair.inject_down(bytes);
    pair.advance(ms(20));
    let server_told = pair.take_server_events();
    assert!(
        matches!(
            server_told.last(),
            Some(server::Event::Closed(CloseReason::Peer {
                code: CloseCode::Misbehaved,
                ..
            }))
        ),
        "{server_told:?}"
    );
    match pair.take_client_events().last() {
        Some(client::Event::Closed(reason)) => misbehaved(reason).clone(),
        other => panic!("{other:?}"),
    }
}

fn server_fails(pair: &mut Pair, bytes: &[u8]) -> Misbehaviour {
    assert!(pair.inject_up(bytes).is_err());
    pair.advance(ms(20));
    match pair.take_server_events().last() {
        Some(server::Event::Closed(reason)) => misbehaved(reason).clone(),
        other => panic!("{other:?}"),
    }
}

fn part(offset: u32, total: u32, len: usize) -> Vec<u8> {
    let moment = crate::wire::Moment {
        rung: RUNG,
        frame: 1,
        capture: MediaTime::ZERO,
    };
    let bytes = Bytes::from(vec![1; len]);
    let part = Message::CellPart(crate::wire::CellPart {
        moment,
        index: 0,
        offset,
        total,
        bytes,
    });
    let mut out = BytesMut::new();
    part.encode(&mut out).unwrap();
    out.to_vec()
}

fn with_rung(kind: Arc<Rung>) -> Pair {
    let mut pair = Pair::streaming();
    pair.feed.video.push_back(VideoStep::Rung(kind));
    pair.advance(ms(20));
    pair.take_client_events();
    pair
}

#[test]
fn lengths_beyond_the_limit_end_the_session() {
    let mut pair = Pair::streaming();
    let what = server_fails(&mut pair, &[0, 0, 0xff, 0xff]);
    assert!(matches!(
        what,
        Misbehaviour::Wire(WireError::TooLong { .. })
    ));
}

#[test]
fn unknown_kinds_flags_and_types_are_skipped() {
    let mut pair = Pair::streaming();
    pair.inject_up(&[200, 255, 0, 2, 1, 2]).unwrap();
    let json = br#"{"type":"dance","steps":[1,2,{"a":null}]}"#;
    let mut body = BytesMut::new();
    Message::Control(Bytes::from_static(json))
        .encode(&mut body)
        .unwrap();
    body[1] = 0x80;
    pair.inject_up(&body).unwrap();
    pair.inject_down(&body);
    pair.inject_down(&[77, 0, 0, 0]);
    assert_eq!(pair.take_server_events(), []);
    assert_eq!(pair.take_client_events(), []);
}

#[test]
fn control_that_is_no_json_object_ends_the_session() {
    for bad in [
        &b"[\"ping\",1]"[..],
        b"{",
        b"",
        b"{}",
        b"null",
        b"{\"type\":\"ping\"}",
        b"\xff\xfe",
    ] {
        let mut pair = Pair::streaming();
        let mut body = BytesMut::new();
        Message::Control(Bytes::from_static(bad))
            .encode(&mut body)
            .unwrap();
        let what = server_fails(&mut pair, &body);
        assert!(matches!(
            what,
            Misbehaviour::Wire(WireError::Control { .. })
        ));
    }
    let deep = format!("{{\"type\":\"dance\",\"x\":{}", "[".repeat(10_000));
    let mut pair = Pair::streaming();
    let mut body = BytesMut::new();
    Message::Control(Bytes::from(deep))
        .encode(&mut body)
        .unwrap();
    server_fails(&mut pair, &body);
}

#[test]
fn messages_out_of_order_end_the_session() {
    let ping = wish(&ClientControl::Ping { id: 1 });
    let mut pair = Pair::new(None);
    pair.up.cut = true;
    assert_eq!(server_fails(&mut pair, &ping), Misbehaviour::NoHello);

    let agent = Text::default();
    let versions = vec![1];
    let hello = wish(&ClientControl::Hello(Hello {
        versions,
        agent,
        ..Hello::default()
    }));
    let mut pair = Pair::streaming();
    assert_eq!(server_fails(&mut pair, &hello), Misbehaviour::SecondHello);

    let mut pair = Pair::streaming();
    let what = client_fails(&mut pair, &control(&ServerControl::Unsubscribed));
    assert_eq!(what, Misbehaviour::NotAsked);

    let mut frame_end = BytesMut::new();
    let moment = crate::wire::Moment {
        rung: RUNG,
        frame: 1,
        capture: MediaTime::ZERO,
    };
    Message::FrameEnd(moment).encode(&mut frame_end).unwrap();
    let mut pair = Pair::new(None);
    pair.advance(ms(50));
    let what = client_fails(&mut pair, &frame_end);
    assert_eq!(what, Misbehaviour::NotSubscribed(Kind::FrameEnd));
    let mut pair = Pair::streaming();
    let what = server_fails(&mut pair, &frame_end);
    assert_eq!(what, Misbehaviour::WrongDirection(Kind::FrameEnd));
}

#[test]
fn a_cell_outside_its_picture_ends_the_session() {
    let mut pair = with_rung(cells_rung());
    pair.feed.video.push_back(cell(1, 1199, &b"x"[..]));
    pair.advance(ms(5));
    pair.latency = ms(0);
    pair.advance(ms(20));
    let events = pair.take_client_events();
    assert!(
        matches!(
            events.last(),
            Some(client::Event::Closed(CloseReason::Failed(
                SessionError::Misbehaved {
                    what: Misbehaviour::CellOutside {
                        index: 1199,
                        cells: 120
                    },
                    ..
                }
            )))
        ),
        "{events:?}"
    );
}

#[test]
fn cells_of_a_rung_that_was_never_announced_are_skipped() {
    let mut pair = Pair::streaming();
    pair.feed.video = [cell(1, 0, &b"x"[..]), end(1)].into();
    pair.inject_down(&part(5, 10, 1));
    // Not so long that it is acknowledged: the server did not send it.
    pair.advance(ms(15));
    assert_eq!(pair.take_client_events(), []);
}

#[test]
fn parts_that_do_not_follow_each_other_end_the_session() {
    let mut pair = with_rung(whole_rung());
    let what = client_fails(&mut pair, &part(10, 100, 10));
    assert_eq!(what, Misbehaviour::PartOutOfOrder);
    let mut pair = with_rung(whole_rung());
    pair.inject_down(&part(0, 100, 10));
    let what = client_fails(&mut pair, &part(11, 100, 10));
    assert_eq!(what, Misbehaviour::PartOutOfOrder);
    let mut pair = with_rung(whole_rung());
    pair.inject_down(&part(0, 100, 10));
    let what = client_fails(&mut pair, &part(10, 101, 10));
    assert_eq!(what, Misbehaviour::PartOutOfOrder);
}

#[test]
fn a_cell_begun_anew_gives_up_the_unfinished_one() {
    let mut pair = with_rung(whole_rung());
    pair.inject_down(&part(0, 100, 10));
    pair.inject_down(&part(0, 20, 10));
    pair.inject_down(&part(10, 20, 10));
    assert_eq!(pair.take_cells()[0].2.len(), 20);
}

#[test]
fn a_cell_larger_than_the_limit_ends_the_session() {
    let mut pair = with_rung(whole_rung());
    let mut message = part(0, 16 << 20, 10);
    let total = ((16_u32 << 20) + 1).to_be_bytes();
    message[30..34].copy_from_slice(&total);
    let what = client_fails(&mut pair, &message);
    assert!(matches!(
        what,
        Misbehaviour::Wire(WireError::Range { field: "total", .. })
    ));
}

#[test]
fn sound_of_an_unknown_codec_is_skipped() {
    let mut pair = Pair::streaming();
    let mut out = BytesMut::new();
    Message::Audio((*sound(1)).clone())
        .encode(&mut out)
        .unwrap();
    out[4] = 99;
    pair.inject_down(&out);
    assert_eq!(pair.take_client_events(), []);
}

#[test]
fn who_asks_without_reading_is_sent_away_and_nothing_grows() {
    let mut pair = Pair::streaming();
    pair.down.stalled = true;
    let ping = wish(&ClientControl::Ping { id: 1 });
    for _ in 0..10_000 {
        pair.inject_up(&ping).unwrap();
    }
    let subscribe = wish(&ClientControl::Subscribe {
        stream: name("cam"),
        video: true,
        audio: true,
        max_bps: None,
    });
    let fault = (0..1000).find_map(|_| pair.inject_up(&subscribe).err());
    assert!(matches!(
        fault,
        Some(SessionError::Misbehaved {
            what: Misbehaviour::Flood,
            ..
        })
    ));
}

#[test]
fn a_rung_may_be_announced_again_but_not_as_another() {
    let mut pair = with_rung(cells_rung());
    pair.feed.video = [
        VideoStep::Rung(whole_rung_of(8)),
        VideoStep::Rung(cells_rung()),
        cell(1, 0, &b"x"[..]),
    ]
    .into();
    pair.advance(ms(100));
    assert_eq!(pair.take_cells(), [(1, 0, Bytes::from_static(b"x"))]);
    pair.feed.video = [VideoStep::Rung(whole_rung_of(RUNG))].into();
    pair.advance(ms(100));
    let events = pair.take_client_events();
    let [.., client::Event::Closed(reason)] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(*misbehaved(reason), Misbehaviour::RungChanged(RUNG));
}

fn whole_rung_of(id: RungId) -> Arc<Rung> {
    Arc::new(Rung {
        id,
        ..(*whole_rung()).clone()
    })
}

#[test]
fn a_rung_that_cannot_be_ends_the_session() {
    for (width, restart) in [(1_000_000, 10), (640, 0), (640, 7), (0, 10)] {
        let json = format!(
            r#"{{"type":"rung","id":1,"coding":"cells","width":{width},"height":480,"restart":{restart},"header":"AAAA"}}"#
        );
        let mut out = BytesMut::new();
        Message::Control(Bytes::from(json))
            .encode(&mut out)
            .unwrap();
        let mut pair = Pair::streaming();
        let what = client_fails(&mut pair, &out);
        assert!(matches!(what, Misbehaviour::Rung(_)));
    }
    let json = br#"{"type":"rung","id":1,"coding":"h264","width":9,"height":9}"#;
    let mut out = BytesMut::new();
    Message::Control(Bytes::from_static(json))
        .encode(&mut out)
        .unwrap();
    let mut pair = Pair::streaming();
    pair.inject_down(&out);
    assert_eq!(
        pair.take_client_events(),
        [],
        "an unknown coding is skipped"
    );
}

#[test]
fn an_acknowledgement_of_what_was_not_sent_ends_the_session() {
    let mut pair = Pair::streaming();
    let ack = |received| {
        let mut out = BytesMut::new();
        let held = Duration::ZERO;
        Message::Ack(Ack { received, held })
            .encode(&mut out)
            .unwrap();
        out
    };
    // One of the past is only late.
    assert_eq!(pair.inject_up(&ack(0)), Ok(()));
    let error = pair.inject_up(&ack(1 << 40)).unwrap_err();
    assert!(matches!(
        error,
        SessionError::Misbehaved { what: Misbehaviour::Acknowledged(received), .. } if received == 1 << 40
    ));
}
