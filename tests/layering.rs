//! The rules of the source tree that the compiler does not know: who may import whom, what pure code must not touch,
//! and a few words and sizes that a review would turn down.
//!
//! The tables below are the rules; the tests read `src/` and say each breach with its file and line.

#[path = "layering/scan.rs"]
mod scan;

use std::{fs, path::Path};

use scan::{Source, Use};

/// Every top-level module and its layer: it may import modules of lower layers, and nothing else of the crate.
const LAYERS: &[(&str, u8)] = &[
    ("media", 0),
    ("file", 0),
    ("wire", 1),
    ("codec", 1),
    ("container", 1),
    ("jitter", 1),
    ("trust", 1),
    ("glyph", 1),
    ("quiet", 1),
    ("timeline", 2),
    ("session", 2),
    ("transport", 2),
    ("capture", 3),
    ("present", 3),
    ("hub", 3),
    ("drive", 4),
    ("playback", 4),
    ("config", 5),
    ("links", 5),
    ("error", 5),
    ("server", 6),
    ("client", 6),
    ("publish", 7),
    ("telemetry", 7),
    ("cli", 8),
    ("main", 9),
];

/// Imports that the layers would allow and that are wrong all the same, each with its reason.
const STRANGERS: &[(&str, &str, &str)] = &[
    ("transport", "media", "it moves bytes"),
    ("transport", "wire", "it moves bytes, no messages"),
    ("transport", "codec", "it moves bytes"),
    ("capture", "wire", "sources know no viewers"),
    ("capture", "session", "sources know no viewers"),
    ("capture", "transport", "sources know no viewers"),
    ("present", "transport", "a sink shows what it is given"),
    ("present", "session", "a sink shows what it is given"),
    ("timeline", "trust", "the ring knows no viewers"),
    ("hub", "transport", "streams know no addresses"),
];

/// Modules, or folders of modules, that read no clock, socket, thread or file: what they need is an argument.
const PURE: &[&str] = &[
    "media",
    "wire",
    "codec",
    "container",
    "jitter",
    "timeline",
    "session",
    "glyph",
    "transport/race",
    "links/moves",
    "links/merge",
];

/// What pure modules must not mention, as the beginning of a path or (from the left of `::`) its end.
const IMPURE: &[&str] = &[
    "tokio",
    "std::net",
    "std::thread",
    "std::fs",
    "std::process",
    "std::env",
    "std::io::stdin",
    "std::time::SystemTime",
    "Instant::now",
    "SystemTime::now",
];

/// Files of pure modules that may mention one of these all the same, each with its reason.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    (
        "src/codec/workers.rs",
        "std::thread",
        "parts of one picture are coded side by side; no thread outlives the call",
    ),
    (
        "src/links/moves/fuzz.rs",
        "Instant::now",
        "the fuzzer's time has to begin somewhere",
    ),
    (
        "src/transport/race/addresses.rs",
        "std::net",
        "it puts addresses in order and opens nothing",
    ),
];

/// Paths that others must not mention either, where somebody in particular owns the matter.
const RESERVED: &[(&str, &str)] = &[
    ("hub", "Instant::now"),
    ("config", "tokio"),
    ("error", "tokio"),
    ("trust", "tokio"),
];

/// Libraries that only some modules may know, so that each can be replaced in one place.
const LIBRARIES: &[(&str, &[&str])] = &[
    ("anyhow", &["main"]),
    ("clap", &["cli", "main"]),
    ("fearless_simd", &["codec"]),
    ("jpeg_encoder", &["codec"]),
    ("libjpeg_turbo_rs", &["codec"]),
    ("zune_jpeg", &["codec"]),
    ("opus", &["codec"]),
    ("rcgen", &["trust"]),
    ("webpki_roots", &["trust"]),
    ("ffmpeg_sidecar", &["capture"]),
    ("nokhwa", &["capture"]),
    ("v4l", &["capture"]),
    ("cpal", &["capture", "present"]),
    ("winit", &["present"]),
    ("softbuffer", &["present"]),
    ("rubato", &["capture", "present"]),
    ("hyper", &["transport", "server"]),
    ("quinn", &["transport"]),
    ("quinn_proto", &["transport"]),
    ("tokio_rustls", &["transport"]),
    ("tokio_tungstenite", &["transport"]),
    ("ppp", &["transport"]),
    ("toml", &["cli"]),
    ("listenfd", &["cli"]),
];

/// Words that mark unfinished work or a look inside, wherever they stand.
const WORDS: &[&str] = &[
    "TODO",
    "FIXME",
    "XXX",
    "HACK",
    "dbg!",
    "todo!",
    "unimplemented!",
];

/// A file longer than this does more than one thing.
const MOST_LINES: usize = 500;

/// A file longer than this is worth a look; it is named, and passes.
const MANY_LINES: usize = 300;

#[test]
fn every_top_level_module_has_its_layer() {
    report(
        sources()
            .iter()
            .filter(|source| !source.is_root())
            .filter_map(|source| {
                let module = source.module();
                layer(module)
                    .is_none()
                    .then(|| format!("{}: {module} is not in the table of layers", source.name))
            }),
    );
}

#[test]
fn modules_import_from_lower_layers_only() {
    report(each_use(|source, used| {
        let (from, to) = (source.module(), used.in_crate()?);
        let (own, other) = (layer(from)?, layer(to)?);
        (from != to && other >= own)
            .then(|| format!("{from} must not know {to} (layer {own} may import from below {own}, {to} is {other})"))
    }));
}

#[test]
fn strangers_stay_strangers() {
    report(each_use(|source, used| {
        let (from, to) = (source.module(), used.in_crate()?);
        let (.., why) = STRANGERS.iter().find(|(a, b, _)| *a == from && *b == to)?;
        Some(format!("{from} must not know {to}: {why}"))
    }));
}

#[test]
fn pure_modules_read_no_clock_socket_thread_or_file() {
    report(each_use(|source, used| {
        let module = source.module();
        let pure = PURE
            .iter()
            .any(|pure| source.is_in(pure))
            .then(|| IMPURE.iter().find(|path| used.mentions(path)))
            .flatten();
        let reserved = || {
            RESERVED
                .iter()
                .find(|(of, path)| *of == module && used.mentions(path))
                .map(|(_, path)| path)
        };
        let path = pure.or_else(reserved)?;
        let excepted = EXCEPTIONS
            .iter()
            .any(|(file, what, _)| *file == source.name && what == path);
        (!excepted).then(|| {
            format!("{module} must not know {path}: it takes what it needs as an argument")
        })
    }));
}

#[test]
fn each_library_is_known_in_its_own_place() {
    report(each_use(|source, used| {
        let module = source.module();
        let (library, places) = LIBRARIES
            .iter()
            .find(|(library, _)| used.path.first() == Some(&(*library).to_owned()))?;
        (!places.contains(&module)).then(|| {
            format!(
                "{module} must not know {library}: that is for {}",
                places.join(", ")
            )
        })
    }));
}

#[test]
fn glob_imports_of_the_parent_are_for_tests() {
    report(each_use(|_, used| {
        (used.path == ["super", "*"])
            .then(|| "`use super::*` outside tests: name what is used".to_owned())
    }));
}

#[test]
fn nothing_is_left_unfinished_or_commented_out() {
    report(sources().iter().flat_map(|source| {
        let lines = source.text.lines().enumerate();
        lines.filter_map(|(at, line)| {
            let place = format!("{}:{}", source.name, at + 1);
            if let Some(word) = WORDS.iter().find(|word| scan::has_word(line, word)) {
                return Some(format!("{place}: `{word}`"));
            }
            scan::is_code_in_a_comment(line).then(|| format!("{place}: commented-out code"))
        })
    }));
}

#[test]
fn every_file_says_its_purpose_and_is_short() {
    let sources = sources();
    for source in sources
        .iter()
        .filter(|source| (MANY_LINES + 1..=MOST_LINES).contains(&source.lines()))
    {
        println!(
            "{}: {} lines, more than {MANY_LINES}",
            source.name,
            source.lines()
        );
    }
    report(sources.iter().flat_map(|source| {
        // The tests of a module need no purpose of their own.
        let silent = !source.is_test()
            && !source.text.starts_with("//!")
            && !source.text.starts_with("#![doc");
        let long = source.lines() > MOST_LINES;
        let silent = silent.then(|| format!("{}: no `//!` that says its purpose", source.name));
        let long = long.then(|| {
            format!(
                "{}: {} lines, more than {MOST_LINES}",
                source.name,
                source.lines()
            )
        });
        silent.into_iter().chain(long)
    }));
}

/// The layer of a top-level module.
fn layer(module: &str) -> Option<u8> {
    LAYERS
        .iter()
        .find(|(name, _)| *name == module)
        .map(|(_, layer)| *layer)
}

/// What `judge` says of each path that production code mentions, with file and line before it.
fn each_use(judge: impl Fn(&Source, &Use) -> Option<String>) -> Vec<String> {
    let mut breaches = Vec::new();
    for source in sources()
        .iter()
        .filter(|source| !source.is_test() && source.name != "src/lib.rs")
    {
        for used in source.uses() {
            breaches.extend(
                judge(source, &used)
                    .map(|breach| format!("{}:{}: {breach}", source.name, used.line)),
            );
        }
    }
    breaches
}

/// Fails with every breach, one a line.
fn report(breaches: impl IntoIterator<Item = String>) {
    let breaches: Vec<String> = breaches.into_iter().collect();
    assert!(
        breaches.is_empty(),
        "{} breaches\n{}",
        breaches.len(),
        breaches.join("\n")
    );
}

/// Every Rust file under `src/`, in order of name.
fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut folders, mut found) = (vec![root.join("src")], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("src can be listed") {
            let path = entry.expect("src can be listed").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("sources are text");
                let name = path
                    .strip_prefix(root)
                    .expect("src lies in the root")
                    .to_string_lossy()
                    .replace('\\', "/");
                found.push(Source { name, text });
            }
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}
