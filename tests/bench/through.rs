//! How much a box lets through: a server that says zeros as fast as they are taken, and a viewer that counts them, over the
//! ways of the transport, without any session. `tests/bench/through.py` puts them on both sides of squid, and curl beside.
//!
//!     through serve ADDRESS:PORT                           prints the hash of its key
//!     through fetch HOST PORT HASH WAY PROXY SECONDS       prints Mbit/s; PROXY may be `none`
//!
//! As a test it does both, on loopback, for a moment.
#![expect(
    clippy::print_stdout,
    reason = "a benchmark's result is what it prints"
)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tunnelcast::transport::dial::{self, Ahead, Target, Timeouts};
use tunnelcast::transport::door::{Bounds, Door};
use tunnelcast::transport::forwarded::Proxies;
use tunnelcast::transport::plain::{Held, Table};
use tunnelcast::transport::proxy::Proxy;
use tunnelcast::transport::{Kind, Link, Listener, Ready};
use tunnelcast::trust::{
    Identity, Pin, Policy, client_config, outer_client_config, sealed_client_config,
};

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let runtime = tokio::runtime::Runtime::new()?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["serve", at] => runtime.block_on(async {
            let server = Server::new(at.parse()?)?;
            println!("{}", server.identity.pin());
            server.serve().await
        }),
        ["fetch", host, port, pin, way, proxy, seconds] => {
            let proxy = match proxy {
                "none" => None,
                url => Some(Proxy::parse(url)?),
            };
            let target = Target {
                host,
                port: port.parse()?,
                stream: "zeros",
                proxy: proxy.as_ref(),
            };
            let way = Kind::from_name(way).ok_or("no such way")?;
            let time = Duration::from_secs_f64(seconds.parse()?);
            let rate = runtime.block_on(fetch(target, pin.parse()?, way, time))?;
            println!("{rate:.1}");
            Ok(())
        }
        _ => runtime.block_on(here()),
    }
}

/// All the ways over TCP, on loopback.
async fn here() -> Result<(), Failure> {
    let server = Server::new(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let (pin, port) = (server.identity.pin(), server.listener.local().port());
    let mut serving = JoinSet::new();
    serving.spawn(server.serve());
    for way in [Kind::Tls, Kind::WebSocket, Kind::Http] {
        let target = Target {
            host: "127.0.0.1",
            port,
            stream: "zeros",
            proxy: None,
        };
        let rate = fetch(target, pin, way, Duration::from_millis(200)).await?;
        println!("through: {way} {rate:.0} Mbit/s");
        if rate <= 0.0 {
            return Err("nothing came".into());
        }
    }
    Ok(())
}

struct Server {
    identity: Arc<Identity>,
    listener: Listener,
    opened: tokio::sync::mpsc::Receiver<tunnelcast::transport::plain::Opened>,
}

impl Server {
    fn new(at: SocketAddr) -> Result<Self, Failure> {
        let (table, opened) = Table::new(Door::new(Bounds::default(), Proxies::default()));
        Ok(Self {
            identity: Arc::new(Identity::fresh()?),
            listener: Listener::bind(at)?.with_sessions(table),
            opened,
        })
    }

    async fn serve(mut self) -> Result<(), Failure> {
        let mut viewers = JoinSet::new();
        loop {
            let identity = Arc::clone(&self.identity);
            tokio::select! {
                incoming = self.listener.accept() => {
                    viewers.spawn(async move {
                        let secured = incoming.handshake(identity.server_config(), PATIENCE).await;
                        let Ok(secured) = secured else { return };
                        let sealed = identity.sealed_server_config();
                        if let Ok(Some(link)) = secured.serve(sealed, PATIENCE).await {
                            zeros(link).await;
                        }
                    });
                }
                Some(opened) = self.opened.recv() => {
                    viewers.spawn(async move {
                        let sealed = identity.sealed_server_config();
                        if let Ok(link) = opened.seal(sealed, PATIENCE).await {
                            zeros(link).await;
                        }
                    });
                }
            }
            while viewers.try_join_next().is_some() {}
        }
    }
}

/// As a session would: a message of 16 KiB whenever the last has gone.
async fn zeros(mut link: Link) {
    let (mut came, mut pending) = (BytesMut::new(), BytesMut::new());
    loop {
        if link.is_clear() && pending.is_empty() {
            pending.resize(MESSAGE, 0);
        }
        match link.ready(&mut came, &mut pending).await {
            Ok(Ready::Eof) | Err(_) => return,
            Ok(_) => came.clear(),
        }
    }
}

/// Mbit/s, from when the first bytes were there.
async fn fetch(target: Target<'_>, pin: Pin, way: Kind, time: Duration) -> Result<f64, Failure> {
    let (host, port) = (target.host, target.port);
    let policy = Policy::Pinned(pin);
    let inner = sealed_client_config(policy.clone(), host, port)?;
    let outer = outer_client_config(host)?;
    let (first, timeouts) = (&FIRST, Timeouts::default());
    let mut link = match way {
        Kind::Tls => {
            let config = client_config(policy, host, port)?;
            dial::tls(target, config, first, timeouts).await?
        }
        Kind::WebSocket => {
            dial::websocket(target, &outer, inner, first, timeouts)
                .await?
                .0
        }
        Kind::Http => {
            let (held, ahead) = (Held::default(), Ahead::default());
            let dialled = dial::http(target, &outer, inner, first, &held, &ahead, timeouts);
            dialled.await?.0
        }
        Kind::Quic => return Err("not over TCP".into()),
    };
    let (mut came, mut nothing) = (BytesMut::new(), BytesMut::new());
    link.ready(&mut came, &mut nothing).await?;
    let began = Instant::now();
    let mut bytes = 0_u64;
    loop {
        came.clear();
        match timeout_at(began + time, link.ready(&mut came, &mut nothing)).await {
            Ok(Ok(Ready::Eof)) => return Err("the server has gone".into()),
            Ok(ready) => drop(ready?),
            Err(_) => break,
        }
        bytes += u64::try_from(came.len())?;
    }
    #[expect(clippy::cast_precision_loss, reason = "figures for the eye")]
    let bits = bytes as f64 * 8.0;
    Ok(bits / began.elapsed().as_secs_f64() / 1e6)
}

const PATIENCE: Duration = Duration::from_secs(10);
const MESSAGE: usize = 16 * 1024;
/// What the viewer says first.
const FIRST: [u8; 1] = *b"?";
