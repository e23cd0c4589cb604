//! Two links and two sessions in virtual time, of which one link dies at any moment: what either side had to say arrives
//! all the same, once in effect.

mod share;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use self::share::Share;
use crate::links::Merge;
use crate::links::moves::{self, Moves};
use crate::media::{AudioCodec, AudioPacket, MediaTime, Role};
use crate::session::{CloseReason, Output, client, server};
use crate::transport::Carrier;
use crate::wire::{CloseCode, ResumeSecret, SessionId, SourceState, StreamInfo, Text};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[expect(clippy::disallowed_methods, reason = "any instant to count from")]
fn start() -> Instant {
    Instant::now()
}

const fn place(carrier: Carrier) -> usize {
    match carrier {
        Carrier::Udp => 0,
        Carrier::Tcp => 1,
    }
}

/// What has come by now over a link that passes.
fn take_due(queue: &mut VecDeque<(u64, Bytes)>, passes: bool, at: u64) -> Option<Bytes> {
    let is_due = passes && queue.front().is_some_and(|(due, _)| *due <= at);
    is_due
        .then(|| queue.pop_front())
        .flatten()
        .map(|(_, bytes)| bytes)
}

/// A link with a session at each end, and what is under way.
struct Duo {
    client: client::Session,
    server: server::Session,
    share: Option<Share>,
    up: VecDeque<(u64, Bytes)>,
    down: VecDeque<(u64, Bytes)>,
    /// The state was not told since it changed.
    news: bool,
}

/// A viewer, a server and what is between them.
struct World {
    epoch: Instant,
    at: u64,
    moves: Moves,
    merge: Merge,
    duos: [Option<Duo>; 2],
    passes: [bool; 2],
    dials: Vec<(Carrier, u64)>,
    /// The server's truth.
    source: SourceState,
    offers: bool,
    goodbye: Option<CloseCode>,
    /// What the viewer knows of it.
    states: Vec<SourceState>,
    refused: usize,
    ended: Option<CloseReason>,
    frames: Vec<u64>,
    seen_at: u64,
    sounds: Vec<u64>,
    resets: usize,
}

impl World {
    fn new() -> Self {
        let epoch = start();
        let mut world = Self {
            epoch,
            at: 0,
            moves: Moves::new(Carrier::Udp, false, epoch),
            merge: Merge::new(Carrier::Udp),
            duos: [None, None],
            passes: [true; 2],
            dials: Vec::new(),
            source: SourceState::Live,
            offers: true,
            goodbye: None,
            states: Vec::new(),
            refused: 0,
            ended: None,
            frames: Vec::new(),
            seen_at: 0,
            sounds: Vec::new(),
            resets: 0,
        };
        world.link(Carrier::Udp, true);
        world
    }

    fn now(&self) -> Instant {
        self.epoch + ms(self.at)
    }

    fn link(&mut self, carrier: Carrier, video: bool) {
        let now = self.now();
        let mut streams = Vec::new();
        if self.offers {
            streams.push(StreamInfo {
                name: "cam".parse().unwrap(),
                video: true,
                audio: true,
            });
        }
        let offer = server::Offer {
            agent: Text::new("server"),
            streams,
            session: SessionId::from_bytes([1; 16]),
            resume: ResumeSecret::from_bytes([2; 32]),
            max_bps: None,
        };
        let want = client::Want {
            agent: Text::new("viewer"),
            stream: Some("cam".parse().unwrap()),
            video,
            audio: true,
            max_bps: None,
            resume: None,
            role: Role::Watch,
            publish: None,
        };
        let mut client = client::Session::new(want, now);
        client.linked(now);
        self.duos[place(carrier)] = Some(Duo {
            client,
            server: server::Session::new(offer, self.epoch, now),
            share: None,
            up: VecDeque::new(),
            down: VecDeque::new(),
            news: false,
        });
    }

    fn run(&mut self, time: u64) {
        for _ in 0..time {
            self.step();
            self.at += 1;
        }
    }

    /// The server's source is another way.
    fn set_source(&mut self, state: SourceState) {
        self.source = state;
        for duo in self.duos.iter_mut().flatten() {
            duo.news = true;
        }
    }

    /// A millisecond.
    fn step(&mut self) {
        for carrier in Carrier::ALL {
            self.serve(carrier);
            self.view(carrier);
        }
        let now = self.now();
        let at = self.at;
        let due: Vec<_> = self.dials.extract_if(.., |(_, due)| *due <= at).collect();
        for (carrier, _) in due {
            if self.passes[place(carrier)] {
                self.link(carrier, false);
                self.moves.handle(moves::Event::Stands(carrier), now);
            } else {
                self.moves.handle(moves::Event::Failed(carrier), now);
            }
        }
        self.obey();
    }

    /// The server's end.
    fn serve(&mut self, carrier: Carrier) {
        let (now, at, passes) = (self.now(), self.at, self.passes[place(carrier)]);
        let (source, goodbye) = (self.source, self.goodbye);
        let Some(duo) = &mut self.duos[place(carrier)] else {
            return;
        };
        while let Some(bytes) = take_due(&mut duo.up, passes, at) {
            let _ = duo.server.handle(&mut BytesMut::from(&bytes[..]), now);
        }
        if let Some(code) = goodbye {
            duo.server.close(code, now);
        }
        if let Some(share) = &mut duo.share {
            share.newest = at / 40;
            if at.is_multiple_of(20) {
                share.sounds.push_back(Arc::new(AudioPacket {
                    codec: AudioCodec::Opus,
                    seq: at / 20,
                    capture: MediaTime::from_micros(at * 1000),
                    duration: ms(20),
                    bytes: Bytes::from_static(b"sound"),
                }));
            }
            if std::mem::take(&mut duo.news) {
                duo.server.source(source, None);
            }
        }
        let mut out = BytesMut::new();
        loop {
            let mut nothing = Share::default();
            let feed = duo.share.as_mut().unwrap_or(&mut nothing);
            match duo.server.poll(now, feed, &mut out) {
                Output::Send => duo.down.push_back((at + 5, out.split().freeze())),
                Output::Event(server::Event::Subscribed(wanted)) => {
                    duo.share = Some(Share {
                        video: wanted.video,
                        audio: wanted.audio,
                        ..Share::default()
                    });
                    duo.server.source(source, None);
                }
                Output::Event(server::Event::Closed(_)) => {
                    duo.share = None;
                    return;
                }
                Output::Event(_) => {}
                Output::Idle(_) => return,
            }
        }
    }

    /// The viewer's end.
    fn view(&mut self, carrier: Carrier) {
        let (now, at, passes) = (self.now(), self.at, self.passes[place(carrier)]);
        let mut out = BytesMut::new();
        loop {
            let Some(duo) = &mut self.duos[place(carrier)] else {
                return;
            };
            if let Some(bytes) = take_due(&mut duo.down, passes, at) {
                self.moves.handle(moves::Event::Heard(carrier), now);
                duo.client
                    .handle(&mut BytesMut::from(&bytes[..]), now)
                    .unwrap();
            }
            match duo.client.poll(now, &mut out) {
                Output::Send => duo.up.push_back((at + 5, out.split().freeze())),
                Output::Event(event) => self.event(carrier, event),
                Output::Idle(_)
                    if duo
                        .down
                        .front()
                        .is_some_and(|(due, _)| passes && *due <= at) => {}
                Output::Idle(_) => return,
            }
        }
    }

    /// As the viewer takes it.
    fn event(&mut self, carrier: Carrier, event: client::Event) {
        let now = self.now();
        if let client::Event::Closed(reason) = event {
            let is_welcome = self.duos[place(carrier)]
                .take()
                .is_some_and(|duo| duo.client.is_welcome());
            let active = self.moves.active() == carrier;
            if let CloseReason::Peer { code, .. } = &reason
                && (active || code.is_of_every_link() && is_welcome)
            {
                self.ended.get_or_insert(reason);
                self.duos = [None, None];
                return;
            }
            self.merge.give_up(carrier);
            self.moves.handle(moves::Event::Gone(carrier), now);
            if self.duos.iter().all(Option::is_none) {
                self.ended.get_or_insert(reason);
            }
            return;
        }
        if let client::Event::FrameEnd { .. } = event {
            let frame = moves::Event::Frame(carrier, ms(10));
            self.moves.handle(frame, now);
            if self.merge.is_fetching(carrier) {
                self.merge.keep(carrier, &event);
                self.moves.handle(moves::Event::Ready(carrier), now);
            }
        }
        if let Some(event) = self.merge.take(carrier, event, now) {
            self.play(event);
        }
    }

    fn play(&mut self, event: client::Event) {
        match event {
            client::Event::Subscribed { .. } => self.resets += 1,
            client::Event::Refused { .. } => self.refused += 1,
            client::Event::Source { state, .. } => {
                if self.states.last() != Some(&state) {
                    self.states.push(state);
                }
            }
            client::Event::FrameEnd { frame, .. } => {
                self.frames.push(frame);
                self.seen_at = self.at;
            }
            client::Event::Audio(packet) => self.sounds.push(packet.seq),
            client::Event::Welcome(_)
            | client::Event::Unsubscribed
            | client::Event::LateEnd { .. }
            | client::Event::Answer(_)
            | client::Event::Rung(_)
            | client::Event::Cells { .. }
            | client::Event::Closed(_) => {}
        }
    }

    fn obey(&mut self) {
        let now = self.now();
        if self.ended.is_some() {
            return;
        }
        loop {
            match self.moves.poll(now) {
                moves::Output::Wait(_) => return,
                moves::Output::Dial(carrier) => self.dials.push((carrier, self.at + 40)),
                moves::Output::Ask(carrier) => {
                    if let Some(duo) = &mut self.duos[place(carrier)] {
                        duo.client.ask(now);
                    }
                }
                moves::Output::Try(carrier) => self.subscribe(carrier, true),
                moves::Output::Fetch(carrier) => {
                    let duo = self.duos[place(carrier)].as_ref();
                    let older = duo.is_some_and(|duo| duo.client.is_asked());
                    self.merge.fetch(carrier, usize::from(older));
                    self.subscribe(carrier, true);
                }
                moves::Output::Move(carrier, _) => {
                    for event in self.merge.arrive(carrier, now) {
                        self.play(event);
                    }
                    self.subscribe(moves::other(carrier), false);
                }
                moves::Output::Drop(carrier) => {
                    self.merge.give_up(carrier);
                    if let Some(duo) = &mut self.duos[place(carrier)] {
                        duo.client.close(CloseCode::Done, now);
                    }
                }
                moves::Output::Rebind(_) | moves::Output::Cut(_) => {}
            }
        }
    }

    fn subscribe(&mut self, carrier: Carrier, video: bool) {
        if let Some(duo) = &mut self.duos[place(carrier)] {
            duo.client.subscribe("cam".parse().unwrap(), video, true);
        }
    }

    /// What must be so however it went.
    fn assert_whole(&self, when: u64) {
        assert_eq!(self.ended, None, "cut at {when}");
        assert!(self.at - self.seen_at < 100, "no picture, cut at {when}");
        assert!(self.frames.is_sorted_by(|a, b| a < b), "cut at {when}");
        let mut sounds = self.sounds.clone();
        sounds.sort_unstable();
        assert!(sounds.is_sorted_by(|a, b| a < b), "twice, cut at {when}");
        // To the player the stream began once.
        assert_eq!(self.resets, 1, "cut at {when}");
        assert_eq!(self.states.last(), Some(&self.source), "cut at {when}");
    }
}

#[test]
fn wherever_udp_is_cut_the_picture_is_asked_for_again_and_the_stream_begins_once() {
    for when in (20..3000).step_by(7) {
        let mut world = World::new();
        world.run(when);
        world.passes[0] = false;
        world.run(2500);
        world.assert_whole(when);
    }
}

#[test]
fn wherever_udp_is_cut_on_the_way_back_to_it_the_picture_stays() {
    for when in (0..2600).step_by(13) {
        let mut world = World::new();
        world.run(2000);
        world.passes[0] = false;
        world.run(1000);
        world.passes[0] = true;
        // It is tried again after five seconds.
        world.run(4100 + when);
        world.passes[0] = false;
        world.run(2500);
        world.assert_whole(when);
    }
}

#[test]
fn a_change_of_the_source_is_known_wherever_a_link_is_cut_and_told_once() {
    for when in 1900..2500 {
        let mut world = World::new();
        world.run(when.min(2200));
        let change = |world: &mut World| world.set_source(SourceState::Lost);
        if when >= 2200 {
            change(&mut world);
            world.run(when - 2200);
            world.passes[0] = false;
        } else {
            world.passes[0] = false;
            world.run(2200 - when);
            change(&mut world);
        }
        world.run(2000);
        world.assert_whole(when);
        let told = [SourceState::Live, SourceState::Lost];
        assert_eq!(world.states, told, "cut at {when}");
    }
}

#[test]
fn a_change_of_the_source_while_the_picture_goes_back_to_udp_is_known() {
    for when in (4000..7200).step_by(11) {
        let mut world = World::new();
        world.run(2000);
        world.passes[0] = false;
        world.run(1000);
        world.passes[0] = true;
        world.run(when);
        world.set_source(SourceState::Lost);
        world.run(3000);
        world.assert_whole(when);
        let told = [SourceState::Live, SourceState::Lost];
        assert_eq!(world.states, told, "changed at {when}");
    }
}

#[test]
fn a_goodbye_is_heard_wherever_udp_is_cut() {
    for code in [CloseCode::Going, CloseCode::Forbidden] {
        for when in (1900..2600).step_by(3) {
            let mut world = World::new();
            world.run(when);
            world.passes[0] = false;
            world.run(2600 - when);
            world.goodbye = Some(code);
            world.run(200);
            let said =
                matches!(&world.ended, Some(CloseReason::Peer { code: said, .. }) if *said == code);
            assert!(said, "{:?}, cut at {when}", world.ended);
        }
    }
}

#[test]
fn a_goodbye_that_concerns_the_link_that_stands_by_ends_that_alone() {
    let mut world = World::new();
    world.run(2000);
    if let Some(duo) = &mut world.duos[1] {
        duo.server.close(CloseCode::Silent, world.epoch + ms(2000));
    }
    world.run(3000);
    world.assert_whole(2000);
    assert!(world.duos[1].is_some(), "another stands by");
}

#[test]
fn a_stream_that_is_there_no_more_is_refused_over_the_way_that_is_left() {
    for when in (400..1000).step_by(9) {
        let mut world = World::new();
        world.run(when);
        // Who comes from now on is not offered it.
        world.offers = false;
        world.passes[0] = false;
        world.run(3000);
        assert_eq!(world.refused, 1, "cut at {when}");
    }
}
