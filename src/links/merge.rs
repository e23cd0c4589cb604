//! One stream of what comes over two links: no packet of sound twice, no frame twice, none that is older than what was
//! seen.

use std::time::Instant;

use bytes::Bytes;

use crate::media::RungId;
use crate::session::client::{Event, Sounds};
use crate::transport::Carrier;

/// What came, over whatever way.
#[derive(Debug)]
pub(crate) struct Merge {
    active: Carrier,
    fetch: Option<Fetch>,
    sounds: Sounds,
    /// The newest frame that was complete.
    frame: Option<(RungId, u64)>,
    /// The same when what is seen came over another way: of this and those before, all is there or not wanted.
    before: Option<(RungId, u64)>,
    last_picture: Option<Instant>,
    last_sound: Option<Instant>,
}

/// The picture is asked for anew over a way.
#[derive(Debug)]
struct Fetch {
    over: Carrier,
    /// Answers under way to what was asked before.
    older: usize,
    /// That subscription stands; what came before is of another.
    subscribed: bool,
    /// What came of the picture, where it is not seen before it is complete.
    kept: Vec<Event>,
    /// What that takes.
    weight: usize,
    /// The end of the picture is there.
    whole: bool,
}

impl Default for Merge {
    fn default() -> Self {
        Self::new(Carrier::Tcp)
    }
}

impl Merge {
    /// What comes over this way is seen.
    pub(crate) fn new(active: Carrier) -> Self {
        Self {
            active,
            fetch: None,
            sounds: Sounds::default(),
            frame: None,
            before: None,
            last_picture: None,
            last_sound: None,
        }
    }

    /// When the last frame was complete, and the last packet of sound came.
    pub(crate) const fn last(&self) -> (Option<Instant>, Option<Instant>) {
        (self.last_picture, self.last_sound)
    }

    /// From the subscription on that is asked for next, what comes over this way is kept, until the first frame is
    /// complete; so many answers to earlier ones come before.
    pub(crate) fn fetch(&mut self, over: Carrier, older: usize) {
        self.fetch = Some(Fetch {
            over,
            older,
            subscribed: false,
            kept: Vec::new(),
            weight: 0,
            whole: false,
        });
    }

    /// What is fetched over this way does not come any more, or is not wanted: nothing is kept of it.
    pub(crate) fn give_up(&mut self, carrier: Carrier) {
        self.fetch.take_if(|fetch| fetch.over == carrier);
    }

    /// Whether a picture is fetched over this way, and its subscription stands.
    pub(crate) fn is_fetching(&self, carrier: Carrier) -> bool {
        let fetch = self.fetch.as_ref();
        fetch.is_some_and(|fetch| fetch.over == carrier && fetch.subscribed)
    }

    /// Keeps the end of the frame that is fetched over this way.
    pub(crate) fn keep(&mut self, carrier: Carrier, event: &Event) {
        if let Some(fetch) = &mut self.fetch
            && fetch.over == carrier
            && carrier != self.active
        {
            fetch.whole = true;
            fetch.keep(event.clone());
        }
    }

    /// What comes over this way is seen from now on: first what was kept.
    pub(crate) fn arrive(&mut self, carrier: Carrier, now: Instant) -> Vec<Event> {
        self.active = carrier;
        self.before = self.frame;
        let Some(fetch) = &mut self.fetch else {
            return Vec::new();
        };
        let kept = std::mem::take(&mut fetch.kept);
        if fetch.subscribed {
            self.fetch = None;
        }
        let kept = kept.into_iter();
        kept.filter_map(|event| self.news(event, now)).collect()
    }

    /// What of this is news.
    pub(crate) fn take(&mut self, carrier: Carrier, event: Event, now: Instant) -> Option<Event> {
        if let Event::Audio(packet) = &event {
            let new = self.sounds.is_new(packet.seq);
            if new {
                self.last_sound = Some(now);
            }
            return new.then_some(event);
        }
        if let Some(fetch) = self.fetch.as_mut().filter(|fetch| fetch.over == carrier) {
            if let Event::Subscribed { .. } | Event::Refused { .. } = event
                && fetch.older > 0
            {
                fetch.older -= 1;
                return None;
            }
            if let Event::Subscribed { .. } = event {
                // The stream is the one that plays: to the player nothing begins anew.
                fetch.subscribed = true;
                if carrier == self.active {
                    self.fetch = None;
                }
                return None;
            }
            if let Event::Refused { .. } = event {
                // Where there is another picture, that stays.
                self.fetch = None;
                return (carrier == self.active).then_some(event);
            }
            if !fetch.subscribed {
                return None;
            }
            if carrier != self.active {
                // How the source is was told over the other way as well, but perhaps not before the move.
                let matters = matches!(
                    event,
                    Event::Rung(_) | Event::Cells { .. } | Event::Source { .. }
                );
                if matters {
                    fetch.keep(event);
                }
                if fetch.is_too_much() {
                    self.fetch = None;
                }
                return None;
            }
        }
        if carrier == self.active {
            return self.news(event, now);
        }
        None
    }

    /// Leaves out what was seen: of a frame of the rung that is seen, and older, all is there. Over one and the same way
    /// a frame may end behind a later one.
    fn news(&mut self, event: Event, now: Instant) -> Option<Event> {
        let is_past = |that: Option<(RungId, u64)>, rung: RungId, frame: u64| {
            that.is_some_and(|(seen, last)| frame <= last && rung == seen)
        };
        if let Event::Cells { rung, frame, .. } | Event::LateEnd { rung, frame, .. } = &event
            && is_past(self.before, *rung, *frame)
        {
            return None;
        }
        if let Event::FrameEnd { rung, frame, .. } = &event {
            if is_past(self.frame, *rung, *frame) {
                return None;
            }
            self.frame = Some((*rung, *frame));
            self.last_picture = Some(now);
        }
        Some(event)
    }
}

impl Fetch {
    fn keep(&mut self, mut event: Event) {
        self.weight += EVENT_WEIGHT;
        if let Event::Cells { cells, .. } = &mut event {
            for (_, bytes) in cells {
                self.weight += bytes.len() + CELL_WEIGHT;
                if bytes.len() < LARGE {
                    // What was read keeps more than them.
                    *bytes = Bytes::copy_from_slice(bytes);
                }
            }
        }
        self.kept.push(event);
    }

    /// Whether this is more than any picture is. What comes between its end and the move belongs to the next.
    const fn is_too_much(&self) -> bool {
        let most = if self.whole { 2 * MOST_KEPT } else { MOST_KEPT };
        self.weight > most
    }
}

/// What is kept of a picture that is fetched; more than any has.
const MOST_KEPT: usize = 32 << 20;
/// Of an event, and of a cell, beside their bytes; about that.
const EVENT_WEIGHT: usize = 128;
const CELL_WEIGHT: usize = 64;
/// A cell that came in parts and has memory of its own.
const LARGE: usize = 32 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{AudioCodec, AudioPacket, MediaTime};

    #[expect(clippy::disallowed_methods, reason = "any instant to count from")]
    fn now() -> Instant {
        Instant::now()
    }

    fn cells(frame: u64) -> Event {
        Event::Cells {
            rung: 1,
            frame,
            capture: MediaTime::ZERO,
            cells: vec![(0, Bytes::from_static(b"x"))],
        }
    }

    fn end(frame: u64) -> Event {
        Event::FrameEnd {
            rung: 1,
            frame,
            capture: MediaTime::ZERO,
        }
    }

    fn late(frame: u64) -> Event {
        Event::LateEnd {
            rung: 1,
            frame,
            capture: MediaTime::ZERO,
        }
    }

    fn sound(seq: u64) -> Event {
        Event::Audio(AudioPacket {
            codec: AudioCodec::Opus,
            seq,
            capture: MediaTime::ZERO,
            duration: std::time::Duration::from_millis(20),
            bytes: Bytes::from_static(b"x"),
        })
    }

    fn subscribed() -> Event {
        Event::Subscribed {
            stream: "cam".parse().unwrap(),
            video: true,
            audio: true,
        }
    }

    #[test]
    fn sound_comes_over_both_and_is_heard_once() {
        let mut merge = Merge::new(Carrier::Udp);
        let mut heard = Vec::new();
        for (carrier, seq) in [
            (Carrier::Udp, 1),
            (Carrier::Tcp, 1),
            (Carrier::Tcp, 2),
            (Carrier::Udp, 3),
            (Carrier::Udp, 2),
            (Carrier::Tcp, 4),
        ] {
            if merge.take(carrier, sound(seq), now()).is_some() {
                heard.push(seq);
            }
        }
        assert_eq!(heard, [1, 2, 3, 4]);
    }

    #[test]
    fn a_picture_that_is_fetched_is_seen_when_it_is_complete_and_from_then_on_nothing_else() {
        let mut merge = Merge::new(Carrier::Tcp);
        assert!(merge.take(Carrier::Tcp, end(1), now()).is_some());
        // Tried, and thrown away.
        assert!(merge.take(Carrier::Udp, cells(2), now()).is_none());
        merge.fetch(Carrier::Udp, 0);
        assert!(merge.take(Carrier::Udp, cells(2), now()).is_none());
        assert!(merge.take(Carrier::Udp, subscribed(), now()).is_none());
        assert!(merge.take(Carrier::Udp, cells(3), now()).is_none());
        assert!(merge.take(Carrier::Tcp, end(2), now()).is_some());
        assert!(merge.is_fetching(Carrier::Udp));
        merge.keep(Carrier::Udp, &end(3));
        assert_eq!(merge.arrive(Carrier::Udp, now()), [cells(3), end(3)]);
        assert!(merge.take(Carrier::Tcp, end(3), now()).is_none());
        assert!(merge.take(Carrier::Udp, cells(4), now()).is_some());
    }

    #[test]
    fn no_frame_is_seen_twice_and_none_that_is_older() {
        let mut merge = Merge::new(Carrier::Udp);
        assert!(merge.take(Carrier::Udp, end(5), now()).is_some());
        merge.fetch(Carrier::Tcp, 0);
        assert_eq!(merge.arrive(Carrier::Tcp, now()), []);
        // Of the subscription to the sound alone.
        assert!(merge.take(Carrier::Tcp, cells(9), now()).is_none());
        assert!(merge.take(Carrier::Tcp, subscribed(), now()).is_none());
        for frame in [4, 5] {
            assert!(merge.take(Carrier::Tcp, cells(frame), now()).is_none());
            assert!(merge.take(Carrier::Tcp, end(frame), now()).is_none());
            assert!(merge.take(Carrier::Tcp, late(frame), now()).is_none());
        }
        assert!(merge.take(Carrier::Tcp, end(6), now()).is_some());
        assert!(merge.take(Carrier::Udp, end(7), now()).is_none());
    }

    #[test]
    fn over_one_way_a_frame_may_end_behind_the_next() {
        let mut merge = Merge::new(Carrier::Udp);
        assert!(merge.take(Carrier::Udp, cells(5), now()).is_some());
        assert!(merge.take(Carrier::Udp, end(6), now()).is_some());
        assert!(merge.take(Carrier::Udp, cells(5), now()).is_some());
        assert!(merge.take(Carrier::Udp, late(5), now()).is_some());
        assert!(merge.take(Carrier::Udp, end(6), now()).is_none());
    }

    #[test]
    fn the_answer_to_an_earlier_wish_is_not_taken_for_that_to_the_picture() {
        let mut merge = Merge::new(Carrier::Udp);
        merge.fetch(Carrier::Tcp, 1);
        assert_eq!(merge.arrive(Carrier::Tcp, now()), []);
        for _ in 0..2 {
            assert!(merge.take(Carrier::Tcp, cells(1), now()).is_none());
            assert!(merge.take(Carrier::Tcp, subscribed(), now()).is_none());
        }
        assert!(merge.take(Carrier::Tcp, cells(2), now()).is_some());
    }

    /// Bytes that are kept.
    fn kept(merge: &Merge) -> usize {
        merge.fetch.as_ref().map_or(0, |fetch| fetch.weight)
    }

    #[test]
    fn of_a_picture_that_never_ends_no_more_is_kept_than_any_has() {
        let large = |frame| Event::Cells {
            rung: 1,
            frame,
            capture: MediaTime::ZERO,
            cells: vec![(0, Bytes::from(vec![1; 1 << 20]))],
        };
        for event in [large, cells] {
            let mut merge = Merge::new(Carrier::Tcp);
            merge.fetch(Carrier::Udp, 0);
            merge.take(Carrier::Udp, subscribed(), now());
            let given_up = (0..1_000_000).find(|frame| {
                merge.take(Carrier::Udp, event(*frame), now());
                assert!(kept(&merge) <= MOST_KEPT);
                !merge.is_fetching(Carrier::Udp)
            });
            assert!(given_up.is_some_and(|events| events > 30));
            // What was seen goes on.
            assert!(merge.take(Carrier::Tcp, end(1), now()).is_some());
        }
    }

    #[test]
    fn what_was_fetched_over_a_way_that_is_given_up_is_forgotten() {
        let mut merge = Merge::new(Carrier::Tcp);
        merge.fetch(Carrier::Udp, 0);
        merge.take(Carrier::Udp, subscribed(), now());
        merge.take(Carrier::Udp, cells(1), now());
        merge.give_up(Carrier::Tcp);
        assert!(kept(&merge) > 0);
        merge.give_up(Carrier::Udp);
        assert_eq!(kept(&merge), 0);
        assert!(!merge.is_fetching(Carrier::Udp));
    }

    #[test]
    fn a_picture_that_is_refused_is_told_where_there_is_no_other() {
        let refused = || Event::Refused {
            stream: "cam".parse().unwrap(),
            code: crate::wire::CloseCode::NoSuchStream,
            reason: crate::wire::Text::new("gone"),
        };
        let mut merge = Merge::new(Carrier::Tcp);
        merge.fetch(Carrier::Udp, 0);
        assert!(merge.take(Carrier::Udp, refused(), now()).is_none());
        assert!(merge.take(Carrier::Tcp, end(1), now()).is_some());
        merge.fetch(Carrier::Udp, 0);
        merge.arrive(Carrier::Udp, now());
        assert!(merge.take(Carrier::Udp, refused(), now()).is_some());
    }
}
