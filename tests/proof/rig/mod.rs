//! What the tests stand on: the program, a display, a sound server.

mod display;
mod program;
mod pulse;
mod shot;
mod tape;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub(crate) use display::Display;
pub(crate) use program::{Program, Serving};
pub(crate) use pulse::Pulse;
pub(crate) use shot::Shot;
pub(crate) use tape::{RATE, Recorder, Tape};

/// 5.3 s, 1280x720, 25 pictures a second, with sound.
pub(crate) const FILM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/bigbuckbunny.mp4");

/// What a window needs, and keys.
pub(crate) const SEEING: [&str; 3] = ["Xvfb", "xwd", "xdotool"];

/// What sound needs.
pub(crate) const HEARING: [&str; 3] = ["pulseaudio", "pactl", "parec"];

/// Far longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The only test that runs, as long as this is held; `None`, and a word about it, where it lacks a program.
pub(crate) fn turn(test: &str, needs: &[&str]) -> Option<MutexGuard<'static, ()>> {
    static TURN: Mutex<()> = Mutex::new(());
    let path = std::env::var_os("PATH").unwrap_or_default();
    let there = |tool: &str| std::env::split_paths(&path).any(|dir| dir.join(tool).is_file());
    let missing: Vec<_> = needs.iter().copied().filter(|tool| !there(tool)).collect();
    if !missing.is_empty() {
        println!("SKIPPED: {test}: needs {}", missing.join(", "));
        return None;
    }
    Some(TURN.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Asks until there is an answer.
pub(crate) fn until<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, ask).unwrap_or_else(|| panic!("{what}: not within {PATIENCE:?}"))
}

/// Asks for so long.
pub(crate) fn within<T>(time: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if start.elapsed() > time {
            return None;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What is right most of the time: a machine that is busy with other things may be late once, a fault of ours would
/// be there each time.
pub(crate) fn at_last<T>(mut attempt: impl FnMut() -> Result<T, String>) -> T {
    let mut faults = Vec::new();
    loop {
        match attempt() {
            Ok(good) => return good,
            Err(fault) => {
                println!("once more: {fault}");
                faults.push(fault);
                assert!(faults.len() < 4, "{faults:?}");
            }
        }
    }
}

/// Microseconds of CLOCK_MONOTONIC, which the test card's code tells too.
pub(crate) fn clock_micros() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap() * 1_000_000 + u64::try_from(now.tv_nsec).unwrap() / 1000
}
