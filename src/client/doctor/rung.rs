//! One way, tried by the viewer's own code.

use std::future::pending;
use std::pin::pin;
use std::sync::{Arc, mpsc as std_mpsc};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::super::{Ask, Connected, News, Outcome, Outside, watch_with};
use super::{Body, Fault, Figures, Rung, Through, Trouble, Way};
use crate::config::Watch;
use crate::error::Error;
use crate::playback::Summary;
use crate::transport::{Kind, memory::Memory, race::Ways};
use crate::trust::Seen;

/// A way that was tried.
#[derive(Debug)]
pub(super) struct Tried {
    pub(super) rung: Rung,
    /// What the viewer ended with.
    pub(super) error: Option<(Way, Error)>,
}

/// Watches over this way alone, for [`MEDIA`] from the first picture on.
pub(super) async fn play(config: Watch, kind: Kind) -> Tried {
    let config = Watch {
        ways: Ways::Only(kind),
        headless: true,
        duration: None,
        snapshot: None,
        ..config
    };
    let (tell, mut news) = mpsc::channel(BACKLOG);
    let outside = Outside {
        screen: None,
        // Nobody presses a key.
        commands: std_mpsc::channel().1,
        ask: Arc::new(Asked),
        // More than wait are told in vain, which loses figures.
        news: Box::new(move |news| drop(tell.try_send(news))),
    };
    let stop = CancellationToken::new();
    let mut watching = pin!(watch_with(config, Memory::private(), outside, stop.clone()));
    let mut told = Told::default();
    let mut until = Instant::now() + MOST;
    let outcome = loop {
        tokio::select! {
            outcome = &mut watching => break Some(outcome),
            () = sleep_until(until) => {
                if stop.is_cancelled() {
                    break None;
                }
                stop.cancel();
                until = Instant::now() + GOODBYE;
            }
            news = next(&mut news) => {
                if matches!(news, News::Connected(_)) {
                    until = until.min(Instant::now() + MEDIA);
                }
                if !stop.is_cancelled() {
                    told.hear(news);
                }
            }
        }
    };
    if !stop.is_cancelled() {
        while let Ok(news) = news.try_recv() {
            told.hear(news);
        }
    }
    told.judge(Way::of(kind), outcome)
}

async fn next(news: &mut mpsc::Receiver<News>) -> News {
    match news.recv().await {
        Some(news) => news,
        None => pending().await,
    }
}

/// What the viewer has told.
#[derive(Debug, Default)]
struct Told {
    connected: Option<Connected>,
    /// The seconds since then, the first of which began before.
    seconds: Vec<Summary>,
    lost: Option<String>,
    word: Option<String>,
}

impl Told {
    fn hear(&mut self, news: News) {
        match news {
            News::Connected(connected) => self.connected = Some(connected),
            News::Stats(second) if self.connected.is_some() => self.seconds.push(*second),
            News::Lost { why } => self.lost = Some(why),
            News::Word(word) => self.word = Some(word),
            News::Stats(_) | News::Switched(_) | News::Closed { .. } => {}
        }
    }

    fn judge(self, way: Way, outcome: Option<Result<Outcome, Error>>) -> Tried {
        let (summary, error) = match outcome {
            Some(Ok(outcome)) => (Some(outcome.summary), outcome.error),
            Some(Err(error)) => (None, Some(error)),
            None => (None, None),
        };
        let elsewhere = self.elsewhere(way);
        let figures = if elsewhere.is_some() {
            Figures::default()
        } else {
            self.figures(summary.as_ref())
        };
        let fault = match &error {
            Some(error) => Some(Fault::of(error)),
            None => {
                let reached = summary.is_some_and(|all| all.transport.is_some());
                self.elsewhere(way)
                    .or_else(|| self.fault(&figures, reached))
            }
        };
        Tried {
            rung: Rung {
                way,
                figures,
                through: self.connected.as_ref().map(Through::of).unwrap_or_default(),
                fault,
            },
            error: error.map(|error| (way, error)),
        }
    }

    fn figures(&self, summary: Option<&Summary>) -> Figures {
        let all = summary.or_else(|| self.seconds.last());
        let whole = self.seconds.iter().skip(1);
        let (bytes, ms) = whole.fold((0_u64, 0_u64), |(bytes, ms), second| {
            (bytes + second.bytes_received, ms + second.duration_ms)
        });
        let jitter = all.and_then(|all| {
            let latency = all.latency_ms;
            Some((latency.p95? - latency.p50?).max(0.0))
        });
        Figures {
            reached_ms: self.connected.as_ref().and_then(|there| there.reached_ms),
            first_frame_ms: all.and_then(|all| all.first_frame_ms),
            rtt_ms: all.and_then(|all| all.rtt_ms),
            jitter_ms: jitter,
            throughput_bps: (bytes.saturating_mul(8000)).checked_div(ms),
            frames: all.map_or(0, |all| all.frames_shown),
            sounds: all.map_or(0, |all| all.audio_packets),
        }
    }

    /// What came another way says nothing of this one.
    fn elsewhere(&self, way: Way) -> Option<Fault> {
        let there = self.connected.as_ref()?.transport;
        (there != way.name()).then(|| Fault {
            trouble: Trouble::Here,
            words: format!("it went over {there} instead"),
        })
    }

    /// What is wrong with a viewer that ended because it was told to.
    fn fault(&self, figures: &Figures, reached: bool) -> Option<Fault> {
        let fault = |trouble, words: String| Some(Fault { trouble, words });
        let came = figures.frames > 0 || figures.sounds > 0;
        // Where there is a picture, sound alone is not enough.
        if self.connected.is_none() || !came {
            let within = MOST.as_secs();
            return match (&self.lost, reached) {
                (Some(why), _) => fault(Trouble::Cut, format!("it was cut again and again: {why}")),
                (None, false) => fault(Trouble::Silent, format!("no answer within {within} s")),
                (None, true) => {
                    let word = self.word.as_deref();
                    let word = word.map_or_else(String::new, |word| format!(": {word}"));
                    let lacks = if came {
                        "no picture"
                    } else {
                        "neither picture nor sound"
                    };
                    let words = format!("connected, but {lacks} within {within} s{word}");
                    fault(Trouble::NoMedia, words)
                }
            };
        }
        if let Some(why) = &self.lost {
            return fault(Trouble::Cut, format!("it was cut while it played: {why}"));
        }
        // Somebody who has nothing to show and nothing to say still gives signs of life.
        let dead = self
            .seconds
            .last()
            .is_some_and(|last| last.bytes_received == 0);
        if dead {
            let words = format!("it stopped after {} pictures", figures.frames);
            return fault(Trouble::Stalled, words);
        }
        None
    }
}

impl Through {
    /// As the viewer was told when it was connected.
    fn of(connected: &Connected) -> Self {
        Self {
            inspected: connected.inspected.clone(),
            front: connected.front.clone(),
            proxy: connected.proxy.clone(),
            body: connected.pieces.map(|pieces| match pieces {
                true => Body::HeldBack,
                false => Body::Streamed,
            }),
        }
    }
}

/// Whoever had to be asked about the server's key was asked before.
struct Asked;

impl Ask for Asked {
    fn accept(&self, _: &str, _: u16, _: &Seen) -> Result<bool, &'static str> {
        Err("it could not be shown to you before, as nothing answered over TLS")
    }
}

/// How long each way plays.
const MEDIA: Duration = Duration::from_secs(3);
/// How long it has for all, from the first packet.
const MOST: Duration = Duration::from_secs(12);
/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(2);
/// News that wait: a viewer tells one or two a second.
const BACKLOG: usize = 64;
