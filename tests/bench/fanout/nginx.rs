//! The peer: nginx, serving a file over TLS 1.3 to curl.

use std::{
    fs::{self, File},
    io::Result,
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::process::Cost;

/// CPU seconds that nginx takes for a GB to a TLS client; `None` where nginx, curl or openssl is missing.
pub(crate) fn cpu_per_gigabyte() -> Result<Option<f64>> {
    let dir = tempfile::tempdir()?;
    let path = |name: &str| dir.path().join(name);
    for (program, flag) in [
        ("nginx", "-v"),
        ("curl", "--version"),
        ("openssl", "version"),
    ] {
        if quiet(Command::new(program).arg(flag)).is_err() {
            println!("fanout: {program} is not here, so there is nothing to compare with");
            return Ok(None);
        }
    }
    let mut certificate = Command::new("openssl");
    certificate.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    ]);
    certificate
        .args(["-subj", "/CN=localhost", "-keyout"])
        .arg(path("key.pem"))
        .arg("-out")
        .arg(path("cert.pem"));
    quiet(&mut certificate)?;
    File::create(path("file"))?.set_len(FILE_BYTES)?;
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let root = dir.path().display();
    // One process does it all, so that its CPU time is that of the server.
    let config = format!(
        "daemon off; master_process off; pid {root}/pid; error_log {root}/error.log; events {{}} http {{ access_log off; \
         client_body_temp_path {root}/a; proxy_temp_path {root}/b; fastcgi_temp_path {root}/c; uwsgi_temp_path {root}/d; \
         scgi_temp_path {root}/e; server {{ listen 127.0.0.1:{port} ssl; ssl_protocols TLSv1.3; \
         ssl_certificate {root}/cert.pem; ssl_certificate_key {root}/key.pem; root {root}; }} }}"
    );
    fs::write(path("nginx.conf"), config)?;
    let mut nginx = Command::new("nginx");
    let mut nginx = Process(
        nginx
            .arg("-e")
            .arg(path("error.log"))
            .arg("-c")
            .arg(path("nginx.conf"))
            .stderr(Stdio::null())
            .spawn()?,
    );
    for _ in 0..100 {
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let before = Cost::of(nginx.0.id())?;
    for _ in 0..FETCHES {
        let url = format!("https://127.0.0.1:{port}/file");
        quiet(Command::new("curl").args([
            "-k",
            "-s",
            "-S",
            "-f",
            "--max-time",
            "60",
            "-o",
            "/dev/null",
            &url,
        ]))?;
    }
    let cost = Cost::of(nginx.0.id())?.since(before);
    nginx.0.kill()?;
    Ok(Some(
        cost.cpu.as_secs_f64() / (FETCHES * FILE_BYTES) as f64 * 1e9,
    ))
}

/// Ends when dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let ended = self.0.kill().and_then(|()| self.0.wait());
        if let Err(err) = ended {
            eprintln!("nginx does not end: {err}");
        }
    }
}

/// Runs a program to its end; an error if it fails.
fn quiet(command: &mut Command) -> Result<()> {
    let status = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    if status.success() {
        Ok(())
    } else {
        Err(std::io::Error::other(format!("{command:?}: {status}")))
    }
}

const FILE_BYTES: u64 = 500_000_000;
const FETCHES: u64 = 4;
