//! One HTTP request inside TLS, and whether the answer grants what it asks for.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::client::TlsStream;

use super::answer::{self, Answer, Head, Wanted};
use super::{DialError, handshake};
use crate::transport::base::Base;

/// What came of it.
#[derive(Debug)]
pub(super) enum Asked {
    /// The connection is what was asked for; these bytes of it have come already.
    Granted { early: BytesMut },
    /// Some page instead; its title is safe to print, and empty if there is none.
    Refused { status: u16, title: String },
}

/// Sends `request`, which asks for `wanted`.
pub(super) async fn ask(
    tls: &mut TlsStream<Base>,
    request: &[u8],
    wanted: Wanted<'_>,
    deadline: Instant,
    server: &str,
) -> Result<Asked, DialError> {
    let mut bytes = BytesMut::with_capacity(FIRST_READ);
    let asked = async {
        tls.write_all(request).await?;
        tls.flush().await?;
        let mut head = Head::new(wanted);
        loop {
            match head.parse(&bytes) {
                Ok(Some(answer)) => return Ok(Some(answer)),
                Ok(None) => {}
                Err(answer::NotHttp) => return Ok(None),
            }
            if tls.read_buf(&mut bytes).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    };
    let answer = timeout_at(deadline, asked)
        .await
        .map_err(|_| DialError::NoAnswer {
            server: server.into(),
        })?
        .map_err(|error| handshake::failed(error, &[], server))?
        .ok_or_else(|| DialError::NotHttp {
            server: server.into(),
        })?;
    Ok(match answer {
        Answer::Upgraded { length } => Asked::Granted {
            early: bytes.split_off(length),
        },
        Answer::Other { status, length } => {
            let mut body = bytes.split_off(length);
            let more = async {
                while body.len() < MOST_PAGE && answer::title(&body).is_none() {
                    if !tls.read_buf(&mut body).await.is_ok_and(|n| n > 0) {
                        break;
                    }
                }
            };
            // The page's title is a courtesy: without it the status must do.
            let _ = timeout(PAGE_WAIT, more).await;
            let title = answer::title(&body).unwrap_or_default();
            Asked::Refused { status, title }
        }
    })
}

const FIRST_READ: usize = 4096;
/// How much of a page is read to find its title, and for how long.
const MOST_PAGE: usize = 16 * 1024;
const PAGE_WAIT: Duration = Duration::from_millis(500);
