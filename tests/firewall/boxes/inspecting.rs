//! Boxes that end TLS and open another, or that could.

use super::{HTTP_PROXY, Kind, Standing, answers, office};
use crate::rig::{Authority, BOX, Daemon, NAME, Net, SERVER, Serving, Side, Squid};

/// Ends TLS, with the office's authority, and opens another; all else as squid comes.
pub(crate) const INSPECTION: Kind = Kind {
    name: "squid, inspection",
    needs: SQUID_INSPECTING,
    way: "http",
    build: |net| explicit(net, vouched_for(net), "ssl_bump bump all"),
};

pub(crate) const INSPECTION_UPGRADES: Kind = Kind {
    name: "squid, inspection, WebSocket allowed",
    needs: SQUID_INSPECTING,
    way: "websocket",
    build: |net| {
        let lines = "ssl_bump bump all\nhttp_upgrade_request_protocols websocket allow all";
        explicit(net, vouched_for(net), lines)
    },
};

/// Takes any server's certificate, and shows its own with the same words in it.
pub(crate) const IMITATION: Kind = Kind {
    name: "squid, inspection, any server",
    needs: SQUID_INSPECTING,
    way: "http",
    build: |net| {
        let lines = "ssl_bump bump all\nsslproxy_cert_error allow all";
        explicit(net, (Serving::named(net), String::new()), lines)
    },
};

/// In the way of all that leaves, without anybody being told.
pub(crate) const INTERCEPTION: Kind = Kind {
    name: "squid, inspection that is in the way",
    needs: SQUID_INSPECTING,
    way: "http",
    build: |net| {
        net.names(Side::Box, &format!("{SERVER} {NAME}"));
        // Nobody connects to a name without an address.
        net.names(Side::Client, &format!("{SERVER} {NAME}"));
        let (serving, trust) = vouched_for(net);
        let authority = Authority::new(net, AUTHORITY);
        let squid = Squid::intercepting(net, &authority, &format!("ssl_bump bump all\n{trust}"));
        let said = answers(net, &["--verbose", &format!("https://{NAME}/")]);
        assert!(said.contains(AUTHORITY), "{said}");
        Standing::behind(serving, squid).trusting(authority)
    },
};

/// Looks at the handshake, and lets it pass.
pub(crate) const SPLICE: Kind = Kind {
    name: "squid that looks at names",
    needs: SQUID_INSPECTING,
    way: "tls",
    build: |net| {
        let serving = office(net);
        let authority = Authority::new(net, AUTHORITY);
        let lines = "acl step1 at_step SslBump1\nssl_bump peek step1\nssl_bump splice all";
        let squid = Squid::inspecting(net, &authority, lines);
        let url = format!("https://{NAME}/");
        let said = answers(net, &["--verbose", "--proxy", HTTP_PROXY, &url]);
        assert!(!said.contains(AUTHORITY), "{said}");
        Standing::behind(serving, squid)
            .told(HTTP_PROXY)
            .trusting(authority)
    },
};

/// Inspection that wants servers to be vouched for, and one that is not: what `curl` gets is the box's own page.
pub(crate) const REFUSAL: Kind = Kind {
    name: "squid, inspection, servers must be vouched for",
    needs: SQUID_INSPECTING,
    way: "none",
    build: |net| {
        let serving = office(net);
        let authority = Authority::new(net, AUTHORITY);
        let squid = Squid::inspecting(net, &authority, "ssl_bump bump all");
        let url = format!("https://{NAME}/");
        let (status, said) = net.curl(&["-k", "--include", "--proxy", HTTP_PROXY, &url]);
        let refused = said.contains("503 Service Unavailable");
        assert!(status == Some(0) && refused, "{said}");
        Standing::behind(serving, squid)
            .told(HTTP_PROXY)
            .trusting(authority)
    },
};

/// An inspector that writes down all that it reads (`tests/rigs/proxy/keeper.py`): its record is `read` in the rig's
/// directory. Of a long answer it passes so many bytes on, or all of it (0).
pub(crate) fn keeper(net: &Net, keep: usize, upgrades: Upgrades) -> Standing {
    net.closed();
    net.names(Side::Client, &format!("{BOX} {NAME}"));
    let serving = Serving::named(net);
    let authority = Authority::new(net, AUTHORITY);
    let shown = authority.issue(net, NAME);
    let program = net.file("keeper.py", include_str!("../../rigs/proxy/keeper.py"));
    let (keep, record) = (keep.to_string(), net.dir().join("read"));
    let arguments = [
        "python3",
        program.to_str().unwrap(),
        BOX,
        "443",
        shown.both.to_str().unwrap(),
        SERVER,
        "443",
        record.to_str().unwrap(),
        &keep,
        match upgrades {
            Upgrades::Pass => "UPGRADE",
            Upgrades::Stripped => "",
        },
    ];
    let daemon = Daemon::listening(net, Side::Box, &arguments, 443);
    answers(net, &[&format!("https://{NAME}/")]);
    Standing::new(serving, vec![daemon]).trusting(authority)
}

/// What an inspector does to requests to upgrade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Upgrades {
    Pass,
    Stripped,
}

/// What [`keeper`] takes.
pub(crate) const KEEPER_NEEDS: &[&str] = &["python3", "curl"];

/// Who signs what inspection shows.
pub(crate) const AUTHORITY: &str = "Office Inspection";

const SQUID_INSPECTING: &[&str] = &["squid", "curl", "/usr/lib/squid/security_file_certgen"];

/// An office whose proxy inspects what it leads to the server.
fn explicit(net: &Net, (serving, trust): (Serving, String), lines: &str) -> Standing {
    net.closed();
    net.names(Side::Box, &format!("{SERVER} {NAME}"));
    let authority = Authority::new(net, AUTHORITY);
    let squid = Squid::inspecting(net, &authority, &format!("{lines}\n{trust}"));
    let url = format!("https://{NAME}/");
    let said = answers(net, &["--verbose", "--proxy", HTTP_PROXY, &url]);
    assert!(!said.contains("503"), "{said}");
    // It sees the requests inside TLS.
    squid.beyond(0, "GET https://stream.example/");
    Standing::behind(serving, squid)
        .told(HTTP_PROXY)
        .trusting(authority)
}

/// A server with a certificate of an authority, and the line with which squid trusts it, as it does those of the web.
fn vouched_for(net: &Net) -> (Serving, String) {
    let web = Authority::new(net, "Web Authority");
    let own = web.issue(net, NAME);
    let files = format!("--cert {} --key {}", own.cert.display(), own.key.display());
    let trust = format!("tls_outgoing_options cafile={}", web.cert.display());
    (Serving::at(net, NAME, &files), trust)
}
