//! One viewer's share of a stream.

use std::{future::pending, sync::Arc, time::Duration};

use tokio::sync::watch;

use super::{Stream, view::View};
use crate::{
    media::{AudioPacket, CellIndex, Level, MediaTime, RungId, Tracks, VideoStep},
    session::Feed,
};

/// One viewer's place in a stream. While it exists the stream is in demand.
#[derive(Debug)]
pub struct Subscription {
    stream: Arc<Stream>,
    /// The picture, if it is wanted.
    view: Option<View>,
    /// Whether sound is wanted.
    audio: bool,
    /// The packet of sound sent last.
    sound: Option<u64>,
    sounds: watch::Receiver<u64>,
}

impl Subscription {
    /// A new viewer at the live head, at the best picture.
    pub fn new(stream: Arc<Stream>, want: Tracks) -> Self {
        let view = want.video.then(|| View::new(Arc::clone(&stream)));
        stream.enter();
        Self {
            sounds: stream.sounds(),
            stream,
            view,
            audio: want.audio,
            sound: None,
        }
    }

    /// Somebody who takes the pictures of one level alone.
    pub fn of_level(stream: Arc<Stream>, level: Level) -> Self {
        let view = View::of_level(Arc::clone(&stream), level);
        stream.enter();
        Self {
            sounds: stream.sounds(),
            stream,
            view: Some(view),
            audio: false,
            sound: None,
        }
    }

    /// What is watched.
    pub fn stream(&self) -> &Arc<Stream> {
        &self.stream
    }

    /// Resolves when the stream has something that this viewer wants and that came after he was last fed.
    /// Cancel-safe.
    pub async fn changed(&mut self) {
        let (view, audio) = (&mut self.view, self.audio);
        let seen = async {
            match view {
                Some(view) => view.changed().await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = seen => {}
            Ok(()) = self.sounds.changed(), if audio => {}
            // The stream cannot go away while this holds it; a viewer who wants nothing is never woken.
            else => pending::<()>().await,
        }
    }
}

impl Feed for Subscription {
    fn next_audio(&mut self) -> Option<Arc<AudioPacket>> {
        if !self.audio {
            return None;
        }
        // Before looking: what comes after that wakes again.
        self.sounds.mark_unchanged();
        let last = self.sound;
        let packet = self.stream.look(|timeline| {
            let newest = timeline.newest_sound()?;
            let packet = match last {
                // Sound that is no longer live is not worth sending: what follows it would be as late.
                Some(last) => match timeline.sound_after(last)? {
                    next if newest.capture.since(next.capture) > STALEST_SOUND => newest,
                    next => next,
                },
                None => newest,
            };
            Some(Arc::clone(packet))
        })?;
        self.sound = Some(packet.seq);
        Some(packet)
    }

    fn next_video(&mut self) -> Option<VideoStep> {
        self.view.as_mut()?.next()
    }

    fn lost(&mut self, rung: RungId, frame: u64, index: CellIndex) {
        if let Some(view) = &mut self.view {
            view.lost(rung, frame, index);
        }
    }

    fn forget(&mut self, before: MediaTime) {
        if let Some(view) = &mut self.view {
            view.forget(before);
        }
    }

    fn ahead(&mut self, bytes: usize) {
        if let Some(view) = &mut self.view {
            view.ahead(bytes);
        }
    }

    fn steps(&self) -> usize {
        self.view.as_ref().map_or(1, View::steps)
    }

    fn set_step(&mut self, step: usize) {
        if let Some(view) = &mut self.view {
            view.set_step(step);
        }
    }

    fn left(&self) -> usize {
        self.view.as_ref().map_or(0, View::left)
    }

    fn give_up(&mut self) -> bool {
        self.view.as_mut().is_some_and(View::give_up)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.stream.leave();
    }
}

/// Sound older than this against the newest is skipped.
const STALEST_SOUND: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{
        hub::Filler,
        media::{AudioCodec, Cell, Frame, Grid, MediaTime, Rung, RungKind, Size},
        timeline::Limits,
    };

    fn stream() -> Arc<Stream> {
        Stream::new(
            "live",
            Tracks {
                video: true,
                audio: true,
            },
            Limits::default(),
        )
    }

    fn push(stream: &Filler, rung: &Arc<Rung>) -> u64 {
        let number = stream.next_frame();
        let cells = vec![Cell {
            version: number,
            bytes: Bytes::new(),
        }];
        let frame = Frame {
            number,
            capture: MediaTime::ZERO,
            rung: Arc::clone(rung),
            cells,
        };
        stream.push_frame(Level::Full, Arc::new(frame));
        number
    }

    fn rung() -> Arc<Rung> {
        let grid = Grid::for_size(Size::new(160, 16).unwrap());
        Arc::new(Rung {
            id: 1,
            source: None,
            kind: RungKind::Cells {
                grid,
                header: Bytes::new(),
            },
        })
    }

    fn sound(stream: &Filler) {
        let seq = stream.next_sound();
        let duration = Duration::from_millis(20);
        let capture = MediaTime::from_micros(seq * 20_000);
        stream.push_sound(AudioPacket {
            codec: AudioCodec::Pcm,
            seq,
            capture,
            duration,
            bytes: Bytes::new(),
        });
    }

    #[test]
    fn a_viewer_is_demand_for_as_long_as_he_is_there() {
        let stream = stream();
        let viewers = stream.viewers();
        let viewer = Subscription::new(
            Arc::clone(&stream),
            Tracks {
                video: true,
                audio: true,
            },
        );
        assert_eq!(*viewers.borrow(), 1);
        drop(viewer);
        assert_eq!(*viewers.borrow(), 0);
    }

    #[test]
    fn frames_that_came_while_one_was_being_sent_are_skipped_but_the_newest() {
        let (stream, rung) = (stream(), rung());
        let filler = stream.open();
        let mut viewer = Subscription::new(
            Arc::clone(&stream),
            Tracks {
                video: true,
                audio: false,
            },
        );
        push(&filler, &rung);
        assert!(matches!(viewer.next_video(), Some(VideoStep::Rung(_))));
        push(&filler, &rung);
        let newest = push(&filler, &rung);
        assert!(matches!(
            viewer.next_video(),
            Some(VideoStep::Cell { frame: 1, .. })
        ));
        assert!(matches!(
            viewer.next_video(),
            Some(VideoStep::End { frame: 1, .. })
        ));
        assert!(
            matches!(viewer.next_video(), Some(VideoStep::Cell { frame, .. }) if frame == newest)
        );
        assert!(matches!(viewer.next_video(), Some(VideoStep::End { .. })));
        assert!(viewer.next_video().is_none());
    }

    #[test]
    fn sound_begins_with_the_newest_packet_and_then_leaves_none_out() {
        let stream = stream();
        let filler = stream.open();
        let mut viewer = Subscription::new(
            Arc::clone(&stream),
            Tracks {
                video: false,
                audio: true,
            },
        );
        for _ in 0..10 {
            sound(&filler);
        }
        assert_eq!(viewer.next_audio().unwrap().seq, 9);
        assert!(viewer.next_audio().is_none());
        sound(&filler);
        sound(&filler);
        assert_eq!(viewer.next_audio().unwrap().seq, 10);
        assert_eq!(viewer.next_audio().unwrap().seq, 11);
    }

    #[test]
    fn a_listener_who_is_a_second_behind_jumps_to_the_newest_packet() {
        let stream = stream();
        let filler = stream.open();
        let mut viewer = Subscription::new(
            Arc::clone(&stream),
            Tracks {
                video: false,
                audio: true,
            },
        );
        sound(&filler);
        viewer.next_audio();
        for _ in 0..100 {
            sound(&filler);
        }
        assert_eq!(viewer.next_audio().unwrap().seq, 100);
    }
}
