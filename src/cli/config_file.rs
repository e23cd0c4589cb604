//! `serve --config FILE`: the options of `serve` in TOML, under the same names.
//!
//! What stands there takes the place of the defaults, so an option and an environment variable of the same name
//! (`max-viewers`, `TUNNELCAST_MAX_VIEWERS`) go before it. Each value is read by the option's own reader.

use std::{
    fs::File,
    io::{self, Read as _},
    ops::Range,
    path::Path,
};

use clap::{Arg, ArgAction, Command, builder::OsStr, error::ErrorKind};
use toml::de::{DeTable, DeValue};

/// Options of `serve` that make no sense in a file.
const NOT_IN_A_FILE: [&str; 2] = ["config", "check-config"];

/// `serve` with an environment variable for each option.
pub(super) fn with_environment(serve: Command) -> Command {
    serve.mut_args(|arg| match arg.get_long() {
        Some(long) if long != "help" => {
            let name = format!("TUNNELCAST_{}", long.replace('-', "_").to_uppercase());
            let arg = arg.env(OsStr::from(name)).hide_env(true);
            // An environment variable has one value.
            if takes_several(&arg) {
                arg.value_delimiter(',')
            } else {
                arg
            }
        }
        _ => arg,
    })
}

/// `serve` with what stands in the file for defaults.
///
/// # Errors
/// The file cannot be read, is no TOML, has a name that is none, or a value that its option does not take; with the line.
pub(super) fn with_file(serve: Command, path: &Path) -> Result<Command, clap::Error> {
    let text =
        read(path).map_err(|err| fault(&format!("cannot read {}: {err}", path.display())))?;
    let at = |span: Range<usize>, words: &str| {
        let before = text.get(..span.start).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        fault(&format!("{}:{line}: {words}", path.display()))
    };
    let table = DeTable::parse(&text)
        .map_err(|err| at(err.span().unwrap_or_default(), err.message().trim_end()))?;
    let mut filled = serve.clone();
    for (name, value) in table.get_ref() {
        let (place, name) = (name.span(), name.get_ref());
        let Some(arg) = options(&serve).find(|arg| arg.get_long() == Some(name)) else {
            return Err(at(place, &unknown(&serve, name)));
        };
        let values = values(value.get_ref(), takes_several(arg))
            .ok_or_else(|| at(place.clone(), &format!("`{name}` takes no such value")))?;
        if let Some(words) = refused(&serve, arg, &values) {
            return Err(at(place, &words));
        }
        filled = filled.mut_arg(arg.get_id().clone(), |arg| {
            arg.default_values(values.into_iter().map(OsStr::from))
        });
    }
    Ok(filled)
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let mut file = File::open(path)?.take(MOST + 1);
    file.read_to_string(&mut text)?;
    if file.limit() == 0 {
        let words = format!("it has more than {MOST} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, words));
    }
    Ok(text)
}

fn fault(words: &str) -> clap::Error {
    clap::Error::raw(ErrorKind::InvalidValue, format!("{words}\n"))
}

/// Those that may stand in a file.
fn options(serve: &Command) -> impl Iterator<Item = &Arg> {
    serve.get_arguments().filter(|arg| {
        arg.get_long()
            .is_some_and(|long| !NOT_IN_A_FILE.contains(&long))
    })
}

fn takes_several(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Append)
}

fn is_switch(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::SetTrue)
}

/// A value, or a list of them where there may be several, as they would stand on the command line.
fn values(value: &DeValue<'_>, several: bool) -> Option<Vec<String>> {
    match value {
        DeValue::String(text) => Some(vec![text.to_string()]),
        // Only what people write: hexadecimal numbers are none of the command line either.
        DeValue::Integer(number) if number.radix() == 10 => {
            Some(vec![number.as_str().replace('_', "")])
        }
        DeValue::Boolean(switch) => Some(vec![switch.to_string()]),
        DeValue::Array(list) if several => list
            .iter()
            .map(|value| values(value.get_ref(), false)?.pop())
            .collect(),
        DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Datetime(_)
        | DeValue::Array(_)
        | DeValue::Table(_) => None,
    }
}

/// Why the option does not take these values, if it does not.
fn refused(serve: &Command, arg: &Arg, values: &[String]) -> Option<String> {
    let long = arg.get_long()?;
    if is_switch(arg) {
        let known = values
            .iter()
            .all(|value| ["true", "false"].contains(&value.as_str()));
        return (!known).then(|| format!("`{long}` is true or false"));
    }
    let line = values.iter().map(|value| format!("--{long}={value}"));
    let err = serve
        .clone()
        .no_binary_name(true)
        .try_get_matches_from(line)
        .err()?;
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "all but these are about what else is there or missing"
    )]
    match err.kind() {
        ErrorKind::InvalidValue | ErrorKind::ValueValidation | ErrorKind::InvalidUtf8 => {
            let said = err.to_string();
            let first = said.lines().next().unwrap_or_default();
            Some(first.trim_start_matches("error: ").to_owned())
        }
        _ => None,
    }
}

fn unknown(serve: &Command, name: &str) -> String {
    let near = options(serve)
        .filter_map(Arg::get_long)
        .map(|long| (distance(name, long), long))
        .min()
        .filter(|(distance, long)| *distance <= long.len() / 3);
    match near {
        Some((_, long)) => format!("there is no option `{name}`; did you mean `{long}`?"),
        None => format!("there is no option `{name}`: `tunnelcast serve --help` lists them"),
    }
}

/// How many letters are to be changed, put in or left out to make one word of the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (above, letter) in one.chars().take(LONGEST).enumerate() {
        let mut corner = above;
        row[0] = above + 1;
        for (at, wanted) in other.iter().enumerate() {
            let change = corner + usize::from(letter != *wanted);
            corner = row[at + 1];
            row[at + 1] = change.min(row[at] + 1).min(corner + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

/// Bytes of a file.
const MOST: u64 = 1 << 20;
/// Letters of a name that are compared.
const LONGEST: usize = 64;

#[cfg(test)]
mod tests {
    use clap::{Args as _, FromArgMatches as _};

    use super::super::serve::Arguments;
    use super::*;

    fn serve() -> Command {
        with_environment(Arguments::augment_args(Command::new("serve")))
    }

    /// What `serve` makes of this file and these arguments, as it shows itself.
    fn parse(file: &str, arguments: &[&str]) -> Result<String, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.toml");
        std::fs::write(&path, file).unwrap();
        let short = |err: clap::Error| {
            let text = err.to_string();
            let text = text.trim_start_matches("error: ").trim_end();
            text.replace(&*path.to_string_lossy(), "FILE")
        };
        let serve = with_file(serve(), &path).map_err(short)?;
        let line = ["serve"].iter().chain(arguments);
        let matches = serve.try_get_matches_from(line).map_err(short)?;
        let arguments = Arguments::from_arg_matches(&matches).map_err(short)?;
        Ok(format!("{arguments:?}"))
    }

    #[test]
    fn a_file_takes_the_place_of_defaults_and_an_option_goes_before_it() {
        let file = "max-viewers = 1_7 # not many\nno-quic = true\nname = \"cam\"\n\
                    listen = [\"127.0.0.1:1\", \"[::1]:2\"]\ntrusted-proxy = \"10.0.0.0/8\"\n\
                    handshake-timeout = \"3s\"\n";
        let read = parse(file, &[]).unwrap();
        for part in [
            "max_viewers: 17",
            "no_quic: true",
            "name: \"cam\"",
            "listen: [127.0.0.1:1, [::1]:2]",
            "handshake_timeout: 3s",
        ] {
            assert!(read.contains(part), "{part}: {read}");
        }
        let read = parse(file, &["--max-viewers", "5", "--listen", "127.0.0.1:9"]).unwrap();
        for part in ["max_viewers: 5", "listen: [127.0.0.1:9]", "name: \"cam\""] {
            assert!(read.contains(part), "{part}: {read}");
        }
        assert_eq!(parse("", &[]), parse("no-quic = false", &[]));
    }

    #[test]
    fn each_mistake_has_its_line_and_says_what_would_be_right() {
        for (file, words) in [
            (
                "name = \"a\"\nmax-veiwers = 3",
                "FILE:2: there is no option `max-veiwers`; did you mean `max-viewers`?",
            ),
            (
                "max_viewers = 3",
                "FILE:1: there is no option `max_viewers`; did you mean `max-viewers`?",
            ),
            (
                "colour = \"blue\"",
                "FILE:1: there is no option `colour`: `tunnelcast serve --help` lists them",
            ),
            (
                "config = \"other\"",
                "FILE:1: there is no option `config`: `tunnelcast serve --help` lists them",
            ),
            (
                "\n\nmax-viewers = \"many\"",
                "FILE:3: invalid value 'many' for '--max-viewers <N>': invalid digit found in string",
            ),
            (
                "max-handshakes = 0",
                "FILE:1: invalid value '0' for '--max-handshakes <N>': a number from 1 on",
            ),
            ("no-quic = 3", "FILE:1: `no-quic` is true or false"),
            ("name = [\"a\"]", "FILE:1: `name` takes no such value"),
            ("listen = [[\"a\"]]", "FILE:1: `listen` takes no such value"),
            ("[limits]\n", "FILE:1: there is no option `limits`"),
            (
                "max-viewers = 0x10",
                "FILE:1: `max-viewers` takes no such value",
            ),
        ] {
            let said = parse(file, &[]).unwrap_err();
            assert!(said.starts_with(words), "{said}");
        }
        let long = "#".repeat(1 << 20);
        assert!(parse(&long, &[]).is_ok());
        let said = parse(&format!("{long}\n"), &[]).unwrap_err();
        assert_eq!(said, "cannot read FILE: it has more than 1048576 bytes");
        for broken in ["name = ", "=", "name = \"a\"\nname = \"b\"", "\u{0}"] {
            let said = parse(broken, &[]).unwrap_err();
            assert!(said.starts_with("FILE:"), "{said}");
        }
    }

    #[test]
    fn a_word_is_as_far_from_another_as_letters_differ() {
        for (one, other, far) in [
            ("", "abc", 3),
            ("abc", "abc", 0),
            ("acb", "abc", 2),
            ("ab", "abc", 1),
        ] {
            assert_eq!(distance(one, other), far, "{one} {other}");
        }
    }
}
