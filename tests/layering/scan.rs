//! Reads Rust sources just well enough to say which paths production code mentions.

/// One source file.
pub(crate) struct Source {
    /// From the crate's root, with `/`.
    pub(crate) name: String,
    /// As on disk.
    pub(crate) text: String,
}

/// A path that a source mentions, `use` groups spelt out and leading `super`s resolved to `crate`.
pub(crate) struct Use {
    pub(crate) path: Vec<String>,
    /// Counted from 1.
    pub(crate) line: usize,
}

impl Source {
    /// The top-level module that this file belongs to; `main` and `lib` for the roots.
    pub(crate) fn module(&self) -> &str {
        let inside = self.name.strip_prefix("src/").unwrap_or(&self.name);
        inside
            .split('/')
            .next()
            .unwrap_or(inside)
            .trim_end_matches(".rs")
    }

    /// Whether it is this module (`codec`), or belongs to this folder of one (`transport/race`).
    pub(crate) fn is_in(&self, place: &str) -> bool {
        let inside = self.name.strip_prefix("src/").unwrap_or(&self.name);
        let rest = inside.strip_prefix(place);
        rest.is_some_and(|rest| rest.starts_with(['/', '.']))
    }

    pub(crate) fn is_root(&self) -> bool {
        self.name == "src/lib.rs"
    }

    /// Whether the whole file is compiled for tests only.
    pub(crate) fn is_test(&self) -> bool {
        self.name.ends_with("/tests.rs") || self.name.contains("/tests/")
    }

    pub(crate) fn lines(&self) -> usize {
        self.text.lines().count()
    }

    /// The paths that its production code mentions.
    pub(crate) fn uses(&self) -> Vec<Use> {
        let words = without_tests(&words(&without_prose(&self.text)));
        let mut uses = Vec::new();
        let mut at = 0;
        while at < words.len() {
            let before = at.checked_sub(1).map(|before| words[before].text.as_str());
            if words[at].is_name() && before != Some("::") && before != Some(".") {
                at = tree(&words, at, &[], &mut uses);
            }
            at += 1;
        }
        let depth = self.depth();
        for used in &mut uses {
            let supers = used.path.iter().take_while(|part| *part == "super").count();
            if supers > 0 && supers >= depth {
                used.path.splice(..supers, ["crate".to_owned()]);
            }
        }
        uses
    }

    /// How many `super`s lead from here to the crate's root.
    fn depth(&self) -> usize {
        let parts = self.name.split('/').count() - 1;
        if self.name.ends_with("/mod.rs") {
            parts - 1
        } else {
            parts
        }
    }
}

impl Use {
    /// The top-level module that it names, where it names one.
    pub(crate) fn in_crate(&self) -> Option<&str> {
        match self.path.as_slice() {
            [root, module, ..] if root == "crate" || root == "tunnelcast" => Some(module),
            _ => None,
        }
    }

    /// Whether it begins with `path`, or, for a path to a function, ends with it.
    pub(crate) fn mentions(&self, path: &str) -> bool {
        let wanted: Vec<&str> = path.split("::").collect();
        let own: Vec<&str> = self.path.iter().map(String::as_str).collect();
        own.starts_with(&wanted) || (wanted.len() > 1 && own.ends_with(&wanted))
    }
}

/// Whether `word` stands in `line` on its own.
pub(crate) fn has_word(line: &str, word: &str) -> bool {
    let part = |byte: Option<char>| byte.is_some_and(|byte| byte.is_alphanumeric() || byte == '_');
    line.match_indices(word).any(|(at, _)| {
        let after = !word.ends_with('!') && part(line[at + word.len()..].chars().next());
        !part(line[..at].chars().next_back()) && !after
    })
}

/// Whether `line` is a comment that was code: it begins like a statement and ends like one.
pub(crate) fn is_code_in_a_comment(line: &str) -> bool {
    let Some(comment) = line.trim_start().strip_prefix("//") else {
        return false;
    };
    let comment = comment.trim();
    const STARTS: [&str; 9] = [
        "let ", "use ", "pub ", "fn ", "return ", "self.", "#[", "if ", "for ",
    ];
    STARTS.iter().any(|start| comment.starts_with(start))
        && (comment.ends_with([';', '{', '}']) || comment.ends_with(")]"))
}

#[derive(Clone)]
struct Word {
    text: String,
    line: usize,
}

impl Word {
    fn is_name(&self) -> bool {
        self.text
            .starts_with(|first: char| first.is_alphabetic() || first == '_')
    }
}

/// Reads the path or `use` tree that begins at `at`, below `stem`; gives the last word that belongs to it.
fn tree(words: &[Word], mut at: usize, stem: &[String], uses: &mut Vec<Use>) -> usize {
    let mut path = stem.to_vec();
    let line = words[at].line;
    loop {
        path.push(words[at].text.clone());
        let text = |ahead: usize| words.get(at + ahead).map_or("", |word| word.text.as_str());
        if text(1) != "::" {
            break;
        }
        let next = &words[(at + 2).min(words.len() - 1)];
        if next.is_name() || next.text == "*" {
            at += 2;
        } else if next.text == "{" {
            at += 3;
            while at < words.len() && words[at].text != "}" {
                if words[at].is_name() || words[at].text == "*" {
                    let alias = at
                        .checked_sub(1)
                        .is_some_and(|before| words[before].text == "as");
                    if words[at].text != "as" && !alias {
                        at = tree(words, at, &path, uses);
                    }
                }
                at += 1;
            }
            return at;
        } else {
            break;
        }
    }
    if path.len() > 1 {
        uses.push(Use { path, line });
    }
    at
}

/// The words of code: names, `::`, and single signs.
fn words(code: &str) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    for (at, line) in code.lines().enumerate() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let name = |byte: char| byte.is_alphanumeric() || byte == '_';
            let length = if name(first) {
                rest.find(|byte| !name(byte)).unwrap_or(rest.len())
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            words.push(Word {
                text: rest[..length].to_owned(),
                line: at + 1,
            });
            rest = rest[length..].trim_start();
        }
    }
    words
}

/// Leaves out every item under `#[cfg(test)]`.
fn without_tests(words: &[Word]) -> Vec<Word> {
    const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let marked = |at: usize| {
        MARK.iter()
            .enumerate()
            .all(|(ahead, sign)| words.get(at + ahead).is_some_and(|word| word.text == *sign))
    };
    let (mut kept, mut at) = (Vec::new(), 0);
    while at < words.len() {
        if !marked(at) {
            kept.push(words[at].clone());
            at += 1;
            continue;
        }
        // The item ends at its first `;` outside any bracket, or where its braces close.
        let mut depth = 0usize;
        at += MARK.len();
        while at < words.len() {
            let text = words[at].text.as_str();
            at += 1;
            match text {
                "{" | "(" | "[" => depth += 1,
                "}" | ")" | "]" => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 && (text == ";" || text == "}") {
                break;
            }
        }
    }
    kept
}

/// The text with comments, strings and characters blanked; lines stay where they are.
fn without_prose(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let (mut code, mut at) = (String::with_capacity(text.len()), 0);
    while at < chars.len() {
        let rest = &chars[at..];
        let length = match rest {
            ['/', '/', ..] => rest
                .iter()
                .position(|sign| *sign == '\n')
                .unwrap_or(rest.len()),
            ['/', '*', ..] => block(rest),
            ['r', '"' | '#', ..]
                if !code.ends_with(|last: char| last.is_alphanumeric() || last == '_') =>
            {
                raw(rest)
            }
            ['"', ..] => quoted(rest, '"'),
            ['\'', '\\', ..] => quoted(rest, '\''),
            ['\'', _, '\'', ..] => 3,
            _ => 0,
        };
        if length == 0 {
            code.push(chars[at]);
        } else {
            code.push(' ');
            code.extend(rest[..length].iter().filter(|sign| **sign == '\n'));
        }
        at += length.max(1);
    }
    code
}

/// The length of a block comment, nested ones included.
fn block(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0usize, 0);
    while at < rest.len() {
        match &rest[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// The length of a raw string, or 0 for a raw name.
fn raw(rest: &[char]) -> usize {
    let hashes = rest[1..].iter().take_while(|sign| **sign == '#').count();
    if rest.get(1 + hashes) != Some(&'"') {
        return 0;
    }
    let end: Vec<char> = std::iter::once('"')
        .chain(std::iter::repeat_n('#', hashes))
        .collect();
    let start = 2 + hashes;
    let body = rest[start..]
        .windows(end.len())
        .position(|window| window == end);
    body.map_or(rest.len(), |body| start + body + end.len())
}

/// The length of what `end` quotes, escapes minded.
fn quoted(rest: &[char], end: char) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != end {
        at += if rest[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

#[test]
fn groups_aliases_and_supers_are_spelt_out() {
    let text = "use crate::{wire::{self, Head as H}, media};\nfn f() { super::super::hub::x(); std::time::Instant::now() }\n";
    let source = Source {
        name: "src/session/client.rs".to_owned(),
        text: text.to_owned(),
    };
    let uses = source.uses();
    let paths: Vec<String> = uses.iter().map(|used| used.path.join("::")).collect();
    assert_eq!(
        paths,
        [
            "crate::wire::self",
            "crate::wire::Head",
            "crate::media",
            "crate::hub::x",
            "std::time::Instant::now"
        ]
    );
    assert!(uses[4].mentions("Instant::now") && uses[4].line == 2);
    assert_eq!(
        uses.iter().filter_map(Use::in_crate).collect::<Vec<_>>(),
        ["wire", "wire", "media", "hub"]
    );
}

#[test]
fn prose_and_tests_do_not_count() {
    let text = "//! crate::hub\n/* crate::cli */ const A: &str = \"crate::hub::x\"; const B: char = '\"';\n\
                #[cfg(test)]\nmod tests { use crate::server::X; fn f() { { } } }\n\
                fn g<'a>(x: &'a str) -> &'a str { crate::media::f(r#\"crate::\"cli\"#, x) }\n";
    let source = Source {
        name: "src/wire/mod.rs".to_owned(),
        text: text.to_owned(),
    };
    let uses = source.uses();
    assert_eq!(
        uses.iter()
            .map(|used| used.path.join("::"))
            .collect::<Vec<_>>(),
        ["crate::media::f"]
    );
    assert_eq!(uses[0].line, 5);
}

#[test]
fn words_and_dead_code_are_found() {
    assert!(
        has_word("// TODO: later", "TODO")
            && !has_word("let MY_TODOS = 1;", "TODO")
            && has_word("dbg!(x)", "dbg!")
    );
    assert!(
        is_code_in_a_comment("    // let x = 1;") && !is_code_in_a_comment("// for it may be late")
    );
}
