//! What a network does to each way to a server: every one tried by the viewer's own code, then judged.

mod facts;
mod fault;
mod judge;
mod probes;
mod rung;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use self::facts::{
    Body, Facts, Fault, Figures, Name, Proxied, Reply, Rung, Tcp, Through, Trouble, Udp, Way,
};
pub use self::judge::{Probe, Report, Row, Verdict, judge};

use self::rung::Tried;
use super::Ask;
use super::connect::Connector;
use crate::config::{self, Watch};
use crate::error::{Error, Status};
use crate::transport::{Kind, dial, memory::Memory};

/// What was found out.
#[derive(Debug)]
pub struct Examination {
    /// For a person, or a script.
    pub report: Report,
    /// What `watch` would end with, where no way works.
    pub error: Option<Error>,
}

/// Tries every way for real, side by side, and looks at what lies under them.
///
/// `config` says whom to reach and whom to trust; how to get there, for how long, and what is remembered of networks,
/// is the doctor's own business. Whoever drops the future ends everything at once; so does `stop`.
///
/// # Errors
/// What kept it from beginning at all, a server's key that was not accepted, and [`Error::NoWay`] when it was stopped.
pub async fn examine(
    config: Watch,
    ask: Arc<dyn Ask>,
    stop: CancellationToken,
) -> Result<Examination, Error> {
    let mut connector = Connector::new(&config, ask, Memory::private())?;
    let server = connector.server();
    tokio::select! {
        biased;
        () = stop.cancelled() => Err(Error::NoWay {
            server,
            why: "it was stopped before anything was found out".to_owned(),
        }),
        done = all(&config, &mut connector) => done,
    }
}

async fn all(config: &Watch, connector: &mut Connector) -> Result<Examination, Error> {
    connector.introduce().await?;
    let config = &Watch {
        // With the user and the password that were asked for.
        proxy: match &connector.target().proxy {
            Some(proxy) => config::Through::This(proxy.clone()),
            None => config::Through::Nothing,
        },
        ..config.clone()
    };
    let (mut tried, under) = tokio::join!(each(config), probes::all(connector.target()));
    if let Some(quic) = throttled(&tried) {
        // Side by side they share the line, and one may have got the lesser part of a thin one.
        let alone = rung::play(config.clone(), Kind::Quic).await;
        if alone.rung.figures.throughput_bps > tried[quic].rung.figures.throughput_bps {
            tried[quic] = alone;
        }
    }
    let works = tried.iter().any(|tried| tried.rung.works());
    let over_tls = |tried: &Tried| tried.rung.way == Way::Tls && tried.rung.works();
    let portal = if tried.iter().any(over_tls) {
        None
    } else {
        dial::portal(&config.link.host, HTTP, PORTAL).await
    };
    let (rungs, errors): (Vec<Rung>, Vec<_>) = tried
        .into_iter()
        .map(|tried| (tried.rung, tried.error))
        .unzip();
    let report = judge(&Facts {
        host: config.link.host.clone(),
        port: config.link.port,
        pin: config.link.pin,
        name: under.name,
        tcp: under.tcp,
        certificate: under.certificate,
        proxy: under.proxy,
        udp: under.udp,
        datagram: under.datagram,
        portal,
        rungs,
    });
    let error = (!works).then(|| {
        first(errors.into_iter().flatten().collect()).unwrap_or_else(|| Error::NoWay {
            server: connector.server(),
            why: report.verdict.verdict.clone(),
        })
    });
    Ok(Examination { report, error })
}

/// Every way at the same time, in the order of [`Kind::ALL`].
async fn each(config: &Watch) -> Vec<Tried> {
    let mut playing = JoinSet::new();
    let proxied = matches!(config.proxy, config::Through::This(_));
    for kind in Kind::ALL {
        // As `watch` does.
        if proxied && kind == Kind::Quic {
            continue;
        }
        playing.spawn(rung::play(config.clone(), kind));
    }
    let mut tried = playing.join_all().await;
    let place = |tried: &Tried| {
        Kind::ALL
            .iter()
            .position(|kind| Way::of(*kind) == tried.rung.way)
    };
    tried.sort_by_key(place);
    tried
}

/// Where QUIC is, if it had less than half of what TLS had.
fn throttled(tried: &[Tried]) -> Option<usize> {
    let of = |way| tried.iter().position(|tried| tried.rung.way == way);
    let (quic, tls) = (of(Way::Quic)?, of(Way::Tls)?);
    judge::is_throttled(&tried[quic].rung, &tried[tls].rung).then_some(quic)
}

/// What `watch` would say: that it was refused before everything else, then what is wrong with TLS, which is what works
/// if anything does.
fn first(mut errors: Vec<(Way, Error)>) -> Option<Error> {
    let rank = |(way, error): &(Way, Error)| {
        let refused = error.status() == Status::Refused;
        (!refused, *way != Way::Tls)
    };
    errors.sort_by_key(rank);
    errors.into_iter().next().map(|(_, error)| error)
}

/// Where a login page would be, and how long it has to show itself.
const HTTP: u16 = 80;
const PORTAL: Duration = Duration::from_secs(2);
