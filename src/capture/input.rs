//! Reading from a pipe with an eye on the owner: a read that never comes must not keep a thread.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::process::ChildStdout;
use std::time::Duration;

use super::pump::Stop;

/// Something to read from: standard input, a FIFO, a file, a child's output.
#[derive(Debug)]
pub(super) struct Input {
    file: File,
    /// How often nothing came in a row.
    quiet: u32,
}

/// Nothing for this long is worth a word.
pub(super) const SILENCE: Duration = Duration::from_secs(3);

/// How soon an owner's wish to end is noticed.
const MOMENT: Duration = Duration::from_millis(100);

/// What a read came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Got {
    /// So many bytes, at least one.
    Bytes(usize),
    /// The end.
    End,
    /// Nothing for [`SILENCE`]; only where the system lets us wait with a time-out.
    Silence,
    /// The owner wants the thread to end.
    Stopped,
}

impl Input {
    /// Standard input, without std's buffer in front of it.
    #[cfg(unix)]
    pub(super) fn stdin() -> io::Result<Self> {
        use std::os::fd::AsFd;
        Ok(Self::of(io::stdin().as_fd().try_clone_to_owned()?.into()))
    }

    #[cfg(windows)]
    pub(super) fn stdin() -> io::Result<Self> {
        use std::os::windows::io::AsHandle;
        Ok(Self::of(
            io::stdin().as_handle().try_clone_to_owned()?.into(),
        ))
    }

    /// Anything that is a file in the widest sense.
    pub(super) const fn of(file: File) -> Self {
        Self { file, quiet: 0 }
    }

    /// What a child says.
    #[cfg(unix)]
    pub(super) fn of_child(stdout: ChildStdout) -> Self {
        Self::of(std::os::fd::OwnedFd::from(stdout).into())
    }

    #[cfg(windows)]
    pub(super) fn of_child(stdout: ChildStdout) -> Self {
        Self::of(std::os::windows::io::OwnedHandle::from(stdout).into())
    }

    /// A file or FIFO; a FIFO that nobody writes to yet is no reason to wait here.
    #[cfg(unix)]
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        use rustix::fs::{Mode, OFlags};
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(Self::of(
            rustix::fs::open(path, flags, Mode::empty())?.into(),
        ))
    }

    #[cfg(not(unix))]
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self::of(File::open(path)?))
    }

    /// Asks for room for `bytes` in the pipe: whole pictures, or little delay. Only Linux has that.
    pub(super) fn resize(&self, bytes: usize) {
        #[cfg(target_os = "linux")]
        if let Err(error) = rustix::pipe::fcntl_setpipe_size(&self.file, bytes) {
            tracing::debug!(%error, "the pipe keeps its size");
        }
        #[cfg(not(target_os = "linux"))]
        let _ = bytes;
    }

    /// Reads what is there, or waits until something is.
    pub(super) fn read(&mut self, into: &mut [u8], stop: &Stop) -> io::Result<Got> {
        loop {
            if stop.is_set() {
                return Ok(Got::Stopped);
            }
            if !self.wait()? {
                self.quiet += 1;
                if self.quiet >= QUIET {
                    self.quiet = 0;
                    return Ok(Got::Silence);
                }
                continue;
            }
            self.quiet = 0;
            match self.file.read(into) {
                Ok(0) => return Ok(Got::End),
                Ok(read) => return Ok(Got::Bytes(read)),
                Err(error) if is_passing(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits for something to read, for a moment; whether there is.
    #[cfg(unix)]
    fn wait(&self) -> io::Result<bool> {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let moment = Timespec {
            tv_sec: 0,
            tv_nsec: MOMENT.subsec_nanos().into(),
        };
        let mut fds = [PollFd::new(&self.file, PollFlags::IN)];
        match poll(&mut fds, Some(&moment)) {
            Ok(ready) => Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    #[cfg(not(unix))]
    fn wait(&self) -> io::Result<bool> {
        Ok(true)
    }
}

/// So many moments are a silence.
const QUIET: u32 = 30;

/// Whether trying again may help.
fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock
    )
}
