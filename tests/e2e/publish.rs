//! A camera behind a firewall pushes out to a server, and the server relays.

use std::{net::Ipv4Addr, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    time::Instant,
};
use tunnelcast::{
    client::News,
    config::Publish,
    error::Error,
    transport::{Kind, race::Ways},
    trust::Link,
    wire::CloseCode,
};

use crate::{
    moving::Between,
    standing::page,
    support::{
        CARD, Program, Raw, TestPublisher, TestServer, TestViewer, counted, publish, relay, serve,
        watch,
    },
};

/// Over each way up, with picture and sound at the viewer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_published_over_any_way_is_seen_and_heard() {
    for kind in Kind::ALL {
        let server = TestServer::start(relay()).await;
        let (mut config, link) = publish(&server, "cam1", CARD);
        config.ways = Ways::Only(kind);
        let mut publisher = TestPublisher::start(config);
        assert_eq!(publisher.connected().await.transport, kind.name());
        let mut viewer = TestViewer::start(watch(&link));
        viewer.connected().await;
        viewer.frames(40).await;
        let summary = viewer.stop().await;
        println!("{kind}: {summary:?}");
        assert!(summary.audio_packets > 20, "{kind}: {summary:?}");
        publisher.stop().await;
        server.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_is_a_connection_as_long_as_he_is_there() {
    let mut config = relay();
    config.bounds.door.connections = 1;
    let server = TestServer::start(config).await;
    let (mut config, link) = publish(&server, "cam1", CARD);
    config.ways = Ways::Only(Kind::Tls);
    let mut publisher = TestPublisher::start(config);
    publisher.connected().await;
    let busy = "HTTP/1.1 503 Service Unavailable";
    for _ in 0..5 {
        assert_eq!(page(&link, Ipv4Addr::LOCALHOST).await, busy);
    }
    publisher.stop().await;
    while page(&link, Ipv4Addr::LOCALHOST).await == busy {}
    server.shutdown().await;
}

/// A published stream beside the server's own, and what a server says that has both.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_streams_are_on_one_server_and_a_link_without_a_name_lists_them() {
    let server = TestServer::start(serve(CARD)).await;
    let mut publishers = Vec::new();
    for name in ["attic", "door"] {
        let (config, _) = publish(&server, name, CARD);
        let mut publisher = TestPublisher::start(config);
        publisher.connected().await;
        publishers.push(publisher);
    }
    let nameless = Link {
        stream: String::new(),
        ..server.link().clone()
    };
    let config = watch(&nameless);
    let listed = tunnelcast::client::list(&config, std::sync::Arc::new(crate::support::Nobody));
    let listed = listed.await.unwrap();
    let names: Vec<&str> = listed.iter().map(|stream| stream.name.as_str()).collect();
    assert_eq!(names, ["attic", "door", "live"]);
    for publisher in publishers {
        publisher.stop().await;
    }
    server.shutdown().await;
}

/// Who has connected before a stream was published can watch it without connecting again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_that_is_killed_is_missed_and_its_viewers_go_on_when_it_is_back() {
    let mut server = TestServer::start(relay()).await;
    let (config, link) = publish(&server, "cam1", CARD);
    let mut publisher = TestPublisher::start(config.clone());
    publisher.connected().await;
    let mut viewer = TestViewer::start(watch(&link));
    viewer.connected().await;
    viewer.frames(10).await;
    publisher.kill().await;
    server.until("source lost").await;
    let mut publisher = TestPublisher::start(config);
    publisher.connected().await;
    server.until("source live").await;
    viewer.frames(20).await;
    let summary = viewer.stop().await;
    // It was one viewer, over one connection, all the time.
    let told = server.until("viewer 1 left: done").await;
    assert!(
        !told.iter().any(|line| line.starts_with("viewer 2")),
        "{told:?}"
    );
    assert_eq!(summary.switches, 0);
    publisher.stop().await;
    server.shutdown().await;
}

/// The server goes away, and comes back on the same port with the same key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_comes_back_by_itself_when_its_connection_was_cut() {
    let server = TestServer::start(relay()).await;
    let between = Between::start(server.link().port).await;
    let (mut config, link) = publish(&server, "cam1", CARD);
    config.link.port = between.port();
    config.ways = Ways::Only(Kind::Tls);
    let mut publisher = TestPublisher::start(config);
    publisher.connected().await;
    let mut viewer = TestViewer::start(watch(&link));
    viewer.connected().await;
    viewer.frames(10).await;
    between.tcp(false);
    between.tcp(true);
    publisher.connected().await;
    viewer.frames(20).await;
    viewer.stop().await;
    publisher.stop().await;
    server.shutdown().await;
}

async fn refusal(config: Publish) -> (CloseCode, String) {
    match TestPublisher::start(config).end().await {
        Err(Error::Refused { code, reason }) => (code, reason),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_is_taken_is_refused_and_may_be_taken_over() {
    let server = TestServer::start(serve(CARD)).await;
    let (own, _) = publish(&server, "live", CARD);
    let (code, reason) = refusal(own).await;
    assert_eq!(code, CloseCode::Taken, "{reason}");
    assert!(reason.contains("server's own"), "{reason}");

    let (config, link) = publish(&server, "cam1", CARD);
    let mut first = TestPublisher::start(config.clone());
    first.connected().await;
    let mut viewer = TestViewer::start(watch(&link));
    viewer.connected().await;
    viewer.frames(5).await;
    let (code, reason) = refusal(config.clone()).await;
    assert_eq!(code, CloseCode::Taken, "{reason}");
    assert!(reason.contains("--take-over"), "{reason}");

    let mut second = TestPublisher::start(Publish {
        take_over: true,
        ..config
    });
    second.connected().await;
    match first.end().await {
        Err(Error::Refused { code, .. }) => assert_eq!(code, CloseCode::Replaced),
        other => panic!("{other:?}"),
    }
    viewer.frames(20).await;
    viewer.stop().await;
    second.stop().await;
    server.shutdown().await;
}

/// Nobody watches: next to nothing goes up. Somebody does: it is there at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_nobody_watches_hardly_anything_is_sent() {
    let server = TestServer::start(relay()).await;
    let (port, sent) = counted(server.link().port).await;
    let (mut config, link) = publish(&server, "cam1", CARD);
    config.link.port = port;
    config.ways = Ways::Only(Kind::Tls);
    let mut publisher = TestPublisher::start(config);
    publisher.connected().await;
    for _ in 0..2 {
        let mut viewer = TestViewer::start(watch(&link));
        viewer.connected().await;
        publisher.watched(true).await;
        let before = (sent(), Instant::now());
        viewer.frames(30).await;
        let busy = rate(before, sent());
        viewer.stop().await;
        publisher.watched(false).await;
        let before = (sent(), Instant::now());
        tokio::time::sleep(Duration::from_secs(3)).await;
        let idle = rate(before, sent());
        println!("{busy:.0} bytes a second while somebody watches, {idle:.0} while nobody does");
        assert!(idle * 50.0 < busy && idle < 1000.0, "{idle} beside {busy}");
    }
    publisher.stop().await;
    server.shutdown().await;
}

/// Bytes a second since then.
fn rate((before, since): (u64, Instant), now: u64) -> f64 {
    (now - before) as f64 / since.elapsed().as_secs_f64()
}

/// The uplink takes a part of what there is: pictures come coarser or rarer, and as new at the end as at the start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_a_slow_uplink_pictures_are_never_behind() {
    let server = TestServer::start(relay()).await;
    let slow = slow_uplink(server.link().port, 50_000);
    let (mut config, link) = publish(&server, "cam1", "testcard:640x368@25");
    config.link.port = slow;
    config.ways = Ways::Only(Kind::Tls);
    let mut publisher = TestPublisher::start(config);
    publisher.connected().await;
    let mut viewer = Raw::connect(&link).await;
    let mut ages = Vec::new();
    while ages.len() < 60 {
        let frame = viewer.frame().await;
        assert!(frame.complete, "{frame:?}");
        ages.extend(frame.age);
    }
    let worst = |ages: &[Duration]| ages.iter().copied().max().unwrap_or_default();
    let (first, last) = ages.split_at(30);
    println!("{:?} and then {:?} at worst", worst(first), worst(last));
    // A backlog would have grown by the length of the run.
    assert!(
        worst(last) < worst(first).max(Duration::from_secs(1)) * 2,
        "{ages:?}"
    );
    publisher.stop().await;
    server.shutdown().await;
}

/// A line that carries so many bytes a second towards the server, and holds next to none.
fn slow_uplink(server: u16, bytes_a_second: usize) -> u16 {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy};
    use tokio::net::TcpSocket;
    let socket = TcpSocket::new_v4().unwrap();
    // What it accepts has little room.
    socket.set_recv_buffer_size(8 << 10).unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let listener = socket.listen(8).unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut publisher, _)) = listener.accept().await {
            let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, server))
                .await
                .unwrap();
            server.set_nodelay(true).unwrap();
            tokio::spawn(async move {
                let (mut from_publisher, mut to_publisher) = publisher.split();
                let (mut from_server, mut to_server) = server.split();
                let up = async {
                    let mut chunk = vec![0; bytes_a_second / 20];
                    let mut turns = tokio::time::interval(Duration::from_millis(50));
                    loop {
                        turns.tick().await;
                        match from_publisher.read(&mut chunk).await {
                            Ok(n) if n > 0 && to_server.write_all(&chunk[..n]).await.is_ok() => {}
                            _ => return,
                        }
                    }
                };
                tokio::select! {
                    () = up => {}
                    _ = copy(&mut from_server, &mut to_publisher) => {}
                }
            });
        }
    });
    port
}

/// UDP dies under a publisher, and comes back: the server moves, and the viewer notices nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_s_picture_moves_when_udp_dies_and_when_it_is_back() {
    let server = TestServer::start(relay()).await;
    let between = Between::start(server.link().port).await;
    let (mut config, link) = publish(&server, "cam1", CARD);
    config.link.port = between.port();
    let mut publisher = TestPublisher::start(config);
    assert_eq!(publisher.connected().await.transport, "quic");
    let mut viewer = TestViewer::start(watch(&link));
    viewer.connected().await;
    // Until TLS stands by.
    viewer.frames(50).await;
    between.udp(false);
    assert_eq!(publisher.switched().await, ("quic", "tls"));
    viewer.frames(30).await;
    between.udp(true);
    assert_eq!(publisher.switched().await, ("tls", "quic"));
    viewer.frames(30).await;
    let summary = viewer.stop().await;
    println!("{summary:?}");
    assert_eq!(summary.switches, 0);
    // What little is lost the busy machine has lost, and not the moves: those would lose packets by the second.
    assert!(
        summary.audio_lost * 20 < summary.audio_packets,
        "{summary:?}"
    );
    publisher.stop().await;
    server.shutdown().await;
}

/// The levels below the published one are made by the server, for whoever needs one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_viewer_on_a_slow_line_gets_a_level_that_the_publisher_does_not_send() {
    let server = TestServer::start(relay()).await;
    let (config, link) = publish(&server, "cam1", "testcard:640x368@25");
    let mut publisher = TestPublisher::start(config);
    publisher.connected().await;
    let mut fast = Raw::connect(&link).await;
    let best = fast.frame().await.rung.size();
    let line = crate::support::Relay::start(&link, 30_000).await;
    let mut slow = Raw::connect(&line.link(&link)).await;
    let mut smaller = false;
    while !smaller {
        tokio::select! {
            step = fast.step() => if let Some(frame) = step {
                assert_eq!(frame.rung.size(), best);
            },
            step = slow.step() => if let Some(frame) = step {
                assert!(frame.complete);
                smaller = frame.rung.size() != best || frame.rung.source.is_some();
            },
        }
    }
    publisher.stop().await;
    server.shutdown().await;
}

/// A viewer who comes while there is no publisher waits, and sees him when he comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_watches_a_stream_whose_publisher_is_gone_is_told_so() {
    let server = TestServer::start(relay()).await;
    let (config, link) = publish(&server, "cam1", CARD);
    let mut publisher = TestPublisher::start(config.clone());
    publisher.connected().await;
    publisher.stop().await;
    let mut viewer = TestViewer::start(watch(&link));
    loop {
        if let News::Word(word) = viewer.news().await.unwrap()
            && word.contains("the publisher is gone")
        {
            break;
        }
    }
    let mut publisher = TestPublisher::start(config);
    publisher.connected().await;
    viewer.frames(5).await;
    viewer.stop().await;
    publisher.stop().await;
    server.shutdown().await;
}

/// Nothing is there to be reached: one line, and no second try.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_cannot_be_reached_at_first_is_an_error() {
    let server = TestServer::start(relay()).await;
    let (config, _) = publish(&server, "cam1", CARD);
    server.shutdown().await;
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let link = Link {
        port,
        ..config.link.clone()
    };
    let ended = TestPublisher::start(Publish { link, ..config }).end().await;
    assert!(matches!(ended, Err(Error::Dial(_))), "{ended:?}");
}

/// The real programs: what they print, and what they end with.
#[test]
fn the_programs_say_what_happens_and_end_with_the_status_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (certs, state) = (path("certs"), path("state"));
    let nothing = ["--video", "none", "--audio", "none"];
    let serve = ["serve", "--listen", "127.0.0.1:0", "--certs", &certs];
    let mut server = Program::with(
        serve.into_iter().chain(["--state", &state]).chain(nothing),
        |_| {},
    );
    let listening = server.event("listening");
    let (link, to) = (
        listening["link"].as_str().unwrap(),
        listening["publish_link"].as_str().unwrap(),
    );
    let publish = [
        "publish",
        to,
        "--video",
        CARD,
        "--networks",
        "/dev/null/networks",
    ];

    let unnamed = Program::with(publish, |_| {}).end();
    assert_eq!(unnamed.status, Some(2), "{}", unnamed.words);
    let named = || Program::with(publish.into_iter().chain(["--name", "cam1"]), |_| {});
    let mut publisher = named();
    publisher.event("connected");
    let second = named().end();
    assert_eq!(second.status, Some(3), "{}", second.words);
    assert!(second.words.contains("'cam1' is taken"), "{}", second.words);
    let watcher = Program::with(["watch", "--headless", link], |_| {}).end();
    watcher.says(2, "put one of those names into your link, before the #");
    let streams = watcher
        .events
        .iter()
        .find(|event| event["event"] == "streams");
    assert_eq!(streams.unwrap()["streams"][0]["name"], "cam1");

    let link: Link = link.parse().unwrap();
    let link = Link {
        stream: "cam1".to_owned(),
        ..link
    };
    let watcher = Program::watch(&link, "--duration 2s").end();
    assert_eq!(watcher.status, Some(0), "{}", watcher.words);
    assert_eq!(publisher.event("watched")["watched"], true);
    publisher.interrupt();
    let publisher = publisher.end();
    assert_eq!(publisher.status, Some(0), "{}", publisher.words);
    let told = |name: &str| publisher.events.iter().any(|event| event["event"] == name);
    assert!(told("source") && told("closed"), "{:?}", publisher.events);
    let left =
        server.event_where(|event| event["event"] == "publisher" && event["state"] == "left");
    assert_eq!(left.unwrap()["name"], "cam1");

    let mut publisher = named();
    publisher.event("connected");
    server.interrupt();
    assert_eq!(server.end().status, Some(0));
    let lost = publisher.event("lost");
    assert!(lost["why"].is_string(), "{lost}");
    publisher.interrupt();
    assert_eq!(publisher.end().status, Some(0));
}
