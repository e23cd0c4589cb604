//! What a 407 asks for: the challenges of `Proxy-Authenticate` (RFC 9110, 11.3), however many stand in a line.

/// One way in which the proxy would be told who is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Challenge {
    /// As the proxy writes it.
    pub(super) scheme: String,
    /// What follows the scheme where that is one word of base64.
    pub(super) token: Option<String>,
    params: Vec<(String, String)>,
}

impl Challenge {
    /// The parameter of this name (in small letters), without quotes.
    pub(super) fn param(&self, name: &str) -> Option<&str> {
        let found = self.params.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Whether it is of this scheme.
    pub(super) fn is(&self, scheme: &str) -> bool {
        self.scheme.eq_ignore_ascii_case(scheme)
    }
}

/// Adds the challenges of one header. What cannot be understood is passed over.
pub(super) fn parse(header: &[u8], into: &mut Vec<Challenge>) {
    let mut rest = Rest(header);
    loop {
        rest.skip(b" \t,");
        if rest.0.is_empty() || into.len() >= MOST_CHALLENGES {
            return;
        }
        let Some(scheme) = rest.token() else {
            rest.pass_comma();
            continue;
        };
        let mut challenge = Challenge {
            scheme,
            ..Challenge::default()
        };
        if rest.skip(b" \t") {
            challenge.token = rest.token68();
            if challenge.token.is_none() {
                rest.params(&mut challenge.params);
            }
        }
        into.push(challenge);
    }
}

/// What has not been read yet.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    /// Whether there was any of these.
    fn skip(&mut self, these: &[u8]) -> bool {
        self.take_while(|byte| these.contains(&byte)).is_some()
    }

    /// Up to and with the next comma.
    fn pass_comma(&mut self) {
        let _passed_over = self.take_while(|byte| byte != b',');
        self.0 = self.0.get(1..).unwrap_or_default();
    }

    fn token(&mut self) -> Option<String> {
        self.take_while(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
    }

    /// A word of base64 that is all there is before the next comma; takes nothing otherwise.
    fn token68(&mut self) -> Option<String> {
        let mut ahead = Self(self.0);
        let mut word =
            ahead.take_while(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte))?;
        word.push_str(&ahead.take_while(|byte| byte == b'=').unwrap_or_default());
        ahead.skip(b" \t");
        if !matches!(ahead.0.first(), None | Some(b',')) {
            return None;
        }
        self.0 = ahead.0;
        Some(word)
    }

    /// Pairs of names and values, up to the next scheme.
    fn params(&mut self, into: &mut Vec<(String, String)>) {
        loop {
            let mut ahead = Self(self.0);
            ahead.skip(b" \t,");
            let Some(name) = ahead.token() else {
                return;
            };
            ahead.skip(b" \t");
            if ahead.0.first() != Some(&b'=') {
                return;
            }
            ahead.0 = &ahead.0[1..];
            ahead.skip(b" \t");
            let value = match ahead.0.first() {
                Some(b'"') => ahead.quoted(),
                _ => ahead.token().unwrap_or_default(),
            };
            ahead.skip(b" \t");
            if !matches!(ahead.0.first(), None | Some(b',')) {
                ahead.pass_comma();
            }
            self.0 = ahead.0;
            if into.len() < MOST_PARAMS {
                into.push((name.to_ascii_lowercase(), value));
            }
        }
    }

    /// What stands between quotes; without the last of them, everything.
    fn quoted(&mut self) -> String {
        let mut value = Vec::new();
        let mut bytes = self.0[1..].iter();
        while let Some(byte) = bytes.next() {
            match byte {
                b'"' => break,
                b'\\' => value.extend(bytes.next()),
                _ => value.push(*byte),
            }
        }
        self.0 = bytes.as_slice();
        String::from_utf8_lossy(&value).into_owned()
    }

    fn take_while(&mut self, is: impl Fn(u8) -> bool) -> Option<String> {
        let end = self.0.iter().position(|byte| !is(*byte));
        let (word, rest) = self.0.split_at(end.unwrap_or(self.0.len()));
        self.0 = rest;
        (!word.is_empty()).then(|| String::from_utf8_lossy(word).into_owned())
    }
}

/// More than there are schemes.
const MOST_CHALLENGES: usize = 16;
/// More than any scheme has.
const MOST_PARAMS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn challenges(header: &str) -> Vec<Challenge> {
        let mut found = Vec::new();
        parse(header.as_bytes(), &mut found);
        found
    }

    #[test]
    fn several_challenges_in_a_line_are_told_apart() {
        let found = challenges(
            "Negotiate, NTLM TlRMTVNTUAAC==, Digest realm=\"a, b \\\"c\\\"\", nonce=x , qop=\"auth,auth-int\" ,stale = TRUE,Basic realm=\"\"",
        );
        let schemes: Vec<&str> = found.iter().map(|one| one.scheme.as_str()).collect();
        assert_eq!(schemes, ["Negotiate", "NTLM", "Digest", "Basic"]);
        assert_eq!(found[0].token, None);
        assert_eq!(found[1].token.as_deref(), Some("TlRMTVNTUAAC=="));
        assert_eq!(found[2].param("realm"), Some("a, b \"c\""));
        assert_eq!(found[2].param("nonce"), Some("x"));
        assert_eq!(found[2].param("qop"), Some("auth,auth-int"));
        assert_eq!(found[2].param("stale"), Some("TRUE"));
        assert_eq!(found[3].param("realm"), Some(""));
        assert!(found[3].is("bAsIc"));
    }

    #[test]
    fn damaged_challenges_are_read_as_far_as_they_go() {
        assert_eq!(challenges(" ,, \t"), []);
        assert_eq!(
            challenges("\"?\", Basic realm=x")[0].param("realm"),
            Some("x")
        );
        assert_eq!(
            challenges("Basic realm=\"never ends")[0].param("realm"),
            Some("never ends")
        );
        assert_eq!(
            challenges("Basic realm=\"a\" b, nonce=c")[0].param("nonce"),
            Some("c")
        );
        assert_eq!(challenges(&"NTLM, ".repeat(1000)).len(), MOST_CHALLENGES);
        assert_eq!(challenges("Basic realm=\"x\\")[0].param("realm"), Some("x"));
    }
}
