//! A server and a publisher, each a process of its own.

use std::{
    io::{BufRead as _, BufReader, Error, ErrorKind, Result},
    process::{Child, Command, Stdio},
};

use tunnelcast::trust::Link;

/// `tunnelcast serve` on a free port of loopback; ends when dropped.
pub(crate) struct Server {
    link: Link,
    publish_link: Link,
    _child: Running,
    _directory: tempfile::TempDir,
}

/// `tunnelcast publish` over TLS; ends when dropped.
pub(crate) struct Publisher(#[expect(dead_code, reason = "it is there")] Running);

/// A process that ends when this is dropped.
struct Running(Child);

impl Server {
    /// With this source, or `none`: then the stream is one that is published.
    pub(crate) fn start(video: &str) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_tunnelcast"));
        command
            .args(["serve", "--json", "--listen", "127.0.0.1:0"])
            .args(["--audio", "none", "--video", video, "--certs"])
            .arg(directory.path().join("certs"))
            .arg("--state")
            .arg(directory.path().join("state"));
        let (child, event) = begin(command, "listening")?;
        let named = |name: &str| {
            let mut link: Link = event[name].as_str()?.parse().ok()?;
            if link.stream.is_empty() {
                "cam".clone_into(&mut link.stream);
            }
            Some(link)
        };
        let missing = || Error::new(ErrorKind::InvalidData, format!("no links in {event}"));
        Ok(Self {
            link: named("link").ok_or_else(missing)?,
            publish_link: named("publish_link").ok_or_else(missing)?,
            _child: child,
            _directory: directory,
        })
    }

    pub(crate) const fn link(&self) -> &Link {
        &self.link
    }
}

impl Publisher {
    /// Publishes this source, and waits until the server has said welcome.
    pub(crate) fn start(server: &Server, video: &str) -> Result<Self> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tunnelcast"));
        command
            .args(["publish", "--json", "--transport", "tls", "--audio", "none"])
            .args(["--networks", "/dev/null/networks", "--video", video])
            .arg(server.publish_link.to_string());
        begin(command, "connected").map(|(child, _)| Self(child))
    }
}

/// Starts a program, and waits for this event.
fn begin(mut command: Command, wanted: &str) -> Result<(Running, serde_json::Value)> {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
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
