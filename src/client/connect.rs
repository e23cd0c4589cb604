//! From a link to a connection with the server that was meant.

use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::reach::{Reached, Target, reach};
use crate::{
    config::Watch,
    error::Error,
    transport::{Carrier, memory::Memory, race::Ways},
    trust::{KnownServers, Pin, Policy, Rejection, Seen, client_config, quic_client_config},
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
    target: Target,
    /// Where accepted keys are remembered; not needed when the link has the key.
    known: Option<KnownServers>,
    ask: Arc<dyn Ask>,
}

impl Connector {
    pub(super) fn new(config: &Watch, ask: Arc<dyn Ask>) -> Result<Self, Error> {
        let link = &config.link;
        let (policy, known) = match link.pin {
            Some(pin) => (Policy::Pinned(pin), None),
            None => {
                let known = match &config.known_servers {
                    Some(path) => KnownServers::open(path)?,
                    None => KnownServers::of_user()?,
                };
                (Policy::SystemOrKnown(known.clone()), Some(known))
            }
        };
        let memory = config
            .networks
            .as_deref()
            .map_or_else(Memory::of_user, Memory::open);
        let target = Target {
            host: link.host.clone(),
            port: link.port,
            path: link.path(),
            tls: client_config(policy.clone(), &link.host, link.port)?,
            quic: quic_client_config(policy, &link.host, link.port)?,
            ways: config.ways,
            memory: Arc::new(Mutex::new(memory)),
        };
        Ok(Self { target, known, ask })
    }

    /// `HOST:PORT` for a person.
    pub(super) fn server(&self) -> String {
        if self.target.host.contains(':') {
            format!("[{}]:{}", self.target.host, self.target.port)
        } else {
            format!("{}:{}", self.target.host, self.target.port)
        }
    }

    /// Connects, and sends `first` together with the request; asks the person where the server is a stranger.
    pub(super) async fn dial(&mut self, first: Bytes) -> Result<Reached, Error> {
        let stranger = match reach(&self.target, first.clone()).await {
            Ok(reached) => return Ok(reached),
            Err(err) => match err.rejection() {
                Some(Rejection::Untrusted { seen, .. }) if self.known.is_some() => seen.clone(),
                _ => return Err(Error::Dial(err)),
            },
        };
        let (ask, host, port) = (
            Arc::clone(&self.ask),
            self.target.host.clone(),
            self.target.port,
        );
        let pin = stranger.pin;
        let answer = tokio::task::spawn_blocking(move || ask.accept(&host, port, &stranger)).await;
        match answer.map_err(|err| Error::Runtime(std::io::Error::other(err)))? {
            Ok(true) => self.accept(pin)?,
            Ok(false) => return Err(Error::NotAccepted("you said no")),
            Err(why) => return Err(Error::NotAccepted(why)),
        }
        Ok(reach(&self.target, first).await?)
    }

    /// How the same server is dialled again, over this carrier alone.
    pub(super) fn again(&self, carrier: Carrier) -> Target {
        Target {
            ways: match self.target.ways {
                Ways::All => Ways::Over(carrier),
                only => only,
            },
            ..self.target.clone()
        }
    }

    /// Whether there is but one way, or one carrier.
    pub(super) const fn only(&self) -> bool {
        !matches!(self.target.ways, Ways::All)
    }

    /// The person knows this key.
    fn accept(&mut self, pin: Pin) -> Result<(), Error> {
        let Some(known) = &mut self.known else {
            return Ok(());
        };
        let (host, port) = (&self.target.host, self.target.port);
        known.remember(host, port, pin)?;
        let policy = Policy::SystemOrKnown(known.clone());
        self.target.tls = client_config(policy.clone(), host, port)?;
        self.target.quic = quic_client_config(policy, host, port)?;
        Ok(())
    }
}
