//! A viewer without a player: the session's own events, frame by frame; and a slow line to put before it.

use std::{
    collections::{HashMap, HashSet},
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy},
    net::{TcpListener, TcpSocket},
    task::JoinHandle,
    time,
};
use tunnelcast::{
    client::Words,
    media::{MediaTime, Rung, RungId},
    session::{
        Output,
        client::{Event, Session, Want},
    },
    transport::{
        First, Link, Ready,
        dial::{self, Timeouts},
    },
    trust::{self, Policy, client_config},
    wire::Text,
};

use super::soon;

/// A session over a link, driven by whoever asks for its events.
pub(crate) struct Raw {
    link: Link,
    session: Session,
    inbox: BytesMut,
    pending: BytesMut,
    alive: bool,
    rungs: HashMap<RungId, (Arc<Rung>, HashSet<u32>)>,
}

/// A frame that is there.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) number: u64,
    pub(crate) rung: Arc<Rung>,
    /// Every cell of the picture has come at least once.
    pub(crate) complete: bool,
    /// From capture until it was all there; `None` while the clocks are not known.
    pub(crate) age: Option<Duration>,
    pub(crate) capture: MediaTime,
}

impl Raw {
    /// Connects and subscribes to picture and sound.
    pub(crate) async fn connect(link: &trust::Link) -> Self {
        Self::wanting(link, true, true).await
    }

    pub(crate) async fn wanting(link: &trust::Link, video: bool, audio: bool) -> Self {
        let want = Want {
            agent: Text::new("e2e"),
            stream: Some(link.stream.parse().unwrap()),
            video,
            audio,
            ..Want::default()
        };
        Self::knock(link, want).await
    }

    /// Says that it wants this, whatever it is.
    pub(crate) async fn knock(link: &trust::Link, want: Want) -> Self {
        let mut session = Session::new(want, Instant::now());
        let opening = session.opening(Instant::now()).unwrap();
        let token = link.token.as_deref().map(|token| token.parse().unwrap());
        let link = dial_with(link, &Words::new(opening, token)).await;
        Self {
            link,
            session,
            inbox: BytesMut::new(),
            pending: BytesMut::new(),
            alive: true,
            rungs: HashMap::new(),
        }
    }

    /// A session whose first words are these.
    pub(crate) async fn saying(link: &trust::Link, first: &dyn First, session: Session) -> Self {
        Self {
            link: dial_with(link, first).await,
            session,
            inbox: BytesMut::new(),
            pending: BytesMut::new(),
            alive: true,
            rungs: HashMap::new(),
        }
    }

    /// The next thing that the server did. Cancel-safe.
    pub(crate) async fn event(&mut self) -> Event {
        soon("an event", self.next()).await
    }

    /// The next frame that is all there.
    pub(crate) async fn frame(&mut self) -> Frame {
        loop {
            if let Some(frame) = self.step().await {
                return frame;
            }
        }
    }

    /// One event; a frame if it was the end of one. Cancel-safe.
    pub(crate) async fn step(&mut self) -> Option<Frame> {
        match self.event().await {
            Event::Rung(rung) => {
                self.rungs.insert(rung.id, (rung, HashSet::new()));
            }
            Event::Cells { rung, cells, .. } => {
                let held = &mut self.rungs.get_mut(&rung).unwrap().1;
                held.extend(cells.iter().map(|(index, _)| *index));
            }
            Event::FrameEnd {
                rung,
                frame,
                capture,
            } => {
                let (rung, held) = &self.rungs[&rung];
                let now = self.session.server_time(Instant::now());
                return Some(Frame {
                    number: frame,
                    rung: Arc::clone(rung),
                    complete: held.len() == rung.cells(),
                    age: now.map(|now| now.since(capture)),
                    capture,
                });
            }
            Event::Closed(reason) => panic!("closed: {reason:?}"),
            Event::Welcome(_)
            | Event::Subscribed { .. }
            | Event::Unsubscribed
            | Event::Refused { .. }
            | Event::Audio(_)
            | Event::Source { .. }
            | Event::LateEnd { .. }
            | Event::Answer(_) => {}
        }
        None
    }

    pub(crate) fn bytes_received(&self) -> u64 {
        self.session.bytes_received()
    }

    /// What the server's media clock says at this time; `None` before an answer to the first ping has come.
    pub(crate) fn server_time(&self, at: Instant) -> Option<MediaTime> {
        self.session.server_time(at)
    }

    async fn next(&mut self) -> Event {
        loop {
            let mut taken = BytesMut::from(&[0][..]);
            let out = if self.link.is_clear() && self.alive {
                &mut self.pending
            } else {
                &mut taken
            };
            let deadline = match self.session.poll(Instant::now(), out) {
                Output::Event(event) => return event,
                Output::Send => None,
                Output::Idle(deadline) => deadline,
            };
            let sleep = async {
                match deadline {
                    Some(deadline) => time::sleep_until(deadline.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                ready = self.link.ready(&mut self.inbox, &mut self.pending), if self.alive => match ready {
                    Ok(Ready::Read(_)) => {
                        let _told = self.session.handle(&mut self.inbox, Instant::now());
                    }
                    Ok(Ready::Wrote(_) | Ready::Datagram(_) | Ready::Frame(_) | Ready::Room) => {}
                    Ok(Ready::Eof) | Err(_) => {
                        self.alive = false;
                        self.session.end();
                    }
                },
                () = sleep => {}
            }
        }
    }
}

/// A link to the server of `link`, with these first bytes.
pub(crate) async fn dial(link: &trust::Link, first: &[u8]) -> Link {
    dial_with(link, &Bytes::copy_from_slice(first)).await
}

/// The same with first words that depend on the link.
pub(crate) async fn dial_with(link: &trust::Link, first: &dyn First) -> Link {
    let config = client_config(Policy::Pinned(link.pin.unwrap()), &link.host, link.port).unwrap();
    let timeouts = Timeouts {
        connect: super::SOON,
        silence: super::SOON,
        overall: super::SOON,
    };
    let target = dial::Target {
        host: &link.host,
        port: link.port,
        stream: &link.stream,
        proxy: None,
    };
    dial::tls(target, config, first, timeouts).await.unwrap()
}

/// A line that carries so many bytes a second towards the viewers and holds next to none: what a slow line is, with
/// the kernel's buffers, which hold seconds of it, out of the way.
pub(crate) struct Relay {
    addr: SocketAddr,
    task: JoinHandle<()>,
}

impl Relay {
    /// To where `link` leads.
    pub(crate) async fn start(link: &trust::Link, bytes_a_second: usize) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let server: SocketAddr = format!("{}:{}", link.host, link.port).parse().unwrap();
        let task = tokio::spawn(async move {
            while let Ok((mut viewer, _)) = listener.accept().await {
                let socket = TcpSocket::new_v4().unwrap();
                socket.set_recv_buffer_size(8 << 10).unwrap();
                let mut server = socket.connect(server).await.unwrap();
                tokio::spawn(async move {
                    let (mut from_viewer, mut to_viewer) = viewer.split();
                    let (mut from_server, mut to_server) = server.split();
                    let down = async {
                        let mut chunk = vec![0; bytes_a_second / TURNS as usize];
                        let mut turns = time::interval(Duration::from_secs(1) / TURNS);
                        loop {
                            turns.tick().await;
                            match from_server.read(&mut chunk).await {
                                Ok(n) if n > 0 => {
                                    if to_viewer.write_all(&chunk[..n]).await.is_err() {
                                        return;
                                    }
                                }
                                _ => return,
                            }
                        }
                    };
                    tokio::select! {
                        () = down => {}
                        _ = copy(&mut from_viewer, &mut to_server) => {}
                    }
                });
            }
        });
        Self { addr, task }
    }

    /// The same link, over this line.
    pub(crate) fn link(&self, link: &trust::Link) -> trust::Link {
        trust::Link {
            port: self.addr.port(),
            ..link.clone()
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// So often a second it takes its share.
const TURNS: u32 = 20;
