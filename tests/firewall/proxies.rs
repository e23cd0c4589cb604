//! Offices that nothing leaves but through a proxy.

use crate::{
    boxes::{DANTE, HTTP_PROXY, MICROSOCKS, SQUID, SQUID_IN_TLS, TINYPROXY},
    rig::{Play, Program, Side},
};

#[test]
fn through_squid_that_connects_to_443_alone_tls_plays() {
    let Some((net, standing)) = SQUID.stand() else {
        return;
    };
    let squid = standing.squid.as_ref().unwrap();
    let connects = "CONNECT stream.example:443";
    let before = squid.count(connects);
    let ended = standing.play(&net).over("tls");
    assert!(ended.words.is_empty(), "nobody needs to know: {ended:?}");
    let log = squid.beyond(before, connects);
    let mut secrets = standing.serving.secrets();
    assert!(secrets.all(|secret| !log.contains(secret)), "{log}");
}

#[test]
fn a_viewer_behind_a_proxy_asks_nobody_for_the_name() {
    let Some((net, standing)) = SQUID.stand() else {
        return;
    };
    net.rules(
        "counter questions { }
         chain asked { type filter hook prerouting priority 0; iifname inner meta l4proto { tcp, udp } th dport { 53, 853, 5353 } counter name questions; }
         chain passing { type filter hook forward priority 0; policy drop; }",
    );
    // The counter counts: whoever resolves by himself is seen.
    let (status, said) = net.curl(&["https://elsewhere.example/"]);
    assert_eq!(status, Some(6), "{said}");
    let before = net.counted("questions");
    assert!(before > 0, "the rig does not see questions for names");
    standing.play(&net).over("tls");
    assert_eq!(net.counted("questions"), before);
}

/// It goes where the viewer would go, and no other way: through the proxy.
#[test]
fn the_doctor_looks_through_the_proxy_and_asks_nobody_for_the_name() {
    let Some((net, standing)) = SQUID.stand() else {
        return;
    };
    net.rules(
        "counter questions { }
         chain asked { type filter hook prerouting priority 0; iifname inner meta l4proto { tcp, udp } th dport { 53, 443, 853 } counter name questions; }
         chain passing { type filter hook forward priority 0; policy drop; }",
    );
    let mut command = net.command(Side::Client, env!("CARGO_BIN_EXE_tunnelcast"));
    command
        .args(["--json", "doctor", &standing.serving.link])
        .args(["--proxy", HTTP_PROXY])
        .env_remove("TUNNELCAST_LOG");
    let ended = Program::spawn(command).end();
    assert_eq!(ended.status, Some(0), "{ended:?}");
    let of = |event: &str, key: &str, is: &str| {
        let found = ended
            .events
            .iter()
            .find(|all| all["event"] == event && all[key] == is);
        found
            .cloned()
            .unwrap_or_else(|| panic!("no {is}: {ended:?}"))
    };
    let proxy = of("probe", "what", "proxy");
    assert_eq!(proxy["ok"], true, "{proxy}");
    assert!(proxy["ms"].is_number(), "{proxy}");
    // What squid leads to is the server itself.
    assert_eq!(of("probe", "what", "tls")["ok"], true);
    assert!(of("probe", "what", "udp")["ok"].is_null());
    for way in ["tls", "websocket", "http"] {
        assert_eq!(of("rung", "transport", way)["works"], true, "{ended:?}");
    }
    assert_eq!(ended.events.last().unwrap()["best"], "tls");
    assert_eq!(net.counted("questions"), 0);
}

#[test]
fn the_environment_says_the_proxy() {
    let Some((net, standing)) = SQUID.stand() else {
        return;
    };
    let play = || Play::new(&net, &standing.serving.link);
    for name in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"] {
        play().env(name, HTTP_PROXY).over("tls");
    }
    // Not for this host: then there is no way, and no name.
    let without = play()
        .env("HTTPS_PROXY", HTTP_PROXY)
        .env("NO_PROXY", ".example")
        .seconds(3);
    without.sent_away(&[4]);
}

#[test]
fn through_squid_that_is_spoken_to_in_tls_tls_plays() {
    let Some((net, standing)) = SQUID_IN_TLS.stand() else {
        return;
    };
    standing.play(&net).over("tls");
    // A proxy for which nobody vouches is given nothing.
    let nobody = net.file("nobody.crt", "");
    let ended = standing.play(&net).trusting(&nobody).seconds(5);
    let line = ended.sent_away(&[3, 4]);
    assert!(
        line.contains("proxy") && line.contains("certificate"),
        "{line}"
    );
}

#[test]
fn through_tinyproxy_tls_plays() {
    let Some((net, standing)) = TINYPROXY.stand() else {
        return;
    };
    standing.play(&net).over("tls");
}

#[test]
fn through_microsocks_with_a_password_tls_plays() {
    let Some((net, standing)) = MICROSOCKS.stand() else {
        return;
    };
    standing.play(&net).over("tls");
}

#[test]
fn through_dante_tls_plays() {
    let Some((net, standing)) = DANTE.stand() else {
        return;
    };
    standing.play(&net).over("tls");
}

#[test]
fn a_proxy_that_is_not_there_is_named() {
    let Some((net, standing)) = SQUID.stand() else {
        return;
    };
    let ended = Play::new(&net, &standing.serving.link)
        .with("--proxy http://10.77.1.1:3999")
        .seconds(3);
    let line = ended.sent_away(&[4]);
    assert!(
        line.contains("proxy") && line.contains("10.77.1.1:3999"),
        "{line}"
    );
}

#[test]
fn a_port_that_the_proxy_does_not_lead_to_is_told_with_its_words() {
    let Some((net, standing)) = SQUID.stand() else {
        return;
    };
    let link = standing
        .serving
        .link
        .replace("stream.example", "stream.example:8443");
    let ended = Play::new(&net, &link)
        .with(&format!("--proxy {HTTP_PROXY}"))
        .seconds(3);
    let line = ended.sent_away(&[3, 4]);
    assert!(
        line.contains("403") && line.contains("10.77.1.1:3128"),
        "{line}"
    );
}
