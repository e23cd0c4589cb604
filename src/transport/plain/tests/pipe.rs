//! Bytes in are bytes out, and an end is an end on both sides.

use super::*;
use crate::transport::plain::PREAMBLE;

const MODES: [Mode; 2] = [Mode::Streamed, Mode::Finite];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_in_are_bytes_out_both_ways_however_they_are_cut() {
    for mode in MODES {
        let mut server = Server::new().await;
        let (mut viewer, mut end, opener) = pair(&mut server, mode).await;
        let (up, down) = (pattern(400_000), pattern(900_000));
        let (at_viewer, at_server) = tokio::join!(
            exchange(&mut viewer, &up, down.len(), 1),
            exchange(&mut end, &down, up.len(), 2),
        );
        assert!(at_viewer == down, "{mode}");
        assert!(at_server == up, "{mode}");
        drop(viewer);
        server.empty().await;
        gone(opener).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_word_is_answered_at_once_however_often() {
    for mode in MODES {
        let mut server = Server::new().await;
        let (mut viewer, mut end, _opener) = pair(&mut server, mode).await;
        let rounds = if mode == Mode::Streamed { 200 } else { 5 };
        for round in 0..rounds {
            within(viewer.write_u32(round)).await.unwrap();
            assert_eq!(within(end.read_u32()).await.unwrap(), round);
            within(end.write_u32(round)).await.unwrap();
            assert_eq!(within(viewer.read_u32()).await.unwrap(), round);
        }
    }
}

#[tokio::test]
async fn a_free_way_is_streamed() {
    let mut server = Server::new().await;
    let opener = Arc::new(Opener(server.addr));
    let deadline = Instant::now() + PATIENCE;
    let (mut viewer, mode) = connect(
        opener_of(&opener),
        "cam",
        "/cam",
        &Held::default(),
        deadline,
    )
    .await
    .unwrap();
    assert_eq!(mode, Mode::Streamed);
    viewer.write_all(b"hello").await.unwrap();
    let mut end = server.accept().await;
    let mut got = [0; 5];
    within(end.read_exact(&mut got)).await.unwrap();
    assert_eq!(&got, b"hello");
}

#[tokio::test]
async fn a_viewer_who_goes_is_gone_at_the_server_too() {
    for mode in MODES {
        let mut server = Server::new().await;
        let (mut viewer, mut end, opener) = pair(&mut server, mode).await;
        viewer.write_all(b"last").await.unwrap();
        drop(viewer);
        let mut rest = Vec::new();
        within(end.read_to_end(&mut rest)).await.unwrap();
        assert_eq!(rest, b"last", "{mode}");
        gone(opener).await;
        server.empty().await;
        assert!(end.write_all(b"?").await.is_err());
    }
}

#[tokio::test]
async fn a_server_that_goes_is_gone_at_the_viewer_too() {
    for mode in MODES {
        let mut server = Server::new().await;
        let (mut viewer, mut end, opener) = pair(&mut server, mode).await;
        end.write_all(b"last").await.unwrap();
        drop(end);
        let mut rest = Vec::new();
        within(viewer.read_to_end(&mut rest)).await.unwrap();
        assert_eq!(rest, b"last", "{mode}");
        server.empty().await;
        gone(opener).await;
        assert!(viewer.write_all(b"?").await.is_err());
    }
}

#[tokio::test]
async fn a_goodbye_in_good_order_loses_nothing() {
    for mode in MODES {
        let mut server = Server::new().await;
        let (mut viewer, mut end, opener) = pair(&mut server, mode).await;
        viewer.write_all(b"bye").await.unwrap();
        viewer.shutdown().await.unwrap();
        let mut rest = Vec::new();
        within(end.read_to_end(&mut rest)).await.unwrap();
        assert_eq!(rest, b"bye");
        end.write_all(b"bye bye").await.unwrap();
        end.shutdown().await.unwrap();
        rest.clear();
        within(viewer.read_to_end(&mut rest)).await.unwrap();
        assert_eq!(rest, b"bye bye", "{mode}");
        gone(opener).await;
        server.empty().await;
    }
}

#[tokio::test]
async fn who_gives_up_while_it_is_begun_leaves_nothing_behind() {
    for mode in MODES {
        let server = Server::new().await;
        // Takes connections and never says anything.
        let mute = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let opener = Arc::new(Opener(mute.local_addr().unwrap()));
        let open = Arc::new(opener_of(&opener));
        let soon = Instant::now() + Duration::from_millis(50);
        let error = begin(&open, "cam", "/cam", mode, &Held::default(), soon)
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Unanswered), "{error}");
        drop(open);
        gone(opener).await;
        server.empty().await;
    }
}

#[tokio::test]
async fn what_is_not_ours_is_named_by_status_and_title() {
    let page = "HTTP/1.1 403 No\r\ncontent-length: 30\r\n\r\n<title>Blocked by X</title>   ";
    let mut pages = JoinSet::new();
    for mode in MODES {
        let other = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let addr = other.local_addr().unwrap();
        pages.spawn(answers(other, page.into()));
        let opener = Arc::new(Opener(addr));
        let open = Arc::new(opener_of(&opener));
        let deadline = Instant::now() + PATIENCE;
        let error = begin(&open, "cam", "/cam", mode, &Held::default(), deadline)
            .await
            .unwrap_err();
        let text = error.to_string();
        assert!(text.contains("403 (\"Blocked by X\")"), "{mode}: {text}");
    }
}

#[tokio::test]
async fn nobody_there_is_told_as_what_opens_says_it() {
    let shut = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let opener = Arc::new(Opener(shut.local_addr().unwrap()));
    drop(shut);
    let deadline = Instant::now() + PATIENCE;
    let error = connect(
        opener_of(&opener),
        "cam",
        "/cam",
        &Held::default(),
        deadline,
    )
    .await
    .unwrap_err();
    assert!(
        matches!(&error, Error::Open(error) if error.kind() == io::ErrorKind::ConnectionRefused),
        "{error}"
    );
}

#[tokio::test]
async fn a_page_that_begins_like_ours_is_not_ours() {
    let other = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let opener = Arc::new(Opener(other.local_addr().unwrap()));
    let mut pages = JoinSet::new();
    let start = std::str::from_utf8(&PREAMBLE[..10]).unwrap();
    let page = format!("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{start}");
    pages.spawn(answers(other, page));
    let open = Arc::new(opener_of(&opener));
    let deadline = Instant::now() + PATIENCE;
    let error = begin(
        &open,
        "cam",
        "/cam",
        Mode::Streamed,
        &Held::default(),
        deadline,
    )
    .await
    .unwrap_err();
    assert!(
        matches!(error, Error::Refused { status: 200, .. }),
        "{error}"
    );
}

/// A server that has this answer for whoever asks, once for each connection.
async fn answers(listener: TcpListener, page: String) {
    let mut visits = JoinSet::new();
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let page = page.clone();
        visits.spawn(async move {
            // Whoever goes without having asked is no matter.
            if stream
                .read(&mut [0; 4096])
                .await
                .is_ok_and(|asked| asked > 0)
            {
                stream.write_all(page.as_bytes()).await.unwrap();
                std::future::pending::<()>().await;
            }
        });
    }
}
