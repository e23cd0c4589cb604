//! How many sockets the system lets this program have, and what that leaves for connections.

use tracing::{debug, warn};

use crate::transport::door::Bounds;

/// Raises the soft limit to the hard one, and lowers `bounds` to what fits, which is said.
pub(super) fn account_for(bounds: &mut Bounds) {
    let Some(limit) = raised() else {
        return;
    };
    let fits = fitting(limit);
    if fits < bounds.connections {
        warn!(
            "{fits} connections at once instead of {}, since the system allows this program {limit} open files: \
             raise that (`ulimit -Hn`, LimitNOFILE=), or set --max-connections",
            bounds.connections
        );
        bounds.connections = fits;
    }
}

/// One for each connection; the rest is for sources, listeners, files and the runtime.
fn fitting(limit: usize) -> usize {
    limit.saturating_sub(RESERVE).max(limit / 4)
}

/// The limit, as high as we may make it; `None` where there is none.
#[cfg(unix)]
fn raised() -> Option<usize> {
    use rustix::process::{Resource, getrlimit, setrlimit};

    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let before = limit.current;
        limit.current = limit.maximum;
        match setrlimit(Resource::Nofile, limit) {
            Ok(()) => debug!(?before, now = ?limit.current, "more open files"),
            Err(err) => {
                debug!(%err, "no more open files");
                limit.current = before;
            }
        }
    }
    limit.current.and_then(|limit| usize::try_from(limit).ok())
}

#[cfg(not(unix))]
const fn raised() -> Option<usize> {
    None
}

/// Sockets to listen on, both ends of a few pipes, what ffmpeg and cameras need, a file that is being read.
const RESERVE: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn something_is_left_for_what_is_no_connection() {
        assert_eq!(fitting(1024), 960);
        assert_eq!(fitting(80), 20);
        assert_eq!(fitting(0), 0);
    }
}
