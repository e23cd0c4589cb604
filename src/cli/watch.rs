//! `tunnelcast watch`

use std::{path::PathBuf, time::Duration};

use clap::Args;

use super::{Output, bitrate, duration, viewer};
use crate::{
    config::{Inspected, Through, Watch},
    error::Error,
    playback::Latency,
    transport::{Kind, proxy::Proxy, race::Ways},
    trust::Link,
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The link that `serve` printed
    link: Link,
    #[command(flatten)]
    options: Options,
}

/// What `watch` and `demo` share.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// No window and no speaker, everything else real
    #[arg(long)]
    headless: bool,
    /// End after so long, such as 10s or 2m
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    duration: Option<Duration>,
    /// Leave the sound out
    #[arg(long, conflicts_with = "no_video")]
    no_audio: bool,
    /// Leave the picture out
    #[arg(long)]
    no_video: bool,
    /// Write the first whole picture to a JPEG file; with --headless and without --duration, end then
    #[arg(long, value_name = "FILE.jpg", conflicts_with = "no_video")]
    snapshot: Option<PathBuf>,
    /// How to get there: auto (whatever gets through best), quic, tls, websocket or http
    #[arg(long, value_name = "WAY", default_value = "auto", value_parser = ways)]
    transport: Ways,
    /// Proxy for the ways over TCP, as http://, https:// or socks5://HOST:PORT, or none; its user and password are asked
    /// for, or are in TUNNELCAST_PROXY_USER and TUNNELCAST_PROXY_PASSWORD [default: HTTPS_PROXY, ALL_PROXY, NO_PROXY]
    #[arg(long, value_name = "URL", value_parser = through)]
    proxy: Option<Through>,
    /// Where the network inspects TLS: seal (go on, everything sealed for the server's own key inside), or refuse
    #[arg(long, value_name = "WHAT", default_value = "seal", value_parser = inspected)]
    inspected: Inspected,
    /// The most bits a second that the server shall send, such as 5M or 800k
    #[arg(long, value_name = "RATE", value_parser = bitrate::parse)]
    max_bitrate: Option<u64>,
    /// instant (nothing is held back), low, smooth, or a time such as 150ms
    #[arg(long, default_value = "low", value_parser = latency)]
    latency: Latency,
    /// File of the servers whose key was accepted once [default: in the user's configuration]
    #[arg(long, value_name = "FILE")]
    known_servers: Option<PathBuf>,
    /// File of what is known of networks: where UDP does not get through, and what does [default: in the user's state]
    #[arg(long, value_name = "FILE")]
    networks: Option<PathBuf>,
}

impl Options {
    pub(super) fn into_config(self, link: Link) -> Watch {
        Watch {
            link,
            ways: self.transport,
            inspected: self.inspected,
            proxy: self.proxy.unwrap_or_default(),
            video: !self.no_video,
            audio: !self.no_audio,
            max_bitrate: self.max_bitrate,
            latency: self.latency,
            duration: self.duration,
            snapshot: self.snapshot,
            headless: self.headless,
            known_servers: self.known_servers,
            networks: self.networks,
        }
    }

    /// Makes it headless for `duration` unless it was said otherwise.
    pub(super) fn without_display(&mut self, duration: Duration) {
        self.headless = true;
        self.duration.get_or_insert(duration);
    }

    pub(super) const fn is_headless(&self) -> bool {
        self.headless
    }
}

pub(super) fn run(arguments: Arguments, output: &Output) -> Result<(), Error> {
    viewer::run(arguments.options.into_config(arguments.link), output)
}

pub(super) fn ways(text: &str) -> Result<Ways, String> {
    if text == "auto" {
        return Ok(Ways::All);
    }
    Kind::from_name(text)
        .map(Ways::Only)
        .ok_or_else(|| "auto, quic, tls, websocket or http".to_owned())
}

pub(super) fn through(text: &str) -> Result<Through, String> {
    if text == "none" {
        return Ok(Through::Nothing);
    }
    let proxy = Proxy::parse(text).map_err(|err| err.to_string())?;
    if proxy.has_credentials() {
        return Err("whoever lists this machine's processes can read a password here: leave it out, and be asked, or use TUNNELCAST_PROXY_USER and TUNNELCAST_PROXY_PASSWORD".to_owned());
    }
    Ok(Through::This(proxy))
}

pub(super) fn inspected(text: &str) -> Result<Inspected, String> {
    match text {
        "seal" => Ok(Inspected::Seal),
        "refuse" => Ok(Inspected::Refuse),
        _ => Err("seal or refuse".to_owned()),
    }
}

fn latency(text: &str) -> Result<Latency, String> {
    match text {
        "instant" => Ok(Latency::Instant),
        "low" => Ok(Latency::Low),
        "smooth" => Ok(Latency::Smooth),
        _ => match duration::parse(text) {
            Ok(fixed) if fixed <= LONGEST_LATENCY => Ok(Latency::Fixed(fixed)),
            Ok(_) => Err("at most 10s".to_owned()),
            Err(why) => Err(format!("instant, low, smooth or a time: {why}")),
        },
    }
}

const LONGEST_LATENCY: Duration = Duration::from_secs(10);
