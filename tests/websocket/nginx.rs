//! The same through a real reverse proxy.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::BytesMut;
use tunnelcast::transport::{Kind, Ready};
use tunnelcast::trust::Vouched;

use crate::support::{PATIENCE, Server, certificate, read, soon, write};

/// nginx, which ends TLS and puts a prefix in front of the path; ends when dropped.
struct Nginx {
    port: u16,
    child: Child,
    _dir: tempfile::TempDir,
}

impl Nginx {
    /// `None` where it is not installed.
    async fn start(server: u16) -> Option<Self> {
        let there = Command::new("nginx")
            .arg("-v")
            .stderr(Stdio::null())
            .status();
        if there.is_err() {
            println!("skipped: nginx is not installed");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let (cert, key) = certificate();
        fs::write(dir.path().join("cert.pem"), cert.pem()).unwrap();
        fs::write(dir.path().join("key.pem"), key.serialize_pem()).unwrap();
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let root = dir.path().display();
        let config = format!(
            "daemon off; master_process off; pid {root}/pid; error_log {root}/error.log; events {{}} http {{ \
             access_log off; client_body_temp_path {root}/a; proxy_temp_path {root}/b; fastcgi_temp_path {root}/c; \
             uwsgi_temp_path {root}/d; scgi_temp_path {root}/e; server {{ listen 127.0.0.1:{port} ssl; \
             ssl_certificate {root}/cert.pem; ssl_certificate_key {root}/key.pem; location / {{ \
             proxy_pass https://127.0.0.1:{server}/some/prefix/; proxy_ssl_verify off; proxy_ssl_protocols TLSv1.3; proxy_http_version 1.1; \
             proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection \"upgrade\"; \
             proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; }} }} }}"
        );
        let path = dir.path().join("nginx.conf");
        fs::write(&path, config).unwrap();
        let child = Command::new("nginx")
            .arg("-e")
            .arg(dir.path().join("error.log"))
            .arg("-c")
            .arg(&path)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let nginx = Self {
            port,
            child,
            _dir: dir,
        };
        let up = async {
            while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        soon(up).await;
        Some(nginx)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[tokio::test]
async fn nginx_in_front_carries_it_both_ways_and_to_the_end() {
    let server = Server::trusting("127.0.0.1");
    let Some(nginx) = Nginx::start(server.port()).await else {
        return;
    };
    let first = vec![5; 16 * 1024];
    let (mut there, mut here, outer) = server.pair(nginx.port, &first).await;
    assert_eq!(there.kind(), Kind::WebSocket);
    assert_eq!(here.server_key(), Some(server.identity.pin()));
    assert_eq!(outer.seen.issuer, "The Box");
    assert_eq!(outer.vouched, Vouched::Nobody);
    // As nginx has said it, without a port.
    assert_eq!(there.peer().to_string(), "127.0.0.1:0");
    assert_eq!(read(&mut there, first.len()).await, first);

    let picture = vec![7; 1_000_000];
    let sending = async {
        for part in picture.chunks(16 * 1024) {
            write(&mut there, part).await;
        }
        there
    };
    let receiving = async {
        let mut left = picture.len();
        while left > 0 {
            let got = read(&mut here, 1).await;
            assert!(got.iter().all(|byte| *byte == 7));
            left -= got.len();
        }
        here
    };
    let (there, mut here) = soon(async { tokio::join!(sending, receiving) }).await;
    let leaving = async {
        let (mut got, mut nothing) = (BytesMut::new(), BytesMut::new());
        while here.ready(&mut got, &mut nothing).await.unwrap() != Ready::Eof {}
        assert_eq!(got, "bye");
        here.shutdown(b"", PATIENCE).await
    };
    let both = async { tokio::join!(there.shutdown(b"bye", PATIENCE), leaving) };
    let (there, here) = soon(both).await;
    there.unwrap();
    here.unwrap();
}

#[tokio::test]
async fn a_server_that_goes_away_behind_nginx_is_noticed() {
    let server = Server::new();
    let Some(nginx) = Nginx::start(server.port()).await else {
        return;
    };
    let (there, mut here, _) = server.pair(nginx.port, b"x").await;
    drop(there);
    let (mut got, mut nothing) = (BytesMut::new(), BytesMut::new());
    assert!(soon(here.ready(&mut got, &mut nothing)).await.is_err());
}
