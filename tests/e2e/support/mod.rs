//! A server and viewers to test with, in this process.

mod program;
mod publisher;
mod raw;

use std::{
    future::Future,
    net::{Ipv4Addr, SocketAddr},
    process::{Command, Stdio},
    sync::{Arc, mpsc as std_mpsc},
    time::Duration,
};

use tokio::{sync::mpsc, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;
use tunnelcast::{
    capture::AudioSpec,
    client::{self, Ask, News, Outcome, Outside},
    config::{Access, Bounds, IdentitySource, MAX_STREAMS, MAX_VIEWERS, Serve, Watch},
    error::Error,
    playback::{Latency, Summary},
    present,
    server::{Notice, Server},
    timeline::Limits,
    trust::{Link, Seen},
};

pub(crate) use program::{Ended, Program, children, memory, signal};
pub(crate) use publisher::{TestPublisher, counted, publish, relay};
pub(crate) use raw::{Frame, Raw, Relay, dial, dial_with};

/// Only ever waited for when something is wrong; the machine may have much else to do.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// 5.3 s, 1280x720, 25 pictures a second, with sound.
pub(crate) const FILM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/bigbuckbunny.mp4");

/// A test card that is quick to code.
pub(crate) const CARD: &str = "testcard:320x192@25";

/// Waits for what must come.
pub(crate) async fn soon<T>(what: &str, coming: impl Future<Output = T>) -> T {
    match timeout(SOON, coming).await {
        Ok(done) => done,
        Err(_) => panic!("{what}: nothing within {SOON:?}"),
    }
}

/// Whether a program is there; says so if not.
pub(crate) fn have(program: &str) -> bool {
    let there = Command::new(program)
        .arg("-version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok();
    if !there {
        println!("skipped: {program} is not installed");
    }
    there
}

/// Whether this runs as root.
pub(crate) fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|id| id.stdout.trim_ascii() == b"0")
}

/// What to serve: loopback, a port of the system's choice, a fresh key, a short memory and a short linger.
pub(crate) fn serve(video: &str) -> Serve {
    Serve {
        listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))],
        quic: true,
        name: "live".to_owned(),
        video: video.parse().unwrap(),
        audio: AudioSpec::Auto,
        identity: IdentitySource::Fresh,
        host: None,
        quality: None,
        max_fps: None,
        max_bitrate: None,
        limits: Limits {
            span: Duration::from_secs(3),
            bytes: 16 << 20,
            least_frames: 10,
        },
        linger: Duration::from_millis(200),
        max_viewers: MAX_VIEWERS,
        max_streams: MAX_STREAMS,
        trusted_proxies: Vec::new(),
        access: Access::default(),
        bounds: Bounds::default(),
    }
}

/// How to watch: headless, picture and sound, until it is stopped.
pub(crate) fn watch(link: &Link) -> Watch {
    Watch {
        link: link.clone(),
        ways: tunnelcast::transport::race::Ways::All,
        inspected: tunnelcast::config::Inspected::Seal,
        proxy: tunnelcast::config::Through::WhatIsSet,
        video: true,
        audio: true,
        max_bitrate: None,
        latency: Latency::Low,
        duration: None,
        snapshot: None,
        headless: true,
        known_servers: None,
        // What one test finds out must not steer another.
        networks: Some(std::path::PathBuf::from("/dev/null/networks")),
    }
}

/// A server that stops when dropped.
pub(crate) struct TestServer {
    server: Server,
    notices: mpsc::Receiver<Notice>,
}

impl TestServer {
    pub(crate) async fn start(config: Serve) -> Self {
        let (server, notices) = soon("a server", Server::start(config)).await.unwrap();
        Self { server, notices }
    }

    pub(crate) fn link(&self) -> &Link {
        self.server.link()
    }

    /// The link for publishers.
    pub(crate) fn publish_link(&self) -> &Link {
        self.server.publish_link().expect("it has just begun")
    }

    /// The next notice as one line: `source live`, `viewer 1 watching`, `viewer 1 left: done`.
    pub(crate) async fn notice(&mut self) -> String {
        line(soon("a notice", self.notices.recv()).await.unwrap())
    }

    /// The notices that wait.
    pub(crate) fn told(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.notices.try_recv().ok())
            .map(line)
            .collect()
    }

    /// Whether one of the notices that wait says that a viewer's line takes a lower picture.
    pub(crate) fn has_stepped(&mut self) -> bool {
        let mut waiting = std::iter::from_fn(|| self.notices.try_recv().ok());
        waiting.any(|notice| {
            matches!(notice, Notice::Viewer(viewer) if viewer.step.is_some_and(|step| step > 0))
        })
    }

    /// Reads notices until this one; gives all that were read.
    pub(crate) async fn until(&mut self, wanted: &str) -> Vec<String> {
        let mut seen = Vec::new();
        while seen.last().is_none_or(|last| last != wanted) {
            seen.push(self.notice().await);
        }
        seen
    }

    pub(crate) async fn shutdown(self) {
        soon("the server's end", self.server.shutdown()).await;
    }
}

fn line(notice: Notice) -> String {
    match notice {
        Notice::Source(source) => format!("source {}", source.state),
        Notice::Publisher(publisher) => format!("publisher {}", publisher.state),
        Notice::Viewer(viewer) => {
            let why = viewer
                .reason
                .map(|why| format!(": {why}"))
                .unwrap_or_default();
            format!("viewer {} {}{why}", viewer.id, viewer.state)
        }
    }
}

/// A viewer as `tunnelcast watch --headless` is one.
pub(crate) struct TestViewer {
    task: JoinHandle<Result<Outcome, Error>>,
    news: mpsc::UnboundedReceiver<News>,
    stop: CancellationToken,
    shown: u64,
    _commands: std_mpsc::Sender<present::Command>,
}

impl TestViewer {
    pub(crate) fn start(config: Watch) -> Self {
        Self::asking(config, Nobody)
    }

    pub(crate) fn asking(config: Watch, ask: impl Ask + 'static) -> Self {
        let (commands, asked) = std_mpsc::channel();
        let (tell, news) = mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        let outside = Outside {
            screen: None,
            commands: asked,
            ask: Arc::new(ask),
            news: Box::new(move |news| {
                let _gone = tell.send(news);
            }),
        };
        Self {
            task: tokio::spawn(client::watch(config, outside, stop.clone())),
            news,
            stop,
            shown: 0,
            _commands: commands,
        }
    }

    /// The next thing that it says; `None` once it is over.
    pub(crate) async fn news(&mut self) -> Option<News> {
        soon("news of the viewer", self.news.recv()).await
    }

    /// Waits until the first picture is shown, or, without a picture, until the server has said welcome.
    pub(crate) async fn connected(&mut self) -> client::Connected {
        loop {
            if let News::Connected(connected) = self.news().await.unwrap() {
                return connected;
            }
        }
    }

    /// Waits until so many more pictures have been shown.
    pub(crate) async fn frames(&mut self, more: u64) {
        let target = self.shown + more;
        while self.shown < target {
            if let News::Stats(second) = self.news().await.unwrap() {
                self.shown += second.frames_shown;
            }
        }
    }

    /// Waits until it has said that it was disconnected.
    pub(crate) async fn disconnected(&mut self) -> String {
        loop {
            if let News::Word(word) = self.news().await.unwrap()
                && word.starts_with("disconnected")
            {
                return word;
            }
        }
    }

    /// Stops it.
    pub(crate) async fn stop(self) -> Summary {
        self.stop.cancel();
        self.end().await.unwrap()
    }

    /// Waits for it to end by itself.
    pub(crate) async fn end(self) -> Result<Summary, Error> {
        let outcome = soon("the viewer's end", self.task).await.unwrap()?;
        outcome.error.map_or(Ok(outcome.summary), Err)
    }
}

/// Where no person is.
pub(crate) struct Nobody;

impl Ask for Nobody {
    fn accept(&self, _: &str, _: u16, _: &Seen) -> Result<bool, &'static str> {
        Err("nobody is there to ask")
    }
}
