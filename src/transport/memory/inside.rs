//! Behind which servers' names something else answers, and which way got through to them inside that.
//!
//! One server of one network a line: `KEY WAY UNTIL`, the key a hash of both, the way as [`Kind`] is written, and the
//! time at which it stops to count, in seconds since 1970.

use std::fmt;

use super::Network;
use crate::transport::Kind;

/// At most 64, each once, the oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Inside(Vec<Entry>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    key: Network,
    way: Kind,
    until: u64,
}

impl Inside {
    /// Damaged lines are left out.
    pub(super) fn parse(text: &str) -> Self {
        let mut list = Self::default();
        for line in text.lines() {
            let words: Vec<&str> = line.split_ascii_whitespace().take(4).collect();
            if let [key, way, until] = words[..]
                && let (Some(key), Some(way)) = (Network::from_key(key), Kind::from_name(way))
                && let Ok(until) = until.parse()
            {
                list.put(Entry { key, way, until });
            }
        }
        list
    }

    pub(super) fn of(&self, key: &Network, now: u64) -> Option<Kind> {
        let entry = self.0.iter().find(|entry| entry.key == *key)?;
        // One from the future says nothing, as nobody knows its age.
        let counts = now < entry.until && entry.until - now <= COUNTS;
        counts.then_some(entry.way)
    }

    /// Whether anything has changed that is worth writing.
    pub(super) fn set(&mut self, key: &Network, way: Option<Kind>, now: u64) -> bool {
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
        assert!(list.set(&one, Some(Kind::Tls), 1000));
        assert!(!list.set(&one, Some(Kind::Tls), 2000));
        assert!(list.set(&two, Some(Kind::Quic), 2000));
        let mut read = Inside::parse(&format!("nonsense\n{list}{one} 7 8\n"));
        assert_eq!(read, list);
        assert_eq!(read.of(&one, 1000), Some(Kind::Tls));
        assert_eq!(read.of(&one, 1000 + COUNTS), None);
        assert_eq!(read.of(&one, 900), None);
        assert!(read.set(&one, None, 3000));
        assert_eq!(read.of(&one, 1000), None);
        assert_eq!(read.of(&two, 2000), Some(Kind::Quic));
    }

    #[test]
    fn it_does_not_grow_without_bound() {
        let mut list = Inside::default();
        for number in 0..1000 {
            list.set(
                &Network::unknown(&number.to_string()),
                Some(Kind::Tls),
                1000,
            );
        }
        assert_eq!(list.0.len(), MOST);
    }
}
