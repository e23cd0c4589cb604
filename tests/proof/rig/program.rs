//! The program as a child process.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};

use serde_json::Value;
use tempfile::TempDir;

use super::{Display, PATIENCE, Pulse, until};

/// A running `tunnelcast --json`; killed when dropped.
pub(crate) struct Program {
    child: Child,
    lines: Receiver<Value>,
    /// All that it said so far.
    pub(crate) events: Vec<Value>,
}

impl Program {
    /// With this display and this sound server, or none.
    pub(crate) fn start(
        display: Option<&Display>,
        pulse: Option<&Pulse>,
        arguments: &[&str],
    ) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tunnelcast"));
        command
            .arg("--json")
            .args(arguments)
            .env_remove("TUNNELCAST_LOG")
            .env_remove("DISPLAY")
            .env_remove("WAYLAND_DISPLAY")
            .env_remove("WAYLAND_SOCKET")
            .env("PULSE_SERVER", "unix:/nonexistent");
        if let Some(display) = display {
            command.env("DISPLAY", &display.name);
        }
        if let Some(pulse) = pulse {
            pulse.dress(&mut command);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (tell, lines) = mpsc::channel();
        std::thread::Builder::new()
            .name("lines".to_owned())
            .spawn(move || {
                for line in output.lines().map_while(Result::ok) {
                    let event = serde_json::from_str(&line).expect("one JSON object a line");
                    if tell.send(event).is_err() {
                        return;
                    }
                }
            })
            .unwrap();
        Self {
            child,
            lines,
            events: Vec::new(),
        }
    }

    /// `watch` of this link.
    pub(crate) fn watch(
        display: Option<&Display>,
        pulse: Option<&Pulse>,
        link: &str,
        arguments: &[&str],
    ) -> Self {
        Self::start(display, pulse, &[&["watch", link], arguments].concat())
    }

    /// The next line that is so.
    pub(crate) fn event(&mut self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(event) => {
                    self.events.push(event.clone());
                    if is(&event) {
                        return event;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    panic!("no {what} within {PATIENCE:?}, but {:?}", self.events)
                }
                Err(RecvTimeoutError::Disconnected) => panic!("no {what}, but {:?}", self.events),
            }
        }
    }

    /// The next line with this `event`.
    pub(crate) fn named(&mut self, name: &str) -> Value {
        self.event(name, |event| event["event"] == name)
    }

    /// What it has said since it was last asked.
    pub(crate) fn news(&mut self) -> Vec<Value> {
        let news: Vec<_> = self.lines.try_iter().collect();
        self.events.extend(news.iter().cloned());
        news
    }

    /// Waits for its end.
    pub(crate) fn end(&mut self) -> ExitStatus {
        until("the program's end", || self.child.try_wait().unwrap())
    }

    /// Ends it without a word, as a power cut does.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It has ended already where the test went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A running `serve` on loopback.
pub(crate) struct Serving {
    pub(crate) program: Program,
    pub(crate) link: String,
    certs: TempDir,
    arguments: Vec<String>,
}

impl Serving {
    /// On a port of the system's choice.
    pub(crate) fn start(pulse: Option<&Pulse>, arguments: &[&str]) -> Self {
        let certs = tempfile::tempdir().unwrap();
        let arguments: Vec<_> = arguments.iter().copied().map(str::to_owned).collect();
        let (program, link) = serve(pulse, certs.path(), 0, &arguments);
        Self {
            program,
            link,
            certs,
            arguments,
        }
    }

    /// Once more with the same key on the same port.
    pub(crate) fn again(&mut self) {
        let link: tunnelcast::trust::Link = self.link.parse().unwrap();
        let (program, again) = serve(None, self.certs.path(), link.port, &self.arguments);
        assert_eq!(again, self.link, "the link stays the same");
        self.program = program;
    }
}

fn serve(
    pulse: Option<&Pulse>,
    certs: &Path,
    port: u16,
    arguments: &[String],
) -> (Program, String) {
    let listen = format!("127.0.0.1:{port}");
    let mut all = vec!["serve", "--listen", &listen, "--host", "127.0.0.1"];
    let state = certs.join("state");
    all.extend(["--certs", certs.to_str().unwrap()]);
    all.extend(["--state", state.to_str().unwrap()]);
    all.extend(arguments.iter().map(String::as_str));
    let mut program = Program::start(None, pulse, &all);
    let listening = program.named("listening");
    let link = listening["link"].as_str().unwrap().to_owned();
    (program, link)
}
