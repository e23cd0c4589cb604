//! What systemd hands to a service, and what it is told: sockets, and when it is ready (`sd_listen_fds(3)`,
//! `sd_notify(3)`).

use crate::server::Sockets;

/// The sockets that systemd has bound for us, if it has. To be called once, before there are threads.
#[cfg(unix)]
pub(super) fn sockets() -> Sockets {
    let mut given = listenfd::ListenFd::from_env();
    let mut sockets = Sockets::default();
    for number in 0..given.len() {
        if let Ok(Some(tcp)) = given.take_tcp_listener(number) {
            sockets.tcp.push(tcp);
        } else if let Ok(Some(udp)) = given.take_udp_socket(number) {
            sockets.udp.push(udp);
        } else {
            tracing::warn!(
                number,
                "a socket that was handed over is neither TCP nor UDP"
            );
        }
    }
    sockets
}

#[cfg(not(unix))]
pub(super) fn sockets() -> Sockets {
    Sockets::default()
}

/// What may be said.
#[derive(Clone, Copy, Debug)]
pub(super) enum State {
    /// It serves.
    Ready,
    /// It reads its files again; [`State::Ready`] follows.
    Reloading,
    /// It says goodbye.
    Stopping,
}

/// Says it to systemd, if that has started us.
#[cfg(unix)]
pub(super) fn notify(state: State) {
    let words = match state {
        State::Ready => "READY=1".to_owned(),
        State::Stopping => "STOPPING=1".to_owned(),
        State::Reloading => {
            let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
            let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1000;
            format!("RELOADING=1\nMONOTONIC_USEC={micros}")
        }
    };
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    if let Err(err) = send(&path, words.as_bytes()) {
        tracing::warn!(%err, "systemd cannot be told how it is");
    }
}

#[cfg(not(unix))]
pub(super) const fn notify(_state: State) {}

#[cfg(unix)]
fn send(path: &std::ffi::OsStr, words: &[u8]) -> std::io::Result<()> {
    use std::os::unix::ffi::OsStrExt as _;

    let socket = std::os::unix::net::UnixDatagram::unbound()?;
    #[cfg(target_os = "linux")]
    if let Some(name) = path.as_bytes().strip_prefix(b"@") {
        use std::os::linux::net::SocketAddrExt as _;
        let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
        return socket.send_to_addr(words, &address).map(drop);
    }
    socket.send_to(words, path).map(drop)
}
