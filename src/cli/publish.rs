//! `tunnelcast publish`

use std::{num::NonZeroU32, path::PathBuf, sync::Arc};

use clap::{Args, ValueEnum};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Output, ask::Terminal, bitrate, runtime, serve, watch, words};
use crate::{
    capture::{AudioSpec, VideoSpec},
    codec::Quality,
    config::{Inspected, PUBLISH_LINGER, PUBLISHED, Publish, Through},
    error::Error,
    publish::{self, News, Outside},
    server,
    transport::race::Ways,
    trust::Link,
    wire::LevelName,
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The link for publishers that `serve` printed; the stream's name in it is the default of --name
    link: Link,
    /// Name of the stream on the server
    #[arg(long, value_parser = server::stream_name)]
    name: Option<String>,
    /// Take the place of whoever publishes under that name with the same token
    #[arg(long)]
    take_over: bool,
    /// Picture: camera[:N], testcard[:WxH@FPS], file:PATH, pipe:- or none
    #[arg(long, value_name = "SRC", default_value = "camera")]
    video: VideoSpec,
    /// Sound: mic[:NAME], tone, file:PATH, pipe:PATH or none [default: the file's own, the tone with the test card]
    #[arg(long, value_name = "SRC")]
    audio: Option<AudioSpec>,
    /// JPEG quality, 1 to 100, whatever the line can take [default: 75, and less on slow lines]
    #[arg(long, value_name = "N", value_parser = serve::quality)]
    quality: Option<Quality>,
    /// Pictures a second at most; of more that come some are left out
    #[arg(long, value_name = "N", value_parser = serve::rate)]
    max_fps: Option<NonZeroU32>,
    /// The most bits a second to send, such as 5M or 800k
    #[arg(long, value_name = "RATE", value_parser = bitrate::parse)]
    max_bitrate: Option<u64>,
    /// Coarser pictures for viewers on slow lines: auto (made here while the uplink has room for them beside the best one,
    /// and --max-bitrate is not given; by the server otherwise), or never (always by the server)
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    levels: WhenLevels,
    /// How to get there: auto (whatever gets through best), quic, tls, websocket or http
    #[arg(long, value_name = "WAY", default_value = "auto", value_parser = watch::ways)]
    transport: Ways,
    /// Proxy for the ways over TCP, as http://, https:// or socks5://HOST:PORT, or none; its user and password are asked
    /// for, or are in TUNNELCAST_PROXY_USER and TUNNELCAST_PROXY_PASSWORD [default: HTTPS_PROXY, ALL_PROXY, NO_PROXY]
    #[arg(long, value_name = "URL", value_parser = watch::through)]
    proxy: Option<Through>,
    /// Where the network inspects TLS: seal (go on, everything sealed for the server's own key inside), or refuse
    #[arg(long, value_name = "WHAT", default_value = "seal", value_parser = watch::inspected)]
    inspected: Inspected,
    /// File of the servers whose key was accepted once [default: in the user's configuration]
    #[arg(long, value_name = "FILE")]
    known_servers: Option<PathBuf>,
    /// File of what is known of networks: where UDP does not get through, and what does [default: in the user's state]
    #[arg(long, value_name = "FILE")]
    networks: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum WhenLevels {
    #[value(help = "While the uplink has room")]
    Auto,
    #[value(help = "Not at all")]
    Never,
}

impl TryFrom<Arguments> for Publish {
    type Error = Error;

    fn try_from(arguments: Arguments) -> Result<Self, Error> {
        let in_link = Some(arguments.link.stream.clone()).filter(|name| !name.is_empty());
        let name = arguments.name.or(in_link).ok_or(Error::NoName)?;
        Ok(Self {
            link: arguments.link,
            name,
            take_over: arguments.take_over,
            video: arguments.video,
            audio: arguments.audio.unwrap_or(AudioSpec::Auto),
            quality: arguments.quality,
            max_fps: arguments.max_fps,
            max_bitrate: arguments.max_bitrate,
            levels: arguments.levels == WhenLevels::Auto,
            limits: PUBLISHED,
            linger: PUBLISH_LINGER,
            ways: arguments.transport,
            inspected: arguments.inspected,
            proxy: arguments.proxy.unwrap_or_default(),
            known_servers: arguments.known_servers,
            networks: arguments.networks,
        })
    }
}

pub(super) fn run(arguments: Arguments, output: &Output) -> Result<(), Error> {
    let config = Publish::try_from(arguments)?;
    runtime::block(|stop| publish(config, output, stop))
}

/// Publishes until `stop`, and says what happens on `output`.
async fn publish(config: Publish, output: &Output, stop: CancellationToken) -> Result<(), Error> {
    let name = config.name.clone();
    let (tell, mut news) = mpsc::channel(BACKLOG);
    let outside = Outside {
        ask: Arc::new(Terminal),
        // Whoever does not read loses lines, never the connection.
        news: Arc::new(move |told| drop(tell.try_send(told))),
    };
    let published = publish::publish(config, outside, stop.clone());
    let mut published = std::pin::pin!(published);
    let ended = loop {
        tokio::select! {
            biased;
            Some(told) = news.recv() => if let Err(err) = say(output, &name, &told) {
                stop.cancel();
                published.await?;
                return Err(err);
            },
            ended = &mut published => break ended,
        }
    };
    while let Ok(told) = news.try_recv() {
        say(output, &name, &told)?;
    }
    ended
}

fn say(output: &Output, name: &str, news: &News) -> Result<(), Error> {
    match news {
        News::Connected(connected) => {
            let words = format!(
                "stream {name} is published; {}",
                words::connected(connected)
            );
            output.event("connected", connected, &words)
        }
        News::Switched(switched) => {
            let words = format!("now over {}, before over {}", switched.to, switched.from);
            output.event("switched", switched, &words)
        }
        News::Source(source) => {
            let why = source.why.as_deref();
            let why = why.map(|why| format!(": {why}")).unwrap_or_default();
            let words = format!("source {} is {}{why}", source.name, source.state);
            output.event("source", source, &words)
        }
        News::Watched(watched) => {
            let words = if *watched {
                "somebody watches"
            } else {
                "nobody watches: nothing is sent"
            };
            let fields = serde_json::json!({ "watched": watched });
            output.event("watched", &fields, words)
        }
        News::Levels(sent) => {
            let sent = sent.iter().filter_map(LevelName::of);
            let sent: Vec<&str> = sent.map(LevelName::word).collect();
            let words = match sent.is_empty() {
                true => "only the best picture is sent; the server makes the others".to_owned(),
                false => format!("also sent, for slow lines: {}", sent.join(", ")),
            };
            output.event("levels", &serde_json::json!({ "sent": sent }), &words)
        }
        News::Closed { reason } => {
            output.event("closed", &serde_json::json!({ "reason": reason }), "")
        }
        // A line for a person comes beside it.
        News::Lost { why } => output.event("lost", &serde_json::json!({ "why": why }), ""),
        News::Word(word) => {
            output.note(word);
            Ok(())
        }
    }
}

/// News that wait to be printed.
const BACKLOG: usize = 256;
