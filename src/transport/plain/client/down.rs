//! What comes down: one long answer, or pieces in order, two of which are asked for at a time.

use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use http::StatusCode;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use tokio::io::{AsyncWriteExt as _, DuplexStream, WriteHalf};
use tokio::sync::{Mutex, watch};
use tokio::time::timeout;

use super::lane::{Driver, Wire, refused};
use super::{Asking, Error, Lane, Pulse, Stream, Ups};
use crate::transport::plain::query::{Asked, WORD};
use crate::transport::plain::{MOST_DOWN, MOST_WORD, PREAMBLE};

/// A way down that is known to be ours.
pub(super) enum Begun<'a, O> {
    /// In one long answer; and what was taken to go up with the request for it, and did not.
    Stream(Streamed, Option<Bytes>),
    /// In pieces.
    Pieces(Pieces<'a, O>),
}

/// The rest of a long answer.
pub(super) struct Streamed {
    driver: Driver,
    /// Dropped, the connection would be closed.
    _send: SendRequest<Full<Bytes>>,
    body: Incoming,
    early: BytesMut,
}

/// Two connections for pieces; the first of them has brought number 0.
pub(super) struct Pieces<'a, O>([Lane<'a, O>; 2]);

/// Asks for the long answer, together with what there is to say at once, and waits for its first bytes, which come at once
/// if nobody holds them back.
pub(super) async fn begin_stream<'a, O, F, S, E>(
    open: &'a O,
    asking: &Asking,
    ups: &Ups,
) -> Result<Begun<'a, O>, Error<E>>
where
    O: Fn() -> F,
    F: Future<Output = Result<S, E>>,
    S: Stream,
{
    let stream = open().await.map_err(Error::Open)?;
    // Before HTTP looks at the connection: what came unasked would be no answer.
    let unsaid = ups.first().await;
    let fits = |bytes: &&Bytes| (1..=MOST_WORD).contains(&bytes.len());
    let Some(word) = unsaid.as_ref().filter(fits) else {
        let (stream, _) = ask(stream, asking, Bytes::new()).await?;
        return Ok(Begun::Stream(stream, unsaid));
    };
    let (stream, said) = match ask(stream, asking, word.clone()).await {
        // Somebody on the way takes no such header, or it is no server of ours.
        Err(Error::Refused { .. } | Error::Cut(_)) => {
            let stream = open().await.map_err(Error::Open)?;
            ask(stream, asking, Bytes::new()).await?
        }
        done => done?,
    };
    Ok(Begun::Stream(stream, unsaid.filter(|_| !said)))
}

/// The long answer, and whether the server has what was said with the request.
async fn ask<S: Stream, E>(
    stream: S,
    asking: &Asking,
    word: Bytes,
) -> Result<(Streamed, bool), Error<E>> {
    let mut wire = Wire::new(stream).await.map_err(Error::Cut)?;
    let request = asking.request(Asked::Stream, word)?;
    let first = async {
        let answer = wire.ask(request).await.map_err(Error::Cut)?;
        let (status, said) = (answer.status(), answer.headers().contains_key(WORD));
        let mut body = answer.into_body();
        let mut early = BytesMut::new();
        let ours = status == StatusCode::OK && wire.run(preamble(&mut body, &mut early)).await?;
        Ok((status, said, body, early, ours))
    };
    let Ok(first) = timeout(HELD_BACK, first).await else {
        return Err(Error::HeldBack);
    };
    let (status, said, mut body, mut early, ours) = first?;
    if !ours {
        // A page's title is a courtesy: without it the status must do.
        let page = wire.run(page(&mut body, &mut early));
        let _ = timeout(PAGE_WAIT, page).await;
        return Err(refused(status, &early));
    }
    let (driver, send) = wire.into_driver();
    let stream = Streamed {
        driver,
        _send: send,
        body,
        early,
    };
    Ok((stream, said))
}

/// Asks for the first piece, and opens the connection for the second meanwhile.
pub(super) async fn begin_pieces<'a, O, F, S, E>(
    open: &'a O,
    asking: &Asking,
) -> Result<Begun<'a, O>, Error<E>>
where
    O: Fn() -> F,
    F: Future<Output = Result<S, E>>,
    S: Stream,
{
    let mut lanes = [Lane::new(open), Lane::new(open)];
    let [first, second] = &mut lanes;
    let asked = async {
        let answer = first.exchange(asking, Asked::Piece(0), Bytes::new(), MOST_DOWN);
        match answer.await? {
            Some(bytes) if bytes == PREAMBLE => Ok(()),
            Some(page) => Err(refused(StatusCode::OK, &page)),
            None => Err(refused(StatusCode::GONE, &[])),
        }
    };
    let opened = async { second.open().await.map(drop) };
    tokio::try_join!(asked, opened)?;
    Ok(Begun::Pieces(Pieces(lanes)))
}

/// Whether what comes begins as ours does; what follows that stays in `early`, and otherwise all of it.
async fn preamble<E>(body: &mut Incoming, early: &mut BytesMut) -> Result<bool, Error<E>> {
    loop {
        let known = early.len().min(PREAMBLE.len());
        if early[..known] != PREAMBLE[..known] {
            return Ok(false);
        }
        if known == PREAMBLE.len() {
            early.advance(known);
            return Ok(true);
        }
        match body.frame().await {
            Some(frame) => take(frame.map_err(Error::Cut)?, early),
            None => return Ok(false),
        }
    }
}

async fn page(body: &mut Incoming, page: &mut BytesMut) {
    while page.len() < MOST_PAGE {
        match body.frame().await {
            Some(Ok(frame)) => take(frame, page),
            Some(Err(_)) | None => return,
        }
    }
}

fn take(frame: hyper::body::Frame<Bytes>, into: &mut BytesMut) {
    if let Ok(bytes) = frame.into_data() {
        into.extend_from_slice(&bytes);
    }
}

impl Streamed {
    /// Carries until the answer's end.
    pub(super) async fn carry<E>(
        mut self,
        to: &Mutex<WriteHalf<DuplexStream>>,
        pulse: &Pulse,
    ) -> Result<(), Error<E>> {
        if !self.early.is_empty() {
            pulse.came();
        }
        write(to, &self.early).await?;
        while let Some(frame) = self.driver.run(self.body.frame()).await {
            if let Ok(bytes) = frame.map_err(Error::Cut)?.into_data() {
                pulse.came();
                self.driver.run(write(to, &bytes)).await?;
            }
        }
        close(to).await
    }
}

impl<O, F, S, E> Pieces<'_, O>
where
    O: Fn() -> F,
    F: Future<Output = Result<S, E>>,
    S: Stream,
{
    /// Carries until there are no more pieces.
    pub(super) async fn carry(
        self,
        asking: &Asking,
        to: &Mutex<WriteHalf<DuplexStream>>,
    ) -> Result<(), Error<E>> {
        let [first, second] = self.0;
        let turn = watch::Sender::new(1);
        tokio::select! {
            done = fetch(first, 1, asking, &turn, to) => done,
            done = fetch(second, 2, asking, &turn, to) => done,
        }
    }
}

/// Every other piece, beginning with `number`.
async fn fetch<O, F, S, E>(
    mut lane: Lane<'_, O>,
    mut number: u64,
    asking: &Asking,
    turn: &watch::Sender<u64>,
    to: &Mutex<WriteHalf<DuplexStream>>,
) -> Result<(), Error<E>>
where
    O: Fn() -> F,
    F: Future<Output = Result<S, E>>,
    S: Stream,
{
    let mut turns = turn.subscribe();
    loop {
        let piece = lane.exchange(asking, Asked::Piece(number), Bytes::new(), MOST_DOWN);
        let piece = piece.await?;
        let ours = turns.wait_for(|turn| *turn == number);
        // The sender is ours as well.
        let _ = lane.meanwhile(ours).await;
        let Some(bytes) = piece else {
            return close(to).await;
        };
        write(to, &bytes).await?;
        turn.send_replace(number + 1);
        number += 2;
    }
}

async fn write<E>(to: &Mutex<WriteHalf<DuplexStream>>, bytes: &[u8]) -> Result<(), Error<E>> {
    let mut to = to.lock().await;
    to.write_all(bytes).await.map_err(|_| Error::Left)
}

async fn close<E>(to: &Mutex<WriteHalf<DuplexStream>>) -> Result<(), Error<E>> {
    let mut to = to.lock().await;
    to.shutdown().await.map_err(|_| Error::Left)
}

/// What is sent at once, and has not come after so long, is held back.
const HELD_BACK: Duration = Duration::from_secs(1);
/// How much of a page is read to find its title, and for how long.
const MOST_PAGE: usize = 16 * 1024;
const PAGE_WAIT: Duration = Duration::from_millis(500);
