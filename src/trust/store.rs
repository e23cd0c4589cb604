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

/// Makes a directory and those above it, open to their owner alone where they are new.
pub(super) fn private_dir(path: &Path) -> Result<(), TrustError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|source| TrustError::Write {
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
    // Whoever keeps the file elsewhere behind a symbolic link keeps the link.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
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

/// Fails if somebody else than us, or the administrator, owns the file, who could put another in its place at any time.
pub(super) fn is_ours(path: &Path) -> Result<(), TrustError> {
    #[cfg(unix)]
    {
        let meta = fs::metadata(path).map_err(|source| TrustError::Read {
            path: path.to_path_buf(),
            source,
        })?;
        let owner = std::os::unix::fs::MetadataExt::uid(&meta);
        if !owns(owner, rustix::process::geteuid().as_raw()) {
            return Err(TrustError::KeyOwner {
                path: path.to_path_buf(),
                owner,
            });
        }
    }
    #[cfg(not(unix))]
    let _ = path;
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
        is_ours(&path).unwrap();
    }

    #[test]
    fn endless_files_are_not_read() {
        assert!(matches!(
            read(Path::new("/dev/zero")),
            Err(TrustError::TooLong { .. }) | Ok(None)
        ));
    }
}
