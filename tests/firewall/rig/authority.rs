//! Certificates as boxes and reverse proxies have them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};

use super::Net;

/// One that signs certificates.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    /// Its certificate.
    pub(crate) cert: PathBuf,
    /// With its key, in one file as squid wants it.
    pub(crate) both: PathBuf,
}

impl Authority {
    /// Of this name.
    pub(crate) fn new(net: &Net, name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params
            .distinguished_name
            .push(DnType::OrganizationName, name);
        params.distinguished_name.push(DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let file = name.replace(' ', "-");
        let (cert, key) = (issuer.pem(), issuer.key().serialize_pem());
        Self {
            cert: net.file(&format!("{file}.crt"), &cert),
            both: net.file(&format!("{file}.pem"), &format!("{cert}{key}")),
            issuer,
        }
    }

    /// A certificate for a server of this name or address.
    pub(crate) fn issue(&self, net: &Net, name: &str) -> Issued {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.use_authority_key_identifier_extension = true;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.distinguished_name.push(DnType::CommonName, name);
        let pair = KeyPair::generate().unwrap();
        let (cert, key) = (
            params.signed_by(&pair, &self.issuer).unwrap().pem(),
            pair.serialize_pem(),
        );
        let file = |end: &str, text: &str| net.file(&format!("{name}.{end}"), text);
        Issued {
            cert: file("crt", &cert),
            key: own(file("key", &key)),
            both: file("pem", &format!("{cert}{}{key}", self.issuer.pem())),
        }
    }
}

/// Readable by its owner alone, as a server wants a key to be.
fn own(path: PathBuf) -> PathBuf {
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

/// A server's certificate.
pub(crate) struct Issued {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
    /// Its chain and its key in one file, as haproxy and stunnel want it.
    pub(crate) both: PathBuf,
}
