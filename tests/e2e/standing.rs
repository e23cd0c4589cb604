//! A server that stands for months: limits, open files, signals, certificates that change, its configuration, systemd.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tunnelcast::{
    transport::{Kind, race::Ways},
    trust::{Link, Policy, client_config},
};

use crate::support::{CARD, Program, Raw, TestServer, TestViewer, serve, soon, watch};

/// What to serve to anybody, whoever he is: those who knock here have no token.
pub(crate) fn open(video: &str) -> tunnelcast::config::Serve {
    let mut config = serve(video);
    config.access.open = true;
    config
}

/// TLS to the server, from this address of loopback.
pub(crate) async fn tls_from(link: &Link, from: Ipv4Addr) -> TlsStream<TcpStream> {
    let policy = Policy::Pinned(link.pin.unwrap());
    let config = client_config(policy, &link.host, link.port).unwrap();
    let tcp = tcp_from(link, from).await;
    let name = link.host.clone().try_into().unwrap();
    let handshake = TlsConnector::from(config).connect(name, tcp);
    soon("a handshake", handshake).await.unwrap()
}

pub(crate) async fn tcp_from(link: &Link, from: Ipv4Addr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((from, 0))).unwrap();
    let server = format!("{}:{}", link.host, link.port).parse().unwrap();
    soon("a connection", socket.connect(server)).await.unwrap()
}

/// The first line of the answer to a request for the page.
pub(crate) async fn page(link: &Link, from: Ipv4Addr) -> String {
    let mut tls = tls_from(link, from).await;
    let request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    tls.write_all(request).await.unwrap();
    let mut page = Vec::new();
    let _cut = soon("a page", tls.read_to_end(&mut page)).await;
    let page = String::from_utf8_lossy(&page);
    page.lines().next().unwrap_or_default().to_owned()
}

const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;
const THERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_one_too_many_from_an_address_is_told_so_and_others_are_unharmed() {
    let mut config = open(CARD);
    config.bounds.door.connections_per_address = 4;
    let server = TestServer::start(config).await;
    let link = server.link();
    let mut viewer = Raw::connect(link).await;
    viewer.frame().await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(tls_from(link, HERE).await);
    }
    assert_eq!(page(link, HERE).await, "HTTP/1.1 503 Service Unavailable");
    let mut late = TestViewer::start(tunnelcast::config::Watch {
        ways: Ways::Only(Kind::Tls),
        ..watch(link)
    });
    let word = late.disconnected().await;
    assert!(word.contains("takes no more viewers"), "{word}");
    late.stop().await;
    assert_eq!(page(link, THERE).await, "HTTP/1.1 200 OK");
    for _ in 0..5 {
        viewer.frame().await;
    }
    // Who goes makes room.
    held.clear();
    soon("room", async {
        while page(link, HERE).await != "HTTP/1.1 200 OK" {}
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_one_too_many_in_all_is_told_so_as_long_as_few_are() {
    let mut config = open(CARD);
    config.bounds.door.connections = 3;
    let server = TestServer::start(config).await;
    let link = server.link();
    let mut viewer = Raw::connect(link).await;
    let _held = [tls_from(link, HERE).await, tls_from(link, THERE).await];
    assert_eq!(page(link, THERE).await, "HTTP/1.1 503 Service Unavailable");
    // Beyond those few a connection ends at once, without a word.
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(tcp_from(link, HERE).await);
    }
    let mut ended = 0;
    for tcp in &mut silent {
        let mut byte = [0];
        let read = tokio::time::timeout(Duration::from_millis(20), tcp.read(&mut byte)).await;
        ended += usize::from(read.is_ok_and(|read| read.unwrap_or_default() == 0));
    }
    assert!((60..100).contains(&ended), "{ended}");
    for _ in 0..5 {
        viewer.frame().await;
    }
    drop(silent);
    soon("an answer", async {
        while !page_or_nothing(link).await.contains("503") {}
    })
    .await;
}

/// As [`page`]; empty where the connection is not even taken.
async fn page_or_nothing(link: &Link) -> String {
    let task = tokio::spawn({
        let link = link.clone();
        async move { page(&link, HERE).await }
    });
    task.await.unwrap_or_default()
}

/// Ticks of CPU that a process has used; `None` where the system does not say.
fn ticks(process: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, behind) = stat.rsplit_once(')')?;
    let words = behind.split_whitespace().skip(11).take(2);
    words.map(|word| word.parse::<u64>().ok()).sum()
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_runs_out_of_open_files_pauses_says_so_once_and_goes_on() {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};

    let dir = tempfile::tempdir().unwrap();
    let (mut server, link) = Program::serve(dir.path(), &format!("--video {CARD} --no-quic"));
    let mut viewer = Raw::connect(&link).await;
    viewer.frame().await;
    let open = std::fs::read_dir(format!("/proc/{}/fd", server.id())).unwrap();
    let few = u64::try_from(open.count()).unwrap() + 4;
    let pid = Pid::from_raw(i32::try_from(server.id()).unwrap());
    let limit = |files: u64| {
        let limit = Rlimit {
            current: Some(files),
            maximum: Some(4096),
        };
        prlimit(pid, Resource::Nofile, limit).unwrap();
    };
    limit(few);
    let mut held = Vec::new();
    for _ in 0..40 {
        held.push(tcp_from(&link, HERE).await);
    }
    let before = ticks(server.id()).unwrap();
    let start = std::time::Instant::now();
    for _ in 0..50 {
        viewer.frame().await;
    }
    let used = ticks(server.id()).unwrap() - before;
    // Somebody who asks again and again without a pause would use all of a core, which is 100 ticks a second.
    let all = u64::try_from(start.elapsed().as_millis()).unwrap() / 10;
    assert!(used * 2 < all, "{used} of {all} ticks");
    drop(held);
    limit(4096);
    // Whoever comes now is let in.
    let mut late = Raw::connect(&link).await;
    late.frame().await;
    server.interrupt();
    drop((viewer, late));
    server.event_where(|event| event["state"] == "left");
    let ended = server.end();
    assert_eq!(ended.status, Some(0), "{}", ended.words);
    let said = ended.words.matches("cannot accept viewers").count();
    assert_eq!(said, 1, "{}", ended.words);
}

#[cfg(unix)]
#[test]
fn connections_are_fewer_where_the_system_allows_fewer_open_files_and_that_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let serve = format!(
        "ulimit -n 300; exec '{}' --json serve --listen 127.0.0.1:0 --video {CARD} --certs '{}'",
        env!("CARGO_BIN_EXE_tunnelcast"),
        dir.path().display()
    );
    let mut command = Command::new("sh");
    command
        .args(["-c", &serve])
        .env("TUNNELCAST_STATE", dir.path().join("state"))
        .stdin(Stdio::null());
    let mut server = Program::spawn(command);
    server.event("listening");
    server.interrupt();
    let ended = server.end();
    assert_eq!(ended.status, Some(0), "{}", ended.words);
    let words = "236 connections at once instead of 4096";
    assert!(ended.words.contains(words), "{}", ended.words);
}

fn cert(arguments: &[&str], certs: &Path) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_tunnelcast"))
        .arg("cert")
        .args(arguments)
        .arg("--certs")
        .arg(certs)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.code(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

async fn shown(link: &Link) -> Vec<u8> {
    let tls = tls_from(link, HERE).await;
    let (_, session) = tls.get_ref();
    session.peer_certificates().unwrap()[0].to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewed_certificate_is_shown_from_then_on_and_nobody_is_disturbed() {
    let dir = tempfile::tempdir().unwrap();
    let (status, said) = cert(&["show"], dir.path());
    assert_eq!(status, Some(2), "{said}");
    let (server, link) = Program::serve(dir.path(), &format!("--video {CARD}"));
    let mut viewer = Raw::connect(&link).await;
    let mut over_quic = TestViewer::start(watch(&link));
    over_quic.connected().await;
    viewer.frame().await;
    let first = shown(&link).await;
    let (status, said) = cert(&["show"], dir.path());
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains(&link.pin.unwrap().to_string()), "{said}");

    let (status, said) = cert(&["renew", "--host", "cam.example.org"], dir.path());
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains(&link.pin.unwrap().to_string()), "{said}");
    assert!(said.contains("cam.example.org"), "{said}");
    soon("the new one", async {
        while shown(&link).await == first {
            viewer.frame().await;
        }
    })
    .await;
    // By signal alone it is read as well, and one that is no good does no harm.
    let second = shown(&link).await;
    std::fs::write(dir.path().join("key.pem"), "nonsense").unwrap();
    server.signal("HUP");
    for _ in 0..30 {
        viewer.frame().await;
    }
    assert_eq!(shown(&link).await, second);
    let mut new = TestViewer::start(tunnelcast::config::Watch {
        ways: Ways::Only(Kind::Quic),
        ..watch(&link)
    });
    new.connected().await;
    new.stop().await;
    let summary = over_quic.stop().await;
    assert_eq!(summary.switches, 0, "{summary:?}");
    server.signal("TERM");
    let ended = server.end();
    assert_eq!(ended.status, Some(0), "{}", ended.words);
    assert!(
        ended.words.contains("the certificate stays as it was"),
        "{}",
        ended.words
    );
}

#[cfg(unix)]
#[test]
fn a_key_that_others_may_read_is_refused_in_one_line() {
    use std::os::unix::fs::PermissionsExt as _;

    let dir = tempfile::tempdir().unwrap();
    let (server, _) = Program::serve(dir.path(), &format!("--video {CARD}"));
    server.interrupt();
    assert_eq!(server.end().status, Some(0));
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    let own = format!("--cert {} --key {}", cert.display(), key.display());
    let ours = format!("--certs {}", dir.path().display());
    for (mode, which, good) in [
        (0o600, &own, true),
        (0o400, &own, true),
        (0o640, &own, true),
        (0o644, &own, false),
        (0o400, &ours, true),
        (0o640, &ours, false),
        (0o644, &ours, false),
    ] {
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
        let checked = Program::start(&format!("serve --check-config --video {CARD} {which}")).end();
        match good {
            true => assert_eq!(checked.status, Some(0), "{mode:o} {which}: {checked:?}"),
            false => checked.says(2, "others can read the private key"),
        }
    }
}

#[test]
fn a_configuration_is_checked_without_starting_anything() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tunnelcast.toml");
    let certs = dir.path().join("certs");
    let check = |text: &str, environment: &[(&str, &str)]| {
        std::fs::write(&path, text).unwrap();
        let path = path.to_str().unwrap();
        let arguments = ["serve", "--check-config", "--config", path];
        Program::with(arguments, |command| {
            command.envs(environment.iter().copied());
        })
        .end()
    };
    let good = format!(
        "video = \"{CARD}\"\nlisten = [\"127.0.0.1:0\"]\ncerts = \"{}\"\n",
        certs.display()
    );
    let checked = check(&good, &[]);
    assert_eq!(checked.status, Some(0), "{checked:?}");
    assert_eq!(checked.events.last().unwrap()["event"], "config");
    assert!(!certs.exists());
    for (text, environment, words) in [
        (
            "videos = \"none\"",
            None,
            "tunnelcast.toml:1: there is no option `videos`; did you mean `video`?",
        ),
        (
            "\nlisten = \"443\"",
            None,
            "tunnelcast.toml:2: invalid value '443'",
        ),
        ("listen = ", None, "tunnelcast.toml:1: "),
        (
            "video = \"file:/nowhere.mp4\"",
            None,
            "there is no file '/nowhere.mp4'",
        ),
        ("cert = \"c.pem\"", None, "cert without key"),
        (
            "video = \"testcard\"",
            Some(("TUNNELCAST_MAX_VIEWERS", "few")),
            "invalid value 'few'",
        ),
    ] {
        let environment: Vec<_> = environment.into_iter().collect();
        let checked = check(text, &environment);
        assert_eq!(checked.status, Some(2), "{text}: {checked:?}");
        assert!(checked.words.contains(words), "{text}: {}", checked.words);
    }
}

#[test]
fn an_option_goes_before_the_environment_and_that_before_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tunnelcast.toml");
    std::fs::write(&path, "name = \"filed\"\nmax-viewers = 3\nno-quic = true\n").unwrap();
    let config = format!("--video {CARD} --config {}", path.display());
    for (environment, option, name) in [
        (None, "", "filed"),
        (Some("set"), "", "set"),
        (Some("set"), "--name given", "given"),
        (None, "--name given", "given"),
    ] {
        let arguments = format!("{config} {option}");
        let change = |command: &mut Command| {
            command.envs(environment.map(|name| ("TUNNELCAST_NAME", name)));
        };
        let (server, link) = Program::serve_with(&dir.path().join("certs"), 0, &arguments, change);
        assert_eq!(link.stream, name);
        server.interrupt();
        let ended = server.end();
        let listening = &ended.events[0];
        assert_eq!(listening["udp"].as_array().map(Vec::len), Some(0));
    }
}

/// What stands for systemd: a socket on which a service says how it is.
#[cfg(unix)]
struct Manager {
    socket: std::os::unix::net::UnixDatagram,
    path: std::path::PathBuf,
}

#[cfg(unix)]
impl Manager {
    fn new(dir: &Path) -> Self {
        let path = dir.join("notify");
        let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(crate::support::SOON)).unwrap();
        Self { socket, path }
    }

    fn hears(&self, what: &str) {
        let mut said = [0; 256];
        let n = self.socket.recv(&mut said).unwrap();
        let said = String::from_utf8_lossy(&said[..n]);
        assert!(said.starts_with(what), "{said}");
    }
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn systemd_hands_over_the_ports_and_is_told_how_the_service_is() {
    use std::os::fd::OwnedFd;

    let dir = tempfile::tempdir().unwrap();
    let manager = Manager::new(dir.path());
    // TCP and UDP of one number, as standard input and standard error, which a shell turns into 3 and 4.
    let (tcp, udp) = loop {
        let tcp = TcpListener::bind((HERE, 0)).unwrap();
        if let Ok(udp) = std::net::UdpSocket::bind(tcp.local_addr().unwrap()) {
            break (tcp, udp);
        }
    };
    let port = tcp.local_addr().unwrap().port();
    let words = dir.path().join("words");
    let script = format!(
        "exec 3<&0 4<&2 0</dev/null 2>'{}'; LISTEN_FDS=2 LISTEN_PID=$$ NOTIFY_SOCKET='{}' exec '{}' --json serve \
         --video {CARD} --certs '{}'",
        words.display(),
        manager.path.display(),
        env!("CARGO_BIN_EXE_tunnelcast"),
        dir.path().join("certs").display()
    );
    let mut child = Command::new("sh")
        .args(["-c", &script])
        .env("TUNNELCAST_STATE", dir.path().join("state"))
        .stdin(Stdio::from(OwnedFd::from(tcp)))
        .stderr(Stdio::from(OwnedFd::from(udp)))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut out, &mut line).unwrap();
    let listening: serde_json::Value = serde_json::from_str(&line)
        .unwrap_or_else(|_| panic!("{}", std::fs::read_to_string(&words).unwrap()));
    manager.hears("READY=1");
    let link: Link = listening["link"].as_str().unwrap().parse().unwrap();
    assert_eq!(link.port, port);
    let link = Link {
        host: "127.0.0.1".to_owned(),
        ..link
    };
    for kind in [Kind::Tls, Kind::Quic] {
        let mut viewer = TestViewer::start(tunnelcast::config::Watch {
            ways: Ways::Only(kind),
            ..watch(&link)
        });
        viewer.connected().await;
        viewer.stop().await;
    }
    crate::support::signal(child.id(), "HUP");
    manager.hears("RELOADING=1\nMONOTONIC_USEC=");
    manager.hears("READY=1");
    crate::support::signal(child.id(), "TERM");
    manager.hears("STOPPING=1");
    assert!(child.wait().unwrap().success());
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_does_not_wait_for_those_who_do_not_take_their_goodbye() {
    let dir = tempfile::tempdir().unwrap();
    let manager = Manager::new(dir.path());
    let (mut server, link) = Program::serve_with(
        &dir.path().join("certs"),
        0,
        "--video testcard:1280x720@25 --drain-timeout 1h",
        |command| {
            command.env("NOTIFY_SOCKET", &manager.path);
        },
    );
    manager.hears("READY=1");
    let viewer = Program::watch(&link, "--transport tls");
    server.event_where(|event| event["state"] == "live");
    viewer.signal("STOP");
    // More than all the buffers on the way hold, at any rate.
    let mut other = Raw::connect(&link).await;
    for _ in 0..50 {
        other.frame().await;
    }
    server.signal("TERM");
    manager.hears("STOPPING=1");
    server.signal("TERM");
    server.end().says(1, "ended at once");
    viewer.signal("CONT");
    viewer.interrupt();
    assert_eq!(viewer.end().status, Some(0));
}
