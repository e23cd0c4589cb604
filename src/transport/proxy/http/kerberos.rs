//! Kerberos, for proxies that say `Negotiate` and mean it (RFC 4559): a ticket for the proxy, from the domain's own
//! server.
//!
//! The password goes to nobody: a key made of it proves to the domain who is there, and the proxy is shown what the
//! domain says. Where that server is stands in `krb5.conf` (`KRB5_CONFIG` names another file), on Windows in the registry.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use sspi::network_client::{NetworkClient, NetworkProtocol};
use sspi::{
    AuthIdentity, BufferType, ClientRequestFlags, CredentialUse, DataRepresentation, Error,
    ErrorKind, KerberosConfig, Negotiate, NegotiateConfig, NetworkRequest, SecurityBuffer, Sspi,
    SspiImpl as _, Username, detect_kdc_url,
};

use crate::transport::proxy::Credentials;

/// What came of asking the domain.
pub(super) enum Asked {
    /// What the proxy is to be shown. Good for one connection.
    Ticket(Vec<u8>),
    /// The domain knows the user by another password. It counts wrong ones.
    WrongPassword,
    /// There is no domain that could be asked, or it knows neither user nor proxy.
    Nothing,
}

/// Asks the domain that stands behind the user's `@` for a ticket to the proxy at `host`.
pub(super) async fn ask(credentials: &Credentials, host: &str) -> Asked {
    // Tickets are for names.
    let Some((user, domain)) = credentials.user().rsplit_once('@') else {
        return Asked::Nothing;
    };
    if host.parse::<IpAddr>().is_ok() {
        return Asked::Nothing;
    }
    let question = Question {
        user: user.to_owned(),
        domain: domain.to_uppercase(),
        password: credentials.password().to_owned(),
        service: format!("HTTP/{}", host.to_ascii_lowercase()),
    };
    // It reads files, and asks over TCP.
    let asked = tokio::task::spawn_blocking(move || question.ask()).await;
    match asked {
        Ok(Ok(ticket)) => Asked::Ticket(ticket),
        Ok(Err(error)) => {
            tracing::debug!(%error, "no ticket for the proxy");
            if matches!(error.error_type, ErrorKind::KdcInvalidRequest) {
                Asked::WrongPassword
            } else {
                Asked::Nothing
            }
        }
        Err(_) => Asked::Nothing,
    }
}

struct Question {
    user: String,
    domain: String,
    password: String,
    service: String,
}

impl Question {
    fn ask(self) -> sspi::Result<Vec<u8>> {
        let nowhere = || {
            let words = format!("no server is known for the domain {}", self.domain);
            Error::new(ErrorKind::NoAuthenticatingAuthority, words)
        };
        let server = detect_kdc_url(&self.domain).ok_or_else(nowhere)?;
        let name = Username::new_down_level_logon_name(&self.user, &self.domain)
            .map_err(|error| Error::new(ErrorKind::UnknownCredentials, error.to_string()))?;
        let identity = AuthIdentity {
            username: name,
            password: self.password.into(),
        };
        let kerberos = KerberosConfig::new_with_kdc_url(server.as_str(), HERE.to_owned());
        // NTLM is spoken elsewhere, and only where the proxy asks for it.
        let only = Some(String::from("kerberos,!ntlm,!pku2u"));
        let config = NegotiateConfig::new(Box::new(kerberos), only, HERE.to_owned());
        let mut negotiate = Negotiate::new_client(config)?;
        let mut credentials = negotiate
            .acquire_credentials_handle()
            .with_credential_use(CredentialUse::Outbound)
            .with_auth_data(&identity.into())
            .execute(&mut negotiate)?
            .credentials_handle;
        let token = || vec![SecurityBuffer::new(Vec::new(), BufferType::Token)];
        let (mut said, mut ticket) = (token(), token());
        let mut context = negotiate
            .initialize_security_context()
            .with_credentials_handle(&mut credentials)
            .with_context_requirements(ClientRequestFlags::empty())
            .with_target_data_representation(DataRepresentation::Native)
            .with_target_name(&self.service)
            .with_input(&mut said)
            .with_output(&mut ticket);
        negotiate
            .initialize_security_context_impl(&mut context)?
            .resolve_with_client(&OverTcp)?;
        Ok(ticket.remove(0).buffer)
    }
}

/// To the domain's server.
struct OverTcp;

impl NetworkClient for OverTcp {
    fn send(&self, request: &NetworkRequest) -> sspi::Result<Vec<u8>> {
        let answer = match request.protocol {
            NetworkProtocol::Tcp => {
                let port = request.url.port().unwrap_or(PORT);
                exchange(
                    request.url.host_str().unwrap_or_default(),
                    port,
                    &request.data,
                )
            }
            NetworkProtocol::Udp | NetworkProtocol::Http | NetworkProtocol::Https => {
                Err(io::ErrorKind::Unsupported.into())
            }
        };
        answer.map_err(|error| Error::new(ErrorKind::NoAuthenticatingAuthority, error.to_string()))
    }
}

/// One question and its answer, each behind its length (RFC 4120, 7.2.2).
fn exchange(host: &str, port: u16, question: &[u8]) -> io::Result<Vec<u8>> {
    let mut connected = Err(io::ErrorKind::NotFound.into());
    for address in (host, port).to_socket_addrs()?.take(MOST_ADDRESSES) {
        connected = TcpStream::connect_timeout(&address, CONNECT);
        if connected.is_ok() {
            break;
        }
    }
    let mut stream = connected?;
    stream.set_read_timeout(Some(ANSWER))?;
    stream.set_write_timeout(Some(ANSWER))?;
    stream.write_all(question)?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let rest = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if rest > MOST_ANSWER {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut answer = length.to_vec();
    answer.resize(length.len() + rest, 0);
    stream.read_exact(&mut answer[length.len()..])?;
    Ok(answer)
}

/// What this machine calls itself to a domain; it checks nothing by it.
const HERE: &str = "tunnelcast";
const PORT: u16 = 88;
const MOST_ADDRESSES: usize = 2;
const CONNECT: Duration = Duration::from_secs(2);
const ANSWER: Duration = Duration::from_secs(3);
/// Many times what a ticket takes, even of somebody who is in a thousand groups.
const MOST_ANSWER: usize = 256 * 1024;
