//! What quinn is told: its defaults are for files, ours for live pictures between strangers.

use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::{NoInitialCipherSuite, QuicClientConfig, QuicServerConfig};
use quinn::{IdleTimeout, MtuDiscoveryConfig, TransportConfig, VarInt, congestion};

use super::frames::MOST_ARRIVING;
use super::roomy::RoomyConfig;
use crate::trust;

/// How it is decided what a network can carry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Congestion {
    /// By the loss of packets, with a long memory.
    Cubic,
    /// By the loss of packets, with half of the rate given up for each.
    NewReno,
    /// By the rate that arrives: a few lost packets, as on a radio link, cost next to nothing.
    #[default]
    Bbr,
}

/// Whose settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Viewer,
    Server,
}

/// How a viewer's connection behaves.
pub(in crate::transport) fn client(
    tls: Arc<rustls::ClientConfig>,
    congestion: Congestion,
) -> Option<quinn::ClientConfig> {
    let suite = trust::quic_initial_suite()?;
    let crypto = QuicClientConfig::with_initial(tls, suite).ok()?;
    let mut config = quinn::ClientConfig::new(Arc::new(crypto));
    config.transport_config(Arc::new(transport(Side::Viewer, congestion)));
    Some(config)
}

/// How a server's connections behave.
pub(super) fn server(
    tls: Arc<rustls::ServerConfig>,
    congestion: Congestion,
) -> Option<quinn::ServerConfig> {
    let suite = trust::quic_initial_suite()?;
    let crypto: Result<_, NoInitialCipherSuite> = QuicServerConfig::with_initial(tls, suite);
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(crypto.ok()?));
    config
        .transport_config(Arc::new(transport(Side::Server, congestion)))
        .max_incoming(MOST_INCOMING)
        .incoming_buffer_size(INCOMING_BUFFER)
        .incoming_buffer_size_total(INCOMING_BUFFERS);
    Some(config)
}

/// Segmentation by the kernel stays on: quinn-udp turns it off by itself, for the socket and for good, at the first
/// `EIO` or `EINVAL` (`send` in its `unix.rs`), and quinn asks before each batch how many segments it may have. What
/// was lost with the error is sent again.
fn transport(side: Side, congestion: Congestion) -> TransportConfig {
    let mut config = TransportConfig::default();
    config
        // Of a network of which nothing is known; 333 ms by default, so that the first lost packet costs a second.
        .initial_rtt(Duration::from_millis(100))
        // Below the 10 to 30 s for which a firewall remembers a UDP flow in which nothing is said.
        .keep_alive_interval(Some(Duration::from_secs(5)))
        // The session notices far sooner. This is for connections on which nobody speaks any more.
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(20_000))))
        // Every network carries 1200 bytes. More is tried, and black holes are looked for, while media already flow.
        .initial_mtu(1200)
        .mtu_discovery_config(Some(mtu()))
        .datagram_send_buffer_size(DATAGRAMS)
        .datagram_receive_buffer_size(Some(256 * 1024))
        .congestion_controller_factory(match congestion {
            Congestion::Cubic => Arc::new(congestion::CubicConfig::default()),
            Congestion::NewReno => Arc::new(congestion::NewRenoConfig::default()),
            Congestion::Bbr => Arc::new(RoomyConfig::default()),
        });
    match side {
        Side::Viewer => config
            .max_concurrent_bidi_streams(VarInt::from_u32(0))
            .max_concurrent_uni_streams(VarInt::from_u32(FRAMES_IN_FLIGHT))
            .stream_receive_window(VarInt::from_u32(2 * 1024 * 1024))
            .receive_window(VarInt::from_u32(8 * 1024 * 1024)),
        Side::Server => config
            .max_concurrent_bidi_streams(VarInt::from_u32(1))
            .max_concurrent_uni_streams(VarInt::from_u32(0))
            .stream_receive_window(VarInt::from_u32(256 * 1024))
            .receive_window(VarInt::from_u32(256 * 1024)),
    };
    config
}

/// Somebody publishes over this connection, which a server has accepted as a viewer's.
pub(super) fn let_frames_in(connection: &quinn::Connection) {
    connection.set_max_concurrent_uni_streams(VarInt::from_u32(FRAMES_IN_FLIGHT));
    connection.set_receive_window(VarInt::from_u32(PUBLISHED));
}

fn mtu() -> MtuDiscoveryConfig {
    let mut mtu = MtuDiscoveryConfig::default();
    // Ethernet, less the heads of IPv6 and UDP.
    mtu.upper_bound(1452);
    mtu
}

/// Room for datagrams that are to be sent, bytes. How much of it is used depends on the way (`link`). It goes out in one
/// burst, for which the other side's socket has 208 KiB on Linux, counted with what the kernel needs itself.
pub(super) const DATAGRAMS: usize = 128 * 1024;

/// What a publisher may have under way in whole pictures.
const PUBLISHED: u32 = 8 * 1024 * 1024;

/// How many frames a server may have begun that it does not know to have ended. The right to begin another comes back
/// only after a round trip: with no more than the [`MOST_ARRIVING`] that are kept, 30 frames a second would be too many
/// for a network of 133 ms. The memory that they take is bounded by the windows.
const FRAMES_IN_FLIGHT: u32 = 32;
const _: () = assert!(FRAMES_IN_FLIGHT as usize >= MOST_ARRIVING);

/// Connections that nobody has accepted yet, and what they may have said; quinn would keep 100 MiB of it.
const MOST_INCOMING: usize = 512;
const INCOMING_BUFFER: u64 = 16 * 1024;
const INCOMING_BUFFERS: u64 = 2 * 1024 * 1024;
