//! All of it together, for as long as one likes: viewers that stay, over each way, and idle ones; viewers and publishers
//! that come and go; attackers in all the ways that there are; and an owner who sends SIGHUP. Once a minute it says what
//! the server takes, and in the end whether that has levelled off.
//!
//! It fails if the server dies, if it grows, or if a viewer that stays has no picture for [`PATIENCE`]. Time in which this
//! program itself gets no turn is not counted: then it is the machine that stood still.

use std::{
    error::Error,
    fs,
    future::pending,
    process::Command,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle, sleep},
    time::{Duration, Instant},
};

use tokio::time;
use tunnelcast::{
    session::client::{Event, Session},
    transport::Kind,
    trust::Link,
};

use crate::{
    Attack, WARM_UP, idle,
    process::{PROGRAM, Publisher, Server, said, signal},
    server,
    viewer::{Failure, Percentiles, Viewer, picture},
};

/// How many of each.
pub(crate) struct Scale {
    video: &'static str,
    published: &'static str,
    idle: usize,
    /// At once, each for [`VISIT`].
    passing: u32,
    attackers_per_s: u64,
}

/// What a machine of two cores bears.
pub(crate) const WHOLE: Scale = Scale {
    video: "testcard:1280x720@15",
    published: "testcard:640x360@10",
    idle: 1000,
    passing: 8,
    attackers_per_s: 500,
};
/// Only to see that it works.
pub(crate) const SMALL: Scale = Scale {
    video: "testcard:320x192@10",
    published: "testcard:320x192@10",
    idle: 4,
    passing: 4,
    attackers_per_s: 20,
};

/// What has happened so far.
#[derive(Default)]
struct Seen {
    /// Of those who stay, in the order of [`Kind::ALL`]: for how long there has been no picture, in ticks.
    without: [AtomicU64; 4],
    longest: AtomicU64,
    hung: Mutex<Option<String>>,
    ages: Mutex<Vec<f64>>,
    visits: AtomicU64,
    /// Visits that saw no picture.
    in_vain: AtomicU64,
    /// Connections of those who stay that ended.
    cut: AtomicU64,
    relayed: AtomicU64,
    publishers: AtomicU64,
    over: AtomicBool,
}

/// Does it, and says what there was.
pub(crate) fn run(over: Duration, scale: &Scale) -> Result<(), Box<dyn Error>> {
    let server = Arc::new(server(scale.video)?);
    let admin = admin(&server)?;
    let seen = Arc::<Seen>::default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    for (place, kind) in Kind::ALL.into_iter().enumerate() {
        let (link, seen) = (server.link().clone(), Arc::clone(&seen));
        runtime.spawn(async move { stay(&link, kind, place, &seen).await });
    }
    let idle = idle::Crowd::gather(scale.idle, server.link())?;
    sleep(WARM_UP);
    let attack = Attack::start(server.link(), scale.attackers_per_s, true)?;
    let mut threads = Vec::new();
    for stream in STREAMS {
        let (server, seen) = (Arc::clone(&server), Arc::clone(&seen));
        let (video, turn) = (scale.published, PUBLISHED.min(over / 2));
        let publishing = move || publish(&server, &seen, (stream, video), turn);
        threads.push(thread::Builder::new().spawn(publishing)?);
    }
    for _ in 0..scale.passing {
        let (server, seen) = (Arc::clone(&server), Arc::clone(&seen));
        runtime.spawn(async move { pass(&server, &seen, VISIT.min(over / 8)).await });
    }
    let ticking = Arc::clone(&seen);
    threads.push(thread::Builder::new().spawn(move || tick(&ticking))?);
    let samples = watch(&server, &admin, &seen, &idle, over);
    seen.over.store(true, Ordering::Relaxed);
    let attack = attack.end()?;
    // A publisher that is on its way to a server that hangs would wait for ever.
    for _ in 0..PATIENCE * 4 {
        if threads.iter().all(JoinHandle::is_finished) {
            break;
        }
        sleep(TICK);
    }
    if !threads.iter().all(JoinHandle::is_finished) {
        signal(server.id(), "KILL")?;
    }
    // Those who come and go hold the server.
    runtime.shutdown_timeout(WARM_UP);
    let samples = samples?;
    let quarters = quarters(&samples);
    let judged = over >= JUDGED;
    let grown = judged && grew(quarters);
    println!(
        r#"{{"soak_s": {}, "rss_kib_medians_of_quarters": {quarters:?}, "levels_off": {}, "visits": {}, "in_vain": {}, "cut": {}, "publishers": {}, "relayed_frames": {}, "longest_without_picture_s": {:.1}, "attack": {attack}}}"#,
        over.as_secs(),
        if judged {
            (!grown).to_string()
        } else {
            "null".to_owned()
        },
        load(&seen.visits),
        load(&seen.in_vain),
        load(&seen.cut),
        load(&seen.publishers),
        load(&seen.relayed),
        load(&seen.longest) as f64 * TICK.as_secs_f64(),
    );
    if let Some(hung) = lock(&seen.hung).take() {
        return Err(hung.into());
    }
    if load(&seen.relayed) == 0 || load(&seen.visits) == load(&seen.in_vain) {
        return Err("nobody who came saw anything".into());
    }
    match grown {
        true => Err(format!("the server has grown: {quarters:?} KiB").into()),
        false => Ok(()),
    }
}

/// Samples the server's memory, and says once a minute how it is.
fn watch(
    server: &Server,
    admin: &Link,
    seen: &Seen,
    idle: &idle::Crowd,
    over: Duration,
) -> Result<Vec<u64>, Box<dyn Error>> {
    let (minute, mut left) = (MINUTE.min(over), over);
    let (mut before, mut relayed) = (server.cost()?, load(&seen.relayed));
    let mut samples = Vec::new();
    while !left.is_zero() {
        let part = left.min(minute);
        for _ in 0..SAMPLES {
            sleep(part / SAMPLES);
            samples.push(server.cost()?.rss_kib);
        }
        left -= part;
        let cost = server.cost()?;
        let files = fs::read_dir(format!("/proc/{}/fd", server.id()))?.count();
        println!(
            r#"{{"seconds": {}, "rss_kib": {}, "open_files": {files}, "sessions": {}, "idle": {}, "visits": {}, "publishers": {}, "relayed_frames": {}, "cpu_percent": {:.1}, "ages_ms": {}}}"#,
            (over - left).as_secs(),
            cost.rss_kib,
            sessions(admin).map_or_else(|| "null".to_owned(), |there| there.to_string()),
            idle.there(),
            load(&seen.visits),
            load(&seen.publishers),
            load(&seen.relayed),
            cost.since(before).percent(part),
            Percentiles::of(std::mem::take(&mut *lock(&seen.ages))),
        );
        if lock(&seen.hung).is_some() {
            break;
        }
        if load(&seen.relayed) == relayed {
            return Err("no picture that is published has come".into());
        }
        (before, relayed) = (cost, load(&seen.relayed));
        signal(server.id(), "HUP")?;
    }
    Ok(samples)
}

/// Stays, and comes again whenever he is cut.
async fn stay(link: &Link, kind: Kind, place: usize, seen: &Seen) {
    while !seen.over.load(Ordering::Relaxed) {
        if let Err(err) = watching(link, kind, place, seen).await {
            eprintln!("who stays over {kind}: {err}");
        }
        seen.cut.fetch_add(1, Ordering::Relaxed);
        time::sleep(TICK).await;
    }
}

#[expect(clippy::disallowed_methods, reason = "how old a frame is, is seen now")]
async fn watching(link: &Link, kind: Kind, place: usize, seen: &Seen) -> Result<(), Failure> {
    let see = |session: &Session, event: &Event| {
        if let Event::FrameEnd { capture, .. } = event {
            seen.without[place].store(0, Ordering::Relaxed);
            if let Some(time) = session.server_time(Instant::now()) {
                lock(&seen.ages).push(time.since(*capture).as_secs_f64() * 1e3);
            }
        }
    };
    let viewer = Viewer::come(link, kind, picture(link)?, see).await?;
    viewer.watch(&AtomicBool::new(false), pending()).await
}

/// Comes and goes, over each way in turn, to the server's own stream and to those that are published; some say goodbye,
/// some just go, and some stop reading before.
async fn pass(server: &Server, seen: &Seen, visit: Duration) {
    while !seen.over.load(Ordering::Relaxed) {
        let number = seen.visits.fetch_add(1, Ordering::Relaxed);
        let way = usize::try_from(number).map_or(Kind::Tls, |number| Kind::ALL[number % 4]);
        let own = number.is_multiple_of(3);
        let link = match number % 3 {
            0 => server.link().clone(),
            1 => server.link_to(STREAMS[0]),
            _ => server.link_to(STREAMS[1]),
        };
        let frames = AtomicU64::new(0);
        let see = |_: &Session, event: &Event| {
            if matches!(event, Event::FrameEnd { .. }) {
                frames.fetch_add(1, Ordering::Relaxed);
                if !own {
                    seen.relayed.fetch_add(1, Ordering::Relaxed);
                }
            }
        };
        let deaf = AtomicBool::new(false);
        let stays = async {
            let viewer = Viewer::come(&link, way, picture(&link)?, see).await?;
            let leave = async {
                time::sleep(visit).await;
                if number.is_multiple_of(5) {
                    deaf.store(true, Ordering::Relaxed);
                    pending::<()>().await;
                }
            };
            viewer.watch(&deaf, leave).await
        };
        // He who is not gone by then goes without a word.
        let longest = if number.is_multiple_of(2) {
            visit
        } else {
            visit * 2
        };
        let gone = time::timeout(longest, stays).await;
        if frames.load(Ordering::Relaxed) == 0 {
            seen.in_vain.fetch_add(1, Ordering::Relaxed);
        }
        if let Ok(Err(_)) = gone {
            time::sleep(TICK).await;
        }
    }
}

/// Publishes over each way in turn; ends well, and then badly.
fn publish(server: &Server, seen: &Seen, (stream, video): (&str, &str), turn: Duration) {
    let wait = |time: Duration| {
        let mut left = time;
        while !left.is_zero() && !seen.over.load(Ordering::Relaxed) {
            sleep(TICK.min(left));
            left = left.saturating_sub(TICK);
        }
    };
    for kind in Kind::ALL.into_iter().cycle() {
        if seen.over.load(Ordering::Relaxed) {
            return;
        }
        let publisher = match Publisher::start(server, stream, video, kind.name()) {
            Ok(publisher) => publisher,
            Err(err) => {
                eprintln!("a publisher over {kind}: {err}");
                wait(Duration::from_secs(1));
                continue;
            }
        };
        let number = seen.publishers.fetch_add(1, Ordering::Relaxed);
        wait(turn);
        if number.is_multiple_of(2)
            && let Err(err) = publisher.end()
        {
            eprintln!("a publisher does not end: {err}");
        }
        wait(turn / 20);
    }
}

/// Counts for how long each of those who stay has had no picture.
fn tick(seen: &Seen) {
    while !seen.over.load(Ordering::Relaxed) {
        sleep(TICK);
        for (kind, without) in Kind::ALL.into_iter().zip(&seen.without) {
            let ticks = without.fetch_add(1, Ordering::Relaxed) + 1;
            seen.longest.fetch_max(ticks, Ordering::Relaxed);
            if ticks >= PATIENCE {
                let words = format!("over {kind} there was no picture for {PATIENCE} ticks");
                lock(&seen.hung).get_or_insert(words);
            }
        }
    }
}

/// A link of the server's owner.
fn admin(server: &Server) -> Result<Link, Box<dyn Error>> {
    let mut command = Command::new(PROGRAM);
    command
        .args(["token", "new", "--json", "--role", "admin", "--link"])
        .arg(server.link().to_string())
        .arg("--state")
        .arg(server.state());
    let made = said(&mut command)?;
    Ok(made["link"].as_str().ok_or("no link")?.parse()?)
}

/// How many viewers the server says that there are.
fn sessions(admin: &Link) -> Option<u64> {
    let mut command = Command::new(PROGRAM);
    command
        .args(["ctl", "--json", "--transport", "tls"])
        .args(["--networks", "/dev/null/networks"])
        .args([&admin.to_string(), "info"]);
    said(&mut command).ok()?["info"]["viewers"].as_u64()
}

/// The median of each quarter.
fn quarters(samples: &[u64]) -> [u64; 4] {
    [0, 1, 2, 3].map(|quarter| {
        let from = samples.len() * quarter / 4;
        let mut part = samples[from..samples.len() * (quarter + 1) / 4].to_vec();
        part.sort_unstable();
        part.get(part.len() / 2).copied().unwrap_or_default()
    })
}

/// Whether the last is more than what the second, when all is as it will be, allows for.
const fn grew([_, second, _, last]: [u64; 4]) -> bool {
    last > second + second / 10 + 8 * 1024
}

fn load(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const STREAMS: [&str; 2] = ["cam1", "cam2"];
const VISIT: Duration = Duration::from_secs(15);
const PUBLISHED: Duration = Duration::from_secs(45);
const MINUTE: Duration = Duration::from_secs(60);
/// Of each minute.
const SAMPLES: u32 = 6;
const TICK: Duration = Duration::from_millis(100);
/// In ticks.
const PATIENCE: u64 = 50;
/// Before that, what streams keep has not reached its bound.
const JUDGED: Duration = Duration::from_secs(10 * 60);
