//! Tokens: what gives somebody a right on a server, and how that is proven without being said.
//!
//! A token is a [`Secret`] of 128 random bits. The server keeps a [`StoredKey`] of it, with which a proof can be checked
//! and none be made (as in SCRAM, RFC 5802). A proof holds for one TLS session, one role and one stream, so that nobody who
//! sees it can say it again.

mod list;
mod secret;
mod store;

pub use crate::file::Stamp;
pub use list::{MOST_TOKEN_NAME, MOST_TOKENS, Token, Tokens};
pub use secret::{Secret, SecretError, StoredKey, TOKEN_TEXT};
pub use store::{OwnLinks, TokenStore};
