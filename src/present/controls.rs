//! Keys, and what they do: one table for the window and for the help that it shows.

/// What the person at the window asks of the playback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command {
    /// End; the window is closing.
    Quit,
    /// Sound off, or on again.
    ToggleMute,
    /// Louder or quieter by so many percent of full volume.
    Volume(i8),
    /// Write the picture that is shown into a file.
    Snapshot,
}

/// What a key does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Somebody else's business.
    Send(Command),
    /// Full screen, or back.
    FullScreen,
    /// Statistics over the picture, or gone.
    Statistics,
    /// Help over the picture, or gone.
    Help,
}

/// A key as the person sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key<'a> {
    /// What it types, with its shift state.
    Typed(&'a str),
    /// Esc.
    Escape,
}

/// Whether a key was just pressed, or is held down and repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Press {
    /// Just now.
    First,
    /// The keyboard repeats it.
    Repeated,
}

/// What `key` does; `None` where it does nothing. Held keys only change the volume.
pub(super) fn action(key: Key<'_>, press: Press) -> Option<Action> {
    let row = KEYS.iter().find(|row| row.keys.contains(&key))?;
    let repeats = matches!(row.action, Action::Send(Command::Volume(_)));
    (press == Press::First || repeats).then_some(row.action)
}

/// Lines for the help overlay.
pub(super) fn help() -> Vec<String> {
    KEYS.iter()
        .map(|row| format!("{:<6} {}", row.name, row.does))
        .collect()
}

struct Row {
    keys: &'static [Key<'static>],
    name: &'static str,
    action: Action,
    does: &'static str,
}

/// Percent of full volume per key press.
const VOLUME_STEP: i8 = 5;

/// mpv's and VLC's keys.
const KEYS: [Row; 8] = [
    Row {
        keys: &[Key::Typed("q"), Key::Typed("Q"), Key::Escape],
        name: "q Esc",
        action: Action::Send(Command::Quit),
        does: "quit",
    },
    Row {
        keys: &[Key::Typed("f"), Key::Typed("F")],
        name: "f",
        action: Action::FullScreen,
        does: "full screen",
    },
    Row {
        keys: &[Key::Typed("m"), Key::Typed("M")],
        name: "m",
        action: Action::Send(Command::ToggleMute),
        does: "sound off and on",
    },
    Row {
        keys: &[Key::Typed("9"), Key::Typed("/")],
        name: "9",
        action: Action::Send(Command::Volume(-VOLUME_STEP)),
        does: "quieter",
    },
    Row {
        keys: &[Key::Typed("0"), Key::Typed("*")],
        name: "0",
        action: Action::Send(Command::Volume(VOLUME_STEP)),
        does: "louder",
    },
    Row {
        keys: &[Key::Typed("i"), Key::Typed("I")],
        name: "i",
        action: Action::Statistics,
        does: "statistics",
    },
    Row {
        keys: &[Key::Typed("s")],
        name: "s",
        action: Action::Send(Command::Snapshot),
        does: "snapshot",
    },
    Row {
        keys: &[Key::Typed("?"), Key::Typed("h")],
        name: "?",
        action: Action::Help,
        does: "this help",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_do_what_the_manual_says() {
        let press = |typed| action(Key::Typed(typed), Press::First);
        assert_eq!(press("q"), Some(Action::Send(Command::Quit)));
        assert_eq!(
            action(Key::Escape, Press::First),
            Some(Action::Send(Command::Quit))
        );
        assert_eq!(press("m"), Some(Action::Send(Command::ToggleMute)));
        assert_eq!(press("9"), Some(Action::Send(Command::Volume(-5))));
        assert_eq!(press("0"), Some(Action::Send(Command::Volume(5))));
        assert_eq!(press("s"), Some(Action::Send(Command::Snapshot)));
        assert_eq!(press("f"), Some(Action::FullScreen));
        assert_eq!(press("i"), Some(Action::Statistics));
        assert_eq!(press("?"), Some(Action::Help));
        assert_eq!(press("x"), None);
    }

    #[test]
    fn a_held_key_only_changes_the_volume() {
        assert_eq!(action(Key::Typed("f"), Press::Repeated), None);
        assert_eq!(action(Key::Typed("m"), Press::Repeated), None);
        assert!(action(Key::Typed("0"), Press::Repeated).is_some());
    }

    #[test]
    fn no_key_is_in_two_rows_and_help_has_them_all() {
        let mut seen = Vec::new();
        for row in &KEYS {
            for key in row.keys {
                assert!(!seen.contains(key), "{key:?}");
                seen.push(*key);
            }
        }
        assert_eq!(help().len(), KEYS.len());
    }
}
