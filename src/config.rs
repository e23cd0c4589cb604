//! What the verbs are told, in the program's own types.

use std::{net::SocketAddr, num::NonZeroU32, path::PathBuf, time::Duration};

use crate::{
    capture::{AudioSpec, VideoSpec},
    codec::Quality,
    playback::Latency,
    session,
    timeline::Limits,
    transport::{door, forwarded::Range, proxy::Proxy, race::Ways},
    trust::Link,
};

/// What the program calls itself to its peers.
pub(crate) const AGENT: &str = concat!("tunnelcast/", env!("CARGO_PKG_VERSION"));

/// What `serve` is told.
#[derive(Clone, Debug)]
pub struct Serve {
    /// Addresses to listen on; port 0 lets the system choose; none at all means every address, port 443.
    pub listen: Vec<SocketAddr>,
    /// Whether to listen for QUIC on UDP too.
    pub quic: bool,
    /// The stream's name, as in the link.
    pub name: String,
    /// The picture's source.
    pub video: VideoSpec,
    /// The sound's source.
    pub audio: AudioSpec,
    /// Where key and certificate come from.
    pub identity: IdentitySource,
    /// The host in the link; found out if it is not given.
    pub host: Option<String>,
    /// JPEG quality at every step; chosen by step if not given.
    pub quality: Option<Quality>,
    /// More pictures a second are left out.
    pub max_fps: Option<NonZeroU32>,
    /// The most bits a second to each viewer.
    pub max_bitrate: Option<u64>,
    /// How much of the stream is kept.
    pub limits: Limits,
    /// How long a source stays open after the last viewer has gone.
    pub linger: Duration,
    /// Viewers at once; more are told to come back later.
    pub max_viewers: usize,
    /// Streams at once that others publish here.
    pub max_streams: usize,
    /// Proxies in front of the server that are believed where viewers are.
    pub trusted_proxies: Vec<Range>,
    /// What the server takes on, and how long it waits.
    pub bounds: Bounds,
    /// Who may come in.
    pub access: Access,
}

/// What a server takes on at most, and how long it waits for others.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Connections, and those of which it is not known yet what they want.
    pub door: door::Bounds,
    /// What each session may say.
    pub session: session::server::Bounds,
    /// For a handshake, and for each request behind it.
    pub handshake: Duration,
    /// For all goodbyes when the server stops.
    pub drain: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            door: door::Bounds::default(),
            session: session::server::Bounds::default(),
            handshake: Duration::from_secs(10),
            drain: Duration::from_secs(2),
        }
    }
}

/// Who may come in to a server.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Anybody may watch, without a token.
    pub open: bool,
    /// The directory of the tokens, filled at the first start; without one they live as long as the server.
    pub state: Option<PathBuf>,
    /// A file to which each admission, refusal and command is appended.
    pub audit_log: Option<PathBuf>,
}

impl Serve {
    /// Whether it has no source of its own.
    pub const fn is_relay(&self) -> bool {
        matches!(
            (&self.video, &self.audio),
            (VideoSpec::None, AudioSpec::None)
        )
    }
}

/// What `publish` is told.
#[derive(Clone, Debug)]
pub struct Publish {
    /// Where to and whom to trust there.
    pub link: Link,
    /// The stream's name there.
    pub name: String,
    /// In the place of whoever publishes under that name.
    pub take_over: bool,
    /// The picture's source.
    pub video: VideoSpec,
    /// The sound's source.
    pub audio: AudioSpec,
    /// JPEG quality at every step; chosen by step if not given.
    pub quality: Option<Quality>,
    /// More pictures a second are left out.
    pub max_fps: Option<NonZeroU32>,
    /// The most bits a second over each link.
    pub max_bitrate: Option<u64>,
    /// Whether coarser pictures that viewers need are sent beside the best one, where the uplink has room for them and no
    /// rate is given; the server makes them otherwise.
    pub levels: bool,
    /// How much of the stream is kept here.
    pub limits: Limits,
    /// How long the source stays open after the server takes nothing any more.
    pub linger: Duration,
    /// Which ways to the server may be tried.
    pub ways: Ways,
    /// Whether to go on where TLS is inspected.
    pub inspected: Inspected,
    /// Through which proxy, for the ways over TCP.
    pub proxy: Through,
    /// The per-user file of servers whose key was accepted; the usual place if not given.
    pub known_servers: Option<PathBuf>,
    /// The per-user file of what is known of networks; the usual place if not given.
    pub networks: Option<PathBuf>,
}

impl Publish {
    /// What of it is about the way to the server, which is a viewer's.
    pub(crate) fn dial(&self) -> Watch {
        Watch {
            link: self.link.clone(),
            ways: self.ways,
            inspected: self.inspected,
            proxy: self.proxy.clone(),
            video: false,
            audio: false,
            max_bitrate: None,
            latency: Latency::Low,
            duration: None,
            snapshot: None,
            headless: true,
            known_servers: self.known_servers.clone(),
            networks: self.networks.clone(),
        }
    }
}

/// Where key and certificate come from.
#[derive(Clone, Debug)]
pub enum IdentitySource {
    /// A directory of our own, filled at the first start.
    Directory(PathBuf),
    /// PEM files of the operator's.
    Files {
        /// The certificate chain.
        cert: PathBuf,
        /// The private key.
        key: PathBuf,
    },
    /// A new key that lives as long as the server.
    Fresh,
}

/// What `watch` is told.
#[derive(Clone, Debug)]
pub struct Watch {
    /// Where to and whom to trust there.
    pub link: Link,
    /// Which ways to the server may be tried.
    pub ways: Ways,
    /// Whether to go on where TLS is inspected.
    pub inspected: Inspected,
    /// Through which proxy, for the ways over TCP.
    pub proxy: Through,
    /// Whether the picture is wanted.
    pub video: bool,
    /// Whether the sound is wanted.
    pub audio: bool,
    /// The most bits a second that the server shall send.
    pub max_bitrate: Option<u64>,
    /// How long received pictures and sound are held back so that they play smoothly.
    pub latency: Latency,
    /// Ends by itself after so long, counted from the start.
    pub duration: Option<Duration>,
    /// Writes the first whole picture there.
    pub snapshot: Option<PathBuf>,
    /// No window and no speaker, everything else real.
    pub headless: bool,
    /// The per-user file of servers whose key was accepted; the usual place if not given.
    pub known_servers: Option<PathBuf>,
    /// The per-user file of what is known of networks; the usual place if not given.
    pub networks: Option<PathBuf>,
}

/// Through which proxy a viewer goes.
#[derive(Clone, Debug, Default)]
pub enum Through {
    /// The one that the environment or the system names, if there is one.
    #[default]
    WhatIsSet,
    /// None, whatever is set.
    Nothing,
    /// This one.
    This(Proxy),
}

/// What a viewer does on a network that inspects TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Inspected {
    /// Goes on, with everything sealed for the server's own key inside.
    #[default]
    Seal,
    /// Declines.
    Refuse,
}

/// How long a source stays open after its last viewer has gone.
pub const LINGER: Duration = Duration::from_secs(10);

/// Streams at once that others publish, unless it is said otherwise: as many as a welcome lists.
pub const MAX_STREAMS: usize = 64;

/// How much of a stream is kept where it is published: the newest pictures, for the links.
pub const PUBLISHED: Limits = Limits {
    span: Duration::from_secs(2),
    bytes: 32 << 20,
    least_frames: 10,
};

/// How long a published source stays open after the server takes nothing any more, which itself waits for [`LINGER`].
pub const PUBLISH_LINGER: Duration = Duration::from_secs(3);

/// Viewers at once, unless it is said otherwise.
pub const MAX_VIEWERS: usize = 1000;
