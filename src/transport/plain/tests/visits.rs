//! How long connections last, and the whole of it through a port with TLS.

use super::*;
use crate::transport::door::Door;
use crate::transport::{AcceptError, Listener};
use crate::trust::{Identity, Policy, client_config};

#[tokio::test]
async fn connections_of_a_viewer_leave_the_crowd_and_outlast_every_visit() {
    let limits = Limits {
        head: Duration::from_millis(100),
        visit: Duration::from_millis(200),
    };
    let mut server = Server::with(limits).await;
    let (mut viewer, mut end, _opener) = pair(&mut server, Mode::Streamed).await;
    for round in 0..3 {
        // Longer than a stranger may be silent, and in the end than he may stay.
        sleep(limits.head * 2).await;
        within(viewer.write_u32(round)).await.unwrap();
        assert_eq!(within(end.read_u32()).await.unwrap(), round);
        within(end.write_u32(round)).await.unwrap();
        assert_eq!(within(viewer.read_u32()).await.unwrap(), round);
    }
    // A lane that has carried nothing is a stranger's until it does.
    eventually(|| server.door.waiting() == 0).await;
    assert!(server.connections() <= 6);
}

#[tokio::test]
async fn a_session_that_nobody_vouches_for_lasts_as_long_as_a_visit() {
    let limits = Limits {
        head: PATIENCE,
        visit: Duration::from_millis(200),
    };
    let mut server = Server::with(limits).await;
    let (mut viewer, opener) = dial(server.addr, Mode::Streamed).await;
    viewer.write_all(b"!").await.unwrap();
    let mut opened = within(server.opened.recv()).await.unwrap();
    assert_eq!(within(opened.end.read_u8()).await.unwrap(), b'!');
    assert_eq!(within(opened.end.read(&mut [0])).await.unwrap(), 0);
    assert_eq!(within(viewer.read(&mut [0])).await.unwrap(), 0);
    drop(viewer);
    gone(opener).await;
    server.empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_comes_in_through_a_port_where_viewers_and_pages_come_too() {
    let identity = Arc::new(Identity::fresh().unwrap());
    let (table, mut opened) = Table::new(Door::default());
    let listener = Listener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
    let addr = listener.local();
    let listener = listener.with_sessions(table.clone());
    let mut tasks = JoinSet::new();
    tasks.spawn({
        let identity = Arc::clone(&identity);
        async move {
            let mut visits = JoinSet::new();
            loop {
                let incoming = listener.accept().await;
                let (config, sealed) = (identity.server_config(), identity.sealed_server_config());
                visits.spawn(async move {
                    let secured = incoming.handshake(config, PATIENCE).await?;
                    secured.serve(sealed, PATIENCE).await.map(drop)?;
                    Ok::<_, AcceptError>(())
                });
            }
        }
    });
    let config = client_config(Policy::Pinned(identity.pin()), "127.0.0.1", addr.port()).unwrap();
    let open = move || {
        let connector = tokio_rustls::TlsConnector::from(Arc::clone(&config));
        async move {
            let tcp = TcpStream::connect(addr).await?;
            let name = rustls_pki_types::ServerName::from(addr.ip());
            connector.connect(name, tcp).await
        }
    };
    let deadline = Instant::now() + PATIENCE;
    let (mut viewer, mode) = connect(open, "cam", "/prefix/cam", &Held::default(), deadline)
        .await
        .unwrap();
    assert_eq!(mode, Mode::Streamed);
    viewer.write_all(b"!").await.unwrap();
    let opened = within(opened.recv()).await.unwrap();
    assert!(opened.peer.ip().is_loopback());
    opened.standing.establish();
    let mut end = opened.end;
    assert_eq!(within(end.read_u8()).await.unwrap(), b'!');
    let (up, down) = (pattern(300_000), pattern(3_000_000));
    let (at_viewer, at_server) = tokio::join!(
        exchange(&mut viewer, &up, down.len(), 7),
        exchange(&mut end, &down, up.len(), 8),
    );
    assert!(at_viewer == down && at_server == up);
    drop(viewer);
    eventually(|| table.len() == 0 && table.tasks() == 0).await;
}
