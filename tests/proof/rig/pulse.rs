//! A sound server of our own: speaker `vspk`, microphone `vmic`, and nothing of this machine's.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// Gone when dropped.
pub(crate) struct Pulse {
    dir: TempDir,
}

impl Pulse {
    pub(crate) fn start() -> Self {
        let pulse = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rigs/sound/pulse-up.sh");
        let up = pulse
            .command("sh")
            .arg(script)
            .stdout(Stdio::null())
            .status();
        assert!(up.unwrap().success(), "the sound server does not start");
        pulse
    }

    /// A program that hears and plays here.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        self.dress(&mut command);
        command
    }

    pub(super) fn dress(&self, command: &mut Command) {
        let socket = self.path("pulse/native");
        command
            .env("XDG_RUNTIME_DIR", self.dir.path())
            .env("HOME", self.dir.path())
            .env("PULSE_SERVER", format!("unix:{}", socket.display()));
    }

    /// A file that goes with it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        let _ = self
            .command("pactl")
            .arg("exit")
            .stderr(Stdio::null())
            .status();
    }
}
