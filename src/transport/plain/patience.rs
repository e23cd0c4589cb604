//! How long a connection waits for the head of a request: longer while it serves a session.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use hyper::rt::{Sleep, Timer};
use tokio::sync::watch;

use super::session::Session;

/// Whom a connection last served.
pub(super) type Guest = watch::Receiver<Option<Arc<Session>>>;

/// HTTP's clock: a wait that is over begins anew as long as the session lives that the connection last served. Between
/// two POSTs may be any time, and a new connection costs several round trips.
#[derive(Clone, Debug)]
pub(in crate::transport) struct Patience(Guest);

impl Patience {
    pub(super) const fn new(guest: Guest) -> Self {
        Self(guest)
    }

    fn wait(&self, sleep: tokio::time::Sleep) -> Pin<Box<dyn Sleep>> {
        Box::pin(Wait {
            sleep: Box::pin(sleep),
            guest: self.0.clone(),
        })
    }
}

impl Timer for Patience {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.wait(tokio::time::sleep(duration))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        self.wait(tokio::time::sleep_until(deadline.into()))
    }

    fn now(&self) -> Instant {
        tokio::time::Instant::now().into()
    }
}

struct Wait {
    sleep: Pin<Box<tokio::time::Sleep>>,
    guest: Guest,
}

impl Future for Wait {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.sleep.as_mut().poll(cx));
            let stays = (self.guest.borrow().as_ref()).is_some_and(|guest| guest.is_established());
            if !stays {
                return Poll::Ready(());
            }
            let again = tokio::time::Instant::now() + AGAIN;
            self.sleep.as_mut().reset(again);
        }
    }
}

impl Sleep for Wait {}

/// How long after a session's end its idle connections may stay.
const AGAIN: Duration = Duration::from_secs(5);
