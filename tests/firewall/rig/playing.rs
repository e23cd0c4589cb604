//! Servers and viewers in their namespaces.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Ended, NAME, Net, Program, SERVER, Side};

/// A running `serve` behind the box.
pub(crate) struct Serving {
    pub(crate) program: Program,
    /// As it printed it.
    pub(crate) link: String,
    /// The one for publishers.
    pub(crate) publish_link: String,
}

impl Serving {
    /// On its own address, with a small test card and the tone.
    pub(crate) fn start(net: &Net) -> Self {
        Self::at(net, SERVER, "")
    }

    /// The same under its name.
    pub(crate) fn named(net: &Net) -> Self {
        Self::at(net, NAME, "")
    }

    /// With this host in the link, and more options, split at blanks.
    pub(crate) fn at(net: &Net, host: &str, options: &str) -> Self {
        let card = if options.contains("--video") {
            ""
        } else {
            CARD
        };
        let keys = if options.contains("--cert ") {
            Vec::new()
        } else {
            vec![
                "--certs".to_owned(),
                net.dir().join("certs").display().to_string(),
            ]
        };
        let listen = format!("{SERVER}:443");
        let mut command = net.command(Side::Server, env!("CARGO_BIN_EXE_tunnelcast"));
        command
            .args(["--json", "serve", "--listen", &listen, "--host", host])
            .arg("--state")
            .arg(net.dir().join("state"))
            .args(keys)
            .args(format!("{card} {options}").split_whitespace())
            .env_remove("TUNNELCAST_LOG");
        let mut program = Program::spawn(command);
        let listening = program.event("listening");
        let printed = |name: &str| listening[name].as_str().unwrap_or_default().to_owned();
        let (link, publish_link) = (printed("link"), printed("publish_link"));
        Self {
            program,
            link,
            publish_link,
        }
    }

    /// What stands behind the link's `#` and is nobody else's business: the key's hash, and the token where there is one.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &str> {
        let (_, fragment) = self.link.split_once('#').unwrap();
        fragment.split('&').map(|pair| &pair[2..])
    }

    /// The address of the first viewer that watches, as the server says it.
    pub(crate) fn viewer(&mut self) -> String {
        let is = |event: &Value| event["event"] == "viewer" && event["state"] == "watching";
        let event = self.program.event_where(is).unwrap();
        event["addr"].as_str().unwrap().to_owned()
    }
}

/// How somebody watches, or publishes.
pub(crate) struct Play<'a> {
    net: &'a Net,
    side: Side,
    link: String,
    options: Vec<String>,
    environment: Vec<(String, String)>,
    networks: PathBuf,
}

impl<'a> Play<'a> {
    /// Headless, with nothing known of the network.
    pub(crate) fn new(net: &'a Net, link: &str) -> Self {
        Self {
            net,
            side: Side::Client,
            link: link.to_owned(),
            options: Vec::new(),
            environment: Vec::new(),
            // What one viewer finds out of this network must not steer another.
            networks: Path::new("/dev/null/networks").to_owned(),
        }
    }

    /// On that side instead of the viewers'.
    pub(crate) fn from(mut self, side: Side) -> Self {
        self.side = side;
        self
    }

    /// With more options, split at blanks; a proxy's user and password go where they belong, into the environment.
    pub(crate) fn with(mut self, options: &str) -> Self {
        for option in options.split_whitespace() {
            let Some((said, place)) = option.rsplit_once('@') else {
                self.options.push(option.to_owned());
                continue;
            };
            let (scheme, who) = said.split_once("://").unwrap();
            let (user, password) = who.split_once(':').unwrap();
            self.options.push(format!("{scheme}://{place}"));
            self = self
                .env("TUNNELCAST_PROXY_USER", user)
                .env("TUNNELCAST_PROXY_PASSWORD", password);
        }
        self
    }

    /// With this in the environment.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With the system's trust in this certificate and no other.
    pub(crate) fn trusting(self, certificate: &Path) -> Self {
        self.env("SSL_CERT_FILE", certificate.to_str().unwrap())
    }

    /// With this memory of networks.
    pub(crate) fn remembering(mut self, networks: &Path) -> Self {
        self.networks = networks.to_owned();
        self
    }

    /// Begins to watch.
    pub(crate) fn start(self) -> Program {
        self.run(&["watch", "--headless"])
    }

    /// Publishes a small test card and the tone under this name instead.
    pub(crate) fn publish(mut self, name: &str) -> Program {
        let card = CARD.split_whitespace().map(str::to_owned);
        self.options.extend(card);
        self.run(&["publish", "--name", name])
    }

    fn run(self, verb: &[&str]) -> Program {
        let mut command = self
            .net
            .command(self.side, env!("CARGO_BIN_EXE_tunnelcast"));
        command
            .arg("--json")
            .args(verb)
            .arg(&self.link)
            .arg("--networks")
            .arg(&self.networks)
            .args(&self.options)
            .env_remove("TUNNELCAST_LOG")
            .envs(self.environment);
        if !self
            .options
            .iter()
            .any(|option| option == "--known-servers")
        {
            command.args(["--known-servers", "/dev/null/servers"]);
        }
        Program::spawn(command)
    }

    /// Plays for a few seconds.
    pub(crate) fn seconds(self, seconds: u32) -> Ended {
        self.with(&format!("--duration {seconds}s")).start().end()
    }

    /// Plays for three seconds over this way, all well.
    #[track_caller]
    pub(crate) fn over(self, way: &str) -> Ended {
        let ended = self.seconds(3);
        ended.played(way);
        ended
    }
}

impl Ended {
    /// It has played over this way from the start to the end, with sound.
    #[track_caller]
    pub(crate) fn played(&self, way: &str) {
        assert_eq!(self.status, Some(0), "{self:?}");
        assert_eq!(self.connected()["transport"], way, "{self:?}");
        let summary = self.summary();
        assert_eq!(summary["transport"], way, "{summary}");
        assert!(summary["frames_shown"].as_u64().unwrap() >= 20, "{summary}");
        assert!(
            summary["audio_packets"].as_u64().unwrap() >= 20,
            "{summary}"
        );
    }

    /// How it was connected first.
    #[track_caller]
    pub(crate) fn connected(&self) -> &Value {
        let found = self
            .events
            .iter()
            .find(|event| event["event"] == "connected");
        found.unwrap_or_else(|| panic!("never connected: {self:?}"))
    }

    /// It was sent away with one of these exit statuses and one line, which is given.
    #[track_caller]
    pub(crate) fn sent_away(&self, statuses: &[i32]) -> &str {
        assert!(
            self.status.is_some_and(|status| statuses.contains(&status)),
            "{self:?}"
        );
        let lines: Vec<_> = self
            .words
            .lines()
            .filter(|line| line.starts_with("tunnelcast: "))
            .collect();
        let [line] = lines[..] else {
            panic!("not one line: {self:?}");
        };
        line
    }
}

const CARD: &str = "--video testcard:320x192@25 --audio tone";
