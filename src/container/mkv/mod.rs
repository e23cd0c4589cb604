//! Matroska as ffmpeg writes it to a pipe: raw 4:2:0 pictures and PCM at 48 kHz in stereo, nothing else.
//!
//! Master elements are entered, known leaves are read, the rest is skipped: the nesting is not checked, since every
//! element that matters has a name of its own.

use std::time::Duration;

use self::block::BlockHead;
use self::element::Head;
use self::track::{Entry, Track};
use super::planes::{Filling, Range};
use super::scratch::Scratch;
use crate::media::{Picture, SizeError};

mod block;
mod element;
mod track;

/// Reads a stream: put bytes into [`space`](Self::space), say so with [`filled`](Self::filled), then take every
/// [`block`](Self::block) before asking for space again.
#[derive(Debug)]
pub struct Demuxer {
    scratch: Scratch,
    state: State,
    begun: bool,
    /// Nanoseconds in a tick.
    scale: u64,
    /// The track that is being described.
    entry: Option<Entry>,
    tracks: Vec<Track>,
    /// Ticks at which the cluster begins.
    cluster: u64,
}

/// One picture or some sound, and when it is due after the stream's start.
#[derive(Debug, PartialEq)]
pub enum Block {
    /// A picture.
    Video {
        /// Time after the stream's start.
        pts: Duration,
        /// Full range.
        picture: Picture,
    },
    /// Sound.
    Sound {
        /// Time of the first sample after the stream's start.
        pts: Duration,
        /// Left and right interleaved at 48 kHz.
        samples: Vec<f32>,
    },
}

#[derive(Debug)]
enum State {
    /// At the head of an element.
    Element,
    /// In an element of no interest, this much of it still to come.
    Skip(u64),
    Picture {
        pts: Duration,
        filling: Filling,
    },
    Sound {
        pts: Duration,
        format: track::Pcm,
        bytes: Vec<u8>,
        at: usize,
    },
    /// What is wrong does not get better.
    Failed(MkvError),
}

/// Heads and leaves are parsed here; large blocks pass by it.
const SCRATCH: usize = 16 << 10;
/// A longer element of no interest is no longer believed.
const MAX_SKIP: u64 = 16 << 20;
/// Sound in one block: more than a second.
const MAX_SOUND: usize = 1 << 20;
const MAX_TRACKS: usize = 16;
/// As long as a file does not say otherwise: a millisecond.
const DEFAULT_SCALE: u64 = 1_000_000;

impl Default for Demuxer {
    fn default() -> Self {
        Self {
            scratch: Scratch::new(SCRATCH),
            state: State::Element,
            begun: false,
            scale: DEFAULT_SCALE,
            entry: None,
            tracks: Vec::new(),
            cluster: 0,
        }
    }
}

impl Demuxer {
    /// Where the next bytes go; never empty once [`block`](Self::block) has said that there is none.
    pub fn space(&mut self) -> &mut [u8] {
        if !self.scratch.is_empty() {
            return self.scratch.space();
        }
        match &mut self.state {
            State::Picture { filling, .. } => filling.space(),
            State::Sound { bytes, at, .. } => &mut bytes[*at..],
            State::Element | State::Skip(_) | State::Failed(_) => self.scratch.space(),
        }
    }

    /// Says that the first `count` bytes of [`space`](Self::space) are there.
    pub fn filled(&mut self, count: usize) {
        if !self.scratch.is_empty() {
            return self.scratch.filled(count);
        }
        match &mut self.state {
            State::Picture { filling, .. } => {
                filling.filled(count);
            }
            State::Sound { bytes, at, .. } => *at = (*at + count).min(bytes.len()),
            State::Element | State::Skip(_) | State::Failed(_) => self.scratch.filled(count),
        }
    }

    /// The next block that is whole; after an error always that error.
    pub fn block(&mut self) -> Result<Option<Block>, MkvError> {
        let step = self.step();
        if let Err(error) = &step {
            self.state = State::Failed(error.clone());
        }
        step
    }

    /// Bytes at once, for those who have them anyway.
    pub fn push(&mut self, mut bytes: &[u8], mut taker: impl FnMut(Block)) -> Result<(), MkvError> {
        while !bytes.is_empty() {
            let space = self.space();
            let count = space.len().min(bytes.len());
            space[..count].copy_from_slice(&bytes[..count]);
            bytes = &bytes[count..];
            self.filled(count);
            while let Some(block) = self.block()? {
                taker(block);
            }
        }
        Ok(())
    }

    fn step(&mut self) -> Result<Option<Block>, MkvError> {
        loop {
            match &mut self.state {
                State::Failed(error) => return Err(error.clone()),
                State::Element => {
                    if !self.element()? {
                        return Ok(None);
                    }
                }
                State::Skip(left) => {
                    let there = self.scratch.data().len();
                    let took = there.min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= took as u64;
                    let done = *left == 0;
                    self.scratch.consume(took);
                    if !done {
                        return Ok(None);
                    }
                    self.state = State::Element;
                }
                State::Picture { filling, .. } => {
                    let (took, whole) = filling.take(self.scratch.data());
                    self.scratch.consume(took);
                    if !whole {
                        return Ok(None);
                    }
                    return Ok(self.take_block());
                }
                State::Sound { bytes, at, .. } => {
                    let data = self.scratch.data();
                    let took = data.len().min(bytes.len() - *at);
                    bytes[*at..*at + took].copy_from_slice(&data[..took]);
                    *at += took;
                    let whole = *at == bytes.len();
                    self.scratch.consume(took);
                    if !whole {
                        return Ok(None);
                    }
                    return Ok(self.take_block());
                }
            }
        }
    }

    fn take_block(&mut self) -> Option<Block> {
        match std::mem::replace(&mut self.state, State::Element) {
            State::Picture { pts, filling } => Some(Block::Video {
                pts,
                picture: filling.into_picture(),
            }),
            State::Sound {
                pts, format, bytes, ..
            } => Some(Block::Sound {
                pts,
                samples: format.samples(&bytes),
            }),
            State::Element | State::Skip(_) | State::Failed(_) => None,
        }
    }

    /// Reads one element, or the head of a block; false if more bytes are needed.
    fn element(&mut self) -> Result<bool, MkvError> {
        let data = self.scratch.data();
        let Some(head) = Head::parse(data)? else {
            return Ok(false);
        };
        if !self.begun {
            if head.id != element::EBML {
                return Err(MkvError::NotMatroska);
            }
            self.begun = true;
        }
        if element::is_master(head.id) {
            if head.id == element::TRACK_ENTRY || head.id == element::CLUSTER {
                self.end_entry()?;
            }
            if head.id == element::TRACK_ENTRY {
                self.entry = Some(Entry::default());
            }
            self.scratch.consume(head.length);
            return Ok(true);
        }
        let size = head.size.ok_or(MkvError::UnknownSize)?;
        if head.id == element::SIMPLE_BLOCK || head.id == element::BLOCK {
            return self.begin_block(head.length, size);
        }
        if !element::is_leaf(head.id) {
            if size > MAX_SKIP {
                return Err(MkvError::TooLong(size));
            }
            self.scratch.consume(head.length);
            self.state = State::Skip(size);
            return Ok(true);
        }
        let length = usize::try_from(size).unwrap_or(usize::MAX);
        if length > element::MAX_LEAF {
            return Err(MkvError::TooLong(size));
        }
        let Some(value) = data.get(head.length..head.length + length) else {
            return Ok(false);
        };
        match head.id {
            element::TIMESTAMP_SCALE => {
                self.scale = element::unsigned(value).ok_or(MkvError::BadValue)?;
            }
            element::CLUSTER_TIMESTAMP => {
                self.cluster = element::unsigned(value).ok_or(MkvError::BadValue)?;
            }
            id => {
                if let Some(entry) = &mut self.entry {
                    entry.describe(id, value)?;
                }
            }
        }
        self.scratch.consume(head.length + length);
        Ok(true)
    }

    fn end_entry(&mut self) -> Result<(), MkvError> {
        if let Some(entry) = self.entry.take() {
            if self.tracks.len() >= MAX_TRACKS {
                return Err(MkvError::TooManyTracks);
            }
            self.tracks.push(entry.finish()?);
        }
        Ok(())
    }

    fn begin_block(&mut self, head: usize, size: u64) -> Result<bool, MkvError> {
        let Some(block) = BlockHead::parse(&self.scratch.data()[head..], size)? else {
            return Ok(false);
        };
        let track = self.tracks.iter().find(|track| track.number == block.track);
        let track = track.ok_or(MkvError::UnknownTrack(block.track))?;
        let pts = block
            .time(self.cluster, self.scale)
            .ok_or(MkvError::BadTime)?;
        let payload = usize::try_from(block.payload).unwrap_or(usize::MAX);
        self.state = match track.kind {
            track::Kind::Video(picture) if payload == Filling::length(picture) => State::Picture {
                pts,
                filling: Filling::new(picture, Range::Full),
            },
            track::Kind::Sound(format) if payload <= MAX_SOUND && format.divides(payload) => {
                State::Sound {
                    pts,
                    format,
                    bytes: vec![0; payload],
                    at: 0,
                }
            }
            track::Kind::Video(_) | track::Kind::Sound(_) => {
                return Err(MkvError::BlockLength(block.payload));
            }
        };
        self.scratch.consume(head + block.length);
        Ok(true)
    }
}

/// A stream that cannot be read on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MkvError {
    /// Other first bytes.
    #[error("the stream is no Matroska")]
    NotMatroska,
    /// A number that is none.
    #[error("the Matroska stream has an element with a bad head")]
    BadHead,
    /// A leaf that does not say how long it is.
    #[error("the Matroska stream has an element of unknown length that is no container")]
    UnknownSize,
    /// Absurd.
    #[error("the Matroska stream has an element of {0} bytes")]
    TooLong(u64),
    /// A leaf that holds something else.
    #[error("the Matroska stream has an element with a bad value")]
    BadValue,
    /// More than 16.
    #[error("the Matroska stream has too many tracks")]
    TooManyTracks,
    /// A picture out of bounds.
    #[error("the Matroska stream's {0}")]
    Size(#[from] SizeError),
    /// Neither raw I420 nor PCM in stereo at 48 kHz.
    #[error("the Matroska stream has a track that is neither raw I420 nor PCM at 48 kHz in stereo")]
    Format,
    /// A block of no track.
    #[error("the Matroska stream has a block of unknown track {0}")]
    UnknownTrack(u64),
    /// A block before the start or after the end of time.
    #[error("the Matroska stream has a block with a bad time")]
    BadTime,
    /// Several frames in a block.
    #[error("the Matroska stream has laced blocks")]
    Laced,
    /// A block that cannot hold what its track promises.
    #[error("the Matroska stream has a block of {0} bytes that does not fit its track")]
    BlockLength(u64),
}

#[cfg(test)]
mod tests;
