//! What a server knows of its tokens, and how that stands in a file.

use serde::{Deserialize, Serialize};

use super::StoredKey;
use crate::media::{Pattern, Role, TokenId};

/// A token as its server knows it: everything but the secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// What it is called.
    pub id: TokenId,
    /// What checks it.
    pub key: StoredKey,
    /// What it lets its owner be.
    pub role: Role,
    /// Of which streams.
    pub streams: Pattern,
    /// For whom, in the owner's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    /// When its time is over, in seconds since 1970; never, without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
    /// As many viewers at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_viewers: Option<u32>,
    /// The most for each of them, in bits a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_bps: Option<u64>,
}

impl Token {
    /// Of this secret, for every stream, for ever, without limits.
    pub fn new(secret: &super::Secret, role: Role, created: u64) -> Self {
        Self {
            id: secret.id(),
            key: secret.stored_key(),
            role,
            streams: Pattern::any(),
            name: None,
            created,
            expires: None,
            max_viewers: None,
            max_bps: None,
        }
    }

    /// Whether its time is over at `now`, in seconds since 1970.
    pub fn is_over(&self, now: u64) -> bool {
        self.expires.is_some_and(|end| now >= end)
    }
}

/// All tokens of a server, at most [`MOST_TOKENS`], each id once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tokens(Vec<Token>);

/// As it stands in the file.
#[derive(Serialize, Deserialize)]
struct File {
    version: u32,
    tokens: Vec<Token>,
}

impl Tokens {
    /// Reads what [`to_json`](Self::to_json) has written, and people may have changed.
    ///
    /// # Errors
    /// What is wrong with it, in a few words.
    pub fn from_json(text: &[u8]) -> Result<Self, String> {
        let file: File = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        if file.version != VERSION {
            return Err(format!(
                "it is of version {}, and this program reads version {VERSION}",
                file.version
            ));
        }
        let mut tokens = Self::default();
        for token in file.tokens {
            if tokens.find(token.id).is_some() {
                return Err(format!("token {} is there twice", token.id));
            }
            if tokens.0.len() == MOST_TOKENS {
                return Err(format!("there are more than {MOST_TOKENS} tokens"));
            }
            tokens.0.push(token);
        }
        Ok(tokens)
    }

    /// As it stands in the file.
    pub fn to_json(&self) -> Vec<u8> {
        let file = File {
            version: VERSION,
            tokens: self.0.clone(),
        };
        let mut text = serde_json::to_vec_pretty(&file).unwrap_or_default();
        text.push(b'\n');
        text
    }

    /// Adds one; not if there are too many.
    #[must_use]
    pub fn add(&mut self, token: Token) -> bool {
        let room = self.0.len() < MOST_TOKENS && self.find(token.id).is_none();
        if room {
            self.0.push(token);
        }
        room
    }

    /// Takes one away; `None` if it is not there.
    pub fn remove(&mut self, id: TokenId) -> Option<Token> {
        let at = self.0.iter().position(|token| token.id == id)?;
        Some(self.0.remove(at))
    }

    /// Forgets those that were over before `time`, in seconds since 1970.
    pub fn forget_before(&mut self, time: u64) {
        self.0.retain(|token| !token.is_over(time));
    }

    /// The one of this name.
    pub fn find(&self, id: TokenId) -> Option<&Token> {
        self.0.iter().find(|token| token.id == id)
    }

    /// All of them, the oldest first.
    pub fn iter(&self) -> std::slice::Iter<'_, Token> {
        self.0.iter()
    }
}

/// The most tokens of a server: with the longest names they stay below what is read of a file.
pub const MOST_TOKENS: usize = 2000;
/// The most bytes of what a token is for.
pub const MOST_TOKEN_NAME: usize = 64;
const VERSION: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trust::Secret;

    fn token(n: u8) -> Token {
        Token::new(&Secret::from_bytes([n; 16]), Role::Watch, 1_000)
    }

    #[test]
    fn what_is_written_is_read_and_holds_no_secret() {
        let mut tokens = Tokens::default();
        assert!(tokens.add(token(1)));
        assert!(tokens.add(Token {
            role: Role::Publish,
            streams: "cam*".parse().unwrap(),
            name: Some("the \"garden\"".to_owned()),
            expires: Some(2_000),
            max_viewers: Some(3),
            max_bps: Some(5_000_000),
            ..token(2)
        }));
        assert!(!tokens.add(token(1)), "it is there");
        let text = tokens.to_json();
        assert_eq!(Tokens::from_json(&text), Ok(tokens.clone()));
        let text = String::from_utf8(text).unwrap();
        assert!(!text.contains(&Secret::from_bytes([1; 16]).to_string()));
        assert!(tokens.remove(token(1).id).is_some());
        assert!(tokens.remove(token(1).id).is_none());
        assert_eq!(tokens.iter().count(), 1);
        tokens.forget_before(2_000);
        assert_eq!(tokens.iter().count(), 0);
    }

    #[test]
    fn what_was_damaged_is_told_and_nothing_of_it_taken() {
        let mut tokens = Tokens::default();
        assert!(tokens.add(token(1)));
        let good = String::from_utf8(tokens.to_json()).unwrap();
        for (bad, words) in [
            (String::new(), "EOF"),
            (good[..good.len() / 2].to_owned(), "EOF"),
            (
                good.replace("\"version\": 1", "\"version\": 2"),
                "version 2",
            ),
            (good.replace("\"watch\"", "\"king\""), "king"),
            (good.replace("\"*\"", "\"a/b\""), "pattern"),
        ] {
            let error = Tokens::from_json(bad.as_bytes()).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
        let one = serde_json::to_string(&token(1)).unwrap();
        let twice = format!("{{\"version\":1,\"tokens\":[{one},{one}]}}");
        assert!(
            Tokens::from_json(twice.as_bytes())
                .unwrap_err()
                .contains("twice")
        );
    }

    #[test]
    fn a_token_ends_on_its_second() {
        let ends = Token {
            expires: Some(100),
            ..token(1)
        };
        assert!(!ends.is_over(99));
        assert!(ends.is_over(100));
        assert!(!token(1).is_over(u64::MAX));
    }
}
