//! The server goes and comes back, with its key or with another.

use serde_json::Value;
use tunnelcast::{config::IdentitySource, server::Server};

use crate::support::{CARD, Program, TestServer, TestViewer, serve, watch};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_viewer_goes_on_by_itself_when_its_server_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = serve(CARD);
    config.identity = IdentitySource::Directory(dir.path().to_owned());
    config.access.state = Some(dir.path().join("state"));
    let server = TestServer::start(config.clone()).await;
    let link = server.link().clone();
    let mut viewer = TestViewer::start(watch(&link));
    viewer.connected().await;
    server.shutdown().await;
    let word = viewer.disconnected().await;
    assert!(word.contains("the server is stopping"), "{word}");

    config.listen = vec![([127, 0, 0, 1], link.port).into()];
    let server = TestServer::start(config).await;
    assert_eq!(*server.link(), link);
    viewer.frames(20).await;
    let summary = viewer.stop().await;
    assert!(summary.audio_packets > 0, "{summary:?}");
}

/// The other key may be that of a captive portal, so the viewer keeps looking for the right one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_key_in_the_servers_place_is_refused_until_the_right_one_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = serve(CARD);
    config.identity = IdentitySource::Directory(dir.path().to_owned());
    config.access.state = Some(dir.path().join("state"));
    let server = TestServer::start(config.clone()).await;
    let mut viewer = TestViewer::start(watch(server.link()));
    viewer.connected().await;
    config.listen = server_address(&server);
    server.shutdown().await;
    viewer.disconnected().await;

    let mut impostor = config.clone();
    impostor.identity = IdentitySource::Fresh;
    let mut impostor = TestServer::start(impostor).await;
    loop {
        let word = viewer.disconnected().await;
        if word.contains("ask for a new link") {
            break;
        }
    }
    assert_eq!(impostor.told(), [] as [String; 0]);
    impostor.shutdown().await;

    let server = TestServer::start(config).await;
    viewer.frames(10).await;
    viewer.stop().await;
    server.shutdown().await;
}

fn server_address(server: &TestServer) -> Vec<std::net::SocketAddr> {
    vec![([127, 0, 0, 1], server.link().port).into()]
}

#[test]
fn the_program_goes_on_by_itself_too_and_never_with_another_key() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let video = format!("--video {CARD}");
    let (server, link) = Program::serve(dir.path(), &video);
    let mut viewer = Program::watch(&link, "");
    viewer.event("connected");
    server.interrupt();
    assert_eq!(server.end().status, Some(0));

    let (mut impostor, changed) = Program::serve_at(other.path(), link.port, &video);
    assert_ne!(changed.pin, link.pin);
    let nothing = |event: &Value| event["event"] == "stats" && event["frames_shown"] == 0;
    viewer.event_where(nothing).unwrap();
    impostor.interrupt();
    assert_eq!(impostor.event_where(|_| true), None, "it had no viewer");
    // Killed, not stopped: who comes back finds the port all the same.
    drop(impostor);

    let (mut server, again) = Program::serve_at(dir.path(), link.port, &video);
    assert_eq!(again, link);
    server.event_where(|event| event["state"] == "live");
    let shown = |event: &Value| event["event"] == "stats" && event["frames_shown"] != 0;
    viewer.event_where(shown).unwrap();
    viewer.interrupt();
    let viewer = viewer.end();
    assert_eq!(viewer.status, Some(0), "{viewer:?}");
    viewer.summary();
}

/// A server that is dropped without a goodbye stops all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_dropped_gives_its_port_back() {
    let mut config = serve(CARD);
    let (server, _notices) = Server::start(config.clone()).await.unwrap();
    config.listen = server.addresses();
    let mut viewer = TestViewer::start(watch(server.link()));
    viewer.connected().await;
    drop(server);
    viewer.disconnected().await;
    TestServer::start(config).await.shutdown().await;
}
