//! Small files that must be whole or not there, written so that nobody can be led astray: under a random name that did
//! not exist, and then moved to their place.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Who may read a file that is written here.
///
/// Where root writes into somebody else's directory, the file is his: whoever looks after a service shall not lock it
/// out of its own files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Its owner alone.
    Private,
    /// We alone, in whosever directory.
    Own,
    /// Everybody, as far as the umask lets them.
    Public,
}

/// What became of an attempt to create a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Created {
    /// It is there now, as given.
    New,
    /// Somebody else was first: read theirs.
    Existed,
}

/// Creates `path`, whole at once, unless it exists.
pub(crate) fn create(path: &Path, bytes: &[u8], access: Access) -> io::Result<Created> {
    let temporary = Temporary::write(path, bytes, access)?;
    // A hard link never replaces, so of two programs that start together both end up with the same file.
    match fs::hard_link(&temporary.0, path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(Created::Existed),
        // A file system without hard links.
        Err(_) => fs::rename(&temporary.0, path)?,
    }
    sync_parent(path);
    Ok(Created::New)
}

/// Replaces `path`, whole at once. A symbolic link there is replaced, not followed.
pub(crate) fn replace(path: &Path, bytes: &[u8], access: Access) -> io::Result<()> {
    let temporary = Temporary::write(path, bytes, access)?;
    fs::rename(&temporary.0, path)?;
    sync_parent(path);
    Ok(())
}

/// A file beside its destination, gone when dropped.
struct Temporary(PathBuf);

impl Temporary {
    fn write(beside: &Path, bytes: &[u8], access: Access) -> io::Result<Self> {
        let mut random = [0; 8];
        aws_lc_rs::rand::fill(&mut random).map_err(|_| io::Error::other("no random numbers"))?;
        let mut name = OsString::from(".");
        name.push(beside.file_name().unwrap_or_default());
        name.push(format!(".{:016x}", u64::from_ne_bytes(random)));
        let path = beside.with_file_name(name);

        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(
            &mut options,
            match access {
                Access::Private | Access::Own => 0o600,
                Access::Public => 0o644,
            },
        );
        #[cfg(not(unix))]
        let _ = access;
        let file = options.open(&path)?;
        let temporary = Self(path);
        if access != Access::Own {
            hand_over(&file, beside);
        }
        fill(file, bytes)?;
        Ok(temporary)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // Already renamed, or nobody to tell: the name is never used again.
        let _ = fs::remove_file(&self.0);
    }
}

/// Whose directory the file is in, if we are root and it is somebody else's.
#[cfg(unix)]
pub(crate) fn other_owner(path: &Path) -> Option<(u32, u32)> {
    use std::os::unix::fs::MetadataExt as _;

    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let directory = fs::metadata(directory(path)).ok()?;
    (directory.uid() != 0).then(|| (directory.uid(), directory.gid()))
}

#[cfg(not(unix))]
pub(crate) const fn other_owner(_: &Path) -> Option<(u32, u32)> {
    None
}

/// Gives a file that we have just made at `path` to whom its directory belongs.
pub(crate) fn hand_over(file: &File, path: &Path) {
    #[cfg(unix)]
    if let Some((user, group)) = other_owner(path)
        && let Err(error) = std::os::unix::fs::fchown(file, Some(user), Some(group))
    {
        // Some file systems know one owner alone, who then has it anyhow.
        tracing::warn!(%error, path = %path.display(), "the file is root's, not its directory's owner's");
    }
    #[cfg(not(unix))]
    let _ = (file, path);
}

/// The same for a directory.
pub(crate) fn hand_over_dir(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    if let Some((user, group)) = other_owner(path) {
        std::os::unix::fs::lchown(path, Some(user), Some(group))?;
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

fn directory(path: &Path) -> &Path {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or_else(|| Path::new("."))
}

/// What changes when a file is written, or another is put in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    /// Of the file, and when anything of it was changed last, where there are such numbers.
    number: u64,
    changed: (i64, i64),
}

impl Stamp {
    /// Of the file that is there now; `None` if there is none.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let meta = fs::metadata(path).ok()?;
        #[cfg(unix)]
        let (number, changed) = {
            use std::os::unix::fs::MetadataExt as _;
            (meta.ino(), (meta.ctime(), meta.ctime_nsec()))
        };
        #[cfg(not(unix))]
        let (number, changed) = (0, (0, 0));
        Some(Self {
            modified: meta.modified().ok(),
            length: meta.len(),
            number,
            changed,
        })
    }
}

fn fill(mut file: File, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)?;
    // A full disk may only be noticed now.
    file.sync_all()
}

fn sync_parent(path: &Path) {
    // Only makes the new name survive a power cut; not every system can open a directory.
    if let Ok(directory) = File::open(directory(path)) {
        let _ = directory.sync_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_to_create_wins_and_nothing_is_left_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let create = |bytes| create(&path, bytes, Access::Private).unwrap();
        assert_eq!(create(b"one"), Created::New);
        assert_eq!(create(b"two"), Created::Existed);
        assert_eq!(fs::read(&path).unwrap(), b"one");
        replace(&path, b"three", Access::Private).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"three");
        assert!(replace(&dir.path().join("none/key"), b"", Access::Public).is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn a_symbolic_link_leads_nobody_astray() {
        let dir = tempfile::tempdir().unwrap();
        let (victim, path) = (dir.path().join("victim"), dir.path().join("shot.jpg"));
        fs::write(&victim, b"precious").unwrap();
        std::os::unix::fs::symlink(&victim, &path).unwrap();
        replace(&path, b"new", Access::Public).unwrap();
        assert_eq!(fs::read(&victim).unwrap(), b"precious");
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert!(!path.is_symlink());
    }

    #[cfg(unix)]
    #[test]
    fn what_root_writes_into_somebody_s_directory_is_his() {
        use std::os::unix::fs::{MetadataExt as _, chown};

        let dir = tempfile::tempdir().unwrap();
        let (path, key) = (dir.path().join("tokens"), dir.path().join("key"));
        if chown(dir.path(), Some(4711), Some(4712)).is_err() {
            println!("skipped: only root can give a directory away");
            return;
        }
        replace(&path, b"new", Access::Private).unwrap();
        create(&key, b"secret", Access::Own).unwrap();
        let owner = |path| {
            let meta = fs::metadata(path).unwrap();
            (meta.uid(), meta.gid(), meta.mode() & 0o777)
        };
        assert_eq!(owner(&path), (4711, 4712, 0o600));
        assert_eq!((owner(&key).0, owner(&key).2), (0, 0o600));
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_was_written_to_the_same_length_and_dated_back_has_another_stamp() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cert");
        fs::write(&path, b"one").unwrap();
        let first = Stamp::of(&path).unwrap();
        // The kernel's clock may tick slowly.
        loop {
            let file = OpenOptions::new().write(true).open(&path).unwrap();
            (&file).write_all(b"two").unwrap();
            file.set_modified(first.modified.unwrap()).unwrap();
            if Stamp::of(&path).unwrap() != first {
                break;
            }
        }
        let second = Stamp::of(&path).unwrap();
        assert_eq!(
            (second.modified, second.length, second.number),
            (first.modified, 3, first.number)
        );
        assert_eq!(Stamp::of(&dir.path().join("none")), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_an_error() {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        assert_eq!(
            fill(full, &[0; 9]).unwrap_err().kind(),
            io::ErrorKind::StorageFull
        );
    }
}
