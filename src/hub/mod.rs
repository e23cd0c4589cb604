//! Streams by name: what each has made lately, who watches, and whether anybody does.
//!
//! A [`Stream`] is shared by the thread that fills it and by every viewer; a [`Subscription`] is one viewer's share of
//! it. The count of subscriptions is the demand by which a source is opened and closed. Each subscription wants the
//! picture at one step of the stream's [`Ladder`], and so at one level, or two while it moves; by that a level is made
//! or not.

mod ladder;
mod stream;
mod subscription;
mod view;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

pub use ladder::{Ladder, Step};
pub use stream::{Filler, Status, Stream};
pub use subscription::Subscription;

/// The streams of a server, by name.
#[derive(Debug, Default)]
pub struct Hub {
    streams: RwLock<BTreeMap<String, Arc<Stream>>>,
    changes: AtomicU64,
}

impl Hub {
    /// A hub without streams.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a stream; one of the same name is replaced.
    pub fn insert(&self, stream: Arc<Stream>) {
        self.streams
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(stream.name().to_owned(), stream);
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    /// Goes up whenever there is another stream, or one less.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }

    /// Takes a stream away, unless another has taken its name meanwhile.
    pub fn remove(&self, stream: &Arc<Stream>) {
        let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        if streams
            .get(stream.name())
            .is_some_and(|there| Arc::ptr_eq(there, stream))
        {
            streams.remove(stream.name());
            self.changes.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The stream of that name.
    pub fn stream(&self, name: &str) -> Option<Arc<Stream>> {
        self.streams
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
            .cloned()
    }

    /// All streams, by name.
    pub fn streams(&self) -> Vec<Arc<Stream>> {
        self.streams
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .cloned()
            .collect()
    }
}
