//! A link over QUIC: every address over a socket of its own, which hears at once if nobody is there.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::{Connection, ConnectionError, Endpoint, EndpointConfig, TokioRuntime};
use quinn::{TransportErrorCode, WriteError};
use rustls::AlertDescription;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};

use super::error::udp_refused;
use super::{DialError, Port, Target, Timeouts, authority, connect};
use crate::transport::quic::{self, Client, Congestion, Ear, Heard, Socket};
use crate::transport::{First, Link};
use crate::trust::{QuicClient, Rejection, printable};

/// How far it has come, for whoever races it against other ways. It only rises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Progress {
    /// Nothing has come back.
    #[default]
    Silent,
    /// An address is known to be out of reach: nobody listens, or a firewall says no.
    Refused,
    /// A UDP packet has come back.
    Heard,
}

/// Connects over QUIC.
///
/// `first`, the session's first bytes (at least one, at most 16 KiB), go out together with the end of the handshake,
/// so they cost no round trip; the server knows of the link when they have come. `config` is from
/// [`quic_client_config`](crate::trust::quic_client_config) for the same host and port; the target's stream is not
/// said. `progress` is this call's alone. Whoever drops the future drops the connection.
pub async fn quic(
    target: Target<'_>,
    config: &QuicClient,
    first: &dyn First,
    timeouts: Timeouts,
    progress: &watch::Sender<Progress>,
) -> Result<Link, DialError> {
    let Target { host, port, .. } = target;
    let deadline = Instant::now() + timeouts.overall;
    let server = authority(host, port, Port::Always);
    let addresses = connect::addresses(host, port, deadline).await?;
    let settings = quic::client_settings(config.tls(), Congestion::default());
    let Some(settings) = settings else {
        return Err(Failure::from(io::Error::from(io::ErrorKind::Unsupported)).named(&server));
    };
    let attempt = |address| {
        let attempt = Attempt {
            address,
            host: host.to_owned(),
            config: config.clone(),
            settings: settings.clone(),
            silence: timeouts.connect,
            progress: progress.clone(),
        };
        attempt.run()
    };
    let (connection, client) = connect::race(addresses, attempt, Failure::telling, deadline)
        .await
        .map_err(|failure| match failure {
            Some(failure) => failure.named(&server),
            None if *progress.borrow() == Progress::Heard => DialError::Unfinished {
                server: over_udp(&server),
            },
            None => Failure::Silent.named(&server),
        })?;
    let opened = async {
        let (mut send, receive) = connection.open_bi().await?;
        let first = first.bytes(quic::exporter(&connection));
        match send.write_all(&first).await {
            Ok(()) => Ok((send, receive)),
            Err(WriteError::ConnectionLost(error)) => Err(error.into()),
            Err(error) => Err(io::Error::from(error)),
        }
    };
    let (send, receive) = timeout_at(deadline, opened)
        .await
        .map_err(io::Error::from)
        .flatten()
        .map_err(|source| DialError::Lost {
            server: over_udp(&server),
            source,
        })?;
    let cipher = quic::only_cipher(config.tls().crypto_provider());
    let link = quic::Link::new(connection, send, receive, Some(client), cipher);
    Ok(Link::quic(link))
}

/// One address.
struct Attempt {
    address: SocketAddr,
    host: String,
    config: QuicClient,
    settings: quinn::ClientConfig,
    silence: Duration,
    progress: watch::Sender<Progress>,
}

impl Attempt {
    async fn run(self) -> Result<(Connection, Client), Failure> {
        let progress = self.progress;
        let ear = Arc::new(Ear::new(move |heard| {
            let now = match heard {
                Heard::Answer => Progress::Heard,
                Heard::Refusal => Progress::Refused,
            };
            progress.send_if_modified(|known| {
                let news = now > *known;
                *known = now.max(*known);
                news
            });
        }));
        let socket =
            Socket::new(self.address, Arc::clone(&ear)).inspect_err(|error| ear.failed(error))?;
        let socket = Arc::new(socket);
        let endpoint = Endpoint::new_with_abstract_socket(
            EndpointConfig::default(),
            None,
            Arc::<Socket>::clone(&socket),
            Arc::new(TokioRuntime),
        )?;
        let connecting = endpoint
            .connect_with(self.settings, self.address, &self.host)
            .map_err(io::Error::other)?;
        let hush = async {
            sleep(self.silence).await;
            if ear.has_heard() {
                std::future::pending().await
            }
        };
        let connection = tokio::select! {
            biased;
            done = connecting => done.map_err(|error| Failure::of(error, &self.config))?,
            kind = ear.refused() => return Err(udp_refused(kind).into()),
            error = socket.errors() => return Err(error.into()),
            () = hush => return Err(Failure::Silent),
        };
        Ok((connection, Client { endpoint, ear }))
    }
}

/// Why an address is none to speak with, before it is known as whose.
#[derive(Debug)]
enum Failure {
    Io(io::Error),
    Silent,
    NotOurs,
    Alert(AlertDescription),
    Rejected(Box<Rejection>),
    Quic(String),
}

impl Failure {
    fn of(error: ConnectionError, config: &QuicClient) -> Self {
        let alien = TransportErrorCode::crypto(AlertDescription::NoApplicationProtocol.into());
        match error {
            ConnectionError::TransportError(ref ours) => match config.rejection(&ours.reason) {
                Some(rejection) => Self::Rejected(Box::new(rejection)),
                None if ours.code == alien => Self::NotOurs,
                None => Self::Quic(printable(&error.to_string(), MOST_WORDS)),
            },
            ConnectionError::ConnectionClosed(ref theirs) if theirs.error_code == alien => {
                Self::NotOurs
            }
            ConnectionError::ConnectionClosed(ref theirs) => {
                let alert = u64::from(theirs.error_code).checked_sub(FIRST_ALERT);
                match alert.and_then(|alert| u8::try_from(alert).ok()) {
                    Some(alert) => Self::Alert(AlertDescription::from(alert)),
                    None => Self::Quic(printable(&error.to_string(), MOST_WORDS)),
                }
            }
            ConnectionError::VersionMismatch => Self::NotOurs,
            ConnectionError::TimedOut => Self::Silent,
            ConnectionError::ApplicationClosed(_)
            | ConnectionError::Reset
            | ConnectionError::LocallyClosed
            | ConnectionError::CidsExhausted => {
                Self::Quic(printable(&error.to_string(), MOST_WORDS))
            }
        }
    }

    /// How much it says about the server: most what it said itself, nothing if it was silent.
    fn telling(&self) -> u8 {
        match self {
            Self::Rejected(_) => 5,
            Self::Alert(_) | Self::NotOurs | Self::Quic(_) => 4,
            Self::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => 2,
            Self::Io(_) => 1,
            Self::Silent => 0,
        }
    }

    fn named(self, server: &str) -> DialError {
        let here = over_udp(server);
        match self {
            Self::Io(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                DialError::Refused { server: here }
            }
            Self::Io(error) => DialError::connect(&here, error),
            Self::Silent => DialError::TimedOut { server: here },
            Self::NotOurs => DialError::NotOurs { server: here },
            Self::Alert(alert) => DialError::Alert {
                server: here,
                alert,
            },
            // The same key is shown over TLS.
            Self::Rejected(rejection) => DialError::Rejected {
                server: server.into(),
                rejection,
            },
            Self::Quic(why) => DialError::Quic { server: here, why },
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// `HOST:PORT/udp`.
fn over_udp(server: &str) -> String {
    format!("{server}/udp")
}

/// Where the alerts of TLS begin among the errors of QUIC (RFC 9001, 4.8).
const FIRST_ALERT: u64 = 0x100;
const MOST_WORDS: usize = 200;
