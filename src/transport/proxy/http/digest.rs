//! Digest authentication (RFC 7616): the password is proven and never said.

use aws_lc_rs::digest::{SHA256, digest};
use md5::{Digest as _, Md5};

use super::challenge::Challenge;
use crate::transport::proxy::Credentials;

/// A challenge that can be answered.
#[derive(Debug)]
pub(super) struct Digest<'a> {
    hash: Hash,
    /// As the proxy writes it, if it does.
    algorithm: Option<&'a str>,
    session: Session,
    quality: Quality,
    realm: &'a str,
    nonce: &'a str,
    opaque: Option<&'a str>,
}

/// The weaker first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Hash {
    Md5,
    Sha256,
}

/// Whether the nonces are part of what stands for the password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Session {
    Yes,
    No,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quality {
    /// `qop=auth`.
    Auth,
    /// RFC 2069, which had no such thing.
    Old,
}

impl<'a> Digest<'a> {
    /// The one that proves most without giving much away, of those that can be answered.
    pub(super) fn best(offered: &'a [Challenge]) -> Option<Self> {
        let known = offered.iter().filter_map(Self::new);
        known.max_by_key(|digest| digest.hash)
    }

    fn new(challenge: &'a Challenge) -> Option<Self> {
        if !challenge.is("Digest") {
            return None;
        }
        let algorithm = challenge.param("algorithm");
        let (hash, session) = match algorithm.map(str::to_ascii_lowercase).as_deref() {
            None | Some("md5") => (Hash::Md5, Session::No),
            Some("md5-sess") => (Hash::Md5, Session::Yes),
            Some("sha-256") => (Hash::Sha256, Session::No),
            Some("sha-256-sess") => (Hash::Sha256, Session::Yes),
            Some(_) => return None,
        };
        let quality = match challenge.param("qop") {
            None => Quality::Old,
            Some(list) => list
                .split(',')
                .any(|one| one.trim().eq_ignore_ascii_case("auth"))
                .then_some(Quality::Auth)?,
        };
        Some(Self {
            hash,
            algorithm,
            session,
            quality,
            realm: challenge.param("realm")?,
            nonce: challenge.param("nonce")?,
            opaque: challenge.param("opaque"),
        })
    }

    /// What to say to be let through with a request; none if user or challenge cannot stand in a header. `ours` is a
    /// nonce of this side.
    pub(super) fn answer(
        &self,
        credentials: &Credentials,
        method: &str,
        uri: &str,
        ours: &str,
    ) -> Option<String> {
        let (user, password) = (credentials.user(), credentials.password());
        let Self { realm, nonce, .. } = self;
        let hash = |text: &str| self.hash.hex(text);
        let mut secret = hash(&format!("{user}:{realm}:{password}"));
        if self.session == Session::Yes {
            secret = hash(&format!("{secret}:{nonce}:{ours}"));
        }
        let request = hash(&format!("{method}:{uri}"));
        let response = match self.quality {
            Quality::Auth => hash(&format!("{secret}:{nonce}:{COUNT}:{ours}:auth:{request}")),
            Quality::Old => hash(&format!("{secret}:{nonce}:{request}")),
        };
        let mut said = format!(
            "Digest username={}, realm={}, nonce={}, uri={}, response=\"{response}\"",
            quoted(user)?,
            quoted(realm)?,
            quoted(nonce)?,
            quoted(uri)?
        );
        if let Some(algorithm) = self.algorithm {
            // One of four words.
            said.push_str(&format!(", algorithm={algorithm}"));
        }
        if let Some(opaque) = self.opaque {
            said.push_str(&format!(", opaque={}", quoted(opaque)?));
        }
        if self.quality == Quality::Auth || self.session == Session::Yes {
            said.push_str(&format!(", cnonce={}", quoted(ours)?));
        }
        if self.quality == Quality::Auth {
            said.push_str(&format!(", qop=auth, nc={COUNT}"));
        }
        Some(said)
    }
}

impl Hash {
    fn hex(self, text: &str) -> String {
        match self {
            Self::Md5 => hex(Md5::digest(text.as_bytes()).as_slice()),
            Self::Sha256 => hex(digest(&SHA256, text.as_bytes()).as_ref()),
        }
    }
}

/// In small letters.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Between quotes; none if it would end the header.
fn quoted(text: &str) -> Option<String> {
    if text.bytes().any(|byte| byte.is_ascii_control()) {
        return None;
    }
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
    Some(format!("\"{escaped}\""))
}

/// Each nonce is used once.
const COUNT: &str = "00000001";

#[cfg(test)]
mod tests {
    use super::super::challenge;
    use super::*;

    const OURS: &str = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";

    fn offered(headers: &[&str]) -> Vec<Challenge> {
        let mut found = Vec::new();
        for header in headers {
            challenge::parse(header.as_bytes(), &mut found);
        }
        found
    }

    fn mufasa(offered: &[Challenge]) -> Option<String> {
        let credentials = Credentials::new("Mufasa", "Circle of Life");
        Digest::best(offered)?.answer(&credentials, "GET", "/dir/index.html", OURS)
    }

    /// RFC 7616, 3.9.1, with this algorithm.
    fn example(algorithm: &str) -> String {
        format!(
            "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm={algorithm}, \
             nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", \
             opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
        )
    }

    #[test]
    fn the_examples_of_the_rfc_come_out() {
        let said = mufasa(&offered(&[&example("MD5")])).unwrap();
        assert!(said.contains("response=\"8ca523f5e9506fed4657c9700eebdbec\""));
        let said = mufasa(&offered(&[&example("SHA-256")])).unwrap();
        assert!(said.contains(
            "response=\"753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1\""
        ));
        for part in [
            "algorithm=SHA-256",
            "qop=auth, nc=00000001",
            "opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"",
            "cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\"",
            "uri=\"/dir/index.html\"",
        ] {
            assert!(said.contains(part), "{part} in {said}");
        }
    }

    #[test]
    fn the_stronger_hash_is_taken_and_one_that_is_unknown_is_not() {
        let both = offered(&[&example("MD5"), &example("SHA-256")]);
        assert!(mufasa(&both).unwrap().contains("algorithm=SHA-256"));
        let newer = offered(&[&example("MD5"), &example("SHA-512-256")]);
        assert!(mufasa(&newer).unwrap().contains("algorithm=MD5"));
        assert_eq!(mufasa(&offered(&[&example("SHA-512-256")])), None);
        assert_eq!(
            mufasa(&offered(&["Digest realm=a, nonce=b, qop=auth-int"])),
            None
        );
        assert_eq!(mufasa(&offered(&["Digest realm=a"])), None);
    }

    #[test]
    fn the_first_digest_of_all_has_neither_quality_nor_nonce_of_ours() {
        // RFC 2617, 3.5, without its quality.
        let old = offered(&[
            "Digest realm=\"testrealm@host.com\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\"",
        ]);
        let credentials = Credentials::new("Mufasa", "Circle Of Life");
        let digest = Digest::best(&old).unwrap();
        let said = digest
            .answer(&credentials, "GET", "/dir/index.html", OURS)
            .unwrap();
        assert!(
            said.contains("response=\"670fd8c2df070c60b045671b8b24ff02\""),
            "{said}"
        );
        assert!(
            !said.contains("nonce=\"f2") && !said.contains("qop"),
            "{said}"
        );
    }

    #[test]
    fn a_user_cannot_break_out_of_the_header() {
        let both = offered(&[&example("MD5")]);
        let digest = Digest::best(&both).unwrap();
        let say = |user: &str| digest.answer(&Credentials::new(user, "x"), "GET", "/", OURS);
        assert_eq!(say("a\r\nX: y"), None);
        assert!(say("a\"\\b").unwrap().contains("username=\"a\\\"\\\\b\""));
    }
}
