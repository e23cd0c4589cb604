//! A proxy that wants a ticket of the office's domain, whose own server stands in the box too.

use std::path::PathBuf;

use super::proxies::{HELPERS, PROXY_NAME};
use super::{Kind, PASSWORD, Standing, USER, office};
use crate::rig::{BOX, NAME, Net, Side, Squid};

/// Kerberos, with the domain's server in the box too.
pub(crate) const KERBEROS: Kind = Kind {
    name: "squid, Kerberos",
    needs: &[
        "squid",
        "curl",
        "krb5kdc",
        "kdb5_util",
        "kadmin.local",
        "kinit",
        "/usr/lib/squid/negotiate_kerberos_auth",
    ],
    way: "tls",
    build: |net| {
        let serving = office(net);
        net.names(Side::Client, &format!("{BOX} {PROXY_NAME}"));
        let (conf, keytab) = domain(net);
        let settings = conf.display();
        let lines = format!(
            "auth_param negotiate program /usr/bin/env KRB5_CONFIG={settings} {HELPERS}/negotiate_kerberos_auth -k {} -s GSS_C_NO_NAME",
            keytab.display()
        );
        let asks = "acl known proxy_auth REQUIRED\nhttp_access deny !known";
        let squid = Squid::start(net, &format!("{lines}\n{asks}"));
        // curl shows a ticket that somebody has fetched before; both in one shell, which knows where it is.
        let proxy = format!("http://{PROXY_NAME}:3128");
        let shell = format!(
            "export KRB5_CONFIG={settings} KRB5CCNAME=FILE:{}/tickets; echo {PASSWORD} | kinit {USER}@{DOMAIN} && \
             curl -k --silent --show-error --max-time 20 --proxy-negotiate --proxy-user : --proxy {proxy} https://{NAME}/",
            net.dir().display()
        );
        let out = net.run(Side::Client, &["sh", "-c", &shell]);
        let said = String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned();
        assert!(said.contains("<title>tunnelcast</title>"), "{said}");
        let told = proxy.replace("//", &format!("//{USER}@{DOMAIN}:{PASSWORD}@"));
        let mut standing = Standing::behind(serving, squid).told(&told);
        standing.krb5 = Some(conf);
        standing
    },
};

/// Her domain.
pub(crate) const DOMAIN: &str = "OFFICE.EXAMPLE";

/// Starts a domain's server in the box, which knows the user and the proxy; where it is, and the proxy's key.
fn domain(net: &Net) -> (PathBuf, PathBuf) {
    let dir = net.dir().display();
    let conf = net.file(
        "krb5.conf",
        &format!(
            "[libdefaults]\n default_realm = {DOMAIN}\n dns_lookup_kdc = false\n rdns = false\n\
             [realms]\n {DOMAIN} = {{\n  kdc = {BOX}:88\n }}\n\
             [domain_realm]\n .office.example = {DOMAIN}\n"
        ),
    );
    let own = net.file(
        "kdc.conf",
        &format!(
            "[kdcdefaults]\n kdc_ports = 88\n kdc_tcp_ports = 88\n\
             [realms]\n {DOMAIN} = {{\n  database_name = {dir}/principal\n  key_stash_file = {dir}/stash\n }}\n"
        ),
    );
    let keytab = net.dir().join("proxy.keytab");
    let proxy = format!("HTTP/{PROXY_NAME}");
    let shell = format!(
        "set -e; export KRB5_CONFIG={} KRB5_KDC_PROFILE={}; cd {dir}\n\
         kdb5_util create -s -r {DOMAIN} -P master\n\
         kadmin.local -r {DOMAIN} addprinc -pw {PASSWORD} +requires_preauth {USER}\n\
         kadmin.local -r {DOMAIN} addprinc -randkey {proxy}\n\
         kadmin.local -r {DOMAIN} ktadd -k {} {proxy}\n\
         chmod 644 {}\n",
        conf.display(),
        own.display(),
        keytab.display(),
        keytab.display(),
    );
    let made = net.run(Side::Box, &["sh", "-c", &shell]);
    let said = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "{said}");
    // It ends with the namespace.
    let start = format!(
        "KRB5_CONFIG={} KRB5_KDC_PROFILE={} exec krb5kdc -P {dir}/kdc.pid",
        conf.display(),
        own.display()
    );
    let started = net.run(Side::Box, &["sh", "-c", &start]);
    let said = String::from_utf8_lossy(&started.stderr);
    assert!(started.status.success(), "{said}");
    (conf, keytab)
}
