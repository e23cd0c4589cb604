//! The server's key and certificate: where they come from, and that they are read again.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::reload::{Files, Reload};
use crate::{
    capture,
    config::{IdentitySource, Serve},
    error::Error,
    trust::{Identity, TrustError},
};

/// Reads or makes them.
pub(super) fn load(source: &IdentitySource, names: &[String]) -> Result<Identity, TrustError> {
    match source {
        IdentitySource::Directory(dir) => Identity::load_or_create(dir, names),
        IdentitySource::Files { cert, key } => Identity::load(cert, key),
        IdentitySource::Fresh => Identity::fresh(),
    }
}

/// Looks at what a server would need to start, as far as that can be seen without starting anything: its key and
/// certificate, and the files that it would read. Nothing is made or changed.
///
/// # Errors
/// The first that is not as it must be.
pub fn check_config(config: &Serve) -> Result<(), Error> {
    match &config.identity {
        IdentitySource::Directory(dir) => Identity::check(dir)?,
        IdentitySource::Files { cert, key } => Identity::load(cert, key).map(drop)?,
        IdentitySource::Fresh => {}
    }
    Ok(capture::check_files(&config.video, &config.audio)?)
}

/// The files that it is in, if it is in any, as they are before they are read.
pub(super) fn files(source: &IdentitySource, reload: &Reload) -> Option<Files> {
    let paths = match source {
        IdentitySource::Directory(dir) => [dir.join("cert.pem"), dir.join("key.pem")],
        IdentitySource::Files { cert, key } => [cert.clone(), key.clone()],
        IdentitySource::Fresh => return None,
    };
    Some(reload.of(paths))
}

/// Keeps `identity` as the files have it until the server stops; our own certificate is renewed in time. Sessions that
/// stand are as they were.
pub(super) async fn keep(
    identity: Identity,
    (source, files): (IdentitySource, Option<Files>),
    names: Vec<String>,
    stop: CancellationToken,
) {
    let Some(mut files) = files else {
        return;
    };
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = files.changed(RENEW) => {}
        }
        let (source, names) = (source.clone(), names.clone());
        let read = tokio::task::spawn_blocking(move || again(&source, &names)).await;
        match read {
            Ok(Ok(new)) => {
                let (old, pin) = (identity.pin(), new.pin());
                if identity.adopt(&new) {
                    info!(%pin, "another certificate from now on");
                    if old != pin {
                        warn!(%pin, "THE KEY HAS CHANGED: links that were given out lead nowhere any more");
                    }
                }
            }
            Ok(Err(err)) => warn!(%err, "the certificate stays as it was"),
            Err(err) => warn!(%err, "the certificate could not be read again"),
        }
    }
}

/// Reads them again. A key that is gone is not made anew while links to it are about.
fn again(source: &IdentitySource, names: &[String]) -> Result<Identity, TrustError> {
    if let IdentitySource::Directory(dir) = source {
        let path = dir.join("key.pem");
        if !path.exists() {
            return Err(TrustError::Missing { path });
        }
    }
    load(source, names)
}

/// How often it is looked whether our own certificate is to be renewed.
const RENEW: Duration = Duration::from_secs(60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_certificate_that_changes_while_the_server_starts_is_shown_as_well() {
        let dir = tempfile::tempdir().unwrap();
        let source = IdentitySource::Directory(dir.path().to_path_buf());
        load(&source, &[]).unwrap();
        let files = files(&source, &Reload::default());
        let identity = load(&source, &[]).unwrap();
        let renewed = Identity::renew(dir.path(), &["cam.example.org".into()]).unwrap();
        let stop = CancellationToken::new();
        let keeping = keep(identity.clone(), (source, files), Vec::new(), stop.clone());
        let shown = async {
            while identity.names() != renewed.names() {
                tokio::task::yield_now().await;
            }
            stop.cancel();
        };
        let both = async { tokio::join!(keeping, shown) };
        tokio::time::timeout(Duration::from_secs(60), both)
            .await
            .unwrap();
    }
}
