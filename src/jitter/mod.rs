//! Arrival to playout: when what has come is due. Pure: time is an argument.
//!
//! [`Estimate`] measures how unevenly a track arrives, [`Audio`] turns that into steady sound, [`Lateness`] tells how long
//! that waits for pictures, [`Video`] holds pictures until the sound that belongs to them is heard.

mod audio;
mod estimate;
mod lateness;
mod pending;
mod video;

pub use audio::{Audio, Bounds, Counts, Pull};
pub use estimate::Estimate;
pub use lateness::Lateness;
pub use video::{Update, Video};
