//! What went over a line, for others to look at.

use std::{fs, path::PathBuf};

use super::{Daemon, Net, Side};

/// A running capture of packets.
pub(crate) struct Capture {
    daemon: Daemon,
    path: PathBuf,
}

impl Capture {
    /// Of a device of the box, with a filter in `tcpdump`'s words.
    pub(crate) fn start(net: &Net, device: &str, filter: &str) -> Self {
        let path = net
            .dir()
            .join(format!("{device}-{}.pcap", filter.replace(' ', "-")));
        let file = path.to_str().unwrap();
        let fixed = [
            "tcpdump",
            "-Z",
            "root",
            "-U",
            "--immediate-mode",
            "-B",
            "8192",
        ];
        let arguments = [&fixed[..], &["-i", device, "-w", file, filter]].concat();
        let daemon = Daemon::saying(net, Side::Box, &arguments, "listening on");
        Self { daemon, path }
    }

    /// The file, once all is written.
    pub(crate) fn end(self) -> PathBuf {
        self.daemon.end();
        self.path
    }

    /// All the bytes of it.
    pub(crate) fn bytes(self) -> Vec<u8> {
        fs::read(self.end()).unwrap()
    }
}

/// Whether these bytes are somewhere in it, as they are or masked as WebSocket masks: with any four bytes again and
/// again.
pub(crate) fn holds(bytes: &[u8], secret: &[u8]) -> bool {
    let unmasked = |text: &[u8]| -> Vec<u8> {
        text.windows(5)
            .map(|around| around[0] ^ around[4])
            .collect()
    };
    let (found, wanted) = (unmasked(bytes), unmasked(secret));
    assert!(wanted.len() >= 8, "too short to be told from noise");
    found.windows(wanted.len()).any(|window| window == wanted)
}
