//! What passing a camera's JPEGs through adds: how long after a picture was handed over whole a viewer on loopback has it,
//! over TLS and over QUIC, beside a thread that reads the same bytes from a pipe and does nothing else.
//!
//! `cargo bench --bench passthrough`; as a test it only looks whether it works, for a second. PASSTHROUGH_SECONDS (10)
//! changes how long each way is measured. The camera is a pipe into `serve --video pipe:-`, which takes JPEGs as a
//! camera's are taken; each has its number in a comment, by which the viewer knows it.
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

use std::{
    env,
    error::Error,
    io::{self, Read as _, Write},
    ops::Range,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicBool},
    thread,
    time::{Duration, Instant},
};

use process::Server;
use tunnelcast::{session::client::Event, transport::Kind, trust::Link};
use viewer::{Failure, Percentiles, Viewer};

fn main() -> Result<(), Box<dyn Error>> {
    let measuring = env::args().any(|argument| argument == "--bench");
    let seconds = env::var("PASSTHROUGH_SECONDS").ok();
    let seconds = seconds.and_then(|seconds| seconds.parse().ok());
    let pictures = if measuring {
        FPS * seconds.unwrap_or(10)
    } else {
        FPS
    };
    for (name, kind) in [("tls", Kind::Tls), ("quic", Kind::Quic)] {
        let plain = read_plainly(pictures)?;
        let passed = pass_through(kind, pictures)?;
        let seen = passed.len();
        if seen == 0 {
            return Err(format!("no picture came through over {name}").into());
        }
        let [plain, passed] = [plain, passed].map(Percentiles::of);
        println!(
            r#"{{"way": "{name}", "pictures": {pictures}, "seen": {seen}, "viewer_ms": {{"p50": {:.2}, "p99": {:.2}}}, "reader_ms": {{"p50": {:.2}, "p99": {:.2}}}, "added_ms": {{"p50": {:.2}, "p99": {:.2}}}}}"#,
            passed.p50,
            passed.p99,
            plain.p50,
            plain.p99,
            passed.p50 - plain.p50,
            passed.p99 - plain.p99,
        );
    }
    Ok(())
}

/// Ages in milliseconds of pictures at a thread that only reads them.
fn read_plainly(pictures: u64) -> Result<Vec<f64>, Box<dyn Error>> {
    let (mut from, mut to) = io::pipe()?;
    let length = picture(0).len();
    let reader = thread::Builder::new().name("reader".to_owned());
    let reader = reader.spawn(move || {
        let mut seen = Vec::new();
        let mut bytes = vec![0; length];
        while from.read_exact(&mut bytes).is_ok() {
            seen.push((seen.len() as u64, now()));
        }
        seen
    })?;
    let written = write(&mut to, 0..pictures)?;
    drop(to);
    let seen = reader.join().map_err(|_| "the reader panicked")?;
    Ok(ages(&written, &seen))
}

/// The same at a viewer of a server.
fn pass_through(kind: Kind, pictures: u64) -> Result<Vec<f64>, Box<dyn Error>> {
    let (server, mut to) = Server::piped("pipe:-")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let viewer = runtime.spawn(watch(server.link().clone(), kind, Arc::clone(&seen)));
    // Until he has settled.
    write(&mut to, 0..FPS)?;
    let written = write(&mut to, FPS..FPS + pictures)?;
    thread::sleep(INTERVAL);
    if viewer.is_finished() {
        return Err(format!("the viewer left: {:?}", runtime.block_on(viewer)).into());
    }
    let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(ages(&written, &seen))
}

async fn watch(
    link: Link,
    kind: Kind,
    seen: Arc<Mutex<Vec<(u64, Instant)>>>,
) -> Result<(), Failure> {
    let mut last = None;
    let see = move |_: &_, event: &Event| {
        if let Event::Cells { cells, .. } = event {
            last = cells.first().and_then(|(_, jpeg)| number(jpeg));
        } else if let Event::FrameEnd { .. } = event {
            let seen = seen.lock();
            let mut seen = seen.unwrap_or_else(PoisonError::into_inner);
            seen.extend(last.take().map(|number| (number, now())));
        }
    };
    let want = viewer::picture(&link)?;
    let viewer = Viewer::come(&link, kind, want, see).await?;
    viewer
        .watch(&AtomicBool::new(false), std::future::pending())
        .await
}

/// Hands pictures over as a camera does; when the last byte of each was.
fn write(to: &mut impl Write, numbers: Range<u64>) -> io::Result<Vec<(u64, Instant)>> {
    let (start, first) = (now(), numbers.start);
    let mut written = Vec::new();
    for number in numbers {
        let due = start + INTERVAL * u32::try_from(number - first).unwrap_or(u32::MAX);
        thread::sleep(due.saturating_duration_since(now()));
        to.write_all(&picture(number))?;
        written.push((number, now()));
    }
    Ok(written)
}

fn ages(written: &[(u64, Instant)], seen: &[(u64, Instant)]) -> Vec<f64> {
    let age = |(number, at): &(u64, Instant)| {
        let of = written.iter().find(|(of, _)| of == number);
        of.map(|(_, written)| at.saturating_duration_since(*written).as_secs_f64() * 1e3)
    };
    seen.iter().filter_map(age).collect()
}

/// A photograph of 720p with a number in a comment.
fn picture(number: u64) -> Vec<u8> {
    let (start, rest) = PHOTO.split_at(2);
    [start, &[0xFF, 0xFE, 0, 10], &number.to_be_bytes(), rest].concat()
}

fn number(jpeg: &[u8]) -> Option<u64> {
    let number = jpeg.get(6..)?.first_chunk()?;
    Some(u64::from_be_bytes(*number))
}

#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn now() -> Instant {
    Instant::now()
}

const PHOTO: &[u8] = include_bytes!("../../data/motorcycle.jpg");
const FPS: u64 = 30;
const INTERVAL: Duration = Duration::from_micros(33_333);
