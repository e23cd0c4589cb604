//! A server and publishers, each a process of its own, so that what they cost is not mixed with what viewers cost.

use std::{
    fs,
    io::{BufRead as _, BufReader, Error, ErrorKind, Result},
    path::PathBuf,
    process::{Child, ChildStdin, Command, Stdio},
    time::Duration,
};

use tunnelcast::trust::Link;

/// `tunnelcast serve` on a free port of loopback; ends when dropped.
pub(crate) struct Server {
    link: Link,
    publish_link: Link,
    running: Running,
    directory: tempfile::TempDir,
}

/// `tunnelcast publish`; ends when dropped.
pub(crate) struct Publisher(Running);

/// A process that ends when this is dropped.
struct Running(Child);

impl Server {
    /// With this source, or `none`, and these options besides.
    pub(crate) fn start_with(video: &str, options: &[&str]) -> Result<Self> {
        Self::start(video, options, Stdio::null())
    }

    /// With a source that reads what is written.
    pub(crate) fn piped(video: &str) -> Result<(Self, ChildStdin)> {
        let mut server = Self::start(video, &[], Stdio::piped())?;
        let pipe = server.running.0.stdin.take();
        let pipe = pipe.ok_or_else(|| Error::new(ErrorKind::BrokenPipe, "no pipe"))?;
        Ok((server, pipe))
    }

    fn start(video: &str, options: &[&str], input: Stdio) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let mut command = Command::new(PROGRAM);
        command
            .args(["serve", "--json", "--listen", "127.0.0.1:0"])
            .args(["--audio", "none", "--video", video, "--certs"])
            .arg(directory.path().join("certs"))
            .arg("--state")
            .arg(directory.path().join("state"))
            .args(options)
            .stdin(input);
        let (running, event) = begin(command, "listening")?;
        let named = |name: &str| event[name].as_str()?.parse::<Link>().ok();
        let missing = || Error::new(ErrorKind::InvalidData, format!("no links in {event}"));
        Ok(Self {
            link: named("link").ok_or_else(missing)?,
            publish_link: named("publish_link").ok_or_else(missing)?,
            running,
            directory,
        })
    }

    pub(crate) fn id(&self) -> u32 {
        self.running.0.id()
    }

    pub(crate) const fn link(&self) -> &Link {
        &self.link
    }

    /// The link to a stream that is published.
    pub(crate) fn link_to(&self, stream: &str) -> Link {
        Link {
            stream: stream.to_owned(),
            ..self.link.clone()
        }
    }

    /// Where its tokens are.
    pub(crate) fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    pub(crate) fn cost(&self) -> Result<Cost> {
        Cost::of(self.id())
    }
}

impl Publisher {
    /// Publishes this source over this way, and waits until the server has said welcome.
    pub(crate) fn start(server: &Server, stream: &str, video: &str, way: &str) -> Result<Self> {
        let mut command = Command::new(PROGRAM);
        command
            .args(["publish", "--json", "--take-over", "--audio", "none"])
            .args(["--networks", "/dev/null/networks", "--transport", way])
            .args(["--video", video, "--name", stream])
            .arg(server.publish_link.to_string())
            .stdin(Stdio::null());
        begin(command, "connected").map(|(running, _)| Self(running))
    }

    /// Ends it as Ctrl-C does, and waits for that.
    pub(crate) fn end(mut self) -> Result<()> {
        signal(self.0.0.id(), "INT")?;
        self.0.0.wait().map(drop)
    }
}

/// Sends a process a signal.
pub(crate) fn signal(process: u32, name: &str) -> Result<()> {
    let status = Command::new("kill")
        .args(["-s", name, &process.to_string()])
        .status()?;
    match status.success() {
        true => Ok(()),
        false => Err(Error::other(format!("kill -s {name}: {status}"))),
    }
}

/// Runs the program to its end; what it says.
pub(crate) fn said(command: &mut Command) -> Result<serde_json::Value> {
    let output = command.stdin(Stdio::null()).output()?;
    let words = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout)
        .map_err(|err| Error::other(format!("{command:?}: {err}: {words}")))
}

/// Starts a program, and waits for this event.
fn begin(mut command: Command, wanted: &str) -> Result<(Running, serde_json::Value)> {
    let child = command.stdout(Stdio::piped()).spawn()?;
    let mut running = Running(child);
    let gone = || Error::new(ErrorKind::BrokenPipe, format!("it ended without {wanted}"));
    let mut out = BufReader::new(running.0.stdout.take().ok_or_else(gone)?);
    loop {
        let mut line = String::new();
        if out.read_line(&mut line)? == 0 {
            return Err(gone());
        }
        let event: serde_json::Value = serde_json::from_str(&line)?;
        if event["event"] == wanted {
            // The rest is read, so that it never waits for us.
            let read = move || while out.read_line(&mut String::new()).is_ok_and(|n| n > 0) {};
            let thread = std::thread::Builder::new().name("events".to_owned());
            let _reader = thread.spawn(read)?;
            return Ok((running, event));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let ended = self.0.kill().and_then(|()| self.0.wait());
        if let Err(err) = ended {
            eprintln!("a process does not end: {err}");
        }
    }
}

/// What a process has used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    pub(crate) cpu: Duration,
    pub(crate) rss_kib: u64,
}

impl Cost {
    /// Of a process, from /proc.
    pub(crate) fn of(process: u32) -> Result<Self> {
        let missing = || Error::new(ErrorKind::InvalidData, "/proc is not as expected");
        let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
        // The name, in brackets, may hold anything; utime and stime are the 12th and 13th words behind it.
        let (_, behind) = stat.rsplit_once(')').ok_or_else(missing)?;
        let ticks = behind
            .split_whitespace()
            .skip(11)
            .take(2)
            .map(str::parse::<u64>);
        let ticks = ticks
            .sum::<std::result::Result<u64, _>>()
            .map_err(|_| missing())?;
        let status = fs::read_to_string(format!("/proc/{process}/status"))?;
        let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let rss = rss
            .and_then(|rss| rss.split_whitespace().next())
            .and_then(|kib| kib.parse().ok());
        Ok(Self {
            cpu: TICK * u32::try_from(ticks).map_err(|_| missing())?,
            rss_kib: rss.ok_or_else(missing)?,
        })
    }

    /// The CPU time since `before`; the memory of now.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(before.cpu),
            ..self
        }
    }

    /// Of one core.
    pub(crate) fn percent(self, over: Duration) -> f64 {
        100.0 * self.cpu.as_secs_f64() / over.as_secs_f64()
    }
}

/// Linux tells programs of 100 ticks a second, whatever the kernel's own.
const TICK: Duration = Duration::from_millis(10);
/// What all of them are.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_tunnelcast");
