//! Why there is no way through plain HTTP, in words.

/// Each is one line for a person, to stand behind the server's name.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(in crate::transport) enum Error<E> {
    /// There was no connection to ask on.
    #[error("{0}")]
    Open(E),
    /// Nothing came, or not all of it.
    #[error(
        "does not answer plain HTTP requests: something on the way swallows them, or the server is no tunnelcast server"
    )]
    Unanswered,
    /// The long answer does not come as it is sent. Never returned: pieces are tried instead.
    #[error("answers, but something on the way holds the answer back")]
    HeldBack,
    /// Somebody else answered, or something on the way did.
    #[error(
        "answered a plain HTTP request with {status}{title}: something on the way does not let it through, or the server is no tunnelcast server",
        title = quoted(.title)
    )]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The page's title, safe to print; empty if there is none.
        title: String,
    },
    /// Connections were closed again and again before there was an answer.
    #[error("closes the connection instead of answering plain HTTP requests ({0})")]
    Cut(hyper::Error),
    /// The system has no random numbers.
    #[error("cannot be asked: this system gives no random numbers")]
    NoRandom,
    /// No request can be made of the host and the path.
    #[error("cannot be asked: {0}")]
    Unaskable(http::Error),
    /// Whoever was to read or to write has gone.
    #[error("was left")]
    Left,
}

fn quoted(title: &str) -> String {
    if title.is_empty() {
        String::new()
    } else {
        format!(" (\"{title}\")")
    }
}
