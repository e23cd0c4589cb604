//! The viewer's side: a few connections, each of which may be closed between two requests by any box on the way.

mod down;
mod error;
mod held;
mod lane;
mod request;
mod up;

use std::fmt::Display;
use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, WriteHalf, duplex, split};
use tokio::sync::{Mutex, oneshot};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use self::down::Begun;
pub(in crate::transport) use self::error::Error;
pub use self::held::Held;
use self::held::Pulse;
use self::lane::Lane;
use self::request::Asking;
use self::up::Ups;
use super::{LINGER, Mode, ROOM};

/// What a connection must be able to do.
pub(in crate::transport) trait Stream:
    AsyncRead + AsyncWrite + Unpin + Send + 'static
{
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Stream for S {}

/// A way that is being made.
pub(in crate::transport) struct Way<E> {
    /// What is written into it at once goes up together with the first request, if it is little.
    pub(in crate::transport) end: DuplexStream,
    /// Whether there is a server of ours at the other end.
    pub(in crate::transport) stands: Stands<E>,
}

/// What becomes of it.
pub(in crate::transport) struct Stands<E>(oneshot::Receiver<Result<(), Error<E>>>);

impl<E> Stands<E> {
    /// Waits for the first bytes of the server, until the deadline.
    ///
    /// # Errors
    /// As [`Error`] says: [`Error::HeldBack`] where it has to be begun anew, in pieces.
    pub(in crate::transport) async fn wait(self, deadline: Instant) -> Result<(), Error<E>> {
        match timeout_at(deadline, self.0).await {
            Ok(Ok(done)) => done,
            Ok(Err(_)) | Err(_) => Err(Error::Unanswered),
        }
    }
}

/// Begins a way of bytes to the server that listens at the end of what `open` opens; they come down as `mode` says.
///
/// `open` makes a connection on which HTTP/1.1 is spoken, and is called again whenever one has been closed on the way;
/// at most six are open at a time. `authority` is the host, and its port where that is unusual; `path` has no query.
/// What is written into the end is carried by a task, which ends soon after that end is dropped.
///
/// Where it is found out later that long answers are held back, the end is closed, and `held` knows it by then. Whoever
/// begins anew gets another id: what the box holds back of the first may come at any time.
///
/// # Errors
/// What keeps it from being begun at all.
pub(in crate::transport) fn start<O, F, S, E>(
    open: &Arc<O>,
    authority: &str,
    path: &str,
    mode: Mode,
    held: &Held,
) -> Result<Way<E>, Error<E>>
where
    O: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = Result<S, E>> + Send + 'static,
    S: Stream,
    E: Display + Send + 'static,
{
    let asking = Asking::new(authority, path)?;
    let (end, near) = duplex(ROOM);
    let (told, hears) = oneshot::channel();
    #[expect(
        clippy::disallowed_methods,
        reason = "it ends when the other end of the buffer is dropped"
    )]
    let _unjoined = tokio::spawn(carry(
        Arc::clone(open),
        asking,
        mode,
        held.clone(),
        near,
        told,
    ));
    Ok(Way {
        end,
        stands: Stands(hears),
    })
}

/// Opens what is needed, says how that went, and carries bytes until either end has gone.
async fn carry<O, F, S, E>(
    open: Arc<O>,
    asking: Asking,
    mode: Mode,
    held: Held,
    near: DuplexStream,
    mut told: oneshot::Sender<Result<(), Error<E>>>,
) where
    O: Fn() -> F + Send + Sync,
    F: Future<Output = Result<S, E>> + Send,
    S: Stream,
    E: Display + Send,
{
    let (from, to) = split(near);
    let to = Mutex::new(to);
    let pulse = Pulse::new();
    let all = Ups::new(from);
    let mut ups = pin!(all.carry(&*open, &asking, &pulse));
    let begin = async {
        match mode {
            Mode::Streamed => down::begin_stream(&*open, &asking, &all).await,
            Mode::Finite => down::begin_pieces(&*open, &asking).await,
        }
    };
    let begun = tokio::select! {
        biased;
        () = told.closed() => return,
        begun = begin => begun,
        done = &mut ups => Err(done.err().unwrap_or(Error::Unanswered)),
    };
    let begun = match begun {
        Ok(begun) => begun,
        Err(error) => {
            // Whoever no longer listens does not want to know.
            let _ = told.send(Err(error));
            return;
        }
    };
    if told.send(Ok(())).is_err() {
        return;
    }
    all.begin();
    let downs = async {
        let carried = async {
            match begun {
                Begun::Stream(stream, unsaid) => {
                    let say = async {
                        if let Some(bytes) = unsaid {
                            let mut lane = Lane::new(&*open);
                            all.say(&mut lane, &asking, 0, bytes).await?;
                        }
                        pending().await
                    };
                    tokio::select! {
                        biased;
                        done = stream.carry(&to, &pulse) => done,
                        done = say => done,
                        () = pulse.held_back() => {
                            held.set();
                            Err(Error::HeldBack)
                        }
                    }
                }
                Begun::Pieces(lanes) => lanes.carry(&asking, &to).await,
            }
        };
        tokio::select! {
            // Nobody is left to read; what he wrote may still be on its way.
            done = carried => if let Err(Error::Left) = done { Ok(()) } else { done },
            () = dropped(&to) => Ok(()),
        }
    };
    let mut downs = pin!(downs);
    // When one direction has come to its end, the other may say what it has left to say.
    let ended = tokio::select! {
        done = &mut ups => match done {
            Ok(()) => timeout(LINGER, downs).await.unwrap_or(Ok(())),
            Err(error) => Err(error),
        },
        done = &mut downs => match done {
            Ok(()) => timeout(LINGER, ups).await.unwrap_or(Ok(())),
            Err(error) => Err(error),
        },
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "no longer carried inside HTTP");
    }
}

/// Waits until nobody can read any more what comes down. No request can tell, as long as none is answered.
async fn dropped(to: &Mutex<WriteHalf<DuplexStream>>) {
    loop {
        sleep(LOOK).await;
        // Whoever has it is told when he writes.
        if let Ok(mut to) = to.try_lock()
            && tokio::io::AsyncWriteExt::write(&mut *to, &[])
                .await
                .is_err()
        {
            return;
        }
    }
}

const LOOK: Duration = Duration::from_millis(500);
