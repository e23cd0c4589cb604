//! Who may publish under which name.

use std::sync::atomic::AtomicU32;

use super::*;
use crate::config::Access;
use crate::hub::{Status, Subscription};
use crate::media::SourceState;
use crate::wire::LevelName;

#[expect(clippy::disallowed_methods, reason = "any instant to count from")]
fn now() -> Instant {
    Instant::now()
}

fn relays(most: usize) -> Arc<Relays> {
    let (notices, _) = Notices::new();
    let pictures = pictures::Settings {
        epoch: now(),
        quality: None,
        rungs: Arc::new(AtomicU32::new(1)),
    };
    let limits = (Limits::default(), Duration::from_secs(10));
    let (gate, _) = Gate::start(&Access::default()).unwrap();
    let ends = (Arc::new(gate), CancellationToken::new());
    let settings = Settings::new(pictures, limits, notices, ends);
    Arc::new(Relays::new(
        Arc::new(Hub::new()),
        most,
        settings,
        TaskTracker::new(),
    ))
}

fn info(name: &str, key: u8, take_over: bool) -> PublishInfo {
    PublishInfo {
        stream: name.parse().unwrap(),
        video: true,
        audio: true,
        take_over,
        key: PublisherKey::from_bytes([key; 16]),
        level: None,
    }
}

fn token(byte: u8) -> Option<TokenId> {
    Some(TokenId::from_bytes([byte; 8]))
}

/// He is there, and was heard at that time.
fn is_there(relays: &Relays, name: &str, heard: Instant) {
    let entries = relays.entries();
    *entries[name].presence() = Presence {
        links: 1,
        heard,
        expected: None,
    };
}

fn gone(relays: &Relays, name: &str, at: Instant) {
    let entries = relays.entries();
    *entries[name].presence() = Presence {
        links: 0,
        heard: at,
        expected: None,
    };
}

fn code(knocked: Result<Ticket, (CloseCode, String)>) -> Option<CloseCode> {
    knocked.err().map(|(code, _)| code)
}

#[tokio::test]
async fn a_name_belongs_to_whoever_publishes_over_whatever_link_he_comes() {
    let (relays, t0) = (relays(8), now());
    let first = relays.knock(&info("cam", 1, false), token(1), t0).unwrap();
    let taken = relays.knock(&info("cam", 2, false), token(1), t0);
    assert_eq!(code(taken), Some(CloseCode::Taken), "he is on his way");
    is_there(&relays, "cam", t0);
    let second = relays.knock(&info("cam", 1, false), token(1), t0).unwrap();
    assert_eq!((first.publisher, second.publisher), (1, 1));
    let taken = relays.knock(&info("cam", 2, false), token(1), t0);
    assert_eq!(code(taken), Some(CloseCode::Taken));
}

#[tokio::test]
async fn another_with_the_same_token_may_take_his_place_if_he_says_so() {
    let (relays, t0) = (relays(8), now());
    relays.knock(&info("cam", 1, false), token(1), t0).unwrap();
    is_there(&relays, "cam", t0);
    let stranger = relays.knock(&info("cam", 2, true), token(2), t0);
    assert_eq!(code(stranger), Some(CloseCode::Taken));
    let other = relays.knock(&info("cam", 2, true), token(1), t0).unwrap();
    assert_eq!(other.publisher, 2);
    let back = relays.knock(&info("cam", 1, false), token(1), t0);
    assert_eq!(code(back), Some(CloseCode::Taken), "it is another's now");
}

#[tokio::test]
async fn a_name_is_free_when_its_publisher_is_gone_or_answers_nothing() {
    let (relays, t0) = (relays(8), now());
    relays.knock(&info("cam", 1, false), token(1), t0).unwrap();
    gone(&relays, "cam", t0);
    let next = relays.knock(&info("cam", 2, false), token(1), t0).unwrap();
    assert_eq!(next.publisher, 2);
    is_there(&relays, "cam", t0);
    let later = t0 + ALIVE;
    let next = relays.knock(&info("cam", 3, false), token(1), later);
    assert_eq!(next.unwrap().publisher, 3);
}

#[tokio::test]
async fn a_link_for_a_level_is_of_whoever_publishes_the_best_picture_now() {
    let (relays, t0) = (relays(8), now());
    let level = |name: &str, key, level| PublishInfo {
        level: Some(level),
        ..info(name, key, false)
    };
    let half = level("cam", 1, LevelName::Half);
    let knocked = relays.knock(&half, token(1), t0);
    assert_eq!(code(knocked), Some(CloseCode::NoSuchStream));
    assert!(relays.entries().is_empty(), "it begins no stream");
    relays.knock(&info("cam", 1, false), token(1), t0).unwrap();
    let knocked = relays.knock(&half, token(1), t0);
    assert_eq!(
        code(knocked),
        Some(CloseCode::NoSuchStream),
        "not there yet"
    );
    is_there(&relays, "cam", t0);
    let ticket = relays.knock(&half, token(1), t0).unwrap();
    assert_eq!((ticket.publisher, ticket.level), (1, Some(Level::Half)));
    for (info, token) in [
        (level("cam", 2, LevelName::Half), token(1)),
        (level("cam", 1, LevelName::Half), token(2)),
        (level("door", 1, LevelName::Half), token(1)),
    ] {
        let knocked = relays.knock(&info, token, t0);
        assert_eq!(code(knocked), Some(CloseCode::NoSuchStream), "{info:?}");
    }
    let knocked = relays.knock(&level("cam", 1, LevelName::Unknown), token(1), t0);
    assert_eq!(code(knocked), Some(CloseCode::Incompatible));
    assert!(
        !relays.entries()["cam"]
            .presence()
            .is_expected(t0 + ALIVE / 2)
    );
}

#[tokio::test]
async fn the_server_s_own_name_is_taken() {
    let (relays, t0) = (relays(8), now());
    let tracks = Tracks {
        video: true,
        audio: true,
    };
    let own = Stream::new("live", tracks, Limits::default());
    relays.hub.insert(own);
    let knocked = relays.knock(&info("live", 1, true), token(1), t0);
    assert_eq!(code(knocked), Some(CloseCode::Taken));
}

#[tokio::test]
async fn of_ten_thousand_names_only_so_many_are_taken_and_those_who_are_there_stay() {
    let (relays, t0) = (relays(4), now());
    relays.knock(&info("cam", 1, false), token(1), t0).unwrap();
    is_there(&relays, "cam", t0);
    let mut refused = 0;
    for n in 0..10_000_u32 {
        let at = t0 + Duration::from_micros(u64::from(n));
        let knocked = relays.knock(&info(&format!("n{n}"), 9, false), token(9), at);
        match knocked {
            Ok(_) if n % 2 == 0 => is_there(&relays, &format!("n{n}"), at),
            Ok(_) => gone(&relays, &format!("n{n}"), at),
            Err((code, words)) => {
                assert_eq!(code, CloseCode::Busy);
                assert!(words.contains("--max-streams"), "{words}");
                refused += 1;
            }
        }
        assert!(relays.entries().len() <= 4);
    }
    assert!(refused > 9_000);
    assert!(relays.entries().contains_key("cam"));
    assert!(relays.hub.streams().len() <= 4);
}

#[tokio::test]
async fn with_other_tracks_it_is_another_stream() {
    let (relays, t0) = (relays(8), now());
    relays.knock(&info("cam", 1, false), token(1), t0).unwrap();
    gone(&relays, "cam", t0);
    let silent = PublishInfo {
        audio: false,
        ..info("cam", 1, false)
    };
    relays.knock(&silent, token(1), t0).unwrap();
    let stream = relays.hub.stream("cam").unwrap();
    assert!(!stream.tracks().audio);
    let nothing = PublishInfo {
        video: false,
        ..silent
    };
    let knocked = relays.knock(&nothing, token(1), t0);
    assert_eq!(code(knocked), Some(CloseCode::Misbehaved));
}

#[tokio::test]
async fn who_waits_for_a_publisher_that_comes_with_other_tracks_is_told_to_connect_again() {
    let (relays, t0) = (relays(8), now());
    relays.knock(&info("cam", 1, false), token(1), t0).unwrap();
    gone(&relays, "cam", t0);
    let old = relays.hub.stream("cam").unwrap();
    let waiting = Subscription::new(Arc::clone(&old), old.tracks());
    let mut status = old.status();
    let is_lost = |now: &Status| matches!(now, Status::Open(SourceState::Lost { .. }));
    drop(status.wait_for(is_lost).await.unwrap());
    let silent = PublishInfo {
        audio: false,
        ..info("cam", 1, false)
    };
    relays.knock(&silent, token(1), t0).unwrap();
    let is_over = |now: &Status| matches!(now, Status::Open(SourceState::Ended { .. }));
    drop(status.wait_for(is_over).await.unwrap());
    // It stays so, also for one who had found the stream before and comes now.
    let late = Subscription::new(Arc::clone(&old), old.tracks());
    relays.tasks.close();
    relays.settings.stop.cancel();
    relays.tasks.wait().await;
    assert!(is_over(&old.status().borrow()));
    drop((waiting, late));
}

#[tokio::test]
async fn whoever_was_let_in_a_moment_ago_is_not_put_out_before_his_link_is_there() {
    let (relays, t0) = (relays(1), now());
    relays.knock(&info("cam", 1, false), token(1), t0).unwrap();
    let soon = relays.knock(&info("door", 2, false), token(2), t0 + ALIVE / 2);
    assert_eq!(code(soon), Some(CloseCode::Busy));
    let later = relays.knock(&info("door", 2, false), token(2), t0 + ALIVE);
    assert!(later.is_ok());
    assert!(relays.hub.stream("cam").is_none());
}

#[test]
fn a_stream_is_forgotten_however_its_task_ends() {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    let relays = runtime.block_on(async {
        let relays = relays(8);
        relays
            .knock(&info("cam", 1, false), token(1), now())
            .unwrap();
        tokio::task::yield_now().await;
        relays
    });
    assert!(relays.hub.stream("cam").is_some());
    drop(runtime);
    assert!(relays.hub.stream("cam").is_none());
    assert!(relays.entries().is_empty());
}
