//! `tunnelcast doctor`

use std::{path::PathBuf, sync::Arc};

use clap::Args;

use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::{Output, ask::Terminal, choose::choose, runtime, watch::through};
use crate::{
    client::doctor::{self, Probe, Report, Row, Verdict},
    config::{Inspected, Through, Watch},
    error::Error,
    playback::Latency,
    transport::race::Ways,
    trust::Link,
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The link that `serve` printed
    link: Link,
    /// File of the servers whose key was accepted once [default: in the user's configuration]
    #[arg(long, value_name = "FILE")]
    known_servers: Option<PathBuf>,
    /// Proxy for the ways over TCP, as with watch
    #[arg(long, value_name = "URL", value_parser = through)]
    proxy: Option<Through>,
}

pub(super) fn run(arguments: Arguments, output: &Output) -> Result<(), Error> {
    let Arguments {
        link,
        known_servers,
        proxy,
    } = arguments;
    let config = Watch {
        link,
        ways: Ways::All,
        inspected: Inspected::Seal,
        proxy: proxy.unwrap_or_default(),
        video: true,
        audio: true,
        max_bitrate: None,
        latency: Latency::Low,
        duration: None,
        snapshot: None,
        headless: true,
        known_servers,
        networks: None,
    };
    let runtime = runtime::build()?;
    let result = examine(&runtime, config, output);
    runtime::end(runtime);
    result
}

fn examine(runtime: &Runtime, config: Watch, output: &Output) -> Result<(), Error> {
    let stop = CancellationToken::new();
    runtime.spawn(runtime::signals(stop.clone()));
    let config = choose(runtime, config, output)?;
    let link = &config.link;
    let title = format!(
        "stream {} of {}, port {}",
        link.stream, link.host, link.port
    );
    output.note(
        "trying every way at the same time, with real media: 4 s where all is well, 12 s at most",
    );
    let done = runtime.block_on(doctor::examine(config, Arc::new(Terminal), stop))?;
    print(&title, &done.report, output)?;
    done.error.map_or(Ok(()), Err)
}

fn print(title: &str, report: &Report, output: &Output) -> Result<(), Error> {
    let mut head = format!("{title}\n\n");
    for probe in &report.probes {
        let words = format!("{head}{}", probe_words(probe));
        head.clear();
        output.event("probe", probe, &words)?;
    }
    let mut head = format!("\n{}\n", line(HEADS));
    for rung in &report.rungs {
        let words = format!("{head}{}", rung_words(rung));
        head.clear();
        output.event("rung", rung, &words)?;
    }
    output.event("verdict", &report.verdict, &verdict_words(&report.verdict))
}

fn probe_words(probe: &Probe) -> String {
    let mark = match probe.ok {
        Some(true) => "ok",
        Some(false) => "no",
        None => "-",
    };
    let took = probe
        .ms
        .map_or_else(String::new, |ms| format!(" ({})", millis(ms)));
    let lead = format!("{:<9}{mark:<4}", probe.what);
    wrap(&lead, &format!("{}{took}", probe.words))
}

fn rung_words(row: &Row) -> String {
    let ms = |ms: Option<f64>| ms.map_or_else(|| NONE.to_owned(), millis);
    let cells = [
        row.transport.to_owned(),
        if row.works { "yes" } else { "no" }.to_owned(),
        ms(row.reached_ms),
        ms(row.first_frame_ms),
        ms(row.rtt_ms),
        ms(row.jitter_ms),
        row.throughput_bps.map_or_else(|| NONE.to_owned(), rate),
        if row.frames == 0 {
            NONE.to_owned()
        } else {
            row.frames.to_string()
        },
    ];
    let cells = line(cells.each_ref().map(String::as_str));
    match &row.why {
        Some(why) => format!("{cells}\n{}", wrap("  ", why)),
        None => cells,
    }
}

fn verdict_words(verdict: &Verdict) -> String {
    let says = wrap("verdict  ", &verdict.verdict);
    format!("\n{says}\n{}", wrap("advice   ", &verdict.advice))
}

/// One line of the table of ways: names to the left, figures to the right.
fn line(cells: [&str; COLUMNS]) -> String {
    let mut line = String::new();
    for (place, (cell, width)) in cells.into_iter().zip(WIDTHS).enumerate() {
        if place < 2 {
            line.push_str(&format!("{cell:<width$}"));
        } else {
            line.push_str(&format!("{cell:>width$}"));
        }
    }
    line.trim_end().to_owned()
}

/// Words behind `lead`, in lines of at most [`WIDTH`] characters, each further one as far to the right.
fn wrap(lead: &str, words: &str) -> String {
    let indent = lead.chars().count();
    let (mut text, mut column) = (lead.to_owned(), indent);
    for word in words.split_whitespace() {
        let length = word.chars().count();
        if column > indent && column + 1 + length > WIDTH {
            text.push('\n');
            text.push_str(&" ".repeat(indent));
            column = indent;
        } else if column > indent {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += length;
    }
    text
}

fn millis(ms: f64) -> String {
    if ms < 9.95 {
        format!("{ms:.1} ms")
    } else if ms < 9999.5 {
        format!("{ms:.0} ms")
    } else {
        format!("{:.1} s", ms / 1000.0)
    }
}

fn rate(bps: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "figures for the eye")]
    let kbps = bps as f64 / 1000.0;
    match kbps {
        ..999.5 => format!("{kbps:.0} kbit/s"),
        ..99_950.0 => format!("{:.1} Mbit/s", kbps / 1000.0),
        _ => format!("{:.0} Mbit/s", kbps / 1000.0),
    }
}

const COLUMNS: usize = 8;
const HEADS: [&str; COLUMNS] = [
    "way",
    "works",
    "reached",
    "first pic",
    "round trip",
    "jitter",
    "rate",
    "pictures",
];
/// Together as wide as a line.
const WIDTHS: [usize; COLUMNS] = [10, 5, 9, 11, 12, 9, 12, 10];
const WIDTH: usize = 78;
const NONE: &str = "-";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_of_the_table_is_wider_than_a_terminal() {
        let row = Row {
            transport: "websocket",
            works: true,
            reached_ms: Some(11_999.0),
            first_frame_ms: Some(9_999.4),
            rtt_ms: Some(123.4),
            jitter_ms: Some(0.04),
            throughput_bps: Some(123_456_789),
            frames: 9_999,
            why: Some("it is far away, ".repeat(20)),
        };
        let words = rung_words(&row);
        assert!(
            words.lines().all(|line| line.chars().count() < 80),
            "{words}"
        );
        assert!(
            words.starts_with(
                "websocket yes     12.0 s    9999 ms      123 ms   0.0 ms  123 Mbit/s      9999"
            ),
            "{words}"
        );
        assert!(line(HEADS).chars().count() < 80);
    }

    #[test]
    fn words_go_on_under_words() {
        let words = "aaaa ".repeat(30);
        let text = wrap("name     ok  ", &words);
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines.len() > 1 && lines[1].starts_with("             aaaa"),
            "{text}"
        );
        assert_eq!(wrap("x ", ""), "x ");
    }

    #[test]
    fn figures_have_the_unit_that_fits() {
        assert_eq!(millis(0.25), "0.2 ms");
        assert_eq!(millis(9.96), "10 ms");
        assert_eq!(millis(12_040.0), "12.0 s");
        assert_eq!(rate(0), "0 kbit/s");
        assert_eq!(rate(2_140_000), "2.1 Mbit/s");
        assert_eq!(rate(123_000_000), "123 Mbit/s");
    }
}
