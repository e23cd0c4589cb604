//! Every box that stands between viewer and server in these tests, and what gets through it.
//!
//! Each is shown to work by `curl` as it is built, so that a rig that does not work is told from a viewer that does not
//! get through.

mod inspecting;
mod proxies;
mod reverse;

use crate::rig::{Authority, Daemon, NAME, Net, Play, SERVER, Serving, Side, Squid};

pub(crate) use inspecting::{
    AUTHORITY, IMITATION, INSPECTION, INSPECTION_UPGRADES, INTERCEPTION, KEEPER_NEEDS, REFUSAL,
    SPLICE, Upgrades, keeper,
};
pub(crate) use proxies::{
    BASIC, DANTE, DIGEST, HTTP_PROXY, MICROSOCKS, NTLM, PASSWORD, SQUID, SQUID_IN_TLS, TINYPROXY,
    USER,
};
pub(crate) use reverse::{
    HAPROXY, HAPROXY_TCP, NGINX, NGINX_STREAM, NGINX_UPGRADES, STUNNEL, haproxy_before,
    haproxy_http_before,
};

/// One of them.
pub(crate) struct Kind {
    /// For people.
    pub(crate) name: &'static str,
    /// The programs that it takes.
    pub(crate) needs: &'static [&'static str],
    /// The way that gets through.
    pub(crate) way: &'static str,
    build: fn(&Net) -> Standing,
}

/// A box that stands, with a server behind it.
pub(crate) struct Standing {
    pub(crate) serving: Serving,
    pub(crate) squid: Option<Squid>,
    _daemons: Vec<Daemon>,
    /// The proxy of which the viewer must be told.
    proxy: Option<String>,
    /// The authority that the office's machines trust.
    authority: Option<Authority>,
}

impl Kind {
    /// A network with this box, for the test that runs on this thread; `None` where something is missing.
    pub(crate) fn stand(&self) -> Option<(Net, Standing)> {
        let net = Net::new(self.needs)?;
        let standing = (self.build)(&net);
        Some((net, standing))
    }
}

impl Standing {
    fn new(serving: Serving, daemons: Vec<Daemon>) -> Self {
        Self {
            serving,
            squid: None,
            _daemons: daemons,
            proxy: None,
            authority: None,
        }
    }

    fn behind(serving: Serving, squid: Squid) -> Self {
        let mut standing = Self::new(serving, Vec::new());
        standing.squid = Some(squid);
        standing
    }

    fn told(mut self, proxy: &str) -> Self {
        self.proxy = Some(proxy.to_owned());
        self
    }

    fn trusting(mut self, authority: Authority) -> Self {
        self.authority = Some(authority);
        self
    }

    /// A viewer who knows what a person in that office knows.
    pub(crate) fn play<'a>(&'a self, net: &'a Net) -> Play<'a> {
        self.told_all(Play::new(net, &self.serving.link))
    }

    /// A publisher who knows the same.
    pub(crate) fn publish<'a>(&'a self, net: &'a Net) -> Play<'a> {
        self.told_all(Play::new(net, &self.serving.publish_link))
    }

    fn told_all<'a>(&'a self, mut play: Play<'a>) -> Play<'a> {
        if let Some(proxy) = &self.proxy {
            play = play.with(&format!("--proxy {proxy}"));
        }
        if let Some(authority) = &self.authority {
            play = play.trusting(&authority.cert);
        }
        play
    }
}

pub(crate) const NOTHING: Kind = Kind {
    name: "nothing",
    needs: &["curl"],
    way: "quic",
    build: |net| {
        let serving = Serving::start(net);
        answers(net, &[&format!("https://{SERVER}/")]);
        Standing::new(serving, Vec::new())
    },
};

pub(crate) const NO_UDP: Kind = Kind {
    name: "firewall that drops UDP",
    needs: &["curl"],
    way: "tls",
    build: |net| {
        net.passing("meta l4proto udp drop;");
        let serving = Serving::start(net);
        answers(net, &[&format!("https://{SERVER}/")]);
        Standing::new(serving, Vec::new())
    },
};

/// All of them, for those who try each.
pub(crate) const ALL: &[Kind] = &[
    NOTHING,
    NO_UDP,
    SQUID,
    SQUID_IN_TLS,
    BASIC,
    DIGEST,
    NTLM,
    INSPECTION,
    INSPECTION_UPGRADES,
    IMITATION,
    INTERCEPTION,
    SPLICE,
    TINYPROXY,
    MICROSOCKS,
    DANTE,
    NGINX_STREAM,
    HAPROXY_TCP,
    NGINX,
    NGINX_UPGRADES,
    HAPROXY,
    STUNNEL,
];

/// A server, and an office from which nothing gets out but through the box. The server's name is known to the box alone.
pub(super) fn office(net: &Net) -> Serving {
    net.closed();
    net.names(Side::Box, &format!("{SERVER} {NAME}"));
    Serving::named(net)
}

/// One of the server's own pages is there for `curl`; all that it said.
pub(crate) fn answers(net: &Net, arguments: &[&str]) -> String {
    let (status, said) = net.curl(&[&["-k"], arguments].concat());
    let ours = ["tunnelcast", "Not found"].map(|title| format!("<title>{title}</title>"));
    let is_ours = ours.iter().any(|title| said.contains(title));
    assert!(status == Some(0) && is_ours, "{arguments:?}: {said}");
    said
}
