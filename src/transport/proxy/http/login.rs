//! Who one is, said to a proxy that asks: by the strongest scheme that both speak, and once by each.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::challenge::Challenge;
use super::digest::{Digest, hex};
use super::ntlm;
use crate::transport::proxy::Credentials;

/// What is said of us to one proxy, over as many of its connections as it takes.
#[derive(Debug)]
pub(super) struct Login<'a> {
    credentials: Option<&'a Credentials>,
    /// The request's target, as `CONNECT` has it.
    target: &'a str,
    stage: Stage,
    /// Those that came to nothing before the password was proven.
    useless: Vec<Scheme>,
    /// For Kerberos; it is shown once.
    ticket: Option<Ticket>,
    /// A nonce may grow old while it is answered; once.
    renewed: bool,
}

#[derive(Debug)]
enum Stage {
    Nothing,
    /// What is only the first of two, the second of which must go over the same connection.
    Opened(Scheme, Said),
    /// What proves the password, or is it.
    Proven(Scheme, Said),
}

/// What a domain has given us for this proxy.
struct Ticket(Vec<u8>);

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

/// A header's value, which may be a secret.
struct Said(String);

impl std::fmt::Debug for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    /// As `Negotiate`, with a ticket (RFC 4559).
    Kerberos,
    /// NTLM by that name.
    Negotiate,
    Ntlm,
    Digest,
    Basic,
}

impl Scheme {
    /// The strongest first.
    const ALL: [Self; 5] = [
        Self::Kerberos,
        Self::Negotiate,
        Self::Ntlm,
        Self::Digest,
        Self::Basic,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Kerberos | Self::Negotiate => "Negotiate",
            Self::Ntlm => "NTLM",
            Self::Digest => "Digest",
            Self::Basic => "Basic",
        }
    }
}

/// The connection on which a challenge came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// The answer goes over it as well.
    Kept,
    /// The answer goes over another.
    Lost,
}

/// Why there is nothing more to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// There is no user and no password.
    NoCredentials,
    /// They were given in this way, and not accepted.
    Wrong(&'static str),
    /// Nothing that is offered is spoken here.
    NoScheme,
}

impl<'a> Login<'a> {
    pub(super) const fn new(credentials: Option<&'a Credentials>, target: &'a str) -> Self {
        Self {
            credentials,
            target,
            stage: Stage::Nothing,
            useless: Vec::new(),
            ticket: None,
            renewed: false,
        }
    }

    /// What the next request says in `Proxy-Authorization`.
    pub(super) fn header(&self) -> Option<&str> {
        match &self.stage {
            Stage::Nothing => None,
            Stage::Opened(_, said) | Stage::Proven(_, said) => Some(&said.0),
        }
    }

    /// The scheme by which the password has been given.
    pub(super) const fn given(&self) -> Option<&'static str> {
        match &self.stage {
            Stage::Nothing | Stage::Opened(..) => None,
            Stage::Proven(scheme, _) => Some(scheme.name()),
        }
    }

    /// Whether the next request may be sent again over another connection, if the one it was sent over turns out to
    /// have ended before.
    pub(super) const fn can_move(&self) -> bool {
        match self.stage {
            Stage::Nothing | Stage::Opened(..) => true,
            Stage::Proven(scheme, _) => match scheme {
                Scheme::Kerberos | Scheme::Negotiate | Scheme::Ntlm => false,
                Scheme::Digest | Scheme::Basic => true,
            },
        }
    }

    /// Takes what a 407 offers, in answer to what [`header`](Self::header) said.
    pub(super) fn challenged(&mut self, offered: &[Challenge], line: Line) -> Result<(), Refusal> {
        let credentials = self.credentials.ok_or(Refusal::NoCredentials)?;
        match std::mem::replace(&mut self.stage, Stage::Nothing) {
            Stage::Nothing => {}
            Stage::Opened(scheme, _) => {
                let proof = match line {
                    Line::Kept => proof(scheme, offered, credentials),
                    Line::Lost => None,
                };
                if let Some(said) = proof {
                    self.stage = Stage::Proven(scheme, said);
                    return Ok(());
                }
                self.useless.push(scheme);
            }
            Stage::Proven(Scheme::Digest, _) if !self.renewed && is_stale(offered) => {
                self.renewed = true;
            }
            // The domain has taken the password, whatever the proxy makes of the ticket.
            Stage::Proven(Scheme::Kerberos, _) => self.useless.push(Scheme::Kerberos),
            Stage::Proven(scheme, _) => return Err(Refusal::Wrong(scheme.name())),
        }
        self.stage = Scheme::ALL
            .into_iter()
            .filter(|scheme| !self.useless.contains(scheme))
            .find_map(|scheme| self.begin(scheme, offered, credentials))
            .ok_or(Refusal::NoScheme)?;
        Ok(())
    }

    /// Who is to be asked about at the domain, before the first challenge is taken.
    #[cfg(feature = "kerberos")]
    pub(super) fn wants_ticket(&self, offered: &[Challenge]) -> Option<&'a Credentials> {
        let begins = matches!(self.stage, Stage::Nothing) && self.useless.is_empty();
        let negotiate = |challenge: &Challenge| challenge.is(Scheme::Kerberos.name());
        self.credentials
            .filter(|_| begins && offered.iter().any(negotiate))
    }

    /// The domain has given this.
    #[cfg(feature = "kerberos")]
    pub(super) fn has_ticket(&mut self, ticket: Vec<u8>) {
        self.ticket = Some(Ticket(ticket));
    }

    fn begin(
        &self,
        scheme: Scheme,
        offered: &[Challenge],
        credentials: &Credentials,
    ) -> Option<Stage> {
        if !offered.iter().any(|challenge| challenge.is(scheme.name())) {
            return None;
        }
        Some(match scheme {
            Scheme::Kerberos => {
                let ticket = self.ticket.as_ref()?;
                Stage::Proven(scheme, words(scheme, &ticket.0))
            }
            Scheme::Negotiate | Scheme::Ntlm => Stage::Opened(scheme, words(scheme, &ntlm::open())),
            Scheme::Digest => {
                let ours = hex(&random::<16>()?);
                let digest = Digest::best(offered)?;
                let said = digest.answer(credentials, "CONNECT", self.target, &ours)?;
                Stage::Proven(scheme, Said(said))
            }
            Scheme::Basic => {
                let both = format!("{}:{}", credentials.user(), credentials.password());
                Stage::Proven(scheme, words(scheme, both.as_bytes()))
            }
        })
    }
}

fn proof(scheme: Scheme, offered: &[Challenge], credentials: &Credentials) -> Option<Said> {
    let ours = offered.iter().find(|challenge| challenge.is(scheme.name()));
    let token = BASE64_STANDARD.decode(ours?.token.as_deref()?).ok()?;
    // Some wrap it in SPNEGO although we do not: what matters is behind its name all the same.
    let from = token.windows(ntlm::SIGNATURE.len());
    let from = from
        .into_iter()
        .position(|bytes| bytes == ntlm::SIGNATURE)?;
    let challenge = ntlm::Challenge::parse(&token[from..])?;
    let fresh = ntlm::Fresh {
        nonce: random()?,
        time: windows_time(),
    };
    let proof = ntlm::prove(credentials, &challenge, fresh)?;
    Some(words(scheme, &proof))
}

fn words(scheme: Scheme, bytes: &[u8]) -> Said {
    Said(format!(
        "{} {}",
        scheme.name(),
        BASE64_STANDARD.encode(bytes)
    ))
}

fn is_stale(offered: &[Challenge]) -> bool {
    offered.iter().any(|challenge| {
        let stale = challenge.param("stale");
        challenge.is("Digest") && stale.is_some_and(|stale| stale.eq_ignore_ascii_case("true"))
    })
}

fn random<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    Some(bytes)
}

/// In units of 100 ns since 1601.
#[expect(
    clippy::disallowed_methods,
    reason = "NTLM proves when it was said; only proxies that say no time of their own get it"
)]
fn windows_time() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    let whole = (since.as_secs().saturating_add(FROM_1601_TO_1970)).saturating_mul(10_000_000);
    whole.saturating_add(u64::from(since.subsec_nanos() / 100))
}

/// In seconds.
const FROM_1601_TO_1970: u64 = 11_644_473_600;

#[cfg(test)]
mod tests {
    use super::super::challenge;
    use super::*;

    fn offered(header: &str) -> Vec<Challenge> {
        let mut found = Vec::new();
        challenge::parse(header.as_bytes(), &mut found);
        found
    }

    /// A second message of NTLM with neither names nor time.
    fn second() -> String {
        let mut message = b"NTLMSSP\0\x02\0\0\0".to_vec();
        message.extend_from_slice(&[0; 8]);
        message.extend_from_slice(&0x8207_u32.to_le_bytes());
        message.extend_from_slice(&[7; 16]);
        BASE64_STANDARD.encode(message)
    }

    fn login(credentials: &Credentials) -> Login<'_> {
        Login::new(Some(credentials), "cam:443")
    }

    #[test]
    fn the_strongest_scheme_is_taken_first() {
        let anna = Credentials::new("anna", "secret>>>???");
        let all = [
            "Basic realm=x",
            "Digest realm=x, nonce=y",
            "NTLM",
            "Negotiate",
        ];
        for (end, name) in (1..=all.len()).zip(["Basic ", "Digest ", "NTLM ", "Negotiate "]) {
            let mut login = login(&anna);
            assert_eq!(login.header(), None);
            let offered = offered(&all[..end].join(", "));
            login.challenged(&offered, Line::Kept).unwrap();
            assert!(login.header().unwrap().starts_with(name), "{login:?}");
        }
    }

    #[test]
    fn basic_speaks_the_alphabet_of_base64_that_proxies_read() {
        let anna = Credentials::new("anna", "secret>>>???");
        let mut login = login(&anna);
        login
            .challenged(&offered("Basic realm=x"), Line::Lost)
            .unwrap();
        assert_eq!(login.header(), Some("Basic YW5uYTpzZWNyZXQ+Pj4/Pz8="));
        assert!(!format!("{login:?}").contains("YW5u"));
    }

    #[test]
    fn a_password_that_is_refused_is_not_sent_again_by_any_scheme() {
        let anna = Credentials::new("anna", "secret");
        let all = offered("Digest realm=x, nonce=y, Basic realm=x");
        let mut login = login(&anna);
        login.challenged(&all, Line::Kept).unwrap();
        let again = login.challenged(&all, Line::Kept);
        assert_eq!(again, Err(Refusal::Wrong("Digest")));
        assert_eq!(login.header(), None);
    }

    #[test]
    fn a_nonce_that_has_grown_old_is_answered_anew_and_only_once() {
        let anna = Credentials::new("anna", "secret");
        let mut login = login(&anna);
        login
            .challenged(&offered("Digest realm=x, nonce=one"), Line::Kept)
            .unwrap();
        let stale = offered("Digest realm=x, nonce=two, stale=true");
        login.challenged(&stale, Line::Kept).unwrap();
        assert!(login.header().unwrap().contains("nonce=\"two\""));
        assert_eq!(
            login.challenged(&stale, Line::Kept),
            Err(Refusal::Wrong("Digest"))
        );
    }

    #[test]
    fn ntlm_takes_two_messages_over_one_connection() {
        let anna = Credentials::new("CORP\\anna", "secret");
        let mut login = login(&anna);
        login
            .challenged(&offered("NTLM, Basic realm=x"), Line::Lost)
            .unwrap();
        assert!(login.header().unwrap().starts_with("NTLM TlRMTVNTUAABAAAA"));
        let challenge = offered(&format!("NTLM {}, Basic realm=x", second()));
        login.challenged(&challenge, Line::Kept).unwrap();
        assert!(login.header().unwrap().starts_with("NTLM TlRMTVNTUAADAAAA"));
        assert!(!login.can_move());
        let again = login.challenged(&offered("NTLM, Basic realm=x"), Line::Kept);
        assert_eq!(again, Err(Refusal::Wrong("NTLM")));
    }

    #[test]
    fn a_scheme_that_comes_to_nothing_makes_way_for_the_next() {
        let anna = Credentials::new("anna", "secret");
        let mut login = login(&anna);
        let all = "Negotiate, NTLM, Digest realm=x, nonce=y, algorithm=new, Basic realm=x";
        login.challenged(&offered(all), Line::Kept).unwrap();
        // No challenge: it wants Kerberos.
        login.challenged(&offered(all), Line::Kept).unwrap();
        assert!(login.header().unwrap().starts_with("NTLM "));
        // A challenge on a connection that has ended is worth nothing.
        let challenge = offered(&format!("NTLM {}, {all}", second()));
        login.challenged(&challenge, Line::Lost).unwrap();
        assert!(login.header().unwrap().starts_with("Basic "));
        let again = login.challenged(&offered("Negotiate, NTLM"), Line::Kept);
        assert_eq!(again, Err(Refusal::Wrong("Basic")));
    }

    #[test]
    #[cfg(feature = "kerberos")]
    fn a_ticket_goes_first_and_makes_way_for_ntlm_where_it_is_not_taken() {
        let anna = Credentials::new("anna@CORP.EXAMPLE", "secret");
        let mut login = login(&anna);
        let all = offered("Negotiate, NTLM");
        assert!(login.wants_ticket(&offered("NTLM")).is_none());
        assert!(login.wants_ticket(&all).is_some());
        login.has_ticket(b"ticket".to_vec());
        assert!(!format!("{login:?}").contains("116"));
        login.challenged(&all, Line::Kept).unwrap();
        assert_eq!(login.header(), Some("Negotiate dGlja2V0"));
        assert!(login.wants_ticket(&all).is_none());
        login.challenged(&all, Line::Kept).unwrap();
        assert!(login.header().unwrap().starts_with("Negotiate TlRM"));
    }

    #[test]
    fn without_credentials_or_a_scheme_there_is_nothing_to_say() {
        let mut nobody = Login::new(None, "cam:443");
        let asked = nobody.challenged(&offered("Basic realm=x"), Line::Kept);
        assert_eq!(asked, Err(Refusal::NoCredentials));
        let anna = Credentials::new("anna", "secret");
        let asked = login(&anna).challenged(&offered("Hawk, Bearer"), Line::Kept);
        assert_eq!(asked, Err(Refusal::NoScheme));
    }
}
