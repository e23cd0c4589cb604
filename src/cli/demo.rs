//! `tunnelcast demo`

use std::{net::SocketAddr, time::Duration};

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::{Output, runtime, viewer, watch};
use crate::{
    capture::{AudioSpec, VideoSpec},
    config::{Access, IdentitySource, LINGER, MAX_STREAMS, MAX_VIEWERS, Serve},
    error::Error,
    server::Server,
    timeline::Limits,
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Picture, as with serve
    #[arg(long, value_name = "SRC", default_value = "testcard")]
    video: VideoSpec,
    /// Sound, as with serve
    #[arg(long, value_name = "SRC")]
    audio: Option<AudioSpec>,
    #[command(flatten)]
    options: watch::Options,
}

pub(super) fn run(arguments: Arguments, output: &Output) -> Result<(), Error> {
    let Arguments {
        video,
        audio,
        mut options,
    } = arguments;
    if !options.is_headless() && !viewer::has_display() {
        output.note("no display: the demonstration runs for 10 s without a window");
        options.without_display(WITHOUT_DISPLAY);
    }
    let config = Serve {
        quic: true,
        listen: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
        name: "demo".to_owned(),
        video,
        audio: audio.unwrap_or(AudioSpec::Auto),
        identity: IdentitySource::Fresh,
        host: None,
        quality: None,
        max_fps: None,
        max_bitrate: None,
        limits: Limits::default(),
        linger: LINGER,
        max_viewers: MAX_VIEWERS,
        max_streams: MAX_STREAMS,
        trusted_proxies: Vec::new(),
        access: Access::default(),
    };
    let runtime = runtime::build()?;
    let stop = CancellationToken::new();
    runtime.spawn(runtime::signals(stop.clone()));
    let (server, notices) = runtime.block_on(Server::start(config))?;
    output.note(&format!("serving {} on this machine alone", server.link()));
    let result = viewer::show(
        &runtime,
        options.into_config(server.link().clone()),
        output,
        &stop,
    );
    stop.cancel();
    drop(notices);
    runtime.block_on(server.shutdown());
    runtime::end(runtime);
    result
}

const WITHOUT_DISPLAY: Duration = Duration::from_secs(10);
