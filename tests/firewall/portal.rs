//! Networks that want a person to log in first.

use crate::rig::{Authority, BOX, Daemon, NAME, Net, Play, SERVER, Serving, Side};

#[test]
fn a_captive_portal_is_named() {
    let Some(net) = Net::new(&["nginx", "curl"]) else {
        return;
    };
    let (_nginx, link) = portal(&net);
    let line = Play::new(&net, &link).seconds(12);
    let line = line.sent_away(&[3, 4]);
    assert!(line.contains("portal.hotel.example"), "{line}");
}

#[test]
fn behind_a_captive_portal_nobody_is_taken_for_the_server() {
    let Some(net) = Net::new(&["nginx", "curl"]) else {
        return;
    };
    let (_nginx, link) = portal(&net);
    let ended = Play::new(&net, &link).seconds(12);
    let line = ended.sent_away(&[3, 4]);
    println!("behind a captive portal: {line}");
    assert!(
        !ended
            .events
            .iter()
            .any(|event| event["event"] == "connected"),
        "{ended:?}"
    );
}

/// All that leaves is led to the box itself, which answers in everybody's name; and a link to a server that is there.
fn portal(net: &Net) -> (Daemon, String) {
    net.rules(
        "chain led { type nat hook prerouting priority dstnat; iifname inner tcp dport { 80, 443 } redirect; }
         chain passing { type filter hook forward priority 0; policy drop; }",
    );
    net.names(Side::Client, &format!("{SERVER} {NAME}"));
    let serving = Serving::named(net);
    let own = Authority::new(net, "Hotel").issue(net, "portal.hotel.example");
    let (cert, key, dir) = (own.cert.display(), own.key.display(), net.dir().display());
    let conf = format!(
        "daemon off; user root; error_log stderr; pid {dir}/nginx.pid;\nevents {{ }}\n\
         http {{ access_log off; client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy;\n\
         fastcgi_temp_path {dir}/fastcgi; uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;\n\
         server {{ listen {BOX}:80; return 302 http://portal.hotel.example/login; }}\n\
         server {{ listen {BOX}:443 ssl; ssl_protocols TLSv1.2 TLSv1.3; ssl_certificate {cert}; ssl_certificate_key {key};\n\
         return 302 http://portal.hotel.example/login; }} }}\n"
    );
    let conf = net.file("nginx.conf", &conf);
    let arguments = ["nginx", "-e", "stderr", "-c", conf.to_str().unwrap()];
    let daemon = Daemon::listening(net, Side::Box, &arguments, 443);
    for scheme in ["http", "https"] {
        let (status, said) = net.curl(&["-k", "--include", &format!("{scheme}://{NAME}/")]);
        assert!(
            status == Some(0) && said.contains("302"),
            "{scheme}: {said}"
        );
    }
    (daemon, serving.link.clone())
}
