//! `tunnelcast` carries live video and sound through the one port that every firewall leaves open.
//!
//! The modules stand in the order in which data passes through them.

pub mod capture;
pub mod cli;
pub mod client;
pub mod codec;
pub mod config;
pub mod container;
pub mod drive;
pub mod error;
mod file;
pub mod glyph;
pub mod hub;
pub mod jitter;
mod links;
pub mod media;
pub mod playback;
pub mod present;
pub mod publish;
#[cfg(feature = "audio")]
mod quiet;
pub mod server;
pub mod session;
pub mod telemetry;
pub mod timeline;
pub mod transport;
pub mod trust;
pub mod wire;
