//! Those who knock: so many a second, each in one of several ways.

use std::{
    error::Error,
    io::Read as _,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::BytesMut;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream, UdpSocket},
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tunnelcast::{
    media::TokenId,
    transport::{Kind, Ready},
    trust::{Link, Policy, client_config},
    wire::{ClientControl, Hello, Proof, TokenProof},
};

use crate::viewer::{self, Failure};

/// What came of them.
#[derive(Default)]
struct Tally {
    knocks: AtomicU64,
    pages: AtomicU64,
    busy: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
}

/// Knocks until standard input ends, and prints what came of it.
pub(crate) fn run(link: &Link, rate: u64, mixed: bool) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let tally = Arc::<Tally>::default();
    let knocks = knock(link.clone(), (rate, mixed), Arc::clone(&tally));
    let task = runtime.spawn(knocks);
    std::io::stdin().read_to_end(&mut Vec::new())?;
    task.abort();
    let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
    println!(
        r#"{{"knocks": {}, "pages": {}, "busy": {}, "refused": {}, "failed": {}}}"#,
        load(&tally.knocks),
        load(&tally.pages),
        load(&tally.busy),
        load(&tally.refused),
        load(&tally.failed)
    );
    Ok(())
}

async fn knock(link: Link, (rate, mixed): (u64, bool), tally: Arc<Tally>) {
    let Some(connector) = connector(&link) else {
        return;
    };
    let mut pace = interval(Duration::from_secs(1) / u32::try_from(rate).unwrap_or(1));
    pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut tasks = JoinSet::new();
    let mut number = 0_u64;
    loop {
        pace.tick().await;
        while tasks.try_join_next().is_some() {}
        number += 1;
        let (link, connector, tally) = (link.clone(), connector.clone(), Arc::clone(&tally));
        tasks.spawn(async move {
            tally.knocks.fetch_add(1, Ordering::Relaxed);
            let knock = one(number, mixed, &link, &connector);
            let done = timeout(Duration::from_secs(20), knock);
            let count = match done.await {
                Ok(Ok(Came::Page)) => &tally.pages,
                Ok(Ok(Came::Busy)) => &tally.busy,
                Ok(Ok(Came::Refused)) => &tally.refused,
                Ok(Ok(Came::Nothing)) => return,
                Ok(Err(_)) | Err(_) => &tally.failed,
            };
            count.fetch_add(1, Ordering::Relaxed);
        });
    }
}

enum Came {
    Nothing,
    Page,
    Busy,
    Refused,
}

/// One of eight ways: to leave at once, to say nothing for a while, nonsense, half a greeting, a greeting in single
/// bytes, and three times a whole handshake and a page. `mixed`, there are eight more: a greeting of a byte a second, wrong
/// tokens, halves of a WebSocket and of a session in plain HTTP, and over UDP nonsense and a handshake with nonsense behind.
async fn one(
    number: u64,
    mixed: bool,
    link: &Link,
    connector: &TlsConnector,
) -> Result<Came, Failure> {
    let ways = if mixed { 16 } else { 8 };
    match number % ways {
        12 => {
            let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            let mut packet = vec![0xc3; 1200];
            packet[1..5].copy_from_slice(&1_u32.to_be_bytes());
            udp.send_to(&packet, (link.host.as_str(), link.port))
                .await?;
            return Ok(Came::Nothing);
        }
        13 => {
            let mut quic = viewer::dial(link, Kind::Quic, b"nonsense").await?;
            let (mut came, mut nothing) = (BytesMut::new(), BytesMut::new());
            while !matches!(quic.ready(&mut came, &mut nothing).await?, Ready::Eof) {}
            return Ok(Came::Refused);
        }
        _ => {}
    }
    let mut tcp = connect(number, link).await?;
    match number % ways {
        0 => {}
        1 => sleep(Duration::from_secs(3)).await,
        2 => {
            tcp.write_all(&[b'x'; 3000]).await?;
            let _end = tcp.read(&mut [0; 64]).await?;
        }
        3 => {
            tcp.write_all(GREETING).await?;
            sleep(Duration::from_secs(2)).await;
        }
        4 => slowly(&mut tcp, Duration::from_millis(300)).await?,
        8 => slowly(&mut tcp, Duration::from_secs(1)).await?,
        9 | 14 => {
            let mut hello = BytesMut::from(upgrade("tunnelcast").as_bytes());
            let proof = TokenProof {
                id: TokenId::from_bytes(number.to_be_bytes()),
                proof: Proof::from_bytes([7; 32]),
            };
            let words = Hello {
                versions: vec![1],
                token: Some(proof),
                ..Hello::default()
            };
            ClientControl::Hello(words).encode(&mut hello)?;
            let mut tls = secure(tcp, link, connector).await?;
            tls.write_all(&hello).await?;
            let _cut = tls.read_to_end(&mut Vec::new()).await;
            return Ok(Came::Refused);
        }
        10 => {
            let mut tls = secure(tcp, link, connector).await?;
            tls.write_all(upgrade("websocket").as_bytes()).await?;
            sleep(Duration::from_secs(2)).await;
        }
        11 => {
            let mut tls = secure(tcp, link, connector).await?;
            let id = BASE64_URL_SAFE_NO_PAD.encode(u128::from(number).to_be_bytes());
            let request = format!("GET /live?t={id} HTTP/1.1\r\nHost: x\r\n\r\n");
            tls.write_all(request.as_bytes()).await?;
            sleep(Duration::from_secs(2)).await;
        }
        _ => return page(tcp, link, connector).await,
    }
    Ok(Came::Nothing)
}

/// Each from one of 250 addresses, which are all this machine.
async fn connect(number: u64, link: &Link) -> Result<TcpStream, Failure> {
    let from = Ipv4Addr::new(127, 0, 0, u8::try_from(2 + number % 250)?);
    let tcp = TcpSocket::new_v4()?;
    tcp.bind(SocketAddr::from((from, 0)))?;
    let there = SocketAddr::new(link.host.parse()?, link.port);
    Ok(tcp.connect(there).await?)
}

async fn slowly(tcp: &mut TcpStream, pause: Duration) -> Result<(), Failure> {
    for byte in GREETING {
        tcp.write_all(&[*byte]).await?;
        sleep(pause).await;
    }
    Ok(())
}

fn upgrade(to: &str) -> String {
    format!(
        "GET /live HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: {to}\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: tunnelcast\r\n\r\n"
    )
}

async fn secure(
    tcp: TcpStream,
    link: &Link,
    connector: &TlsConnector,
) -> Result<TlsStream<TcpStream>, Failure> {
    let name = rustls::pki_types::ServerName::try_from(link.host.clone())?;
    Ok(connector.connect(name, tcp).await?)
}

async fn page(tcp: TcpStream, link: &Link, connector: &TlsConnector) -> Result<Came, Failure> {
    let mut tls = secure(tcp, link, connector).await?;
    tls.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .await?;
    let mut page = Vec::new();
    let _cut = tls.read_to_end(&mut page).await;
    Ok(match page.get(9..12) {
        Some(b"200") => Came::Page,
        Some(b"503") => Came::Busy,
        _ => return Err("no page".into()),
    })
}

/// Whoever does not resume, so that each handshake is a whole one.
fn connector(link: &Link) -> Option<TlsConnector> {
    let config = client_config(Policy::Pinned(link.pin?), &link.host, link.port).ok()?;
    let mut config = Arc::unwrap_or_clone(config);
    config.resumption = rustls::client::Resumption::disabled();
    Some(TlsConnector::from(Arc::new(config)))
}

/// What came of many who looked at a page.
pub(crate) struct Visits {
    pub(crate) took: Duration,
    pub(crate) pages: u64,
}

/// So many, evenly over `within`.
pub(crate) fn visit(link: &Link, count: u32, within: Duration) -> Result<Visits, Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let connector = connector(link).ok_or("a link without a key")?;
    runtime.block_on(async {
        let start = Instant::now();
        let mut pace = interval(within / count);
        let mut tasks = JoinSet::new();
        for number in 0..count {
            pace.tick().await;
            let (link, connector) = (link.clone(), connector.clone());
            tasks.spawn(async move {
                let tcp = connect(number.into(), &link).await?;
                page(tcp, &link, &connector).await
            });
        }
        let mut pages = 0;
        while let Some(done) = tasks.join_next().await {
            pages += u64::from(matches!(done, Ok(Ok(Came::Page))));
        }
        Ok(Visits {
            took: start.elapsed(),
            pages,
        })
    })
}

/// How TLS begins: a record that is never all there.
const GREETING: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
