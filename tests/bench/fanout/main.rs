//! What a viewer costs the server: CPU seconds for each GB, and memory, with 1, 10 and 100 viewers; and what nobody
//! costs. Beside it, where it is installed, nginx serving a file over TLS.
//!
//! `cargo bench --bench fanout`; as a test it only looks whether all of it works, with two viewers for a second.
//! FANOUT_SECONDS (8) and FANOUT_VIDEO (testcard:1280x720@30) change what is measured.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark's result is what it prints"
)]

mod nginx;
mod process;
mod viewer;

use std::{env, time::Duration};

use process::{Cost, Server};

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
    if !measuring {
        let run = watched(2, Duration::from_secs(1))?;
        println!("fanout: 2 viewers read {} bytes", run.bytes);
        return if run.bytes > 0 {
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
    let mut runs = Vec::new();
    for count in [1, 10, 100] {
        let run = watched(count, seconds)?;
        println!("{}", run.line(seconds));
        runs.push(run);
    }
    if let [one, .., many] = runs.as_slice() {
        // The picture is coded once whoever watches: what a viewer adds is the difference.
        let cpu = many.cost.cpu.saturating_sub(one.cost.cpu).as_secs_f64();
        let gigabytes = many.bytes.saturating_sub(one.bytes) as f64 / 1e9;
        let viewers = (many.viewers - one.viewers) as f64;
        let kib = many.cost.rss_kib.saturating_sub(one.cost.rss_kib) as f64 / viewers;
        let own = cpu / gigabytes;
        let peer = nginx::cpu_per_gigabyte()?;
        let ratio = peer.map_or_else(|| "null".to_owned(), |peer| format!("{:.2}", own / peer));
        let peer = peer.map_or_else(|| "null".to_owned(), |peer| format!("{peer:.3}"));
        println!(
            r#"{{"added_cpu_s_per_gb": {own:.3}, "nginx_cpu_s_per_gb": {peer}, "ratio": {ratio}, "added_kib_per_viewer": {kib:.1}}}"#
        );
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
    fn line(&self, over: Duration) -> String {
        let gigabytes = self.bytes as f64 / 1e9;
        format!(
            r#"{{"viewers": {}, "cpu_percent": {:.1}, "cpu_s_per_gb": {:.3}, "megabytes": {:.1}, "fps_each": {:.1}, "rss_kib": {}}}"#,
            self.viewers,
            self.cost.percent(over),
            self.cost.cpu.as_secs_f64() / gigabytes,
            gigabytes * 1e3,
            self.frames as f64 / self.viewers as f64 / over.as_secs_f64(),
            self.cost.rss_kib,
        )
    }
}

/// A server that nobody watches.
fn unwatched(over: Duration) -> Result<Cost, Box<dyn std::error::Error>> {
    let server = Server::start(&video())?;
    std::thread::sleep(WARM_UP);
    let before = server.cost()?;
    std::thread::sleep(over);
    Ok(server.cost()?.since(before))
}

/// A server and so many viewers that read as fast as they are sent, and decode nothing.
fn watched(viewers: usize, over: Duration) -> Result<Run, Box<dyn std::error::Error>> {
    let server = Server::start(&video())?;
    let mut crowd = viewer::Crowd::gather(viewers, server.link())?;
    std::thread::sleep(WARM_UP);
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

fn video() -> String {
    env::var("FANOUT_VIDEO").unwrap_or_else(|_| "testcard:1280x720@30".to_owned())
}

/// Until every viewer has its first whole picture and the buffers have their size.
const WARM_UP: Duration = Duration::from_secs(3);
