//! Arrival to playout: when what has come is due. Pure: time is an argument.
//!
//! [`Estimate`] measures how unevenly a track arrives, [`Audio`] turns that into steady sound, [`Video`] holds
//! pictures until the sound that belongs to them is heard.

mod audio;
mod estimate;
mod pending;
mod video;

pub use audio::{Audio, Bounds, Counts, Pull};
pub use estimate::Estimate;
pub use video::{Update, Video};
