//! The sound card: a ring of samples in front of it, a thread that owns it, and silence for as long as there is none.

mod device;
mod fit;
mod lessons;
mod patience;
mod ring;

use std::{
    collections::VecDeque,
    sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use self::{lessons::Lessons, ring::Line};
use super::{AudioSink, Null, SinkNotice};

/// The default output device, found again whenever it goes away.
///
/// While there is none, sound is taken in real time and goes nowhere.
#[derive(Debug)]
pub struct Speaker {
    news: Receiver<News>,
    commands: SyncSender<Command>,
    thread: Option<JoinHandle<()>>,
    line: Option<Line>,
    lessons: Lessons,
    null: Null,
    notices: VecDeque<SinkNotice>,
    /// Of devices that are gone.
    underruns: u64,
}

impl Speaker {
    /// Starts looking for the device, on a thread of its own; returns at once.
    pub fn start() -> Result<Self, SpeakerError> {
        let (tell, news) = sync_channel(4);
        let (commands, orders) = sync_channel(4);
        let failures = commands.clone();
        let thread = std::thread::Builder::new()
            .name("speaker".into())
            .spawn(move || device::run(&tell, &orders, &failures))
            .map_err(SpeakerError::Thread)?;
        Ok(Self {
            news,
            commands,
            thread: Some(thread),
            line: None,
            lessons: Lessons::new(device::now()),
            null: Null::new(),
            notices: VecDeque::new(),
            underruns: 0,
        })
    }

    fn hang_up(&mut self) {
        if let Some(line) = self.line.take() {
            self.underruns += line.underruns();
        }
        self.null.rest();
    }

    fn remember(&mut self, notice: SinkNotice) {
        if self.notices.len() >= 8 {
            self.notices.pop_front();
        }
        self.notices.push_back(notice);
    }
}

impl AudioSink for Speaker {
    fn rate(&self) -> u32 {
        self.line
            .as_ref()
            .map_or_else(|| self.null.rate(), Line::rate)
    }

    fn write(&mut self, samples: &[f32], now: Instant) -> usize {
        match &mut self.line {
            Some(line) => line.write(samples),
            None => self.null.write(samples, now),
        }
    }

    fn buffered(&self, now: Instant) -> Duration {
        match &self.line {
            Some(line) => line.buffered(),
            None => self.null.buffered(now),
        }
    }

    fn reserve(&self) -> Duration {
        self.line.as_ref().map_or_else(
            || self.null.reserve(),
            |line| line.reserve(self.lessons.margin()),
        )
    }

    fn delay(&self, now: Instant) -> Duration {
        match &self.line {
            Some(line) => line.delay(now),
            None => self.null.delay(now),
        }
    }

    fn rest(&mut self) {
        match &self.line {
            Some(line) => line.rest(),
            None => self.null.rest(),
        }
    }

    fn underruns(&self) -> u64 {
        self.underruns + self.line.as_ref().map_or(0, Line::underruns)
    }

    fn poll(&mut self, now: Instant) -> Option<SinkNotice> {
        loop {
            match self.news.try_recv() {
                Ok(News::Playing(line)) => {
                    // the same device with another buffer is no news
                    let known = self
                        .line
                        .as_ref()
                        .is_some_and(|old| old.device() == line.device());
                    self.hang_up();
                    let device = line.device().to_owned();
                    self.line = Some(line);
                    if !known {
                        self.remember(SinkNotice::Playing { device });
                    }
                }
                Ok(News::Lost { why }) => {
                    self.hang_up();
                    self.remember(SinkNotice::Lost { why });
                }
                Ok(News::Missing { why }) => self.remember(SinkNotice::Missing { why }),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => {
                    self.hang_up();
                    break;
                }
            }
        }
        self.lessons.look(self.underruns(), now);
        self.notices.pop_front()
    }
}

impl Drop for Speaker {
    fn drop(&mut self) {
        // a full channel means that the thread has a reason to look at it anyway, and then finds us gone
        let _ = self.commands.try_send(Command::Stop);
        let Some(thread) = self.thread.take() else {
            return;
        };
        // a thread that hangs in a driver is left behind
        for _ in 0..PATIENCE_STEPS {
            if thread.is_finished() {
                if thread.join().is_err() {
                    tracing::error!("the speaker's thread panicked");
                }
                return;
            }
            std::thread::sleep(PATIENCE_STEP);
        }
        tracing::warn!("the sound system does not answer, leaving it behind");
    }
}

/// Why there is no speaker at all, not even one without a device.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpeakerError {
    /// The system is out of threads.
    #[error("cannot start a thread for the sound: {0}")]
    Thread(std::io::Error),
}

/// From the device's thread.
#[derive(Debug)]
enum News {
    Playing(Line),
    Lost { why: String },
    Missing { why: String },
}

/// To the device's thread.
#[derive(Debug)]
enum Command {
    Stop,
    Failed { why: String },
}

const PATIENCE_STEP: Duration = Duration::from_millis(5);
const PATIENCE_STEPS: u32 = 100;
