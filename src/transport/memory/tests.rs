use super::*;

/// Long after 1970.
const NOON: u64 = 1_700_000_000;

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn cam() -> Network {
    Network::unknown("cam")
}

#[test]
fn what_is_found_broken_counts_for_five_minutes_also_in_the_next_run() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("new/state/networks");
    let mut memory = Memory::open(&path);
    assert_eq!(memory.is_broken(&cam(), at(NOON)), None);
    memory.broken(&cam(), at(NOON)).unwrap();
    for memory in [&memory, &Memory::open(&path)] {
        let broken = Broken {
            since: at(NOON),
            until: at(NOON + 300),
            times: 1,
        };
        assert_eq!(memory.is_broken(&cam(), at(NOON)), Some(broken));
        assert_eq!(memory.is_broken(&cam(), at(NOON + 299)), Some(broken));
        assert_eq!(memory.is_broken(&cam(), at(NOON + 300)), None);
        assert_eq!(memory.is_broken(&Network::unknown("dam"), at(NOON)), None);
    }
}

#[test]
fn each_time_in_a_row_counts_twice_as_long_up_to_an_hour() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("networks");
    let mut now = NOON;
    for (times, length) in [
        (1, 300),
        (2, 600),
        (3, 1200),
        (4, 2400),
        (5, 3600),
        (6, 3600),
    ] {
        let mut memory = Memory::open(&path);
        memory.broken(&cam(), at(now)).unwrap();
        // Found again while it counts, it is the same time.
        memory.broken(&cam(), at(now + 1)).unwrap();
        let broken = memory.is_broken(&cam(), at(now)).unwrap();
        assert_eq!((broken.times, broken.until), (times, at(now + length)));
        now += length;
    }
}

#[test]
fn a_success_or_a_week_ends_the_row() {
    let dir = tempfile::tempdir().unwrap();
    let mut memory = Memory::open(&dir.path().join("networks"));
    let times = |memory: &Memory, now| memory.is_broken(&cam(), at(now)).map(|b| b.times);
    memory.broken(&cam(), at(NOON)).unwrap();
    memory.works(&cam()).unwrap();
    assert_eq!(times(&memory, NOON), None);
    memory.broken(&cam(), at(NOON + 300)).unwrap();
    assert_eq!(times(&memory, NOON + 300), Some(1));
    let later = NOON + 600 + 7 * 24 * 3600;
    memory.broken(&cam(), at(later)).unwrap();
    assert_eq!(times(&memory, later), Some(1));
}

#[test]
fn a_clock_set_back_makes_nothing_last_longer() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("networks");
    let mut memory = Memory::open(&path);
    memory.broken(&cam(), at(NOON)).unwrap();
    for back in [1, 300, 86_400, NOON] {
        assert_eq!(memory.is_broken(&cam(), at(NOON - back)), None);
    }
    assert_eq!(
        memory.is_broken(&cam(), UNIX_EPOCH - Duration::from_secs(9)),
        None
    );
    // Found again by the new clock, it counts from there, and what the old one said is gone.
    memory
        .broken(&Network::unknown("dam"), at(NOON - 1000))
        .unwrap();
    assert_eq!(memory.is_broken(&cam(), at(NOON)), None);
}

#[test]
fn a_file_that_cannot_be_understood_is_empty_and_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("networks");
    fs::write(&path, [0xff; 100_000]).unwrap();
    let mut memory = Memory::open(&path);
    assert_eq!(memory.is_broken(&cam(), at(NOON)), None);
    memory.broken(&cam(), at(NOON)).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text, format!("{} {} 1\n", cam(), NOON + 300));
}

#[test]
fn where_nothing_can_be_written_the_value_still_remembers() {
    let dir = tempfile::tempdir().unwrap();
    // A directory is no file.
    let mut memory = Memory::open(dir.path());
    assert!(memory.broken(&cam(), at(NOON)).is_err());
    memory.broken(&Network::unknown("dam"), at(NOON)).unwrap();
    assert!(memory.is_broken(&cam(), at(NOON)).is_some());
}

#[test]
fn two_that_write_keep_what_the_other_has_found() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("networks");
    let (mut one, mut two) = (Memory::open(&path), Memory::open(&path));
    let dam = Network::unknown("dam");
    one.broken(&cam(), at(NOON)).unwrap();
    two.broken(&dam, at(NOON)).unwrap();
    let both = Memory::open(&path);
    assert!(both.is_broken(&cam(), at(NOON)).is_some());
    assert!(both.is_broken(&dam, at(NOON)).is_some());
}

#[test]
fn whoever_reads_while_others_write_reads_a_whole_list() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("networks");
    Memory::open(&path).broken(&cam(), at(NOON)).unwrap();
    std::thread::scope(|scope| {
        for host in ["one", "two"] {
            let path = &path;
            scope.spawn(move || {
                let mut memory = Memory::open(path);
                for _ in 0..20 {
                    memory.broken(&Network::unknown(host), at(NOON)).unwrap();
                    memory.works(&Network::unknown(host)).unwrap();
                }
            });
        }
        for _ in 0..200 {
            assert!(Memory::open(&path).is_broken(&cam(), at(NOON)).is_some());
        }
    });
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[cfg(unix)]
#[test]
fn the_file_and_its_directory_are_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("new/networks");
    Memory::open(&path).broken(&cam(), at(NOON)).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
}
