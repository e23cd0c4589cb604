//! What the person has before him: words, keys, figures, snapshots.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::ladder::Between;
use super::overlay::{self, About};
use super::reach::Reached;
use super::{Connected, News, SECOND, Switched, snapshot_name};
use crate::config::Watch;
use crate::error::Error;
use crate::media::Rung;
use crate::playback::{self, Playback, SnapshotError, Summary, Traffic, write_snapshot};
use crate::present::{Command, Notice, ScreenWriter};
use crate::wire::SourceState;

/// The window, the keys and whoever reads the news, over all connections of one viewer.
pub(super) struct Desk {
    playback: Arc<Playback>,
    screen: Option<ScreenWriter>,
    news: Box<dyn Fn(News) + Send + Sync>,
    inner: mpsc::Sender<Inner>,
    next_stats: Instant,
    connected: Connected,
    told: bool,
    about: About,
    /// The picture of the current subscription was shown.
    shown: bool,
    /// Figures were told since, while a snapshot was wanted of a picture that is no smaller copy of it.
    waited: bool,
    video: bool,
    source: Option<(SourceState, String)>,
    snapshot: Option<PathBuf>,
    /// Ends when the snapshot is written.
    once: bool,
}

/// What happens inside the viewer.
#[derive(Debug)]
pub(super) enum Inner {
    /// A key at the window.
    Command(Command),
    /// Something about playing.
    Playback(playback::News),
    /// A snapshot was written, or not.
    Snapshot {
        path: PathBuf,
        written: Result<(), SnapshotError>,
        why: Why,
    },
}

/// Who wanted a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// `--snapshot`: a failure is the command's.
    Asked,
    /// A key: a failure is a message.
    Key,
}

/// What the desk wants of the connection.
#[derive(Debug)]
pub(super) enum Wish {
    /// End well.
    Close,
    /// End with this.
    Fail(Error),
}

impl Desk {
    pub(super) fn new(
        config: &Watch,
        playback: Playback,
        screen: Option<ScreenWriter>,
        news: Box<dyn Fn(News) + Send + Sync>,
        inner: mpsc::Sender<Inner>,
        started: Instant,
    ) -> Self {
        Self {
            playback: Arc::new(playback),
            screen,
            news,
            inner,
            next_stats: started + SECOND,
            connected: Connected {
                transport: "tls",
                reached_ms: None,
                why: None,
                inspected: None,
                front: None,
                proxy: None,
                pieces: None,
                first_frame_ms: None,
                server_key: None,
            },
            told: false,
            about: About {
                stream: config.link.stream.clone(),
                ..About::default()
            },
            shown: false,
            waited: false,
            video: config.video,
            source: None,
            snapshot: config.snapshot.clone(),
            once: config.snapshot.is_some() && config.headless && config.duration.is_none(),
        }
    }

    pub(super) fn playback(&self) -> &Playback {
        &self.playback
    }

    /// A session begins: what was said of the one before is void.
    pub(super) fn begin(&mut self) {
        self.shown = false;
        self.source = None;
    }

    /// A link is there.
    pub(super) fn linked(&mut self, there: &Reached) {
        let Reached {
            link,
            took,
            why,
            between,
            proxy,
            pieces,
            ..
        } = there;
        self.connected.transport = link.kind().name();
        self.connected.reached_ms = Some(took.as_secs_f64() * 1000.0);
        self.connected.why.clone_from(why);
        self.connected.inspected = between.as_ref().and_then(Between::inspected);
        self.connected.proxy.clone_from(proxy);
        self.connected.pieces = *pieces;
        self.connected.front = between.as_ref().and_then(Between::front);
        self.connected.server_key = link.server_key().map(|pin| pin.to_string());
        self.about.cipher = link.cipher();
        self.about.server = link.peer().to_string();
        self.about.between.clone_from(between);
        tracing::info!(server = %link.peer(), cipher = self.about.cipher, "connected");
        self.words(if self.video {
            Notice::WaitingForPicture
        } else {
            Notice::SoundOnly
        });
    }

    /// What comes, comes another way from now on.
    pub(super) fn moved(&mut self, link: &About) {
        self.about.cipher.clone_from(&link.cipher);
        self.about.server.clone_from(&link.server);
        self.about.between.clone_from(&link.between);
    }

    /// Somebody may want to know of a move.
    pub(super) fn switched(&self, switched: Switched) {
        (self.news)(News::Switched(switched));
    }

    /// The connection is lost and will be tried again.
    pub(super) fn lost(&self, why: &str, pause: Duration) {
        (self.news)(News::Lost {
            why: why.to_owned(),
        });
        self.words(Notice::Retrying {
            why: why.to_owned(),
            pause,
        });
        let pause = pause.as_secs_f64();
        self.say(format!(
            "disconnected: {why}; connecting again in {pause:.1} s"
        ));
    }

    /// Media of the server are only sound, or none.
    pub(super) fn without_picture(&mut self) {
        self.words(Notice::SoundOnly);
        self.tell_connected(None);
    }

    /// What the pictures that follow are.
    pub(super) fn sized(&mut self, rung: &Rung) {
        let size = rung.size();
        if let Some(screen) = &self.screen {
            screen.own_size(rung.source_size());
        }
        if self.about.size.replace(size) == Some(size) {
            return;
        }
        if let Some(screen) = &self.screen {
            let (width, height) = (size.width(), size.height());
            screen.title(format!(
                "{} ({width}x{height}) - tunnelcast",
                self.about.stream
            ));
        }
    }

    /// How the source is; the same again is no news.
    pub(super) fn source(&mut self, state: SourceState, why: &str) {
        let news = Some((state, why.to_owned()));
        if self.source == news {
            return;
        }
        self.source = news;
        match state {
            SourceState::Live => {
                if let Some(screen) = self.screen.as_ref().filter(|_| self.shown) {
                    screen.words(None);
                }
            }
            SourceState::Opening => self.words(Notice::WaitingForPicture),
            SourceState::Lost | SourceState::Ended => {
                self.words(Notice::SourceLost {
                    why: why.to_owned(),
                });
                self.say(format!("the source is gone: {why}"));
            }
            SourceState::Unknown => {}
        }
    }

    /// When [`Self::stats`] is due.
    pub(super) const fn next_stats(&self) -> Instant {
        self.next_stats
    }

    /// Once a second: the figures since the last time, told to whoever wants them.
    pub(super) fn stats(&mut self, traffic: &Traffic, now: Instant) -> Summary {
        let regular = self.next_stats + SECOND;
        self.next_stats = if regular > now { regular } else { now + SECOND };
        let second = self.playback.stats(traffic, now);
        if self.shown && self.snapshot.is_some() && std::mem::replace(&mut self.waited, true) {
            // The line does not take the picture as it is.
            self.take_asked();
        }
        if let Some(screen) = &self.screen {
            screen.statistics(overlay::lines(&self.about, &second));
        }
        (self.news)(News::Stats(Box::new(second.clone())));
        second
    }

    /// The end of it all.
    pub(super) fn finish(&self, reason: &str, traffic: &Traffic, now: Instant) -> Summary {
        (self.news)(News::Closed {
            reason: reason.to_owned(),
        });
        self.playback.summary(traffic, now)
    }

    /// A snapshot was asked for and none was made.
    pub(super) const fn lacks_snapshot(&self) -> bool {
        self.snapshot.is_some()
    }

    /// Deals with what happened; gives what follows from it for the connection.
    pub(super) fn happened(&mut self, inner: Inner) -> Option<Wish> {
        match inner {
            Inner::Command(Command::Quit) => return Some(Wish::Close),
            Inner::Command(command) => self.command(command),
            Inner::Playback(playback::News::Picture { after, copy }) => {
                self.shown = true;
                if let Some(screen) = &self.screen {
                    screen.words(None);
                }
                self.tell_connected(Some(after));
                if !copy {
                    self.take_asked();
                }
            }
            Inner::Playback(playback::News::Sound(notice)) => self.say(notice.to_string()),
            Inner::Playback(playback::News::Undecodable(err)) => {
                self.say(format!("the server's pictures cannot be decoded: {err}"));
            }
            Inner::Snapshot { path, written, why } => match (written, why) {
                (Ok(()), why) => {
                    self.message(format!("written: {}", path.display()));
                    if why == Why::Asked && self.once {
                        return Some(Wish::Close);
                    }
                }
                (Err(err), Why::Key) => self.message(err.to_string()),
                (Err(err), Why::Asked) => return Some(Wish::Fail(Error::Snapshot(err))),
            },
        }
        None
    }

    /// Words over the picture, or instead of it.
    pub(super) fn words(&self, notice: Notice) {
        if let Some(screen) = &self.screen {
            screen.words(Some(notice.to_string()));
        }
    }

    /// A line for whoever reads the news.
    pub(super) fn say(&self, line: String) {
        (self.news)(News::Word(line));
    }

    fn command(&self, command: Command) {
        match command {
            Command::Quit => {}
            Command::ToggleMute => {
                let muted = !self.playback.is_muted();
                self.playback.set_muted(muted);
                self.message(if muted { "sound off" } else { "sound on" }.to_owned());
            }
            Command::Volume(step) => {
                let volume = self.playback.volume().saturating_add_signed(step).min(100);
                self.playback.set_volume(volume);
                self.message(format!("volume {volume} %"));
            }
            Command::Snapshot => self.take_snapshot(snapshot_name(), Why::Key),
        }
    }

    fn message(&self, text: String) {
        match &self.screen {
            Some(screen) => screen.message(text),
            None => self.say(text),
        }
    }

    fn take_asked(&mut self) {
        if let Some(path) = self.snapshot.take() {
            self.take_snapshot(path, Why::Asked);
        }
    }

    /// Writes on a thread of its own: a disk may be slow, and nothing may wait for it.
    fn take_snapshot(&self, path: PathBuf, why: Why) {
        let (playback, inner) = (Arc::clone(&self.playback), self.inner.clone());
        let writing = std::thread::Builder::new().name("snapshot".to_owned());
        let started = writing.spawn(move || {
            let picture = playback.picture();
            drop(playback);
            let written = match picture {
                Some(jpeg) => write_snapshot(&path, &jpeg),
                None => Err(SnapshotError::NoPicture),
            };
            // Where nobody listens any more the command is at its end.
            let _ended = inner.blocking_send(Inner::Snapshot { path, written, why });
        });
        if let Err(err) = started {
            self.message(format!("no snapshot: {err}"));
        }
    }

    fn tell_connected(&mut self, first_frame: Option<Duration>) {
        if !std::mem::replace(&mut self.told, true) {
            self.connected.first_frame_ms = first_frame.map(|after| after.as_secs_f64() * 1000.0);
            (self.news)(News::Connected(self.connected.clone()));
        }
    }
}
