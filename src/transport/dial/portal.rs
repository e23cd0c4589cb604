//! Whether this network wants its own page to be visited before it lets anybody out: a captive portal.

use std::net::IpAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout_at};
use url::{Host, Url};

use super::connect;
use crate::trust::printable;

/// The page that stands between, if plain HTTP to `host` and `port` (80 is usual) leads somewhere else than to that
/// host; `None` too where nothing is found out `within` the time given.
///
/// To be asked when a server cannot be reached, or shows a key of somebody else: a portal answers in everybody's name,
/// and sends whoever asks to its own page (RFC 8952, 2.5 names it as what is found in the field).
pub async fn portal(host: &str, port: u16, within: Duration) -> Option<String> {
    let deadline = Instant::now() + within;
    let asked = async {
        let mut tcp = connect::connect(host, port, within, deadline, host)
            .await
            .ok()?;
        let name = match host.parse::<IpAddr>() {
            Ok(IpAddr::V6(ip)) => format!("[{ip}]"),
            _ => host.to_owned(),
        };
        let request = format!("GET / HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n");
        tcp.write_all(request.as_bytes()).await.ok()?;
        let mut head = Vec::with_capacity(1024);
        while head.len() < MOST_HEAD {
            if let Some(answer) = judge(&head, host) {
                return answer;
            }
            if tcp.read_buf(&mut head).await.ok()? == 0 {
                return None;
            }
        }
        None
    };
    timeout_at(deadline, asked).await.ok()?
}

/// What an answer says; `None` while more must come, and `Some(None)` if there is no portal.
#[expect(clippy::option_option, reason = "not yet, no, or where")]
fn judge(head: &[u8], host: &str) -> Option<Option<String>> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut answer = httparse::Response::new(&mut headers);
    match answer.parse(head) {
        Ok(httparse::Status::Partial) => return None,
        Ok(httparse::Status::Complete(_)) => {}
        Err(_) => return Some(None),
    }
    let location = answer
        .headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case("location"));
    let location = location.map(|header| String::from_utf8_lossy(header.value));
    Some(match (answer.code, location) {
        (Some(300..=399 | 511), Some(to)) => elsewhere(&to, host).then(|| printable(&to, 120)),
        // RFC 6585, 6: the status for just this.
        (Some(511), None) => Some(String::from("this network's own page")),
        _ => None,
    })
}

/// Whether a page is somebody else's: not the host's, and neither above nor below it.
fn elsewhere(to: &str, host: &str) -> bool {
    let Ok(url) = Url::parse(to) else {
        return false;
    };
    match url.host() {
        Some(Host::Domain(name)) => {
            let (name, host) = (name.to_ascii_lowercase(), host.to_ascii_lowercase());
            let below = |a: &str, b: &str| {
                a.strip_suffix(b)
                    .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            };
            !below(&name, &host) && !below(&host, &name)
        }
        Some(Host::Ipv4(ip)) => host.parse() != Ok(IpAddr::V4(ip)),
        Some(Host::Ipv6(ip)) => host.parse() != Ok(IpAddr::V6(ip)),
        None => false,
    }
}

const MOST_HEAD: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn a_redirect_to_another_host_is_a_portal_and_one_to_the_same_is_not() {
        let says = |to: &str| {
            let head = format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\n\r\n");
            judge(head.as_bytes(), "cam.example.com").unwrap()
        };
        let page = "http://login.hotel.example/?to=cam.example.com";
        assert_eq!(says(page).as_deref(), Some(page));
        assert_eq!(
            says("http://10.0.0.1/hotspot").as_deref(),
            Some("http://10.0.0.1/hotspot")
        );
        assert_eq!(says("https://cam.example.com/"), None);
        assert_eq!(says("https://www.cam.example.com/"), None);
        assert_eq!(says("https://example.com/"), None);
        assert_eq!(says("/here"), None);
        assert_eq!(judge(b"HTTP/1.1 404 No\r\n\r\n", "cam"), Some(None));
        assert_eq!(judge(b"SSH-2.0", "cam"), Some(None));
        assert_eq!(judge(b"HTTP/1.1 302 Found\r\nLoc", "cam"), None);
        assert!(
            judge(b"HTTP/1.1 511 Sign in\r\n\r\n", "cam")
                .unwrap()
                .is_some()
        );
    }

    #[tokio::test]
    async fn the_page_is_read_from_the_network() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let portal = portal("127.0.0.1", port, Duration::from_secs(10));
        let answer = async {
            let (mut tcp, _) = listener.accept().await.unwrap();
            let words = b"HTTP/1.0 307 Sign in\r\nLocation: http://hotel.example/\r\n\r\n";
            for byte in words {
                tcp.write_all(&[*byte]).await.unwrap();
            }
        };
        let (found, ()) = tokio::join!(portal, answer);
        assert_eq!(found.as_deref(), Some("http://hotel.example/"));
    }
}
