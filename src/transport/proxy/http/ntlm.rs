//! NTLM version 2 (MS-NLMP), as much as a proxy asks for: three messages, no signing and no sealing.
//!
//! Old as it is, it is what offices without Kerberos have, and what `Negotiate` carries there.

use md4::{Digest as _, Md4};
use md5::Md5;

use crate::transport::proxy::Credentials;

/// The first message: what we speak. It names neither user nor machine.
pub(super) fn open() -> Vec<u8> {
    let mut message = SIGNATURE.to_vec();
    message.extend_from_slice(&1_u32.to_le_bytes());
    message.extend_from_slice(&OURS.to_le_bytes());
    // Neither domain nor workstation.
    message.extend_from_slice(&[0; 16]);
    message
}

/// The second message, from the proxy.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Challenge<'a> {
    flags: u32,
    nonce: [u8; 8],
    /// Names and a time, given back as they came.
    info: &'a [u8],
}

impl<'a> Challenge<'a> {
    /// None if it is damaged.
    pub(super) fn parse(message: &'a [u8]) -> Option<Self> {
        let rest = message.strip_prefix(SIGNATURE)?;
        if rest.get(..4)? != 2_u32.to_le_bytes() {
            return None;
        }
        let flags = u32::from_le_bytes(message.get(20..24)?.try_into().ok()?);
        let nonce = message.get(24..32)?.try_into().ok()?;
        let info = match message.get(40..48) {
            Some(field) if flags & TARGET_INFO != 0 => {
                let length = usize::from(u16::from_le_bytes([field[0], field[1]]));
                let from = u32::from_le_bytes([field[4], field[5], field[6], field[7]]);
                let from = usize::try_from(from).ok()?;
                message.get(from..from.checked_add(length)?)?
            }
            // Those who are older than version 2 have none.
            Some(_) | None => &[],
        };
        // What it is given back in must have room for it.
        (info.len() <= MOST_INFO).then_some(Self { flags, nonce, info })
    }

    /// The time in it, in units of 100 ns since 1601.
    fn time(&self) -> Option<[u8; 8]> {
        let mut rest = self.info;
        loop {
            let (head, behind) = rest.split_first_chunk::<4>()?;
            let length = usize::from(u16::from_le_bytes([head[2], head[3]]));
            let (value, behind) = behind.split_at_checked(length)?;
            match u16::from_le_bytes([head[0], head[1]]) {
                INFO_END => return None,
                INFO_TIME => return value.try_into().ok(),
                _ => rest = behind,
            }
        }
    }
}

/// What has to be new each time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fresh {
    /// Random.
    pub(super) nonce: [u8; 8],
    /// In units of 100 ns since 1601, for proxies that say no time of their own.
    pub(super) time: u64,
}

/// The third message, which proves the password; none if user or password are too long for it.
pub(super) fn prove(
    credentials: &Credentials,
    challenge: &Challenge<'_>,
    fresh: Fresh,
) -> Option<Vec<u8>> {
    let (domain, user) = match credentials.user().split_once('\\') {
        Some((domain, user)) => (domain, user),
        None => ("", credentials.user()),
    };
    let key = key(user, domain, credentials.password());
    let time = challenge.time();
    let nt = {
        let mut said = vec![1, 1, 0, 0, 0, 0, 0, 0];
        said.extend_from_slice(&time.unwrap_or_else(|| fresh.time.to_le_bytes()));
        said.extend_from_slice(&fresh.nonce);
        said.extend_from_slice(&[0; 4]);
        said.extend_from_slice(challenge.info);
        said.extend_from_slice(&[0; 4]);
        let mut proof = mac(&key, &[&challenge.nonce, &said]).to_vec();
        proof.append(&mut said);
        proof
    };
    // Whoever says the time does not look at this one any more.
    let lm = match time {
        Some(_) => [0; 24].to_vec(),
        None => [
            &mac(&key, &[&challenge.nonce, &fresh.nonce]),
            &fresh.nonce[..],
        ]
        .concat(),
    };
    let mut flags = challenge.flags & (OURS | TARGET_INFO);
    if flags & UNICODE != 0 {
        // Some offer both still, and would read the other.
        flags &= !OEM;
    }
    let text = |text: &str| match flags & UNICODE {
        0 => text.as_bytes().to_vec(),
        _ => utf16(text),
    };
    let parts = [
        lm,
        nt,
        text(domain),
        text(user),
        text(WORKSTATION),
        Vec::new(),
    ];
    let mut message = SIGNATURE.to_vec();
    message.extend_from_slice(&3_u32.to_le_bytes());
    let mut at = u32::try_from(PROOF_HEAD).ok()?;
    for part in &parts {
        let length = u16::try_from(part.len()).ok()?;
        message.extend_from_slice(&length.to_le_bytes());
        message.extend_from_slice(&length.to_le_bytes());
        message.extend_from_slice(&at.to_le_bytes());
        at = at.checked_add(u32::from(length))?;
    }
    message.extend_from_slice(&flags.to_le_bytes());
    message.extend(parts.iter().flatten());
    Some(message)
}

/// `NTOWFv2`: what stands for the password.
fn key(user: &str, domain: &str, password: &str) -> [u8; 16] {
    let password = Md4::digest(utf16(password));
    let who: String = user.chars().map(upper).chain(domain.chars()).collect();
    mac(&password.into(), &[&utf16(&who)])
}

/// As Windows does: one letter for one letter.
fn upper(letter: char) -> char {
    let mut upper = letter.to_uppercase();
    match (upper.next(), upper.next()) {
        (Some(one), None) => one,
        _ => letter,
    }
}

/// HMAC (RFC 2104) with MD5.
fn mac(key: &[u8; 16], parts: &[&[u8]]) -> [u8; 16] {
    let pad = |with: u8| {
        let mut block = [with; 64];
        for (byte, key) in block.iter_mut().zip(key) {
            *byte ^= key;
        }
        block
    };
    let mut inner = Md5::new_with_prefix(pad(0x36));
    for part in parts {
        inner.update(part);
    }
    let outer = Md5::new_with_prefix(pad(0x5c)).chain_update(inner.finalize());
    outer.finalize().into()
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

pub(super) const SIGNATURE: &[u8] = b"NTLMSSP\0";
const UNICODE: u32 = 0x1;
const OEM: u32 = 0x2;
const TARGET_INFO: u32 = 0x80_0000;
/// Unicode, OEM, request target, NTLM, always sign, extended session security: what curl and browsers offer.
const OURS: u32 = 0x8_8207;
const INFO_END: u16 = 0;
const INFO_TIME: u16 = 7;
/// A forest of long names has a tenth of it.
const MOST_INFO: usize = 16 * 1024;
/// Of the third message: signature, type, six fields, flags.
const PROOF_HEAD: usize = 8 + 4 + 6 * 8 + 4;
/// Some want any name; this one says nothing about the machine.
const WORKSTATION: &str = "WORKSTATION";

#[cfg(test)]
mod tests {
    use super::super::digest::hex;
    use super::*;

    /// Of MS-NLMP, 4.2.4: names of the server, and no time.
    const INFO: &[u8] = b"\x02\0\x0c\0D\0o\0m\0a\0i\0n\0\x01\0\x0c\0S\0e\0r\0v\0e\0r\0\0\0\0\0";

    fn message(flags: u32, info: &[u8]) -> Vec<u8> {
        let mut message = SIGNATURE.to_vec();
        message.extend_from_slice(&2_u32.to_le_bytes());
        message.extend_from_slice(&[0; 8]);
        message.extend_from_slice(&flags.to_le_bytes());
        message.extend_from_slice(&[0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef]);
        message.extend_from_slice(&[0; 8]);
        let length = u16::try_from(info.len()).unwrap().to_le_bytes();
        message.extend_from_slice(&[length, length].concat());
        message.extend_from_slice(&48_u32.to_le_bytes());
        message.extend_from_slice(info);
        message
    }

    fn field(message: &[u8], number: usize) -> &[u8] {
        let head = &message[12 + number * 8..20 + number * 8];
        let length = usize::from(u16::from_le_bytes([head[0], head[1]]));
        let from = u32::from_le_bytes(head[4..8].try_into().unwrap()) as usize;
        &message[from..from + length]
    }

    const FRESH: Fresh = Fresh {
        nonce: [0xaa; 8],
        time: 0,
    };

    #[test]
    fn the_example_of_the_specification_comes_out() {
        assert_eq!(
            hex(&key("User", "Domain", "Password")),
            "0c868a403bfd7a93a3001ef22ef02e3f"
        );
        let message = message(UNICODE | TARGET_INFO, INFO);
        let challenge = Challenge::parse(&message).unwrap();
        assert_eq!(challenge.info, INFO);
        let credentials = Credentials::new("Domain\\User", "Password");
        let proof = prove(&credentials, &challenge, FRESH).unwrap();
        assert_eq!(
            hex(field(&proof, 0)),
            "86c35097ac9cec102554764a57cccc19aaaaaaaaaaaaaaaa"
        );
        assert_eq!(
            hex(&field(&proof, 1)[..16]),
            "68cd0ab851e51c96aabc927bebef6a1c"
        );
        assert_eq!(field(&proof, 2), utf16("Domain"));
        assert_eq!(field(&proof, 3), utf16("User"));
        let both = self::message(UNICODE | OEM, b"");
        let challenge = Challenge::parse(&both).unwrap();
        let proof = prove(&credentials, &challenge, FRESH).unwrap();
        assert_eq!(proof[60..64], UNICODE.to_le_bytes());
    }

    #[test]
    fn the_proxys_time_is_used_where_it_says_one_and_old_ones_say_nothing() {
        let credentials = Credentials::new("anna", "x");
        let timed = message(TARGET_INFO, b"\x07\0\x08\x0012345678\0\0\0\0");
        let challenge = Challenge::parse(&timed).unwrap();
        let proof = prove(&credentials, &challenge, FRESH).unwrap();
        assert_eq!(&field(&proof, 1)[24..32], b"12345678");
        assert_eq!(field(&proof, 0), [0; 24]);
        assert_eq!(field(&proof, 3), b"anna");
        let old = &message(0, b"")[..32];
        let challenge = Challenge::parse(old).unwrap();
        assert!(challenge.info.is_empty());
        assert!(prove(&credentials, &challenge, FRESH).is_some());
    }

    #[test]
    fn damaged_challenges_are_none() {
        let whole = message(TARGET_INFO, INFO);
        for end in 0..whole.len() {
            let challenge = Challenge::parse(&whole[..end]);
            assert!(challenge.is_none_or(|challenge| challenge.info.is_empty()));
        }
        let long = message(TARGET_INFO, &[0; MOST_INFO + 1]);
        assert_eq!(Challenge::parse(&long), None);
        assert_eq!(Challenge::parse(&open()), None);
        let damaged = message(TARGET_INFO, b"\x07\0\xff\xff");
        let challenge = Challenge::parse(&damaged).unwrap();
        assert_eq!(challenge.time(), None);
    }
}
