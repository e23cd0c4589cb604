//! Where TLS ends elsewhere: HTTP that somebody else may read carries a second TLS session, to the server's own key.
//!
//! Who opens the outer TLS, a box that inspects or a reverse proxy, sees sealed bytes and how many they are.

pub(super) mod seal;
pub(super) mod websocket;
