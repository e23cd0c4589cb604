//! A stream of JPEGs behind each other, cut apart at their markers.
//!
//! Segments are skipped by their lengths, so that the end marker of a thumbnail inside a picture does not end the
//! picture. Whatever stands between pictures is skipped, so multipart streams and padded ones are read too. What is in a
//! picture, and whether anybody can show it, is not looked at here.

use bytes::{Buf, Bytes, BytesMut};
use memchr::{memchr, memmem};

/// What a stream begins with.
pub const MAGIC: &[u8] = &[0xFF, SOI];

/// The most bytes of one picture; a larger one is dropped.
pub const MAX_PICTURE: usize = 16 << 20;

/// Cuts a stream: [`push`](Self::push) bytes, then take every [`picture`](Self::picture).
#[derive(Debug, Default)]
pub struct Splitter {
    /// From the first byte of the picture that is being read.
    bytes: BytesMut,
    /// Where to look next; may lie behind what is there.
    at: usize,
    state: State,
    /// Coded samples were seen in the picture that is being read.
    coded: bool,
    broken: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Between pictures.
    #[default]
    Between,
    /// At a marker.
    Marker,
    /// In coded samples.
    Samples,
}

const TEM: u8 = 0x01;
const RST0: u8 = 0xD0;
const RST7: u8 = 0xD7;
const SOI: u8 = 0xD8;
const EOI: u8 = 0xD9;
const SOS: u8 = 0xDA;

/// What one look at the bytes came to.
enum Step {
    /// On to the next look.
    On,
    /// More bytes are needed.
    Wait,
    /// A whole picture, this long.
    Whole(usize),
    /// The picture is no good; another may begin at this place.
    Broken(usize),
}

impl Splitter {
    /// Takes the next bytes of the stream; [`picture`](Self::picture) is to be drained between calls.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next picture that is whole: SOI to EOI, nothing behind it.
    pub fn picture(&mut self) -> Option<Bytes> {
        loop {
            let step = match self.state {
                State::Between => self.between(),
                State::Marker => self.marker(),
                State::Samples => self.samples(),
            };
            match step {
                Step::On => {}
                Step::Wait if self.at.max(self.bytes.len()) > MAX_PICTURE => {
                    let end = self.bytes.len();
                    self.give_up(end);
                }
                Step::Wait => return None,
                Step::Broken(next) => self.give_up(next),
                Step::Whole(length) => {
                    let bytes = self.bytes.split_to(length).freeze();
                    if self.bytes.is_empty() {
                        // The next one is as long, or nearly: to grow to it would copy it, and twice that room would
                        // be held with it.
                        self.bytes = BytesMut::with_capacity(length + length / 8);
                    }
                    self.state = State::Between;
                    self.at = 0;
                    if std::mem::take(&mut self.coded) && length <= MAX_PICTURE {
                        return Some(bytes);
                    }
                    self.broken += 1;
                }
            }
        }
    }

    /// Pictures that were cut short, too large or without samples, and were dropped.
    pub const fn broken(&self) -> u64 {
        self.broken
    }

    /// Whether bytes of a picture that is not whole yet are held.
    pub fn is_within(&self) -> bool {
        self.state != State::Between
    }

    fn give_up(&mut self, next: usize) {
        self.broken += 1;
        self.bytes.advance(next.min(self.bytes.len()));
        self.state = State::Between;
        self.at = 0;
        self.coded = false;
    }

    fn between(&mut self) -> Step {
        let bytes = &self.bytes[..];
        match memmem::find(bytes, MAGIC) {
            Some(start) => {
                self.bytes.advance(start);
                self.at = MAGIC.len();
                self.state = State::Marker;
                Step::On
            }
            None => {
                // The last byte may be the first of a marker.
                let keep = usize::from(bytes.last() == Some(&0xFF));
                self.bytes.advance(bytes.len() - keep);
                Step::Wait
            }
        }
    }

    fn marker(&mut self) -> Step {
        let Some(&[prefix, code]) = self.bytes.get(self.at..self.at + 2) else {
            return Step::Wait;
        };
        match (prefix, code) {
            (0xFF, 0xFF) => self.at += 1, // fill
            (0xFF, EOI) => return Step::Whole(self.at + 2),
            (0xFF, SOI) => return Step::Broken(self.at),
            (0xFF, TEM | RST0..=RST7) => self.at += 2,
            (0xFF, 0x02..) => return self.segment(code),
            _ => return Step::Broken(self.at),
        }
        Step::On
    }

    /// A marker with a length behind it.
    fn segment(&mut self, code: u8) -> Step {
        let Some(&[high, low]) = self.bytes.get(self.at + 2..self.at + 4) else {
            return Step::Wait;
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        if length < 2 {
            return Step::Broken(self.at + 2);
        }
        self.at += 2 + length;
        if code == SOS {
            self.state = State::Samples;
            self.coded = true;
        }
        Step::On
    }

    fn samples(&mut self) -> Step {
        let Some(coded) = self.bytes.get(self.at..) else {
            return Step::Wait;
        };
        let mut from = 0;
        while let Some(found) = memchr(0xFF, &coded[from..]) {
            from += found;
            match coded.get(from + 1) {
                None => break,
                // A stuffed byte, or a restart, goes on.
                Some(0x00 | RST0..=RST7) => from += 2,
                Some(_) => {
                    self.at += from;
                    self.state = State::Marker;
                    return Step::On;
                }
            }
        }
        self.at = match coded.last() {
            Some(0xFF) if from + 1 == coded.len() => self.bytes.len() - 1,
            _ => self.bytes.len(),
        };
        Step::Wait
    }
}

#[cfg(test)]
mod tests;
