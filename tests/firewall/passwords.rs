//! Proxies that want to know who is there.

use crate::{
    boxes::{BASIC, DIGEST, HTTP_PROXY, Kind, MICROSOCKS, NTLM, PASSWORD, USER},
    rig::Play,
};

#[test]
fn a_proxy_with_basic_is_passed_with_the_right_password_alone() {
    right_and_wrong(&BASIC);
}

#[test]
fn a_proxy_with_digest_is_passed_with_the_right_password_alone() {
    right_and_wrong(&DIGEST);
}

#[test]
fn a_proxy_with_ntlm_is_passed_with_the_right_password_alone() {
    right_and_wrong(&NTLM);
}

#[test]
fn a_socks_proxy_is_not_passed_with_a_wrong_password() {
    let Some((net, standing)) = MICROSOCKS.stand() else {
        return;
    };
    let ended = Play::new(&net, &standing.serving.link)
        .with(&format!(
            "--proxy socks5h://{USER}:wrong-one@10.77.1.1:1080"
        ))
        .seconds(3);
    let line = ended.sent_away(&[3, 4]);
    assert!(line.contains("password"), "{line}");
    assert!(!ended.words.contains("wrong-one"), "{line}");
}

/// The password proves to the domain's own server who is there; the proxy gets a ticket, and never the password.
#[test]
#[cfg(feature = "kerberos")]
fn a_proxy_with_kerberos_is_passed_with_the_right_password_alone() {
    use crate::boxes::{DOMAIN, KERBEROS};

    let Some((net, standing)) = KERBEROS.stand() else {
        return;
    };
    let squid = standing.squid.as_ref().unwrap();
    let known = format!("CONNECT stream.example:443 {USER}@{DOMAIN} ");
    let before = squid.count(&known);
    standing.play(&net).over("tls");
    squid.beyond(before, &known);
    let before = squid.count("TCP_DENIED/407");
    let ended = standing
        .play(&net)
        .env("TUNNELCAST_PROXY_PASSWORD", "wrong-one")
        .seconds(20);
    let line = ended.sent_away(&[3, 4]);
    assert!(line.contains("password"), "{line}");
    assert!(!format!("{ended:?}").contains("wrong-one"), "{ended:?}");
    // The domain was asked, and the proxy hears nothing more.
    let tries = squid.count("TCP_DENIED/407") - before;
    assert!(
        (1..=2).contains(&tries),
        "{tries} times: {}",
        squid.logged()
    );
}

/// With the right password it plays; with a wrong one and with none it ends with one line, after a try or two, and the
/// password is nowhere.
fn right_and_wrong(kind: &Kind) {
    let Some((net, standing)) = kind.stand() else {
        return;
    };
    let squid = standing.squid.as_ref().unwrap();
    let known = format!("CONNECT stream.example:443 {USER} ");
    let before = squid.count(&known);
    assert!(before > 0, "curl was not known: {}", squid.logged());
    standing.play(&net).over("tls");
    squid.beyond(before, &known);
    for (user, says) in [
        (format!("{USER}:wrong-one@"), "password"),
        (String::new(), "user"),
    ] {
        let before = squid.count("TCP_DENIED/407");
        let proxy = HTTP_PROXY.replace("//", &format!("//{user}"));
        let ended = Play::new(&net, &standing.serving.link)
            .with(&format!("--proxy {proxy}"))
            .seconds(20);
        let line = ended.sent_away(&[3, 4]);
        assert!(
            line.contains(says) && line.contains("10.77.1.1:3128"),
            "{line}"
        );
        assert!(!format!("{ended:?}").contains("wrong-one"), "{ended:?}");
        // NTLM takes three steps, and a proxy may be asked once more on a new connection.
        let tries = squid.count("TCP_DENIED/407") - before;
        assert!(
            (1..=6).contains(&tries),
            "{tries} times: {}",
            squid.logged()
        );
    }
    assert!(!squid.logged().contains(PASSWORD));
}
