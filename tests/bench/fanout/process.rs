//! The server as a process of its own, so that what it costs is not mixed with what the viewers cost.

use std::{
    fs,
    io::{BufRead, BufReader, Error, ErrorKind, Result},
    process::{Child, Command, Stdio},
    time::Duration,
};

use tunnelcast::trust::Link;

/// `tunnelcast serve` on a free port of loopback; ends when dropped.
pub(crate) struct Server {
    child: Child,
    link: Link,
    _certificates: tempfile::TempDir,
}

impl Server {
    /// With these options besides.
    pub(crate) fn start_with(video: &str, options: &[&str]) -> Result<Self> {
        let certificates = tempfile::tempdir()?;
        let mut child = Command::new(env!("CARGO_BIN_EXE_tunnelcast"))
            .args([
                "serve",
                "--json",
                "--listen",
                "127.0.0.1:0",
                "--audio",
                "none",
                "--video",
                video,
                "--certs",
            ])
            .arg(certificates.path())
            .arg("--state")
            .arg(certificates.path().join("state"))
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        if let Some(out) = child.stdout.take() {
            let mut out = BufReader::new(out);
            out.read_line(&mut line)?;
            // The rest is read, so that the server never waits for us.
            let _reader = std::thread::Builder::new()
                .name("events".to_owned())
                .spawn(
                    move || {
                        while out.read_line(&mut String::new()).is_ok_and(|read| read > 0) {}
                    },
                )?;
        }
        let event: serde_json::Value = serde_json::from_str(&line)?;
        let link = event["link"].as_str().and_then(|link| link.parse().ok());
        let Some(link) = link else {
            child.kill()?;
            return Err(Error::new(
                ErrorKind::InvalidData,
                format!("no link in {line}"),
            ));
        };
        Ok(Self {
            child,
            link,
            _certificates: certificates,
        })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) const fn link(&self) -> &Link {
        &self.link
    }

    pub(crate) fn cost(&self) -> Result<Cost> {
        Cost::of(self.child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let ended = self.child.kill().and_then(|()| self.child.wait());
        if let Err(err) = ended {
            eprintln!("the server does not end: {err}");
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
