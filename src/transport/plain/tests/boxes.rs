//! What stands between a viewer and a server, and does not always pass things on.

use super::*;

/// What a box does to a connection.
#[derive(Clone, Copy, Debug)]
enum Does {
    /// Passes on what is asked for as it is, but no answer longer than it is complete before so long.
    HoldBack(Option<Duration>),
    /// Passes so many bytes of a long answer on, and then keeps the rest.
    KeepAfter(usize),
    /// Closes after each answer.
    CloseAfterAnswer,
    /// Closes instead of the first answer to every other connection's request, which the server has had.
    LoseAnswers,
    /// Answers take so long.
    Delay(Duration),
    /// Takes no request that begins like this and has that in it, and says so or does not.
    Refuse(&'static str, &'static str, &'static [u8]),
    /// Drops the header that it does not know.
    Strip,
}

struct Relay {
    addr: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Relay {
    async fn new(server: SocketAddr, does: Does) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            for number in 0_u64.. {
                let (viewer, _) = listener.accept().await.unwrap();
                connections.spawn(async move {
                    let server = TcpStream::connect(server).await.unwrap();
                    // However it ends, both connections are closed.
                    let _ended = relay(viewer, server, does, number).await;
                });
            }
        });
        Self {
            addr,
            _tasks: tasks,
        }
    }
}

async fn relay(
    mut viewer: TcpStream,
    mut server: TcpStream,
    does: Does,
    number: u64,
) -> io::Result<()> {
    tcp::tune(&viewer)?;
    tcp::tune(&server)?;
    let mut head = vec![0; 16 * 1024];
    let length = viewer.read(&mut head).await?;
    let head = &head[..length];
    let line =
        String::from_utf8_lossy(head.split(|byte| *byte == b'\r').next().unwrap_or_default());
    let long = line.starts_with("GET") && !line.contains('&');
    let text = String::from_utf8_lossy(head);
    if let Does::Refuse(method, what, answer) = does
        && line.starts_with(method)
        && text.contains(what)
    {
        return viewer.write_all(answer).await;
    }
    if let Does::Strip = does {
        let lines = text.split_inclusive("\r\n");
        let kept: String = lines
            .filter(|line| !line.starts_with("tunnelcast-up"))
            .collect();
        server.write_all(kept.as_bytes()).await?;
    } else {
        server.write_all(head).await?;
    }
    match does {
        Does::HoldBack(how_long) if long => {
            let Some(how_long) = how_long else {
                return std::future::pending().await;
            };
            sleep(how_long).await;
        }
        Does::KeepAfter(most) if long => return keep_after(viewer, server, most).await,
        Does::CloseAfterAnswer if !long => return one_answer(viewer, server).await,
        Does::LoseAnswers if !long && number % 2 == 1 => {
            let (mut from_viewer, _to_viewer) = viewer.split();
            let (mut from_server, mut to_server) = server.split();
            let mut answer = [0; 1024];
            tokio::select! {
                _ = tokio::io::copy(&mut from_viewer, &mut to_server) => {}
                _ = from_server.read(&mut answer) => {}
            }
            return Ok(());
        }
        Does::Delay(delay) if !long => return delayed(viewer, server, delay).await,
        Does::HoldBack(_)
        | Does::KeepAfter(_)
        | Does::CloseAfterAnswer
        | Does::LoseAnswers
        | Does::Delay(_)
        | Does::Refuse(..)
        | Does::Strip => {}
    }
    tokio::io::copy_bidirectional(&mut viewer, &mut server).await?;
    Ok(())
}

async fn keep_after(mut viewer: TcpStream, mut server: TcpStream, most: usize) -> io::Result<()> {
    let mut passed = (&mut server).take(u64::try_from(most).unwrap());
    tokio::io::copy(&mut passed, &mut viewer).await?;
    // What it keeps it takes all the same.
    tokio::io::copy(&mut server, &mut tokio::io::sink()).await?;
    Ok(())
}

/// Passes one answer on, of which it knows the length, and no more.
async fn one_answer(viewer: TcpStream, server: TcpStream) -> io::Result<()> {
    let ((mut from_viewer, mut to_viewer), (mut from_server, mut to_server)) =
        (viewer.into_split(), server.into_split());
    let up = tokio::io::copy(&mut from_viewer, &mut to_server);
    let down = async {
        let mut answer = BytesMut::new();
        loop {
            if from_server.read_buf(&mut answer).await? == 0 {
                return Ok(());
            }
            let text = String::from_utf8_lossy(&answer).to_ascii_lowercase();
            if let Some(end) = text.find("\r\n\r\n") {
                let length = text.split("content-length: ").nth(1).unwrap();
                let length: usize = length.split('\r').next().unwrap().parse().unwrap();
                // Lossy text has at least the length of the bytes, and heads are ASCII.
                if answer.len() >= end + 4 + length {
                    return to_viewer.write_all(&answer).await;
                }
            }
        }
    };
    tokio::select! {
        _ = up => Ok(()),
        done = down => done,
    }
}

async fn delayed(viewer: TcpStream, server: TcpStream, delay: Duration) -> io::Result<()> {
    let ((mut from_viewer, mut to_viewer), (mut from_server, mut to_server)) =
        (viewer.into_split(), server.into_split());
    let up = tokio::io::copy(&mut from_viewer, &mut to_server);
    let down = async {
        let mut bytes = vec![0; 64 * 1024];
        loop {
            let length = from_server.read(&mut bytes).await?;
            sleep(delay).await;
            to_viewer.write_all(&bytes[..length]).await?;
            if length == 0 {
                return Ok(());
            }
        }
    };
    tokio::select! {
        _ = up => Ok(()),
        done = down => done,
    }
}

async fn through(does: Does, mode: Mode, length: usize) {
    let mut server = Server::new().await;
    let relay = Relay::new(server.addr, does).await;
    let (mut viewer, opener) = dial(relay.addr, mode).await;
    viewer.write_all(b"!").await.unwrap();
    let mut end = server.accept().await;
    assert_eq!(within(end.read_u8()).await.unwrap(), b'!');
    let bytes = pattern(length);
    let (at_viewer, at_server) = tokio::join!(
        exchange(&mut viewer, &bytes, length, 3),
        exchange(&mut end, &bytes, length, 4),
    );
    assert!(at_viewer == bytes, "{does:?}");
    assert!(at_server == bytes, "{does:?}");
    drop(viewer);
    server.empty().await;
    gone(opener).await;
}

#[tokio::test]
async fn connections_that_are_closed_after_every_answer_lose_nothing() {
    through(Does::CloseAfterAnswer, Mode::Streamed, 100_000).await;
    through(Does::CloseAfterAnswer, Mode::Finite, 100_000).await;
}

#[tokio::test]
async fn answers_that_are_lost_lose_nothing_and_double_nothing() {
    through(Does::LoseAnswers, Mode::Streamed, 100_000).await;
    through(Does::LoseAnswers, Mode::Finite, 100_000).await;
}

const FORBIDDEN: &[u8] = b"HTTP/1.1 403 No\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

#[tokio::test]
async fn a_few_bytes_go_up_without_a_post() {
    let mut server = Server::new().await;
    let relay = Relay::new(server.addr, Does::Refuse("POST", "&n=", FORBIDDEN)).await;
    let (mut viewer, opener) = dial(relay.addr, Mode::Streamed).await;
    viewer.write_all(b"!").await.unwrap();
    let mut end = server.accept().await;
    assert_eq!(within(end.read_u8()).await.unwrap(), b'!');
    for round in 0..20 {
        within(viewer.write_u32(round)).await.unwrap();
        assert_eq!(within(end.read_u32()).await.unwrap(), round);
    }
    drop(viewer);
    server.empty().await;
    gone(opener).await;
}

#[tokio::test]
async fn a_box_that_takes_nothing_up_in_gets_is_sent_posts() {
    for answer in [FORBIDDEN, b""] {
        through(Does::Refuse("GET", "&n=", answer), Mode::Streamed, 100_000).await;
        through(Does::Refuse("GET", "&n=", answer), Mode::Finite, 100_000).await;
    }
}

/// Says something before it is known whether anybody is there.
async fn at_once(does: Does) {
    let mut server = Server::new().await;
    let relay = Relay::new(server.addr, does).await;
    let opener = Arc::new(Opener(relay.addr));
    let open = Arc::new(opener_of(&opener));
    let mut way = start(&open, "cam", "/cam", Mode::Streamed, &Held::default()).unwrap();
    drop(open);
    way.end.write_all(b"hello").await.unwrap();
    way.stands.wait(Instant::now() + PATIENCE).await.unwrap();
    let mut end = server.accept().await;
    let mut got = [0; 5];
    within(end.read_exact(&mut got)).await.unwrap();
    assert_eq!(&got, b"hello", "{does:?}");
    end.write_all(b"hi").await.unwrap();
    within(way.end.read_exact(&mut got[..2])).await.unwrap();
    assert_eq!(&got[..2], b"hi");
    drop(way.end);
    server.empty().await;
    gone(opener).await;
}

#[tokio::test]
async fn what_is_said_at_once_goes_up_with_the_first_request() {
    at_once(Does::Refuse("", "&n=", FORBIDDEN)).await;
}

#[tokio::test]
async fn what_cannot_go_up_with_the_first_request_goes_up_behind_it() {
    at_once(Does::Strip).await;
    at_once(Does::Refuse("GET", "tunnelcast-up", FORBIDDEN)).await;
    at_once(Does::Refuse("GET", "tunnelcast-up", b"")).await;
}

#[tokio::test]
async fn slow_answers_are_waited_for() {
    let delay = Does::Delay(Duration::from_millis(30));
    through(delay, Mode::Streamed, 100_000).await;
    through(delay, Mode::Finite, 100_000).await;
}

#[tokio::test]
async fn a_box_that_holds_the_long_answer_back_is_given_pieces() {
    for held in [Some(Duration::from_secs(2)), None] {
        let mut server = Server::new().await;
        let relay = Relay::new(server.addr, Does::HoldBack(held)).await;
        let opener = Arc::new(Opener(relay.addr));
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
        assert_eq!(mode, Mode::Finite);
        viewer.write_all(b"!").await.unwrap();
        let mut end = server.accept().await;
        assert_eq!(within(end.read_u8()).await.unwrap(), b'!');
        let bytes = pattern(300_000);
        let (at_viewer, at_server) = tokio::join!(
            exchange(&mut viewer, &bytes, bytes.len(), 5),
            exchange(&mut end, &bytes, bytes.len(), 6),
        );
        assert!(at_viewer == bytes && at_server == bytes);
        // Nobody else has come out of what was given up.
        assert!(server.opened.try_recv().is_err());
        drop(viewer);
        gone(opener).await;
    }
}

/// So that whoever waits for a page does not give up, some boxes let its beginning through.
#[tokio::test]
async fn a_box_that_keeps_a_long_answer_from_somewhere_on_is_found_out() {
    let most = 20_000;
    let mut server = Server::new().await;
    let relay = Relay::new(server.addr, Does::KeepAfter(most)).await;
    let opener = Arc::new(Opener(relay.addr));
    let held = Held::default();
    let deadline = || Instant::now() + PATIENCE;
    let asked = connect(opener_of(&opener), "cam", "/cam", &held, deadline()).await;
    let (mut viewer, mode) = asked.unwrap();
    assert_eq!(mode, Mode::Streamed);
    viewer.write_all(b"!").await.unwrap();
    let mut end = server.accept().await;
    assert_eq!(within(end.read_u8()).await.unwrap(), b'!');
    let bytes = pattern(60_000);
    let (mut from, mut to) = tokio::io::split(&mut viewer);
    let mut came = Vec::new();
    let says_on = async {
        loop {
            if to.write_all(b"?").await.is_err() {
                return;
            }
            sleep(Duration::from_millis(100)).await;
        }
    };
    let says_all = async {
        // The box takes it all, or it is cut.
        let _kept = end.write_all(&bytes).await;
        std::future::pending().await
    };
    within(async {
        tokio::select! {
            done = from.read_to_end(&mut came) => done.map(drop).unwrap(),
            () = says_on => {}
            () = says_all => {}
        }
    })
    .await;
    assert!(held.is(), "{most}");
    assert!(came.len() < most && bytes.starts_with(&came), "{most}");
    let asked = connect(opener_of(&opener), "cam", "/cam", &held, deadline()).await;
    let (mut viewer, mode) = asked.unwrap();
    assert_eq!(mode, Mode::Finite);
    viewer.write_all(b"!").await.unwrap();
    let mut end = server.accept().await;
    within(end.write_all(b"all of it")).await.unwrap();
    let mut all = [0; 9];
    within(viewer.read_exact(&mut all)).await.unwrap();
    assert_eq!(&all, b"all of it");
}
