//! Servers, viewers, and boxes in between that end TLS and open another.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
};
use rustls::crypto::aws_lc_rs;
use rustls::{ServerConfig, SupportedProtocolVersion};
use rustls_pki_types::PrivatePkcs8KeyDer;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tunnelcast::transport::dial::{self, DialError, Target, Timeouts};
use tunnelcast::transport::forwarded::Range;
use tunnelcast::transport::{AcceptError, Link, Listener, Ready};
use tunnelcast::trust::{Identity, Outer, Pin, Policy, outer_client_config, sealed_client_config};

pub(crate) const SECOND: Duration = Duration::from_secs(1);
/// Turns a hang into a failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// For peers that are meant to fail by being silent.
pub(crate) const SHORT: Timeouts = Timeouts {
    connect: SECOND,
    silence: SECOND,
    overall: Duration::from_secs(2),
};

/// A server on a port of its own, with a fresh identity.
pub(crate) struct Server {
    pub(crate) identity: Identity,
    pub(crate) listener: Listener,
}

impl Server {
    pub(crate) fn new() -> Self {
        Self {
            identity: Identity::fresh().unwrap(),
            listener: Listener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap(),
        }
    }

    /// One that believes that address where viewers are.
    pub(crate) fn trusting(proxy: &str) -> Self {
        let proxies = [proxy.parse::<Range>().unwrap()].into_iter().collect();
        let Self { identity, listener } = Self::new();
        Self {
            identity,
            listener: listener.trusting(proxies),
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.listener.local().port()
    }

    /// What becomes of the next connection.
    pub(crate) async fn next(&self) -> Result<Option<Link>, AcceptError> {
        let incoming = self.listener.accept().await;
        let secured = incoming
            .handshake(self.identity.server_config(), 5 * SECOND)
            .await?;
        let sealed = self.identity.sealed_server_config();
        secured.serve(sealed, 5 * SECOND).await
    }

    /// Takes connections in turn until one is a link.
    pub(crate) async fn link(&self) -> Link {
        loop {
            if let Ok(Some(link)) = self.next().await {
                return link;
            }
        }
    }

    /// A link by way of `port`, from both ends.
    pub(crate) async fn pair(&self, port: u16, first: &[u8]) -> (Link, Link, Outer) {
        let dial = dial(port, self.identity.pin(), first, Timeouts::default());
        let (there, here) = soon(async { tokio::join!(self.link(), dial) }).await;
        let (here, outer) = here.unwrap();
        (there, here, outer)
    }
}

pub(crate) async fn dial(
    port: u16,
    pin: Pin,
    first: &[u8],
    timeouts: Timeouts,
) -> Result<(Link, Outer), DialError> {
    let host = "127.0.0.1";
    let target = Target {
        host,
        port,
        stream: "cam",
        proxy: None,
    };
    let outer = outer_client_config(host).unwrap();
    let inner = sealed_client_config(Policy::Pinned(pin), host, port).unwrap();
    dial::websocket(
        target,
        &outer,
        inner,
        &Bytes::copy_from_slice(first),
        timeouts,
    )
    .await
}

pub(crate) async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.unwrap()
}

/// Reads until `wanted` bytes are there.
pub(crate) async fn read(link: &mut Link, wanted: usize) -> BytesMut {
    let (mut got, mut nothing) = (BytesMut::new(), BytesMut::new());
    while got.len() < wanted {
        let ready = soon(link.ready(&mut got, &mut nothing)).await.unwrap();
        assert!(matches!(ready, Ready::Read(_)), "{ready:?}");
    }
    got
}

pub(crate) async fn write(link: &mut Link, bytes: &[u8]) {
    let (mut got, mut pending) = (BytesMut::new(), BytesMut::from(bytes));
    while !(pending.is_empty() && link.is_clear()) {
        soon(link.ready(&mut got, &mut pending)).await.unwrap();
    }
}

/// How a box treats what goes through it.
#[derive(Clone, Copy)]
pub(crate) struct Manner {
    pub(crate) speaks: &'static SupportedProtocolVersion,
    /// Takes Upgrade out of requests, as squid does.
    pub(crate) strips: bool,
    /// Puts these fields into requests.
    pub(crate) adds: &'static str,
    /// After so many bytes to the server, or from it, it cuts everything.
    pub(crate) cut: Option<usize>,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            speaks: &rustls::version::TLS13,
            strips: false,
            adds: "",
            cut: None,
        }
    }
}

/// A box that ends TLS with a certificate of its own authority, and opens another to the server.
pub(crate) struct Inspector {
    pub(crate) port: u16,
    /// All that it has read, in both directions.
    pub(crate) read: Arc<Mutex<Vec<u8>>>,
    _task: JoinSet<()>,
}

impl Inspector {
    pub(crate) async fn start(server: SocketAddr, manner: Manner) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let read = Arc::new(Mutex::new(Vec::new()));
        let config = foreign(manner.speaks);
        let mut task = JoinSet::new();
        let log = Arc::clone(&read);
        task.spawn(async move {
            let mut running = JoinSet::new();
            while let Ok((tcp, _)) = listener.accept().await {
                let (config, log) = (Arc::clone(&config), Arc::clone(&log));
                running.spawn(inspect(tcp, config, server, manner, log));
            }
        });
        Self {
            port,
            read,
            _task: task,
        }
    }
}

async fn inspect(
    tcp: TcpStream,
    config: Arc<ServerConfig>,
    server: SocketAddr,
    manner: Manner,
    log: Arc<Mutex<Vec<u8>>>,
) {
    let Ok(viewer) = TlsAcceptor::from(config).accept(tcp).await else {
        return;
    };
    let tcp = TcpStream::connect(server).await.unwrap();
    let any = outer_client_config("127.0.0.1").unwrap().tls();
    let name = "127.0.0.1".try_into().unwrap();
    let server = TlsConnector::from(any).connect(name, tcp).await.unwrap();
    let (from_viewer, to_viewer) = tokio::io::split(viewer);
    let (from_server, to_server) = tokio::io::split(server);
    let cut = manner.cut.unwrap_or(usize::MAX);
    tokio::select! {
        () = carry(from_viewer, to_server, cut, manner, &log) => {}
        () = carry(from_server, to_viewer, cut, manner, &log) => {}
    }
}

async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut left: usize,
    manner: Manner,
    log: &Mutex<Vec<u8>>,
) {
    let mut chunk = [0; 4096];
    while let Ok(n @ 1..) = from.read(&mut chunk).await {
        log.lock().unwrap().extend_from_slice(&chunk[..n]);
        let n = n.min(left);
        left -= n;
        let mut bytes = chunk[..n].to_vec();
        if bytes.starts_with(b"GET ") {
            let mut text = String::from_utf8(bytes).unwrap();
            if manner.strips {
                text = text.replace("Upgrade", "Nothing");
            }
            bytes = text
                .replacen("\r\n", &format!("\r\n{}", manner.adds), 1)
                .into_bytes();
        }
        if to.write_all(&bytes).await.is_err() || to.flush().await.is_err() || left == 0 {
            return;
        }
    }
}

/// A certificate of somebody who is not the server, and its key.
pub(crate) fn certificate() -> (rcgen::Certificate, KeyPair) {
    let (ca_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.distinguished_name = DistinguishedName::new();
    ca.distinguished_name.push(DnType::CommonName, "The Box");
    let leaf = CertificateParams::new([String::from("127.0.0.1")]).unwrap();
    (leaf.signed_by(&key, &Issuer::new(ca, ca_key)).unwrap(), key)
}

/// As somebody who is not the server speaks TLS.
pub(crate) fn foreign(speaks: &'static SupportedProtocolVersion) -> Arc<ServerConfig> {
    let (leaf, key) = certificate();
    let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[speaks])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}
