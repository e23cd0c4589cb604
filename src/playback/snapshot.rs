//! The picture as a file, whole or not at all.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::file::{self, Access};

/// Why there is no snapshot. Playing goes on all the same.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// Nothing was shown yet.
    #[error("no snapshot: there is no picture yet")]
    NoPicture,
    /// The path names a directory, or nothing.
    #[error("no snapshot: {} is not the name of a file", path.display())]
    NoFile {
        /// As given.
        path: PathBuf,
    },
    /// The system would not.
    #[error("no snapshot: cannot write {}: {source}", path.display())]
    Write {
        /// As given.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Writes a picture, as [`Playback::picture`](super::Playback::picture) gives it, to `path`, whole or not at all. Waits
/// for the disk.
///
/// # Errors
/// The path names no file, or the system would not.
pub fn write_snapshot(path: &Path, jpeg: &[u8]) -> Result<(), SnapshotError> {
    if path.file_name().is_none() || path.is_dir() {
        return Err(SnapshotError::NoFile { path: path.into() });
    }
    file::replace(path, jpeg, Access::Public).map_err(|source| SnapshotError::Write {
        path: path.into(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_replaces_the_old_one_and_leaves_nothing_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("shot.jpg");
        write_snapshot(&path, b"old").unwrap();
        write_snapshot(&path, b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_missing_directory_is_a_clear_error() {
        let dir = tempfile::tempdir().unwrap();
        let error = write_snapshot(&dir.path().join("none/shot.jpg"), b"x").unwrap_err();
        assert!(
            error.to_string().contains("none/shot.jpg: No such file"),
            "{error}"
        );
        let error = write_snapshot(dir.path(), b"x").unwrap_err();
        assert!(matches!(error, SnapshotError::NoFile { .. }));
    }
}
