//! A link until it has turned, or until it is known that it will not.

use bytes::BytesMut;
use tokio::time;

use super::end::{Ended, WORDLESS, ended};
use super::knock::{Answer, Knock};
use crate::client::Reached;
use crate::drive::Early;
use crate::error::Error;
use crate::transport::Ready;

/// A link that has turned.
pub(super) struct Welcomed {
    pub(super) there: Reached,
}

/// Why there is none.
pub(super) enum Fault {
    /// It may be there the next time.
    Lost(String),
    /// For good.
    Failed(Error),
}

impl Fault {
    /// The same for a person.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Lost(why) => why.clone(),
            Self::Failed(err) => err.to_string(),
        }
    }
}

/// Waits for the server's first word on a link.
pub(super) async fn welcomed(mut there: Reached) -> Result<Welcomed, Fault> {
    let mut knock = Knock::default();
    let mut nothing = BytesMut::new();
    let lost = |why: &str| Fault::Lost(why.to_owned());
    loop {
        match knock.take(&mut there.early.stream) {
            Err(err) => return Err(Fault::Failed(Error::Session(err))),
            Ok(Some(Answer::Welcome)) => {
                there.early.stream = knock.into_rest();
                return Ok(Welcomed { there });
            }
            Ok(Some(Answer::Goodbye(reason))) => {
                return Err(match ended(&reason) {
                    Ended::Failed(err) => Fault::Failed(err),
                    Ended::Lost(why) => Fault::Lost(why),
                    Ended::Done => lost("the server said goodbye"),
                });
            }
            Ok(None) => {}
        }
        let Early {
            stream, datagrams, ..
        } = &mut there.early;
        let ready = there.link.ready(stream, &mut nothing);
        match time::timeout(WORDLESS, ready).await {
            Ok(Ok(Ready::Datagram(datagram))) if datagrams.len() < MOST_EARLY => {
                datagrams.push(datagram);
            }
            Ok(Ok(Ready::Read(_) | Ready::Wrote(_) | Ready::Room | Ready::Frame(_))) => {}
            Ok(Ok(Ready::Datagram(_) | Ready::Eof) | Err(_)) => {
                return Err(lost("the connection was cut"));
            }
            Err(_) => return Err(lost("the server says nothing")),
        }
    }
}

/// Datagrams before the first word.
const MOST_EARLY: usize = 64;
