//! `tunnelcast serve`

use std::{net::SocketAddr, num::NonZeroU32, path::PathBuf};

use clap::Args;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::{
    Output, bitrate, bounds,
    runtime::{self, Hangups},
    systemd::{self, State},
};
use crate::{
    capture::{AudioSpec, VideoSpec},
    codec::Quality,
    config::{Access, Bounds, IdentitySource, LINGER, MAX_STREAMS, Serve},
    error::Error,
    server::{self, Notice, Server, Sockets},
    transport::forwarded::Range,
    trust,
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Address and port to listen on; may be given several times [default: every address, port 443]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Vec<SocketAddr>,
    /// No QUIC: listen on TCP alone
    #[arg(long)]
    no_quic: bool,
    /// Name of the stream, as in the link
    #[arg(long, default_value = "live", value_parser = server::stream_name)]
    name: String,
    /// Picture: camera[:N], testcard[:WxH@FPS], file:PATH, pipe:- or none; with --audio none too there is no stream but
    /// those that others publish
    #[arg(long, value_name = "SRC", default_value = "camera")]
    video: VideoSpec,
    /// Sound: mic[:NAME], tone, file:PATH, pipe:PATH or none [default: the file's own, the tone with the test card]
    #[arg(long, value_name = "SRC")]
    audio: Option<AudioSpec>,
    /// Directory of the server's key and certificate, made at the first start
    #[arg(long, value_name = "DIR", default_value = "certs", conflicts_with_all = ["cert", "key"])]
    certs: PathBuf,
    /// Certificate chain of your own (PEM)
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// Private key of your own (PEM)
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// Host name or address in the link [default: this machine's address]
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// JPEG quality, 1 to 100, whatever a viewer's line can take [default: 75, and less on slow lines]
    #[arg(long, value_name = "N", value_parser = quality)]
    quality: Option<Quality>,
    /// Pictures a second at most; of more that come some are left out
    #[arg(long, value_name = "N", value_parser = rate)]
    max_fps: Option<NonZeroU32>,
    /// The most bits a second to each viewer, such as 5M or 800k
    #[arg(long, value_name = "RATE", value_parser = bitrate::parse)]
    max_bitrate: Option<u64>,
    /// Streams at once that others publish here
    #[arg(long, value_name = "N", default_value_t = MAX_STREAMS)]
    max_streams: usize,
    /// Directory of the server's tokens, made at the first start
    #[arg(long, value_name = "DIR", default_value = "state")]
    state: PathBuf,
    /// Let anybody watch who has the address, without a token
    #[arg(long)]
    open: bool,
    /// Append a line (JSON) for each who is let in or not, cut off, or gives a command
    #[arg(long, value_name = "FILE")]
    audit_log: Option<PathBuf>,
    /// Proxy in front of the server that says where viewers are (PROXY protocol, X-Forwarded-For); may be given several times
    #[arg(long, value_name = "ADDR[/BITS]")]
    trusted_proxy: Vec<Range>,
    /// Take these options from a TOML file, under the same names; what is given here, or in the environment as
    /// TUNNELCAST_MAX_VIEWERS and so on, goes before it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Only look whether all this can be, and end: status 0 if so, 2 if not
    #[arg(long)]
    check_config: bool,
    #[command(flatten)]
    bounds: bounds::Arguments,
}

impl Arguments {
    /// What the options' own rules do not see where they come from a file or the environment.
    pub(super) fn make_sense(&self) -> Result<(), clap::Error> {
        let missing = match (&self.cert, &self.key) {
            (Some(_), None) => "cert without key",
            (None, Some(_)) => "key without cert",
            _ => return Ok(()),
        };
        let kind = clap::error::ErrorKind::MissingRequiredArgument;
        Err(clap::Error::raw(kind, format!("{missing}\n")))
    }
}

impl From<Arguments> for Serve {
    fn from(arguments: Arguments) -> Self {
        let identity = match (arguments.cert, arguments.key) {
            (Some(cert), Some(key)) => IdentitySource::Files { cert, key },
            _ => IdentitySource::Directory(arguments.certs),
        };
        Self {
            listen: arguments.listen,
            quic: !arguments.no_quic,
            name: arguments.name,
            video: arguments.video,
            audio: arguments.audio.unwrap_or(AudioSpec::Auto),
            identity,
            host: arguments.host,
            quality: arguments.quality,
            max_fps: arguments.max_fps,
            max_bitrate: arguments.max_bitrate,
            limits: arguments.bounds.ring(),
            linger: LINGER,
            max_viewers: arguments.bounds.max_viewers,
            max_streams: arguments.max_streams,
            trusted_proxies: arguments.trusted_proxy,
            access: Access {
                open: arguments.open,
                state: Some(arguments.state),
                audit_log: arguments.audit_log,
            },
            bounds: Bounds::from(&arguments.bounds),
        }
    }
}

#[derive(Serialize)]
struct Good {
    ok: bool,
}

#[derive(Serialize)]
struct Listening {
    tcp: Vec<SocketAddr>,
    udp: Vec<SocketAddr>,
    /// To watch.
    link: String,
    /// To publish; a secret of whoever may.
    #[serde(skip_serializing_if = "Option::is_none")]
    publish_link: Option<String>,
}

pub(super) fn run(arguments: Arguments, output: &Output) -> Result<(), Error> {
    let check = arguments.check_config;
    let config = Serve::from(arguments);
    if check {
        server::check_config(&config).map_err(|err| Error::Config(Box::new(err)))?;
        return output.event("config", &Good { ok: true }, "the configuration is good");
    }
    if config.access.open {
        output.note("--open: whoever has this server's address may watch");
    }
    // Before there are threads.
    let sockets = systemd::sockets();
    runtime::block(|stop| serve(config, sockets, output, stop))
}

/// Serves until `stop`, and says what happens on `output`.
async fn serve(
    config: Serve,
    sockets: Sockets,
    output: &Output,
    stop: CancellationToken,
) -> Result<(), Error> {
    let open = config.access.open;
    let mut hangups = Hangups::new();
    let (mut server, mut notices) = tokio::select! {
        started = Server::start_on(config, sockets) => started?,
        () = stop.cancelled() => return Ok(()),
    };
    announce(output, &server, open)?;
    systemd::notify(State::Ready);
    let told = loop {
        tokio::select! {
            () = stop.cancelled() => break Ok(()),
            () = hangups.next() => {
                systemd::notify(State::Reloading);
                server.reload();
                systemd::notify(State::Ready);
            }
            err = server.failed() => break Err(err.into()),
            notice = notices.recv() => match notice {
                Some(notice) => if let Err(err) = tell(output, &notice) {
                    break Err(err);
                },
                None => break Ok(()),
            },
        }
    };
    systemd::notify(State::Stopping);
    output.note("closing: the viewers are told");
    server.shutdown().await;
    told?;
    while let Ok(notice) = notices.try_recv() {
        tell(output, &notice)?;
    }
    Ok(())
}

fn announce(output: &Output, server: &Server, open: bool) -> Result<(), Error> {
    let link = server.link().to_string();
    let mut words = if open || server.link().token.is_some() {
        format!("watch it with\n\n    tunnelcast watch '{link}'\n")
    } else {
        "this server has no link of its own to watch (its token was taken back, or tokens were made before the first start): make one with\n\n    tunnelcast token new --role watch\n"
            .to_owned()
    };
    let publish_link = server.publish_link().map(ToString::to_string);
    if let Some(link) = &publish_link {
        words.push_str(&format!(
            "\nwhoever has this one may send streams through this server\n\n    {link}\n"
        ));
    }
    if output.is_terminal() {
        words.push('\n');
        words.push_str(&trust::qr(&link).unwrap_or_default());
    }
    output.event(
        "listening",
        &Listening {
            tcp: server.addresses(),
            udp: server.udp_addresses(),
            link,
            publish_link,
        },
        &words,
    )
}

fn tell(output: &Output, notice: &Notice) -> Result<(), Error> {
    match notice {
        Notice::Viewer(viewer) => output.event("viewer", viewer, &viewer.to_string()),
        Notice::Publisher(publisher) => {
            output.event("publisher", publisher, &publisher.to_string())
        }
        Notice::Source(source) => {
            let why = source
                .why
                .as_deref()
                .map(|why| format!(": {why}"))
                .unwrap_or_default();
            output.event(
                "source",
                source,
                &format!("source {} is {}{why}", source.name, source.state),
            )
        }
    }
}

pub(super) fn rate(text: &str) -> Result<NonZeroU32, String> {
    text.parse()
        .ok()
        .filter(|fps: &NonZeroU32| fps.get() <= MOST_FPS)
        .ok_or_else(|| format!("a number from 1 to {MOST_FPS}"))
}

pub(super) fn quality(text: &str) -> Result<Quality, String> {
    text.parse()
        .ok()
        .and_then(Quality::new)
        .ok_or_else(|| "a number from 1 to 100".to_owned())
}

const MOST_FPS: u32 = 1000;
