//! Servers in front of the server.

use crate::boxes::{
    HAPROXY, HAPROXY_TCP, Kind, NGINX, NGINX_STREAM, NGINX_UPGRADES, STUNNEL, haproxy_before,
    haproxy_http_before,
};
use crate::rig::Net;

#[test]
fn behind_nginx_that_leads_tcp_through_tls_plays() {
    plays(&NGINX_STREAM);
}

#[test]
fn behind_haproxy_that_leads_tcp_through_tls_plays() {
    plays(&HAPROXY_TCP);
}

#[test]
fn behind_nginx_as_it_comes_http_plays() {
    plays(&NGINX);
}

#[test]
fn behind_nginx_that_passes_upgrades_websocket_plays() {
    plays(&NGINX_UPGRADES);
}

#[test]
fn behind_haproxy_that_ends_tls_websocket_plays() {
    plays(&HAPROXY);
}

#[test]
fn behind_stunnel_websocket_plays() {
    plays(&STUNNEL);
}

#[test]
fn haproxy_tells_a_server_that_trusts_it_whom_it_leads_through() {
    let Some(net) = Net::new(HAPROXY_TCP.needs) else {
        return;
    };
    let mut standing = haproxy_before(&net, "send-proxy-v2", "--trusted-proxy 10.77.2.0/24");
    standing.play(&net).over("tls");
    let viewer = standing.serving.viewer();
    assert!(viewer.starts_with("10.77.1.2:"), "{viewer}");
}

#[test]
fn haproxy_tells_a_server_that_trusts_it_whose_request_it_is() {
    let Some(net) = Net::new(HAPROXY.needs) else {
        return;
    };
    let mut standing = haproxy_http_before(&net, "--trusted-proxy 10.77.2.1");
    standing.play(&net).over("websocket");
    let viewer = standing.serving.viewer();
    assert!(viewer.starts_with("10.77.1.2"), "{viewer}");
}

/// Whoever is not trusted is believed nothing: a viewer could else be anybody.
#[test]
fn haproxy_that_is_not_trusted_is_not_believed() {
    let Some(net) = Net::new(HAPROXY.needs) else {
        return;
    };
    let mut standing = haproxy_http_before(&net, "--trusted-proxy 192.0.2.1");
    standing.play(&net).over("websocket");
    let viewer = standing.serving.viewer();
    assert!(viewer.starts_with("10.77.2.1:"), "{viewer}");
}

fn plays(kind: &Kind) {
    let Some((net, standing)) = kind.stand() else {
        return;
    };
    standing.play(&net).over(kind.way);
}
