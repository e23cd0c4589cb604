use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, SupportedProtocolVersion};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::super::*;
use super::PATIENCE;
use crate::trust::proxy_client_config_trusting;

struct Certified {
    certificate: CertificateDer<'static>,
    key: rcgen::KeyPair,
}

impl Certified {
    fn new() -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new([String::from("127.0.0.1")]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        let name = rcgen::DnType::CommonName;
        params.distinguished_name.push(name, "The gate");
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Self { certificate, key }
    }

    fn config(&self, version: &'static SupportedProtocolVersion) -> Arc<ServerConfig> {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.clone()], key)
            .unwrap();
        Arc::new(config)
    }
}

/// Asks a proxy that speaks this version of TLS and connects; the server says hello.
async fn ask(
    certified: &Certified,
    version: &'static SupportedProtocolVersion,
    trusted: &CertificateDer<'static>,
) -> Result<String, ProxyError> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let proxy = Proxy::parse(&url).unwrap();
    let config = proxy_client_config_trusting(trusted.clone()).unwrap();
    proxy.tls.set(config).unwrap();
    let server = async {
        let (tcp, _) = listener.accept().await.unwrap();
        let acceptor = TlsAcceptor::from(certified.config(version));
        let Ok(mut tls) = acceptor.accept(tcp).await else {
            return;
        };
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(tls.read_u8().await.unwrap());
        }
        let granted = b"HTTP/1.1 200 OK\r\n\r\nhello";
        tls.write_all(granted).await.unwrap();
        tls.shutdown().await.unwrap();
    };
    let client = async {
        let deadline = Instant::now() + PATIENCE;
        let mut base = connect(&proxy, "cam", 443, PATIENCE, deadline).await?;
        assert_eq!(base.peer().unwrap(), listener.local_addr().unwrap());
        let mut word = String::new();
        base.read_to_string(&mut word).await.unwrap();
        Ok(word)
    };
    tokio::join!(client, server).0
}

#[tokio::test]
async fn a_proxy_in_tls_of_either_version_connects() {
    let gate = Certified::new();
    for version in [&TLS13, &TLS12] {
        let word = ask(&gate, version, &gate.certificate).await.unwrap();
        assert_eq!(word, "hello");
    }
}

#[tokio::test]
async fn a_proxy_that_the_system_does_not_trust_is_not_spoken_to() {
    let (gate, other) = (Certified::new(), Certified::new());
    for version in [&TLS13, &TLS12] {
        let error = ask(&gate, version, &other.certificate).await.unwrap_err();
        assert!(matches!(error, ProxyError::Untrusted { .. }), "{error}");
        assert_eq!(error.kind(), ErrorKind::NotProxy);
        assert!(error.to_string().contains("issued by The gate"), "{error}");
    }
}

#[tokio::test]
async fn a_proxy_without_tls_is_told_apart() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let server = async {
        let (mut tcp, _) = listener.accept().await.unwrap();
        tcp.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .await
            .unwrap();
        let mut rest = Vec::new();
        let _cut = tcp.read_to_end(&mut rest).await;
    };
    let error = tokio::join!(super::dial(&url), server).0.unwrap_err();
    assert!(matches!(error, ProxyError::NotTls { .. }), "{error}");
    assert!(error.to_string().contains("try http://"), "{error}");
}
