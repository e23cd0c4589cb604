//! What both sides have in common: messages come in, events go out, a peer that falls silent, the end.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::BytesMut;

use super::ending::{Ending, Step};
use super::silence::{GIVE_UP, Silence, Verdict};
use super::{CloseReason, Output, SessionError};
use crate::wire::limits::MAX_MESSAGE;
use crate::wire::{ClientControl, CloseCode, Deframer, Raw, ServerControl, Text, WireError};

/// The half of a session that does not depend on the side; `E` is what it tells.
#[derive(Debug)]
pub(super) struct Core<E> {
    ending: Ending,
    deframer: Deframer,
    silence: Silence,
    events: VecDeque<E>,
    /// A control message that did not fit the last chunk.
    held: BytesMut,
}

/// What one side says.
pub(super) trait Control {
    fn goodbye(code: CloseCode, reason: Text) -> Self;
    fn encode(&self, out: &mut BytesMut) -> Result<(), WireError>;
}

impl<E> Core<E> {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            ending: Ending::No,
            deframer: Deframer::new(),
            silence: Silence::new(now),
            events: VecDeque::new(),
            held: BytesMut::new(),
        }
    }

    /// Whether the session still takes input.
    pub(super) const fn is_open(&self) -> bool {
        self.ending.is_open()
    }

    /// Takes all of `bytes`; behind the end they are thrown away.
    pub(super) fn push(&mut self, bytes: &mut BytesMut) {
        if self.is_open() {
            self.deframer.push(bytes);
        } else {
            bytes.clear();
        }
    }

    /// The next whole message, with the place of its head among all bytes; `None` if there is none, or behind the end.
    pub(super) fn pull(&mut self, now: Instant) -> Result<Option<(u64, Raw)>, SessionError> {
        if !self.is_open() {
            return Ok(None);
        }
        let at = self.deframer.position();
        let pulled = self.deframer.pull();
        let raw = pulled.map_err(|error| SessionError::Misbehaved {
            at,
            what: error.into(),
        })?;
        Ok(raw.map(|raw| {
            self.silence.heard(now);
            (at, raw)
        }))
    }

    /// Bytes that came and were not pulled.
    pub(super) fn waiting(&self) -> usize {
        self.deframer.waiting()
    }

    /// Bytes of messages that came.
    pub(super) const fn bytes_received(&self) -> u64 {
        self.deframer.position()
    }

    /// The link has just come up: silence counts from now.
    pub(super) fn linked(&mut self, now: Instant) {
        self.silence.heard(now);
    }

    /// Tells `event`, when its turn comes.
    pub(super) fn tell(&mut self, event: E) {
        self.events.push_back(event);
    }

    /// The event that is told last as yet.
    pub(super) fn last_event(&mut self) -> Option<&mut E> {
        self.events.back_mut()
    }

    /// The event whose turn it is.
    pub(super) fn next_event(&mut self) -> Option<E> {
        self.events.pop_front()
    }

    /// Says goodbye with `code`.
    pub(super) fn close(&mut self, code: CloseCode, now: Instant) {
        let text = Text::new(&code.to_string());
        self.ending.say(code, text, CloseReason::Local(code), now);
    }

    /// Says goodbye with `code`, and `words` for a person.
    pub(super) fn part(&mut self, code: CloseCode, words: Text, now: Instant) {
        self.ending.say(code, words, CloseReason::Local(code), now);
    }

    /// Ends because of `error`, which the peer is told.
    pub(super) fn fail(&mut self, error: SessionError, now: Instant) {
        self.ending.fail(error, now);
    }

    /// Ends without a word.
    pub(super) fn end(&mut self, reason: CloseReason) {
        self.ending.tell(reason);
    }

    /// Notices what time has brought: that `wait`, until when and with what for an end, is over, or that the peer is
    /// silent. Whether to ask for a sign of life.
    pub(super) fn watch(&mut self, wait: Option<(Instant, SessionError)>, now: Instant) -> bool {
        if !self.is_open() {
            return false;
        }
        if let Some((until, error)) = wait
            && now >= until
        {
            self.fail(error, now);
            return false;
        }
        match self.silence.poll(now) {
            Verdict::Fine => false,
            Verdict::Ask => true,
            Verdict::Gone => {
                self.fail(SessionError::Silent(GIVE_UP), now);
                false
            }
        }
    }

    /// When to watch again.
    pub(super) fn deadline(&self) -> Instant {
        self.silence.deadline()
    }

    /// When the last whole message came.
    #[cfg(test)]
    pub(super) const fn last_heard(&self) -> Instant {
        self.silence.last_heard()
    }

    /// The next step of an ending that has begun.
    pub(super) fn end_step<C: Control>(
        &mut self,
        now: Instant,
        out: &mut BytesMut,
        closed: impl FnOnce(CloseReason) -> E,
    ) -> Output<E> {
        match self.ending.poll(now, out) {
            Step::Say(code, reason) => {
                // A goodbye always fits.
                let _ = C::goodbye(code, reason).encode(out);
                Output::Send
            }
            Step::Tell(reason) => Output::Event(closed(reason)),
            Step::Wait(until) => Output::Idle(until),
        }
    }

    /// Begins a chunk in `out`, which is empty, with what did not fit the last one.
    pub(super) fn begin(&mut self, out: &mut BytesMut) {
        out.extend_from_slice(&self.held.split());
    }

    /// Appends `control`; false if it was the one too many, which is kept for the next chunk.
    pub(super) fn put(&mut self, control: &impl Control, out: &mut BytesMut) -> bool {
        let start = out.len();
        // What cannot be said (no such thing is known) is left out.
        if control.encode(out).is_ok() && out.len() > MAX_MESSAGE {
            self.held = out.split_off(start);
            return false;
        }
        true
    }
}

impl Control for ClientControl {
    fn goodbye(code: CloseCode, reason: Text) -> Self {
        Self::Goodbye { code, reason }
    }

    fn encode(&self, out: &mut BytesMut) -> Result<(), WireError> {
        self.encode(out)
    }
}

impl Control for ServerControl {
    fn goodbye(code: CloseCode, reason: Text) -> Self {
        Self::Goodbye { code, reason }
    }

    fn encode(&self, out: &mut BytesMut) -> Result<(), WireError> {
        self.encode(out)
    }
}
