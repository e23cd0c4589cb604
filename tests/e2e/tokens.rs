//! Tokens over real links: who is let in on each way, who is not and why, and who is cut off.

use std::{
    sync::{Arc, Mutex},
    time::{Instant, SystemTime},
};

use bytes::Bytes;
use tempfile::TempDir;
use tunnelcast::{
    client::Words,
    config::{Serve, Watch},
    error::{Error, Status},
    media::Role,
    session::{
        CloseReason,
        client::{Event, Opening, Session, Want},
    },
    transport::{Exporter, First, Kind, race::Ways},
    trust::{Link, Secret, Token, TokenStore, Tokens},
    wire::{CloseCode, PublishInfo, PublisherKey, Text},
};

use crate::support::{CARD, Program, Raw, TestServer, TestViewer, serve, watch};

/// A server's tokens, and a server that has them.
struct Rig {
    _dir: TempDir,
    store: TokenStore,
    server: TestServer,
}

impl Rig {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config: Serve = serve(CARD);
        let state = dir.path().join("state");
        config.access.state = Some(state.clone());
        let server = TestServer::start(config).await;
        Self {
            _dir: dir,
            store: TokenStore::new(state),
            server,
        }
    }

    /// A link with another token, which the server knows once it has looked again.
    fn link(&self, role: Role, change: impl FnOnce(&mut Token)) -> Link {
        let secret = Secret::fresh().unwrap();
        let mut token = Token::new(&secret, role, 0);
        change(&mut token);
        let added = self.store.change(|tokens| Ok(tokens.add(token)));
        assert!(added.unwrap());
        self.with(&secret.to_string())
    }

    fn with(&self, token: &str) -> Link {
        Link {
            token: Some(token.to_owned()),
            ..self.server.link().clone()
        }
    }

    fn revoke(&self, link: &Link) {
        let secret: Secret = link.token.as_deref().unwrap().parse().unwrap();
        let id = secret.id();
        self.store
            .change(|tokens| Ok(tokens.remove(id).is_some()))
            .unwrap();
    }

    /// Waits until the server has seen every change so far: it lets in by a token that was made behind them.
    async fn settled(&self) {
        let last = self.link(Role::Watch, |_| {});
        loop {
            match closed(&last).await {
                None => return,
                Some((CloseCode::Unauthorized | CloseCode::Busy, _)) => {}
                Some(other) => panic!("{other:?}"),
            }
        }
    }
}

fn over(link: &Link, kind: Kind) -> Watch {
    Watch {
        ways: Ways::Only(kind),
        ..watch(link)
    }
}

fn seconds() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap().as_secs()
}

/// Why the server sends away whoever comes with this link; `None` if it lets him in.
async fn closed(link: &Link) -> Option<(CloseCode, String)> {
    of(Raw::connect(link).await).await
}

async fn of(mut raw: Raw) -> Option<(CloseCode, String)> {
    let event = raw.event().await;
    if let Event::Welcome(_) = event {
        return None;
    }
    let Event::Closed(CloseReason::Peer { code, reason }) = event else {
        panic!("{event:?}");
    };
    Some((code, reason.as_str().to_owned()))
}

fn refused(ended: Result<tunnelcast::playback::Summary, Error>) -> (CloseCode, String) {
    let err = ended.unwrap_err();
    assert_eq!(err.status(), Status::Refused);
    let words = err.to_string();
    let Error::Refused { code, .. } = err else {
        panic!("{words}");
    };
    (code, words)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_every_way_a_good_token_plays_and_every_other_is_told_what_it_lacks() {
    for kind in Kind::ALL {
        let rig = Rig::new().await;
        let publish = rig.link(Role::Publish, |_| {});
        let admin = rig.link(Role::Admin, |_| {});
        let elsewhere = rig.link(Role::Watch, |token| token.streams = "cam*".parse().unwrap());
        let over_by_now = rig.link(Role::Watch, |token| token.expires = Some(1));
        rig.settled().await;

        let mut viewer = TestViewer::start(over(rig.server.link(), kind));
        assert_eq!(viewer.connected().await.transport, kind.name());
        viewer.frames(5).await;

        let unknown = rig.with(&Secret::fresh().unwrap().to_string());
        let none = Link {
            token: None,
            ..rig.server.link().clone()
        };
        for (link, code, words) in [
            (&unknown, CloseCode::Unauthorized, "new link"),
            (&none, CloseCode::Unauthorized, "'watch'"),
            (&over_by_now, CloseCode::Unauthorized, "time"),
            (&publish, CloseCode::Forbidden, "'watch'"),
            (&admin, CloseCode::Forbidden, "'watch'"),
            (&elsewhere, CloseCode::Forbidden, "cam*"),
        ] {
            let ended = TestViewer::start(over(link, kind)).end().await;
            let (was, said) = refused(ended);
            assert_eq!(was, code, "{kind}: {said}");
            assert!(said.contains(words), "{kind}: {said}");
        }
        viewer.frames(5).await;
        viewer.stop().await;
        rig.server.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_plays_by_a_token_that_is_taken_back_is_cut_off_on_every_way_with_his_standby() {
    let rig = Rig::new().await;
    let links: Vec<Link> = Kind::ALL
        .iter()
        .map(|_| rig.link(Role::Watch, |_| {}))
        .collect();
    let standby = rig.link(Role::Watch, |_| {});
    rig.settled().await;
    let mut viewers = Vec::new();
    for (kind, link) in Kind::ALL.into_iter().zip(&links) {
        let mut viewer = TestViewer::start(over(link, kind));
        viewer.frames(3).await;
        viewers.push(viewer);
    }
    let mut both = TestViewer::start(watch(&standby));
    both.frames(3).await;
    let mut unharmed = TestViewer::start(watch(rig.server.link()));
    unharmed.frames(3).await;

    let began = Instant::now();
    for link in links.iter().chain([&standby]) {
        rig.revoke(link);
    }
    for viewer in viewers.into_iter().chain([both]) {
        let (code, words) = refused(viewer.end().await);
        assert_eq!(code, CloseCode::Revoked, "{words}");
        assert!(words.contains("taken back"), "{words}");
        println!("cut off after {:?}", began.elapsed());
    }
    unharmed.frames(5).await;
    unharmed.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_plays_when_his_token_s_time_is_over_is_cut_off_then() {
    let rig = Rig::new().await;
    let link = rig.link(Role::Watch, |token| token.expires = Some(seconds() + 4));
    rig.settled().await;
    let mut viewer = TestViewer::start(watch(&link));
    viewer.frames(1).await;
    let (code, words) = refused(viewer.end().await);
    assert_eq!(code, CloseCode::Revoked, "{words}");
    assert!(words.contains("time"), "{words}");
}

/// Says, and keeps, what it said.
struct Kept {
    words: Words,
    said: Arc<Mutex<Option<Bytes>>>,
}

impl First for Kept {
    fn bytes(&self, exporter: Option<Exporter>) -> Bytes {
        let bytes = self.words.bytes(exporter);
        *self.said.lock().unwrap() = Some(bytes.clone());
        bytes
    }
}

fn opening() -> (Session, Opening) {
    let want = Want {
        agent: Text::new("e2e"),
        ..Want::default()
    };
    let mut session = Session::new(want, Instant::now());
    let opening = session.opening(Instant::now()).unwrap();
    (session, opening)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_said_on_one_link_is_worth_nothing_on_another() {
    let rig = Rig::new().await;
    let link = rig.server.link();
    let token = link.token.as_deref().unwrap().parse().unwrap();
    let (session, first) = opening();
    let said = Arc::new(Mutex::new(None));
    let kept = Kept {
        words: Words::new(first, Some(token)),
        said: Arc::clone(&said),
    };
    assert_eq!(of(Raw::saying(link, &kept, session).await).await, None);
    let said: Bytes = said.lock().unwrap().clone().unwrap();
    let (session, _) = opening();
    let (code, words) = of(Raw::saying(link, &said, session).await).await.unwrap();
    assert_eq!(code, CloseCode::Unauthorized, "{words}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_takes_as_many_viewers_as_it_is_for_and_lists_no_other_stream() {
    let rig = Rig::new().await;
    let link = rig.link(Role::Watch, |token| {
        token.max_viewers = Some(1);
        token.streams = "l?ve".parse().unwrap();
    });
    let nothing = rig.link(Role::Watch, |token| token.streams = "door".parse().unwrap());
    rig.settled().await;
    let mut first = Raw::connect(&link).await;
    assert!(matches!(first.event().await, Event::Welcome(welcome) if welcome.streams.len() == 1));
    let (code, words) = closed(&link).await.unwrap();
    assert_eq!(code, CloseCode::Busy, "{words}");
    drop(first);
    while closed(&link).await.is_some() {}
    let mut other = Raw::connect(&nothing).await;
    assert!(matches!(other.event().await, Event::Welcome(welcome) if welcome.streams.is_empty()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_list_of_tokens_changes_nothing_until_it_is_mended() {
    let rig = Rig::new().await;
    let link = rig.link(Role::Watch, |_| {});
    rig.settled().await;
    let mut viewer = TestViewer::start(watch(&link));
    viewer.frames(3).await;
    let good = std::fs::read(rig.store.path()).unwrap();
    for bad in [&b""[..], b"{}", &good[..good.len() / 2], &[0xff; 100]] {
        std::fs::write(rig.store.path(), bad).unwrap();
        viewer.frames(15).await;
        assert_eq!(closed(&link).await, None);
    }
    std::fs::remove_file(rig.store.path()).unwrap();
    viewer.frames(15).await;
    let mut tokens = Tokens::from_json(&good).unwrap();
    let secret: Secret = link.token.as_deref().unwrap().parse().unwrap();
    assert!(tokens.remove(secret.id()).is_some());
    std::fs::write(rig.store.path(), tokens.to_json()).unwrap();
    // Written by hand, it is not its owner's alone. When that is mended it counts, though nothing else is new of it.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        viewer.frames(15).await;
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(rig.store.path(), private).unwrap();
    }
    assert_eq!(refused(viewer.end().await).0, CloseCode::Revoked);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_server_lets_anybody_watch_and_nobody_publish() {
    let mut config = serve(CARD);
    config.access.open = true;
    let server = TestServer::start(config).await;
    assert_eq!(server.link().token, None);
    let mut viewer = TestViewer::start(watch(server.link()));
    viewer.frames(3).await;
    viewer.stop().await;
    let want = Want {
        role: Role::Publish,
        publish: Some(PublishInfo {
            stream: "mine".parse().unwrap(),
            video: true,
            audio: false,
            take_over: false,
            key: PublisherKey::from_bytes([1; 16]),
            level: None,
        }),
        ..Want::default()
    };
    let (code, words) = of(Raw::knock(server.link(), want).await).await.unwrap();
    assert_eq!(code, CloseCode::Unauthorized);
    assert!(words.contains("'publish'"), "{words}");
}

#[test]
fn the_program_makes_lists_and_takes_back_tokens_and_its_links_stay_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let (certs, state) = (dir.path().join("certs"), dir.path().join("state"));
    let shown = state.display().to_string();
    let options = format!("--video {CARD} --audio none --state {shown}");
    let mut server = Program::start(&format!(
        "serve --listen 127.0.0.1:0 --certs {} {options}",
        certs.display()
    ));
    let listening = server.event("listening");
    let link: Link = listening["link"].as_str().unwrap().parse().unwrap();
    let publish = listening["publish_link"].as_str().unwrap();
    assert!(publish.contains("&t="), "{publish}");

    let certs_shown = certs.display().to_string();
    let token =
        |arguments: &str| Program::start(&format!("token {arguments} --state {shown}")).end();
    let made = token(&format!(
        "new --role watch --stream live* --ttl 1h --max-viewers 3 --max-bitrate 5M --name garden --certs {certs_shown} --link {}",
        Link {
            token: None,
            ..link.clone()
        }
    ));
    assert_eq!(made.status, Some(0), "{made:?}");
    let made = &made.events[0];
    let theirs: Link = made["link"].as_str().unwrap().parse().unwrap();
    assert_eq!(theirs.token.as_deref(), made["token"].as_str());
    assert_eq!((theirs.pin, theirs.port), (link.pin, link.port));
    let mut viewer = Program::watch(&theirs, "--no-audio");
    viewer.event("connected");

    // A limit that would bind nobody.
    token("new --role admin --stream live").says(2, "for the whole server");
    token("new --role publish --max-viewers 3").says(2, "for the role 'watch'");
    token("new --role control --max-bitrate 5M").says(2, "'watch' and 'publish'");

    let list = token("list");
    let list = list.events[0]["tokens"].as_array().unwrap().clone();
    assert_eq!(list.len(), 3, "{list:?}");
    assert_eq!(list[2]["name"], "garden");
    assert_eq!(list[2]["streams"], "live*");
    assert!(list.iter().all(|token| token.get("key").is_none()));

    let id = made["id"].as_str().unwrap();
    assert_eq!(token(&format!("revoke {id}")).status, Some(0));
    let ended = viewer.end();
    ended.says(3, "taken back");
    token(&format!("revoke {id}")).says(2, "there is no token");
    assert_eq!(token("revoke nonsense").status, Some(2));
    drop(server);

    let (_server, again) = Program::serve(&certs, &options);
    assert_eq!(again.token, link.token);
    assert_eq!(again.pin, link.pin);
    let secret = link.token.unwrap();
    let stored = std::fs::read_to_string(state.join("tokens.json")).unwrap();
    assert!(!stored.contains(&secret));
}
