//! The real program as a person runs it: `serve` and `watch` as two processes over TLS, seen on a virtual display and
//! heard behind a sound server of our own.
//!
//! A test says so and passes where a program that it needs is missing. They take turns: all of them are about real time.
#![cfg(all(target_os = "linux", feature = "audio", feature = "window"))]
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "helpers of a test fail as it does, it says what it saw, and real displays and sound run on real time"
)]

mod demo;
mod film;
mod lips;
mod microphone;
mod rig;
mod sound;
mod window;
