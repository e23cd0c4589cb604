//! From what was found out to what a person reads: pure, without a clock or a socket.

mod probes;
#[cfg(test)]
mod tests;
mod verdict;

use serde::Serialize;

use super::{Facts, Rung, Trouble, Way};

/// What a person or a script is told.
#[derive(Clone, Debug)]
pub struct Report {
    /// What lies under the ways.
    pub probes: Vec<Probe>,
    /// The ways.
    pub rungs: Vec<Row>,
    /// What it comes to.
    pub verdict: Verdict,
}

/// Something that lies under the ways.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Probe {
    /// `name`, `tcp`, `tls`, `proxy`, `upgrade`, `body`, `udp` or `packets`.
    pub what: &'static str,
    /// Whether it is as it should be; `None` if that cannot be said.
    pub ok: Option<bool>,
    /// How long it took.
    pub ms: Option<f64>,
    /// For a person.
    pub words: String,
}

/// A way, as it was when it was tried.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// As in `watch --transport`.
    pub transport: &'static str,
    /// Whether `watch` can use it.
    pub works: bool,
    /// From when it was dialled until the server's first word.
    pub reached_ms: Option<f64>,
    /// From the start until the first picture.
    pub first_frame_ms: Option<f64>,
    /// Round trip, measured last.
    pub rtt_ms: Option<f64>,
    /// Between the delay of half of the pictures and of 95 of 100.
    pub jitter_ms: Option<f64>,
    /// Bits a second while it played.
    pub throughput_bps: Option<u64>,
    /// Pictures shown.
    pub frames: u64,
    /// Why it does not work, or what is remarkable about it.
    pub why: Option<String>,
}

/// What it all comes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Whether any way works.
    pub works: bool,
    /// The best of those that do.
    pub best: Option<&'static str>,
    /// How it is, in one sentence.
    pub verdict: String,
    /// What to do about it, for whoever runs the network.
    pub advice: String,
}

/// What these facts mean.
pub fn judge(facts: &Facts) -> Report {
    Report {
        probes: probes::probes(facts),
        rungs: facts.rungs.iter().map(|rung| row(facts, rung)).collect(),
        verdict: verdict::verdict(facts),
    }
}

/// Whether QUIC has less than half of what TLS has, though both work.
pub(super) fn is_throttled(quic: &Rung, tls: &Rung) -> bool {
    let rate = |rung: &Rung| rung.figures.throughput_bps.filter(|_| rung.works());
    match (rate(quic), rate(tls)) {
        (Some(quic), Some(tls)) => quic < tls / 2,
        _ => false,
    }
}

fn row(facts: &Facts, rung: &Rung) -> Row {
    let figures = &rung.figures;
    let why = match &rung.fault {
        Some(fault) => Some(fault.words.clone()),
        None => remark(facts, rung),
    };
    Row {
        transport: rung.way.name(),
        works: rung.works(),
        reached_ms: figures.reached_ms,
        first_frame_ms: figures.first_frame_ms,
        rtt_ms: figures.rtt_ms,
        jitter_ms: figures.jitter_ms,
        throughput_bps: figures.throughput_bps,
        frames: figures.frames,
        why,
    }
}

/// What is remarkable about a way that works.
fn remark(facts: &Facts, rung: &Rung) -> Option<String> {
    let through = &rung.through;
    let mut remarks = Vec::new();
    if rung.way == Way::Quic && facts.throttled() {
        remarks.push("throttled: less than half of what TLS has".to_owned());
    }
    if let Some(who) = &through.inspected {
        remarks.push(format!(
            "inside TLS that {who} reads; the media in it are sealed"
        ));
    }
    if let Some(who) = &through.front {
        remarks.push(format!(
            "behind a reverse proxy (its certificate is by {who})"
        ));
    }
    if let Some(proxy) = &through.proxy {
        remarks.push(format!("through the proxy {proxy}"));
    }
    (!remarks.is_empty()).then(|| remarks.join("; "))
}

impl Facts {
    fn rung(&self, way: Way) -> Option<&Rung> {
        self.rungs.iter().find(|rung| rung.way == way)
    }

    fn works(&self, way: Way) -> bool {
        self.rung(way).is_some_and(Rung::works)
    }

    /// What is wrong with a way that was tried.
    fn trouble(&self, way: Way) -> Option<&Trouble> {
        let fault = self.rung(way)?.fault.as_ref()?;
        Some(&fault.trouble)
    }

    fn throttled(&self) -> bool {
        match (self.rung(Way::Quic), self.rung(Way::Tls)) {
            (Some(quic), Some(tls)) => is_throttled(quic, tls),
            _ => false,
        }
    }

    /// UDP begins well, and then nothing comes that way, or too little, though it does over TLS.
    fn stalled(&self) -> bool {
        let fell = matches!(
            self.trouble(Way::Quic),
            Some(Trouble::Stalled | Trouble::Cut | Trouble::NoMedia)
        );
        fell && self.works(Way::Tls)
    }

    /// Who inspects, as a way that works says, or as the certificate shows that came instead of the server's.
    fn inspector(&self) -> Option<&str> {
        let told = |rung: &Rung| rung.through.inspected.is_some();
        let told = self.rungs.iter().find(|rung| told(rung));
        told.and_then(|rung| rung.through.inspected.as_deref())
    }

    /// `HOST:PORT` for a person.
    fn server(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// Bits a second for a person.
fn rate(bps: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "figures for the eye")]
    let mbps = bps as f64 / 1e6;
    format!("{mbps:.1} Mbit/s")
}
