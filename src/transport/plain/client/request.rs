//! The requests, as an honest web client writes them.

use bytes::Bytes;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderValue, Method, Request};
use http_body_util::Full;

use super::Error;
use crate::transport::plain::query::{Asked, Id, WORD, write_word};

/// What all requests of a session have in common.
#[derive(Debug)]
pub(super) struct Asking {
    host: HeaderValue,
    path: String,
    id: Id,
}

impl Asking {
    /// For a session with an id of its own.
    pub(super) fn new<E>(authority: &str, path: &str) -> Result<Self, Error<E>> {
        let host = HeaderValue::from_str(authority);
        let asking = Self {
            host: host.map_err(|error| Error::Unaskable(error.into()))?,
            path: path.into(),
            id: Id::random().ok_or(Error::NoRandom)?,
        };
        // So that what is wrong with the path is found now.
        asking.request(Asked::Stream, Bytes::new())?;
        Ok(asking)
    }

    /// With these `bytes` to go up, if there are to be any.
    pub(super) fn request<E>(
        &self,
        asked: Asked,
        bytes: Bytes,
    ) -> Result<Request<Full<Bytes>>, Error<E>> {
        let Self { host, path, id } = self;
        let (method, uri) = match asked {
            Asked::Stream => (Method::GET, format!("{path}?t={id}")),
            Asked::Piece(number) => (Method::GET, format!("{path}?t={id}&g={number}")),
            Asked::Up(number) => (Method::POST, format!("{path}?t={id}&n={number}")),
            Asked::Word(number) => (Method::GET, format!("{path}?t={id}&n={number}")),
        };
        let mut request = Request::builder()
            .method(&method)
            .uri(uri)
            .header(HOST, host)
            .header(USER_AGENT, AGENT)
            .header(ACCEPT, "*/*")
            .header(CACHE_CONTROL, "no-store");
        let mut body = Bytes::new();
        if method == Method::POST {
            request = request
                .header(CONTENT_TYPE, "application/octet-stream")
                .header(CONTENT_LENGTH, bytes.len());
            body = bytes;
        } else if !bytes.is_empty() {
            request = request.header(WORD, write_word(&bytes));
        }
        request.body(Full::new(body)).map_err(Error::Unaskable)
    }
}

const AGENT: &str = concat!("tunnelcast/", env!("CARGO_PKG_VERSION"));

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[test]
    fn a_post_without_bytes_says_so_and_every_request_names_its_session() {
        let asking = Asking::new::<Infallible>("cam:8443", "/cam").unwrap();
        let post = asking
            .request::<Infallible>(Asked::Up(7), Bytes::new())
            .unwrap();
        assert_eq!(post.headers()[CONTENT_LENGTH], "0");
        assert_eq!(post.headers()[HOST], "cam:8443");
        let id = asking.id;
        assert_eq!(post.uri().to_string(), format!("/cam?t={id}&n=7"));
        let get = asking
            .request::<Infallible>(Asked::Piece(1), Bytes::new())
            .unwrap();
        assert_eq!(get.uri().to_string(), format!("/cam?t={id}&g=1"));
        assert!(!get.headers().contains_key(CONTENT_LENGTH));
        let word = asking
            .request::<Infallible>(Asked::Word(7), Bytes::from_static(&[0xFF, 0xEF]))
            .unwrap();
        assert_eq!((word.method(), word.uri()), (&Method::GET, post.uri()));
        assert_eq!(word.headers()["tunnelcast-up"], "_-8");
        assert!(!word.headers().contains_key(CONTENT_LENGTH));
    }

    #[test]
    fn a_path_that_cannot_stand_in_a_request_is_found_before_one_is_sent() {
        let asking = Asking::new::<Infallible>("cam", "/a b\r\n");
        assert!(matches!(asking, Err(Error::Unaskable(_))));
        let asking = Asking::new::<Infallible>("cam\r\nX: y", "/cam");
        assert!(matches!(asking, Err(Error::Unaskable(_))));
    }
}
