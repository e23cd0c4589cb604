//! The little that is read from a certificate beyond its key: until when it is valid and who issued it.

use std::net::IpAddr;

use time::{Date, Month, OffsetDateTime, PrimitiveDateTime, Time};

/// When the certificate ends; `None` if it is damaged.
pub(super) fn not_after(certificate: &[u8]) -> Option<OffsetDateTime> {
    let mut tbs = Der(Der(Der(certificate).expect(SEQUENCE)?).expect(SEQUENCE)?);
    let (first, _) = tbs.next()?; // version, or already the serial number
    if first == VERSION {
        tbs.next()?;
    }
    tbs.expect(SEQUENCE)?; // signature algorithm
    tbs.expect(SEQUENCE)?; // issuer
    let mut validity = Der(tbs.expect(SEQUENCE)?);
    validity.next()?;
    let (tag, text) = validity.next()?;
    timestamp(tag, text)
}

/// The host names and addresses in the certificate; none of those behind one that is damaged.
pub(super) fn names(certificate: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    let mut list = Der(alternatives(certificate).unwrap_or_default());
    while let Some((tag, value)) = list.next() {
        match tag {
            DNS_NAME => names.push(printable(&String::from_utf8_lossy(value), 253)),
            IP_ADDRESS => names.extend(
                match (<[u8; 4]>::try_from(value), <[u8; 16]>::try_from(value)) {
                    (Ok(four), _) => Some(IpAddr::from(four).to_string()),
                    (_, Ok(sixteen)) => Some(IpAddr::from(sixteen).to_string()),
                    _ => None,
                },
            ),
            _ => {}
        }
    }
    names
}

/// The list in the extension that has a certificate's names.
fn alternatives(certificate: &[u8]) -> Option<&[u8]> {
    let mut tbs = Der(Der(Der(certificate).expect(SEQUENCE)?).expect(SEQUENCE)?);
    let extensions = loop {
        let (tag, value) = tbs.next()?;
        if tag == EXTENSIONS {
            break value;
        }
    };
    let mut extensions = Der(Der(extensions).expect(SEQUENCE)?);
    loop {
        let mut extension = Der(extensions.expect(SEQUENCE)?);
        if extension.expect(OID)? != ALTERNATIVE_NAMES {
            continue;
        }
        let (tag, value) = extension.next()?;
        let value = if tag == BOOLEAN {
            extension.expect(OCTETS)?
        } else {
            value
        };
        return Der(value).expect(SEQUENCE);
    }
}

/// What a distinguished name (without its outer SEQUENCE) calls itself: `CN (O)`, or as much of it as there is.
pub(super) fn name(distinguished: &[u8]) -> String {
    let (mut common, mut organisation) = (None, None);
    let mut sets = Der(distinguished);
    while let Some((SET, set)) = sets.next() {
        let mut attributes = Der(set);
        while let Some((SEQUENCE, attribute)) = attributes.next() {
            let mut attribute = Der(attribute);
            let (Some((OID, oid)), Some((tag, value))) = (attribute.next(), attribute.next())
            else {
                continue;
            };
            match oid {
                COMMON_NAME => common = common.or_else(|| Some(text(tag, value))),
                ORGANISATION => organisation = organisation.or_else(|| Some(text(tag, value))),
                _ => {}
            }
        }
    }
    match (common, organisation) {
        (Some(common), Some(organisation)) => format!("{common} ({organisation})"),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => String::from("nobody"),
    }
}

/// Text from a peer as it may be shown on a terminal: no control or direction characters, white space as single
/// blanks, at most `most` characters.
pub(crate) fn printable(text: &str, most: usize) -> String {
    let mut shown = String::new();
    let words = text.split_whitespace().flat_map(|word| [" ", word]).skip(1);
    let visible = words
        .flat_map(str::chars)
        .filter(|c| !c.is_control() && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}'));
    for (count, c) in visible.enumerate() {
        if count == most {
            shown.push('…');
            break;
        }
        shown.push(c);
    }
    shown
}

/// Reads one value after the other; `None` at the end and at the first that is damaged.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&[tag, length], rest) = self.0.split_first_chunk::<2>()?;
        let (length, rest) = match length {
            0..=0x7f => (usize::from(length), rest),
            0x81..=0x83 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
                let length = bytes
                    .iter()
                    .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
                (length, rest)
            }
            _ => return None,
        };
        let (value, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, value))
    }

    fn expect(&mut self, wanted: u8) -> Option<&'a [u8]> {
        self.next()
            .and_then(|(tag, value)| (tag == wanted).then_some(value))
    }
}

fn text(tag: u8, value: &[u8]) -> String {
    let text = if tag == BMP_STRING {
        let units = value
            .chunks_exact(2)
            .map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
        char::decode_utf16(units)
            .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect()
    } else {
        String::from_utf8_lossy(value).into_owned()
    };
    printable(&text, 64)
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`.
fn timestamp(tag: u8, text: &[u8]) -> Option<OffsetDateTime> {
    let digits = text.strip_suffix(b"Z")?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = |digits: &[u8]| {
        digits
            .iter()
            .fold(0_u16, |sum, d| sum * 10 + u16::from(d - b'0'))
    };
    let (year, rest) = match (tag, digits.len()) {
        (UTC_TIME, 12) => {
            let short = number(&digits[..2]);
            (
                if short < 50 {
                    2000 + short
                } else {
                    1900 + short
                },
                &digits[2..],
            )
        }
        (GENERALISED_TIME, 14) => (number(&digits[..4]), &digits[4..]),
        _ => return None,
    };
    let two = |at: usize| u8::try_from(number(&rest[at..at + 2])).ok();
    let date = Date::from_calendar_date(i32::from(year), Month::try_from(two(0)?).ok()?, two(2)?);
    let time = Time::from_hms(two(4)?, two(6)?, two(8)?);
    Some(PrimitiveDateTime::new(date.ok()?, time.ok()?).assume_utc())
}

const BOOLEAN: u8 = 0x01;
const OCTETS: u8 = 0x04;
const OID: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALISED_TIME: u8 = 0x18;
const BMP_STRING: u8 = 0x1e;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
/// `[0]`, constructed: the version of a certificate newer than v1.
const VERSION: u8 = 0xa0;
/// `[3]`, constructed.
const EXTENSIONS: u8 = 0xa3;
/// `[2]` and `[7]` of a general name.
const DNS_NAME: u8 = 0x82;
const IP_ADDRESS: u8 = 0x87;
/// 2.5.29.17
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];
/// 2.5.4.3
const COMMON_NAME: &[u8] = &[0x55, 4, 3];
/// 2.5.4.10
const ORGANISATION: &[u8] = &[0x55, 4, 10];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_from_a_peer_cannot_steer_the_terminal() {
        assert_eq!(printable("a\u{1b}[2J\tb\u{202e}\n  c", 64), "a[2J b c");
        assert_eq!(printable("abcdef", 3), "abc…");
    }

    #[test]
    fn the_names_of_a_certificate_are_those_that_it_was_made_for() {
        let given = ["cam.example.org", "192.0.2.7", "2001:db8::1"].map(String::from);
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(given.clone()).unwrap();
        assert_eq!(names(params.self_signed(&key).unwrap().der()), given);
        let none = rcgen::CertificateParams::default();
        assert!(names(none.self_signed(&key).unwrap().der()).is_empty());
    }

    #[test]
    fn damaged_certificates_give_nothing() {
        let key = rcgen::KeyPair::generate().unwrap();
        let cert = rcgen::CertificateParams::default()
            .self_signed(&key)
            .unwrap();
        assert_eq!(not_after(cert.der()).map(|t| t.year()), Some(4096));
        for end in 0..cert.der().len() {
            assert_eq!(not_after(&cert.der()[..end]), None);
            name(&cert.der()[..end]);
            names(&cert.der()[..end]);
        }
    }
}
