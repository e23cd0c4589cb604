//! What a relay adds: how old frames are at 100 viewers of a server whose source is its own, and at as many of one to which
//! the same source is published over TLS, in turn.
//!
//! `cargo bench --bench relay`; as a test it only looks whether it works, with two viewers for a second. RELAY_SECONDS (6),
//! RELAY_VIEWERS (100), RELAY_ROUNDS (3) and RELAY_VIDEO (testcard:1280x720@30) change what is measured.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark's result is what it prints"
)]

#[path = "../fanout/process.rs"]
#[allow(dead_code, reason = "the other benchmarks ask for more of it")]
mod process;
#[path = "../fanout/viewer.rs"]
#[allow(dead_code, reason = "the other benchmarks ask for more of it")]
mod viewer;

use std::{env, error::Error, str::FromStr, time::Duration};

use process::{Publisher, Server};
use tunnelcast::trust::Link;
use viewer::Percentiles;

fn main() -> Result<(), Box<dyn Error>> {
    let video = env::var("RELAY_VIDEO").unwrap_or_else(|_| "testcard:1280x720@30".to_owned());
    if !env::args().any(|argument| argument == "--bench") {
        let ages = relayed(&video, 2, Duration::from_secs(1))?;
        println!("relay: {} frames at 2 viewers", ages.len());
        return if ages.is_empty() {
            Err("no viewer saw anything".into())
        } else {
            Ok(())
        };
    }
    let over = Duration::from_secs(set("RELAY_SECONDS", 6));
    let viewers = set("RELAY_VIEWERS", 100);
    let (mut straight, mut through) = (Vec::new(), Vec::new());
    for _ in 0..set("RELAY_ROUNDS", 3) {
        straight.extend(direct(&video, viewers, over)?);
        through.extend(relayed(&video, viewers, over)?);
    }
    let [straight, through] = [straight, through].map(Percentiles::of);
    println!(
        r#"{{"viewers": {viewers}, "direct_ms": {{"p50": {:.2}, "p99": {:.2}}}, "relayed_ms": {{"p50": {:.2}, "p99": {:.2}}}, "added_ms": {{"p50": {:.2}, "p99": {:.2}}}}}"#,
        straight.p50,
        straight.p99,
        through.p50,
        through.p99,
        through.p50 - straight.p50,
        through.p99 - straight.p99,
    );
    Ok(())
}

/// A number from the environment.
fn set<T: FromStr>(name: &str, usual: T) -> T {
    let text = env::var(name).ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// How old frames are where the source is the server's own.
fn direct(video: &str, viewers: usize, over: Duration) -> Result<Vec<f64>, Box<dyn Error>> {
    let server = Server::start_with(video, &[])?;
    ages(server.link(), viewers, over)
}

/// How old they are where it is published.
fn relayed(video: &str, viewers: usize, over: Duration) -> Result<Vec<f64>, Box<dyn Error>> {
    let server = Server::start_with("none", &[])?;
    let _publisher = Publisher::start(&server, "cam", video, "tls")?;
    ages(&server.link_to("cam"), viewers, over)
}

fn ages(link: &Link, viewers: usize, over: Duration) -> Result<Vec<f64>, Box<dyn Error>> {
    // The first of a crowd tells no ages.
    let mut crowd = viewer::Crowd::gather(viewers + 1, link)?;
    std::thread::sleep(WARM_UP);
    crowd.ages();
    std::thread::sleep(over);
    let ages = crowd.ages();
    crowd.read()?;
    Ok(ages)
}

/// Until every viewer has its first whole picture.
const WARM_UP: Duration = Duration::from_secs(2);
