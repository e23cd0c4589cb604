//! Explicit proxies: nothing leaves the office but through them, and they alone know names.

use super::{Kind, Standing, answers, office};
use crate::rig::{Authority, BOX, Daemon, NAME, Net, SERVER, Side, Squid};

/// Nothing leaves but through the proxy, which alone knows names and leads to port 443 and to no other.
pub(crate) const SQUID: Kind = Kind {
    name: "squid, CONNECT to 443",
    needs: &["squid", "curl"],
    way: "tls",
    build: |net| {
        let serving = office(net);
        let squid = Squid::start(net, "");
        let url = format!("https://{NAME}/");
        answers(net, &["--proxy", HTTP_PROXY, &url]);
        let (status, said) = net.curl(&[
            "-k",
            "--proxy",
            HTTP_PROXY,
            &format!("https://{NAME}:8443/"),
        ]);
        assert_eq!(status, Some(56), "another port: {said}");
        let (status, said) = net.curl(&["-k", "--max-time", "2", &format!("https://{SERVER}/")]);
        assert_eq!(status, Some(28), "without the proxy: {said}");
        let (status, said) = net.curl(&["-k", &url]);
        assert_eq!(status, Some(6), "the name is not known: {said}");
        Standing::behind(serving, squid).told(HTTP_PROXY)
    },
};

/// The way to the proxy itself is TLS, as its name and the office's authority say.
pub(crate) const SQUID_IN_TLS: Kind = Kind {
    name: "squid, spoken to in TLS",
    needs: &["squid", "curl"],
    way: "tls",
    build: |net| {
        let serving = office(net);
        net.names(Side::Client, &format!("{BOX} {PROXY_NAME}"));
        let authority = Authority::new(net, "Office");
        let own = authority.issue(net, PROXY_NAME);
        let squid = Squid::in_tls(net, &own);
        let proxy = format!("https://{PROXY_NAME}:3129");
        let trust = authority.cert.to_str().unwrap();
        let arguments = ["--proxy-cacert", trust, "--proxy", &proxy];
        answers(
            net,
            &[&arguments[..], &[&format!("https://{NAME}/")]].concat(),
        );
        Standing::behind(serving, squid)
            .told(&proxy)
            .trusting(authority)
    },
};

pub(crate) const BASIC: Kind = Kind {
    name: "squid, Basic",
    needs: &["squid", "curl", "openssl", "/usr/lib/squid/basic_ncsa_auth"],
    way: "tls",
    build: |net| {
        let hash = net.run(Side::Box, &["openssl", "passwd", "-apr1", PASSWORD]);
        let hash = String::from_utf8(hash.stdout).unwrap();
        let file = net.file("passwords", &format!("{USER}:{hash}"));
        let lines = format!(
            "auth_param basic program {HELPERS}/basic_ncsa_auth {}",
            file.display()
        );
        asking(net, "--proxy-basic", &lines)
    },
};

pub(crate) const DIGEST: Kind = Kind {
    name: "squid, Digest",
    needs: &["squid", "curl", "/usr/lib/squid/digest_file_auth"],
    way: "tls",
    build: |net| {
        asking(
            net,
            "--proxy-digest",
            &format!(
                "auth_param digest program {HELPERS}/digest_file_auth {}\nauth_param digest realm office",
                net.file("passwords", &format!("{USER}:{PASSWORD}\n"))
                    .display()
            ),
        )
    },
};

pub(crate) const NTLM: Kind = Kind {
    name: "squid, NTLM",
    needs: &["squid", "curl", "/usr/bin/python3"],
    way: "tls",
    build: |net| {
        // The proxy's own user may not read where this source is.
        let helper = net.file("ntlm.py", include_str!("../../rigs/proxy/ntlm.py"));
        let helper = helper.display();
        asking(
            net,
            "--proxy-ntlm",
            &format!("auth_param ntlm program /usr/bin/python3 {helper} {USER} {PASSWORD}"),
        )
    },
};

pub(crate) const TINYPROXY: Kind = Kind {
    name: "tinyproxy",
    needs: &["tinyproxy", "curl"],
    way: "tls",
    build: |net| {
        let serving = office(net);
        let conf = "Port 8888\nListen 10.77.1.1\nTimeout 600\nMaxClients 20\nConnectPort 443\nLogLevel Info\n";
        let conf = net.file("tinyproxy.conf", conf);
        let arguments = ["tinyproxy", "-d", "-c", conf.to_str().unwrap()];
        let daemon = Daemon::listening(net, Side::Box, &arguments, 8888);
        let proxy = format!("http://{BOX}:8888");
        answers(net, &["--proxy", &proxy, &format!("https://{NAME}/")]);
        Standing::new(serving, vec![daemon]).told(&proxy)
    },
};

pub(crate) const MICROSOCKS: Kind = Kind {
    name: "microsocks, with a password",
    needs: &["microsocks", "curl"],
    way: "tls",
    build: |net| {
        let serving = office(net);
        let arguments = [
            "microsocks",
            "-i",
            BOX,
            "-p",
            "1080",
            "-u",
            USER,
            "-P",
            PASSWORD,
        ];
        let daemon = Daemon::listening(net, Side::Box, &arguments, 1080);
        let proxy = format!("socks5h://{USER}:{PASSWORD}@{BOX}:1080");
        let url = format!("https://{NAME}/");
        answers(net, &["--proxy", &proxy, &url]);
        let (status, said) = net.curl(&["-k", "--proxy", &format!("socks5h://{BOX}:1080"), &url]);
        assert_eq!(status, Some(97), "without a password: {said}");
        Standing::new(serving, vec![daemon]).told(&proxy)
    },
};

pub(crate) const DANTE: Kind = Kind {
    name: "dante",
    needs: &["danted", "curl"],
    way: "tls",
    build: |net| {
        let serving = office(net);
        let conf = "logoutput: stderr
internal: 10.77.1.1 port = 1080
external: 10.77.2.1
socksmethod: none
clientmethod: none
user.privileged: root
user.unprivileged: nobody
client pass {
  from: 0.0.0.0/0 to: 0.0.0.0/0
}
socks pass {
  from: 0.0.0.0/0 to: 0.0.0.0/0
  protocol: tcp
  command: connect
}
";
        let conf = net.file("danted.conf", conf);
        let arguments = ["danted", "-f", conf.to_str().unwrap()];
        let daemon = Daemon::listening(net, Side::Box, &arguments, 1080);
        // Without a user: the name of the scheme says who resolves.
        let proxy = format!("socks5h://{BOX}:1080");
        answers(net, &["--proxy", &proxy, &format!("https://{NAME}/")]);
        Standing::new(serving, vec![daemon]).told(&proxy)
    },
};

/// Who may use the proxy.
pub(crate) const USER: &str = "ann";
/// Her password.
pub(crate) const PASSWORD: &str = "s3cret-of-ann";
/// squid in the box.
pub(crate) const HTTP_PROXY: &str = "http://10.77.1.1:3128";

/// The proxy's own name.
pub(super) const PROXY_NAME: &str = "proxy.office.example";

pub(super) const HELPERS: &str = "/usr/lib/squid";

/// A proxy that wants a password.
fn asking(net: &Net, how: &str, lines: &str) -> Standing {
    let serving = office(net);
    let squid = Squid::start(
        net,
        &format!("{lines}\nacl known proxy_auth REQUIRED\nhttp_access deny !known"),
    );
    let url = format!("https://{NAME}/");
    let with = |password: &str| {
        let user = format!("{USER}:{password}");
        net.curl(&[
            "-k",
            how,
            "--proxy-user",
            &user,
            "--proxy",
            HTTP_PROXY,
            &url,
        ])
    };
    let (right, said) = with(PASSWORD);
    assert!(right == Some(0) && said.contains("tunnelcast"), "{said}");
    let (wrong, said) = with("wrong");
    assert!(wrong == Some(56) && said.contains("407"), "{said}");
    let proxy = HTTP_PROXY.replace("//", &format!("//{USER}:{PASSWORD}@"));
    Standing::behind(serving, squid).told(&proxy)
}
