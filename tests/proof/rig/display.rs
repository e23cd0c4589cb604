//! A virtual X display without window manager.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use super::{Shot, until};

/// Gone when dropped.
pub(crate) struct Display {
    server: Child,
    /// As in `DISPLAY`.
    pub(crate) name: String,
}

impl Display {
    /// 1280x720, so that such a picture fills it.
    pub(crate) fn start() -> Self {
        let mut server = Command::new("Xvfb")
            .args(["-displayfd", "1", "-nolisten", "tcp"])
            .args(["-screen", "0", "1280x720x24"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut number = String::new();
        BufReader::new(server.stdout.take().unwrap())
            .read_line(&mut number)
            .unwrap();
        Self {
            server,
            name: format!(":{}", number.trim()),
        }
    }

    /// What is on it now.
    pub(crate) fn shot(&self) -> Shot {
        let dump = Command::new("xwd")
            .args(["-root", "-silent"])
            .env("DISPLAY", &self.name)
            .output()
            .unwrap();
        assert!(dump.status.success());
        Shot::parse(&dump.stdout)
    }

    /// Looks until it shows `what`; gives the screenshot that does.
    pub(crate) fn wait_for(&self, what: &str, shows: impl Fn(&Shot) -> bool) -> Shot {
        until(what, || Some(self.shot()).filter(&shows))
    }

    /// Gives the window the keyboard: there is no window manager to do it.
    pub(crate) fn focus(&self) {
        self.xdotool(&[
            "search",
            "--onlyvisible",
            "--name",
            "tunnelcast",
            "windowfocus",
            "--sync",
        ]);
    }

    /// Presses a key.
    pub(crate) fn key(&self, key: &str) {
        self.xdotool(&["key", key]);
    }

    fn xdotool(&self, arguments: &[&str]) {
        let status = Command::new("xdotool")
            .args(arguments)
            .env("DISPLAY", &self.name)
            .status()
            .unwrap();
        assert!(status.success(), "xdotool {arguments:?}");
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
