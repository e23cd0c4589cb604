//! The one thing that a viewer is given: `https://HOST[:PORT]/[PREFIX/]STREAM#k=PIN&t=TOKEN`.

use std::fmt;
use std::str::FromStr;

use url::{Host, Url};

use super::{Pin, PinError};
use crate::media::{MAX_STREAM_NAME, is_stream_name};

/// The port that a link without one means.
pub const DEFAULT_PORT: u16 = 443;

/// The most bytes of a link.
pub const MAX_LINK: usize = 2048;

/// The most bytes of a host's name (RFC 1035, section 2.3.4: 255 octets on the wire).
const MAX_NAME: usize = 253;

/// The most characters of a token.
pub const MAX_TOKEN: usize = 256;

/// Where a stream is, how its server is recognised, and by what right one watches. Prints as the link, token and all.
#[derive(Clone, PartialEq, Eq)]
pub struct Link {
    /// A name or an address, an IPv6 address without brackets.
    pub host: String,
    /// Of TCP, and of UDP.
    pub port: u16,
    /// What a reverse proxy in front of the server has before the stream's name: names joined by slashes, or nothing.
    pub prefix: String,
    /// The stream's name, as [`is_stream_name`] has it; empty where the link does not say which.
    pub stream: String,
    /// The server's key; without it the system or the user decides.
    pub pin: Option<Pin>,
    /// A secret: shown in the link, never in [`Debug`](fmt::Debug).
    pub token: Option<String>,
}

impl Link {
    /// The path of the URL, without the slash in front.
    pub fn path(&self) -> String {
        match self.prefix.as_str() {
            "" => self.stream.clone(),
            prefix => format!("{prefix}/{}", self.stream),
        }
    }
}

impl FromStr for Link {
    type Err = LinkError;

    /// Reads a link as it was mailed, with or without `https://`, with blanks or angle brackets around it.
    fn from_str(text: &str) -> Result<Self, LinkError> {
        if text.len() > MAX_LINK {
            return Err(LinkError::TooLong);
        }
        let text = text.trim();
        let text = text
            .strip_prefix('<')
            .and_then(|t| t.strip_suffix('>'))
            .unwrap_or(text);
        if text.is_empty() {
            return Err(LinkError::Empty);
        }
        if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(LinkError::Blank);
        }
        let rest = match text.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => rest,
            Some((scheme, _)) if scheme.eq_ignore_ascii_case("http") => {
                return Err(LinkError::Plain);
            }
            Some((scheme, _))
                if scheme
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c)) =>
            {
                return Err(LinkError::Scheme {
                    scheme: scheme.into(),
                });
            }
            Some(_) | None => text,
        };
        // The crate skips any number of slashes; a link that has them names no host.
        if rest.starts_with(['/', '\\', '?', '#', ':']) {
            return Err(LinkError::NoHost);
        }
        let url = Url::parse(&format!("https://{rest}")).map_err(LinkError::from)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(LinkError::User);
        }
        let host = match url.host().ok_or(LinkError::NoHost)? {
            // Written as ASCII it may be much longer than it was.
            Host::Domain(name) if name.len() > MAX_NAME => return Err(LinkError::Host),
            Host::Domain(name) => name.to_owned(),
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
        };
        let port = match url.port() {
            Some(0) => return Err(LinkError::Port),
            Some(port) => port,
            None => DEFAULT_PORT,
        };
        let path = url.path();
        let path = path.strip_prefix('/').unwrap_or(path);
        let path = path.strip_suffix('/').unwrap_or(path);
        let mut names = path.split('/').filter(|_| !path.is_empty());
        if let Some(name) = names.find(|name| !is_stream_name(name)) {
            return Err(LinkError::Stream { name: name.into() });
        }
        let (prefix, stream) = path.rsplit_once('/').unwrap_or(("", path));
        let (pin, token) = secrets(url.fragment().unwrap_or_default())?;
        // A bare word is more likely the name of a file than that of a server.
        if !text.contains("://") && stream.is_empty() && pin.is_none() && token.is_none() {
            return Err(LinkError::Word { word: text.into() });
        }
        Ok(Self {
            host,
            port,
            prefix: prefix.to_owned(),
            stream: stream.to_owned(),
            pin,
            token,
        })
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "https://[{}]", self.host)?;
        } else {
            write!(f, "https://{}", self.host)?;
        }
        if self.port != DEFAULT_PORT {
            write!(f, ":{}", self.port)?;
        }
        write!(f, "/{}", self.path())?;
        if let Some(pin) = self.pin {
            write!(f, "#k={pin}")?;
        }
        if let Some(token) = &self.token {
            write!(f, "{}t={token}", if self.pin.is_some() { '&' } else { '#' })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("path", &self.path())
            .field("pin", &self.pin)
            .field("token", &self.token.as_ref().map(|_| "secret"))
            .finish()
    }
}

/// What follows `#`; keys of a later version are skipped.
fn secrets(fragment: &str) -> Result<(Option<Pin>, Option<String>), LinkError> {
    let (mut pin, mut token) = (None, None);
    for field in fragment.split('&').filter(|field| !field.is_empty()) {
        match field.split_once('=') {
            Some(("k", value)) => {
                if pin.replace(value.parse()?).is_some() {
                    return Err(LinkError::Twice { key: 'k' });
                }
            }
            Some(("t", value)) => {
                let fits = (1..=MAX_TOKEN).contains(&value.len());
                if !fits
                    || !value
                        .chars()
                        .all(|c| c.is_ascii_alphanumeric() || "-_.~".contains(c))
                {
                    return Err(LinkError::Token);
                }
                if token.replace(value.to_owned()).is_some() {
                    return Err(LinkError::Twice { key: 't' });
                }
            }
            Some(_) | None => {}
        }
    }
    Ok((pin, token))
}

/// A text that is no link. Each is one line for a person.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// Nothing at all.
    #[error("the link is empty; it should look like https://HOST/STREAM#k=...")]
    Empty,
    /// Longer than [`MAX_LINK`].
    #[error("the link is longer than {MAX_LINK} characters")]
    TooLong,
    /// Two lines, or a sentence.
    #[error("there is a blank or a line break inside the link: copy it whole, and quote it")]
    Blank,
    /// `http://`.
    #[error("the link begins with http://, which is not encrypted; it should begin with https://")]
    Plain,
    /// Some other protocol.
    #[error("the link begins with {scheme}://; it should begin with https://")]
    Scheme {
        /// As given.
        scheme: String,
    },
    /// No host.
    #[error("the link names no host; it should look like https://HOST/STREAM#k=...")]
    NoHost,
    /// A host that cannot be one.
    #[error("the link's host is neither a name nor an address")]
    Host,
    /// Not 1 to 65535.
    #[error("the link's port is not a number from 1 to 65535")]
    Port,
    /// `user@` or `user:password@`.
    #[error("the link names a user; it should look like https://HOST/STREAM#k=...")]
    User,
    /// A word alone, without anything that links have.
    #[error(
        "`{word}` is no link; it should look like https://HOST/STREAM#k=..., as `serve` prints it"
    )]
    Word {
        /// As given.
        word: String,
    },
    /// A path that is no stream's name.
    #[error(
        "`{name}` is no name of a stream: up to {MAX_STREAM_NAME} letters, digits, `-`, `_` and `.`"
    )]
    Stream {
        /// As given.
        name: String,
    },
    /// A key's hash that is none.
    #[error(transparent)]
    Pin(#[from] PinError),
    /// A token that is none.
    #[error(
        "the link's token (`t=`) is empty, too long, or holds characters that do not belong there"
    )]
    Token,
    /// The same thing twice.
    #[error("the link says `{key}=` twice")]
    Twice {
        /// What.
        key: char,
    },
}

impl From<url::ParseError> for LinkError {
    fn from(error: url::ParseError) -> Self {
        #[expect(clippy::wildcard_enum_match_arm, reason = "the rest is about the host")]
        match error {
            url::ParseError::EmptyHost => Self::NoHost,
            url::ParseError::InvalidPort => Self::Port,
            _ => Self::Host,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const K: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

    fn link(text: &str) -> Link {
        text.parse()
            .unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn a_full_link_is_read_and_printed_the_same() {
        for text in [
            format!("https://cam.example/front#k={K}&t=s3cret"),
            format!("https://cam.example:8443/front#k={K}"),
            format!("https://[2001:db8::1]/a#k={K}"),
            "https://[::1]:8443/a.b_c-d#t=x".to_owned(),
            "https://192.0.2.7/a".to_owned(),
            // It does not say which of the server's streams.
            format!("https://cam.example/#k={K}&t=s3cret"),
        ] {
            assert_eq!(link(&text).to_string(), text);
        }
        let full = link(&format!(
            "https://cam.example:443/front#k={K}&t=s3cret&new=1"
        ));
        assert_eq!((full.host.as_str(), full.port), ("cam.example", 443));
        assert_eq!(full.stream, "front");
        assert_eq!(full.pin.unwrap().to_string(), K);
        assert_eq!(full.token.as_deref(), Some("s3cret"));
    }

    #[test]
    fn behind_a_reverse_proxy_the_stream_has_a_prefix() {
        let text = "https://example.com/live/house/front#t=x";
        let behind = link(text);
        assert_eq!(
            (behind.prefix.as_str(), behind.stream.as_str()),
            ("live/house", "front")
        );
        assert_eq!(behind.path(), "live/house/front");
        assert_eq!(behind.to_string(), text);
    }

    #[test]
    fn what_a_person_pastes_is_understood() {
        for (pasted, meant) in [
            ("localhost:8443/cam", "https://localhost:8443/cam"),
            ("[::1]:8443/cam", "https://[::1]:8443/cam"),
            (" <https://Cam.Example/cam/> \n", "https://cam.example/cam"),
            ("HTTPS://cam/cam?utm=1", "https://cam/cam"),
            ("bücher.example/a", "https://xn--bcher-kva.example/a"),
        ] {
            assert_eq!(link(pasted).to_string(), meant);
        }
    }

    #[test]
    fn each_mistake_has_its_own_words() {
        use LinkError as E;
        for (text, error) in [
            ("", E::Empty),
            ("  ", E::Empty),
            ("https://cam/a b", E::Blank),
            ("http://cam/a", E::Plain),
            (
                "rtsp://cam/a",
                E::Scheme {
                    scheme: "rtsp".into(),
                },
            ),
            (
                "holiday.mp4",
                E::Word {
                    word: "holiday.mp4".into(),
                },
            ),
            ("https:///a", E::NoHost),
            ("https://", E::NoHost),
            ("https://:443/a", E::NoHost),
            ("https://[::1/a", E::Host),
            ("https://ca^m/a", E::Host),
            ("https://cam:0/a", E::Port),
            ("https://cam:70000/a", E::Port),
            ("https://cam:x/a", E::Port),
            ("https://me:pw@cam/a", E::User),
            ("https://cam/a//b", E::Stream { name: "".into() }),
            ("https://cam/.a/b", E::Stream { name: ".a".into() }),
            ("https://cam/.a", E::Stream { name: ".a".into() }),
            (
                "https://cam/a%20b",
                E::Stream {
                    name: "a%20b".into(),
                },
            ),
            ("https://cam/a#k=abc", E::Pin(PinError::Length { got: 3 })),
            ("https://cam/a#t=", E::Token),
            ("https://cam/a#t=a%20b", E::Token),
            ("https://cam/a#t=a&t=b", E::Twice { key: 't' }),
        ] {
            assert_eq!(text.parse::<Link>(), Err(error), "{text}");
        }
        assert_eq!("x".repeat(MAX_LINK + 1).parse::<Link>(), Err(E::TooLong));
    }

    #[test]
    fn a_name_longer_than_names_may_be_is_no_host_however_short_it_was_written() {
        let parse = |host: String| format!("https://{host}/cam").parse::<Link>();
        assert!(parse("a.".repeat(126) + "a").is_ok());
        assert_eq!(parse("a.".repeat(127)), Err(LinkError::Host));
        // Eight bytes each in ASCII, and four here.
        assert_eq!(parse("\u{677}..".repeat(60)), Err(LinkError::Host));
    }

    #[test]
    fn debug_never_shows_the_token() {
        let text = format!("{:?}", link("https://cam/a#t=s3cret"));
        assert!(!text.contains("s3cret"), "{text}");
    }

    proptest! {
        #[test]
        fn any_text_is_a_link_or_an_error(text in "\\PC{0,80}") {
            if let Ok(link) = text.parse::<Link>() {
                prop_assert_eq!(link.to_string().parse::<Link>(), Ok(link));
            }
        }

        #[test]
        fn near_links_print_and_read_back(text in "(https://)?[a-z0-9.:@\\[\\]]{0,12}/[a-zA-Z0-9._/-]{0,8}(#[kt]=[A-Za-z0-9_-]{0,44})?") {
            if let Ok(link) = text.parse::<Link>() {
                prop_assert_eq!(link.to_string().parse::<Link>(), Ok(link));
            }
        }
    }
}
