//! Asking a server who is there, and sending people away.

use std::sync::Arc;

use tunnelcast::{
    client::{self, Ask},
    config::Watch,
    error::Error,
    media::Role,
    transport::{Kind, race::Ways},
    trust::{Link, Secret, Seen, Token, TokenStore},
    wire::{Answer, CloseCode, Command, Text},
};

use crate::support::{CARD, Program, TestServer, TestViewer, serve, soon, watch};

struct Nobody;

impl Ask for Nobody {
    fn accept(&self, _: &str, _: u16, _: &Seen) -> Result<bool, &'static str> {
        Err("nobody is there to ask")
    }
}

/// A server that has a token of each role before it starts, and the links of these.
async fn server() -> (tempfile::TempDir, TestServer, Vec<(Role, Link)>) {
    let dir = tempfile::tempdir().unwrap();
    let store = TokenStore::new(dir.path());
    let secrets = Role::ALL.map(|role| (role, Secret::fresh().unwrap()));
    for (role, secret) in &secrets {
        let token = Token::new(secret, *role, 0);
        assert!(store.change(|tokens| Ok(tokens.add(token))).unwrap());
    }
    let mut config = serve(CARD);
    config.access.state = Some(dir.path().to_path_buf());
    let server = TestServer::start(config).await;
    let links = secrets.map(|(role, secret)| {
        let token = Some(secret.to_string());
        let link = Link {
            token,
            ..server.link().clone()
        };
        (role, link)
    });
    (dir, server, links.into())
}

fn of(links: &[(Role, Link)], wanted: Role) -> &Link {
    let (_, link) = links.iter().find(|(role, _)| *role == wanted).unwrap();
    link
}

async fn ask(config: Watch, role: Role, what: &str, arg: &str) -> Result<Answer, Error> {
    let command = Command {
        id: 1,
        what: Text::new(what),
        arg: Text::new(arg),
        from: 0,
    };
    soon(
        "an answer",
        client::ctl(&config, role, command, Arc::new(Nobody)),
    )
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_administrator_sees_who_is_there_on_every_way_and_sends_them_away() {
    let (_dir, server, links) = server().await;
    let admin = of(&links, Role::Admin);
    for kind in Kind::ALL {
        let watching = Watch {
            ways: Ways::Only(kind),
            ..watch(of(&links, Role::Watch))
        };
        let mut viewer = TestViewer::start(watching);
        viewer.frames(3).await;
        let over = || Watch {
            ways: Ways::Only(kind),
            ..watch(admin)
        };
        let answer = ask(over(), Role::Admin, "list", "").await.unwrap();
        assert_eq!(answer.viewers.len(), 1, "{answer:?}");
        let seen = &answer.viewers[0];
        assert_eq!(seen.transport.as_str(), kind.name());
        assert_eq!(seen.stream.as_ref().unwrap().as_str(), "live");
        let secret: Secret = of(&links, Role::Watch)
            .token
            .as_deref()
            .unwrap()
            .parse()
            .unwrap();
        assert_eq!(seen.token, Some(secret.id()));
        let streams = ask(over(), Role::Control, "streams", "").await.unwrap();
        assert_eq!(streams.streams[0].viewers, 1, "{streams:?}");
        let info = ask(over(), Role::Admin, "info", "").await.unwrap();
        assert_eq!(info.info.unwrap().viewers, 1);
        ask(over(), Role::Admin, "kick", &seen.id.to_string())
            .await
            .unwrap();
        match viewer.end().await {
            Err(Error::Refused { code, .. }) => assert_eq!(code, CloseCode::Dismissed),
            other => panic!("{other:?}"),
        }
    }
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_else_may_ask_and_each_is_told_what_it_takes() {
    let (_dir, _server, links) = server().await;
    let control = of(&links, Role::Control);
    assert!(
        ask(watch(control), Role::Control, "streams", "")
            .await
            .is_ok()
    );
    for (link, role, what) in [
        (control, Role::Control, "list"),
        (control, Role::Control, "kick"),
        (control, Role::Admin, "list"),
        (of(&links, Role::Watch), Role::Admin, "list"),
        (of(&links, Role::Watch), Role::Watch, "list"),
        (of(&links, Role::Publish), Role::Admin, "info"),
    ] {
        match ask(watch(link), role, what, "1").await {
            Err(Error::Refused { code, reason }) => {
                assert_eq!(code, CloseCode::Forbidden, "{reason}");
                assert!(reason.contains("'admin'"), "{reason}");
            }
            other => panic!("{what}: {other:?}"),
        }
    }
    let admin = of(&links, Role::Admin);
    for (what, arg, words) in [
        ("dance", "", "knows no 'dance'"),
        ("kick", "7", "no viewer '7'"),
        ("kick", "everybody", "no viewer"),
        ("revoke", "nonsense", "11 letters"),
        ("revoke", "AAAAAAAAAAA", "no token"),
    ] {
        match ask(watch(admin), Role::Admin, what, arg).await {
            Err(Error::Refused { reason, .. }) => assert!(reason.contains(words), "{reason}"),
            other => panic!("{what}: {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_administrator_takes_back_is_gone_at_once_and_from_the_file() {
    let (dir, _server, links) = server().await;
    let theirs = of(&links, Role::Watch);
    let mut viewer = TestViewer::start(watch(theirs));
    viewer.frames(3).await;
    let secret: Secret = theirs.token.as_deref().unwrap().parse().unwrap();
    let admin = of(&links, Role::Admin).to_string();
    let id = secret.id();
    let ended = tokio::task::spawn_blocking(move || {
        Program::with(
            [
                "ctl",
                &admin,
                "--networks",
                "/dev/null/networks",
                "revoke",
                &id.to_string(),
            ],
            |_| {},
        )
        .end()
    });
    let ended = ended.await.unwrap();
    assert_eq!(ended.status, Some(0), "{ended:?}");
    match viewer.end().await {
        Err(Error::Refused { code, .. }) => assert_eq!(code, CloseCode::Revoked),
        other => panic!("{other:?}"),
    }
    let tokens = TokenStore::new(dir.path()).read().unwrap().unwrap();
    assert!(tokens.find(id).is_none());
}
