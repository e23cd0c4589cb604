//! Servers whose key a person has accepted, as ssh's `known_hosts`.
//!
//! One server a line: `HOST:PORT PIN`, the host in small letters, an IPv6 address in brackets, the pin as in links.
//! Empty lines and lines that begin with `#` are kept and mean nothing.

use std::path::{Path, PathBuf};

use super::{Pin, TrustError, store};
use crate::file::Access;

/// The list of a user, as it was when it was read.
#[derive(Clone, Debug)]
pub struct KnownServers {
    path: PathBuf,
    servers: Vec<Server>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Server {
    /// `HOST:PORT`
    name: String,
    pin: Pin,
}

impl KnownServers {
    /// The list of whoever runs the program: `known_servers` in the user's directory for settings. A list that does
    /// not exist yet is empty.
    pub fn of_user() -> Result<Self, TrustError> {
        let dirs =
            directories::ProjectDirs::from("", "", "tunnelcast").ok_or(TrustError::NoHome)?;
        Self::open(&dirs.config_dir().join("known_servers"))
    }

    /// The list in this file; empty if there is none. A line that cannot be understood is an error: a key that was
    /// once accepted must not be forgotten over a slip of the editor.
    pub fn open(path: &Path) -> Result<Self, TrustError> {
        let mut list = Self {
            path: path.to_path_buf(),
            servers: Vec::new(),
        };
        for (number, line) in list.text()?.lines().enumerate() {
            let bad = || TrustError::KnownLine {
                path: path.to_path_buf(),
                line: number + 1,
            };
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let mut words = line.split_whitespace();
            let (Some(name), Some(pin), None) = (words.next(), words.next(), words.next()) else {
                return Err(bad());
            };
            let (host, port) = name.rsplit_once(':').ok_or_else(bad)?;
            let port = port.parse().map_err(|_| bad())?;
            let pin = pin.parse().map_err(|_| bad())?;
            list.servers.push(Server {
                name: server_name(host, port),
                pin,
            });
        }
        Ok(list)
    }

    /// Adds a server that a person has just accepted, and writes the list.
    ///
    /// Fails if the server is known by another key, which nobody can overrule but by editing the file, or if the file
    /// cannot be written.
    pub fn remember(&mut self, host: &str, port: u16, pin: Pin) -> Result<(), TrustError> {
        // Another viewer may have written meanwhile.
        self.servers = Self::open(&self.path)?.servers;
        let name = server_name(host, port);
        match self.pin_of(host, port) {
            Some(known) if known == pin => return Ok(()),
            Some(_) => {
                return Err(TrustError::KnownOtherwise {
                    server: name,
                    path: self.path.clone(),
                });
            }
            None => {}
        }
        let mut text = self.text()?;
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(&format!("{name} {pin}\n"));
        if let Some(dir) = self.path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
            store::private_dir(dir)?;
        }
        store::replace(&self.path, text.as_bytes(), Access::Private)?;
        self.servers.push(Server { name, pin });
        Ok(())
    }

    /// The key that was accepted for this server.
    pub fn pin_of(&self, host: &str, port: u16) -> Option<Pin> {
        let name = server_name(host, port);
        self.servers
            .iter()
            .find(|server| server.name == name)
            .map(|server| server.pin)
    }

    /// Where the list is kept.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn text(&self) -> Result<String, TrustError> {
        let bytes = store::read(&self.path)?.unwrap_or_default();
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// `HOST:PORT`, the same for every way to write a host.
fn server_name(host: &str, port: u16) -> String {
    let host = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_ascii_lowercase();
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_known_the_next_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/known_servers");
        let pin = Pin::from([7; 32]);
        let mut list = KnownServers::open(&path).unwrap();
        assert_eq!(list.pin_of("cam.example", 443), None);
        list.remember("Cam.Example", 443, pin).unwrap();
        list.remember("::1", 8443, pin).unwrap();
        list.remember("[::1]", 8443, pin).unwrap();
        let again = KnownServers::open(&path).unwrap();
        for list in [&list, &again] {
            assert_eq!(list.pin_of("cam.example", 443), Some(pin));
            assert_eq!(list.pin_of("[::1]", 8443), Some(pin));
            assert_eq!(list.pin_of("cam.example", 444), None);
        }
        assert_eq!(again.servers.len(), 2);
    }

    #[test]
    fn another_key_is_never_remembered_over_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("known_servers");
        let mut first = KnownServers::open(&path).unwrap();
        let mut second = first.clone();
        first.remember("cam", 443, Pin::from([1; 32])).unwrap();
        let error = second.remember("cam", 443, Pin::from([2; 32])).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("cam:443 is already known by another key")
        );
    }

    #[test]
    fn remarks_stay_and_a_damaged_line_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("known_servers");
        std::fs::write(&path, "# mine\n\ncam:443 AAAA").unwrap();
        let error = KnownServers::open(&path).unwrap_err().to_string();
        assert!(error.starts_with("line 3 of"), "{error}");
        std::fs::write(&path, "# mine").unwrap();
        KnownServers::open(&path)
            .unwrap()
            .remember("cam", 1, Pin::from([1; 32]))
            .unwrap();
        assert!(
            std::fs::read_to_string(&path)
                .unwrap()
                .starts_with("# mine\ncam:1 AQ")
        );
    }
}
