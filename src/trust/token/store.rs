//! Where a server keeps its tokens: a directory of its own, with files that nobody else reads.
//!
//! | file | what |
//! |---|---|
//! | `tokens.json` | every [`Token`](super::Token): id, stored key, role, pattern, end, limits; no secret |
//! | `links.json` | the owner's own copy of the secrets of the links that `serve` prints; the server needs it for nothing else |
//! | `lock` | empty; whoever changes the tokens holds a lock on it |
//!
//! Both are replaced whole (written beside, synchronised, renamed), so that a reader sees the old one or the new one.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Secret, Tokens};
use crate::file::{self, Access, Stamp};
use crate::trust::{TrustError, store};

/// The directory in which a server keeps its tokens.
#[derive(Clone, Debug)]
pub struct TokenStore {
    dir: PathBuf,
}

/// The secrets of the links that `serve` prints, as their owner keeps them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnLinks {
    /// To watch.
    pub watch: Option<Secret>,
    /// To publish.
    pub publish: Option<Secret>,
}

#[derive(Serialize, Deserialize)]
struct LinksFile {
    #[serde(skip_serializing_if = "Option::is_none")]
    watch: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    publish: Option<String>,
}

impl TokenStore {
    /// In this directory, which need not be there yet.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// The file with the tokens.
    pub fn path(&self) -> PathBuf {
        self.dir.join("tokens.json")
    }

    /// The tokens; `None` if there were never any.
    ///
    /// # Errors
    /// The file cannot be read, is damaged, or others may read it.
    pub fn read(&self) -> Result<Option<Tokens>, TrustError> {
        let path = self.path();
        let Some(text) = private(&path)? else {
            return Ok(None);
        };
        let tokens = Tokens::from_json(&text);
        tokens
            .map(Some)
            .map_err(|why| TrustError::BadTokens { path, why })
    }

    /// Changes the tokens, while nobody else does; what `change` gives. Nothing is written where it gives an error.
    ///
    /// # Errors
    /// As [`read`](Self::read), or the files cannot be written.
    pub fn change<T>(
        &self,
        change: impl FnOnce(&mut Tokens) -> Result<T, TrustError>,
    ) -> Result<T, TrustError> {
        let _lock = self.lock()?;
        let mut tokens = self.read()?.unwrap_or_default();
        let done = change(&mut tokens)?;
        store::replace(&self.path(), &tokens.to_json(), Access::Private)?;
        Ok(done)
    }

    /// Which version of the file there is; `None` if there is none.
    pub fn stamp(&self) -> Option<Stamp> {
        Stamp::of(&self.path())
    }

    /// The owner's own copy of the secrets that `serve` prints; none where it is not there.
    ///
    /// # Errors
    /// The file cannot be read, is damaged, or others may read it.
    pub fn own_links(&self) -> Result<OwnLinks, TrustError> {
        let path = self.links_path();
        let Some(text) = private(&path)? else {
            return Ok(OwnLinks::default());
        };
        let bad = |why: String| TrustError::BadTokens {
            path: path.clone(),
            why,
        };
        let file: LinksFile =
            serde_json::from_slice(&text).map_err(|error| bad(error.to_string()))?;
        let secret = |text: Option<String>| {
            let parsed = text.map(|text| text.parse::<Secret>()).transpose();
            parsed.map_err(|error| bad(error.to_string()))
        };
        Ok(OwnLinks {
            watch: secret(file.watch)?,
            publish: secret(file.publish)?,
        })
    }

    /// Writes that copy.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn keep_links(&self, links: &OwnLinks) -> Result<(), TrustError> {
        let file = LinksFile {
            watch: links.watch.as_ref().map(Secret::to_string),
            publish: links.publish.as_ref().map(Secret::to_string),
        };
        let mut text = serde_json::to_vec_pretty(&file).unwrap_or_default();
        text.push(b'\n');
        store::private_dir(&self.dir)?;
        store::replace(&self.links_path(), &text, Access::Private)
    }

    fn links_path(&self) -> PathBuf {
        self.dir.join("links.json")
    }

    /// Held until it is dropped; the system takes it from who dies.
    fn lock(&self) -> Result<File, TrustError> {
        store::private_dir(&self.dir)?;
        let path = self.dir.join("lock");
        let failed = |source| TrustError::Write {
            path: path.clone(),
            source,
        };
        let mut options = fs::OpenOptions::new();
        options.write(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = match options.clone().create_new(true).open(&path) {
            Ok(file) => {
                file::hand_over(&file, &path);
                file
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                options.open(&path).map_err(failed)?
            }
            Err(error) => return Err(failed(error)),
        };
        file.lock().map_err(failed)?;
        Ok(file)
    }
}

/// The whole file, `None` if there is none; an error where others may read or write it.
fn private(path: &Path) -> Result<Option<Vec<u8>>, TrustError> {
    let Some(text) = store::read(path)? else {
        return Ok(None);
    };
    match store::exposure(path)? {
        0 => Ok(Some(text)),
        mode => Err(TrustError::TokensExposed {
            path: path.to_path_buf(),
            mode: mode | 0o600,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::Role;
    use crate::trust::Token;

    fn token() -> (Secret, Token) {
        let secret = Secret::fresh().unwrap();
        let token = Token::new(&secret, Role::Watch, 1);
        (secret, token)
    }

    #[test]
    fn two_writers_at_once_lose_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = TokenStore::new(dir.path().join("state"));
        assert!(store.read().unwrap().is_none());
        assert!(store.stamp().is_none());
        let writer = || {
            let store = store.clone();
            std::thread::scope(|_| {
                for _ in 0..20 {
                    let (_, token) = token();
                    assert!(store.change(|tokens| Ok(tokens.add(token))).unwrap());
                }
            });
        };
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(writer);
            }
        });
        assert_eq!(store.read().unwrap().unwrap().iter().count(), 40);
    }

    #[test]
    fn every_change_is_seen_by_its_stamp() {
        let dir = tempfile::tempdir().unwrap();
        let store = TokenStore::new(dir.path());
        let mut last = store.stamp();
        for _ in 0..5 {
            store.change(|tokens| Ok(tokens.add(token().1))).unwrap();
            let now = store.stamp();
            assert_ne!(now, last);
            last = now;
        }
        assert_eq!(store.stamp(), last);
    }

    #[cfg(unix)]
    #[test]
    fn what_root_revokes_its_owner_can_still_read_and_change() {
        use std::os::unix::fs::{MetadataExt as _, chown};
        let dir = tempfile::tempdir().unwrap();
        if chown(dir.path(), Some(4711), Some(4711)).is_err() {
            println!("skipped: only root can give a directory away");
            return;
        }
        let store = TokenStore::new(dir.path().join("state"));
        store.change(|tokens| Ok(tokens.add(token().1))).unwrap();
        store.keep_links(&OwnLinks::default()).unwrap();
        for name in ["", "tokens.json", "links.json", "lock"] {
            let meta = fs::metadata(dir.path().join("state").join(name)).unwrap();
            assert_eq!((meta.uid(), meta.mode() & 0o077), (4711, 0), "{name}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn the_files_are_their_owners_alone_or_are_not_read() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let store = TokenStore::new(dir.path().join("state"));
        let (secret, token) = token();
        store.change(|tokens| Ok(tokens.add(token))).unwrap();
        let links = OwnLinks {
            watch: Some(secret),
            publish: None,
        };
        store.keep_links(&links).unwrap();
        assert_eq!(store.own_links().unwrap(), links);
        for path in [store.path(), store.links_path()] {
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        }
        let exposed = |error| matches!(error, TrustError::TokensExposed { mode: 0o640, .. });
        assert!(exposed(store.read().unwrap_err()));
        assert!(exposed(store.own_links().unwrap_err()));
        assert!(exposed(store.change(|_| Ok(())).unwrap_err()));
    }
}
