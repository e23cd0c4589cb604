//! Files and pipes to pictures and sound.
//!
//! Every reader is fed bytes, however they were cut, and gives what is whole; none of them reads anything itself. The
//! readers of large pictures lend the room for the next bytes (`space`, then `filled`), so that a picture is read
//! straight into its planes.

pub mod mjpeg;
pub mod mkv;
mod planes;
mod scratch;
pub mod wav;
pub mod y4m;
