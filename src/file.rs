//! Small files that must be whole or not there, written so that nobody can be led astray: under a random name that did
//! not exist, and then moved to their place.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Who may read a file that is written here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Its owner alone.
    Private,
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
                Access::Private => 0o600,
                Access::Public => 0o644,
            },
        );
        #[cfg(not(unix))]
        let _ = access;
        let file = options.open(&path)?;
        let temporary = Self(path);
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

fn fill(mut file: File, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)?;
    // A full disk may only be noticed now.
    file.sync_all()
}

fn sync_parent(path: &Path) {
    // Only makes the new name survive a power cut; not every system can open a directory.
    if let Some(directory) = path.parent().and_then(|parent| File::open(parent).ok()) {
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
