//! Servers in front of the server: some lead TCP through, some end TLS. The name leads to them, and nothing past them.

use super::{Kind, Standing, answers};
use crate::rig::{Authority, BOX, Daemon, NAME, Net, SERVER, Serving, Side};

pub(crate) const NGINX_STREAM: Kind = Kind {
    name: "nginx, TCP led through",
    needs: &["nginx", "curl", STREAM_MODULE],
    way: "tls",
    build: |net| {
        before(net, "", |_| {
            let conf = format!(
                "load_module {STREAM_MODULE};\n{}\n\
                 stream {{ server {{ listen {BOX}:443; proxy_pass {SERVER}:443; }} }}\n",
                nginx_head(net)
            );
            nginx(net, &conf)
        })
    },
};

pub(crate) const HAPROXY_TCP: Kind = Kind {
    name: "haproxy, TCP led through",
    needs: &["haproxy", "curl"],
    way: "tls",
    build: |net| haproxy_before(net, "", ""),
};

/// As nginx comes, but for TLS 1.3: HTTP/1.0 to the server, answers collected, no upgrade.
pub(crate) const NGINX: Kind = Kind {
    name: "nginx that ends TLS",
    needs: &["nginx", "curl"],
    way: "http",
    build: |net| before(net, "", |both| nginx_http(net, both, "")),
};

pub(crate) const NGINX_UPGRADES: Kind = Kind {
    name: "nginx that ends TLS, WebSocket set up",
    needs: &["nginx", "curl"],
    way: "websocket",
    build: |net| {
        before(net, "", |both| {
            let lines = "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; \
                         proxy_set_header Connection upgrade;";
            nginx_http(net, both, lines)
        })
    },
};

pub(crate) const HAPROXY: Kind = Kind {
    name: "haproxy that ends TLS",
    needs: &["haproxy", "curl"],
    way: "websocket",
    build: |net| haproxy_http_before(net, ""),
};

/// What it has decrypted goes over `lo`, port 8080, in the clear.
pub(crate) const STUNNEL: Kind = Kind {
    name: "stunnel",
    needs: &["stunnel", "curl"],
    way: "websocket",
    build: |net| {
        before(net, "", |both| {
            let conf = format!(
                "foreground = yes\npid =\n\
                 [in]\naccept = {BOX}:443\nconnect = 127.0.0.1:8080\ncert = {both}\n\
                 [out]\nclient = yes\naccept = 127.0.0.1:8080\nconnect = {SERVER}:443\n"
            );
            let conf = net.file("stunnel.conf", &conf);
            let arguments = ["stunnel", conf.to_str().unwrap()];
            Daemon::listening(net, Side::Box, &arguments, 443)
        })
    },
};

/// haproxy that leads TCP through, with this behind the server's address, before a server with these options.
pub(crate) fn haproxy_before(net: &Net, how: &str, options: &str) -> Standing {
    before(net, options, |_| {
        let lines = format!("mode tcp\nbind {BOX}:443\nserver s {SERVER}:443 {how}\n");
        haproxy(net, &lines)
    })
}

/// haproxy that ends TLS and says for whom, before a server with these options.
pub(crate) fn haproxy_http_before(net: &Net, options: &str) -> Standing {
    before(net, options, |both| {
        let lines = format!(
            "mode http\noption forwardfor\nbind {BOX}:443 ssl crt {both} alpn http/1.1\n\
             server s {SERVER}:443 ssl verify none\n"
        );
        haproxy(net, &lines)
    })
}

/// A server with these options, and in front of it what is made of a certificate for its name.
fn before(net: &Net, options: &str, front: impl FnOnce(&str) -> Daemon) -> Standing {
    net.closed();
    net.names(Side::Client, &format!("{BOX} {NAME}"));
    let serving = Serving::at(net, NAME, options);
    let authority = Authority::new(net, "Web Authority");
    let own = authority.issue(net, NAME);
    let daemon = front(own.both.to_str().unwrap());
    answers(net, &[&format!("https://{NAME}/")]);
    Standing::new(serving, vec![daemon]).trusting(authority)
}

fn haproxy(net: &Net, lines: &str) -> Daemon {
    let times = "timeout connect 5s\ntimeout client 60s\ntimeout server 60s\n";
    let conf = net.file(
        "haproxy.cfg",
        &format!("defaults\n{times}listen all\n{lines}"),
    );
    let arguments = ["haproxy", "-db", "-f", conf.to_str().unwrap()];
    Daemon::listening(net, Side::Box, &arguments, 443)
}

/// nginx that ends TLS, with a prefix before the server's paths.
fn nginx_http(net: &Net, both: &str, lines: &str) -> Daemon {
    let dir = net.dir().display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|what| format!("{what}_temp_path {dir}/{what}; "))
        .concat();
    let conf = format!(
        "{}\nhttp {{\n access_log {dir}/access.log; {temporary}\n server {{\n  listen {BOX}:443 ssl; ssl_protocols TLSv1.2 TLSv1.3;\n\
         ssl_certificate {both}; ssl_certificate_key {both};\n  location / {{\n\
         proxy_pass https://{SERVER}/behind/; proxy_ssl_protocols TLSv1.3; {lines}\n\
         proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n  }}\n }}\n}}\n",
        nginx_head(net)
    );
    nginx(net, &conf)
}

fn nginx(net: &Net, conf: &str) -> Daemon {
    let conf = net.file("nginx.conf", conf);
    let arguments = ["nginx", "-e", "stderr", "-c", conf.to_str().unwrap()];
    Daemon::listening(net, Side::Box, &arguments, 443)
}

fn nginx_head(net: &Net) -> String {
    let pid = net.dir().join("nginx.pid");
    format!(
        "daemon off;\nuser root;\nerror_log stderr;\npid {};\nevents {{ }}",
        pid.display()
    )
}

const STREAM_MODULE: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";
