//! From a link to a connection with the server that was meant.

use std::{path::Path, sync::Arc};

use rustls::ClientConfig;

use crate::{
    error::Error,
    transport::{Link, dial},
    trust::{self, KnownServers, Policy, Rejection, Seen, client_config},
};

/// Asks a person whether a server that nobody vouches for is the right one.
pub trait Ask: Send + Sync {
    /// Whether `host` and `port`, which have shown `seen`, are accepted from now on.
    ///
    /// # Errors
    /// Nobody can be asked, with the reason.
    fn accept(&self, host: &str, port: u16, seen: &Seen) -> Result<bool, &'static str>;
}

/// Connects to one server, again and again.
pub(super) struct Connector {
    host: String,
    port: u16,
    stream: String,
    config: Arc<ClientConfig>,
    /// Where accepted keys are remembered; not needed when the link has the key.
    known: Option<KnownServers>,
    ask: Arc<dyn Ask>,
}

impl Connector {
    pub(super) fn new(
        link: &trust::Link,
        known: Option<&Path>,
        ask: Arc<dyn Ask>,
    ) -> Result<Self, Error> {
        let (policy, known) = match link.pin {
            Some(pin) => (Policy::Pinned(pin), None),
            None => {
                let known = match known {
                    Some(path) => KnownServers::open(path)?,
                    None => KnownServers::of_user()?,
                };
                (Policy::SystemOrKnown(known.clone()), Some(known))
            }
        };
        let config = client_config(policy, &link.host, link.port)?;
        Ok(Self {
            host: link.host.clone(),
            port: link.port,
            stream: link.stream.clone(),
            config,
            known,
            ask,
        })
    }

    /// `HOST:PORT` for a person.
    pub(super) fn server(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Connects, and sends `first` together with the request; asks the person where the server is a stranger.
    pub(super) async fn dial(&mut self, first: &[u8]) -> Result<Link, Error> {
        match self.attempt(first).await {
            Err(Error::Dial(err)) => {
                let stranger = match err.rejection() {
                    Some(Rejection::Untrusted { seen, .. }) => seen.clone(),
                    _ => return Err(Error::Dial(err)),
                };
                let Some(known) = &mut self.known else {
                    return Err(Error::Dial(err));
                };
                let (ask, host, port) = (Arc::clone(&self.ask), self.host.clone(), self.port);
                let pin = stranger.pin;
                let answer =
                    tokio::task::spawn_blocking(move || ask.accept(&host, port, &stranger)).await;
                match answer.map_err(|err| Error::Runtime(std::io::Error::other(err)))? {
                    Ok(true) => known.remember(&self.host, self.port, pin)?,
                    Ok(false) => return Err(Error::NotAccepted("you said no")),
                    Err(why) => return Err(Error::NotAccepted(why)),
                }
                self.config =
                    client_config(Policy::SystemOrKnown(known.clone()), &self.host, self.port)?;
                self.attempt(first).await
            }
            done => done,
        }
    }

    async fn attempt(&self, first: &[u8]) -> Result<Link, Error> {
        let config = Arc::clone(&self.config);
        let target = dial::Target {
            host: &self.host,
            port: self.port,
            stream: &self.stream,
        };
        Ok(dial::tls(target, config, first, dial::Timeouts::default()).await?)
    }
}
