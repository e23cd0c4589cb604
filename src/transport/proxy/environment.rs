//! Which proxy the environment, or the system where it has such settings, names for a server.

use hyper_util::client::proxy::matcher::Matcher;

use super::{Proxy, ProxyUrlError};
use crate::transport::dial::{Port, authority};

/// The proxy that leads to this host, if one is set.
///
/// `HTTPS_PROXY`, then `ALL_PROXY`, the small letters before the capital ones as in curl, empty ones as if they were
/// not there; where none is set, what Windows or macOS is set to. `NO_PROXY` names the hosts that need none, by the
/// rules of curl: names with all below them, addresses, networks, `*`. Fails where a variable is no proxy's URL.
pub fn of_environment(host: &str, port: u16) -> Result<Option<Proxy>, ProxyUrlError> {
    let read = |name: &str| {
        let value = std::env::var_os(name)?.to_string_lossy().into_owned();
        (!value.trim().is_empty()).then_some(value)
    };
    chosen(read, Matcher::from_system, host, port)
}

/// `system` is asked only where the environment says nothing.
fn chosen(
    read: impl Fn(&str) -> Option<String>,
    system: impl FnOnce() -> Matcher,
    host: &str,
    port: u16,
) -> Result<Option<Proxy>, ProxyUrlError> {
    let server = format!("https://{}/", authority(host, port, Port::Always));
    // Whatever cannot be the host of a URL cannot be asked of a proxy either.
    let Ok(server) = server.parse::<http::Uri>() else {
        return Ok(None);
    };
    let set = VARIABLES
        .into_iter()
        .find_map(|variable| Some((variable, read(variable)?)));
    let Some((variable, url)) = set else {
        let found = system().intercept(&server);
        return found.map_or(Ok(None), |found| {
            named("the system's settings", &found.uri().to_string())
        });
    };
    let without = EXCEPTIONS.into_iter().find_map(read).unwrap_or_default();
    // Which of the proxies is ours to say; whether there is to be one is the library's.
    let any = Matcher::builder().all("http://proxy").no(without).build();
    if any.intercept(&server).is_none() {
        return Ok(None);
    }
    named(variable, &url)
}

fn named(variable: &'static str, url: &str) -> Result<Option<Proxy>, ProxyUrlError> {
    Proxy::parse(url)
        .map(Some)
        .map_err(|source| ProxyUrlError::In {
            variable,
            source: Box::new(source),
        })
}

const VARIABLES: [&str; 4] = ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
const EXCEPTIONS: [&str; 2] = ["no_proxy", "NO_PROXY"];

#[cfg(test)]
mod tests {
    use super::*;

    fn name(set: &[(&str, &str)], host: &str) -> Option<String> {
        let read = |name: &str| {
            let found = set.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let proxy = chosen(read, || Matcher::builder().build(), host, 443).unwrap();
        proxy.map(|proxy| proxy.name())
    }

    #[test]
    fn the_variable_for_https_goes_before_the_one_for_all_and_small_before_capital() {
        let all = ("ALL_PROXY", "socks5://a:1");
        assert_eq!(name(&[], "cam"), None);
        assert_eq!(name(&[all], "cam").as_deref(), Some("a:1"));
        let https = ("HTTPS_PROXY", "b:2");
        assert_eq!(name(&[all, https], "cam").as_deref(), Some("b:2"));
        let small = ("https_proxy", "c:3");
        assert_eq!(name(&[all, small, https], "cam").as_deref(), Some("c:3"));
        assert_eq!(name(&[("HTTP_PROXY", "d:4")], "cam"), None);
    }

    #[test]
    fn hosts_that_need_no_proxy_get_none() {
        let without = |list: &'static str| [("HTTPS_PROXY", "gate:3128"), ("NO_PROXY", list)];
        let list = without("localhost, .corp.example,10.0.0.0/8,2001:db8::/32");
        for host in [
            "localhost",
            "corp.example",
            "cam.CORP.example",
            "10.1.2.3",
            "2001:db8::5",
        ] {
            assert_eq!(name(&list, host), None, "{host}");
        }
        for host in ["cam", "notcorp.example", "11.1.2.3", "2001:db9::5"] {
            assert!(name(&list, host).is_some(), "{host}");
        }
        assert_eq!(name(&without("*"), "cam"), None);
        assert!(name(&without(""), "cam").is_some());
    }

    #[test]
    fn a_variable_that_is_no_proxy_is_named_and_not_passed_over() {
        let read = |name: &str| (name == "ALL_PROXY").then(|| "ftp://anna:secret@gate".to_owned());
        let error = chosen(read, || Matcher::builder().build(), "cam", 443).unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("ALL_PROXY: "), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }

    #[test]
    fn what_the_system_is_set_to_is_asked_last() {
        let system = || Matcher::builder().https("gate:3128").no("cam").build();
        let proxy = |host| chosen(|_| None, system, host, 443).unwrap();
        assert_eq!(proxy("tv").unwrap().name(), "gate:3128");
        assert!(proxy("cam").is_none());
        let read = |name: &str| (name == "ALL_PROXY").then(|| "other:1".to_owned());
        let set = chosen(read, system, "tv", 443).unwrap();
        assert_eq!(set.unwrap().name(), "other:1");
    }
}
