//! Whether a file can be played, found out before anybody watches.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{PICTURE, SOUND};
use crate::capture::ffmpeg::{Process, SpawnError, Words, reading};
use crate::capture::{Track, Tracks};

/// Why a file cannot be played.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// No such file.
    #[error("there is no file '{}'; check the path", .0.display())]
    Missing(PathBuf),
    /// A directory.
    #[error("'{}' is a directory; name a file in it", .0.display())]
    Directory(PathBuf),
    /// No bytes.
    #[error("'{}' is empty (0 bytes)", .0.display())]
    Empty(PathBuf),
    /// The system refuses.
    #[error("cannot read '{}': {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// ffmpeg is not installed.
    #[error(
        "playing a file takes ffmpeg, which is not installed; try `apt install ffmpeg`, `dnf install ffmpeg-free`, `pacman -S ffmpeg` or `brew install ffmpeg`"
    )]
    NoFfmpeg,
    /// ffmpeg is there and does not start.
    #[error("cannot start ffmpeg: {0}")]
    Ffmpeg(#[source] io::Error),
    /// Something else than video and sound.
    #[error("'{}' is no video or sound that ffmpeg reads ({cause})", path.display())]
    NotMedia {
        /// The file.
        path: PathBuf,
        /// ffmpeg's word.
        cause: String,
    },
    /// A known kind of file of which not enough is there.
    #[error("'{}' is cut short or damaged ({cause}); copy or record it again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// ffmpeg's word.
        cause: String,
    },
    /// No picture.
    #[error("'{}' has no picture in it; for its sound alone, give it as --audio file:PATH --video none", .0.display())]
    NoPicture(PathBuf),
    /// No sound.
    #[error("'{}' has no sound in it", .0.display())]
    NoSound(PathBuf),
    /// ffmpeg hangs on it.
    #[error("ffmpeg found nothing to play in '{}' within {} s", .0.display(), PATIENCE.as_secs())]
    Slow(PathBuf),
}

/// For finding the first picture or sound.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whether the file's picture can be played, and whether it has sound too.
pub(in crate::capture) fn check_video(path: &Path) -> Result<Tracks, FileError> {
    look(path)?;
    probe(path, Track::Video)?;
    let audio = match probe(path, Track::Sound) {
        Ok(()) => true,
        Err(error) => {
            tracing::debug!(%error, "no sound of its own");
            false
        }
    };
    Ok(Tracks { video: true, audio })
}

/// Whether the file's sound can be played.
pub(in crate::capture) fn check_audio(path: &Path) -> Result<(), FileError> {
    look(path)?;
    probe(path, Track::Sound)
}

/// What can be said without ffmpeg.
pub(in crate::capture) fn look(path: &Path) -> Result<(), FileError> {
    let unreadable = |source: io::Error| {
        let path = path.to_owned();
        if source.kind() == io::ErrorKind::NotFound {
            FileError::Missing(path)
        } else {
            FileError::Unreadable { path, source }
        }
    };
    let data = fs::metadata(path).map_err(unreadable)?;
    if data.is_dir() {
        return Err(FileError::Directory(path.to_owned()));
    }
    if data.is_file() {
        if data.len() == 0 {
            return Err(FileError::Empty(path.to_owned()));
        }
        fs::File::open(path).map_err(unreadable)?;
    }
    Ok(())
}

/// Lets ffmpeg decode one picture or some sound.
fn probe(path: &Path, track: Track) -> Result<(), FileError> {
    let mut command = reading(path, &[]);
    match track {
        Track::Video => command.args(["-map", PICTURE, "-frames:v", "1"]),
        Track::Sound => command.args(["-map", SOUND, "-frames:a", "1"]),
    };
    command.args(["-f", "null", "-"]);
    let ended = Process::run(&mut command, PATIENCE).map_err(|error| match error {
        SpawnError::Missing => FileError::NoFfmpeg,
        SpawnError::Failed(error) => FileError::Ffmpeg(error),
    })?;
    match ended {
        None => Err(FileError::Slow(path.to_owned())),
        Some((status, _)) if status.success() => Ok(()),
        Some((_, words)) => Err(blame(path, track, &words)),
    }
}

fn blame(path: &Path, track: Track, words: &Words) -> FileError {
    let path = path.to_owned();
    if words.contain("matches no streams") {
        return match track {
            Track::Video => FileError::NoPicture(path),
            Track::Sound => FileError::NoSound(path),
        };
    }
    let cause = format!("ffmpeg: {}", words.cause());
    if begins_as_media(&path) {
        FileError::Damaged { path, cause }
    } else {
        FileError::NotMedia { path, cause }
    }
}

/// Whether the first bytes are those of a common container: then a failure means damage.
fn begins_as_media(path: &Path) -> bool {
    let mut start = [0; 12];
    let read = fs::File::open(path).and_then(|mut file| file.read_exact(&mut start));
    read.is_ok()
        && (&start[4..8] == b"ftyp"
            || start.starts_with(&[0x1A, 0x45, 0xDF, 0xA3])
            || (start.starts_with(b"RIFF") && [&b"AVI "[..], b"WAVE"].contains(&&start[8..]))
            || start.starts_with(b"OggS"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_said_without_ffmpeg_is() {
        let dir = tempfile::tempdir().unwrap();
        let empty = dir.path().join("empty.mp4");
        fs::write(&empty, "").unwrap();
        assert!(matches!(look(&empty), Err(FileError::Empty(_))));
        assert!(matches!(look(dir.path()), Err(FileError::Directory(_))));
        let missing = dir.path().join("missing.mp4");
        let error = look(&missing).unwrap_err();
        assert!(matches!(error, FileError::Missing(_)));
        assert!(error.to_string().contains("missing.mp4"));
    }

    #[test]
    fn files_that_begin_like_media_are_damaged_rather_than_unknown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        for (start, media) in [
            (&b"\0\0\0\x20ftypisom"[..], true),
            (b"\x1A\x45\xDF\xA3\x01\0\0\0\0\0\0\0", true),
            (b"RIFF\0\0\0\0AVI ", true),
            (b"RIFF\0\0\0\0sfbk", false),
            (b"hello, world", false),
            (b"short", false),
        ] {
            fs::write(&path, start).unwrap();
            assert_eq!(begins_as_media(&path), media);
        }
    }
}
