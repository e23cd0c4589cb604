//! Those who knock: so many a second, each in one of several ways.

use std::{
    error::Error,
    io::Read as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};
use tokio_rustls::TlsConnector;
use tunnelcast::trust::{Link, Policy, client_config};

/// What came of them.
#[derive(Default)]
struct Tally {
    knocks: AtomicU64,
    pages: AtomicU64,
    busy: AtomicU64,
    failed: AtomicU64,
}

/// Knocks until standard input ends, and prints what came of it.
pub(crate) fn run(link: &Link, rate: u64) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let tally = Arc::<Tally>::default();
    let knocks = knock(link.clone(), rate, Arc::clone(&tally));
    let task = runtime.spawn(knocks);
    std::io::stdin().read_to_end(&mut Vec::new())?;
    task.abort();
    let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
    println!(
        r#"{{"knocks": {}, "pages": {}, "busy": {}, "failed": {}}}"#,
        load(&tally.knocks),
        load(&tally.pages),
        load(&tally.busy),
        load(&tally.failed)
    );
    Ok(())
}

async fn knock(link: Link, rate: u64, tally: Arc<Tally>) {
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
            let done = timeout(Duration::from_secs(20), one(number, &link, &connector));
            let count = match done.await {
                Ok(Ok(Came::Page)) => &tally.pages,
                Ok(Ok(Came::Busy)) => &tally.busy,
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
}

/// One of eight ways: to leave at once, to say nothing for a while, nonsense, half a greeting, a greeting in single
/// bytes, and three times a whole handshake and a page.
async fn one(
    number: u64,
    link: &Link,
    connector: &TlsConnector,
) -> Result<Came, Box<dyn Error + Send + Sync>> {
    let mut tcp = TcpStream::connect((link.host.as_str(), link.port)).await?;
    match number % 8 {
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
        4 => {
            for byte in GREETING {
                tcp.write_all(&[*byte]).await?;
                sleep(Duration::from_millis(300)).await;
            }
        }
        _ => return page(tcp, link, connector).await,
    }
    Ok(Came::Nothing)
}

async fn page(
    tcp: TcpStream,
    link: &Link,
    connector: &TlsConnector,
) -> Result<Came, Box<dyn Error + Send + Sync>> {
    let name = rustls::pki_types::ServerName::try_from(link.host.clone())?;
    let mut tls = connector.connect(name, tcp).await?;
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
        for _ in 0..count {
            pace.tick().await;
            let (link, connector) = (link.clone(), connector.clone());
            tasks.spawn(async move {
                let tcp = TcpStream::connect((link.host.as_str(), link.port)).await?;
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
