//! Files that are read again while the server runs: when they change, and when somebody says so (SIGHUP).

use std::{path::PathBuf, time::Duration};

use tokio::{sync::watch, time};

use crate::trust::Stamp;

/// Says to everybody who keeps something from a file: look again. A handle.
#[derive(Clone, Debug, Default)]
pub(super) struct Reload(watch::Sender<u64>);

impl Reload {
    /// Says it.
    pub(super) fn now(&self) {
        self.0.send_modify(|times| *times += 1);
    }

    /// For somebody who looks at his files himself: changes when it is said.
    pub(super) fn said(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }

    /// For somebody who keeps what is in these files, and is about to read them.
    pub(super) fn of(&self, files: impl IntoIterator<Item = PathBuf>) -> Files {
        Files {
            files: files
                .into_iter()
                .map(|path| (Stamp::of(&path), path))
                .collect(),
            said: self.said(),
        }
    }
}

/// What is kept in memory of some files, as far as it is known when to read them again.
#[derive(Debug)]
pub(super) struct Files {
    files: Vec<(Option<Stamp>, PathBuf)>,
    said: watch::Receiver<u64>,
}

impl Files {
    /// Resolves when they are to be read again: one has changed, and that a look ago already, so that whoever writes
    /// several has time for it; or somebody says so; or `most` is over. Cancel-safe.
    pub(super) async fn changed(&mut self, most: Duration) {
        let timeout = time::sleep(most);
        tokio::pin!(timeout);
        loop {
            tokio::select! {
                () = &mut timeout => break,
                said = self.said.changed() => match said {
                    Ok(()) => break,
                    // Nobody can say it any more, but files change all the same.
                    Err(_) => time::sleep(LOOK).await,
                },
                () = time::sleep(LOOK) => {}
            }
            if self.look() {
                time::sleep(LOOK).await;
                self.look();
                return;
            }
        }
        self.look();
    }

    /// Whether any is another than at the last look.
    fn look(&mut self) -> bool {
        let mut changed = false;
        for (stamp, path) in &mut self.files {
            let now = Stamp::of(path);
            changed |= now != *stamp;
            *stamp = now;
        }
        changed
    }
}

/// Between two looks at the files.
const LOOK: Duration = Duration::from_millis(400);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_that_is_written_replaced_or_gone_has_changed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let reload = Reload::default();
        let mut files = reload.of([path.clone()]);
        for change in 0..4 {
            match change {
                0 => std::fs::write(&path, "one").unwrap(),
                1 => std::fs::write(&path, "two, longer").unwrap(),
                2 => {
                    std::fs::write(dir.path().join("new"), "two, longer").unwrap();
                    std::fs::rename(dir.path().join("new"), &path).unwrap();
                }
                _ => std::fs::remove_file(&path).unwrap(),
            }
            let changed = files.changed(Duration::from_secs(3600));
            time::timeout(Duration::from_secs(60), changed)
                .await
                .unwrap();
        }
    }

    #[tokio::test]
    async fn files_are_read_again_when_somebody_says_so_and_after_a_while_anyhow() {
        let reload = Reload::default();
        let mut files = reload.of([PathBuf::from("/there/is/none")]);
        reload.now();
        files.changed(Duration::from_secs(3600)).await;
        files.changed(Duration::from_millis(10)).await;
    }
}
