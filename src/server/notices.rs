//! What a person may want to know is said for as long as he reads it.

use std::sync::Arc;

use tokio::sync::mpsc;
use tracing::warn;

use super::Notice;
use crate::transport::Seldom;

/// Where notices go. A handle.
#[derive(Clone, Debug)]
pub(super) struct Notices {
    to: mpsc::Sender<Notice>,
    left_out: Arc<Seldom>,
}

impl Notices {
    /// And where they come out.
    pub(super) fn new() -> (Self, mpsc::Receiver<Notice>) {
        let (to, told) = mpsc::channel(MOST);
        let left_out = Arc::default();
        (Self { to, left_out }, told)
    }

    /// Leaves it out where nobody reads; strangers who come and go cause many.
    pub(super) fn tell(&self, notice: Notice) {
        if self.to.try_send(notice).is_err()
            && let Some(times) = self.left_out.now()
        {
            warn!(times, "a notice was left out");
        }
    }
}

const MOST: usize = 256;
