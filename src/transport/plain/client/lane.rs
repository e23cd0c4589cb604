//! A connection for one request after the other, opened again when it was closed in between.

use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::time::{sleep, timeout};

use super::{Asking, Error, Stream};
use crate::transport::plain::query::Asked;

/// A connection, and what has to be polled while anything is done with it.
pub(super) struct Wire {
    send: SendRequest<Full<Bytes>>,
    driver: Driver,
}

/// HTTP itself, in the task that uses it.
pub(super) struct Driver {
    connection: Pin<Box<dyn Future<Output = ()> + Send>>,
    ended: bool,
}

impl Driver {
    /// Does `work` while HTTP goes on.
    pub(super) async fn run<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        poll_fn(|cx| {
            if !self.ended {
                self.ended = self.connection.as_mut().poll(cx).is_ready();
            }
            work.as_mut().poll(cx)
        })
        .await
    }
}

impl Wire {
    pub(super) async fn new<S: Stream>(stream: S) -> Result<Self, hyper::Error> {
        let (send, connection) = Builder::new()
            .max_buf_size(MOST_BUFFERED)
            .handshake(TokioIo::new(stream))
            .await?;
        let connection = Box::pin(async move {
            // Who waits for an answer is told as well.
            let _ = connection.await;
        });
        let driver = Driver {
            connection,
            ended: false,
        };
        Ok(Self { send, driver })
    }

    /// Asks, and gives the answer when its head is there.
    pub(super) async fn ask(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, hyper::Error> {
        self.driver.run(self.send.ready()).await?;
        self.driver.run(self.send.send_request(request)).await
    }

    /// Only the last answer matters any more.
    pub(super) fn into_driver(self) -> (Driver, SendRequest<Full<Bytes>>) {
        (self.driver, self.send)
    }

    pub(super) async fn run<T>(&mut self, work: impl Future<Output = T>) -> T {
        self.driver.run(work).await
    }
}

/// One request at a time.
pub(super) struct Lane<'a, O> {
    open: &'a O,
    wire: Option<Wire>,
}

impl<O> fmt::Debug for Lane<'_, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane").finish_non_exhaustive()
    }
}

impl<'a, O, F, S, E> Lane<'a, O>
where
    O: Fn() -> F,
    F: Future<Output = Result<S, E>>,
    S: Stream,
{
    pub(super) const fn new(open: &'a O) -> Self {
        Self { open, wire: None }
    }

    /// Connects, so that the first request need not wait for that.
    pub(super) async fn open(&mut self) -> Result<&mut Wire, Error<E>> {
        let wire = match self.wire.take() {
            Some(wire) if !wire.send.is_closed() => wire,
            Some(_) | None => {
                let stream = (self.open)().await.map_err(Error::Open)?;
                Wire::new(stream).await.map_err(Error::Cut)?
            }
        };
        Ok(self.wire.insert(wire))
    }

    /// Waits for `work` while the connection, if there is one, is looked after.
    pub(super) async fn meanwhile<T>(&mut self, work: impl Future<Output = T>) -> T {
        match &mut self.wire {
            Some(wire) => wire.run(work).await,
            None => work.await,
        }
    }

    /// Asks, and asks again where a connection was closed or a box on the way had a bad moment: all requests are
    /// numbered, so one that arrives twice does no harm. The answer is 200, with at most `most` bytes, or 410.
    pub(super) async fn exchange(
        &mut self,
        asking: &Asking,
        asked: Asked,
        body: Bytes,
        most: usize,
    ) -> Result<Option<Bytes>, Error<E>> {
        let mut pauses = PAUSES.iter();
        loop {
            let request = asking.request(asked, body.clone())?;
            let once = async { self.once(request, most).await };
            let error = match timeout(PATIENCE, once).await {
                Ok(Ok((StatusCode::OK, bytes))) => return Ok(Some(bytes)),
                Ok(Ok((StatusCode::GONE, _))) => return Ok(None),
                Ok(Ok((status, page))) => {
                    let error = refused(status, &page);
                    if !is_passing(status) {
                        return Err(error);
                    }
                    error
                }
                Ok(Err(error @ Error::Cut(_))) => error,
                Ok(Err(error)) => return Err(error),
                Err(_) => return Err(Error::Unanswered),
            };
            self.wire = None;
            let Some(pause) = pauses.next() else {
                return Err(error);
            };
            sleep(*pause).await;
        }
    }

    async fn once(
        &mut self,
        request: Request<Full<Bytes>>,
        most: usize,
    ) -> Result<(StatusCode, Bytes), Error<E>> {
        let wire = self.open().await?;
        let answer = wire.ask(request).await.map_err(Error::Cut)?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), most).collect();
        let body = wire.run(body).await;
        match body.map_err(|error| error.downcast::<hyper::Error>()) {
            Ok(body) => Ok((status, body.to_bytes())),
            Err(Ok(cut)) => Err(Error::Cut(*cut)),
            // Longer than any of ours.
            Err(Err(_)) => Err(refused(status, &[])),
        }
    }
}

/// An answer of a box that has lost the server for a moment: it closed a connection that the box was about to use.
fn is_passing(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
    )
}

pub(super) fn refused<E>(status: StatusCode, page: &[u8]) -> Error<E> {
    Error::Refused {
        status: status.as_u16(),
        title: crate::transport::dial::title(page).unwrap_or_default(),
    }
}

/// The most that HTTP holds of what has come and has not been taken.
const MOST_BUFFERED: usize = 64 * 1024;
/// For one answer. The server answers within 10 s, whatever happens.
const PATIENCE: Duration = Duration::from_secs(20);
/// Before a request is repeated. A connection that was closed while nothing went over it is the usual reason.
const PAUSES: [Duration; 4] = [
    Duration::ZERO,
    Duration::from_millis(50),
    Duration::from_millis(200),
    Duration::from_millis(500),
];
