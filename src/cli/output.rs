//! What a command prints: words for a person, or one JSON object a line.

use std::{
    io::{self, IsTerminal, Write},
    sync::Arc,
    time::Instant,
};

use serde::Serialize;

use crate::error::Error;

/// Where a command's results go. Cheap to clone; lines of several threads do not mix.
#[derive(Clone, Debug)]
pub struct Output {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    json: bool,
    started: Instant,
}

impl Output {
    /// Words, or JSON.
    #[expect(
        clippy::disallowed_methods,
        reason = "at_ms counts from the program's start"
    )]
    pub fn new(json: bool) -> Self {
        Self {
            inner: Arc::new(Inner {
                json,
                started: Instant::now(),
            }),
        }
    }

    /// Whether the output is JSON.
    pub fn is_json(&self) -> bool {
        self.inner.json
    }

    /// Whether a person reads standard output on a terminal.
    pub fn is_terminal(&self) -> bool {
        !self.inner.json && io::stdout().is_terminal()
    }

    /// An event: in JSON as an object with `event` and `at_ms` and the fields of `fields`; in words as `words` says,
    /// nothing if that is empty.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn event(&self, event: &str, fields: &impl Serialize, words: &str) -> Result<(), Error> {
        let line = if self.inner.json {
            self.line(event, fields)
        } else {
            words.to_owned()
        };
        if line.is_empty() {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        out.write_all(line.as_bytes())
            .and_then(|()| out.write_all(b"\n"))
            .and_then(|()| out.flush())
            .map_err(Error::Output)
    }

    /// Words for a person, on standard error.
    pub fn note(&self, words: &str) {
        // Where standard error is gone there is nobody to tell.
        let _gone = writeln!(io::stderr().lock(), "{words}");
    }

    /// The error that ends the program.
    pub(super) fn fault(&self, err: &Error) {
        let _gone = writeln!(io::stderr().lock(), "tunnelcast: {err}");
    }

    fn line(&self, event: &str, fields: &impl Serialize) -> String {
        let at_ms = u64::try_from(self.inner.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let fields = serde_json::to_string(fields).unwrap_or_default();
        let rest = fields
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'))
            .unwrap_or_default();
        let comma = if rest.is_empty() { "" } else { "," };
        format!("{{\"event\":\"{event}\",\"at_ms\":{at_ms}{comma}{rest}}}")
    }
}
