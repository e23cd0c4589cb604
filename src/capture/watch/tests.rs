//! Virtual time for the watchdog, real threads for the watch.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Condvar, Mutex};

use super::*;
use crate::capture::{StateInlet, Track, channel};
use crate::media::SoundBlock;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_silent_device_is_lost_after_three_seconds_and_tried_again() {
    let start = now();
    let mut dog = Watchdog::new(start);
    assert_eq!(dog.poll(start), Some(Turn::Open));
    assert!(dog.delivered(start + SECOND));
    assert!(!dog.delivered(start + 2 * SECOND));
    assert_eq!(dog.poll(start + 2 * SECOND + SILENCE / 2), None);
    let at = start + 2 * SECOND + SILENCE;
    assert_eq!(dog.poll(at), Some(Turn::Silent(SILENCE)));
    assert_eq!(dog.poll(at), None);
    assert_eq!(dog.poll(at + PAUSE_MIN), Some(Turn::Open));
    assert!(dog.delivered(at + PAUSE_MIN));
}

#[test]
fn pauses_grow_to_ten_seconds_and_start_over_after_a_steady_time() {
    let mut at = now();
    let mut dog = Watchdog::new(at);
    let mut pauses = Vec::new();
    for _ in 0..6 {
        assert_eq!(dog.poll(at), Some(Turn::Open));
        dog.failed(at);
        let from = at;
        while !matches!(dog.phase, Phase::Waiting(until) if at >= until) {
            at += SECOND / 10;
        }
        pauses.push((at - from).as_secs());
    }
    assert_eq!(pauses, [1, 2, 4, 8, 10, 10]);
    dog.poll(at);
    dog.delivered(at);
    dog.delivered(at + STEADY);
    dog.failed(at + STEADY);
    assert_eq!(dog.poll(at + STEADY + PAUSE_MIN), Some(Turn::Open));
}

#[test]
fn a_device_that_never_opens_is_lost_too() {
    let start = now();
    let mut dog = Watchdog::new(start);
    dog.poll(start);
    assert_eq!(dog.poll(start + SILENCE), None);
    assert_eq!(dog.poll(start + FIRST), Some(Turn::Silent(FIRST)));
}

/// A device that does what the test says.
#[derive(Default)]
struct Fake {
    opened: AtomicU32,
    mood: Mutex<Mood>,
    changed: Condvar,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Mood {
    #[default]
    Works,
    Hangs,
    Fails,
}

impl Fake {
    fn set(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
        self.changed.notify_all();
    }
}

impl Supply for Arc<Fake> {
    type Device = ();
    type Item = ();
    type Error = &'static str;

    fn name(&self) -> &'static str {
        "fake"
    }

    fn open(&self) -> Result<(), &'static str> {
        self.opened.fetch_add(1, Ordering::Relaxed);
        if *self.mood.lock().unwrap() == Mood::Fails {
            return Err("not there");
        }
        Ok(())
    }

    fn next(&self, (): &mut ()) -> Result<Option<()>, &'static str> {
        let mood = self
            .changed
            .wait_while(self.mood.lock().unwrap(), |mood| *mood == Mood::Hangs)
            .unwrap();
        std::thread::sleep(Duration::from_millis(5));
        if *mood == Mood::Fails {
            return Err("unplugged");
        }
        Ok(Some(()))
    }

    fn deliver(&self, outlet: &Outlet, (): ()) {
        outlet.sound(SoundBlock {
            samples: vec![0.0; 2],
            captured: now(),
        });
    }
}

fn next_state(state: &StateInlet) -> SourceState {
    let (track, state) = state.recv(Duration::from_secs(30)).unwrap();
    assert_eq!(track, Track::Sound);
    state
}

#[test]
fn a_device_that_fails_is_lost_and_comes_back() {
    let (outlet, inlet) = channel();
    let fake = Arc::new(Fake::default());
    let pump = start(Arc::clone(&fake), outlet.of(Track::Sound)).unwrap();
    assert_eq!(next_state(&inlet.state), SourceState::Live);
    fake.set(Mood::Fails);
    let why = "unplugged".to_owned();
    assert_eq!(next_state(&inlet.state), SourceState::Lost { why });
    fake.set(Mood::Works);
    while next_state(&inlet.state) != SourceState::Live {}
    assert!(inlet.sound.recv(SECOND).is_ok());
    assert_eq!(fake.opened.load(Ordering::Relaxed), 2);
    drop(pump);
}

#[test]
fn a_hanging_driver_is_said_to_be_lost_and_left_behind() {
    let (outlet, inlet) = channel();
    let fake = Arc::new(Fake::default());
    let pump = start(Arc::clone(&fake), outlet.of(Track::Sound)).unwrap();
    assert_eq!(next_state(&inlet.state), SourceState::Live);
    fake.set(Mood::Hangs);
    let SourceState::Lost { why } = next_state(&inlet.state) else {
        panic!("lost");
    };
    assert_eq!(why, "the fake has delivered nothing for 3 s");
    let before = now();
    drop(pump); // would hang here if the reader were joined
    assert!(now() - before < Duration::from_secs(10));
    fake.set(Mood::Works);
}
