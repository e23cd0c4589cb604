//! What can be wrong with keys, certificates and the files that hold them.

use std::io;
use std::path::PathBuf;

use super::SecretError;
use crate::media::TokenId;

/// Why an identity or a list of known servers cannot be used. Each is one line for a person.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// A file that must be there is not.
    #[error("{path} does not exist", path = .path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// A file that cannot be read.
    #[error("cannot read {path}: {source}", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file or directory that cannot be written.
    #[error("cannot write {path}: {source}", path = .path.display())]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file longer than any key or certificate.
    #[error("{path} is longer than {limit} bytes: that is no key, certificate or list of servers", path = .path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The most bytes that are read.
        limit: u64,
    },
    /// A private key that others on this machine may read.
    #[error(
        "others can read the private key {path} (mode {mode:03o}): try `chmod 600 {path}`, or delete it for a new one if somebody may have copied it",
        path = .path.display()
    )]
    KeyExposed {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A private key of somebody else.
    #[error(
        "the private key {path} belongs to another user (number {owner}): try `chown $(id -u) {path}`, or run as that user",
        path = .path.display()
    )]
    KeyOwner {
        /// The key file.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
    },
    /// A file without a certificate in PEM.
    #[error("{path} holds no certificate in PEM (`-----BEGIN CERTIFICATE-----`)", path = .path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// A file without a private key in PEM.
    #[error("{path} holds no private key in PEM (`-----BEGIN PRIVATE KEY-----`)", path = .path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// A private key behind a pass phrase.
    #[error("the private key in {path} is encrypted: decrypt it first, for example with `openssl pkey`", path = .path.display())]
    EncryptedKey {
        /// The file.
        path: PathBuf,
    },
    /// A certificate that cannot be understood.
    #[error("the certificate in {path} is damaged or of an unknown kind: {source}", path = .path.display())]
    BadCertificate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: rustls::Error,
    },
    /// A private key that cannot be understood.
    #[error("the private key in {path} is damaged or of an unknown kind", path = .path.display())]
    BadKey {
        /// The file.
        path: PathBuf,
    },
    /// A key and a certificate that do not belong together.
    #[error("the certificate {cert} does not belong to the private key {key}", cert = .cert.display(), key = .key.display())]
    Mismatch {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// A name that cannot stand in a certificate.
    #[error("`{name}` is neither a host name nor an address")]
    Name {
        /// As given.
        name: String,
    },
    /// The certificate could not be made.
    #[error("cannot make a certificate: {0}")]
    Generate(#[from] rcgen::Error),
    /// A line in the list of known servers that says nothing.
    #[error("line {line} of {path} is not `HOST:PORT PIN`: mend or delete it", path = .path.display())]
    KnownLine {
        /// The list.
        path: PathBuf,
        /// Counts from 1.
        line: usize,
    },
    /// A server is already known by another key.
    #[error("{server} is already known by another key: delete its line in {path} if the change was meant", path = .path.display())]
    KnownOtherwise {
        /// `HOST:PORT`.
        server: String,
        /// The list.
        path: PathBuf,
    },
    /// Tokens that others on this machine may read or change.
    #[error(
        "others can read or change {path} (mode {mode:03o}): try `chmod 600 {path}`",
        path = .path.display()
    )]
    TokensExposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A list of tokens that cannot be understood.
    #[error("{path} is damaged: {why}; mend it, or delete it for new tokens", path = .path.display())]
    BadTokens {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// No such token.
    #[error("there is no token {id}: `tunnelcast token list` shows what there is")]
    NoToken {
        /// As given.
        id: TokenId,
    },
    /// As many tokens as a server may have.
    #[error("there are {limit} tokens already: revoke some")]
    TooManyTokens {
        /// As many.
        limit: usize,
    },
    /// The system's fault.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// No directory for settings.
    #[error("there is no home directory in which to keep known servers")]
    NoHome,
    /// TLS itself would not have it.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}
