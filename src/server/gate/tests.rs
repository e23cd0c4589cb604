//! Whom the gate lets in.

use super::*;
use crate::config::Access;
use crate::trust::Secret;
use crate::wire::{Proof, PublishInfo, PublisherKey, TokenProof};

const CHANNEL: Exporter = [3; 32];

#[expect(clippy::disallowed_methods, reason = "any instant to count from")]
fn now() -> Instant {
    Instant::now()
}

fn addr(n: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, n], 1))
}

fn token(secret: &Secret, role: Role) -> Token {
    Token::new(secret, role, 0)
}

fn gate(tokens: impl IntoIterator<Item = Token>) -> Gate {
    let mut all = Tokens::default();
    for token in tokens {
        assert!(all.add(token));
    }
    Gate::with(all, None, false, Audit::default())
}

fn hello(secret: &Secret, role: Role) -> Hello {
    let proof = secret.prove(&CHANNEL, role, "");
    Hello {
        role,
        token: Some(TokenProof {
            id: secret.id(),
            proof: Proof::from_bytes(proof),
        }),
        ..Hello::default()
    }
}

fn refused(gate: &Gate, hello: &Hello) -> (CloseCode, String) {
    let refusal = gate.ask(hello, Some(CHANNEL), addr(1), now()).unwrap_err();
    (refusal.code, refusal.words)
}

#[test]
fn each_role_is_let_in_by_its_own_token_and_refused_by_every_other_with_the_role_it_needs() {
    for have in Role::ALL {
        let secret = Secret::from_bytes([1; 16]);
        let gate = gate([token(&secret, have)]);
        for wanted in Role::ALL {
            let hello = hello(&secret, wanted);
            if have.includes(wanted) {
                let pass = gate.ask(&hello, Some(CHANNEL), addr(1), now()).unwrap();
                assert_eq!(pass.role, wanted);
            } else {
                let (code, words) = refused(&gate, &hello);
                assert_eq!(code, CloseCode::Forbidden);
                assert!(words.contains(&format!("'{wanted}'")), "{words}");
            }
        }
    }
}

#[test]
fn wrong_unknown_missing_and_replayed_proofs_are_one_and_the_same() {
    let secret = Secret::from_bytes([1; 16]);
    let gate = gate([token(&secret, Role::Watch)]);
    let good = hello(&secret, Role::Watch);
    let unknown = hello(&Secret::from_bytes([2; 16]), Role::Watch);
    let mut wrong = good.clone();
    wrong.token.as_mut().unwrap().proof = Proof::from_bytes([0; 32]);
    let for_another_role = Hello {
        role: Role::Admin,
        ..good.clone()
    };
    for bad in [&unknown, &wrong, &for_another_role, &Hello::default()] {
        assert_eq!(refused(&gate, bad).0, CloseCode::Unauthorized);
    }
    let elsewhere = gate.ask(&good, Some([4; 32]), addr(1), now());
    assert_eq!(elsewhere.unwrap_err().code, CloseCode::Unauthorized);
    let nowhere = gate.ask(&good, None, addr(1), now());
    assert_eq!(nowhere.unwrap_err().code, CloseCode::Unauthorized);
    assert!(gate.ask(&good, Some(CHANNEL), addr(1), now()).is_ok());
}

#[test]
fn guessing_costs_the_guesser_alone() {
    let secret = Secret::from_bytes([1; 16]);
    let gate = gate([token(&secret, Role::Watch)]);
    let (t0, good) = (now(), hello(&secret, Role::Watch));
    let wrong = hello(&Secret::from_bytes([2; 16]), Role::Watch);
    let mut waiting = Vec::new();
    for _ in 0..20 {
        let refusal = gate.ask(&wrong, Some(CHANNEL), addr(1), t0).unwrap_err();
        waiting.extend(refusal.wait);
    }
    let waits: Vec<_> = waiting.iter().map(|(wait, _)| *wait).collect();
    assert_eq!(waits.len(), 20);
    assert!(waits.is_sorted());
    let shut = gate.ask(&wrong, Some(CHANNEL), addr(1), t0).unwrap_err();
    assert_eq!(shut.code, CloseCode::Busy);
    assert!(shut.wait.is_none());
    // His neighbours behind the same address, and everybody elsewhere.
    assert!(gate.ask(&good, Some(CHANNEL), addr(1), t0).is_ok());
    let elsewhere = gate.ask(&wrong, Some(CHANNEL), addr(2), t0).unwrap_err();
    assert_eq!(elsewhere.code, CloseCode::Unauthorized);
    let later = t0 + Duration::from_secs(61);
    let again = gate.ask(&wrong, Some(CHANNEL), addr(1), later).unwrap_err();
    assert_eq!(again.code, CloseCode::Unauthorized);
}

#[test]
fn those_who_wait_for_a_no_are_never_many() {
    let gate = gate([]);
    let mut waiting = Vec::new();
    for n in 0..200 {
        let refusal = gate.ask(&Hello::default(), None, addr(n), now());
        waiting.extend(refusal.unwrap_err().wait);
    }
    assert_eq!(waiting.len(), MOST_WAITING);
}

#[test]
fn a_token_is_for_its_streams_its_viewers_and_its_time() {
    let secret = Secret::from_bytes([1; 16]);
    let gate = gate([Token {
        streams: "cam*".parse().unwrap(),
        max_viewers: Some(2),
        max_bps: Some(7),
        ..token(&secret, Role::Watch)
    }]);
    let hello = hello(&secret, Role::Watch);
    let ask = || gate.ask(&hello, Some(CHANNEL), addr(1), now());
    let first = ask().unwrap();
    assert_eq!(first.max_bps(), Some(7));
    assert!(first.streams().matches("cam1") && !first.streams().matches("door"));
    let _second = ask().unwrap();
    assert_eq!(ask().unwrap_err().code, CloseCode::Busy);
    drop(first);
    assert!(ask().is_ok());

    let over = self::gate([Token {
        expires: Some(1),
        ..token(&secret, Role::Watch)
    }]);
    let (code, words) = refused(&over, &hello);
    assert_eq!(code, CloseCode::Unauthorized);
    assert!(words.contains("time"), "{words}");
}

#[test]
fn a_publisher_gets_no_name_that_its_token_is_not_for() {
    let secret = Secret::from_bytes([1; 16]);
    let gate = gate([Token {
        streams: "cam*".parse().unwrap(),
        ..token(&secret, Role::Publish)
    }]);
    let publish = |name: &str| {
        let mut hello = hello(&secret, Role::Publish);
        hello.publish = Some(PublishInfo {
            stream: name.parse().unwrap(),
            video: true,
            audio: true,
            take_over: false,
            key: PublisherKey::from_bytes([3; 16]),
            level: None,
        });
        let proof = secret.prove(&CHANNEL, Role::Publish, name);
        hello.token.as_mut().unwrap().proof = Proof::from_bytes(proof);
        hello
    };
    assert!(
        gate.ask(&publish("cam7"), Some(CHANNEL), addr(1), now())
            .is_ok()
    );
    assert_eq!(refused(&gate, &publish("door")).0, CloseCode::Forbidden);
}

#[test]
fn a_pass_is_over_when_its_token_is_taken_back_or_changed_and_only_then() {
    let secret = Secret::from_bytes([1; 16]);
    let mut mine = token(&secret, Role::Watch);
    mine.expires = Some(u64::MAX);
    let gate = gate([
        mine.clone(),
        token(&Secret::from_bytes([2; 16]), Role::Watch),
    ]);
    let pass = gate.ask(&hello(&secret, Role::Watch), Some(CHANNEL), addr(1), now());
    let pass = pass.unwrap();
    assert!(gate.over(&pass).is_none());
    gate.revoke(Secret::from_bytes([2; 16]).id()).unwrap();
    assert!(gate.over(&pass).is_none());
    gate.revoke(mine.id).unwrap();
    assert_eq!(gate.over(&pass).unwrap().code, CloseCode::Revoked);
    assert!(gate.revoke(mine.id).is_err());
}

#[test]
fn whoever_is_open_lets_anybody_watch_and_nobody_do_more() {
    let gate = Gate::with(Tokens::default(), None, true, Audit::default());
    let anybody = Hello::default();
    assert!(gate.ask(&anybody, None, addr(1), now()).is_ok());
    for role in [Role::Publish, Role::Control, Role::Admin] {
        let hello = Hello {
            role,
            ..Hello::default()
        };
        assert_eq!(refused(&gate, &hello).0, CloseCode::Unauthorized);
    }
}

#[test]
fn the_links_of_a_server_stay_the_same_until_they_are_taken_back() {
    let dir = tempfile::tempdir().unwrap();
    let access = Access {
        state: Some(dir.path().join("state")),
        ..Access::default()
    };
    let (_, first) = Gate::start(&access).unwrap();
    let (gate, second) = Gate::start(&access).unwrap();
    assert_eq!(first, second);
    gate.revoke(first.watch.as_ref().unwrap().id()).unwrap();
    let (_, third) = Gate::start(&access).unwrap();
    assert_eq!((third.watch, third.publish), (None, second.publish));
    let (_, fresh) = Gate::start(&Access::default()).unwrap();
    assert_ne!(fresh.watch, first.watch);
}

#[tokio::test]
async fn the_list_is_read_when_it_is_said_also_where_its_file_looks_as_it_did() {
    let dir = tempfile::tempdir().unwrap();
    let access = Access {
        state: Some(dir.path().join("state")),
        ..Access::default()
    };
    let (gate, own) = Gate::start(&access).unwrap();
    let (gate, watch) = (Arc::new(gate), own.watch.unwrap().id());
    let (said, hears) = watch::channel(0);
    let stop = CancellationToken::new();
    let store = gate.store.clone().unwrap();
    store.change(|tokens| Ok(tokens.remove(watch))).unwrap();
    *lock(&gate.seen) = store.stamp();
    gate.look();
    let mut changes = gate.changes();
    assert!(changes.borrow_and_update().find(watch).is_some());
    let following = Arc::clone(&gate).follow(hears, stop.clone());
    let reading = async {
        said.send_replace(1);
        let changed = time::timeout(Duration::from_secs(60), changes.changed());
        changed.await.unwrap().unwrap();
        assert!(changes.borrow_and_update().find(watch).is_none());
        stop.cancel();
    };
    tokio::join!(following, reading);
}
