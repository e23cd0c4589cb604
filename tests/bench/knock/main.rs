//! What strangers cost: 5,000 viewers that watch nothing, 10,000 connections in a minute, and 500 attackers a second
//! beside viewers that play, whose frames' ages are compared before and meanwhile.
//!
//! `cargo bench --bench knock` has all of it; `-- --seconds N` (20) is how long the attack lasts, and `-- --soak N` does
//! all of it together for so many seconds, with those who come and go ([`soak`]). As a test it only looks whether all of it
//! works. The attackers are a process of their own with the lowest priority: elsewhere they would be on
//! other machines.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark's result is what it prints"
)]

mod attack;
mod idle;
#[path = "../fanout/process.rs"]
#[allow(dead_code, reason = "the other benchmarks have more use for it")]
mod process;
mod soak;
#[allow(dead_code, reason = "fanout has more use for it")]
#[path = "../fanout/viewer.rs"]
mod viewer;

use std::{
    env,
    error::Error,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::Duration,
};

use process::Server;
use tunnelcast::trust::Link;
use viewer::Percentiles;

fn main() -> Result<(), Box<dyn Error>> {
    if !cfg!(target_os = "linux") {
        println!("knock: reads /proc, so Linux only");
        return Ok(());
    }
    more_files();
    if let Ok(link) = env::var(ROLE) {
        let mixed = env::args().any(|argument| argument == "--mixed");
        return attack::run(&link.parse()?, number("--rate")?.unwrap_or(500), mixed);
    }
    let measuring = env::args().any(|argument| argument == "--bench");
    if let Some(seconds) = number("--soak")? {
        return soak::run(Duration::from_secs(seconds), &soak::WHOLE);
    }
    if !measuring {
        let [_, during] = attacked(1, 50, Duration::from_secs(2))?.ages;
        println!(
            "knock: {} frames beside 50 attackers a second",
            during.len()
        );
        let (kib, there) = crowd(20)?;
        println!("knock: {there} idle viewers of {kib:.0} KiB each");
        if there != 20 || during.is_empty() {
            return Err("not all were there".into());
        }
        return soak::run(Duration::from_secs(8), &soak::SMALL);
    }
    let seconds = Duration::from_secs(number("--seconds")?.unwrap_or(20));
    let run = attacked(10, 500, seconds)?;
    let [before, during] = run.ages.map(Percentiles::of);
    println!(
        r#"{{"attackers_per_s": 500, "seconds": {}, "viewers": 10, "before_ms": {before}, "during_ms": {during}, "ratio_p99": {:.2}, "server_cpu_percent_before": {:.1}, "during": {:.1}, "attack": {}}}"#,
        seconds.as_secs(),
        during.p99 / before.p99,
        run.cpu[0],
        run.cpu[1],
        run.tally
    );
    println!("{}", ten_thousand()?);
    let tls = only_tls(200)?;
    let (kib, there) = crowd(5000)?;
    println!(
        r#"{{"idle_viewers": {there}, "kib_each": {kib:.1}, "of_which_tls": {tls:.1}, "beside_tls": {:.1}}}"#,
        kib - tls
    );
    Ok(())
}

/// The number behind an option.
fn number(option: &str) -> Result<Option<u64>, Box<dyn Error>> {
    let mut arguments = env::args().skip_while(|argument| argument != option);
    Ok(match arguments.nth(1) {
        Some(number) => Some(number.parse()?),
        None => None,
    })
}

/// A server that lets in all that come from here.
fn server(video: &str) -> Result<Server, Box<dyn Error>> {
    let options = [
        // Those who watch nothing are to stay.
        "--idle-timeout=24h",
        "--max-viewers=8000",
        "--max-connections=15000",
        "--max-connections-per-address=15000",
        "--max-handshakes-per-address=512",
    ];
    Ok(Server::start_with(video, &options)?)
}

/// The attackers, until this is dropped.
struct Attack(Child);

impl Attack {
    /// So many a second; `mixed`: in all the ways that there are.
    fn start(link: &Link, rate: u64, mixed: bool) -> Result<Self, Box<dyn Error>> {
        let child = Command::new("nice")
            .args(["-n", "19"])
            .arg(env::current_exe()?)
            .args(["--rate", &rate.to_string()])
            .args(mixed.then_some("--mixed"))
            .env(ROLE, link.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        Ok(Self(child))
    }

    /// Ends it; what it counted.
    fn end(mut self) -> Result<String, Box<dyn Error>> {
        drop(self.0.stdin.take());
        let mut said = String::new();
        if let Some(mut out) = self.0.stdout.take() {
            std::io::Read::read_to_string(&mut out, &mut said)?;
        }
        Ok(said.trim().to_owned())
    }
}

impl Drop for Attack {
    fn drop(&mut self) {
        let ended = self.0.kill().and_then(|()| self.0.wait());
        if let Err(err) = ended {
            eprintln!("the attackers do not end: {err}");
        }
    }
}

struct Attacked {
    /// Of frames at those who play, in milliseconds, before and meanwhile.
    ages: [Vec<f64>; 2],
    /// The server's.
    cpu: [f64; 2],
    tally: String,
}

fn attacked(viewers: usize, rate: u64, over: Duration) -> Result<Attacked, Box<dyn Error>> {
    let server = server(VIDEO)?;
    // The first of a crowd is not counted.
    let mut crowd = viewer::Crowd::gather(viewers + 1, server.link())?;
    sleep(WARM_UP);
    crowd.ages();
    let start = server.cost()?;
    sleep(over);
    let (before, quiet) = (crowd.ages(), server.cost()?);
    let attack = Attack::start(server.link(), rate, false)?;
    sleep(over);
    let (during, busy) = (crowd.ages(), server.cost()?);
    let tally = attack.end()?;
    crowd.read()?;
    Ok(Attacked {
        ages: [before, during],
        cpu: [quiet.since(start), busy.since(quiet)].map(|cost| cost.percent(over)),
        tally,
    })
}

/// 10,000 connections in a minute, each of which looks at a page, beside one who plays: what the server takes before,
/// meanwhile and when they are gone.
fn ten_thousand() -> Result<String, Box<dyn Error>> {
    let server = server(VIDEO)?;
    let mut crowd = viewer::Crowd::gather(2, server.link())?;
    sleep(WARM_UP);
    let before = server.cost()?.rss_kib;
    let visits = attack::visit(server.link(), 10_000, Duration::from_secs(60))?;
    let during = server.cost()?.rss_kib;
    sleep(WARM_UP);
    let after = server.cost()?.rss_kib;
    crowd.read()?;
    Ok(format!(
        r#"{{"connections": 10000, "seconds": {:.1}, "had_their_page": {}, "rss_kib": {{"before": {before}, "during": {during}, "after": {after}}}}}"#,
        visits.took.as_secs_f64(),
        visits.pages
    ))
}

/// What a viewer takes in memory that watches nothing, in KiB, and how many of so many were there.
fn crowd(count: usize) -> Result<(f64, usize), Box<dyn Error>> {
    let server = server(VIDEO)?;
    drop(idle::Crowd::gather(4, server.link())?);
    let before = server.cost()?.rss_kib;
    let crowd = idle::Crowd::gather(count, server.link())?;
    sleep(WARM_UP);
    let after = server.cost()?.rss_kib;
    let there = crowd.there();
    Ok((after.saturating_sub(before) as f64 / count as f64, there))
}

/// What a connection takes in memory that has shaken hands and said nothing, in KiB.
fn only_tls(connections: usize) -> Result<f64, Box<dyn Error>> {
    let server = server(VIDEO)?;
    drop(viewer::Silent::gather(4, server.link())?);
    let before = server.cost()?.rss_kib;
    let _silent = viewer::Silent::gather(connections, server.link())?;
    let after = server.cost()?.rss_kib;
    Ok(after.saturating_sub(before) as f64 / connections as f64)
}

/// Lets this program have as many sockets as the system allows.
fn more_files() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, getrlimit, setrlimit};
        let mut limit = getrlimit(Resource::Nofile);
        limit.current = limit.maximum;
        if let Err(err) = setrlimit(Resource::Nofile, limit) {
            eprintln!("no more open files: {err}");
        }
    }
}

const ROLE: &str = "KNOCK_AT";
const VIDEO: &str = "testcard:1280x720@30";
const WARM_UP: Duration = Duration::from_secs(3);
