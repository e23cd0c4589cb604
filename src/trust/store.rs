//! Small files that must be whole or not there, and private where they hold a key.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use super::TrustError;
use crate::file::{self, Access, Created};

/// The whole file, `None` if there is none; an error beyond [`LIMIT`] bytes.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, TrustError> {
    let failed = |source| TrustError::Read {
        path: path.to_path_buf(),
        source,
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut bytes = Vec::new();
    file.take(LIMIT + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > LIMIT {
        return Err(TrustError::TooLong {
            path: path.to_path_buf(),
            limit: LIMIT,
        });
    }
    Ok(Some(bytes))
}

/// Makes a directory and those above it, open to their owner alone where they are new; inside somebody else's, root makes
/// it for him.
pub(super) fn private_dir(path: &Path) -> Result<(), TrustError> {
    let is_new = !path.exists();
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    let made = builder.create(path).and_then(|()| match is_new {
        true => file::hand_over_dir(path),
        false => Ok(()),
    });
    made.map_err(|source| TrustError::Write {
        path: path.to_path_buf(),
        source,
    })
}

/// Creates `path`, whole at once, unless it exists.
pub(super) fn create(path: &Path, bytes: &[u8], access: Access) -> Result<Created, TrustError> {
    file::create(path, bytes, access).map_err(|source| TrustError::Write {
        path: path.to_path_buf(),
        source,
    })
}

/// Replaces `path`, whole at once.
pub(super) fn replace(path: &Path, bytes: &[u8], access: Access) -> Result<(), TrustError> {
    // Whoever keeps the file elsewhere behind a symbolic link keeps the link; but nobody leads root astray by one.
    let target = match file::other_owner(path) {
        None => fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf()),
        Some(_) => path.to_path_buf(),
    };
    file::replace(&target, bytes, access).map_err(|source| TrustError::Write {
        path: path.to_path_buf(),
        source,
    })
}

/// The permission bits that let others than the owner at the file; always none where there are no such bits.
pub(super) fn exposure(path: &Path) -> Result<u32, TrustError> {
    #[cfg(unix)]
    {
        let meta = fs::metadata(path).map_err(|source| TrustError::Read {
            path: path.to_path_buf(),
            source,
        })?;
        Ok(std::os::unix::fs::PermissionsExt::mode(&meta.permissions()) & 0o077)
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        Ok(0)
    }
}

/// For whom a key is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// For us, who prove it.
    Ours,
    /// For the owner of its directory, where root looks after it for him.
    Served,
}

/// Fails if somebody else than us, or the administrator, owns the file, who could put another in its place at any time.
pub(super) fn is_owned(path: &Path, whose: Whose) -> Result<(), TrustError> {
    #[cfg(unix)]
    {
        let meta = fs::metadata(path).map_err(|source| TrustError::Read {
            path: path.to_path_buf(),
            source,
        })?;
        let owner = std::os::unix::fs::MetadataExt::uid(&meta);
        let served = whose == Whose::Served
            && file::other_owner(path).is_some_and(|(user, _)| user == owner);
        if !served && !owns(owner, rustix::process::geteuid().as_raw()) {
            return Err(TrustError::KeyOwner {
                path: path.to_path_buf(),
                owner,
            });
        }
    }
    #[cfg(not(unix))]
    let _ = (path, whose);
    Ok(())
}

#[cfg(unix)]
const fn owns(owner: u32, we: u32) -> bool {
    owner == we || owner == 0
}

/// The most bytes of a certificate chain, a key or a list of servers.
const LIMIT: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_its_owners_alone_and_a_link_to_it_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        create(&path, b"one", Access::Private).unwrap();
        assert_eq!(read(&path).unwrap().as_deref(), Some(&b"one"[..]));
        assert_eq!(exposure(&path).unwrap(), 0);
        #[cfg(unix)]
        {
            let link = dir.path().join("link");
            std::os::unix::fs::symlink(&path, &link).unwrap();
            replace(&link, b"two", Access::Private).unwrap();
            assert!(link.is_symlink());
            assert_eq!(read(&path).unwrap().as_deref(), Some(&b"two"[..]));
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_key_is_ours_or_the_administrator_s() {
        assert!(owns(1000, 1000) && owns(0, 1000) && owns(0, 0));
        assert!(!owns(1001, 1000) && !owns(1000, 0));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        create(&path, b"one", Access::Private).unwrap();
        is_owned(&path, Whose::Ours).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn root_looks_after_somebody_s_key_and_does_not_use_it() {
        use std::os::unix::fs::{MetadataExt as _, chown};

        let dir = tempfile::tempdir().unwrap();
        if chown(dir.path(), Some(4711), Some(4712)).is_err() {
            println!("skipped: only root can give a directory away");
            return;
        }
        let (certs, key) = (dir.path().join("certs"), dir.path().join("certs/key"));
        private_dir(&certs).unwrap();
        let meta = fs::metadata(&certs).unwrap();
        assert_eq!((meta.uid(), meta.gid()), (4711, 4712));
        create(&key, b"one", Access::Private).unwrap();
        is_owned(&key, Whose::Served).unwrap();
        assert!(is_owned(&key, Whose::Ours).is_err());
        chown(&key, Some(4713), None).unwrap();
        assert!(is_owned(&key, Whose::Served).is_err(), "a third one's");
    }

    #[cfg(unix)]
    #[test]
    fn root_follows_no_link_in_somebody_s_directory() {
        let dir = tempfile::tempdir().unwrap();
        let (theirs, elsewhere) = (dir.path().join("theirs"), dir.path().join("passwd"));
        fs::create_dir(&theirs).unwrap();
        if std::os::unix::fs::chown(&theirs, Some(4711), None).is_err() {
            println!("skipped: only root can give a directory away");
            return;
        }
        fs::write(&elsewhere, "precious").unwrap();
        let link = theirs.join("cert.pem");
        std::os::unix::fs::symlink(&elsewhere, &link).unwrap();
        replace(&link, b"new", Access::Public).unwrap();
        assert_eq!(fs::read(&elsewhere).unwrap(), b"precious");
        assert_eq!(fs::read(&link).unwrap(), b"new");
    }

    #[test]
    fn endless_files_are_not_read() {
        assert!(matches!(
            read(Path::new("/dev/zero")),
            Err(TrustError::TooLong { .. }) | Ok(None)
        ));
    }
}
