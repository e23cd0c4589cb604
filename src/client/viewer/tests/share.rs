//! What a viewer's session is fed with.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use crate::media::{AudioPacket, MediaTime, Rung, RungKind, Size, VideoStep};
use crate::session::Feed;

/// A source of 25 pictures and 50 packets a second.
#[derive(Default)]
pub(super) struct Share {
    pub(super) video: bool,
    pub(super) audio: bool,
    pub(super) announced: bool,
    pub(super) newest: u64,
    pub(super) begun: u64,
    pub(super) todo: VecDeque<VideoStep>,
    pub(super) sounds: VecDeque<Arc<AudioPacket>>,
}

impl Feed for Share {
    fn next_audio(&mut self) -> Option<Arc<AudioPacket>> {
        self.sounds.pop_front().filter(|_| self.audio)
    }

    fn next_video(&mut self) -> Option<VideoStep> {
        if self.todo.is_empty() && self.video && self.newest > self.begun {
            self.begun = self.newest;
            let (rung, frame) = (1, self.newest);
            let capture = MediaTime::from_micros(frame * 40_000);
            if !std::mem::replace(&mut self.announced, true) {
                let size = Size::new(64, 48).unwrap();
                self.todo.push_back(VideoStep::Rung(Arc::new(Rung {
                    id: rung,
                    kind: RungKind::Whole { size },
                    source: None,
                })));
            }
            self.todo.push_back(VideoStep::Cell {
                rung,
                frame,
                capture,
                index: 0,
                bytes: Bytes::from(vec![7; 2000]),
            });
            self.todo.push_back(VideoStep::End {
                rung,
                frame,
                capture,
            });
        }
        self.todo.pop_front()
    }
}
