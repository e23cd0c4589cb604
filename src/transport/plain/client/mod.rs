//! The viewer's side: a few connections, each of which may be closed between two requests by any box on the way.

mod down;
mod error;
mod lane;
mod request;
mod up;

use std::fmt::Display;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, WriteHalf, duplex, split};
use tokio::sync::{Mutex, oneshot};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use self::down::Begun;
pub(in crate::transport) use self::error::Error;
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

/// A way of bytes to the server that listens at the end of what `open` opens, and how they come down.
///
/// `open` makes a connection on which HTTP/1.1 is spoken, and is called again whenever one has been closed on the way;
/// three or four are open at a time. `authority` is the host, and its port where that is unusual; `path` has no query.
/// What is written into the other end is carried by a task, which ends soon after that end is dropped.
///
/// # Errors
/// As [`Error`] says, at the latest at the deadline.
pub(in crate::transport) async fn connect<O, F, S, E>(
    open: O,
    authority: &str,
    path: &str,
    deadline: Instant,
) -> Result<(DuplexStream, Mode), Error<E>>
where
    O: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = Result<S, E>> + Send + 'static,
    S: Stream,
    E: Display + Send + 'static,
{
    let open = Arc::new(open);
    match begin(&open, authority, path, Mode::Streamed, deadline).await {
        // Begun anew, with another id: what the box holds back of the first may come at any time.
        Err(Error::HeldBack) => begin(&open, authority, path, Mode::Finite, deadline)
            .await
            .map(|end| (end, Mode::Finite)),
        done => done.map(|end| (end, Mode::Streamed)),
    }
}

/// The same, in this mode and no other.
pub(super) async fn begin<O, F, S, E>(
    open: &Arc<O>,
    authority: &str,
    path: &str,
    mode: Mode,
    deadline: Instant,
) -> Result<DuplexStream, Error<E>>
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
    let _unjoined = tokio::spawn(carry(Arc::clone(open), asking, mode, near, told));
    match timeout_at(deadline, hears).await {
        Ok(Ok(Ok(()))) => Ok(end),
        Ok(Ok(Err(error))) => Err(error),
        Ok(Err(_)) | Err(_) => Err(Error::Unanswered),
    }
}

/// Opens what is needed, says how that went, and carries bytes until either end has gone.
async fn carry<O, F, S, E>(
    open: Arc<O>,
    asking: Asking,
    mode: Mode,
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
    let ups = Ups::new(from);
    let mut ups = pin!(ups.carry(&*open, &asking));
    let begin = async {
        match mode {
            Mode::Streamed => down::begin_stream(&*open, &asking).await,
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
    let downs = async {
        match begun {
            Begun::Stream(stream) => stream.carry(&to).await,
            Begun::Pieces(lanes) => lanes.carry(&asking, &to).await,
        }
    };
    let mut downs = pin!(downs);
    let ended = async {
        // When one direction has come to its end, the other may say what it has left to say.
        tokio::select! {
            done = &mut ups => {
                done?;
                timeout(LINGER, downs).await.unwrap_or(Ok(()))
            }
            done = &mut downs => {
                done?;
                timeout(LINGER, ups).await.unwrap_or(Ok(()))
            }
        }
    };
    tokio::select! {
        ended = ended => {
            if let Err(error) = ended {
                tracing::debug!(%error, "no longer carried inside HTTP");
            }
        }
        () = dropped(&to) => {}
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
