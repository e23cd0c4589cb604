//! The tokens that a server begins with, and the links that it prints.

use super::{Audit, Gate, seconds};
use crate::config::Access;
use crate::error::Error;
use crate::media::Role;
use crate::trust::{MOST_TOKENS, OwnLinks, Secret, Token, TokenStore, Tokens, TrustError};

impl Gate {
    /// Reads the tokens, or makes two at the first start: one to watch and one to publish. The secrets of these are kept
    /// beside, so that the server's links stay the same; whoever takes them back gets no others by himself.
    pub(in crate::server) fn start(access: &Access) -> Result<(Self, OwnLinks), Error> {
        let audit = match &access.audit_log {
            Some(path) => Audit::open(path).map_err(|source| TrustError::Write {
                path: path.clone(),
                source,
            })?,
            None => Audit::default(),
        };
        let store = access.state.clone().map(TokenStore::new);
        let (tokens, links) = match &store {
            Some(store) => stored(store)?,
            None => {
                let mut tokens = Tokens::default();
                let links = fresh(&mut tokens)?;
                (tokens, links)
            }
        };
        let good = |secret: Option<Secret>| {
            secret.filter(|secret| {
                let token = tokens.find(secret.id());
                token.is_some_and(|token| !token.is_over(seconds()))
            })
        };
        let links = OwnLinks {
            watch: good(links.watch).filter(|_| !access.open),
            publish: good(links.publish),
        };
        Ok((Self::with(tokens, store, access.open, audit), links))
    }
}

/// What there is, or what is made at the first start.
fn stored(store: &TokenStore) -> Result<(Tokens, OwnLinks), Error> {
    if let Some(tokens) = store.read()? {
        return Ok((tokens, store.own_links()?));
    }
    let mut links = OwnLinks::default();
    let tokens = store.change(|tokens| {
        // Another server may have been first.
        if tokens.iter().next().is_none() {
            links = fresh(tokens)?;
            store.keep_links(&links)?;
        } else {
            links = store.own_links()?;
        }
        Ok(tokens.clone())
    })?;
    Ok((tokens, links))
}

/// A token to watch and one to publish.
fn fresh(tokens: &mut Tokens) -> Result<OwnLinks, TrustError> {
    let mut token = |role| {
        let secret = Secret::fresh()?;
        let token = Token {
            name: Some("made at the first start".to_owned()),
            ..Token::new(&secret, role, seconds())
        };
        if tokens.add(token) {
            Ok(secret)
        } else {
            Err(TrustError::TooManyTokens { limit: MOST_TOKENS })
        }
    };
    Ok(OwnLinks {
        watch: Some(token(Role::Watch)?),
        publish: Some(token(Role::Publish)?),
    })
}
