//! Who is let in.

use super::*;
use crate::media::Role;
use crate::wire::{PublishInfo, PublisherKey};

/// A pair whose server asks somebody else about its viewer, who has said hello and what he wants.
fn at_the_door(stream: Option<&str>) -> Pair {
    let mut pair = Pair::new(stream);
    pair.server = pair.server.asking();
    pair.advance(ms(100));
    pair
}

fn admission(pattern: &str) -> server::Admission {
    server::Admission {
        streams: offer().streams.into_iter().take(1).collect(),
        pattern: pattern.parse().unwrap(),
        max_bps: None,
    }
}

#[test]
fn who_is_let_in_later_gets_what_he_asked_for_at_first() {
    let mut pair = at_the_door(Some("cam"));
    assert!(
        matches!(&pair.take_server_events()[..], [server::Event::Hello(hello)] if hello.agent.as_str() == "viewer")
    );
    assert_eq!(pair.take_client_events(), []);
    pair.advance(ms(4_000));
    pair.server.admit(admission("*"), pair.now);
    pair.advance(ms(100));
    assert!(matches!(
        &pair.take_client_events()[..],
        [client::Event::Welcome(welcome), client::Event::Subscribed { .. }] if welcome.streams.len() == 1
    ));
    assert!(pair.server.is_streaming());
}

#[test]
fn who_is_not_let_in_is_told_why() {
    let mut pair = at_the_door(Some("cam"));
    pair.server
        .refuse(CloseCode::Unauthorized, Text::new("no"), pair.now);
    pair.server.admit(admission("*"), pair.now);
    pair.advance(ms(100));
    let closed = client::Event::Closed(CloseReason::Peer {
        code: CloseCode::Unauthorized,
        reason: Text::new("no"),
    });
    assert_eq!(pair.take_client_events(), [closed]);
}

#[test]
fn what_a_token_is_not_for_is_not_told_to_be_there_or_not() {
    let mut pair = at_the_door(None);
    pair.server.admit(admission("c*"), pair.now);
    pair.advance(ms(100));
    pair.take_client_events();
    for (stream, expected) in [
        ("radio", CloseCode::Forbidden),
        ("nothing", CloseCode::Forbidden),
        ("cam7", CloseCode::NoSuchStream),
    ] {
        pair.client.subscribe(name(stream), true, true);
        pair.advance(ms(100));
        assert!(
            matches!(
                &pair.take_client_events()[..],
                [client::Event::Refused { code, .. }] if *code == expected
            ),
            "{stream}"
        );
    }
}

#[test]
fn who_talks_on_at_the_door_is_sent_away_before_that_takes_room() {
    let mut pair = at_the_door(Some("cam"));
    let words = wish(&ClientControl::Ping { id: 1 }).repeat(100);
    let failed = (0..100).find_map(|_| pair.inject_up(&words).err());
    assert!(matches!(
        failed,
        Some(SessionError::Misbehaved {
            what: Misbehaviour::Flood,
            ..
        })
    ));
}

#[test]
fn the_first_words_can_be_said_for_several_links_each_with_its_own_proof() {
    let now = start();
    let want = client::Want {
        role: Role::Publish,
        publish: Some(PublishInfo {
            stream: name("cam"),
            video: true,
            audio: false,
            take_over: true,
            key: PublisherKey::from_bytes([3; 16]),
            level: None,
        }),
        ..want(None)
    };
    let mut session = client::Session::new(want, now);
    let opening = session.opening(now).unwrap();
    assert!(session.opening(now).is_none());
    assert_eq!(
        (opening.role(), opening.bound_name()),
        (Role::Publish, "cam")
    );
    let proof = |n| crate::wire::TokenProof {
        id: crate::media::TokenId::from_bytes([1; 8]),
        proof: crate::wire::Proof::from_bytes([n; 32]),
    };
    for token in [None, Some(proof(1)), Some(proof(2))] {
        let mut pair = Pair::new(None);
        pair.server = pair.server.asking();
        pair.up.cut = true;
        pair.inject_up(&opening.words(token.clone())).unwrap();
        let events = pair.take_server_events();
        assert!(
            matches!(&events[..], [server::Event::Hello(hello)] if hello.token == token && hello.role == Role::Publish)
        );
    }
}
