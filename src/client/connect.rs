//! From a link to a connection with the server that was meant.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use super::ladder;
use super::reach::{Reached, Target, reach};
use super::words::Words;
use crate::{
    config::{Through, Watch},
    error::Error,
    session::client::Opening,
    transport::{
        Carrier, First,
        dial::DialError,
        memory::Memory,
        proxy::{Credentials, Proxy, ProxyError, of_environment},
        race::Ways,
    },
    trust::{
        KnownServers, Pin, Policy, Rejection, Secret, Seen, classical_client_config, client_config,
        outer_client_config, quic_client_config, sealed_client_config,
    },
};

/// Asks a person whether a server that nobody vouches for is the right one.
pub trait Ask: Send + Sync {
    /// Whether `host` and `port`, which have shown `seen`, are accepted from now on.
    ///
    /// # Errors
    /// Nobody can be asked, with the reason.
    fn accept(&self, host: &str, port: u16, seen: &Seen) -> Result<bool, &'static str>;

    /// The user and the password for `proxy`, which calls what they are for `realm` (it may be empty); `None` if nobody
    /// can or will say.
    fn credentials(&self, proxy: &str, realm: &str) -> Option<Credentials> {
        let _nobody = (proxy, realm);
        None
    }
}

/// Connects to one server, again and again.
pub(crate) struct Connector {
    target: Target,
    /// Where accepted keys are remembered; not needed when the link has the key.
    known: Option<KnownServers>,
    ask: Arc<dyn Ask>,
    token: Option<Secret>,
}

impl Connector {
    pub(crate) fn new(config: &Watch, ask: Arc<dyn Ask>, memory: Memory) -> Result<Self, Error> {
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
        let token = link.token.as_deref().map(str::parse).transpose()?;
        let proxy = proxy(config)?;
        let ways = match (&proxy, config.ways) {
            // Whoever has named a proxy wants neither to ask for names himself nor to be seen by the server.
            (Some(_), Ways::All) => Ways::Over(Carrier::Tcp),
            (_, ways) => ways,
        };
        let target = Target {
            host: link.host.clone(),
            port: link.port,
            path: link.path(),
            tls: client_config(policy.clone(), &link.host, link.port)?,
            classical: classical_client_config(policy.clone(), &link.host, link.port)?,
            inner: sealed_client_config(policy.clone(), &link.host, link.port)?,
            outer: outer_client_config(&link.host)?,
            quic: quic_client_config(policy, &link.host, link.port)?,
            ways,
            inspected: config.inspected,
            proxy,
            memory: Arc::new(Mutex::new(memory)),
            held: Arc::default(),
        };
        Ok(Self {
            target,
            known,
            ask,
            token,
        })
    }

    /// `HOST:PORT` for a person.
    pub(crate) fn server(&self) -> String {
        self.target.server()
    }

    /// A session's first words, as they are said over whatever link, with the token of the server's link.
    pub(crate) fn words(&self, opening: Opening) -> Arc<dyn First> {
        Arc::new(Words::new(opening, self.token.clone()))
    }

    /// Connects, and says the first words together with the request; asks the person where the server is a stranger.
    pub(crate) async fn dial(&mut self, opening: Opening) -> Result<Reached, Error> {
        let first = self.words(opening);
        for _ in 0..QUESTIONS {
            match reach(&self.target, Arc::clone(&first)).await {
                Ok(reached) => return Ok(reached),
                Err(err) => self.judge(err).await?,
            }
        }
        Ok(reach(&self.target, first).await?)
    }

    /// Sees to it that the person has been asked about a stranger before several attempts are made at once.
    ///
    /// # Errors
    /// The key is not accepted. A server that cannot be reached over TLS is none.
    pub(crate) async fn introduce(&mut self) -> Result<(), Error> {
        for _ in 0..QUESTIONS {
            match ladder::tcp(&self.target, &NOTHING).await {
                // Where the link decides, there is nobody to ask.
                Err(err) if err.rejection().is_some() && self.known.is_none() => return Ok(()),
                Err(err) if err.is_refusal() => self.judge(err).await?,
                Ok(_) | Err(_) => return Ok(()),
            }
        }
        Ok(())
    }

    /// Whom it connects to.
    pub(crate) const fn target(&self) -> &Target {
        &self.target
    }

    /// Asks the person where the server is a stranger, or a proxy wants to know who is there; `Ok` if another attempt may
    /// do better.
    async fn judge(&mut self, err: DialError) -> Result<(), Error> {
        if let (DialError::Proxy(ProxyError::NeedsCredentials { realm, .. }), Some(proxy)) =
            (&err, &self.target.proxy)
            && !proxy.has_credentials()
        {
            let (ask, name, realm) = (Arc::clone(&self.ask), proxy.name(), realm.clone());
            let answer = tokio::task::spawn_blocking(move || ask.credentials(&name, &realm)).await;
            let Ok(Some(credentials)) = answer else {
                return Err(Error::Dial(err));
            };
            self.target.proxy = Some(proxy.clone().with_credentials(credentials));
            return Ok(());
        }
        let stranger = match err.rejection() {
            Some(Rejection::Untrusted { seen, .. }) if self.known.is_some() => seen.clone(),
            _ => return Err(Error::Dial(err)),
        };
        let (ask, host, port) = (
            Arc::clone(&self.ask),
            self.target.host.clone(),
            self.target.port,
        );
        let pin = stranger.pin;
        let answer = tokio::task::spawn_blocking(move || ask.accept(&host, port, &stranger)).await;
        match answer.map_err(|err| Error::Runtime(std::io::Error::other(err)))? {
            Ok(true) => self.accept(pin),
            Ok(false) => Err(Error::NotAccepted("you said no")),
            Err(why) => Err(Error::NotAccepted(why)),
        }
    }

    /// How the same server is dialled again, over this carrier alone.
    pub(crate) fn again(&self, carrier: Carrier) -> Target {
        Target {
            ways: match self.target.ways {
                Ways::All => Ways::Over(carrier),
                Ways::Over(_) | Ways::Only(_) => self.target.ways,
            },
            ..self.target.clone()
        }
    }

    /// Whether there is but one way, or one carrier.
    pub(crate) const fn only(&self) -> bool {
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
        self.target.classical = classical_client_config(policy.clone(), host, port)?;
        self.target.inner = sealed_client_config(policy.clone(), host, port)?;
        self.target.quic = quic_client_config(policy, host, port)?;
        Ok(())
    }
}

/// The proxy that was named, or that is set for this host. One that is only set leads to other machines.
fn proxy(config: &Watch) -> Result<Option<Proxy>, Error> {
    let host = config.link.host.as_str();
    let here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    match &config.proxy {
        Through::Nothing => Ok(None),
        Through::This(proxy) => Ok(Some(proxy.clone())),
        Through::WhatIsSet if here => Ok(None),
        Through::WhatIsSet => Ok(of_environment(host, config.link.port)?),
    }
}

/// What a link is dialled with that is only looked at.
const NOTHING: [u8; 0] = [];
/// A person may be asked about a proxy, and then about a server.
const QUESTIONS: usize = 2;
