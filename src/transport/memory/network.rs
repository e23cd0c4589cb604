//! Which network this machine is on, as far as what is remembered of it goes.

use std::cmp::Reverse;
use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::net::{Ipv4Addr, Ipv6Addr};

use aws_lc_rs::digest;

/// A network, by a hash of what tells it from others: the way out, the router there, and the name that it gives itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Network(String);

/// What the system says, as text; empty where it says nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tables<'a> {
    /// `/proc/net/route`
    pub route: &'a str,
    /// `/proc/net/ipv6_route`
    pub ipv6_route: &'a str,
    /// `/proc/net/arp`
    pub arp: &'a str,
    /// `/etc/resolv.conf`
    pub resolv: &'a str,
}

impl Network {
    /// The one that this machine is on now. Where that cannot be known, each `host` is a network of its own, so that
    /// what is remembered holds for that server at least.
    ///
    /// Best asked after the server's name was resolved: only then does every system know its router's address.
    pub fn current(host: &str) -> Self {
        let [route, ipv6_route, arp, resolv] = [
            "/proc/net/route",
            "/proc/net/ipv6_route",
            "/proc/net/arp",
            "/etc/resolv.conf",
        ]
        .map(text);
        Self::from_tables(&Tables {
            route: &route,
            ipv6_route: &ipv6_route,
            arp: &arp,
            resolv: &resolv,
        })
        .unwrap_or_else(|| Self::unknown(host))
    }

    /// The one that these tables tell of; `None` if they know no way out.
    pub fn from_tables(tables: &Tables<'_>) -> Option<Self> {
        // IPv6's way may be known seconds after IPv4's, and it would be another network then. So it counts only alone.
        let (interface, router) = match ipv4(tables.route) {
            Some((interface, router)) => {
                let mac = mac(tables.arp, interface, router).unwrap_or_default();
                (interface, format!("{router} {mac}"))
            }
            None => {
                let (interface, router) = ipv6(tables.ipv6_route)?;
                (interface, router.to_string())
            }
        };
        let suffix = suffix(tables.resolv);
        Some(Self::hash(&["network", interface, &router, &suffix]))
    }

    /// The network of which nothing is known but that this server is tried from it.
    pub fn unknown(host: &str) -> Self {
        Self::hash(&["unknown", &host.to_ascii_lowercase()])
    }

    /// One server as it is seen from here.
    pub(super) fn with(&self, host: &str, port: u16) -> Self {
        Self::hash(&[
            "server",
            &self.0,
            &host.to_ascii_lowercase(),
            &port.to_string(),
        ])
    }

    pub(super) fn from_key(key: &str) -> Option<Self> {
        let hex = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        (key.len() == KEY && key.bytes().all(hex)).then(|| Self(key.to_owned()))
    }

    /// No part has a line break inside: they are words, or words joined by blanks.
    fn hash(parts: &[&str]) -> Self {
        let hash = digest::digest(&digest::SHA256, parts.join("\n").as_bytes());
        let mut key: String = hash.as_ref().iter().map(|b| format!("{b:02x}")).collect();
        key.truncate(KEY);
        Self(key)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The interface and router of IPv4's default route.
fn ipv4(table: &str) -> Option<(&str, Ipv4Addr)> {
    let routes = table.lines().filter_map(|line| {
        let words: Vec<&str> = line.split_ascii_whitespace().take(8).collect();
        let [interface, to, router, flags, _, _, metric, mask] = words[..] else {
            return None;
        };
        let address = |hex| Some(Ipv4Addr::from(hexadecimal(hex)?.to_ne_bytes()));
        let (to, router, mask) = (address(to)?, address(router)?, address(mask)?);
        let length = u32::from(mask).leading_ones();
        // Some tunnels take over with two halves of everything, and leave the route of old.
        let all = to.is_unspecified() && length <= 1;
        let metric: u32 = metric.parse().ok()?;
        (all && goes(hexadecimal(flags)?)).then_some((Reverse(length), metric, interface, router))
    });
    let (.., interface, router) = routes.min_by_key(|(length, metric, ..)| (*length, *metric))?;
    Some((interface, router))
}

/// The interface and router of IPv6's default route.
fn ipv6(table: &str) -> Option<(&str, Ipv6Addr)> {
    let routes = table.lines().filter_map(|line| {
        let words: Vec<&str> = line.split_ascii_whitespace().take(10).collect();
        let [to, length, _, _, router, metric, _, _, flags, interface] = words[..] else {
            return None;
        };
        let address = |hex: &str| {
            let hex = Some(hex).filter(|hex| hex.len() == 32)?;
            Some(Ipv6Addr::from(u128::from_str_radix(hex, 16).ok()?))
        };
        let all = address(to)?.is_unspecified() && hexadecimal(length)? == 0;
        let (metric, router) = (hexadecimal(metric)?, address(router)?);
        // The kernel's own last resort leads to `lo`.
        (all && goes(hexadecimal(flags)?) && interface != "lo")
            .then_some((metric, interface, router))
    });
    let (_, interface, router) = routes.min_by_key(|(metric, ..)| *metric)?;
    Some((interface, router))
}

/// The router's hardware address, once it has been asked for.
fn mac(table: &str, interface: &str, router: Ipv4Addr) -> Option<String> {
    table.lines().find_map(|line| {
        let words: Vec<&str> = line.split_ascii_whitespace().take(6).collect();
        let [address, _, flags, mac, _, device] = words[..] else {
            return None;
        };
        let complete = hexadecimal(flags.strip_prefix("0x")?)? & COMPLETE != 0;
        (complete && device == interface && address.parse() == Ok(router))
            .then(|| mac.to_ascii_lowercase())
    })
}

/// The domains that names are looked for in; as for the resolver, the last line counts.
fn suffix(resolv: &str) -> String {
    let domains = resolv.lines().rev().find_map(|line| {
        let mut words = line.split_ascii_whitespace();
        matches!(words.next()?, "search" | "domain").then(|| words.collect::<Vec<_>>().join(" "))
    });
    domains.unwrap_or_default().to_ascii_lowercase()
}

fn hexadecimal(word: &str) -> Option<u32> {
    u32::from_str_radix(word, 16).ok()
}

/// Whether a route with these flags leads anywhere.
const fn goes(flags: u32) -> bool {
    flags & UP != 0 && flags & REJECT == 0
}

/// A file, or its beginning; empty if there is none.
fn text(path: &str) -> String {
    let mut bytes = Vec::new();
    match File::open(path).and_then(|file| file.take(MOST_BYTES).read_to_end(&mut bytes)) {
        Ok(_) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(_) => String::new(),
    }
}

/// Of a hash in hexadecimal digits: enough that two networks are never taken for one.
const KEY: usize = 32;
/// `RTF_UP` and `RTF_REJECT`, as in linux/route.h.
const UP: u32 = 0x1;
const REJECT: u32 = 0x200;
/// `ATF_COM`, as in linux/if_arp.h.
const COMPLETE: u32 = 0x2;
/// A machine with more routes than fit is a router.
const MOST_BYTES: u64 = 256 * 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ROUTE: &str = "\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
wlan0\t00000000\t0101A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0
eth0\t00000000\t010200C0\t0003\t0\t0\t100\t00000000\t0\t0\t0
eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
";
    const IPV6: &str = "\
fe800000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000002 00000000 00000001     eth0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 fd000000000000000000000000000001 00000400 00000002 00000000 00000003     eth0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo
";
    const ARP: &str = "\
IP address       HW type     Flags       HW address            Mask     Device
192.0.2.1        0x1         0x2         02:FC:00:00:00:05     *        eth0
192.0.2.1        0x1         0x0         00:00:00:00:00:00     *        eth1
";

    fn tables() -> Tables<'static> {
        Tables {
            route: ROUTE,
            ipv6_route: IPV6,
            arp: ARP,
            resolv: "nameserver 192.0.2.53\nsearch Office.example\n",
        }
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn the_way_out_is_the_default_route_of_least_cost() {
        let router = Ipv4Addr::new(192, 0, 2, 1);
        assert_eq!(ipv4(ROUTE), Some(("eth0", router)));
        assert_eq!(mac(ARP, "eth0", router).unwrap(), "02:fc:00:00:00:05");
        assert_eq!(mac(ARP, "eth1", router), None);
        let router = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);
        assert_eq!(ipv6(IPV6), Some(("eth0", router)));
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn a_tunnel_that_takes_over_is_the_way_out() {
        let tunnel = "tun0\t00000000\t0100080A\t0003\t0\t0\t0\t00000080\t0\t0\t0\n";
        let both = format!("{ROUTE}{tunnel}");
        assert_eq!(ipv4(&both).unwrap().0, "tun0");
    }

    #[test]
    fn another_router_interface_or_domain_is_another_network() {
        let here = Network::from_tables(&tables()).unwrap();
        assert_eq!(here.to_string().len(), 32);
        assert_eq!(Network::from_tables(&tables()), Some(here.clone()));
        let (route, wlan) = (
            ROUTE.replace("010200C0", "FE0200C0"),
            ROUTE.replace("eth0", "eth2"),
        );
        let arp = ARP.replace("05 ", "06 ");
        for other in [
            Tables {
                route: &route,
                ..tables()
            },
            Tables {
                route: &wlan,
                ..tables()
            },
            Tables {
                arp: &arp,
                ..tables()
            },
            Tables {
                route: "",
                ..tables()
            },
            Tables {
                resolv: "domain home",
                ..tables()
            },
        ] {
            assert_ne!(Network::from_tables(&other), Some(here.clone()));
        }
        // What comes and goes by itself does not count.
        let later = Tables {
            ipv6_route: "",
            resolv: "search office.example",
            ..tables()
        };
        assert_eq!(Network::from_tables(&later), Some(here));
    }

    #[test]
    fn without_a_way_out_each_server_is_a_network_of_its_own() {
        assert_eq!(Network::from_tables(&Tables::default()), None);
        let refused = ROUTE.replace("\t0003\t", "\t0201\t");
        let none = Tables {
            route: &refused,
            ..Tables::default()
        };
        assert_eq!(Network::from_tables(&none), None);
        assert_eq!(Network::unknown("Cam"), Network::unknown("cam"));
        assert_ne!(Network::unknown("cam"), Network::unknown("dam"));
    }

    proptest! {
        #[test]
        fn no_table_can_break_it(
            route in any::<String>(),
            rows in proptest::collection::vec("[a-z0-9]{1,6}( [0-9a-f]{1,33}){6,10}( lo)?", 0..9),
            mask in "[0-9A-F]{8}",
        ) {
            let mut rows = rows.join("\n");
            rows.push_str(&format!("\neth0 00000000 010200C0 0003 0 0 0 {mask}"));
            for text in [&route, &rows] {
                let tables = Tables { route: text, ipv6_route: text, arp: text, resolv: text };
                if let Some(network) = Network::from_tables(&tables) {
                    prop_assert!(Network::from_key(&network.to_string()).is_some());
                }
            }
        }
    }
}
