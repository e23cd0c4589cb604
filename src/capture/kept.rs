//! What cannot be opened twice and is read all the time: whoever listens gets it, and while nobody does it is thrown
//! away, since a writer must not be held up because nobody watches.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Outlet, SourceState};

/// Between the thread that reads and whoever listens; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept(Arc<Mutex<Inside>>);

#[derive(Debug, Default)]
struct Inside {
    outlet: Option<Outlet>,
    taps: u64,
    /// Why nothing comes, for those who begin to listen now.
    trouble: Option<SourceState>,
}

/// Gets what comes until it is dropped.
#[derive(Debug)]
pub(super) struct Tap {
    kept: Kept,
    /// A later tap takes over from an earlier one.
    number: u64,
}

impl Kept {
    /// From now on what comes goes to `outlet`.
    pub(super) fn tap(&self, outlet: Outlet) -> Tap {
        let mut inside = self.lock();
        inside.taps += 1;
        if let Some(trouble) = &inside.trouble {
            outlet.state(trouble.clone());
        }
        inside.outlet = Some(outlet);
        Tap {
            kept: self.clone(),
            number: inside.taps,
        }
    }

    /// Something came: `give` hands it to whoever listens, if anybody does.
    pub(super) fn deliver(&self, give: impl FnOnce(&Outlet)) {
        let mut inside = self.lock();
        inside.trouble = None;
        if let Some(outlet) = &inside.outlet {
            outlet.state(SourceState::Live);
            give(outlet);
        }
    }

    /// Nothing comes, and this is why; until something does.
    pub(super) fn lost(&self, why: String) {
        self.trouble(SourceState::Lost { why });
    }

    /// Nothing will come any more.
    pub(super) fn ended(&self, why: String) {
        self.trouble(SourceState::Ended { why });
    }

    /// Nothing came for a while, which is no news where a better reason is known.
    pub(super) fn silent(&self, why: impl FnOnce() -> String) {
        if self.lock().trouble.is_none() {
            self.lost(why());
        }
    }

    fn trouble(&self, state: SourceState) {
        let mut inside = self.lock();
        if inside.trouble.as_ref() != Some(&state) {
            tracing::info!(?state, "nothing comes");
        }
        if let Some(outlet) = &inside.outlet {
            outlet.state(state.clone());
        }
        inside.trouble = Some(state);
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        let mut inside = self.kept.lock();
        if inside.taps == self.number {
            inside.outlet = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::{Track, channel};

    #[test]
    fn a_reason_is_kept_for_whoever_comes_until_something_does() {
        let kept = Kept::default();
        kept.lost("gone".to_owned());
        kept.silent(|| "silent".to_owned());
        let (outlet, inlet) = channel();
        let first = kept.tap(outlet);
        let why = "gone".to_owned();
        assert_eq!(inlet.state.latest(Track::Video), SourceState::Lost { why });
        kept.deliver(|_| ());
        assert_eq!(inlet.state.latest(Track::Video), SourceState::Live);

        let (outlet, inlet) = channel();
        let _second = kept.tap(outlet);
        drop(first);
        assert_eq!(inlet.state.latest(Track::Video), SourceState::Opening);
        kept.silent(|| "silent".to_owned());
        let why = "silent".to_owned();
        assert_eq!(inlet.state.latest(Track::Video), SourceState::Lost { why });
    }
}
