//! What a viewer costs the server: CPU seconds for each GB, and memory, with 1, 10 and 200 viewers; what a connection
//! costs that has only TLS; what nobody costs. Beside it, where it is installed, nginx serving a file over TLS. Then how
//! old frames are at 99 viewers, before one more stops reading and while he does.
//!
//! `cargo bench --bench fanout`; as a test it only looks whether all of it works, with two viewers for a second. CPU is
//! that for a film, whose pictures are some 90 KB, and for the test card, whose pictures are 8 KB and therefore cost more
//! for each GB: each is a write, a wake-up and an acknowledgement. FANOUT_SECONDS (8) and FANOUT_VIDEO (one source instead
//! of both) change what is measured. With FANOUT_SOAK=SECONDS there is only a crowd of which one leaves and another comes
//! every half second, and once a minute the server's memory.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark's result is what it prints"
)]

mod nginx;
#[allow(dead_code, reason = "knock has more use for it")]
mod process;
#[allow(dead_code, reason = "knock has more use for it")]
mod viewer;

use std::{
    env,
    time::{Duration, Instant},
};

use process::{Cost, Server};
use viewer::Percentiles;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    if !cfg!(target_os = "linux") {
        println!("fanout: reads /proc, so Linux only");
        return Ok(());
    }
    let measuring = env::args().any(|argument| argument == "--bench");
    let seconds = env::var("FANOUT_SECONDS")
        .ok()
        .and_then(|seconds| seconds.parse().ok());
    let seconds = Duration::from_secs(seconds.unwrap_or(8));
    if let Ok(soak) = env::var("FANOUT_SOAK") {
        return come_and_go(Duration::from_secs(soak.parse()?));
    }
    if !measuring {
        let run = watched(TEST_CARD, 2, Duration::from_secs(1))?;
        println!("fanout: 2 viewers read {} bytes", run.bytes);
        let [_, during] = stalled(2, Duration::from_secs(1))?;
        println!("fanout: beside a stalled viewer {} frames", during.len());
        let tls = only_tls(2)?;
        println!("fanout: a connection in TLS takes {tls:.0} KiB");
        return if run.bytes > 0 && !during.is_empty() {
            Ok(())
        } else {
            Err("no viewer read anything".into())
        };
    }

    let idle = unwatched(seconds)?;
    println!(
        r#"{{"viewers": 0, "cpu_percent": {:.2}, "rss_kib": {}}}"#,
        idle.percent(seconds),
        idle.rss_kib
    );
    let videos = match env::var("FANOUT_VIDEO") {
        Ok(video) => vec![video],
        Err(_) => vec![FILM.to_owned(), TEST_CARD.to_owned()],
    };
    for video in videos {
        beside_nginx(&video, seconds)?;
    }
    println!(r#"{{"kib_per_tls_connection": {:.1}}}"#, only_tls(100)?);
    let [before, during] = stalled(100, seconds)?.map(Percentiles::of);
    println!(
        r#"{{"stalled_among": 100, "before_ms": {before}, "during_ms": {during}, "ratio_p99": {:.2}}}"#,
        during.p99 / before.p99
    );
    Ok(())
}

/// What 1, 10 and 200 viewers of a source cost, and nginx behind it.
fn beside_nginx(video: &str, over: Duration) -> Result<(), Box<dyn std::error::Error>> {
    let name = video.rsplit('/').next().unwrap_or(video);
    let mut runs = Vec::new();
    for count in [1, 10, 200] {
        let run = watched(video, count, over)?;
        println!("{}", run.line(name, over));
        runs.push(run);
    }
    let peer = nginx::cpu_per_gigabyte()?;
    if let [one, others @ ..] = runs.as_slice() {
        for many in others {
            println!("{}", many.added(name, one, peer));
        }
    }
    Ok(())
}

/// What was measured while some watched.
struct Run {
    viewers: usize,
    bytes: u64,
    frames: u64,
    cost: Cost,
}

impl Run {
    fn line(&self, video: &str, over: Duration) -> String {
        let gigabytes = self.bytes as f64 / 1e9;
        format!(
            r#"{{"video": "{video}", "viewers": {}, "cpu_percent": {:.1}, "cpu_s_per_gb": {:.3}, "megabytes": {:.1}, "fps_each": {:.1}, "rss_kib": {}}}"#,
            self.viewers,
            self.cost.percent(over),
            self.cost.cpu.as_secs_f64() / gigabytes,
            gigabytes * 1e3,
            self.frames as f64 / self.viewers as f64 / over.as_secs_f64(),
            self.cost.rss_kib,
        )
    }
}

impl Run {
    /// What these viewers cost beyond what `one` did: the picture is coded once whoever watches.
    fn added(&self, video: &str, one: &Self, peer: Option<f64>) -> String {
        let cpu = self.cost.cpu.saturating_sub(one.cost.cpu).as_secs_f64();
        let gigabytes = self.bytes.saturating_sub(one.bytes) as f64 / 1e9;
        let viewers = (self.viewers - one.viewers) as f64;
        let kib = self.cost.rss_kib.saturating_sub(one.cost.rss_kib) as f64 / viewers;
        let own = cpu / gigabytes;
        let ratio = peer.map_or_else(|| "null".to_owned(), |peer| format!("{:.2}", own / peer));
        let peer = peer.map_or_else(|| "null".to_owned(), |peer| format!("{peer:.3}"));
        format!(
            r#"{{"video": "{video}", "from": {}, "to": {}, "added_cpu_s_per_gb": {own:.3}, "nginx_cpu_s_per_gb": {peer}, "ratio": {ratio}, "added_kib_per_viewer": {kib:.1}}}"#,
            one.viewers, self.viewers
        )
    }
}

/// A server that nobody watches.
fn unwatched(over: Duration) -> Result<Cost, Box<dyn std::error::Error>> {
    let server = Server::start_with(TEST_CARD, &[])?;
    std::thread::sleep(WARM_UP);
    let before = server.cost()?;
    std::thread::sleep(over);
    Ok(server.cost()?.since(before))
}

/// A server and so many viewers that read as fast as they are sent, and decode nothing.
fn watched(video: &str, viewers: usize, over: Duration) -> Result<Run, Box<dyn std::error::Error>> {
    let server = Server::start_with(video, &[])?;
    let began = now();
    let mut crowd = viewer::Crowd::gather(viewers, server.link())?;
    // Few are gathered sooner than many; the memory of what was made meanwhile is nobody's.
    let settled = WARM_UP + GATHERING;
    std::thread::sleep(settled.saturating_sub(now().saturating_duration_since(began)));
    let (before, read) = (server.cost()?, crowd.read()?);
    std::thread::sleep(over);
    let (after, read_then) = (server.cost()?, crowd.read()?);
    Ok(Run {
        viewers,
        bytes: read_then.bytes - read.bytes,
        frames: read_then.frames - read.frames,
        cost: after.since(before),
    })
}

/// How old frames are at all viewers but one, before he stops reading and while he does.
fn stalled(viewers: usize, over: Duration) -> Result<[Vec<f64>; 2], Box<dyn std::error::Error>> {
    let server = Server::start_with(TEST_CARD, &[])?;
    let mut crowd = viewer::Crowd::gather(viewers, server.link())?;
    std::thread::sleep(WARM_UP);
    crowd.ages();
    std::thread::sleep(over);
    let before = crowd.ages();
    crowd.stall(true);
    std::thread::sleep(over);
    let during = crowd.ages();
    crowd.stall(false);
    crowd.read()?;
    Ok([before, during])
}

/// What a connection takes in memory that has shaken hands and said nothing, in KiB.
fn only_tls(connections: usize) -> Result<f64, Box<dyn std::error::Error>> {
    let server = Server::start_with(TEST_CARD, &[])?;
    // What the first handshakes of all leave behind is nobody's.
    drop(viewer::Silent::gather(connections.min(4), server.link())?);
    let before = server.cost()?.rss_kib;
    let _silent = viewer::Silent::gather(connections, server.link())?;
    let after = server.cost()?.rss_kib;
    Ok(after.saturating_sub(before) as f64 / connections as f64)
}

/// Viewers come and go; once a minute what the server takes.
fn come_and_go(over: Duration) -> Result<(), Box<dyn std::error::Error>> {
    let server = Server::start_with(TEST_CARD, &[])?;
    let mut crowd: std::collections::VecDeque<viewer::Crowd> = (0..CROWD)
        .map(|_| viewer::Crowd::gather(1, server.link()))
        .collect::<Result<_, _>>()?;
    let visits = over.as_millis() / PAUSE.as_millis();
    for visit in 1..=visits {
        std::thread::sleep(PAUSE);
        crowd.pop_front();
        crowd.push_back(viewer::Crowd::gather(1, server.link())?);
        if visit % (60_000 / PAUSE.as_millis()) == 0 || visit == visits {
            let seconds = visit as f64 * PAUSE.as_secs_f64();
            let rss = server.cost()?.rss_kib;
            println!(r#"{{"seconds": {seconds:.0}, "visits": {visit}, "rss_kib": {rss}}}"#);
        }
    }
    Ok(())
}

/// 5 s of a film at 25/s, some 19 Mbit/s.
const FILM: &str = concat!(
    "file:",
    env!("CARGO_MANIFEST_DIR"),
    "/tests/data/bigbuckbunny.mp4"
);
const TEST_CARD: &str = "testcard:1280x720@30";

#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn now() -> Instant {
    Instant::now()
}

/// Until every viewer has its first whole picture and the buffers have their size.
const WARM_UP: Duration = Duration::from_secs(3);

/// What it takes to gather as many viewers as there ever are.
const GATHERING: Duration = Duration::from_secs(5);

/// Viewers at a time that come and go, and how often one does.
const CROWD: usize = 10;
const PAUSE: Duration = Duration::from_millis(480);
