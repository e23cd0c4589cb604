//! `tunnelcast token`

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::{Duration, SystemTime},
};

use clap::{Args, Subcommand};
use serde::Serialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{Output, bitrate, duration};
use crate::{
    error::Error,
    media::{Pattern, Role, TokenId, is_stream_name},
    server,
    trust::{
        DEFAULT_PORT, Identity, Link, MOST_TOKEN_NAME, MOST_TOKENS, Secret, Token, TokenStore,
        TrustError,
    },
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make a token, and print the link that has it; a server that runs takes it at once
    New(Box<New>),
    /// Show what tokens there are; none of it is secret
    List(List),
    /// Take a token back; whoever came in by it is cut off within a second
    Revoke(Revoke),
}

#[derive(Debug, Args)]
struct New {
    /// What it lets its owner do: watch, publish, control or admin
    #[arg(long, value_name = "ROLE", default_value = "watch", value_parser = role)]
    role: Role,
    /// Which streams: a name, in which * stands for any characters and ? for one
    #[arg(long, value_name = "PATTERN", default_value = "*")]
    stream: Pattern,
    /// How long it is good, such as 2h [default: until it is revoked]
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    ttl: Option<Duration>,
    /// Viewers at once
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_viewers: Option<u32>,
    /// The most bits a second to each of its viewers, or from its publisher, such as 5M
    #[arg(long, value_name = "RATE", value_parser = bitrate::parse)]
    max_bitrate: Option<u64>,
    /// Whom or what it is for, in your own words
    #[arg(long, value_name = "TEXT", value_parser = words)]
    name: Option<String>,
    /// A link to the server, of which the new one takes all but the token
    #[arg(long, value_name = "LINK")]
    link: Option<Link>,
    /// Host in the link, without --link [default: this machine's address]
    #[arg(long, value_name = "HOST", conflicts_with = "link")]
    host: Option<String>,
    /// Port in the link, without --link
    #[arg(long, value_name = "PORT", default_value_t = DEFAULT_PORT, conflicts_with = "link")]
    port: u16,
    /// Directory of the server's key, for the link
    #[arg(long, value_name = "DIR", default_value = "certs")]
    certs: PathBuf,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
struct Revoke {
    /// As `token list` shows it
    #[arg(value_name = "ID", allow_hyphen_values = true)]
    id: TokenId,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
struct Place {
    /// Directory of the server's tokens
    #[arg(long, value_name = "DIR", default_value = "state")]
    state: PathBuf,
}

#[derive(Serialize)]
struct Made {
    id: TokenId,
    role: Role,
    streams: Pattern,
    expires: Option<String>,
    /// The secret.
    token: String,
    /// With it; only where the server's key is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<String>,
}

/// A token as it is listed.
#[derive(Serialize)]
struct Row {
    id: TokenId,
    role: Role,
    streams: Pattern,
    name: Option<String>,
    created: String,
    expires: Option<String>,
    expired: bool,
    max_viewers: Option<u32>,
    max_bps: Option<u64>,
}

#[derive(Serialize)]
struct Rows {
    tokens: Vec<Row>,
}

#[derive(Serialize)]
struct Revoked {
    id: TokenId,
}

impl Arguments {
    /// What the options' own rules do not see: a limit that would bind nobody.
    pub(super) fn make_sense(&self) -> Result<(), clap::Error> {
        let What::New(new) = &self.what else {
            return Ok(());
        };
        let (role, admin) = (new.role, new.role == Role::Admin);
        let words = if admin && new.stream != Pattern::any() {
            "--stream is for other roles: an admin's token is for the whole server".to_owned()
        } else if new.max_viewers.is_some() && role != Role::Watch {
            format!("--max-viewers is for the role 'watch', not for '{role}'")
        } else if new.max_bitrate.is_some() && !matches!(role, Role::Watch | Role::Publish) {
            format!("--max-bitrate is for the roles 'watch' and 'publish', not for '{role}'")
        } else {
            return Ok(());
        };
        let kind = clap::error::ErrorKind::ArgumentConflict;
        Err(clap::Error::raw(kind, format!("{words}\n")))
    }
}

pub(super) fn run(arguments: Arguments, output: &Output) -> Result<(), Error> {
    match arguments.what {
        What::New(new) => make(*new, output),
        What::List(List { place }) => list(&place, output),
        What::Revoke(Revoke { id, place }) => {
            let store = TokenStore::new(place.state);
            store.change(|tokens| tokens.remove(id).ok_or(TrustError::NoToken { id }))?;
            let words = format!("token {id} is taken back");
            output.event("revoked", &Revoked { id }, &words)
        }
    }
}

fn make(new: New, output: &Output) -> Result<(), Error> {
    let (secret, now) = (Secret::fresh()?, now());
    let token = Token {
        streams: new.stream.clone(),
        name: new.name.clone(),
        expires: new.ttl.map(|ttl| now.saturating_add(ttl.as_secs().max(1))),
        max_viewers: new.max_viewers,
        max_bps: new.max_bitrate,
        ..Token::new(&secret, new.role, now)
    };
    let expires = token.expires.map(date);
    TokenStore::new(&new.place.state).change(|tokens| {
        tokens.forget_before(now.saturating_sub(KEPT.as_secs()));
        match tokens.add(token) {
            true => Ok(()),
            false => Err(TrustError::TooManyTokens { limit: MOST_TOKENS }),
        }
    })?;
    let made = Made {
        id: secret.id(),
        role: new.role,
        streams: new.stream.clone(),
        expires,
        token: secret.to_string(),
        link: link(&new, &secret).map(|link| link.to_string()),
    };
    let shown = match &made.link {
        Some(link) => link.clone(),
        None => format!("t={secret}"),
    };
    let until = made
        .expires
        .as_ref()
        .map_or_else(String::new, |end| format!(" until {end}"));
    let words = format!(
        "token {} for '{}', role {}{until}; it is shown this once\n\n    {shown}\n",
        made.id, made.streams, made.role
    );
    output.event("token", &made, &words)
}

/// The whole link, if the server's key is there.
fn link(new: &New, secret: &Secret) -> Option<Link> {
    let token = Some(secret.to_string());
    if let Some(link) = &new.link {
        return Some(Link {
            token,
            ..link.clone()
        });
    }
    let (cert, key) = (new.certs.join("cert.pem"), new.certs.join("key.pem"));
    let identity = Identity::load(&cert, &key).ok()?;
    let everywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, new.port));
    Some(Link {
        host: new.host.clone().unwrap_or_else(|| server::host(everywhere)),
        port: new.port,
        prefix: String::new(),
        stream: stream(&new.stream),
        pin: Some(identity.pin()),
        token,
    })
}

/// A stream of this pattern, to stand in a link: its owner puts in the one that he means.
fn stream(pattern: &Pattern) -> String {
    let plain = pattern.as_str().replace(['*', '?'], "");
    match is_stream_name(&plain) {
        _ if pattern.matches(USUAL) => USUAL.to_owned(),
        true => plain,
        false => USUAL.to_owned(),
    }
}

fn list(place: &Place, output: &Output) -> Result<(), Error> {
    let tokens = TokenStore::new(&place.state).read()?.unwrap_or_default();
    let now = now();
    let rows: Vec<Row> = tokens
        .iter()
        .map(|token| Row {
            id: token.id,
            role: token.role,
            streams: token.streams.clone(),
            name: token.name.clone(),
            created: date(token.created),
            expires: token.expires.map(date),
            expired: token.is_over(now),
            max_viewers: token.max_viewers,
            max_bps: token.max_bps,
        })
        .collect();
    let mut words = format!(
        "{:<12} {:<8} {:<16} {:<21} {:>7}  {}",
        "ID", "ROLE", "STREAMS", "UNTIL", "VIEWERS", "FOR"
    );
    for row in &rows {
        let until = match (&row.expires, row.expired) {
            (_, true) => "over",
            (Some(end), false) => end,
            (None, false) => "-",
        };
        let viewers = row
            .max_viewers
            .map_or_else(|| "-".to_owned(), |most| most.to_string());
        words.push_str(&format!(
            "\n{:<12} {:<8} {:<16} {until:<21} {viewers:>7}  {}",
            row.id,
            row.role,
            row.streams,
            row.name.as_deref().unwrap_or("-")
        ));
    }
    if rows.is_empty() {
        words = "there are no tokens".to_owned();
    }
    output.event("tokens", &Rows { tokens: rows }, &words)
}

fn role(text: &str) -> Result<Role, String> {
    Role::from_name(text).ok_or_else(|| "watch, publish, control or admin".to_owned())
}

fn words(text: &str) -> Result<String, String> {
    let fits = text.len() <= MOST_TOKEN_NAME && !text.chars().any(char::is_control);
    fits.then(|| text.to_owned())
        .ok_or_else(|| format!("at most {MOST_TOKEN_NAME} characters, in one line"))
}

/// Seconds since 1970 as people read them.
fn date(seconds: u64) -> String {
    let time = i64::try_from(seconds)
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    time.and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_else(|| "?".to_owned())
}

#[expect(clippy::disallowed_methods, reason = "tokens end in wall time")]
fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

/// As `serve` calls its stream.
const USUAL: &str = "live";
/// Tokens whose time is over are listed for so long, and forgotten when another is made.
const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);
