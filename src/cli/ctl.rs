//! `tunnelcast ctl`

use std::{path::PathBuf, sync::Arc, time::Duration};

use clap::{Args, Subcommand};

use super::{Output, ask::Terminal, runtime, watch};
use crate::{
    client::{self},
    config::{Inspected, Through, Watch},
    error::Error,
    media::{Role, TokenId},
    playback::Latency,
    transport::race::Ways,
    trust::Link,
    wire::{Answer, Command, SourceState, Text},
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// A link with a token of the role admin, or control (`tunnelcast token new --role admin`)
    link: Link,
    #[command(subcommand)]
    what: What,
    /// How to get there, as with watch
    #[arg(long, value_name = "WAY", default_value = "auto", value_parser = watch::ways)]
    transport: Ways,
    /// Proxy for the ways over TCP, as with watch
    #[arg(long, value_name = "URL", value_parser = watch::through)]
    proxy: Option<Through>,
    /// File of the servers whose key was accepted once [default: in the user's configuration]
    #[arg(long, value_name = "FILE")]
    known_servers: Option<PathBuf>,
    /// File of what is known of networks [default: in the user's state]
    #[arg(long, value_name = "FILE")]
    networks: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// How the server is (admin)
    Info,
    /// Who watches (admin)
    List,
    /// What streams there are, how their sources are, and how many watch (control)
    Streams,
    /// Send a viewer away (admin)
    Kick {
        /// As `list` shows it
        #[arg(value_name = "ID")]
        viewer: u64,
    },
    /// Take a token back; whoever came in by it is cut off (admin)
    Revoke {
        /// As `list` and `tunnelcast token list` show it
        #[arg(value_name = "ID", allow_hyphen_values = true)]
        token: TokenId,
    },
}

impl What {
    fn command(&self) -> (&'static str, Role, String) {
        match self {
            Self::Info => ("info", Role::Admin, String::new()),
            Self::List => ("list", Role::Admin, String::new()),
            Self::Streams => ("streams", Role::Control, String::new()),
            Self::Kick { viewer } => ("kick", Role::Admin, viewer.to_string()),
            Self::Revoke { token } => ("revoke", Role::Admin, token.to_string()),
        }
    }
}

pub(super) fn run(arguments: Arguments, output: &Output) -> Result<(), Error> {
    let (what, role, arg) = arguments.what.command();
    let command = Command {
        id: 1,
        what: Text::new(what),
        arg: Text::new(&arg),
        from: 0,
    };
    let config = Watch {
        link: arguments.link,
        ways: arguments.transport,
        inspected: Inspected::Seal,
        proxy: arguments.proxy.unwrap_or_default(),
        video: false,
        audio: false,
        max_bitrate: None,
        latency: Latency::Low,
        duration: None,
        snapshot: None,
        headless: true,
        known_servers: arguments.known_servers,
        networks: arguments.networks,
    };
    let answer = runtime::block(|stop| async move {
        tokio::select! {
            answer = client::ctl(&config, role, command, Arc::new(Terminal)) => answer.map(Some),
            () = stop.cancelled() => Ok(None),
        }
    })?;
    let Some(answer) = answer else {
        return Ok(());
    };
    output.event(what, &answer, &words(&arguments.what, &answer))
}

fn words(what: &What, answer: &Answer) -> String {
    match what {
        What::Info => answer.info.as_ref().map_or_else(String::new, |info| {
            let open = if info.open { "; anybody may watch" } else { "" };
            format!(
                "{}, up for {:?}: {} viewers, {} streams, {} tokens{open}",
                info.agent.as_str(),
                Duration::from_secs(info.up_s),
                info.viewers,
                info.streams,
                info.tokens
            )
        }),
        What::List => {
            let mut lines = vec![format!(
                "{:>6} {:<24} {:<10} {:<16} {:<12} {:>8}  {}",
                "ID", "ADDRESS", "WAY", "STREAM", "TOKEN", "SECONDS", "PROGRAM"
            )];
            lines.extend(answer.viewers.iter().map(|viewer| {
                let or = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
                format!(
                    "{:>6} {:<24} {:<10} {:<16} {:<12} {:>8}  {}",
                    viewer.id,
                    viewer.addr.as_str(),
                    viewer.transport.as_str(),
                    or(viewer.stream.as_ref().map(ToString::to_string)),
                    or(viewer.token.map(|token| token.to_string())),
                    viewer.since_s,
                    viewer.agent.as_str()
                )
            }));
            lines.join("\n")
        }
        What::Streams => {
            let mut lines = vec![format!(
                "{:<24} {:<8} {:<6} {:<6} {:>7}",
                "STREAM", "SOURCE", "VIDEO", "AUDIO", "VIEWERS"
            )];
            let yes = |there: bool| if there { "yes" } else { "no" };
            lines.extend(answer.streams.iter().map(|stream| {
                format!(
                    "{:<24} {:<8} {:<6} {:<6} {:>7}",
                    stream.name.as_str(),
                    stream.state.map_or("idle", state),
                    yes(stream.video),
                    yes(stream.audio),
                    stream.viewers
                )
            }));
            lines.join("\n")
        }
        What::Kick { viewer } => format!("viewer {viewer} is sent away"),
        What::Revoke { token } => format!("token {token} is taken back"),
    }
}

const fn state(state: SourceState) -> &'static str {
    match state {
        SourceState::Opening => "opening",
        SourceState::Live => "live",
        SourceState::Lost => "lost",
        SourceState::Ended => "ended",
        SourceState::Unknown => "?",
    }
}
