//! Where UDP is known not to get through, and which way got through where something else answers for a server: kept on
//! disk for each network, and for a while only.
//!
//! What is remembered saves a start the time of finding out again, and nothing more. So whatever is wrong with the
//! file, it is as if nothing were known, and the next write makes it good.

mod inside;
mod list;
mod network;

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use self::inside::Inside;
pub use self::inside::Through;
pub use self::list::{Entry, List, parse};
pub use self::network::{Network, Tables};
use crate::file::{self, Access};

/// What is known of networks, as it was when the file was last read.
#[derive(Clone, Debug)]
pub struct Memory {
    /// `None` where there is no place for the file, or no writing to it: then it lasts as long as this value.
    path: Option<PathBuf>,
    list: List,
    inside: Inside,
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
            None => Self::private(),
        }
    }

    /// A memory that knows nothing at first, and lasts as long as this value.
    pub fn private() -> Self {
        Self {
            path: None,
            list: List::default(),
            inside: Inside::default(),
        }
    }

    /// The memory in this file; empty if there is none, or none that can be read.
    pub fn open(path: &Path) -> Self {
        let (list, inside) = read(path);
        Self {
            path: Some(path.to_path_buf()),
            list,
            inside,
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

    /// Which way last got through to the server at `host` and `port` on this network, where something else answers in
    /// its name.
    pub fn inside(
        &self,
        network: &Network,
        host: &str,
        port: u16,
        now: SystemTime,
    ) -> Option<Through> {
        self.inside.of(&network.with(host, port), seconds(now))
    }

    /// This way got through where something else answers in the server's name; `None`: nothing else does any more.
    ///
    /// # Errors
    /// As for [`broken`](Self::broken).
    pub fn set_inside(
        &mut self,
        network: &Network,
        host: &str,
        port: u16,
        way: Option<Through>,
        now: SystemTime,
    ) -> io::Result<()> {
        self.refresh();
        if self
            .inside
            .set(&network.with(host, port), way, seconds(now))
        {
            self.write()
        } else {
            Ok(())
        }
    }

    /// Another process may have written meanwhile. What comes between this and our own writing is lost, which is one
    /// entry, and costs one start its head start.
    fn refresh(&mut self) {
        if let Some(path) = &self.path {
            (self.list, self.inside) = read(path);
        }
    }

    fn write(&mut self) -> io::Result<()> {
        let Some(path) = self.path.take() else {
            return Ok(());
        };
        write(&path, &format!("{}{}", self.list, self.inside))?;
        self.path = Some(path);
        Ok(())
    }
}

/// What is in the file, as far as it can be understood.
fn read(path: &Path) -> (List, Inside) {
    let mut bytes = Vec::new();
    match File::open(path).and_then(|file| file.take(MOST_BYTES).read_to_end(&mut bytes)) {
        Ok(_) => {
            let text = String::from_utf8_lossy(&bytes);
            (parse(&text), Inside::parse(&text))
        }
        Err(_) => Default::default(),
    }
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        private_dir(dir)?;
    }
    file::replace(path, text.as_bytes(), Access::Private)
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

/// Several times what the longest lists take.
const MOST_BYTES: u64 = 32 * 1024;

#[cfg(test)]
mod tests;
