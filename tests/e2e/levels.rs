//! Levels below the best picture of a published stream: by the publisher where his uplink has room, else by the server.

use std::net::Ipv4Addr;

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tunnelcast::{
    codec::Quality,
    config::Publish,
    media::{LevelSet, RungKind},
    transport::{Kind, race::Ways},
    trust::Link,
};

use crate::support::{Frame, Raw, Relay, TestPublisher, TestServer, publish, relay};

/// A server that codes worse than the publisher, so that it shows whose a picture is.
async fn coarse_server() -> TestServer {
    let mut config = relay();
    config.quality = Quality::new(10);
    TestServer::start(config).await
}

fn source(server: &TestServer) -> (Publish, Link) {
    let (mut config, link) = publish(server, "cam1", "testcard:640x368@25");
    config.ways = Ways::Only(Kind::Tls);
    (config, link)
}

/// A line for a viewer that takes a small picture alone.
const THIN: usize = 60_000;

/// Who has coded this smaller picture, as its first quantisation table says; `None` for the best.
fn maker(frame: &Frame) -> Option<Maker> {
    frame.rung.source?;
    let RungKind::Cells { header, .. } = &frame.rung.kind else {
        return None;
    };
    let table = header.windows(2).position(|two| two == [0xff, 0xdb])?;
    // Behind the marker are two bytes of length and one of the table's name.
    let coarse = header.get(table + 5).is_some_and(|step| *step > 40);
    Some(if coarse {
        Maker::Server
    } else {
        Maker::Publisher
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Maker {
    Server,
    Publisher,
}

/// Takes frames until one is made by `maker`.
async fn made_by(viewer: &mut Raw, by: Maker) -> Frame {
    loop {
        let frame = viewer.frame().await;
        assert!(frame.complete);
        if maker(&frame) == Some(by) {
            return frame;
        }
    }
}

/// Connections to a port; when told so, those that came behind the first are cut, and no more are taken.
async fn cut(server: u16, cut: watch::Receiver<bool>) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut first = true;
        while let Ok((mut publisher, _)) = listener.accept().await {
            let mut cut = cut.clone();
            if !first && *cut.borrow_and_update() {
                continue;
            }
            let is_first = std::mem::replace(&mut first, false);
            tokio::spawn(async move {
                let to = (Ipv4Addr::LOCALHOST, server);
                let mut server = TcpStream::connect(to).await.unwrap();
                tokio::select! {
                    _ = copy_bidirectional(&mut publisher, &mut server) => {}
                    _ = cut.wait_for(|cut| *cut && !is_first) => {}
                }
            });
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_viewer_on_a_slow_line_needs_is_made_by_the_publisher_until_his_link_for_it_is_cut()
{
    let server = coarse_server().await;
    let (tell, told) = watch::channel(false);
    let (mut config, link) = source(&server);
    config.link.port = cut(config.link.port, told).await;
    let mut publisher = TestPublisher::start(config);
    publisher.connected().await;
    let line = Relay::start(&link, THIN).await;
    let mut slow = Raw::connect(&line.link(&link)).await;
    made_by(&mut slow, Maker::Server).await;
    let theirs = made_by(&mut slow, Maker::Publisher).await;
    println!("{:?} of {:?}", theirs.rung.size(), theirs.rung.source);
    assert_ne!(publisher.levels().await, LevelSet::NONE);
    let mut last = theirs;
    for _ in 0..20 {
        let frame = slow.frame().await;
        assert!(frame.complete, "{frame:?}");
        // On another rung it may be the same picture.
        let again = u64::from(frame.rung.id == last.rung.id);
        assert!(frame.number >= last.number + again, "{last:?} {frame:?}");
        last = frame;
    }
    tell.send_replace(true);
    while publisher.levels().await != LevelSet::NONE {}
    assert!(made_by(&mut slow, Maker::Server).await.number >= last.number);
    publisher.stop().await;
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_way_is_that_a_publisher_has_a_level_goes_the_same_way() {
    for kind in [Kind::Quic, Kind::Http] {
        let server = coarse_server().await;
        let (mut config, link) = source(&server);
        config.ways = Ways::Only(kind);
        let mut publisher = TestPublisher::start(config);
        assert_eq!(publisher.connected().await.transport, kind.name());
        let line = Relay::start(&link, THIN).await;
        let mut slow = Raw::connect(&line.link(&link)).await;
        let theirs = made_by(&mut slow, Maker::Publisher).await;
        println!("{kind}: {:?}", theirs.rung.size());
        publisher.stop().await;
        server.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_with_a_rate_sends_one_picture() {
    let server = coarse_server().await;
    let (mut config, link) = source(&server);
    config.max_bitrate = Some(100_000_000);
    let mut publisher = TestPublisher::start(config);
    publisher.connected().await;
    let line = Relay::start(&link, THIN).await;
    let mut slow = Raw::connect(&line.link(&link)).await;
    made_by(&mut slow, Maker::Server).await;
    // Twice as many as come while one who may begins with a level.
    for _ in 0..250 {
        tokio::select! {
            levels = publisher.levels() => panic!("{levels:?}"),
            frame = slow.frame() => assert_ne!(maker(&frame), Some(Maker::Publisher)),
        }
    }
    publisher.stop().await;
    server.shutdown().await;
}
