//! The HTTP that every connection starts with: viewers upgrade, everybody else gets an ordinary page.

use std::convert::Infallible;
use std::io;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, RETRY_AFTER, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body_util::{Either, Full};
use hyper::body::{Body as _, Incoming as Body};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use tokio::io::AsyncWriteExt as _;
use tokio_rustls::{TlsStream, server};

use super::Kind;
use super::base::Base;
use super::incoming::{AcceptError, Secured};
use super::link::Link;
use super::plain::Visit;
use super::sealed::{seal, websocket};

/// What a viewer asks to upgrade to, or to speak inside a WebSocket.
pub const PROTOCOL: &str = "tunnelcast";

impl Secured {
    /// Answers HTTP requests until one of them upgrades to a link, or until the other side has had its pages, which is
    /// `None`. Belongs into the same task as the handshake.
    ///
    /// A link over WebSocket has another TLS session inside, as `sealed` says
    /// ([`Identity::sealed_server_config`](crate::trust::Identity::sealed_server_config)); its handshake is done here as well.
    ///
    /// Each request's head must come within `within` (10 s are usual), all of it within a minute, and the inner handshake
    /// within `within` again; unless it serves [sessions inside plain HTTP](super::plain) behind which there are viewers:
    /// then it lasts as long as they do.
    pub async fn serve(
        self,
        sealed: Arc<ServerConfig>,
        within: Duration,
    ) -> Result<Option<Link>, AcceptError> {
        let Self {
            tls,
            peer,
            place,
            sessions,
            proxies,
        } = self;
        let seat = place.seat();
        let mut place = Some(place);
        let visit = Arc::new(Visit::new(sessions));
        let upgraded = Arc::new(OnceLock::new());
        let service = {
            let (upgraded, visit) = (Arc::clone(&upgraded), Arc::clone(&visit));
            let seat = Arc::clone(&seat);
            service_fn(move |mut request: Request<Body>| {
                let (upgraded, visit) = (Arc::clone(&upgraded), Arc::clone(&visit));
                let over = seat.over();
                // Only what comes by way of who reads HTTP can have been forwarded by him.
                let viewer = proxies.forwarded(request.headers(), peer);
                async move {
                    if over.is_none()
                        && let Some(answer) = visit.answer(&mut request, viewer).await
                    {
                        return Ok(answer);
                    }
                    let response = match wanted(&request) {
                        Wanted::Page if over.is_some() => busy(),
                        Wanted::Page => page(&request),
                        // Whether there is room for him is the session's to say.
                        Wanted::Link(kind, response) => {
                            // Behind it no other request is read.
                            let _first = upgraded.set((kind, viewer));
                            response
                        }
                    };
                    Ok::<_, Infallible>(response.map(Either::Left))
                }
            })
        };
        let connection = http1::Builder::new()
            .timer(visit.patience())
            .header_read_timeout(within)
            .max_headers(MOST_HEADERS)
            .max_buf_size(MOST_HEAD)
            .serve_connection(TokioIo::new(visit.gated(tls, hungry)), service)
            .without_shutdown();
        let parts = visit
            .stay(&mut place, LONGEST_VISIT, connection)
            .await?
            .map_err(AcceptError::Http)?;
        let mut tls = parts.io.into_inner().into_inner();
        if let Some((_, viewer)) = upgraded.get()
            && *viewer != peer
        {
            seat.comes_from(viewer.ip()).map_err(AcceptError::Over)?;
        }
        match upgraded.get() {
            Some((Upgrade::Tunnel, _)) => {
                let early = BytesMut::from(parts.read_buf);
                let tls = TlsStream::Server(tls);
                return Ok(Some(Link::tls(tls, early, peer, Kind::Tls)));
            }
            Some((Upgrade::WebSocket, viewer)) => {
                let socket = websocket::WebSocket::server(tls, parts.read_buf).await;
                let base = Base::websocket(socket);
                let link = seal::server(base, Kind::WebSocket, *viewer, sealed, within);
                return match place {
                    Some(place) => place.hold(link).await?.map(Some),
                    None => link.await.map(Some),
                };
            }
            None => {}
        }
        // The pages have been sent; whether the goodbye arrives is all the same.
        let _ = tokio::time::timeout(within, tls.shutdown()).await;
        Ok(None)
    }
}

/// What a connection goes on as.
#[derive(Clone, Copy, Debug)]
enum Upgrade {
    Tunnel,
    WebSocket,
}

enum Wanted {
    Page,
    Link(Upgrade, Response<Full<Bytes>>),
}

fn hungry(tls: &server::TlsStream<Base>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
    tls.get_ref().0.poll_hungry(cx)
}

fn wanted(request: &Request<Body>) -> Wanted {
    let switching = |to: &'static str| {
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static(to));
        response
    };
    if wants_tunnel(request) {
        return Wanted::Link(Upgrade::Tunnel, switching(PROTOCOL));
    }
    match websocket_answer(request) {
        Some(accept) => {
            let mut response = switching("websocket");
            let headers = response.headers_mut();
            headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
            headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PROTOCOL));
            Wanted::Link(Upgrade::WebSocket, response)
        }
        None => Wanted::Page,
    }
}

fn page(request: &Request<Body>) -> Response<Full<Bytes>> {
    let known = matches!(*request.method(), Method::GET | Method::HEAD);
    let (status, title, words) = if !known {
        let words = "Only pages are served here.";
        (StatusCode::METHOD_NOT_ALLOWED, "Method not allowed", words)
    } else if is_page(request.uri().path()) {
        let words = "This is a live stream. Open its link with <code>tunnelcast watch</code>.";
        (StatusCode::OK, "tunnelcast", words)
    } else {
        (StatusCode::NOT_FOUND, "Not found", "There is no such page.")
    };
    let mut response = html(status, title, words);
    if !known {
        let allowed = HeaderValue::from_static("GET, HEAD");
        response.headers_mut().insert(ALLOW, allowed);
    }
    response
}

/// For those who are too many.
fn busy() -> Response<Full<Bytes>> {
    let words = "There are too many visitors just now. Come back in a minute.";
    let mut response = html(StatusCode::SERVICE_UNAVAILABLE, "Busy", words);
    let headers = response.headers_mut();
    headers.insert(RETRY_AFTER, HeaderValue::from_static("60"));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

fn html(status: StatusCode, title: &str, words: &str) -> Response<Full<Bytes>> {
    let page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>{title}</title>\n<h1>{title}</h1>\n<p>{words}</p>\n</html>\n"
    );
    let mut response = Response::new(Full::from(page));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// Whether it asks for our protocol.
fn wants_tunnel(request: &Request<Body>) -> bool {
    upgrades(request, PROTOCOL)
}

/// The answer to the key of a request for our protocol in a WebSocket (RFC 6455, 4.2), wherever a reverse proxy has put
/// it.
fn websocket_answer(request: &Request<Body>) -> Option<HeaderValue> {
    let headers = request.headers();
    let key = headers.get(SEC_WEBSOCKET_KEY)?;
    let ours = upgrades(request, "websocket")
        && lists(headers, &SEC_WEBSOCKET_PROTOCOL, PROTOCOL)
        && lists(headers, &SEC_WEBSOCKET_VERSION, "13")
        && key.len() == KEY;
    let answer = || HeaderValue::try_from(websocket::accept(key.as_bytes())).ok();
    ours.then(answer).flatten()
}

/// `GET`, HTTP/1.1, without a body, `Connection: Upgrade`, and this to upgrade to.
fn upgrades(request: &Request<Body>, to: &str) -> bool {
    request.method() == Method::GET
        && request.version() == Version::HTTP_11
        && request.body().is_end_stream()
        && lists(request.headers(), &CONNECTION, "upgrade")
        && lists(request.headers(), &UPGRADE, to)
}

/// Is the word in a header that is a list of words?
fn lists(headers: &HeaderMap, name: &http::HeaderName, word: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|item| item.trim().eq_ignore_ascii_case(word))
}

/// The root, and whatever may be a stream's name: which of them exist is nobody's business.
fn is_page(path: &str) -> bool {
    let name = path.strip_prefix('/').unwrap_or(path);
    name.is_empty() || !name.contains(['/', '.'])
}

/// 16 bytes in base64.
const KEY: usize = 24;
/// The most bytes of a request's head.
const MOST_HEAD: usize = 16 * 1024;
const MOST_HEADERS: usize = 64;
/// How long somebody may look at pages over one connection.
const LONGEST_VISIT: Duration = Duration::from_secs(60);
