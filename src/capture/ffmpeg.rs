//! ffmpeg as a child process, which dies with its owner.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ffmpeg_sidecar::command::FfmpegCommand;

use super::pump::{Leave, Pump, Stop};

/// A command that reads `path`, says only what goes wrong, and asks nothing.
///
/// `input` are options for reading. The `file:` in front keeps ffmpeg from taking a name for one of its protocols.
pub(super) fn reading(path: &Path, input: &[&str]) -> FfmpegCommand {
    let mut name = std::ffi::OsString::from("file:");
    name.push(path);
    let mut command = FfmpegCommand::new();
    command
        .hide_banner()
        .args(["-nostdin", "-v", "error"])
        .args(input)
        .input(name);
    command
}

/// How long a process may take to end after its output has, and after it was killed.
const LINGER: Duration = Duration::from_secs(2);
const DYING: Duration = Duration::from_secs(1);
const STEP: Duration = Duration::from_millis(5);

/// A running ffmpeg. Dropping it kills and reaps it.
#[derive(Debug)]
pub(super) struct Process {
    child: Reins,
    words: Arc<Mutex<Words>>,
    /// Takes what ffmpeg says on standard error, so that it never blocks there.
    listener: Option<Pump>,
}

/// Kills a process from another thread; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Reins(Arc<Mutex<Child>>);

impl Reins {
    /// Kills; the owner reaps.
    pub(super) fn kill(&self) {
        if let Err(error) = self.lock().kill() {
            tracing::debug!(%error, "cannot kill ffmpeg");
        }
    }

    /// Waits for its end in small steps, so that others can kill it meanwhile; `None` after `patience`.
    fn wait(&self, patience: Duration) -> io::Result<Option<ExitStatus>> {
        let mut waited = Duration::ZERO;
        loop {
            let ended = self.lock().try_wait()?;
            if ended.is_some() || waited >= patience {
                return Ok(ended);
            }
            std::thread::sleep(STEP);
            waited += STEP;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Child> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Process {
    /// Starts it; its standard output is the caller's.
    pub(super) fn spawn(command: &mut FfmpegCommand) -> Result<(Self, ChildStdout), SpawnError> {
        let command = command.as_inner_mut();
        // A group of its own: Ctrl-C is for us, who end it in good order. Should we not, its next write fails.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(command, 0);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| {
                if error.kind() == io::ErrorKind::NotFound {
                    SpawnError::Missing
                } else {
                    SpawnError::Failed(error)
                }
            })?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let mut process = Self {
            child: Reins(Arc::new(Mutex::new(child))),
            words: Arc::default(),
            listener: None,
        };
        let (Some(stdout), Some(stderr)) = (stdout, stderr) else {
            return Err(SpawnError::Failed(io::ErrorKind::BrokenPipe.into()));
        };
        let words = Arc::clone(&process.words);
        let listener = Pump::start("ffmpeg stderr", Leave::After(DYING), move |_| {
            listen(stderr, &words)
        });
        process.listener = Some(listener.map_err(SpawnError::Failed)?);
        Ok((process, stdout))
    }

    /// For killing it from elsewhere.
    pub(super) fn reins(&self) -> Reins {
        self.child.clone()
    }

    /// Waits until it has ended by itself, its output having ended already; how, and what it said last. One that does
    /// not is killed.
    pub(super) fn end(mut self) -> (io::Result<ExitStatus>, Words) {
        let status = match self.child.wait(LINGER) {
            Ok(None) => {
                self.child.kill();
                self.child.wait(DYING)
            }
            ended => ended,
        };
        let status = status.and_then(|status| status.ok_or_else(|| io::ErrorKind::TimedOut.into()));
        drop(self.listener.take()); // joined: everything was said
        let words = std::mem::take(&mut *self.words.lock().unwrap_or_else(PoisonError::into_inner));
        (status, words)
    }

    /// Waits for at most `patience` until it has ended, discarding its output; `None` if it had to be killed.
    pub(super) fn run(
        command: &mut FfmpegCommand,
        patience: Duration,
    ) -> Result<Option<(ExitStatus, Words)>, SpawnError> {
        let (process, mut stdout) = Self::spawn(command)?;
        let reins = process.reins();
        let guard = move |stop: &Stop| {
            if !stop.wait(patience) {
                reins.kill();
            }
        };
        let guard = Pump::start("ffmpeg guard", Leave::Join, guard).map_err(SpawnError::Failed)?;
        let ended = io::copy(&mut stdout, &mut io::sink()).map_err(SpawnError::Failed);
        let (status, words) = process.end();
        drop(guard);
        ended?;
        let status = status.map_err(SpawnError::Failed)?;
        // Killed by a signal means no exit code.
        Ok(status.code().map(|_| (status, words)))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill();
        match self.child.wait(DYING) {
            Ok(Some(_)) => {}
            Ok(None) => tracing::warn!("ffmpeg does not die"),
            Err(error) => tracing::debug!(%error, "cannot reap ffmpeg"),
        }
        drop(self.listener.take());
    }
}

/// Why ffmpeg does not run.
#[derive(Debug)]
pub(super) enum SpawnError {
    Missing,
    Failed(io::Error),
}

/// The last lines that ffmpeg said.
#[derive(Debug, Default)]
pub(super) struct Words(VecDeque<String>);

const MAX_LINES: usize = 32;
const MAX_LINE: u64 = 500;

/// Lines that say nothing about the cause.
const NOISE: [&str; 8] = [
    "Invalid data found when processing input",
    "To ignore this",
    "Last message repeated",
    "Error marking filters as finished",
    "Conversion failed",
    "Input/output error",
    "Cannot determine format of input stream",
    "Error opening input",
];

impl Words {
    /// The last line that tells a cause, without the name of the part that said it.
    pub(super) fn cause(&self) -> &str {
        let telling = self
            .0
            .iter()
            .rev()
            .find(|line| !NOISE.iter().any(|noise| line.contains(noise)));
        let line = telling.or_else(|| self.0.back()).map_or("", String::as_str);
        match line
            .strip_prefix('[')
            .and_then(|rest| rest.split_once("] "))
        {
            Some((_, cause)) => cause,
            None => line,
        }
    }

    /// Whether any line holds `part`.
    pub(super) fn contain(&self, part: &str) -> bool {
        self.0.iter().any(|line| line.contains(part))
    }
}

fn listen(stderr: ChildStderr, words: &Mutex<Words>) {
    let mut stderr = BufReader::new(stderr);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut stderr).take(MAX_LINE).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&line);
        // It goes to a terminal and a log.
        let text: String = text.trim().chars().filter(|c| !c.is_control()).collect();
        if !text.is_empty() {
            tracing::debug!(%text, "ffmpeg");
            let lines = &mut words.lock().unwrap_or_else(PoisonError::into_inner).0;
            lines.push_back(text);
            if lines.len() > MAX_LINES {
                lines.pop_front();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(lines: &[&str]) -> Words {
        Words(lines.iter().map(|&line| line.to_owned()).collect())
    }

    /// Whatever sleeps will do for a process.
    #[cfg(unix)]
    fn sleeper() -> Child {
        let mut sleep = std::process::Command::new("sleep");
        sleep.arg("600").spawn().unwrap()
    }

    #[cfg(unix)]
    #[test]
    fn a_process_can_be_killed_while_its_end_is_waited_for() {
        let reins = Reins(Arc::new(Mutex::new(sleeper())));
        assert!(reins.wait(STEP).unwrap().is_none());
        let other = reins.clone();
        let waiting = std::thread::scope(|scope| {
            let waiting = scope.spawn(move || other.wait(Duration::from_secs(60)));
            reins.kill();
            waiting.join().unwrap()
        });
        assert!(waiting.unwrap().is_some_and(|status| !status.success()));
    }

    #[test]
    fn the_cause_is_the_last_line_that_tells_one() {
        let said = words(&[
            "[mov,mp4,m4a,3gp,3g2,mj2 @ 0x557955072900] moov atom not found",
            "file:trunc.mp4: Invalid data found when processing input",
        ]);
        assert_eq!(said.cause(), "moov atom not found");
        let said = words(&[
            "Stream map '0:V:0' matches no streams.",
            "To ignore this, add a trailing '?' to the map.",
        ]);
        assert_eq!(said.cause(), "Stream map '0:V:0' matches no streams.");
        let said = words(&["x: Invalid data found when processing input"]);
        assert_eq!(said.cause(), "x: Invalid data found when processing input");
        assert_eq!(Words::default().cause(), "");
    }
}
