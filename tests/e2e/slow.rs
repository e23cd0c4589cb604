//! One slow viewer beside fast ones: nobody else notices, and what he gets is whole and as new as his line allows.

use std::time::Duration;

use crate::support::{Frame, Program, Raw, Relay, TestServer, memory, serve};

/// Half a megabit of a picture that takes several: he can have but a part of it.
const SLOW: usize = 50_000;
const CARD: &str = "testcard:640x368@25";
/// How long each part of the test looks, in frames of the server.
const STRETCH: u64 = 100;

/// What a viewer has seen.
#[derive(Default)]
struct Seen(Vec<Frame>);

impl Seen {
    fn last(&self) -> u64 {
        self.0.last().map_or(0, |frame| frame.number)
    }

    fn add(&mut self, frame: Frame) {
        assert!(frame.complete, "{frame:?}");
        // The same picture comes again only on another rung.
        let again = self
            .0
            .last()
            .is_some_and(|last| last.number == frame.number && last.rung.id != frame.rung.id);
        assert!(
            again || frame.number > self.last(),
            "{frame:?} after {}",
            self.last()
        );
        self.0.push(frame);
    }

    /// The median age of these frames.
    fn age(frames: &[Frame]) -> Duration {
        let mut ages: Vec<Duration> = frames.iter().filter_map(|frame| frame.age).collect();
        ages.sort();
        ages[ages.len() / 2]
    }
}

/// Follows a fast viewer for a stretch: what it saw of it.
async fn stretch(fast: &mut Raw) -> Seen {
    let mut seen = Seen::default();
    let first = fast.frame().await.number;
    while seen.last() < first + STRETCH {
        seen.add(fast.frame().await);
    }
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_viewer_gets_whole_pictures_ever_newer_and_nobody_else_notices() {
    let server = TestServer::start(serve(CARD)).await;
    let mut fast = Raw::connect(server.link()).await;
    fast.frame().await;
    let alone = stretch(&mut fast).await;

    let relay = Relay::start(server.link(), SLOW).await;
    let mut slow = Raw::connect(&relay.link(server.link())).await;
    let (mut beside, mut his) = (Seen::default(), Seen::default());
    // How many frames he is behind the fast one whenever he has a new one.
    let mut behind = Vec::new();
    let until = fast.frame().await.number + 4 * STRETCH;
    while beside.last() < until {
        tokio::select! {
            step = fast.step() => if let Some(frame) = step { beside.add(frame) },
            step = slow.step() => if let Some(frame) = step {
                behind.push(beside.last().saturating_sub(frame.number));
                his.add(frame);
            },
        }
    }

    // The fast one sees as many of the frames as before, and as early.
    let share = |seen: &Seen| {
        let span = seen.last() - seen.0[0].number;
        seen.0.len() as f64 / span as f64
    };
    assert!(
        share(&beside) > share(&alone) * 0.7,
        "{} instead of {}",
        share(&beside),
        share(&alone)
    );
    let (with, without) = (Seen::age(&beside.0), Seen::age(&alone.0));
    assert!(
        with < 2 * without + Duration::from_millis(150),
        "{with:?} instead of {without:?}"
    );

    // The slow one: fewer, and as old at the end as at the start. A backlog would have grown by most of a stretch.
    let count = his.0.len();
    assert!(count >= 4, "{count} frames");
    assert!(count < beside.0.len(), "his line was not slow");
    let half = count / 2;
    let worst = |part: &[u64]| part.iter().copied().max().unwrap_or_default();
    assert!(
        worst(&behind[half..]) <= worst(&behind[..half]).max(STRETCH / 2) + STRETCH / 4,
        "behind by {behind:?}"
    );
}

/// What several slow viewers have not taken is kept nowhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_viewers_cost_the_server_no_memory() {
    let dir = tempfile::tempdir().unwrap();
    let (server, link) = Program::serve(dir.path(), &format!("--video {CARD}"));
    let mut fast = Raw::connect(&link).await;
    let relay = Relay::start(&link, SLOW / 10).await;
    let slow: Vec<_> = (0..10)
        .map(|_| {
            let link = relay.link(&link);
            tokio::spawn(async move {
                let mut viewer = Raw::connect(&link).await;
                loop {
                    viewer.step().await;
                }
            })
        })
        .collect();
    // All of them are there, and the buffers on their ways full.
    while fast.frame().await.number < STRETCH / 2 {}
    let before = memory(server.id());
    let taken = fast.bytes_received();
    while fast.frame().await.number < 3 * STRETCH {}
    let after = memory(server.id());
    let taken = fast.bytes_received() - taken;
    if let (Some(before), Some(after)) = (before, after) {
        // The ring keeps what was made meanwhile, once; a queue for each would keep ten times that.
        assert!(
            after < before + 3 * taken + (16 << 20),
            "{before} became {after} with {taken} bytes made"
        );
    }
    for viewer in slow {
        viewer.abort();
    }
}
