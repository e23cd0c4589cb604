//! A viewer for `watch` and `demo`: the window on the main thread, everything else on the runtime's.

use std::{
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
};

use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::{Output, ask::Terminal, choose::choose, runtime, words};
use crate::{
    client::{self, News, Outside},
    config::Watch,
    error::Error,
    present::{Command, PresentError, ScreenWriter},
};

/// Watches until the person, the signals, the time given or the server end it, and prints the summary.
pub(super) fn run(config: Watch, output: &Output) -> Result<(), Error> {
    let runtime = runtime::build()?;
    let stop = CancellationToken::new();
    runtime.spawn(runtime::signals(stop.clone()));
    let chosen = choose(&runtime, config, output);
    let result = chosen.and_then(|config| show(&runtime, config, output, &stop));
    stop.cancel();
    runtime::end(runtime);
    result
}

/// The same on a runtime that is there; `stop` ends it.
pub(super) fn show(
    runtime: &Runtime,
    config: Watch,
    output: &Output,
    stop: &CancellationToken,
) -> Result<(), Error> {
    if cfg!(feature = "window") && !config.headless && config.video && !has_display() {
        return Err(PresentError::NoDisplay.into());
    }
    let (commands, asked) = mpsc::channel();
    if config.headless || !config.video {
        return runtime.block_on(watch(config, output.clone(), None, asked, stop.clone()));
    }
    window(runtime, config, output, stop, commands, asked)
}

#[cfg(feature = "window")]
fn window(
    runtime: &Runtime,
    config: Watch,
    output: &Output,
    stop: &CancellationToken,
    commands: mpsc::Sender<Command>,
    asked: mpsc::Receiver<Command>,
) -> Result<(), Error> {
    use crate::present::{screen, window};

    let (writer, screen) = screen();
    let title = format!("{} - tunnelcast", config.link.stream);
    let viewer = runtime.spawn({
        let (output, stop, writer) = (output.clone(), stop.clone(), writer.clone());
        async move {
            let result = watch(config, output, Some(writer.clone()), asked, stop).await;
            writer.close();
            result
        }
    });
    let options = window::WindowOptions {
        title,
        ..window::WindowOptions::default()
    };
    let shown = window::run(screen, options, commands);
    stop.cancel();
    let watched = runtime
        .block_on(viewer)
        .map_err(|err| Error::Runtime(std::io::Error::other(err)))?;
    shown?;
    watched
}

#[cfg(not(feature = "window"))]
fn window(
    _runtime: &Runtime,
    _config: Watch,
    _output: &Output,
    _stop: &CancellationToken,
    _commands: mpsc::Sender<Command>,
    _asked: mpsc::Receiver<Command>,
) -> Result<(), Error> {
    Err(Error::NoWindow)
}

async fn watch(
    config: Watch,
    output: Output,
    screen: Option<ScreenWriter>,
    commands: mpsc::Receiver<Command>,
    stop: CancellationToken,
) -> Result<(), Error> {
    let (news, printer) = Printer::start(output.clone(), stop.clone())?;
    let outside = Outside {
        screen,
        commands,
        ask: Arc::new(Terminal),
        // Whoever does not read loses figures, never the connection.
        news: Box::new(move |told| drop(news.try_send(told))),
    };
    let outcome = client::watch(config, outside, stop).await;
    printer.end();
    let outcome = outcome?;
    let summary = &outcome.summary;
    // Where nothing was reached there is nothing to sum up for a person.
    let words = if summary.transport.is_some() {
        words::summary(summary)
    } else {
        String::new()
    };
    output.event("summary", summary, &words)?;
    outcome.error.map_or(Ok(()), Err)
}

/// Prints news on a thread of its own, since a terminal or a pipe may be slow.
struct Printer(JoinHandle<()>);

impl Printer {
    fn start(
        output: Output,
        stop: CancellationToken,
    ) -> Result<(mpsc::SyncSender<News>, Self), Error> {
        let (told, news) = mpsc::sync_channel(BACKLOG);
        let print = move || {
            for news in news {
                if tell(&output, &news).is_err() {
                    // Nobody reads any more.
                    stop.cancel();
                    return;
                }
            }
        };
        let thread = thread::Builder::new().name("news".to_owned());
        let thread = thread.spawn(print).map_err(Error::Runtime)?;
        Ok((told, Self(thread)))
    }

    /// Waits until all is printed; what tells the news must be gone.
    fn end(self) {
        if self.0.join().is_err() {
            tracing::error!("printing the news failed");
        }
    }
}

fn tell(output: &Output, news: &News) -> Result<(), Error> {
    match news {
        News::Connected(connected) => {
            output.event("connected", connected, &words::connected(connected))
        }
        News::Switched(switched) => {
            let words = format!("now over {}: {}", switched.to, switched.reason);
            output.event("switched", &switched, &words)
        }
        News::Stats(stats) => output.event("stats", stats.as_ref(), ""),
        News::Closed { reason } => {
            output.event("closed", &serde_json::json!({ "reason": reason }), "")
        }
        // A line for a person comes beside it.
        News::Lost { .. } => Ok(()),
        News::Word(word) => {
            output.note(word);
            Ok(())
        }
    }
}

/// News that wait to be printed: more than four minutes of figures.
const BACKLOG: usize = 256;

/// Whether there is a screen to open a window on.
pub(super) fn has_display() -> bool {
    let named = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let needs_server = cfg!(all(unix, not(target_os = "macos")));
    cfg!(feature = "window") && (!needs_server || named("DISPLAY") || named("WAYLAND_DISPLAY"))
}
