//! Who may come in, as what, and for how long.

mod audit;
mod knocks;
mod start;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

pub(super) use self::audit::{Audit, Record};
use self::knocks::Knocks;
use crate::media::{Pattern, Role, TokenId};
use crate::transport::{Exporter, Seldom};
use crate::trust::{Stamp, StoredKey, Token, TokenStore, Tokens, TrustError};
use crate::wire::{CloseCode, Hello};

/// Decides who comes in.
#[derive(Debug)]
pub(super) struct Gate {
    /// Anybody may watch.
    open: bool,
    /// Without one the tokens live as long as the server.
    store: Option<TokenStore>,
    tokens: watch::Sender<Arc<Tokens>>,
    knocks: Mutex<Knocks>,
    /// The file as it was when it was last looked at.
    seen: Mutex<Option<Stamp>>,
    /// Of those times when it could not be read.
    unread: Seldom,
    /// Viewers at once, by token.
    seats: Arc<Mutex<HashMap<TokenId, u32>>>,
    /// Who may be kept waiting for an answer; more are answered at once, so that nobody fills the house by waiting.
    waiting: Arc<Semaphore>,
    audit: Audit,
    began: Instant,
}

/// What somebody who came in may do.
#[derive(Debug)]
pub(super) struct Pass {
    pub(super) role: Role,
    /// By which; without one, because anybody may.
    token: Option<Token>,
    _seat: Option<Seat>,
}

/// A viewer of a token, for as long as it is kept.
#[derive(Debug)]
struct Seat {
    seats: Arc<Mutex<HashMap<TokenId, u32>>>,
    id: TokenId,
}

/// Why somebody does not come in, or does not stay.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) code: CloseCode,
    /// For a person: why, and what to try.
    pub(super) words: String,
    /// It is one of very many, and need not be taken down.
    pub(super) quiet: bool,
    /// How long he is to wait for it, and his right to wait.
    pub(super) wait: Option<(Duration, OwnedSemaphorePermit)>,
}

impl Refusal {
    fn new(code: CloseCode, words: impl Into<String>) -> Self {
        Self {
            code,
            words: words.into(),
            quiet: false,
            wait: None,
        }
    }
}

impl Gate {
    fn with(tokens: Tokens, store: Option<TokenStore>, open: bool, audit: Audit) -> Self {
        Self {
            open,
            store,
            tokens: watch::Sender::new(Arc::new(tokens)),
            knocks: Mutex::default(),
            seen: Mutex::default(),
            unread: Seldom::default(),
            seats: Arc::default(),
            waiting: Arc::new(Semaphore::new(MOST_WAITING)),
            audit,
            began: clock(),
        }
    }

    /// Whether who says this, over the link that has this exporter, may come in.
    pub(super) fn ask(
        &self,
        hello: &Hello,
        exporter: Option<Exporter>,
        addr: SocketAddr,
        now: Instant,
    ) -> Result<Pass, Refusal> {
        if self.open && hello.role == Role::Watch {
            return Ok(Pass::for_anybody());
        }
        let role = hello.role;
        // Who has a good token is let in also where somebody else at his address guesses.
        let known = self.known(hello, exporter);
        if known.is_none()
            && let Some(left) = lock(&self.knocks).shut(addr, now)
        {
            let words = format!(
                "too many wrong tokens came from your address: try again in {} s",
                left.as_secs() + 1
            );
            let refusal = Refusal::new(CloseCode::Busy, words);
            return Err(Refusal {
                quiet: true,
                ..refusal
            });
        }
        let Some(token) = known.or_else(|| self.made_lately(hello, exporter)) else {
            let words = if hello.token.is_none() {
                format!(
                    "it wants a token with the role '{role}', and the link has none: copy the link whole, with all that follows #, or ask its owner for one"
                )
            } else {
                format!(
                    "the link's token is wrong or was taken back: ask its owner for a new link, with the role '{role}'"
                )
            };
            let mut refusal = Refusal::new(CloseCode::Unauthorized, words);
            let wait = lock(&self.knocks).failed(addr, now);
            let place = Arc::clone(&self.waiting).try_acquire_owned();
            refusal.wait = place.ok().map(|place| (wait, place));
            return Err(refusal);
        };
        if token.is_over(seconds()) {
            let words = "the time of the link's token is over: ask its owner for a new link";
            return Err(Refusal::new(CloseCode::Unauthorized, words));
        }
        if !token.role.includes(role) {
            let words = format!(
                "this needs a token with the role '{role}', and the link's is for '{}': ask its owner for another link",
                token.role
            );
            return Err(Refusal::new(CloseCode::Forbidden, words));
        }
        if let Some(publish) = &hello.publish
            && !token.streams.matches(publish.stream.as_str())
        {
            let words = format!(
                "the link's token is for streams like '{}', not for '{}'",
                token.streams, publish.stream
            );
            return Err(Refusal::new(CloseCode::Forbidden, words));
        }
        let seat = match role {
            Role::Watch => Some(self.seat(&token)?),
            Role::Publish | Role::Control | Role::Admin => None,
        };
        Ok(Pass {
            role,
            token: Some(token),
            _seat: seat,
        })
    }

    /// The token that is proven, if it was made a moment ago.
    fn made_lately(&self, hello: &Hello, exporter: Option<Exporter>) -> Option<Token> {
        hello.token.as_ref()?;
        // Somebody else may have read it meanwhile, so that this has nothing new.
        self.look();
        self.known(hello, exporter)
    }

    /// The token that is proven, by what was read last. Whether it is unknown or the proof is wrong takes the same work.
    fn known(&self, hello: &Hello, exporter: Option<Exporter>) -> Option<Token> {
        let (proof, channel) = (hello.token.as_ref()?, exporter?);
        let tokens = Arc::clone(&self.tokens.borrow());
        let token = tokens.find(proof.id);
        let key = token.map_or(StoredKey::nobody(), |token| token.key);
        let good = key.accepts(
            proof.proof.as_bytes(),
            &channel,
            hello.role,
            hello.bound_name(),
        );
        token.filter(|_| good).cloned()
    }

    fn seat(&self, token: &Token) -> Result<Seat, Refusal> {
        let mut seats = lock(&self.seats);
        let taken = seats.entry(token.id).or_default();
        if let Some(most) = token.max_viewers
            && *taken >= most
        {
            let words = format!("as many viewers as the link's token is for ({most}) are there");
            return Err(Refusal::new(CloseCode::Busy, words));
        }
        *taken += 1;
        Ok(Seat {
            seats: Arc::clone(&self.seats),
            id: token.id,
        })
    }

    /// Why this pass is not good any more; `None` while it is.
    pub(super) fn over(&self, pass: &Pass) -> Option<Refusal> {
        let had = pass.token.as_ref()?;
        let tokens = Arc::clone(&self.tokens.borrow());
        let words = match tokens.find(had.id) {
            Some(token) if token.is_over(seconds()) => "the time of the link's token is over",
            Some(token)
                if token.key == had.key
                    && token.role.includes(pass.role)
                    && token.streams == had.streams =>
            {
                return None;
            }
            Some(_) => "the link's token is for something else now",
            None => "the link's token was taken back",
        };
        let words = format!("{words}: ask its owner for a new link");
        Some(Refusal::new(CloseCode::Revoked, words))
    }

    /// When the pass is over by itself, at `now`.
    pub(super) fn until(&self, pass: &Pass, now: Instant) -> Option<Instant> {
        let id = pass.token.as_ref()?.id;
        let tokens = Arc::clone(&self.tokens.borrow());
        let expires = tokens.find(id)?.expires?;
        let end = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(expires))?;
        let left = end.duration_since(wall()).unwrap_or_default();
        now.checked_add(left)
    }

    /// Told whenever the tokens have changed.
    pub(super) fn changes(&self) -> watch::Receiver<Arc<Tokens>> {
        self.tokens.subscribe()
    }

    /// When the server was started.
    pub(super) const fn began(&self) -> Instant {
        self.began
    }

    /// Whether anybody may watch.
    pub(super) const fn is_open(&self) -> bool {
        self.open
    }

    pub(super) fn tokens(&self) -> Arc<Tokens> {
        Arc::clone(&self.tokens.borrow())
    }

    /// Takes a token back, here and in the file.
    pub(super) fn revoke(&self, id: TokenId) -> Result<(), TrustError> {
        let remove = |tokens: &mut Tokens| {
            let removed = tokens.remove(id);
            removed.ok_or(TrustError::NoToken { id })
        };
        if let Some(store) = &self.store {
            store.change(remove)?;
        } else {
            remove(&mut Tokens::clone(&self.tokens()))?;
        }
        self.tokens.send_modify(|tokens| {
            let mut fewer = Tokens::clone(tokens);
            let _known = fewer.remove(id);
            *tokens = Arc::new(fewer);
        });
        Ok(())
    }

    pub(super) fn note(&self, record: &Record<'_>) {
        self.audit.note(record);
    }

    /// Reads the tokens again when their file has changed, and when it is `said`, until `stop`.
    pub(super) async fn follow(
        self: Arc<Self>,
        mut said: watch::Receiver<u64>,
        stop: CancellationToken,
    ) {
        if self.store.is_none() {
            return;
        }
        let mut look = time::interval(LOOK);
        look.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = look.tick() => {}
                // Also where nothing can be seen of a change.
                Ok(()) = said.changed() => *lock(&self.seen) = None,
            }
            let gate = Arc::clone(&self);
            if let Err(err) = tokio::task::spawn_blocking(move || gate.look()).await {
                warn!(%err, "the tokens could not be read again");
            }
        }
    }

    /// Reads the tokens again if their file is another than it was. What cannot be read changes nothing.
    fn look(&self) {
        let Some(store) = &self.store else {
            return;
        };
        let mut seen = lock(&self.seen);
        let now = store.stamp();
        if *seen == now {
            return;
        }
        match store.read() {
            Ok(Some(tokens)) => {
                *seen = now;
                info!(tokens = tokens.iter().count(), "the tokens are read");
                self.tokens.send_if_modified(|had| {
                    let news = **had != tokens;
                    if news {
                        *had = Arc::new(tokens);
                    }
                    news
                });
            }
            Ok(None) => {
                *seen = now;
                warn!(
                    path = %store.path().display(),
                    "the file of the tokens is gone: those that were read last stay good until the server ends"
                );
            }
            // What was mended need not look different, so it is read again and again.
            Err(err) => {
                if let Some(times) = self.unread.now() {
                    warn!(%err, times, "the tokens that were read last stay good until this is mended");
                }
            }
        }
    }
}

impl Pass {
    /// To watch, where anybody may.
    pub(super) const fn for_anybody() -> Self {
        Self {
            role: Role::Watch,
            token: None,
            _seat: None,
        }
    }

    /// By which token.
    pub(super) fn token(&self) -> Option<TokenId> {
        self.token.as_ref().map(|token| token.id)
    }

    /// Which streams.
    pub(super) fn streams(&self) -> Pattern {
        let token = self.token.as_ref();
        token.map_or_else(Pattern::any, |token| token.streams.clone())
    }

    /// The most to send, in bits a second.
    pub(super) fn max_bps(&self) -> Option<u64> {
        self.token.as_ref()?.max_bps
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut seats = lock(&self.seats);
        if let Some(taken) = seats.get_mut(&self.id) {
            *taken -= 1;
            if *taken == 0 {
                seats.remove(&self.id);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[expect(clippy::disallowed_methods, reason = "tokens end in wall time")]
fn wall() -> SystemTime {
    SystemTime::now()
}

#[expect(clippy::disallowed_methods, reason = "the server starts now")]
fn clock() -> Instant {
    Instant::now()
}

/// Since 1970.
fn seconds() -> u64 {
    let since = wall().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

/// How often it is looked whether the tokens have changed.
const LOOK: Duration = Duration::from_millis(400);
const MOST_WAITING: usize = 64;

#[cfg(test)]
mod tests;
