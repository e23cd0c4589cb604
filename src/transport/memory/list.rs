//! The file's contents.
//!
//! One network a line: `KEY UNTIL TIMES`, the key as [`Network`] has it, the time at which it stops to count in seconds
//! since 1970, and how often in a row it was found. Whatever else stands there is left out.

use std::fmt;

use super::Network;

/// At most 64 networks, each once, in the order in which they were found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List(Vec<Entry>);

/// One network on which UDP was found broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where.
    pub network: Network,
    /// When it stops to count, in seconds since 1970.
    pub until: u64,
    /// How often in a row it was found; at least 1.
    pub times: u32,
}

impl Entry {
    /// When it was found, in seconds since 1970.
    pub const fn since(&self) -> u64 {
        self.until.saturating_sub(length(self.times))
    }

    pub(super) const fn counts(&self, now: u64) -> bool {
        self.since() <= now && now < self.until
    }

    /// Whether it says anything about the next time. One from the future says nothing, as nobody knows its age.
    const fn is_worth_keeping(&self, now: u64) -> bool {
        self.since() <= now && now < self.until.saturating_add(FORGOTTEN)
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let (key, until, times) = (words.next()?, words.next()?, words.next()?);
        let times = times.parse().ok().filter(|times| *times > 0)?;
        let entry = Self {
            network: Network::from_key(key)?,
            until: until.parse().ok()?,
            times,
        };
        // What ends before it could have begun was not written here.
        (words.next().is_none() && entry.until >= length(times)).then_some(entry)
    }
}

/// Reads what [`List`] writes. Damaged lines are left out; of two for the same network the last one stays, and of too
/// many the oldest go.
pub fn parse(text: &str) -> List {
    let mut list = List::default();
    for entry in text.lines().filter_map(Entry::parse) {
        list.put(entry);
    }
    list
}

impl List {
    /// The networks, the one first that was found first.
    pub fn entries(&self) -> &[Entry] {
        &self.0
    }

    pub(super) fn of(&self, network: &Network) -> Option<&Entry> {
        self.0.iter().find(|entry| entry.network == *network)
    }

    /// Whether anything has changed.
    pub(super) fn add(&mut self, network: &Network, now: u64) -> bool {
        let times = match self.of(network) {
            Some(entry) if entry.counts(now) => return false,
            Some(entry) if entry.is_worth_keeping(now) => entry.times.saturating_add(1),
            Some(_) | None => 1,
        };
        self.0.retain(|entry| entry.is_worth_keeping(now));
        self.put(Entry {
            network: network.clone(),
            until: now.saturating_add(length(times)),
            times,
        });
        true
    }

    /// Whether anything has changed.
    pub(super) fn remove(&mut self, network: &Network) -> bool {
        let before = self.0.len();
        self.0.retain(|entry| entry.network != *network);
        self.0.len() < before
    }

    fn put(&mut self, entry: Entry) {
        self.remove(&entry.network);
        let place = self.0.partition_point(|old| old.since() <= entry.since());
        self.0.insert(place, entry);
        if self.0.len() > MOST {
            self.0.remove(0);
        }
    }
}

impl fmt::Display for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for entry in &self.0 {
            let Entry {
                network,
                until,
                times,
            } = entry;
            writeln!(f, "{network} {until} {times}")?;
        }
        Ok(())
    }
}

/// For how many seconds it counts when found for the `times`th time in a row.
const fn length(times: u32) -> u64 {
    let doublings = times.saturating_sub(1);
    // By then it is long at its most.
    let doublings = if doublings > 8 { 8 } else { doublings };
    let length = SHORTEST << doublings;
    if length > LONGEST { LONGEST } else { length }
}

/// More networks than anybody comes by in a week.
const MOST: usize = 64;
/// In seconds.
const SHORTEST: u64 = 300;
const LONGEST: u64 = 3600;
/// So long after it has stopped to count, it is no row any more: a week.
const FORGOTTEN: u64 = 7 * 24 * 3600;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn network(number: u64) -> Network {
        Network::from_key(&format!("{number:032x}")).unwrap()
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut list = List::default();
        for number in 0..9 {
            list.add(&network(number), 1_000_000 + number);
        }
        assert_eq!(parse(&list.to_string()), list);
    }

    #[test]
    fn a_damaged_line_takes_no_other_with_it() {
        let good = format!("{} 1000300 1", network(1));
        for bad in [
            "",
            "# remark",
            "g0000000000000000000000000000000 1000300 1",
            "00000000000000000000000000000001 1000300",
            "00000000000000000000000000000001 1000300 0",
            "00000000000000000000000000000001 1000300 1 1",
            "00000000000000000000000000000001 -1 1",
            "00000000000000000000000000000001 299 1",
            "\u{fffd}\0",
        ] {
            let list = parse(&format!("{bad}\n{good}\n{bad}"));
            assert_eq!(list.entries().len(), 1, "{bad}");
            assert_eq!(list.of(&network(1)).unwrap().until, 1_000_300);
        }
    }

    #[test]
    fn the_oldest_of_too_many_go() {
        let mut list = List::default();
        for number in 0..200 {
            list.add(&network(number), 1_000_000 + number);
        }
        assert_eq!(list.entries().len(), 64);
        assert!(list.of(&network(199 - 63)).is_some());
        assert!(list.of(&network(199 - 64)).is_none());
    }

    #[test]
    fn it_lasts_twice_as_long_each_time_up_to_an_hour() {
        let lengths: Vec<u64> = (1..=6).map(length).collect();
        assert_eq!(lengths, [300, 600, 1200, 2400, 3600, 3600]);
        assert_eq!(length(u32::MAX), 3600);
    }

    fn text() -> impl Strategy<Value = String> {
        let line = prop_oneof![
            3 => ("[0-9a-f]{32}", any::<u64>(), any::<u32>())
                .prop_map(|(key, until, times)| format!("{key} {until} {times}")),
            2 => (0..9_u64, 0..9_000_u64, 0..9_u32)
                .prop_map(|(key, until, times)| format!("{key:032x} {until} {times}")),
            1 => any::<String>(),
        ];
        proptest::collection::vec(line, 0..120).prop_map(|lines| lines.join("\n"))
    }

    proptest! {
        #[test]
        fn any_text_is_a_list_of_bounded_size_that_lasts(
            text in text(),
            now: u64,
            number in 0..9_u64,
        ) {
            let mut list = parse(&text);
            prop_assert_eq!(&parse(&list.to_string()), &list);
            for entry in list.entries() {
                // However the clock goes, there is never more than its length left.
                prop_assert!(entry.until - entry.since() <= LONGEST);
                prop_assert!(!entry.counts(now) || entry.until - now <= length(entry.times));
            }
            list.add(&network(number), now);
            prop_assert!(list.entries().len() <= MOST);
            list.remove(&network(number));
            prop_assert!(list.of(&network(number)).is_none());
        }
    }
}
