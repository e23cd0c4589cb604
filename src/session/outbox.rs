//! What of the media goes next: sound first, then steps of the picture, packed into messages when the link can take
//! them.

use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::Feed;
use crate::media::{CellIndex, MAX_AUDIO_PACKET, VideoStep};
use crate::wire::limits::{
    AUDIO_HEAD_LEN, CELL_HEAD_LEN, HEAD_LEN, MAX_CELL, MAX_INLINE_CELL, MAX_MESSAGE, MOMENT_LEN,
    PART_HEAD_LEN,
};
use crate::wire::{CellPart, CellsWriter, Message, Moment, RungInfo, ServerControl, put_audio};

/// Fills chunks with media. Holds at most one step of the picture that did not fit the last chunk, or the cell of
/// which parts are under way.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    held: Option<VideoStep>,
    large: Option<LargeCell>,
    /// When the frame under way was begun.
    began: Option<Instant>,
    /// Bytes of its cells that were appended.
    gone: usize,
    /// When the frames that ended were begun, yet to be taken; reused.
    ended: Vec<Instant>,
}

/// A cell that goes in parts.
#[derive(Debug)]
struct LargeCell {
    moment: Moment,
    index: CellIndex,
    /// Bytes of it in all.
    total: u32,
    /// What has yet to go.
    rest: Bytes,
}

/// The least room that a part is begun in: smaller ones would be mostly head.
const MIN_PART: usize = 1024;

/// The most that a packet of sound takes as a message.
pub(super) const AUDIO_ROOM: usize = HEAD_LEN + AUDIO_HEAD_LEN + MAX_AUDIO_PACKET;

impl Outbox {
    /// Forgets what is held: it belongs to a subscription that is over.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// When the frames that ended in what was appended last were begun.
    pub(super) fn ended(&mut self) -> impl Iterator<Item = Instant> {
        self.ended.drain(..)
    }

    /// The frame under way: when it was begun, and how many bytes its cells have in all.
    pub(super) fn under_way(&self, feed: &dyn Feed) -> Option<(Instant, usize)> {
        let held = match &self.held {
            Some(VideoStep::Cell { bytes, .. }) => bytes.len(),
            Some(VideoStep::Rung(_) | VideoStep::End { .. }) | None => 0,
        };
        let large = self.large.as_ref().map_or(0, |large| large.rest.len());
        Some((self.began?, self.gone + held + large + feed.left()))
    }

    /// The feed has given up the frame under way.
    pub(super) fn give_up(&mut self) {
        (self.held, self.large, self.began, self.gone) = (None, None, None, 0);
    }

    /// Appends media to `out` until it has about [`MAX_MESSAGE`] bytes, never more; of the picture about `picture`
    /// bytes.
    pub(super) fn fill(
        &mut self,
        feed: &mut dyn Feed,
        picture: usize,
        now: Instant,
        out: &mut BytesMut,
    ) {
        while room(out) >= AUDIO_ROOM
            && let Some(packet) = feed.next_audio()
        {
            // A packet that cannot be said is a fault of ours, and a gap in the sound all that it may cost.
            let _ = put_audio(out, &packet);
        }
        if picture == 0 {
            return;
        }
        // What is begun within the limit goes: a cell, or a part that is not mostly head.
        let limit = out.len().saturating_add(picture);
        let mut open: Option<CellsWriter> = None;
        while out.len() < limit {
            if self.large.is_some() {
                if !self.put_part(limit - out.len(), out) {
                    return;
                }
                continue;
            }
            let Some(step) = self.held.take().or_else(|| feed.next_video()) else {
                return;
            };
            self.began.get_or_insert(now);
            if let Err(step) = self.put_step(step, &mut open, out) {
                self.held = Some(step);
                return;
            }
        }
    }

    /// Appends one step; gives it back if there is no room for it.
    fn put_step(
        &mut self,
        step: VideoStep,
        open: &mut Option<CellsWriter>,
        out: &mut BytesMut,
    ) -> Result<(), VideoStep> {
        match step {
            VideoStep::Rung(rung) => {
                if !self.ended.is_empty() {
                    // Chunks come as they were sent, in whole records: the frame that has ended in this one waits for
                    // nothing of the next rung's.
                    return Err(VideoStep::Rung(rung));
                }
                *open = None;
                let start = out.len();
                let info = RungInfo::of(&rung);
                // As above: what cannot be said is left out.
                if ServerControl::Rung(info).encode(out).is_ok() && out.len() > MAX_MESSAGE {
                    out.truncate(start);
                    return Err(VideoStep::Rung(rung));
                }
                Ok(())
            }
            VideoStep::Cell {
                rung,
                frame,
                capture,
                index,
                bytes,
            } => {
                let moment = Moment {
                    rung,
                    frame,
                    capture,
                };
                if self.put_cell(moment, index, &bytes, open, out) {
                    return Ok(());
                }
                Err(VideoStep::Cell {
                    rung,
                    frame,
                    capture,
                    index,
                    bytes,
                })
            }
            VideoStep::End {
                rung,
                frame,
                capture,
            } => {
                if room(out) < HEAD_LEN + MOMENT_LEN {
                    return Err(step);
                }
                *open = None;
                let moment = Moment {
                    rung,
                    frame,
                    capture,
                };
                let _ = Message::FrameEnd(moment).encode(out);
                self.ended.extend(self.began.take());
                self.gone = 0;
                Ok(())
            }
        }
    }

    /// Whether there was room.
    fn put_cell(
        &mut self,
        moment: Moment,
        index: CellIndex,
        bytes: &Bytes,
        open: &mut Option<CellsWriter>,
        out: &mut BytesMut,
    ) -> bool {
        if bytes.len() > MAX_INLINE_CELL {
            if let Ok(total) = u32::try_from(bytes.len())
                && bytes.len() <= MAX_CELL
            {
                *open = None;
                self.large = Some(LargeCell {
                    moment,
                    index,
                    total,
                    rest: bytes.clone(),
                });
            }
            return true;
        }
        match open {
            Some(writer) if writer.moment() == moment => {
                if room(out) < CELL_HEAD_LEN + bytes.len() {
                    return false;
                }
                let _ = writer.push(out, index, bytes);
                self.gone += bytes.len();
            }
            Some(_) | None => {
                if room(out) < CellsWriter::first_len(bytes.len()) {
                    return false;
                }
                *open = CellsWriter::begin(out, moment, index, bytes).ok();
                self.gone += bytes.len();
            }
        }
        true
    }

    /// Appends the next part of the large cell, of about `size` bytes; whether there was room.
    fn put_part(&mut self, size: usize, out: &mut BytesMut) -> bool {
        let room = room(out).saturating_sub(HEAD_LEN + PART_HEAD_LEN);
        let part = room.min(size.max(MIN_PART));
        let Some(large) = &mut self.large else {
            return true;
        };
        if room < large.rest.len().min(MIN_PART) {
            return false;
        }
        let left = u32::try_from(large.rest.len()).unwrap_or(u32::MAX);
        let part = CellPart {
            moment: large.moment,
            index: large.index,
            offset: large.total.saturating_sub(left),
            total: large.total,
            bytes: large.rest.split_to(part.min(large.rest.len())),
        };
        let done = large.rest.is_empty();
        self.gone += part.bytes.len();
        if Message::CellPart(part).encode(out).is_err() || done {
            self.large = None;
        }
        true
    }
}

fn room(out: &BytesMut) -> usize {
    MAX_MESSAGE.saturating_sub(out.len())
}
