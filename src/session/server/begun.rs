//! When frames were begun that go in datagrams, where something of an older one may be sent again meanwhile.

use std::time::Instant;

use crate::media::VideoStep;

/// The frame under way.
#[derive(Debug, Default)]
pub(super) struct Begun {
    /// When it was begun; nameless while only its rung was.
    began: Option<(Option<u64>, Instant)>,
    /// The newest frame that ended.
    last: Option<u64>,
    /// Bytes of the cells that were sent.
    gone: usize,
    /// When the frames that ended were begun, yet to be taken; reused.
    ended: Vec<Instant>,
}

impl Begun {
    /// Keeps in mind when frames are begun, and when those that end were. What is sent again of an older one begins and
    /// ends none.
    pub(super) fn note(&mut self, step: &VideoStep, now: Instant) {
        match step {
            // Another rung may begin with the picture that the last one ended with.
            VideoStep::Rung(_) => (self.began, self.last) = (Some((None, now)), None),
            VideoStep::Cell { frame, .. } => {
                let (of, since) = *self.began.get_or_insert((None, now));
                match of {
                    None if self.last < Some(*frame) => self.began = Some((Some(*frame), since)),
                    Some(of) if of < *frame => self.began = Some((Some(*frame), now)),
                    None => self.began = None,
                    Some(_) => {}
                }
            }
            VideoStep::End { frame, .. } => {
                if self.last >= Some(*frame) {
                    return;
                }
                self.last = Some(*frame);
                let (_, since) = self.began.take().unwrap_or((None, now));
                self.ended.push(since);
                self.gone = 0;
            }
        }
    }

    /// So many bytes of cells were sent.
    pub(super) const fn gone(&mut self, bytes: usize) {
        self.gone += bytes;
    }

    /// When the frame under way was begun, and how many bytes of it were sent.
    pub(super) fn under_way(&self) -> Option<(Instant, usize)> {
        let (_, began) = self.began?;
        Some((began, self.gone))
    }

    /// Whether this frame has ended.
    pub(super) fn is_over(&self, frame: u64) -> bool {
        self.last >= Some(frame)
    }

    /// The frame under way is not sent to its end.
    pub(super) const fn give_up(&mut self) {
        (self.began, self.gone) = (None, 0);
    }

    /// When the frames that ended were begun.
    pub(super) fn ended(&mut self) -> impl Iterator<Item = Instant> {
        self.ended.drain(..)
    }
}
