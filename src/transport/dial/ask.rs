//! One HTTP request inside TLS, and whether the answer grants what it asks for.

use std::io;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::client::TlsStream;

use super::{DialError, handshake};
use crate::transport::answer::{self, Answer, Head, Wanted};
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
        let mut head = Head::default();
        loop {
            match head.parse(&bytes, wanted) {
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
            let title = answer::page_title(tls, bytes.split_off(length)).await;
            Asked::Refused { status, title }
        }
    })
}

const FIRST_READ: usize = 4096;
