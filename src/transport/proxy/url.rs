//! A proxy as a person writes it.

use percent_encoding::percent_decode_str;
use url::Host;

use super::{Credentials, Proxy, Scheme};

/// What is wrong with a proxy's URL. The texts never repeat it, for there may be a password in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyUrlError {
    /// Nothing is there.
    #[error("the proxy's URL names no host: write http://HOST:PORT")]
    NoHost,
    /// The host is neither a name nor an address.
    #[error(
        "the host in the proxy's URL is neither a name nor an address; in a user or password, `/`, `@`, `:` and `%` are written `%2F`, `%40`, `%3A` and `%25`"
    )]
    Host,
    /// The port is none.
    #[error(
        "the port in the proxy's URL is no number from 1 to 65535; in a user or password, `/`, `@`, `:` and `%` are written `%2F`, `%40`, `%3A` and `%25`"
    )]
    Port,
    /// A way to reach proxies that is not known here.
    #[error("proxies are reached by http://, https:// and socks5://, not by what this URL says")]
    Scheme,
    /// The user or the password is no text.
    #[error("the user or the password in the proxy's URL is no text when `%` is decoded")]
    Credentials,
    /// One of the above, in the environment or in what the system is set to.
    #[error("{variable}: {source}")]
    In {
        /// The variable's name, or what else it was in.
        variable: &'static str,
        /// What is wrong with it.
        source: Box<Self>,
    },
}

pub(super) fn parse(url: &str) -> Result<Proxy, ProxyUrlError> {
    let url = url.trim();
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme, rest)) => (scheme_of(scheme)?, rest),
        None => (Scheme::Http, url),
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (credentials, place) = match authority.rsplit_once('@') {
        Some((said, place)) => (credentials_of(said)?, place),
        None => (None, authority),
    };
    let (host, port) = match place.rsplit_once(':') {
        // The colons of an address of IPv6 are not the port's.
        Some((host, port)) if !port.ends_with(']') => (host, port_of(port, scheme)?),
        _ => (place, default_port(scheme)),
    };
    if host.is_empty() {
        return Err(ProxyUrlError::NoHost);
    }
    let host = match Host::parse(host).map_err(|_| ProxyUrlError::Host)? {
        Host::Domain(name) => name,
        Host::Ipv4(ip) => ip.to_string(),
        Host::Ipv6(ip) => ip.to_string(),
    };
    Ok(Proxy::new(scheme, host, port, credentials))
}

fn scheme_of(text: &str) -> Result<Scheme, ProxyUrlError> {
    Ok(match text.to_ascii_lowercase().as_str() {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        "socks5" | "socks5h" | "socks" => Scheme::Socks5,
        _ => return Err(ProxyUrlError::Scheme),
    })
}

fn port_of(text: &str, scheme: Scheme) -> Result<u16, ProxyUrlError> {
    if text.is_empty() {
        return Ok(default_port(scheme));
    }
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(port) if digits && port > 0 => Ok(port),
        _ => Err(ProxyUrlError::Port),
    }
}

fn credentials_of(said: &str) -> Result<Option<Credentials>, ProxyUrlError> {
    let text = |part| {
        percent_decode_str(part)
            .decode_utf8()
            .map_err(|_| ProxyUrlError::Credentials)
    };
    let (user, password) = said.split_once(':').unwrap_or((said, ""));
    let (user, password) = (text(user)?, text(password)?);
    if user.is_empty() && password.is_empty() {
        return Ok(None);
    }
    Ok(Some(Credentials::new(user, password)))
}

/// As curl has them: 1080 wherever the URL says nothing, save that TLS is at home on 443.
const fn default_port(scheme: Scheme) -> u16 {
    match scheme {
        Scheme::Http | Scheme::Socks5 => 1080,
        Scheme::Https => 443,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(url: &str) -> (Scheme, String, Option<(String, String)>) {
        let proxy = parse(url).unwrap();
        let said = proxy
            .credentials()
            .map(|said| (said.user().to_owned(), said.password().to_owned()));
        (proxy.scheme(), proxy.name(), said)
    }

    #[test]
    fn a_proxy_is_read_as_curl_reads_it() {
        let plain = |scheme, name: &str| (scheme, name.to_owned(), None);
        assert_eq!(parts("gate:3128"), plain(Scheme::Http, "gate:3128"));
        assert_eq!(parts("gate"), plain(Scheme::Http, "gate:1080"));
        assert_eq!(parts("http://gate:80/"), plain(Scheme::Http, "gate:80"));
        assert_eq!(parts("HTTPS://Gate"), plain(Scheme::Https, "gate:443"));
        assert_eq!(
            parts("socks5h://gate/x?y"),
            plain(Scheme::Socks5, "gate:1080")
        );
        assert_eq!(parts("socks5://[::1]:9"), plain(Scheme::Socks5, "[::1]:9"));
        assert_eq!(parts("[::1]"), plain(Scheme::Http, "[::1]:1080"));
        assert_eq!(parts("http://:@gate:"), plain(Scheme::Http, "gate:1080"));
        assert_eq!(
            parts(" http://bücher:1 "),
            plain(Scheme::Http, "xn--bcher-kva:1")
        );
    }

    #[test]
    fn users_and_passwords_are_decoded_and_a_bare_user_is_enough() {
        let said = |url| parts(url).2.unwrap();
        let pair = |user: &str, password: &str| (user.to_owned(), password.to_owned());
        assert_eq!(
            said("http://CORP%5Canna:p%40ss%3A%2f%25@gate:3128"),
            pair("CORP\\anna", "p@ss:/%")
        );
        assert_eq!(said("anna:a@b:c@gate"), pair("anna", "a@b:c"));
        assert_eq!(said("anna@gate"), pair("anna", ""));
    }

    #[test]
    fn what_is_wrong_is_said_without_repeating_it() {
        let error = |url| parse(url).unwrap_err();
        assert_eq!(error(""), ProxyUrlError::NoHost);
        assert_eq!(error("http://anna:secret@"), ProxyUrlError::NoHost);
        assert_eq!(error("ftp://gate"), ProxyUrlError::Scheme);
        assert_eq!(error("gate:0"), ProxyUrlError::Port);
        assert_eq!(error("gate:65536"), ProxyUrlError::Port);
        assert_eq!(error("gate:+80"), ProxyUrlError::Port);
        assert_eq!(error("http://anna:sec/ret@gate"), ProxyUrlError::Port);
        assert_eq!(error("http://ga te"), ProxyUrlError::Host);
        assert_eq!(error("http://%ff:x@gate"), ProxyUrlError::Credentials);
        for url in [
            "http://anna:sec/ret@gate",
            "http://anna:secret@g te",
            "anna:secret@gate:x",
        ] {
            let error = error(url);
            assert!(!format!("{error} {error:?}").contains("sec"), "{error}");
        }
    }
}
