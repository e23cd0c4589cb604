//! Keeps a library from writing to standard error, which belongs to the person.

/// Makes libasound keep to itself what it has to say on this thread, until this is called again; it writes half a page
/// for every device that is not there, and what it means comes as an error as well.
#[cfg(all(feature = "audio", target_os = "linux"))]
pub(crate) fn alsa() {
    if let Err(err) = alsa::Output::local_error_handler() {
        tracing::debug!(%err, "libasound goes on talking");
    }
}

/// There is nothing to silence.
#[cfg(all(feature = "audio", not(target_os = "linux")))]
pub(crate) const fn alsa() {}
