//! Publishers that mean harm: the server sends them away, or makes nothing of what they send, and whoever watches something
//! else notices nothing.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tunnelcast::{
    client::Words,
    media::{MediaTime, Role, RungId},
    session::client::{Session, Want},
    transport::{Link, Ready},
    trust::{self, Token, TokenStore},
    wire::{
        ClientControl, CloseCode, Coding, Deframer, Kind, Message, Moment, PublishInfo,
        PublisherKey, ResumeSecret, RungInfo, ServerControl, SessionId, SourceState, Text,
    },
};

use crate::support::{
    CARD, Raw, Relay, TestPublisher, TestServer, dial_with, publish, relay, soon,
};

/// Speaks the protocol's messages, as many and as wrong as it wants.
struct Hostile {
    link: Link,
    deframer: Deframer,
    read: BytesMut,
    out: BytesMut,
    /// The link has ended.
    over: bool,
    /// Its media clock.
    clock: u64,
}

/// What the server says.
#[derive(Debug)]
enum Said {
    Subscribed,
    Goodbye(CloseCode),
    Over,
}

impl Hostile {
    /// Publishes under this name; the server has said welcome, or why not.
    async fn knock(server: &TestServer, name: &str) -> Result<Self, CloseCode> {
        let to = trust::Link {
            stream: name.to_owned(),
            ..server.publish_link().clone()
        };
        let want = Want {
            role: Role::Publish,
            publish: Some(PublishInfo {
                stream: name.parse().unwrap(),
                video: true,
                audio: false,
                take_over: false,
                key: PublisherKey::from_bytes([7; 16]),
                level: None,
            }),
            ..Want::default()
        };
        let now = std::time::Instant::now();
        let opening = Session::new(want, now).opening(now).unwrap();
        let token = to.token.as_deref().map(|token| token.parse().unwrap());
        let mut hostile = Self {
            link: dial_with(&to, &Words::new(opening, token)).await,
            deframer: Deframer::new(),
            read: BytesMut::new(),
            out: BytesMut::new(),
            over: false,
            clock: 0,
        };
        match hostile.server_word().await {
            Some(ServerControl::Welcome { .. }) => Ok(hostile),
            Some(ServerControl::Goodbye { code, .. }) => Err(code),
            other => panic!("{other:?}"),
        }
    }

    /// As a server towards the server, which is the viewer from now on.
    fn welcome(&mut self) {
        self.say(&ServerControl::Welcome {
            version: 1,
            agent: Text::new("hostile"),
            session: SessionId::from_bytes([1; 16]),
            resume: ResumeSecret::from_bytes([2; 32]),
            streams: Vec::new(),
        });
    }

    fn say(&mut self, control: &ServerControl) {
        control.encode(&mut self.out).unwrap();
    }

    /// A rung of `cells` cells of one macroblock each in one row.
    fn rung(&mut self, id: RungId, cells: u32) {
        self.say(&ServerControl::Rung(RungInfo {
            id,
            coding: Coding::Cells,
            width: 16 * cells,
            height: 16,
            restart: Some(1),
            header: Some("_9g".to_owned()),
            source: None,
        }));
    }

    /// A rung of whole pictures.
    fn whole(&mut self, id: RungId, width: u32, height: u32) {
        self.say(&ServerControl::Rung(RungInfo {
            id,
            coding: Coding::Whole,
            width,
            height,
            restart: None,
            header: None,
            source: None,
        }));
    }

    fn cell(&mut self, rung: RungId, frame: u64, index: u32, bytes: Bytes) {
        let moment = self.moment(rung, frame);
        let cells = vec![(index, bytes)];
        Message::Cells { moment, cells }
            .encode(&mut self.out)
            .unwrap();
    }

    fn end(&mut self, rung: RungId, frame: u64) {
        let moment = self.moment(rung, frame);
        Message::FrameEnd(moment).encode(&mut self.out).unwrap();
    }

    fn moment(&self, rung: RungId, frame: u64) -> Moment {
        Moment {
            rung,
            frame,
            capture: MediaTime::from_micros(self.clock),
        }
    }

    /// Writes all that was said; it may be that nobody reads it any more.
    async fn flush(&mut self) {
        while !self.out.is_empty() && !self.over {
            self.step().await;
        }
    }

    async fn step(&mut self) {
        let ready = self.link.ready(&mut self.read, &mut self.out);
        match soon("the server", ready).await {
            Ok(Ready::Eof) | Err(_) => self.over = true,
            Ok(_) => {}
        }
    }

    async fn message(&mut self) -> Option<Bytes> {
        loop {
            self.deframer.push(&mut self.read);
            while let Some(raw) = self.deframer.pull().unwrap() {
                if raw.kind == Kind::Control as u8 {
                    return Some(raw.body);
                }
            }
            if self.over {
                return None;
            }
            self.step().await;
        }
    }

    async fn server_word(&mut self) -> Option<ServerControl> {
        let body = self.message().await?;
        Some(ServerControl::decode(&body).unwrap())
    }

    /// Waits until the server subscribes, or will not have any more of it; answers what has to be answered.
    async fn until(&mut self, wanted: fn(&Said) -> bool) -> Said {
        loop {
            let said = match self.message().await {
                None => Said::Over,
                Some(body) => match ClientControl::decode(&body).unwrap() {
                    ClientControl::Hello(_) => {
                        self.welcome();
                        continue;
                    }
                    ClientControl::Subscribe {
                        stream,
                        video,
                        audio,
                        ..
                    } => {
                        self.say(&ServerControl::Subscribed {
                            stream,
                            video,
                            audio,
                        });
                        self.say(&ServerControl::Source {
                            state: SourceState::Live,
                            notice: None,
                        });
                        Said::Subscribed
                    }
                    ClientControl::Ping { id } => {
                        let at = self.clock;
                        self.say(&ServerControl::Pong {
                            id,
                            received_us: at,
                            sent_us: at,
                        });
                        continue;
                    }
                    ClientControl::Goodbye { code, .. } => Said::Goodbye(code),
                    ClientControl::Unsubscribe
                    | ClientControl::Levels { .. }
                    | ClientControl::Pong { .. }
                    | ClientControl::Report(_)
                    | ClientControl::Command(_)
                    | ClientControl::Unknown => continue,
                },
            };
            if wanted(&said) || matches!(said, Said::Over) {
                return said;
            }
        }
    }

    /// Answers what has to be answered, for the time between two pictures.
    async fn listen(&mut self) {
        let goodbye = self.until(|said| matches!(said, Said::Goodbye(_)));
        let said = tokio::time::timeout(Duration::from_millis(10), goodbye).await;
        assert!(said.is_err(), "it is sent away: {said:?}");
    }

    /// Waits until somebody watches.
    async fn subscribed(&mut self) {
        let said = self.until(|said| matches!(said, Said::Subscribed)).await;
        assert!(matches!(said, Said::Subscribed), "{said:?}");
    }

    /// Waits until it is sent away; with which code.
    async fn sent_away(&mut self) -> Option<CloseCode> {
        match self.until(|said| matches!(said, Said::Goodbye(_))).await {
            Said::Goodbye(code) => Some(code),
            Said::Subscribed | Said::Over => None,
        }
    }
}

/// A stream that has nothing to do with the others, and somebody who watches it.
struct Good {
    publisher: TestPublisher,
    viewer: Raw,
}

impl Good {
    async fn start(server: &TestServer) -> Self {
        let (config, link) = publish(server, "good", CARD);
        let mut publisher = TestPublisher::start(config);
        publisher.connected().await;
        let mut viewer = Raw::connect(&link).await;
        viewer.frame().await;
        Self { publisher, viewer }
    }

    /// It goes on.
    async fn goes_on(mut self) {
        let last = self.viewer.frame().await.number;
        while self.viewer.frame().await.number < last + 10 {}
        self.publisher.stop().await;
    }
}

fn link(server: &TestServer, name: &str) -> trust::Link {
    trust::Link {
        stream: name.to_owned(),
        ..server.link().clone()
    }
}

/// Somebody who watches what a hostile one publishes.
fn watching(link: &trust::Link) -> tokio::task::JoinHandle<()> {
    let link = link.clone();
    tokio::spawn(async move {
        let mut viewer = Raw::connect(&link).await;
        loop {
            viewer.step().await;
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cells_outside_the_picture_and_frames_without_an_end_are_not_put_up_with() {
    let server = TestServer::start(relay()).await;
    let good = Good::start(&server).await;
    let mut outside = Hostile::knock(&server, "outside").await.unwrap();
    let viewer = watching(&link(&server, "outside"));
    outside.subscribed().await;
    outside.rung(1, 4);
    outside.cell(1, 1, 4, Bytes::from_static(b"x"));
    outside.flush().await;
    let code = outside.sent_away().await;
    assert_eq!(code, Some(CloseCode::Misbehaved));
    viewer.abort();

    let mut endless = Hostile::knock(&server, "endless").await.unwrap();
    let viewer = watching(&link(&server, "endless"));
    endless.subscribed().await;
    endless.rung(1, 4);
    let large = Bytes::from(vec![7; 16_000]);
    let mut frame = 0;
    while !endless.over && frame < 10_000 {
        frame += 1;
        endless.cell(1, frame, 0, large.clone());
        endless.flush().await;
    }
    // 32 MiB, and what the way there holds.
    assert!(frame < 10_000, "160 MB were taken");
    assert_eq!(endless.sent_away().await, Some(CloseCode::Misbehaved));
    viewer.abort();
    good.goes_on().await;
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_from_the_future_makes_no_picture_older_or_younger_than_it_is() {
    let server = TestServer::start(relay()).await;
    let good = Good::start(&server).await;
    let mut hostile = Hostile::knock(&server, "future").await.unwrap();
    hostile.clock = u64::MAX - 7;
    let mut viewer = Raw::connect(&link(&server, "future")).await;
    hostile.subscribed().await;
    hostile.rung(1, 1);
    let (mut last, mut known, mut frame) = (MediaTime::ZERO, false, 0);
    // Until the viewer knows the clock, and some more.
    while frame < 20 || !known {
        frame += 1;
        assert!(frame < 10_000, "the viewer has no answer to its pings");
        hostile.clock = if frame % 2 == 0 { u64::MAX } else { frame };
        hostile.cell(1, frame, 0, Bytes::from_static(b"x"));
        hostile.end(1, frame);
        hostile.flush().await;
        let shown = viewer.frame().await;
        let now = viewer.server_time(std::time::Instant::now());
        assert!(shown.capture >= last);
        // The viewer's own idea of the server's clock is a little off.
        assert!(now.is_none_or(|now| now + Duration::from_secs(1) >= shown.capture));
        known |= now.is_some();
        last = shown.capture;
    }
    good.goes_on().await;
    server.shutdown().await;
}

/// A rung of 33 million pixels with next to nothing in it, a header that speaks of another size, and no JPEG at all; to a
/// viewer who has asked for a smaller copy, so that it would have to be decoded.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jpegs_that_are_none_or_too_large_cost_nobody_else_anything() {
    let mut server = TestServer::start(relay()).await;
    let good = Good::start(&server).await;
    let mut hostile = Hostile::knock(&server, "bomb").await.unwrap();
    let line = Relay::start(&link(&server, "bomb"), 20_000).await;
    let viewer = watching(&line.link(&link(&server, "bomb")));
    hostile.subscribed().await;
    let large = Bytes::from(vec![0xff; 12_000]);
    let mut frame = 0;
    // Only a viewer whose line is too slow asks for a smaller copy.
    hostile.whole(9, 640, 480);
    while !server.has_stepped() {
        frame += 1;
        assert!(frame < 10_000, "nobody asks for a smaller copy");
        hostile.cell(9, frame, 0, large.clone());
        hostile.end(9, frame);
        hostile.flush().await;
        hostile.listen().await;
    }
    for (id, coding, width, height) in [
        (1, Coding::Whole, 8192, 4096),
        (2, Coding::Cells, 8192, 4096),
        (3, Coding::Whole, 640, 480),
    ] {
        hostile.say(&ServerControl::Rung(RungInfo {
            id,
            coding,
            width,
            height,
            restart: Some(512).filter(|_| coding == Coding::Cells),
            header: Some(HEADER.to_owned()).filter(|_| coding == Coding::Cells),
            source: None,
        }));
        for _ in 0..40 {
            frame += 1;
            let cells = if coding == Coding::Cells { 256 } else { 1 };
            for index in 0..cells {
                let bytes = if cells == 1 {
                    large.clone()
                } else {
                    large.slice(..8)
                };
                hostile.cell(id, frame, index, bytes);
            }
            hostile.end(id, frame);
            hostile.flush().await;
            hostile.listen().await;
        }
    }
    assert!(!hostile.over, "it has broken no rule");
    viewer.abort();
    good.goes_on().await;
    server.shutdown().await;
}

/// The token says how much: who keeps to it goes on, whoever does not is sent away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_the_token_allows_is_not_put_up_with() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = relay();
    config.access.state = Some(dir.path().to_owned());
    TestServer::start(config.clone()).await.shutdown().await;
    let store = TokenStore::new(dir.path());
    let limited = store.change(|tokens| {
        let all: Vec<_> = tokens.iter().cloned().collect();
        let publish = all.into_iter().filter(|token| token.role == Role::Publish);
        Ok(publish.fold(0, |count, token| {
            tokens.remove(token.id);
            let max_bps = Some(2_000_000);
            count + usize::from(tokens.add(Token { max_bps, ..token }))
        }))
    });
    assert_eq!(limited.unwrap(), 1);
    let server = TestServer::start(config).await;
    let good = Good::start(&server).await;
    let mut hostile = Hostile::knock(&server, "flood").await.unwrap();
    let viewer = watching(&link(&server, "flood"));
    hostile.subscribed().await;
    hostile.rung(1, 1);
    let large = Bytes::from(vec![7; 16_000]);
    let mut frame = 0;
    while !hostile.over && frame < 10_000 {
        frame += 1;
        hostile.cell(1, frame, 0, large.clone());
        hostile.end(1, frame);
        hostile.flush().await;
    }
    // What the token gives in 4 s and a picture, and what the way there holds.
    assert!(frame < 10_000, "160 MB were taken");
    assert_eq!(hostile.sent_away().await, Some(CloseCode::Misbehaved));
    viewer.abort();
    good.goes_on().await;
    server.shutdown().await;
}

/// SOI, and a frame header that speaks of 65,535 x 65,535 pixels: base64url.
const HEADER: &str = "_9j_wAARCP____8DASIAAhEBAxEB";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_names_only_so_many_are_taken() {
    let mut config = relay();
    config.max_streams = 4;
    let server = TestServer::start(config).await;
    let good = Good::start(&server).await;
    let mut held = Vec::new();
    let mut refused = 0;
    for n in 0..20 {
        match Hostile::knock(&server, &format!("name{n}")).await {
            Ok(hostile) => held.push(hostile),
            Err(code) => {
                assert_eq!(code, CloseCode::Busy);
                refused += 1;
            }
        }
    }
    assert_eq!((held.len(), refused), (3, 17));
    good.goes_on().await;
    server.shutdown().await;
}
