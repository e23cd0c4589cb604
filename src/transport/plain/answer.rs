//! Requests that belong to sessions, on the connections of a server.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Either, Full, LengthLimitError, Limited};
use hyper::body::Body;
use tokio::sync::watch;
use tokio::time::timeout;

use super::down::Down;
use super::finite::Piece;
use super::gate::{Gate, Gated, Hungry};
use super::patience::Patience;
use super::query::{self, Asked, Id, WORD};
use super::session::Session;
use super::table::Table;
use super::{MOST_UP, Mode};
use crate::transport::AcceptError;
use crate::transport::door::Place;

/// A page, or what comes down.
pub(in crate::transport) type Answer = Response<Either<Full<Bytes>, Down>>;

/// One connection at the server, as far as sessions are concerned: they may have several, and boxes on the way may lead
/// several viewers over one.
#[derive(Debug)]
pub(in crate::transport) struct Visit {
    table: Option<Table>,
    guest: watch::Sender<Option<Arc<Session>>>,
    gate: Gate,
}

impl Visit {
    /// Without a table there are no sessions.
    pub(in crate::transport) fn new(table: Option<Table>) -> Self {
        Self {
            table,
            guest: watch::Sender::default(),
            gate: Gate::default(),
        }
    }

    /// The connection, so that long answers on it are chosen late.
    pub(in crate::transport) fn gated<S>(&self, under: S, hungry: Hungry<S>) -> Gated<S> {
        Gated::new(under, hungry, self.gate.clone())
    }

    /// HTTP's clock on this connection.
    pub(in crate::transport) fn patience(&self) -> Patience {
        Patience::new(self.guest.subscribe())
    }

    /// Drives the connection's HTTP: for at most `longest` and in its place in the crowd, until it serves a session
    /// with a viewer behind it; then as long as it serves such sessions, and the place is given back.
    pub(in crate::transport) async fn stay<T>(
        &self,
        place: &mut Option<Place>,
        longest: Duration,
        work: impl Future<Output = T>,
    ) -> Result<T, AcceptError> {
        let mut work = pin!(work);
        if let Some(crowded) = place {
            let admitted = async {
                tokio::select! {
                    biased;
                    done = &mut work => Some(done),
                    () = self.admitted() => None,
                }
            };
            let done = crowded.hold(timeout(longest, admitted)).await?;
            if let Some(done) = done.map_err(|_| AcceptError::Slow)? {
                return Ok(done);
            }
        }
        *place = None;
        tokio::select! {
            biased;
            done = work => Ok(done),
            () = self.outstayed() => Err(AcceptError::Slow),
        }
    }

    /// The answer, if the request, from a viewer at `peer`, belongs to a session, or begins one. Whatever else it is, it is not told from any
    /// other request.
    pub(in crate::transport) async fn answer<B>(
        &self,
        request: &mut Request<B>,
        peer: SocketAddr,
    ) -> Option<Answer>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let table = self.table.as_ref()?;
        let (id, asked) = query::parse(request.method(), request.uri().query()?)?;
        match asked {
            Asked::Stream => {
                let (session, from) = table.begin(id, Mode::Streamed, peer)?;
                let down = Down::new(Arc::clone(&session), from?, self.gate.clone());
                let mut answer = answer(StatusCode::OK, Either::Right(down));
                if let Some(bytes) = query::read_word(request.headers()) {
                    session.offer(0, bytes);
                    answer.headers_mut().insert(WORD, HeaderValue::from(1));
                }
                self.guest.send_replace(Some(session));
                Some(answer)
            }
            Asked::Piece(number) => {
                let session = self.piecewise(table, id, number, peer)?;
                self.guest.send_replace(Some(Arc::clone(&session)));
                match session.pieces()?.get(number, &session).await {
                    Piece::Made(bytes) => Some(answer(StatusCode::OK, full(bytes))),
                    Piece::End => Some(answer(StatusCode::GONE, full(Bytes::new()))),
                    Piece::Absurd => None,
                }
            }
            Asked::Up(number) => {
                let session = self.speaker(table, id, number)?;
                let status = take(&session, number, request.body_mut()).await;
                Some(answer(status, full(Bytes::new())))
            }
            Asked::Word(number) => {
                let bytes = query::read_word(request.headers())?;
                let session = self.speaker(table, id, number)?;
                session.offer(number, bytes);
                let status = taken(&session, number).await;
                Some(answer(status, full(Bytes::new())))
            }
        }
    }

    /// Whose session something of this number may go up in.
    fn speaker(&self, table: &Table, id: Id, number: u64) -> Option<Arc<Session>> {
        let session = table.find(id)?;
        if !session.expects(number) {
            return None;
        }
        self.guest.send_replace(Some(Arc::clone(&session)));
        Some(session)
    }

    fn piecewise(
        &self,
        table: &Table,
        id: Id,
        number: u64,
        peer: SocketAddr,
    ) -> Option<Arc<Session>> {
        match (table.find(id), number) {
            (Some(session), _) => Some(session),
            (None, 0) => Some(table.begin(id, Mode::Finite, peer)?.0),
            (None, _) => None,
        }
    }

    /// Waits until it serves a session with a viewer behind it.
    async fn admitted(&self) {
        let mut guests = self.guest.subscribe();
        loop {
            let guest = guests.borrow_and_update().clone();
            let established = async {
                match &guest {
                    Some(guest) => guest.established().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = established => return,
                // We hold the sender.
                _ = guests.changed() => {}
            }
        }
    }

    /// Waits until it has served nobody for a while.
    async fn outstayed(&self) {
        let mut guests = self.guest.subscribe();
        loop {
            let guest = guests.borrow_and_update().clone();
            if let Some(guest) = guest {
                guest.ended().await;
            }
            if timeout(AFTERWARDS, guests.changed()).await.is_err() {
                return;
            }
        }
    }
}

/// Takes the body of a POST, and waits until the session has it.
async fn take<B>(session: &Session, number: u64, body: &mut B) -> StatusCode
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let body = Limited::new(body, MOST_UP).collect();
    let bytes = tokio::select! {
        bytes = timeout(BODY, body) => bytes,
        () = session.ended() => return StatusCode::GONE,
    };
    match bytes {
        Ok(Ok(bytes)) => session.offer(number, bytes.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => return StatusCode::PAYLOAD_TOO_LARGE,
        Ok(Err(_)) => return StatusCode::BAD_REQUEST,
        Err(_) => return StatusCode::REQUEST_TIMEOUT,
    }
    taken(session, number).await
}

async fn taken(session: &Session, number: u64) -> StatusCode {
    if session.taken(number).await {
        StatusCode::OK
    } else {
        StatusCode::GONE
    }
}

fn full(bytes: Bytes) -> Either<Full<Bytes>, Down> {
    Either::Left(Full::new(bytes))
}

/// Nobody on the way shall keep it, change it, or wait for more of it.
fn answer(status: StatusCode, body: Either<Full<Bytes>, Down>) -> Answer {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let octets = HeaderValue::from_static("application/octet-stream");
    headers.insert(CONTENT_TYPE, octets);
    let keep_out = HeaderValue::from_static("no-store, no-transform");
    headers.insert(CACHE_CONTROL, keep_out);
    let at_once = HeaderName::from_static("x-accel-buffering");
    headers.insert(at_once, HeaderValue::from_static("no"));
    response
}

/// How long a POST's body may take: it was there when its head was sent.
const BODY: Duration = Duration::from_secs(10);
/// How long a connection stays whose sessions have ended: the last answers are still under way.
const AFTERWARDS: Duration = Duration::from_secs(5);
