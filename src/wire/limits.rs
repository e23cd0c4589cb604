//! Every number of the protocol that is a limit; `README.md` has the same table.

/// The version of the protocol that this code speaks.
pub const PROTOCOL_VERSION: u16 = 1;

/// Bytes of the head of a message.
pub const HEAD_LEN: usize = 4;

/// The most bytes in a message, head and body: with TLS's own record limit, one message is at most one record.
pub const MAX_MESSAGE: usize = 16_384;

/// The most bytes in the body of a message.
pub const MAX_BODY: usize = MAX_MESSAGE - HEAD_LEN;

/// Bytes that say to what moment of what rung cells belong.
pub const MOMENT_LEN: usize = 20;

/// Bytes in front of each cell in a `cells` message.
pub const CELL_HEAD_LEN: usize = 4;

/// The largest cell that fits a `cells` message; a larger one goes as parts.
pub const MAX_INLINE_CELL: usize = MAX_BODY - MOMENT_LEN - CELL_HEAD_LEN;

/// Bytes of a `cell part` body in front of the part.
pub const PART_HEAD_LEN: usize = MOMENT_LEN + 10;

/// The most bytes of a cell in one `cell part`.
pub const MAX_PART: usize = MAX_BODY - PART_HEAD_LEN;

/// The most bytes in a cell, which may be a whole JPEG.
pub const MAX_CELL: usize = 16 << 20;

/// Bytes of an `audio` body in front of the coded sound.
pub const AUDIO_HEAD_LEN: usize = 20;

/// The least and the most samples (for each channel) that an audio packet plays: 2.5 to 120 ms at 48 kHz.
pub const AUDIO_SAMPLES: std::ops::RangeInclusive<u16> = 120..=5760;

pub use crate::media::MAX_STREAM_NAME;

/// The most bytes in a text that is shown to people; a longer one is cut.
pub const MAX_TEXT: usize = 256;

/// The deepest that objects and lists may stand in one another in a control message.
pub const MAX_DEPTH: usize = 16;

/// The most values in a control message, of all its objects and lists.
pub const MAX_VALUES: usize = 2048;

/// The most versions that a hello may offer.
pub const MAX_VERSIONS: usize = 16;

/// The most streams that a welcome lists.
pub const MAX_LISTED_STREAMS: usize = 64;

/// The most bytes in the JPEG header of a rung.
pub const MAX_RUNG_HEADER: usize = 8192;

/// The most rungs that a receiver remembers; the one announced first is forgotten first.
pub const MAX_RUNGS: usize = 8;

/// The most answers that wait for a viewer to read; one that wants more without reading is sent away.
pub const MAX_ANSWERS: usize = 64;

/// The most viewers in an answer: with the longest words about each it still is one message.
pub const MAX_ANSWERED_VIEWERS: usize = 16;

/// Bytes of a datagram in front of its messages.
pub const DATAGRAM_HEAD_LEN: usize = 8;

/// The most holes that a viewer tells of at once.
pub const MAX_HOLES: usize = 64;

/// The most spans on which the end of a frame may depend.
pub const MAX_RANGES: usize = 32;

/// The largest cell that goes in parts in datagrams.
pub const MAX_SPLIT_CELL: usize = 64 << 10;
