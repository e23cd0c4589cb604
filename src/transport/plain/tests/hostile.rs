//! Requests that no viewer of ours makes, or that a box on the way makes twice.

use super::*;
use crate::transport::door::{Bounds, Door};
use crate::transport::forwarded::Proxies;
use crate::transport::plain::query::{Id, WORD, write_word};
use crate::transport::plain::{MOST_UP, MOST_WORD, PREAMBLE, table};

/// A session without a viewer of ours: its id, and its long answer.
async fn begun(server: &Server) -> (Id, Long) {
    let id = Id::random().unwrap();
    let mut long = Long::ask(server.addr, &format!("t={id}")).await;
    assert_eq!(long.read(PREAMBLE.len()).await, PREAMBLE);
    (id, long)
}

async fn post(server: &Server, id: Id, number: u64, body: &[u8]) -> u16 {
    let query = format!("t={id}&n={number}");
    let body = Bytes::copy_from_slice(body);
    ask(server.addr, Method::POST, &query, body).await.0
}

async fn read(end: &mut DuplexStream, length: usize) -> Vec<u8> {
    let mut got = vec![0; length];
    within(end.read_exact(&mut got)).await.unwrap();
    got
}

#[tokio::test]
async fn a_post_that_comes_twice_is_taken_once_and_answered_twice() {
    let mut server = Server::new().await;
    let (id, _long) = begun(&server).await;
    for (number, body) in [(0, "a"), (0, "a"), (1, "b"), (0, "x"), (1, "b"), (2, "c")] {
        assert_eq!(post(&server, id, number, body.as_bytes()).await, 200);
    }
    let mut end = server.accept().await;
    assert_eq!(read(&mut end, 3).await, b"abc");
}

/// A GET that brings something up in these headers.
async fn word(server: &Server, id: Id, number: u64, words: &[&str]) -> u16 {
    let mut request = Request::get(format!("/cam?t={id}&n={number}"));
    for word in words {
        request = request.header(WORD, *word);
    }
    send(server.addr, request, Bytes::new()).await.0
}

#[tokio::test]
async fn a_few_bytes_in_a_get_are_as_good_as_in_a_post_in_any_order_and_twice() {
    let mut server = Server::new().await;
    let (id, _long) = begun(&server).await;
    assert_eq!(word(&server, id, 0, &[&write_word(b"a")]).await, 200);
    assert_eq!(post(&server, id, 0, b"x").await, 200);
    assert_eq!(word(&server, id, 0, &[&write_word(b"x")]).await, 200);
    let (third, second) = tokio::join!(post(&server, id, 2, b"ccc"), async {
        eventually(|| server.connections() == 5).await;
        word(&server, id, 1, &[&write_word(b"bb")]).await
    });
    assert_eq!([second, third], [200; 2]);
    let mut end = server.accept().await;
    assert_eq!(read(&mut end, 6).await, b"abbccc");
}

/// Without them it would be the end of what goes up, which somebody who drops headers must not bring about.
#[tokio::test]
async fn a_get_without_its_bytes_gets_the_page_that_everybody_gets_and_its_number_stays_free() {
    let mut server = Server::new().await;
    let (id, _long) = begun(&server).await;
    let long = write_word(&vec![7; MOST_WORD + 1]);
    for words in [&[][..], &[""], &["="], &["YQ", "YQ"], &[&long]] {
        assert_eq!(word(&server, id, 0, words).await, 404, "{words:?}");
    }
    let unknown = Id::random().unwrap();
    assert_eq!(word(&server, unknown, 0, &["YQ"]).await, 404);
    assert_eq!(word(&server, id, 4, &["YQ"]).await, 404);
    assert_eq!(word(&server, id, 0, &["YQ"]).await, 200);
    let mut end = server.accept().await;
    assert_eq!(read(&mut end, 1).await, b"a");
}

#[tokio::test]
async fn posts_that_overtake_each_other_are_put_in_order() {
    let mut server = Server::new().await;
    let (id, _long) = begun(&server).await;
    let (third, second, first) = tokio::join!(
        post(&server, id, 2, b"ccc"),
        post(&server, id, 1, b"bb"),
        async {
            // Only when the others must be there already is it certain that they wait.
            eventually(|| server.connections() == 3).await;
            post(&server, id, 0, b"a").await
        }
    );
    assert_eq!([first, second, third], [200; 3]);
    let mut end = server.accept().await;
    assert_eq!(read(&mut end, 6).await, b"abbccc");
}

#[tokio::test]
async fn absurd_numbers_and_ids_that_are_not_known_get_the_page_that_everybody_gets() {
    let server = Server::new().await;
    let (id, _long) = begun(&server).await;
    let unknown = Id::random().unwrap();
    for query in [
        format!("t={id}&n=4"),
        format!("t={id}&n={}", u64::MAX),
        format!("t={unknown}&n=0"),
        format!("t={id}"),
        String::from("t=x&n=0"),
    ] {
        let (status, page) = ask(server.addr, Method::POST, &query, "x").await;
        assert_eq!((status, &page[..]), (404, PAGE.as_bytes()), "{query}");
    }
    for query in [
        format!("t={id}"),
        format!("t={id}&g=0"),
        format!("t={id}&g=7"),
        format!("t={unknown}&g=1"),
        format!("t={unknown}&g={}", u64::MAX),
    ] {
        let (status, page) = ask(server.addr, Method::GET, &query, "").await;
        assert_eq!((status, &page[..]), (404, PAGE.as_bytes()), "{query}");
    }
    assert_eq!(server.table.len(), 1);
}

#[tokio::test]
async fn absurd_pieces_are_not_waited_for() {
    let server = Server::new().await;
    let id = Id::random().unwrap();
    let first = ask(server.addr, Method::GET, &format!("t={id}&g=0"), "").await;
    assert_eq!((first.0, &first.1[..]), (200, PREAMBLE));
    for number in [5, 1_000_000, u64::MAX - 1, u64::MAX] {
        let query = format!("t={id}&g={number}");
        assert_eq!(ask(server.addr, Method::GET, &query, "").await.0, 404);
    }
}

#[tokio::test]
async fn an_id_in_use_cannot_be_taken_over() {
    let mut server = Server::new().await;
    let (id, mut long) = begun(&server).await;
    assert_eq!(post(&server, id, 0, b"a").await, 200);
    let mut end = server.accept().await;
    let query = format!("t={id}");
    assert_eq!(ask(server.addr, Method::GET, &query, "").await.0, 404);
    end.write_all(b"still mine").await.unwrap();
    assert_eq!(long.read(10).await, &b"still mine"[..]);
}

#[tokio::test]
async fn a_post_that_is_too_long_is_refused_and_its_number_stays_free() {
    let mut server = Server::new().await;
    let (id, _long) = begun(&server).await;
    assert_eq!(post(&server, id, 0, &vec![7; MOST_UP + 1]).await, 413);
    let longest = vec![8; MOST_UP];
    let query = format!("t={id}&n=0");
    let addr = server.addr;
    let (answer, mut end) = tokio::join!(ask(addr, Method::POST, &query, longest.clone()), async {
        let mut end = server.accept().await;
        assert_eq!(read(&mut end, MOST_UP).await, longest);
        end
    },);
    assert_eq!(answer.0, 200);
    assert_eq!(post(&server, id, 1, b"a").await, 200);
    assert_eq!(read(&mut end, 1).await, b"a");
}

#[tokio::test]
async fn a_piece_that_was_lost_on_the_way_is_given_again() {
    let mut server = Server::new().await;
    let id = Id::random().unwrap();
    let piece = |number: u64| {
        let query = format!("t={id}&g={number}");
        async move { ask(server.addr, Method::GET, &query, "").await }
    };
    assert_eq!(piece(0).await.0, 200);
    assert_eq!(post(&server, id, 0, b"a").await, 200);
    let addr = server.addr;
    let mut end = server.accept().await;
    let piece = |number: u64| {
        let query = format!("t={id}&g={number}");
        async move { ask(addr, Method::GET, &query, "").await }
    };
    end.write_all(b"one").await.unwrap();
    let one = (200, Bytes::from_static(b"one"));
    assert_eq!(piece(1).await, one);
    assert_eq!(piece(1).await, one);
    let (two, _) = tokio::join!(piece(2), async { end.write_all(b"two").await.unwrap() });
    assert_eq!(two, (200, Bytes::from_static(b"two")));
    assert_eq!(piece(1).await, one);
    drop(end);
    assert_eq!(piece(3).await.0, 410);
}

#[tokio::test]
async fn a_viewer_who_vanishes_is_given_up_with_his_long_answer() {
    let mut server = Server::new().await;
    let (id, long) = begun(&server).await;
    assert_eq!(post(&server, id, 0, b"a").await, 200);
    let mut end = server.accept().await;
    assert_eq!(read(&mut end, 1).await, b"a");
    drop(long);
    assert_eq!(within(end.read(&mut [0])).await.unwrap(), 0);
    server.empty().await;
}

#[tokio::test]
async fn a_post_that_waits_is_told_when_the_session_ends() {
    let mut server = Server::new().await;
    let (id, mut long) = begun(&server).await;
    assert_eq!(post(&server, id, 0, b"a").await, 200);
    let end = server.accept().await;
    // Its turn never comes.
    let (status, ()) = tokio::join!(post(&server, id, 2, b"c"), async {
        eventually(|| server.connections() == 3).await;
        drop(end);
    });
    assert!([404, 410].contains(&status), "{status}");
    assert!(long.ends().await);
    server.empty().await;
}

#[tokio::test]
async fn sessions_that_are_half_open_are_bounded_and_the_oldest_gives_way() {
    let wide = Bounds {
        connections_per_address: usize::MAX,
        ..Bounds::default()
    };
    let (table, opened) = Table::new(Door::new(wide, Proxies::default()));
    let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    let mut first = None;
    for _ in 0..2000 {
        let id = Id::random().unwrap();
        first.get_or_insert(id);
        assert!(table.begin(id, Mode::Finite, peer).is_some());
        assert!(table.len() <= table::MOST_HALF_OPEN);
    }
    assert!(table.find(first.unwrap()).is_none());
    eventually(|| table.tasks() <= table::MOST_HALF_OPEN).await;
    drop(opened);
    eventually(|| table.len() == 0 && table.tasks() == 0).await;
    assert!(
        table
            .begin(Id::random().unwrap(), Mode::Finite, peer)
            .is_none()
    );
}
