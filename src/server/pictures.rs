//! The thread that codes a stream's pictures.

use std::{sync::Arc, time::Instant};

use tracing::{debug, warn};

use super::ingest::{Ingest, PATIENCE};
use crate::{
    capture::{Empty, VideoInlet},
    codec::{CodecError, Encoder},
    hub::Filler,
    media::{Cell, Frame, Image, MediaTime, Rung, RungKind, VideoFrame},
};

/// Codes what comes until the source is closed.
pub(super) fn code(ingest: &Ingest, filler: &Filler, inlet: &VideoInlet) {
    let mut coder = Coder {
        ingest,
        filler,
        encoder: None,
        whole: None,
    };
    loop {
        match inlet.recv(PATIENCE) {
            Ok(frame) => match coder.code(frame) {
                Ok(frame) => filler.push_frame(frame),
                Err(err) => warn!(stream = filler.stream().name(), %err, "a picture was left out"),
            },
            Err(Empty::TimedOut | Empty::Woken) => {}
            Err(Empty::Closed) => break,
        }
    }
    debug!(
        stream = filler.stream().name(),
        skipped = inlet.skipped(),
        "video coder ends"
    );
}

struct Coder<'a> {
    ingest: &'a Ingest,
    filler: &'a Filler,
    encoder: Option<Encoder>,
    /// The rung of pictures that are passed through.
    whole: Option<Arc<Rung>>,
}

impl Coder<'_> {
    fn code(&mut self, frame: VideoFrame) -> Result<Frame, CodecError> {
        let capture = media_time(self.ingest.epoch, frame.captured);
        let number = self.filler.next_frame();
        let size = frame.image.size();
        match frame.image {
            Image::Raw(picture) => {
                // A rung has one size for its life: a source that changes its size gets a new one.
                let encoder = match self
                    .encoder
                    .take()
                    .filter(|encoder| encoder.rung().size() == size)
                {
                    Some(encoder) => encoder,
                    None => Encoder::new(self.ingest.next_rung(), size, self.ingest.quality)?,
                };
                self.encoder
                    .insert(encoder)
                    .encode(&picture, number, capture)
            }
            Image::Jpeg { bytes, .. } => {
                let rung = match self.whole.take().filter(|rung| rung.size() == size) {
                    Some(rung) => rung,
                    None => Arc::new(Rung {
                        id: self.ingest.next_rung(),
                        kind: RungKind::Whole { size },
                    }),
                };
                self.whole = Some(Arc::clone(&rung));
                Ok(Frame {
                    number,
                    capture,
                    rung,
                    cells: vec![Cell {
                        version: number,
                        bytes,
                    }],
                })
            }
        }
    }
}

/// `at` on the stream's clock.
pub(super) fn media_time(epoch: Instant, at: Instant) -> MediaTime {
    MediaTime::from_duration(at.saturating_duration_since(epoch))
}
