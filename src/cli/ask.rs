//! Asking on the terminal: whether a server that nobody vouches for is the right one, and who goes through a proxy.

use std::io::{self, BufRead, IsTerminal, Write};

use crate::{client::Ask, transport::proxy::Credentials, trust::Seen};

/// Asks on the terminal, if there is one.
#[derive(Debug)]
pub(super) struct Terminal;

impl Ask for Terminal {
    fn accept(&self, host: &str, port: u16, seen: &Seen) -> Result<bool, &'static str> {
        if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return Err("the link has no key (#k=...) and there is no terminal to ask on");
        }
        let mut screen = io::stderr().lock();
        let question = format!(
            "The system does not know the server {host}, port {port}. Its certificate was issued by {}, its key is\n\n    \
             {}\n\nCompare it with what the server's owner sees. Accept and remember it? [y/N] ",
            seen.issuer, seen.pin
        );
        screen
            .write_all(question.as_bytes())
            .and_then(|()| screen.flush())
            .map_err(|_| "the terminal is gone")?;
        let mut answer = String::new();
        io::stdin()
            .lock()
            .read_line(&mut answer)
            .map_err(|_| "the terminal is gone")?;
        Ok(matches!(
            answer.trim().to_ascii_lowercase().as_str(),
            "y" | "yes"
        ))
    }

    fn credentials(&self, proxy: &str, realm: &str) -> Option<Credentials> {
        let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        if let Some(user) = set("TUNNELCAST_PROXY_USER") {
            let password = set("TUNNELCAST_PROXY_PASSWORD").unwrap_or_default();
            return Some(Credentials::new(user, password));
        }
        if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return None;
        }
        let place = if realm.is_empty() {
            String::new()
        } else {
            format!(" ({realm})")
        };
        let mut screen = io::stderr().lock();
        write!(screen, "The proxy {proxy}{place} asks who you are. User: ").ok()?;
        screen.flush().ok()?;
        drop(screen);
        let mut user = String::new();
        io::stdin().lock().read_line(&mut user).ok()?;
        let user = user.trim();
        if user.is_empty() {
            return None;
        }
        let password = rpassword::prompt_password("Password (not shown): ").ok()?;
        Some(Credentials::new(user, password))
    }
}
