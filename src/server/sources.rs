//! A source before it is opened: what it has, and whether it turns out to be none.

use std::{future::pending, io, sync::Arc};

use tokio::sync::oneshot;

use crate::{
    capture::{self, AudioSpec, CaptureError, PipeEnd, VideoSpec},
    error::Error,
    media::Tracks,
};

/// A source that was looked at.
#[derive(Debug)]
pub(crate) struct Sources {
    pub(crate) tracks: Tracks,
    pub(crate) keeper: Arc<capture::Keeper>,
    failed: oneshot::Receiver<CaptureError>,
}

impl Sources {
    /// Looks whether the source can be opened, which may start programs and devices, and begins to read what cannot be
    /// opened twice.
    ///
    /// # Errors
    /// It cannot.
    pub(crate) async fn look(video: &VideoSpec, audio: &AudioSpec) -> Result<Self, Error> {
        let keeper = Arc::new(capture::Keeper::default());
        let (picture, sound) = (video.clone(), audio.clone());
        let checked = tokio::task::spawn_blocking(move || capture::check(&picture, &sound)).await;
        let tracks = checked.map_err(|err| Error::Runtime(io::Error::other(err)))??;
        let (fail, failed) = oneshot::channel();
        let on_end = Box::new(move |end| {
            if let PipeEnd::Failed(err) = end {
                // Where nobody waits any more nobody need be told.
                let _gone = fail.send(err);
            }
        });
        keeper.listen(video, audio, on_end)?;
        Ok(Self {
            tracks,
            keeper,
            failed,
        })
    }

    /// Resolves when the source turns out to be none, with the reason: standard input that holds no pictures.
    ///
    /// May be dropped and asked again.
    pub(crate) async fn failed(&mut self) -> CaptureError {
        // Asked again after the sender is gone, the channel would panic.
        if !self.failed.is_terminated()
            && let Ok(err) = (&mut self.failed).await
        {
            return err;
        }
        pending().await
    }
}
