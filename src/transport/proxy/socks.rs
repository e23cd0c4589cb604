//! SOCKS5 (RFC 1928), with a user and a password (RFC 1929) where the proxy wants them.

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_socks::Error;
use tokio_socks::tcp::Socks5Stream;

use super::{Proxy, ProxyError, Target};
use crate::transport::base::Base;
use crate::transport::dial::Looks;

/// Has the proxy at the other end connect to the target; from then on the bytes are the target's.
pub(super) async fn connect(
    mut base: Base,
    proxy: &Proxy,
    target: Target<'_>,
) -> Result<Base, ProxyError> {
    let head = base.head();
    match ask(&mut base, proxy, target).await {
        Ok(()) => Ok(base),
        Err(error) => Err(failed(error, head.bytes(), proxy, target)),
    }
}

/// Reads no byte more than the proxy's answers have.
pub(super) async fn ask<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    proxy: &Proxy,
    target: Target<'_>,
) -> Result<(), Error> {
    let place = (target.host, target.port);
    match proxy.credentials() {
        Some(said) => {
            let (user, password) = (said.user(), said.password());
            Socks5Stream::connect_with_password_and_socket(stream, place, user, password).await?;
        }
        None => {
            Socks5Stream::connect_with_socket(stream, place).await?;
        }
    }
    Ok(())
}

/// What an error means, given the first bytes that came.
pub(super) fn failed(error: Error, head: &[u8], proxy: &Proxy, target: Target<'_>) -> ProxyError {
    let known = proxy.has_credentials();
    let proxy = proxy.name();
    let reply = match error {
        Error::Io(source) => return ProxyError::Lost { proxy, source },
        Error::AuthorizationRequired | Error::NoAcceptableAuthMethods if !known => {
            return ProxyError::NeedsCredentials {
                proxy,
                realm: String::new(),
                schemes: String::from("SOCKS5"),
            };
        }
        Error::AuthorizationRequired | Error::NoAcceptableAuthMethods => {
            return ProxyError::NoScheme {
                proxy,
                schemes: String::from("a method of its own"),
            };
        }
        Error::PasswordAuthFailure(_) => {
            return ProxyError::WrongCredentials {
                proxy,
                realm: String::new(),
                scheme: "SOCKS5",
            };
        }
        Error::InvalidAuthValues(_) => {
            return ProxyError::Unsayable {
                proxy,
                why: "SOCKS5 has room for 1 to 255 bytes of each",
            };
        }
        Error::InvalidResponseVersion | Error::InvalidReservedByte => {
            return ProxyError::NotProxy {
                proxy,
                wanted: "SOCKS5",
                looks: match head {
                    // No more of it than the answer has is read.
                    [b'H', b'T', ..] => Looks::Http,
                    _ => Looks::of(head),
                },
                other: "http://",
            };
        }
        Error::GeneralSocksServerFailure => "it failed, and does not say why",
        Error::ConnectionNotAllowedByRuleset => {
            "its rules do not allow that; its administrator has to allow that address and port"
        }
        Error::NetworkUnreachable => "the server's network cannot be reached from it",
        Error::HostUnreachable => {
            "the server cannot be reached from it, or its name not be resolved; check the link"
        }
        Error::ConnectionRefused => "the server refused the connection; is it running?",
        Error::TtlExpired => "the server is too far away from it (TTL expired)",
        Error::CommandNotSupported => "it makes no connections for others",
        Error::AddressTypeNotSupported => {
            "it does not take this kind of address; try the server's name, or its address, instead"
        }
        Error::UnknownAuthMethod | Error::UnknownAddressType | Error::UnknownError => {
            "it answered in a way that SOCKS5 does not know"
        }
        Error::InvalidTargetAddress(_) => "it answered with an address that is none",
        // Of names that are resolved here, and of SOCKS4, neither of which is asked for.
        Error::ParseError(_)
        | Error::ProxyServerUnreachable
        | Error::IdentdAuthFailure
        | Error::InvalidUserIdAuthFailure => "it failed",
    };
    ProxyError::Socks {
        proxy,
        target: target.name.to_owned(),
        reply,
    }
}
