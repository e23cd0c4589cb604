//! Behind which servers' names something else answers, and which way got through to them inside that.
//!
//! One server of one network a line: `KEY WAY UNTIL`, the key a hash of both, the way as [`Kind`] is written, or `pieces`
//! for HTTP in many short answers, and the time at which it stops to count, in seconds since 1970.

use std::fmt;

use super::Network;
use crate::transport::Kind;

/// A way that got through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Through {
    /// Which.
    pub kind: Kind,
    /// Over HTTP: in many short answers, since something holds long ones back.
    pub pieces: bool,
}

impl Through {
    fn from_name(name: &str) -> Option<Self> {
        let pieces = name == PIECES;
        let kind = if pieces {
            Kind::Http
        } else {
            Kind::from_name(name)?
        };
        Some(Self { kind, pieces })
    }
}

impl From<Kind> for Through {
    fn from(kind: Kind) -> Self {
        let pieces = false;
        Self { kind, pieces }
    }
}

impl fmt::Display for Through {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.pieces {
            PIECES
        } else {
            self.kind.name()
        })
    }
}

/// At most 64, each once, the oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Inside(Vec<Entry>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    key: Network,
    way: Through,
    until: u64,
}

impl Inside {
    /// Damaged lines are left out.
    pub(super) fn parse(text: &str) -> Self {
        let mut list = Self::default();
        for line in text.lines() {
            let words: Vec<&str> = line.split_ascii_whitespace().take(4).collect();
            if let [key, way, until] = words[..]
                && let (Some(key), Some(way)) = (Network::from_key(key), Through::from_name(way))
                && let Ok(until) = until.parse()
            {
                list.put(Entry { key, way, until });
            }
        }
        list
    }

    pub(super) fn of(&self, key: &Network, now: u64) -> Option<Through> {
        let entry = self.0.iter().find(|entry| entry.key == *key)?;
        // One from the future says nothing, as nobody knows its age.
        let counts = now < entry.until && entry.until - now <= COUNTS;
        counts.then_some(entry.way)
    }

    /// Whether anything has changed that is worth writing.
    pub(super) fn set(&mut self, key: &Network, way: Option<Through>, now: u64) -> bool {
        let Some(way) = way else {
            let before = self.0.len();
            self.0.retain(|entry| entry.key != *key);
            return self.0.len() < before;
        };
        let until = now.saturating_add(COUNTS);
        let fresh = |entry: &Entry| entry.key == *key && entry.way == way;
        if self
            .0
            .iter()
            .any(|entry| fresh(entry) && entry.until + STALE > until)
        {
            return false;
        }
        self.put(Entry {
            key: key.clone(),
            way,
            until,
        });
        true
    }

    fn put(&mut self, entry: Entry) {
        self.0.retain(|old| old.key != entry.key);
        self.0.push(entry);
        if self.0.len() > MOST {
            self.0.remove(0);
        }
    }
}

impl fmt::Display for Inside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Entry { key, way, until } in &self.0 {
            writeln!(f, "{key} {way} {until}")?;
        }
        Ok(())
    }
}

const PIECES: &str = "pieces";
/// More servers than anybody looks at from inspected networks in a week.
const MOST: usize = 64;
/// For how many seconds it counts: a week.
const COUNTS: u64 = 7 * 24 * 3600;
/// It is written again only when it is older than this.
const STALE: u64 = 24 * 3600;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_got_through_counts_for_a_week_and_is_read_again() {
        let mut list = Inside::default();
        let (one, two) = (Network::unknown("one"), Network::unknown("two"));
        let tls = Some(Kind::Tls.into());
        let pieces = Some(Through {
            kind: Kind::Http,
            pieces: true,
        });
        assert!(list.set(&one, tls, 1000));
        assert!(!list.set(&one, tls, 2000));
        assert!(list.set(&two, Some(Kind::Http.into()), 2000));
        assert!(list.set(&two, pieces, 2000));
        let mut read = Inside::parse(&format!("nonsense\n{list}{one} 7 8\n"));
        assert_eq!(read, list);
        assert_eq!(read.of(&one, 1000), tls);
        assert_eq!(read.of(&one, 1000 + COUNTS), None);
        assert_eq!(read.of(&one, 900), None);
        assert!(read.set(&one, None, 3000));
        assert_eq!(read.of(&one, 1000), None);
        assert_eq!(read.of(&two, 2000), pieces);
    }

    #[test]
    fn it_does_not_grow_without_bound() {
        let mut list = Inside::default();
        for number in 0..1000 {
            list.set(
                &Network::unknown(&number.to_string()),
                Some(Kind::Tls.into()),
                1000,
            );
        }
        assert_eq!(list.0.len(), MOST);
    }
}
