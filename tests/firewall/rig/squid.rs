//! squid in the box, as an explicit proxy on port 3128, or in the way of all that goes to port 443.

use std::{fs, path::PathBuf};

use super::{Authority, Daemon, Issued, Net, Side};

/// A running squid.
pub(crate) struct Squid {
    _daemon: Daemon,
    access: PathBuf,
    cache: PathBuf,
}

/// The proxy's port.
const PORT: u16 = 3128;
/// Where intercepted connections are led.
const CAUGHT: u16 = 3129;

impl Squid {
    /// A proxy with these lines before `http_access allow all`. CONNECT leads to port 443 and to no other.
    pub(crate) fn start(net: &Net, lines: &str) -> Self {
        Self::with_ports(net, &format!("http_port {PORT}"), lines)
    }

    /// A proxy that is spoken to in TLS, on port 3129.
    pub(crate) fn in_tls(net: &Net, own: &Issued) -> Self {
        let both = own.both.display();
        let ports = format!("http_port {PORT}\nhttps_port {CAUGHT} tls-cert={both}");
        Self::with_ports(net, &ports, "")
    }

    /// A proxy that ends TLS and opens another, with this authority; its lines say to which connections it does so.
    pub(crate) fn inspecting(net: &Net, authority: &Authority, lines: &str) -> Self {
        let bump = Self::bump(net, authority);
        Self::with_ports(net, &format!("http_port {PORT} {bump}"), lines)
    }

    /// The same in the way of everything to port 443, without being asked; nothing else passes.
    pub(crate) fn intercepting(net: &Net, authority: &Authority, lines: &str) -> Self {
        net.rules(&format!(
            "chain led {{ type nat hook prerouting priority dstnat; iifname inner tcp dport 443 redirect to :{CAUGHT}; }}
             chain passing {{ type filter hook forward priority 0; policy drop; }}"
        ));
        let bump = Self::bump(net, authority);
        let ports = format!("http_port {PORT}\nhttps_port {CAUGHT} intercept {bump}");
        Self::with_ports(net, &ports, lines)
    }

    fn bump(net: &Net, authority: &Authority) -> String {
        let database = net.dir().join("ssl_db");
        let database = database.to_str().unwrap();
        let made = net.run(Side::Box, &[HELPER, "-c", "-s", database, "-M", "4MB"]);
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        let owned = net.run(Side::Box, &["chown", "-R", "proxy:proxy", database]);
        assert!(
            owned.status.success(),
            "{}",
            String::from_utf8_lossy(&owned.stderr)
        );
        // The last of the port's options, and the program's line behind it.
        format!(
            "ssl-bump tls-cert={} generate-host-certificates=on\nsslcrtd_program {HELPER} -s {database} -M 4MB",
            authority.both.display()
        )
    }

    fn with_ports(net: &Net, ports: &str, lines: &str) -> Self {
        let dir = net.dir().join("squid");
        fs::create_dir(&dir).unwrap();
        let owned = net.run(Side::Box, &["chown", "proxy:proxy", dir.to_str().unwrap()]);
        assert!(
            owned.status.success(),
            "{}",
            String::from_utf8_lossy(&owned.stderr)
        );
        let file = |name: &str| dir.join(name);
        let (access, cache) = (file("access.log"), file("cache.log"));
        let text = format!(
            "{ports}\n\
             acl SSL_ports port 443\n\
             http_access deny CONNECT !SSL_ports\n\
             {lines}\n\
             http_access allow all\n\
             visible_hostname box.office.example\n\
             pid_filename {}\n\
             access_log stdio:{}\n\
             cache_log {}\n\
             cache deny all\n\
             pinger_enable off\n\
             netdb_filename none\n\
             shutdown_lifetime 0 seconds\n\
             coredump_dir none\n",
            file("squid.pid").display(),
            access.display(),
            cache.display(),
        );
        let conf = net.file("squid.conf", &text);
        let conf = conf.to_str().unwrap();
        let name = net.unique();
        let arguments = ["squid", "-N", "-n", &name, "-f", conf];
        Self {
            _daemon: Daemon::listening(net, Side::Box, &arguments, PORT),
            access,
            cache,
        }
    }

    /// How often it wrote this of requests so far.
    pub(crate) fn count(&self, words: &str) -> usize {
        self.logged().matches(words).count()
    }

    /// What it wrote of requests, once it has written this more often; of a tunnel it writes when that has ended.
    pub(crate) fn beyond(&self, count: usize, words: &str) -> String {
        let more = || (self.count(words) > count).then(|| self.logged());
        super::until(words, more)
    }

    /// What it wrote of requests so far.
    pub(crate) fn logged(&self) -> String {
        fs::read_to_string(&self.access).unwrap_or_default()
    }

    /// What it wrote of itself.
    pub(crate) fn words(&self) -> String {
        let bytes = fs::read(&self.cache).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// Makes the certificates that it shows.
const HELPER: &str = "/usr/lib/squid/security_file_certgen";
