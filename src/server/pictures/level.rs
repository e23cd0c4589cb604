//! The frames of one level.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Picture, Settings};
use crate::{
    codec::{CodecError, Encoder, Quality},
    media::{Cell, Extent, Frame, Level, Rung, RungKind},
};

/// Makes the frames of one level while they are wanted, and keeps what it needs for that a little longer.
#[derive(Debug)]
pub(super) struct Maker {
    level: Level,
    coding: Option<Coding>,
    /// The picture made last, or tried.
    number: Option<u64>,
    /// What became of it.
    frame: Option<Arc<Frame>>,
    state: State,
}

/// How the pictures are coded. One size and quality for its life: whatever differs needs another rung.
#[derive(Debug)]
enum Coding {
    Cells(Box<Encoder>, Quality),
    /// Passed through.
    Whole(Arc<Rung>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Its newest frame is live.
    Live,
    /// Not wanted since then.
    Resting(Instant),
    Idle,
}

impl Maker {
    pub(super) const fn new(level: Level) -> Self {
        Self {
            level,
            coding: None,
            number: None,
            frame: None,
            state: State::Idle,
        }
    }

    /// The frame of `picture`, if the viewers do not have it yet; `early` gets what there is of it meanwhile.
    pub(super) fn make(
        &mut self,
        picture: &mut Picture,
        quality: Quality,
        settings: &Settings,
        early: Option<&mut dyn FnMut(Extent)>,
    ) -> Result<Option<Arc<Frame>>, CodecError> {
        let was = std::mem::replace(&mut self.state, State::Live);
        if self.number != Some(picture.number) {
            self.number = Some(picture.number);
            self.frame = None;
            self.frame = Some(Arc::new(self.code(picture, quality, settings, early)?));
        } else if was == State::Live {
            return Ok(None);
        }
        Ok(self.frame.clone())
    }

    /// It is not wanted. Says whether its newest frame was live until now.
    pub(super) fn rest(&mut self, now: Instant) -> bool {
        match self.state {
            State::Live => {
                self.state = State::Resting(now);
                return true;
            }
            State::Resting(since) if now.saturating_duration_since(since) >= LINGER => {
                *self = Self::new(self.level);
            }
            State::Resting(_) | State::Idle => {}
        }
        false
    }

    fn code(
        &mut self,
        picture: &mut Picture,
        quality: Quality,
        settings: &Settings,
        early: Option<&mut dyn FnMut(Extent)>,
    ) -> Result<Frame, CodecError> {
        let (number, capture) = (picture.number, picture.capture);
        if self.level == Level::Full
            && let Some((size, bytes)) = picture.sizes.jpeg()
        {
            let rung = match &self.coding {
                Some(Coding::Whole(rung)) if rung.size() == size => Arc::clone(rung),
                _ => Arc::new(Rung {
                    id: settings.next_rung(),
                    source: None,
                    kind: RungKind::Whole { size },
                }),
            };
            self.coding = Some(Coding::Whole(Arc::clone(&rung)));
            let cells = vec![Cell {
                version: number,
                bytes: bytes.clone(),
            }];
            return Ok(Frame {
                number,
                capture,
                rung,
                cells,
            });
        }
        let source = picture.sizes.size();
        let pixels = picture.sizes.pixels(self.level.halvings())?;
        let size = pixels.size();
        let mut encoder = match self.coding.take() {
            Some(Coding::Cells(encoder, is))
                if encoder.rung().size() == size
                    && encoder.rung().source_size() == source
                    && is == quality =>
            {
                encoder
            }
            _ => Box::new(Encoder::new(settings.next_rung(), size, quality)?.of(source)),
        };
        let frame = encoder.encode_early(pixels, number, capture, early);
        self.coding = Some(Coding::Cells(encoder, quality));
        frame
    }

    /// How its pictures are coded now.
    #[cfg(test)]
    pub(super) const fn is_kept(&self) -> bool {
        self.coding.is_some()
    }
}

/// How long what codes a level is kept while nobody wants it: a viewer for whom the next step is too much comes back
/// soon, or tries again.
const LINGER: Duration = Duration::from_secs(5);
