//! A server's key and certificate: made at the first start, kept, renewed on the same key.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    Certificate, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SerialNumber,
};
use rustls::ServerConfig;
use rustls::server::ResolvesServerCert;
use rustls::sign::CertifiedKey;
use rustls_pki_types::{PrivatePkcs8KeyDer, ServerName};
use time::OffsetDateTime;
use webpki::EndEntityCert;

use super::current::Current;
use super::store::{self, Whose};
use super::{Pin, TrustError, config, der, pem, quic};
use crate::file::{Access, Created};

/// Who a server is. Cheap to clone.
#[derive(Clone)]
pub struct Identity {
    current: Arc<Current>,
    server: Arc<ServerConfig>,
    quic: Arc<ServerConfig>,
    sealed: Arc<ServerConfig>,
}

impl Identity {
    /// The identity in `dir` (`key.pem`, mode 0600, and `cert.pem`); what is missing is made.
    ///
    /// The certificate names `localhost`, this machine and `names` (host names or addresses). It is valid for 90 days
    /// and is made anew, on the same key, when fewer than 30 are left, when a name is not in it, or when it does not
    /// belong to the key; so the pin stays as long as the key does.
    ///
    /// Fails if the directory cannot be written, if others may read the key, or if the key is damaged.
    pub fn load_or_create(dir: &Path, names: &[String]) -> Result<Self, TrustError> {
        #[expect(
            clippy::disallowed_methods,
            reason = "certificates are valid in wall time"
        )]
        let now = SystemTime::now();
        Self::load_or_create_at(dir, names, now)
    }

    /// The identity in two PEM files that somebody else looks after: a chain with the server's certificate first, and
    /// its private key.
    ///
    /// Fails if either is missing, unreadable, damaged, or does not belong to the other, or if everybody on this machine
    /// may read the key. Its owner's group may: that is how keys are kept that several servers use.
    pub fn load(cert: &Path, key: &Path) -> Result<Self, TrustError> {
        let certified = pem::load(cert, key, &config::provider())?;
        let mode = store::exposure(key)?;
        if mode & 0o007 != 0 {
            return Err(TrustError::KeyExposed {
                path: key.to_path_buf(),
                mode: mode | 0o600,
            });
        }
        Self::new(certified)
    }

    /// The identity in `dir`, as [`load_or_create`](Self::load_or_create) has left it there; `None` if there is none.
    /// Nothing is made or changed.
    ///
    /// Fails if others may read the key, or if key or certificate are damaged.
    pub fn existing(dir: &Path) -> Result<Option<Self>, TrustError> {
        let (cert, key) = (dir.join("cert.pem"), dir.join("key.pem"));
        if store::read(&key)?.is_none() {
            return Ok(None);
        }
        check(&key, Whose::Served)?;
        if store::read(&cert)?.is_none() {
            return Ok(None);
        }
        Self::new(pem::load(&cert, &key, &config::provider())?).map(Some)
    }

    /// Looks whether [`load_or_create`](Self::load_or_create) finds nothing in `dir` that it cannot mend. Nothing is made
    /// or changed.
    ///
    /// Fails if others may read the key, or if it is damaged.
    pub fn check(dir: &Path) -> Result<(), TrustError> {
        match Self::existing(dir) {
            Err(error) if is_mended(&error) => pair(&dir.join("key.pem")).map(drop),
            found => found.map(drop),
        }
    }

    /// Makes the certificate in `dir` anew on the same key, with the names that it has and these; all of it if there is
    /// none.
    pub fn renew(dir: &Path, names: &[String]) -> Result<Self, TrustError> {
        let mut all = match Self::existing(dir) {
            Ok(found) => found.map(|found| found.names()).unwrap_or_default(),
            // A damaged certificate is one more reason for another.
            Err(error) if is_mended(&error) => Vec::new(),
            Err(error) => return Err(error),
        };
        all.extend_from_slice(names);
        #[expect(
            clippy::disallowed_methods,
            reason = "certificates are valid in wall time"
        )]
        let now = SystemTime::now();
        Self::make(dir, Whose::Served, &all_names(&all)?, now, |_| false)
    }

    /// The host names and addresses in the certificate.
    pub fn names(&self) -> Vec<String> {
        let shown = self.current.get();
        let leaf = shown.certified.cert.first();
        leaf.map(|leaf| der::names(leaf)).unwrap_or_default()
    }

    /// A new identity that lives no longer than this value.
    pub fn fresh() -> Result<Self, TrustError> {
        #[expect(
            clippy::disallowed_methods,
            reason = "certificates are valid in wall time"
        )]
        let now = SystemTime::now();
        let pair = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let certificate = issue(&pair, &all_names(&[])?, now)?;
        let chain = vec![certificate.der().clone()];
        let key = PrivatePkcs8KeyDer::from(pair.serialize_der()).into();
        Self::new(Arc::new(CertifiedKey::from_der(
            chain,
            key,
            &config::provider(),
        )?))
    }

    /// The hash of the key, as it stands in links.
    pub fn pin(&self) -> Pin {
        self.current.get().pin
    }

    /// When the certificate ends, if it can be read.
    pub fn valid_until(&self) -> Option<SystemTime> {
        self.current.get().valid_until
    }

    /// Shows the certificate of `other` from now on, and proves its key, in all configurations that were given out and
    /// in all clones; connections that stand are as they were. Whether that is another certificate than before.
    pub fn adopt(&self, other: &Self) -> bool {
        let new = other.current.get();
        let old = self.current.set(new.clone());
        old.certified.cert != new.certified.cert || old.pin != new.pin
    }

    /// How to speak TLS as this server.
    pub fn server_config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.server)
    }

    /// How to speak QUIC as this server.
    pub fn quic_server_config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.quic)
    }

    /// How to speak TLS as this server inside a connection that ends elsewhere.
    pub fn sealed_server_config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.sealed)
    }

    fn load_or_create_at(
        dir: &Path,
        names: &[String],
        now: SystemTime,
    ) -> Result<Self, TrustError> {
        let names = all_names(names)?;
        Self::make(dir, Whose::Ours, &names, now, |certified| {
            serves(certified, &names, now)
        })
    }

    /// What is in `dir`, made where it is missing; the certificate also if it is not `good`.
    fn make(
        dir: &Path,
        whose: Whose,
        names: &[String],
        now: SystemTime,
        good: impl FnOnce(&CertifiedKey) -> bool,
    ) -> Result<Self, TrustError> {
        store::private_dir(dir)?;
        let (cert, key) = (dir.join("cert.pem"), dir.join("key.pem"));

        if store::read(&key)?.is_none() {
            let pair = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
            let access = match whose {
                Whose::Ours => Access::Own,
                Whose::Served => Access::Private,
            };
            match store::create(&key, pair.serialize_pem().as_bytes(), access)? {
                Created::New => tracing::info!(key = %key.display(), "made a new key"),
                Created::Existed => {}
            }
        }
        check(&key, whose)?;
        match pem::load(&cert, &key, &config::provider()) {
            Ok(certified) if good(&certified) => return Self::new(certified),
            Ok(_) => {}
            Err(error) if is_mended(&error) => {}
            Err(error) => return Err(error),
        }
        let pem = issue(&pair(&key)?, names, now)?.pem();
        store::replace(&cert, pem.as_bytes(), Access::Public)?;
        tracing::info!(cert = %cert.display(), "made a new certificate");
        Self::new(pem::load(&cert, &key, &config::provider())?)
    }

    fn new(certified: Arc<CertifiedKey>) -> Result<Self, TrustError> {
        let current = Arc::new(Current::new(certified)?);
        let resolver = || Arc::clone(&current) as Arc<dyn ResolvesServerCert>;
        Ok(Self {
            server: config::server_config(resolver())?,
            sealed: config::sealed_server_config(resolver())?,
            quic: quic::server_config(resolver())?,
            current,
        })
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("pin", &self.pin())
            .field("valid_until", &self.valid_until())
            .finish_non_exhaustive()
    }
}

/// Whether a new certificate on the same key puts it right.
const fn is_mended(error: &TrustError) -> bool {
    matches!(
        error,
        TrustError::Missing { .. }
            | TrustError::NoCertificate { .. }
            | TrustError::BadCertificate { .. }
            | TrustError::Mismatch { .. }
    )
}

/// The key in this file.
fn pair(key: &Path) -> Result<KeyPair, TrustError> {
    let text = store::read(key)?.unwrap_or_default();
    KeyPair::from_pem(&String::from_utf8_lossy(&text)).map_err(|_| TrustError::BadKey {
        path: key.to_path_buf(),
    })
}

/// Is this key ours, or his whom we serve, and nobody else's to read?
fn check(key: &Path, whose: Whose) -> Result<(), TrustError> {
    store::is_owned(key, whose)?;
    let mode = store::exposure(key)?;
    if mode == 0 {
        return Ok(());
    }
    Err(TrustError::KeyExposed {
        path: key.to_path_buf(),
        mode: mode | 0o600,
    })
}

/// `localhost`, this machine, and the names given, each once.
fn all_names(given: &[String]) -> Result<Vec<String>, TrustError> {
    let mut names = vec![String::from("localhost")];
    let own = host_name().filter(|name| ServerName::try_from(name.as_str()).is_ok());
    names.extend(own.map(|name| name.to_ascii_lowercase()));
    for name in given {
        let bare = name
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_ascii_lowercase();
        if ServerName::try_from(bare.as_str()).is_err() {
            return Err(TrustError::Name { name: name.clone() });
        }
        names.push(bare);
    }
    let mut seen = std::collections::HashSet::new();
    names.retain(|name| seen.insert(name.clone()));
    Ok(names)
}

/// What this machine calls itself, where it can be read without a library.
fn host_name() -> Option<String> {
    ["/proc/sys/kernel/hostname", "/etc/hostname"]
        .iter()
        .find_map(|path| std::fs::read_to_string(path).ok())
        .or_else(|| std::env::var("COMPUTERNAME").ok())
        .or_else(|| std::env::var("HOSTNAME").ok())
        .map(|name| name.trim().to_owned())
}

/// Is this certificate good for these names and for some time yet?
fn serves(certified: &CertifiedKey, names: &[String], now: SystemTime) -> bool {
    let Some(leaf) = certified.cert.first() else {
        return false;
    };
    let Ok(parsed) = EndEntityCert::try_from(leaf) else {
        return false;
    };
    let lasts =
        der::not_after(leaf).is_some_and(|end| end > OffsetDateTime::from(now + RENEW_BEFORE));
    lasts
        && names.iter().all(|name| {
            ServerName::try_from(name.as_str())
                .is_ok_and(|name| parsed.verify_is_valid_for_subject_name(&name).is_ok())
        })
}

/// A certificate for `names` on this key.
fn issue(pair: &KeyPair, names: &[String], now: SystemTime) -> Result<Certificate, TrustError> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, "tunnelcast");
    // Browsers refuse two certificates of one issuer with one number, and a renewed one would have the same.
    let mut serial = [0; 16];
    aws_lc_rs::rand::fill(&mut serial).map_err(|_| rustls::Error::FailedToGetRandomBytes)?;
    serial[0] = serial[0] & 0x7f | 0x40; // positive, and of full length
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.not_before = OffsetDateTime::from(now - CLOCK_SKEW);
    params.not_after = OffsetDateTime::from(now + VALID_FOR);
    Ok(params.self_signed(pair)?)
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const VALID_FOR: Duration = DAY.saturating_mul(90);
const RENEW_BEFORE: Duration = DAY.saturating_mul(30);
/// How far a viewer's clock may be behind ours.
const CLOCK_SKEW: Duration = DAY;

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn start() -> SystemTime {
        NOW + DAY * 20_000
    }

    #[test]
    fn a_second_start_finds_the_same_identity() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("deep/certs");
        let first = Identity::load_or_create(&dir, &[]).unwrap();
        let cert = fs::read(dir.join("cert.pem")).unwrap();
        let second = Identity::load_or_create(&dir, &[]).unwrap();
        assert_eq!(first.pin(), second.pin());
        assert_eq!(fs::read(dir.join("cert.pem")).unwrap(), cert);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode(&dir.join("key.pem")), 0o600);
            assert_eq!(mode(&dir), 0o700);
        }
    }

    #[test]
    fn the_certificate_is_renewed_on_the_same_key_in_its_last_month() {
        let dir = tempfile::tempdir().unwrap();
        let at = |days| Identity::load_or_create_at(dir.path(), &[], start() + DAY * days).unwrap();
        let first = at(0);
        assert_eq!(first.valid_until(), Some(start() + DAY * 90));
        assert_eq!(at(59).valid_until(), first.valid_until());
        let renewed = at(61);
        assert_eq!(renewed.valid_until(), Some(start() + DAY * 151));
        assert_eq!(renewed.pin(), first.pin());
    }

    #[test]
    fn a_new_name_or_a_damaged_certificate_keeps_the_key() {
        let dir = tempfile::tempdir().unwrap();
        let first = Identity::load_or_create(dir.path(), &[]).unwrap();
        let cert = dir.path().join("cert.pem");
        let before = fs::read(&cert).unwrap();
        let names = [
            "cam.example.org".into(),
            "[2001:db8::1]".into(),
            "192.0.2.1".into(),
        ];
        let named = Identity::load_or_create(dir.path(), &names).unwrap();
        let after = fs::read(&cert).unwrap();
        assert_ne!(before, after);
        assert_eq!(named.pin(), first.pin());
        Identity::load_or_create(dir.path(), &names).unwrap();
        assert_eq!(fs::read(&cert).unwrap(), after);
        let other = dir.path().join("other");
        Identity::load_or_create(&other, &[]).unwrap();
        let other = fs::read_to_string(other.join("cert.pem")).unwrap();
        let junk = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
        for damage in ["", junk, &other] {
            for mend in [Identity::load_or_create, Identity::renew] {
                fs::write(&cert, damage).unwrap();
                Identity::check(dir.path()).unwrap();
                assert_eq!(mend(dir.path(), &[]).unwrap().pin(), first.pin());
            }
        }
        fs::write(&cert, junk).unwrap();
        fs::write(dir.path().join("key.pem"), "").unwrap();
        assert!(Identity::check(dir.path()).is_err());
    }

    #[test]
    fn renewing_keeps_the_key_and_the_names_and_a_running_server_takes_it_over() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Identity::existing(dir.path()).unwrap().is_none());
        let named = ["cam.example.org".into(), "192.0.2.7".into()];
        let running = Identity::load_or_create(dir.path(), &named).unwrap();
        let renewed = Identity::renew(dir.path(), &["other.example".into()]).unwrap();
        assert_eq!(renewed.pin(), running.pin());
        for name in ["cam.example.org", "192.0.2.7", "other.example"] {
            assert!(renewed.names().contains(&name.to_owned()), "{name}");
        }
        assert!(running.adopt(&renewed));
        assert_eq!(running.names(), renewed.names());
        let again = Identity::existing(dir.path()).unwrap().unwrap();
        assert!(!running.adopt(&again));
    }

    #[test]
    fn a_name_that_is_none_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let error = Identity::load_or_create(dir.path(), &["my cam".into()]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`my cam` is neither a host name nor an address"
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_key_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        Identity::load_or_create(dir.path(), &[]).unwrap();
        let key = dir.path().join("key.pem");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
        let error = Identity::load_or_create(dir.path(), &[]).unwrap_err();
        assert!(
            error.to_string().contains("(mode 640): try `chmod 600 "),
            "{error}"
        );
    }

    #[test]
    fn each_way_to_bring_a_wrong_key_is_its_own_error() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        let own = Identity::load_or_create(&a, &[]).unwrap();
        Identity::load_or_create(&b, &[]).unwrap();
        let (cert, key) = (a.join("cert.pem"), a.join("key.pem"));
        assert_eq!(Identity::load(&cert, &key).unwrap().pin(), own.pin());

        let says = |cert: &Path, key: &Path| Identity::load(cert, key).unwrap_err().to_string();
        let file = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        assert!(says(&dir.path().join("no"), &key).ends_with("no does not exist"));
        assert!(says(&cert, dir.path()).starts_with("cannot read "));
        assert!(says(&cert, &b.join("key.pem")).contains("does not belong to the private key"));
        assert!(says(&cert, &cert).contains("holds no private key"));
        assert!(says(&key, &key).contains("holds no certificate"));
        let locked =
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n";
        assert!(says(&cert, &file("locked", locked)).contains("is encrypted"));
        let broken = "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n";
        assert!(says(&cert, &file("broken", broken)).contains("key in"));
        let junk = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
        assert!(says(&file("junk", junk), &key).contains("is damaged"));
    }
}
