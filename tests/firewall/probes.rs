//! What somebody finds who looks what listens there: an ordinary page, or nothing.

use crate::rig::{Net, Play, SERVER, Serving, Side};

#[test]
fn whoever_asks_the_server_gets_an_ordinary_page_or_silence() {
    let Some(net) = Net::new(&["curl", "openssl", "python3"]) else {
        return;
    };
    let serving = Serving::start(&net);
    let get = |path: &str, more: &[&str]| {
        let url = format!("https://{SERVER}{path}");
        let (status, said) = net.curl(&[&["-k", "--include"], more, &[url.as_str()]].concat());
        assert_eq!(status, Some(0), "{path} {more:?}: {said}");
        said
    };

    // Pages: the same for every name, whether there is such a stream or not.
    let page = get("/", &[]);
    assert!(
        page.starts_with("HTTP/1.1 200") && page.contains("<!doctype html>"),
        "{page}"
    );
    assert_eq!(body(&get("/live", &[])), body(&get("/x", &[])));
    assert!(get("/wp-login.php", &[]).starts_with("HTTP/1.1 404"));
    assert!(get("/a/b", &[]).starts_with("HTTP/1.1 404"));
    assert!(get("/../../etc/passwd", &["--path-as-is"]).starts_with("HTTP/1.1 404"));
    assert!(get("/", &["--request", "POST", "--data", "x"]).starts_with("HTTP/1.1 405"));
    assert!(get("/", &["--http2"]).starts_with("HTTP/1.1 200"));

    // Requests as a viewer makes them, but for something else.
    for upgrade in ["websocket", "h2c", "tunnel"] {
        let said = get(
            "/live",
            &[
                "-H",
                "Connection: Upgrade",
                "-H",
                &format!("Upgrade: {upgrade}"),
            ],
        );
        assert!(said.starts_with("HTTP/1.1 200"), "{upgrade}: {said}");
    }

    // A key as the link has it is not told by looking at the certificate's words.
    let (_, shown) = net.curl(&["-k", "--verbose", &format!("https://{SERVER}/")]);
    assert!(shown.contains("TLSv1.3"), "{shown}");

    // What is no TLS 1.3 gets TLS's own refusal, and not a byte of ours.
    let old = openssl(&net, &["-tls1_2"]);
    assert!(old.contains("alert protocol version"), "{old}");
    assert!(!old.contains("BEGIN CERTIFICATE"), "{old}");
    let alpn = openssl(&net, &["-alpn", "h2,mqtt"]);
    assert!(
        !alpn.contains("ALPN protocol: h2") && !alpn.contains("ALPN protocol: mqtt"),
        "{alpn}"
    );
    let nameless = openssl(&net, &["-noservername"]);
    assert!(nameless.contains("TLSv1.3"), "{nameless}");

    for (what, sent) in [
        ("zeros", "b'\\0' * 600"),
        ("noise", "bytes(range(1, 256)) * 4"),
        ("plain HTTP", "b'GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n'"),
        ("SSH", "b'SSH-2.0-OpenSSH_9.2\\r\\n'"),
        ("half a hello", "bytes.fromhex('1603010200010001fc0303')"),
    ] {
        let answer = python(&net, &format!("print(tcp({sent}).hex())"));
        // A TLS alert or nothing.
        let alert = answer.starts_with("1503") && answer.len() == 14;
        assert!(answer.is_empty() || alert, "{what}: {answer}");
        let answer = python(&net, &format!("print(udp({sent}).hex())"));
        assert_eq!(answer, "", "{what} over UDP");
    }
    // And it is still there.
    Play::new(&net, &serving.link)
        .with("--transport quic")
        .over("quic");
}

fn body(said: &str) -> &str {
    said.split("\r\n\r\n").nth(1).unwrap()
}

/// What a handshake by hand finds.
fn openssl(net: &Net, arguments: &[&str]) -> String {
    let server = format!("{SERVER}:443");
    let fixed = ["openssl", "s_client", "-connect", &server];
    let out = net.run(Side::Client, &[&fixed[..], arguments].concat());
    String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned()
}

/// Sends what it is told to and prints what comes back, until the other side has enough or a second without a byte is over.
fn python(net: &Net, line: &str) -> String {
    let script = format!(
        "import socket\n\
         def tcp(data):\n\
         \x20   line = socket.create_connection(('{SERVER}', 443)); line.sendall(data); line.shutdown(1)\n\
         \x20   return take(line)\n\
         def udp(data):\n\
         \x20   line = socket.socket(type=socket.SOCK_DGRAM); line.connect(('{SERVER}', 443)); line.send(data)\n\
         \x20   return take(line)\n\
         def take(line):\n\
         \x20   line.settimeout(1)\n\
         \x20   try: return line.recv(4096)\n\
         \x20   except (TimeoutError, ConnectionError): return b''\n\
         {line}\n"
    );
    let out = net.run(Side::Client, &["python3", "-c", &script]);
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    String::from_utf8(out.stdout).unwrap().trim().to_owned()
}
