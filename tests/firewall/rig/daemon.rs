//! A program that runs beside a test: a proxy, a web server.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::{Child, Stdio},
};

use super::{Net, Side, until};

/// Killed when dropped.
pub(crate) struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts it, and waits until it listens on this port of TCP.
    pub(crate) fn listening(net: &Net, side: Side, arguments: &[&str], port: u16) -> Self {
        let mut daemon = Self::start(net, side, arguments);
        let port = format!("sport = :{port}");
        until(arguments[0], || {
            daemon.still_there(arguments);
            let open = net.run(side, &["ss", "-Hltn", &port]);
            (!open.stdout.is_empty()).then_some(())
        });
        daemon
    }

    /// Starts it, and waits until it has said this.
    pub(crate) fn saying(net: &Net, side: Side, arguments: &[&str], words: &str) -> Self {
        let mut daemon = Self::start(net, side, arguments);
        until(arguments[0], || {
            daemon.still_there(arguments);
            daemon.log().contains(words).then_some(())
        });
        daemon
    }

    fn start(net: &Net, side: Side, arguments: &[&str]) -> Self {
        let name = arguments[0].rsplit('/').next().unwrap();
        let log = (0..)
            .map(|n| net.dir().join(format!("{name}-{n}.log")))
            .find(|path| !path.exists())
            .unwrap();
        let file = File::create(&log).unwrap();
        let child = net
            .command(side, arguments[0])
            .args(&arguments[1..])
            .current_dir(net.dir())
            .stdout(file.try_clone().unwrap())
            .stderr(Stdio::from(file))
            .spawn()
            .unwrap();
        Self { child, log }
    }

    fn still_there(&mut self, arguments: &[&str]) {
        if let Some(status) = self.child.try_wait().unwrap() {
            panic!("{arguments:?} ended with {status}: {}", self.log());
        }
    }

    /// All that it said so far.
    pub(crate) fn log(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Asks it to end, and waits until it has.
    pub(crate) fn end(mut self) {
        super::program::signal(self.child.id(), "TERM");
        until("the end of a daemon", || self.child.try_wait().unwrap());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}
