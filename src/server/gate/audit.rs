//! One line for each who was let in or not, cut off, or gave a command. Never a secret.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::{Builder, JoinHandle};

use serde::Serialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tracing::{info, warn};

use crate::media::{Role, TokenId};
use crate::transport::Seldom;

/// Where the lines go: to the log, and to a file where one is named.
#[derive(Debug, Default)]
pub(in crate::server) struct Audit {
    file: Option<Writer>,
    /// Of lines that were left out.
    left_out: Seldom,
}

#[derive(Debug)]
struct Writer {
    lines: Option<SyncSender<String>>,
    thread: Option<JoinHandle<()>>,
}

/// What happened.
#[derive(Clone, Debug, Serialize)]
pub(in crate::server) struct Record<'a> {
    /// `admitted`, `refused`, `cut` or `command`.
    pub(in crate::server) event: &'static str,
    pub(in crate::server) addr: SocketAddr,
    pub(in crate::server) transport: &'static str,
    pub(in crate::server) role: Role,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::server) token: Option<TokenId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::server) viewer: Option<u64>,
    /// The command, or why.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(in crate::server) what: &'a str,
}

#[derive(Serialize)]
struct Line<'a> {
    at: &'a str,
    #[serde(flatten)]
    record: &'a Record<'a>,
}

impl Audit {
    /// Also into this file, which is made, its owner's alone, or appended to.
    pub(in crate::server) fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path)?;
        let (lines, taken) = sync_channel::<String>(BACKLOG);
        let write = move || {
            let (mut file, failed): (File, _) = (file, Seldom::default());
            while let Ok(line) = taken.recv() {
                if let Err(err) = file.write_all(line.as_bytes())
                    && let Some(times) = failed.now()
                {
                    warn!(%err, times, "the audit log cannot be written");
                }
            }
        };
        let thread = Builder::new().name("audit".to_owned()).spawn(write)?;
        Ok(Self {
            file: Some(Writer {
                lines: Some(lines),
                thread: Some(thread),
            }),
            left_out: Seldom::default(),
        })
    }

    /// Takes down one line.
    pub(in crate::server) fn note(&self, record: &Record<'_>) {
        let Record {
            event,
            addr,
            transport,
            role,
            token,
            viewer,
            what,
        } = record;
        let token = token.map(|token| token.to_string());
        info!(target: "audit", event, %addr, transport, %role, token, viewer, what, "audit");
        let Some(lines) = self.file.as_ref().and_then(|file| file.lines.as_ref()) else {
            return;
        };
        let at = OffsetDateTime::now_utc().format(&Rfc3339);
        let line = serde_json::to_string(&Line {
            at: &at.unwrap_or_default(),
            record,
        });
        let Ok(line) = line else { return };
        if let Err(TrySendError::Full(_)) = lines.try_send(line + "\n")
            && let Some(times) = self.left_out.now()
        {
            warn!(
                times,
                "the audit log is written too slowly: lines were left out"
            );
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.lines = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            warn!("the audit log's thread failed");
        }
    }
}

/// Lines that wait for the disk.
const BACKLOG: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_appended_as_json_and_all_written_when_the_server_ends() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.jsonl");
        let record = Record {
            event: "refused",
            addr: SocketAddr::from(([192, 0, 2, 1], 7)),
            transport: "tls",
            role: Role::Watch,
            token: Some(TokenId::from_bytes([1; 8])),
            viewer: None,
            what: "a \"wrong\"\nproof",
        };
        for _ in 0..2 {
            let audit = Audit::open(&path).unwrap();
            audit.note(&record);
        }
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 2);
        for line in text.lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(line["event"], "refused");
            assert_eq!(line["token"], "AQEBAQEBAQE");
            assert_eq!(line["what"], "a \"wrong\"\nproof");
            assert!(line["at"].as_str().unwrap().ends_with('Z'));
        }
    }
}
