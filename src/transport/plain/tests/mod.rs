//! The pipe over real sockets, and boxes on the way that do what boxes do.

mod boxes;
mod hostile;
mod pipe;
mod visits;

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Either, Full};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};

use super::client::{Error, Held, Stream, start};
use super::{Mode, Opened, Table, Visit};
use crate::transport::door::Door;
use crate::transport::tcp;

/// Turns a hang into a failure.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server without TLS, with nothing but sessions and one page for everybody else.
struct Server {
    addr: SocketAddr,
    table: Table,
    opened: mpsc::Receiver<Opened>,
    door: Door,
    /// Connections that have come so far.
    came: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

/// What the server's connections put up with.
#[derive(Clone, Copy)]
struct Limits {
    head: Duration,
    visit: Duration,
}

impl Server {
    async fn new() -> Self {
        let (head, visit) = (PATIENCE, PATIENCE);
        Self::with(Limits { head, visit }).await
    }

    async fn with(limits: Limits) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (table, opened) = Table::new(Door::default());
        let door = Door::default();
        let came = Arc::<AtomicUsize>::default();
        let mut tasks = JoinSet::new();
        tasks.spawn({
            let (table, door, came) = (table.clone(), door.clone(), Arc::clone(&came));
            async move {
                let mut connections = JoinSet::new();
                loop {
                    let (stream, peer) = listener.accept().await.unwrap();
                    came.fetch_add(1, Ordering::SeqCst);
                    let visit = Arc::new(Visit::new(Some(table.clone())));
                    connections.spawn(serve(stream, peer, visit, door.clone(), limits));
                }
            }
        });
        Self {
            addr,
            table,
            opened,
            door,
            came,
            _tasks: tasks,
        }
    }

    /// The next session, of which it is said that a viewer is behind it.
    async fn accept(&mut self) -> DuplexStream {
        let opened = within(self.opened.recv()).await.unwrap();
        opened.standing.establish();
        opened.end
    }

    fn connections(&self) -> usize {
        self.came.load(Ordering::SeqCst)
    }

    /// Waits until nothing of any session is left.
    async fn empty(&self) {
        eventually(|| self.table.len() == 0 && self.table.tasks() == 0).await;
    }
}

async fn serve(stream: TcpStream, peer: SocketAddr, visit: Arc<Visit>, door: Door, limits: Limits) {
    tcp::tune(&stream).unwrap();
    let service = service_fn(|mut request: Request<hyper::body::Incoming>| {
        let visit = Arc::clone(&visit);
        async move {
            let answer = visit.answer(&mut request, peer).await;
            Ok::<_, Infallible>(answer.unwrap_or_else(|| {
                let mut page = Response::new(Either::Left(Full::from(PAGE)));
                *page.status_mut() = StatusCode::NOT_FOUND;
                page
            }))
        }
    });
    let connection = http1::Builder::new()
        .timer(visit.patience())
        .header_read_timeout(limits.head)
        .max_buf_size(16 * 1024)
        .serve_connection(TokioIo::new(visit.gated(stream, tcp::poll_hungry)), service);
    let mut place = Some(door.enter(None).unwrap());
    let _ended = visit.stay(&mut place, limits.visit, connection).await;
}

const PAGE: &str = "<title>No such page</title>";

/// A way of bytes to this address, in this mode; and how to see whether anything is left of it.
async fn dial(addr: SocketAddr, mode: Mode) -> (DuplexStream, Arc<Opener>) {
    let opener = Arc::new(Opener(addr));
    let open = opener_of(&opener);
    let deadline = Instant::now() + PATIENCE;
    let end = begin(
        &Arc::new(open),
        "cam",
        "/cam",
        mode,
        &Held::default(),
        deadline,
    )
    .await;
    (end.unwrap(), opener)
}

/// The same, once it stands.
async fn begin<O, F, S>(
    open: &Arc<O>,
    authority: &str,
    path: &str,
    mode: Mode,
    held: &Held,
    deadline: Instant,
) -> Result<DuplexStream, Error<io::Error>>
where
    O: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = io::Result<S>> + Send + 'static,
    S: Stream,
{
    let way = start(open, authority, path, mode, held)?;
    way.stands.wait(deadline).await.map(|()| way.end)
}

/// The same, in pieces where it turns out that there is no other way.
async fn connect<F, S>(
    open: impl Fn() -> F + Send + Sync + 'static,
    authority: &str,
    path: &str,
    held: &Held,
    deadline: Instant,
) -> Result<(DuplexStream, Mode), Error<io::Error>>
where
    F: Future<Output = io::Result<S>> + Send + 'static,
    S: Stream,
{
    let open = Arc::new(open);
    if !held.is() {
        match begin(&open, authority, path, Mode::Streamed, held, deadline).await {
            Err(Error::HeldBack) => held.set(),
            done => return done.map(|end| (end, Mode::Streamed)),
        }
    }
    let begun = begin(&open, authority, path, Mode::Finite, held, deadline).await;
    begun.map(|end| (end, Mode::Finite))
}

/// What opens a connection.
type Opening = Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>;

/// Held by whatever may still open connections.
struct Opener(SocketAddr);

fn opener_of(opener: &Arc<Opener>) -> impl Fn() -> Opening + Send + Sync + 'static + use<> {
    let opener = Arc::clone(opener);
    move || {
        let addr = opener.0;
        Box::pin(async move {
            let stream = TcpStream::connect(addr).await?;
            tcp::tune(&stream)?;
            Ok(stream)
        })
    }
}

/// Waits until nothing is left of a viewer's side.
async fn gone(opener: Arc<Opener>) {
    eventually(|| Arc::strong_count(&opener) == 1).await;
}

async fn pair(server: &mut Server, mode: Mode) -> (DuplexStream, DuplexStream, Arc<Opener>) {
    let (mut viewer, opener) = dial(server.addr, mode).await;
    viewer.write_all(b"!").await.unwrap();
    let mut end = server.accept().await;
    assert_eq!(within(end.read_u8()).await.unwrap(), b'!');
    (viewer, end, opener)
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    timeout(PATIENCE, work).await.unwrap()
}

async fn eventually(mut is: impl FnMut() -> bool) {
    within(async {
        while !is() {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// Reproducible, and of every length up to `most`.
struct Lengths(u64);

impl Lengths {
    fn next(&mut self, most: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from(self.0 >> 40).unwrap() % most + 1
    }
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length)
        .map(|i| u8::try_from((i % 251) ^ (i / 251 % 256)).unwrap())
        .collect()
}

/// Sends all of it in pieces while all that comes is read, until `wanted` bytes have come.
async fn exchange(end: &mut DuplexStream, bytes: &[u8], wanted: usize, seed: u64) -> Vec<u8> {
    let (mut from, mut to) = tokio::io::split(end);
    let send = async {
        let (mut rest, mut lengths) = (bytes, Lengths(seed));
        while !rest.is_empty() {
            let most = if rest.len() % 3 == 0 { 40_000 } else { 900 };
            let (piece, after) = rest.split_at(lengths.next(most).min(rest.len()));
            to.write_all(piece).await.unwrap();
            rest = after;
        }
    };
    let read = async {
        let mut got = vec![0; wanted];
        from.read_exact(&mut got).await.unwrap();
        got
    };
    within(async { tokio::join!(send, read) }).await.1
}

/// One request on a connection of its own, and the answer's status and body.
async fn ask(
    addr: SocketAddr,
    method: Method,
    query: &str,
    body: impl Into<Bytes>,
) -> (u16, Bytes) {
    let request = Request::builder()
        .method(method)
        .uri(format!("/cam?{query}"));
    send(addr, request, body.into()).await
}

async fn send(addr: SocketAddr, request: http::request::Builder, body: Bytes) -> (u16, Bytes) {
    let stream = TcpStream::connect(addr).await.unwrap();
    let (mut send, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    let mut driving = JoinSet::new();
    driving.spawn(connection);
    let request = request.header("host", "cam").body(Full::new(body)).unwrap();
    let answer = within(send.send_request(request)).await.unwrap();
    let status = answer.status().as_u16();
    let body = within(answer.into_body().collect()).await.unwrap();
    (status, body.to_bytes())
}

/// A long answer as it comes, on a connection of its own that ends with this.
struct Long {
    body: hyper::body::Incoming,
    got: BytesMut,
    _connection: Connection,
}

struct Connection(AbortHandle);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Long {
    async fn ask(addr: SocketAddr, query: &str) -> Self {
        let stream = TcpStream::connect(addr).await.unwrap();
        let (mut send, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .unwrap();
        let mut driving = JoinSet::new();
        let connection = Connection(driving.spawn(async move {
            connection.await.unwrap();
        }));
        driving.detach_all();
        let request = Request::get(format!("/cam?{query}"))
            .header("host", "cam")
            .body(Full::<Bytes>::default())
            .unwrap();
        let answer = within(send.send_request(request)).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["content-type"], "application/octet-stream");
        assert_eq!(answer.headers()["cache-control"], "no-store, no-transform");
        assert_eq!(answer.headers()["x-accel-buffering"], "no");
        Self {
            body: answer.into_body(),
            got: BytesMut::new(),
            _connection: connection,
        }
    }

    /// The next so many bytes.
    async fn read(&mut self, length: usize) -> BytesMut {
        while self.got.len() < length {
            let frame = within(self.body.frame()).await.unwrap().unwrap();
            self.got.extend_from_slice(&frame.into_data().unwrap());
        }
        self.got.split_to(length)
    }

    /// Whether it ends now, in good order.
    async fn ends(&mut self) -> bool {
        self.got.is_empty() && within(self.body.frame()).await.is_none()
    }
}
