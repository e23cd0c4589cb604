//! Where UDP is known not to get through: kept on disk for each network, and for a while only.
//!
//! What is remembered saves a start the time of finding out again, and nothing more. So whatever is wrong with the
//! file, it is as if nothing were known, and the next write makes it good.

mod list;
mod network;

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub use self::list::{Entry, List, parse};
pub use self::network::{Network, Tables};
use crate::file::{self, Access};

/// The networks on which UDP was found broken, as they were when the file was last read.
#[derive(Clone, Debug)]
pub struct Memory {
    /// `None` where there is no place for the file, or no writing to it: then it lasts as long as this value.
    path: Option<PathBuf>,
    list: List,
}

/// UDP was found broken, and that still counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken {
    /// When it was found.
    pub since: SystemTime,
    /// Until when it counts.
    pub until: SystemTime,
    /// How often in a row it was found, each time after the last had run out.
    pub times: u32,
}

impl Memory {
    /// The memory of whoever runs the program: `networks` in the user's directory for state, or, where a system has
    /// none, for what can be made again. Without a home it lasts as long as this value.
    pub fn of_user() -> Self {
        match directories::ProjectDirs::from("", "", "tunnelcast") {
            Some(dirs) => {
                let dir = dirs.state_dir().unwrap_or_else(|| dirs.cache_dir());
                Self::open(&dir.join("networks"))
            }
            None => Self {
                path: None,
                list: List::default(),
            },
        }
    }

    /// The memory in this file; empty if there is none, or none that can be read.
    pub fn open(path: &Path) -> Self {
        Self {
            path: Some(path.to_path_buf()),
            list: read(path),
        }
    }

    /// Whether UDP was found broken on this network, and that still counts at `now`.
    ///
    /// An entry from the future, as there is when a clock was set back, does not.
    pub fn is_broken(&self, network: &Network, now: SystemTime) -> Option<Broken> {
        let entry = self.list.of(network)?;
        let now = seconds(now);
        if !entry.counts(now) {
            return None;
        }
        let time = |seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
        Some(Broken {
            since: time(entry.since())?,
            until: time(entry.until)?,
            times: entry.times,
        })
    }

    /// UDP does not get through here: remembered for 300 s, and for twice as long as the last time, up to an hour,
    /// each time that it is found again after that. While it counts, finding it again changes nothing.
    ///
    /// # Errors
    /// The file cannot be written. This value remembers all the same, and leaves the file alone from then on.
    pub fn broken(&mut self, network: &Network, now: SystemTime) -> io::Result<()> {
        self.refresh();
        if self.list.add(network, seconds(now)) {
            self.write()
        } else {
            Ok(())
        }
    }

    /// UDP gets through here: whatever was known is forgotten.
    ///
    /// # Errors
    /// As for [`broken`](Self::broken).
    pub fn works(&mut self, network: &Network) -> io::Result<()> {
        self.refresh();
        if self.list.remove(network) {
            self.write()
        } else {
            Ok(())
        }
    }

    /// Another process may have written meanwhile. What comes between this and our own writing is lost, which is one
    /// entry, and costs one start its head start.
    fn refresh(&mut self) {
        if let Some(path) = &self.path {
            self.list = read(path);
        }
    }

    fn write(&mut self) -> io::Result<()> {
        let Some(path) = self.path.take() else {
            return Ok(());
        };
        write(&path, &self.list)?;
        self.path = Some(path);
        Ok(())
    }
}

/// What is in the file, as far as it can be understood.
fn read(path: &Path) -> List {
    let mut bytes = Vec::new();
    match File::open(path).and_then(|file| file.take(MOST_BYTES).read_to_end(&mut bytes)) {
        Ok(_) => parse(&String::from_utf8_lossy(&bytes)),
        Err(_) => List::default(),
    }
}

fn write(path: &Path, list: &List) -> io::Result<()> {
    if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        private_dir(dir)?;
    }
    file::replace(path, list.to_string().as_bytes(), Access::Private)
}

/// Makes a directory and those above it, open to their owner alone where they are new.
fn private_dir(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Since 1970; before that it is 1970.
fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// Five times what the longest list takes.
const MOST_BYTES: u64 = 32 * 1024;

#[cfg(test)]
mod tests;
