//! The real program as a child process, its lines of JSON and its exit status.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use serde_json::Value;
use tunnelcast::trust::Link;

use super::SOON;

/// A running `tunnelcast`; killed when dropped.
pub(crate) struct Program {
    child: Child,
    lines: Receiver<String>,
    words: Option<JoinHandle<String>>,
    events: Vec<Value>,
}

/// What it was, once it has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// `None`: killed by a signal.
    pub(crate) status: Option<i32>,
    /// Its lines on standard output.
    pub(crate) events: Vec<Value>,
    /// All that it said on standard error.
    pub(crate) words: String,
}

impl Program {
    /// `tunnelcast --json` with these arguments, split at blanks.
    pub(crate) fn start(arguments: &str) -> Self {
        Self::with(arguments.split_whitespace(), |_| {})
    }

    /// The same with the arguments one by one, and the command open to changes.
    pub(crate) fn with<A: AsRef<std::ffi::OsStr>>(
        arguments: impl IntoIterator<Item = A>,
        change: impl FnOnce(&mut Command),
    ) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tunnelcast"));
        let arguments: Vec<_> = arguments
            .into_iter()
            .map(|argument| argument.as_ref().to_owned())
            .collect();
        command.arg("--json").args(&arguments);
        // A server's tokens belong to the test as its key does.
        let certs = arguments.iter().position(|argument| argument == "--certs");
        if let Some(certs) = certs.and_then(|at| arguments.get(at + 1))
            && arguments.iter().any(|argument| argument == "serve")
            && !arguments.iter().any(|argument| argument == "--state")
        {
            command.arg("--state").arg(Path::new(certs).join("state"));
        }
        command.env_remove("TUNNELCAST_LOG").stdin(Stdio::null());
        change(&mut command);
        Self::spawn(command)
    }

    /// Any command that ends up as ours.
    pub(crate) fn spawn(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = mpsc::channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let mut stderr = child.stderr.take().unwrap();
        let words = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _cut = stderr.read_to_end(&mut bytes);
            String::from_utf8_lossy(&bytes).into_owned()
        });
        Self {
            child,
            lines,
            words: Some(words),
            events: Vec::new(),
        }
    }

    /// `serve` on loopback with a key of its own, once it listens; and its link.
    pub(crate) fn serve(certs: &Path, arguments: &str) -> (Self, Link) {
        Self::serve_at(certs, 0, arguments)
    }

    pub(crate) fn serve_at(certs: &Path, port: u16, arguments: &str) -> (Self, Link) {
        Self::serve_with(certs, port, arguments, |_| {})
    }

    pub(crate) fn serve_with(
        certs: &Path,
        port: u16,
        arguments: &str,
        change: impl FnOnce(&mut Command),
    ) -> (Self, Link) {
        let listen = format!("127.0.0.1:{port}");
        let certs = certs.to_str().unwrap();
        let fixed = ["serve", "--listen", &listen, "--certs", certs];
        let mut program = Self::with(
            fixed.into_iter().chain(arguments.split_whitespace()),
            change,
        );
        let link = program.event("listening")["link"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap();
        (program, link)
    }

    /// `watch --headless` of this link.
    pub(crate) fn watch(link: &Link, arguments: &str) -> Self {
        let link = link.to_string();
        // What one test finds out of this network must not steer another.
        let fixed = [
            "watch",
            "--headless",
            "--networks",
            "/dev/null/networks",
            &link,
        ];
        Self::with(
            fixed.into_iter().chain(arguments.split_whitespace()),
            |_| {},
        )
    }

    /// The next line with this event.
    pub(crate) fn event(&mut self, name: &str) -> Value {
        self.event_where(|event| event["event"] == name)
            .unwrap_or_else(|| panic!("no {name}, but: {:?}", self.events))
    }

    /// The next line that is so; `None` when the program has ended before.
    pub(crate) fn event_where(&mut self, is: impl Fn(&Value) -> bool) -> Option<Value> {
        let give_up = Instant::now() + SOON;
        loop {
            let left = give_up.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    let event = parse(&line);
                    self.events.push(event.clone());
                    if is(&event) {
                        return Some(event);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    panic!("nothing such within {SOON:?}, but: {:?}", self.events)
                }
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    pub(crate) fn stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().unwrap()
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ctrl-C.
    pub(crate) fn interrupt(&self) {
        self.signal("INT");
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Ended {
        let give_up = Instant::now() + SOON;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < give_up, "still there: {:?}", self.events);
            std::thread::sleep(Duration::from_millis(5));
        };
        while let Ok(line) = self.lines.recv_timeout(SOON) {
            self.events.push(parse(&line));
        }
        let words = self.words.take().unwrap().join().unwrap();
        assert!(!words.contains("panicked"), "{words}");
        Ended {
            status: status.code(),
            events: std::mem::take(&mut self.events),
            words,
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

impl Ended {
    /// The last line, which must be the summary.
    #[track_caller]
    pub(crate) fn summary(&self) -> &Value {
        let last = self.events.last().unwrap_or(&Value::Null);
        assert_eq!(last["event"], "summary", "{self:?}");
        last
    }

    /// It ended so, and its last words hold this.
    #[track_caller]
    pub(crate) fn says(&self, status: i32, words: &str) {
        let last = self.words.lines().last().unwrap_or_default();
        assert!(
            self.status == Some(status) && last.contains(words),
            "not {status} and '{words}', but {:?} and '{}'",
            self.status,
            self.words
        );
    }
}

/// Bytes that a process has in memory; `None` where the system does not say.
pub(crate) fn memory(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib << 10)
}

/// Sends a signal to a process that a test has started.
pub(crate) fn signal(process: u32, name: &str) {
    let sent = Command::new("sh")
        .args(["-c", &format!("kill -{name} {process}")])
        .status();
    assert!(sent.unwrap().success());
}

/// The processes that a process has started; none where the system does not say.
pub(crate) fn children(process: u32) -> Vec<u32> {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{process}/task")) else {
        return Vec::new();
    };
    tasks
        .filter_map(Result::ok)
        .filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok())
        .flat_map(|ids| {
            ids.split_whitespace()
                .filter_map(|id| id.parse().ok())
                .collect::<Vec<u32>>()
        })
        .collect()
}

/// Each line is an object with `event` and `at_ms`, and nothing else is printed.
fn parse(line: &str) -> Value {
    let value: Value =
        serde_json::from_str(line).unwrap_or_else(|err| panic!("no JSON: {err}: {line}"));
    assert!(
        value["event"].is_string() && value["at_ms"].is_u64(),
        "{line}"
    );
    value
}
