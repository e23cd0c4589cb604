//! A publisher to test with, in this process, and a server that has nothing but what is published to it.

use std::{
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use tunnelcast::{
    capture::AudioSpec,
    client::Connected,
    config::{Inspected, PUBLISHED, Publish, Serve, Through},
    error::Error,
    media::LevelSet,
    publish::{self, News, Outside},
    transport::race::Ways,
    trust::Link,
};

use super::{Nobody, TestServer, serve, soon};

/// What to serve: nothing of its own.
pub(crate) fn relay() -> Serve {
    let mut config = serve("none");
    config.audio = AudioSpec::None;
    config
}

/// What to publish to a server, and the link by which it is watched.
pub(crate) fn publish(server: &TestServer, name: &str, video: &str) -> (Publish, Link) {
    let named = |link: &Link| Link {
        stream: name.to_owned(),
        ..link.clone()
    };
    let watched = named(server.link());
    let config = Publish {
        link: named(server.publish_link()),
        name: name.to_owned(),
        take_over: false,
        video: video.parse().unwrap(),
        audio: AudioSpec::Auto,
        quality: None,
        max_fps: None,
        max_bitrate: None,
        levels: true,
        limits: PUBLISHED,
        linger: Duration::from_millis(100),
        ways: Ways::All,
        inspected: Inspected::Seal,
        proxy: Through::WhatIsSet,
        known_servers: None,
        // What one test finds out must not steer another.
        networks: Some(std::path::PathBuf::from("/dev/null/networks")),
    };
    (config, watched)
}

/// A line to this port of a server, over TCP; and how many bytes have gone up.
pub(crate) async fn counted(server: u16) -> (u16, impl Fn() -> u64) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let up = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&up);
    tokio::spawn(async move {
        while let Ok((mut publisher, _)) = listener.accept().await {
            let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, server))
                .await
                .unwrap();
            for socket in [&publisher, &server] {
                socket.set_nodelay(true).unwrap();
            }
            let counter = Arc::clone(&counter);
            tokio::spawn(async move {
                let (mut from_publisher, mut to_publisher) = publisher.split();
                let (mut from_server, mut to_server) = server.split();
                let up = async {
                    let mut chunk = vec![0; 16 << 10];
                    while let Ok(n @ 1..) = from_publisher.read(&mut chunk).await {
                        counter.fetch_add(n as u64, Ordering::Relaxed);
                        if to_server.write_all(&chunk[..n]).await.is_err() {
                            return;
                        }
                    }
                };
                tokio::select! {
                    () = up => {}
                    _ = copy(&mut from_server, &mut to_publisher) => {}
                }
            });
        }
    });
    (port, move || up.load(Ordering::Relaxed))
}

/// A publisher as `tunnelcast publish` is one; it ends when dropped, without a goodbye.
pub(crate) struct TestPublisher {
    task: JoinHandle<Result<(), Error>>,
    news: mpsc::UnboundedReceiver<News>,
    stop: CancellationToken,
}

impl TestPublisher {
    pub(crate) fn start(config: Publish) -> Self {
        let (tell, news) = mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        let outside = Outside {
            ask: Arc::new(Nobody),
            news: Arc::new(move |news| {
                let _gone = tell.send(news);
            }),
        };
        Self {
            task: tokio::spawn(publish::publish(config, outside, stop.clone())),
            news,
            stop,
        }
    }

    /// The next thing that it says; `None` once it is over.
    pub(crate) async fn news(&mut self) -> Option<News> {
        soon("news of the publisher", self.news.recv()).await
    }

    /// Waits until the server has said welcome.
    pub(crate) async fn connected(&mut self) -> Connected {
        loop {
            if let News::Connected(connected) = self.news().await.unwrap() {
                return connected;
            }
        }
    }

    /// Waits until somebody watches, or nobody.
    pub(crate) async fn watched(&mut self, by_anybody: bool) {
        loop {
            if let News::Watched(watched) = self.news().await.unwrap()
                && watched == by_anybody
            {
                return;
            }
        }
    }

    /// Waits until the picture goes another way; from where to where.
    pub(crate) async fn switched(&mut self) -> (&'static str, &'static str) {
        loop {
            if let News::Switched(switched) = self.news().await.unwrap() {
                return (switched.from, switched.to);
            }
        }
    }

    /// Waits until other levels below the best picture are sent; which.
    pub(crate) async fn levels(&mut self) -> LevelSet {
        loop {
            if let News::Levels(sent) = self.news().await.unwrap() {
                return sent;
            }
        }
    }

    /// Stops it.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.end().await.unwrap();
    }

    /// As if its process were killed: nothing is said, and nothing is answered any more.
    pub(crate) async fn kill(self) {
        self.task.abort();
        let killed = soon("the publisher's end", self.task).await;
        assert!(killed.is_err());
    }

    /// Waits for it to end by itself.
    pub(crate) async fn end(self) -> Result<(), Error> {
        soon("the publisher's end", self.task).await.unwrap()
    }
}
