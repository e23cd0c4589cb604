//! Media in datagrams: each holds whole messages, and is of use whatever becomes of the others.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{BufMut as _, Bytes, BytesMut};

use super::begun::Begun;
use super::datagrams::{Room, Whole};
use super::ends::Ends;
use super::ledger::{Ledger, Lost, NotSent, Sent};
use crate::media::{AudioPacket, CellIndex, RungId, RungKind, VideoStep};
use crate::session::Feed;
use crate::wire::limits::{
    AUDIO_HEAD_LEN, CELL_HEAD_LEN, DATAGRAM_HEAD_LEN, HEAD_LEN, MAX_CELL, MAX_SPLIT_CELL,
    PART_HEAD_LEN,
};
use crate::wire::{
    Arrivals, CellPart, CellsWriter, Message, Moment, RungInfo, ServerControl, begin_datagram,
    pad_datagram, put_audio,
};

/// Fills datagrams with media. Holds at most one step of the picture that did not fit the last one, or the cell of
/// which parts are under way.
#[derive(Debug)]
pub(super) struct Parcels {
    ledger: Ledger,
    /// When something must be sent, even if there is nothing to send.
    beat_at: Instant,
    /// That time has come.
    beat: bool,
    held: Option<VideoStep>,
    large: Option<LargeCell>,
    /// The rung announced last: its name, and whether its pictures go whole.
    rung: Option<(RungId, bool)>,
    /// Yet to be said over the link's stream.
    rungs: VecDeque<RungInfo>,
    /// Packets of sound that no datagram takes: they go the same way.
    large_sounds: VecDeque<Arc<AudioPacket>>,
    /// A whole picture, yet to be sent.
    whole: Option<Whole>,
    /// The frames that ended last, as far as that is yet to be said.
    ends: Ends,
    /// One was said just now, and goes once more at once: were that datagram lost, the viewer would learn of it, and of
    /// what else is missing at the end of the frame, only by what comes next.
    echo: bool,
    /// The packet before: it goes once more with the next.
    sound: Option<Arc<AudioPacket>>,
    frames: Begun,
    /// Datagrams that go twice, behind what else there is to send: with what did not come the first time.
    twice: VecDeque<Bytes>,
    /// The datagram being filled is one of them.
    amends: bool,
    /// What the datagram being filled has; reused.
    cells: Vec<Sent>,
    /// Of which frame.
    frame: u64,
}

/// A cell that goes in parts.
#[derive(Debug)]
struct LargeCell {
    moment: Moment,
    index: CellIndex,
    total: u32,
    rest: Bytes,
    /// The position of its first part.
    began: u64,
}

impl Parcels {
    /// Nothing was sent.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            ledger: Ledger::default(),
            beat_at: now,
            beat: false,
            held: None,
            large: None,
            rung: None,
            rungs: VecDeque::new(),
            large_sounds: VecDeque::new(),
            whole: None,
            ends: Ends::default(),
            echo: false,
            sound: None,
            frames: Begun::default(),
            twice: VecDeque::new(),
            amends: false,
            cells: Vec::new(),
            frame: 0,
        }
    }

    /// Notices that it is time to send something, even if there is nothing to send; when it will be the next time.
    pub(super) fn beat(&mut self, now: Instant) -> Instant {
        if now >= self.beat_at {
            // Where there is no room, something is under way.
            (self.beat, self.beat_at) = (true, now + BEAT);
        }
        self.beat_at
    }

    /// Forgets what belongs to a subscription that is over; positions go on.
    pub(super) fn clear(&mut self) {
        let mut ledger = std::mem::take(&mut self.ledger);
        ledger.turn(0);
        *self = Self {
            ledger,
            ..Self::new(self.beat_at)
        };
    }

    /// A rung to be announced on the link's stream before its cells can be understood.
    pub(super) fn next_rung(&mut self) -> Option<ServerControl> {
        Some(ServerControl::Rung(self.rungs.pop_front()?))
    }

    /// A packet of sound that no datagram takes.
    pub(super) fn next_sound(&mut self) -> Option<Arc<AudioPacket>> {
        self.large_sounds.pop_front()
    }

    /// Whether the link's stream has something to say.
    pub(super) fn has_words(&self) -> bool {
        !self.rungs.is_empty() || !self.large_sounds.is_empty()
    }

    /// Whether there is a picture to be sent on a stream of its own.
    pub(super) const fn has_whole(&self) -> bool {
        self.whole.is_some()
    }

    /// A picture to be sent on a stream of its own, in place of an older one that is still under way.
    pub(super) const fn next_whole(&mut self) -> Option<Whole> {
        self.whole.take()
    }

    /// When the frames that ended in what was sent last were begun.
    pub(super) fn ended(&mut self) -> impl Iterator<Item = Instant> {
        self.frames.ended()
    }

    /// The frame under way: when it was begun, and how many bytes its cells have in all.
    pub(super) fn under_way(&self, feed: &dyn Feed) -> Option<(Instant, usize)> {
        let held = match &self.held {
            Some(VideoStep::Cell { bytes, .. }) => bytes.len(),
            Some(VideoStep::Rung(_) | VideoStep::End { .. }) | None => 0,
        };
        let large = self.large.as_ref().map_or(0, |large| large.rest.len());
        let (began, gone) = self.frames.under_way()?;
        Some((began, gone + held + large + feed.left()))
    }

    /// The feed has given up the frame under way.
    pub(super) fn give_up(&mut self) {
        (self.held, self.large) = (None, None);
        self.frames.give_up();
    }

    /// The viewer says what came; `lost` gets what did not. Gives the position up to which nothing is under way.
    pub(super) fn arrived(
        &mut self,
        arrivals: &Arrivals,
        lost: &mut Vec<(RungId, Lost)>,
    ) -> Result<u64, NotSent> {
        let Some((rung, _)) = self.rung else {
            return self.ledger.arrived(arrivals, &mut |_| {});
        };
        let ends = &mut self.ends;
        let until = self.ledger.arrived(arrivals, &mut |cell| {
            // What shows it is not complete until it was sent anew.
            ends.lost(&cell);
            lost.push((rung, cell));
        })?;
        self.ends.arrived(arrivals, &self.ledger);
        Ok(until)
    }

    /// Appends a datagram with as much room to `out`, which is empty, with of the picture about `picture` bytes;
    /// nothing if there is nothing to send.
    pub(super) fn fill(
        &mut self,
        feed: &mut dyn Feed,
        picture: usize,
        now: Instant,
        Room { most: room, near }: Room,
        out: &mut BytesMut,
    ) {
        begin_datagram(self.ledger.position(), out);
        self.cells.clear();
        self.amends = false;
        let again = std::mem::take(&mut self.echo) | self.put_sound(feed, room, out);
        if picture > 0 {
            self.put_picture(feed, now, room, out);
        }
        if again {
            // A frame whose last datagram was lost is settled with the next sound.
            self.ends.put(&self.ledger, room, out);
        }
        if out.len() == DATAGRAM_HEAD_LEN && !self.beat {
            out.clear();
            return;
        }
        // Without anything in it, it says that the way is still good.
        (self.beat, self.beat_at) = (false, now + BEAT);
        if near && out.len() > room - room / PADDED {
            pad_datagram(room, out);
        }
        if self.amends && self.twice.len() < MOST_TWICE {
            self.twice.push_back(Bytes::copy_from_slice(out));
        }
        // What falls out of memory was under way for longer than any line takes.
        self.ledger
            .send(out.len(), self.frame, &self.cells, &mut |_| {});
    }

    /// A datagram that was sent and goes once more as it is, if it has no more than `room` bytes.
    pub(super) fn next_again(&mut self, room: usize) -> Option<Bytes> {
        self.twice.pop_front().filter(|again| again.len() <= room)
    }

    /// Whether there was any.
    fn put_sound(&mut self, feed: &mut dyn Feed, room: usize, out: &mut BytesMut) -> bool {
        let mut spoke = false;
        // Two packets of the longest kind do not fit, and what was asked of the feed counts as sent.
        while left(room, out) >= AUDIO_ROOM
            && let Some(packet) = feed.next_audio()
        {
            let size = |packet: &AudioPacket| HEAD_LEN + AUDIO_HEAD_LEN + packet.bytes.len();
            let before = self.sound.replace(Arc::clone(&packet));
            if let Some(before) = before
                && !spoke
                && size(&before) + size(&packet) <= left(room, out)
            {
                let _ = put_audio(out, &before);
            }
            if size(&packet) <= left(room, out) {
                // A packet that cannot be said is a fault of ours, and a gap in the sound all that it may cost.
                let _ = put_audio(out, &packet);
            } else {
                if self.large_sounds.len() == MOST_SOUNDS {
                    self.large_sounds.pop_front();
                }
                self.large_sounds.push_back(packet);
            }
            spoke = true;
        }
        spoke
    }

    fn put_picture(&mut self, feed: &mut dyn Feed, now: Instant, room: usize, out: &mut BytesMut) {
        let mut open: Option<CellsWriter> = None;
        loop {
            if self.large.is_some() {
                if !self.put_part(room, out) {
                    return;
                }
                open = None;
                continue;
            }
            let step = match self.held.take() {
                Some(step) => step,
                None => {
                    let Some(step) = feed.next_video() else {
                        return;
                    };
                    self.frames.note(&step, now);
                    step
                }
            };
            if let Err(step) = self.put_step(step, &mut open, room, out) {
                self.held = Some(step);
                return;
            }
            if self.whole.is_some() {
                return;
            }
        }
    }

    /// Appends one step; gives it back if there is no room for it.
    fn put_step(
        &mut self,
        step: VideoStep,
        open: &mut Option<CellsWriter>,
        room: usize,
        out: &mut BytesMut,
    ) -> Result<(), VideoStep> {
        match &step {
            VideoStep::Rung(rung) => {
                let whole = matches!(rung.kind, RungKind::Whole { .. });
                self.rung = Some((rung.id, whole));
                self.ledger.turn(rung.cells());
                // On what the frames before depended is not known any more.
                self.ends.clear();
                self.rungs.push_back(RungInfo::of(rung));
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
                    rung: *rung,
                    frame: *frame,
                    capture: *capture,
                };
                // One datagram has cells of one frame: it is lost as a whole.
                let mixed = !self.cells.is_empty() && self.frame != *frame;
                if mixed || !self.put_cell(moment, *index, bytes, open, room, out) {
                    return Err(step);
                }
                Ok(())
            }
            VideoStep::End {
                rung,
                frame,
                capture,
            } => {
                let moment = Moment {
                    rung: *rung,
                    frame: *frame,
                    capture: *capture,
                };
                *open = None;
                if self.rung.is_some_and(|(_, whole)| whole) {
                    // Where a picture is one stream, its end is the frame's.
                    return Ok(());
                }
                self.ends.add(moment);
                self.echo = true;
                self.ends.put(&self.ledger, room, out);
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
        room: usize,
        out: &mut BytesMut,
    ) -> bool {
        let position = self.ledger.position();
        if self.rung.is_some_and(|(_, whole)| whole) {
            if bytes.len() <= MAX_CELL {
                self.put_whole(moment, bytes);
            }
            return true;
        }
        let alone = DATAGRAM_HEAD_LEN + CellsWriter::first_len(bytes.len());
        if alone > room {
            // A cell of a picture's 160x16 pixels is never so large; what cannot be said is left out.
            if let Ok(total) = u32::try_from(bytes.len())
                && bytes.len() <= MAX_SPLIT_CELL
            {
                *open = None;
                self.frame = moment.frame;
                self.large = Some(LargeCell {
                    moment,
                    index,
                    total,
                    rest: bytes.clone(),
                    began: position,
                });
            }
            return true;
        }
        match open {
            Some(writer) if writer.moment() == moment => {
                if left(room, out) < CELL_HEAD_LEN + bytes.len() {
                    return false;
                }
                let _ = writer.push(out, index, bytes);
            }
            Some(_) | None => {
                if left(room, out) < CellsWriter::first_len(bytes.len()) {
                    return false;
                }
                *open = CellsWriter::begin(out, moment, index, bytes).ok();
            }
        }
        self.frame = moment.frame;
        self.amends |= self.frames.is_over(moment.frame);
        self.cells.push(Sent {
            index,
            began: position,
        });
        self.frames.gone(bytes.len());
        true
    }

    /// Appends the next part of the large cell; whether there was room.
    fn put_part(&mut self, room: usize, out: &mut BytesMut) -> bool {
        let space = left(room, out).saturating_sub(HEAD_LEN + PART_HEAD_LEN);
        let Some(large) = &mut self.large else {
            return true;
        };
        let mixed = !self.cells.is_empty() && self.frame != large.moment.frame;
        if mixed || space < large.rest.len().min(LEAST_PART) || space == 0 {
            return false;
        }
        if large.rest.len() == large.total as usize {
            large.began = self.ledger.position();
        }
        self.frame = large.moment.frame;
        let rest = u32::try_from(large.rest.len()).unwrap_or(u32::MAX);
        let part = CellPart {
            moment: large.moment,
            index: large.index,
            offset: large.total.saturating_sub(rest),
            total: large.total,
            bytes: large.rest.split_to(space.min(large.rest.len())),
        };
        self.frames.gone(part.bytes.len());
        self.cells.push(Sent {
            index: large.index,
            began: large.began,
        });
        let done = large.rest.is_empty();
        if Message::CellPart(part).encode(out).is_err() || done {
            self.large = None;
        }
        true
    }

    fn put_whole(&mut self, moment: Moment, jpeg: &Bytes) {
        let mut head = BytesMut::with_capacity(WHOLE_HEAD_LEN);
        head.put_u64(self.ledger.position());
        let _ = Message::FrameEnd(moment).encode(&mut head);
        self.whole = Some(Whole {
            head: head.freeze(),
            jpeg: jpeg.clone(),
        });
        self.frames.gone(jpeg.len());
    }

    /// `length` bytes of a whole picture were given to the link.
    pub(super) fn sent_whole(&mut self, length: usize) {
        self.ledger.stream(length);
    }
}

pub(super) fn left(room: usize, out: &BytesMut) -> usize {
    room.saturating_sub(out.len())
}

/// Of a full datagram no more than this part is padding.
const PADDED: usize = 4;

/// The least that a packet of sound is asked for with: a packet of 20 ms at 128 kbit/s.
const AUDIO_ROOM: usize = HEAD_LEN + AUDIO_HEAD_LEN + 320;

/// Longer than this nothing is silent: a viewer takes silence for the end of a way.
const BEAT: Duration = Duration::from_millis(50);

/// Packets of sound that wait for the link's stream; older ones are too late.
const MOST_SOUNDS: usize = 8;

/// More are not sent twice: so much was lost that more would make it worse.
const MOST_TWICE: usize = 8;

/// The least room that a part is begun in: smaller ones would be mostly head.
const LEAST_PART: usize = 256;

/// Bytes before a picture on a stream of its own: its position, and the moment as a frame end.
pub(super) const WHOLE_HEAD_LEN: usize =
    DATAGRAM_HEAD_LEN + HEAD_LEN + crate::wire::limits::MOMENT_LEN;
