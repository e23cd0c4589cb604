//! The ring of frames and sound of one stream, and the cursors over it.
//!
//! A [`Timeline`] holds what a stream has made lately, bounded by time and by bytes; frames share the cells that did
//! not change. A [`Cursor`] is one viewer's place in it and the version of each cell that he holds: there is no queue
//! per viewer anywhere, so a slow viewer costs a place in the ring and nothing else.

mod cursor;
mod ring;

pub use cursor::Cursor;
pub use ring::{Limits, Timeline};
