//! A thread that owns a device: it has a name, an owner and a way to be told to stop.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// A running thread. Dropping it tells the thread to stop and then does what its [`Leave`] says.
#[derive(Debug)]
pub struct Pump {
    stop: Stop,
    leave: Leave,
    thread: Option<JoinHandle<()>>,
}

/// What to do about a thread that was told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// Wait until it has ended: it only ever waits for us.
    Join,
    /// Wait this long, then leave it behind: it may hang in a driver or in a read that nothing interrupts.
    After(Duration),
}

impl Pump {
    /// Starts a thread called `name` (the system shows the first 15 bytes).
    pub fn start(
        name: &str,
        leave: Leave,
        body: impl FnOnce(&Stop) + Send + 'static,
    ) -> io::Result<Self> {
        let stop = Stop::default();
        let inside = stop.clone();
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                let _ended = Ended(inside.clone());
                body(&inside);
            })?;
        Ok(Self {
            stop,
            leave,
            thread: Some(thread),
        })
    }

    /// What the thread looks at; for waking or stopping it from elsewhere.
    pub const fn stop(&self) -> &Stop {
        &self.stop
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.stop.set();
        let ended = match self.leave {
            Leave::Join => true,
            Leave::After(patience) => self.stop.wait_for_end(patience),
        };
        let Some(thread) = self.thread.take() else {
            return;
        };
        if !ended {
            tracing::warn!(
                thread = thread.thread().name(),
                "hangs in its device and is left behind"
            );
        } else if let Err(panic) = thread.join() {
            let panic = panic.downcast_ref::<&str>().copied();
            tracing::error!(panic, "a capture thread panicked");
        }
    }
}

/// A flag that ends a wait at once; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    flags: Mutex<Flags>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Flags {
    stop: bool,
    ended: bool,
}

impl Stop {
    /// Whether the thread should end.
    pub fn is_set(&self) -> bool {
        self.lock().stop
    }

    /// Tells the thread to end.
    pub fn set(&self) {
        self.lock().stop = true;
        self.0.changed.notify_all();
    }

    /// Sleeps for `time` or until the thread should end; true in the latter case.
    pub fn wait(&self, time: Duration) -> bool {
        let (flags, _) = self
            .0
            .changed
            .wait_timeout_while(self.lock(), time, |flags| !flags.stop)
            .unwrap_or_else(PoisonError::into_inner);
        flags.stop
    }

    fn wait_for_end(&self, time: Duration) -> bool {
        let (flags, _) = self
            .0
            .changed
            .wait_timeout_while(self.lock(), time, |flags| !flags.ended)
            .unwrap_or_else(PoisonError::into_inner);
        flags.ended
    }

    fn lock(&self) -> MutexGuard<'_, Flags> {
        self.0.flags.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says that the thread has ended, however it ends.
struct Ended(Stop);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.lock().ended = true;
        self.0.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn dropping_a_pump_ends_its_wait_and_joins_it() {
        let (ended, seen) = mpsc::channel();
        let pump = Pump::start("test", Leave::Join, move |stop| {
            assert!(stop.wait(Duration::from_secs(3600)));
            ended.send(()).unwrap();
        })
        .unwrap();
        drop(pump);
        assert_eq!(seen.try_recv(), Ok(()));
    }

    #[test]
    fn a_thread_that_hangs_is_left_behind() {
        let (release, hang) = mpsc::channel::<()>();
        let pump = Pump::start("test", Leave::After(Duration::from_millis(1)), move |_| {
            let _ = hang.recv();
        })
        .unwrap();
        drop(pump);
        release.send(()).unwrap();
    }

    #[test]
    fn a_panic_inside_stays_inside() {
        drop(
            Pump::start("test", Leave::After(Duration::from_secs(60)), |_| {
                panic!("boo")
            })
            .unwrap(),
        );
    }
}
