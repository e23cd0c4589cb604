//! A link that names no stream: what there is, and which of it is meant.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::sync::Arc;

use tokio::runtime::Runtime;

use super::{Output, ask::Terminal};
use crate::{client, config::Watch, error::Error, trust::Link, wire::StreamInfo};

/// The same with a stream in its link: the one that the person chooses, where there is none in it.
pub(super) fn choose(runtime: &Runtime, config: Watch, output: &Output) -> Result<Watch, Error> {
    if !config.link.stream.is_empty() {
        return Ok(config);
    }
    let streams = runtime.block_on(client::list(&config, Arc::new(Terminal)))?;
    // The question is on standard error.
    let asked = output.is_terminal() && io::stdin().is_terminal() && io::stderr().is_terminal();
    let chosen = match &streams[..] {
        [only] if asked => only.name.as_str().to_owned(),
        [_, ..] if asked => ask(&streams).ok_or(Error::Unnamed)?,
        _ => {
            tell(output, &streams)?;
            return Err(Error::Unnamed);
        }
    };
    Ok(Watch {
        link: Link {
            stream: chosen,
            ..config.link
        },
        ..config
    })
}

/// Which one is meant; `None` if nobody says.
fn ask(streams: &[StreamInfo]) -> Option<String> {
    let mut screen = io::stderr().lock();
    for (number, stream) in (1..).zip(streams) {
        writeln!(
            screen,
            "{number:3}  {}{}",
            stream.name.as_str(),
            made_of(stream)
        )
        .ok()?;
    }
    loop {
        write!(screen, "Which one? [1-{}] ", streams.len()).ok()?;
        screen.flush().ok()?;
        let mut answer = String::new();
        if io::stdin().lock().read_line(&mut answer).ok()? == 0 {
            return None;
        }
        if let Some(stream) = pick(streams, answer.trim()) {
            return Some(stream.name.as_str().to_owned());
        }
    }
}

/// By number, or by name.
fn pick<'a>(streams: &'a [StreamInfo], answer: &str) -> Option<&'a StreamInfo> {
    let numbered = answer.parse().ok().and_then(|number: usize| {
        let at = number.checked_sub(1)?;
        streams.get(at)
    });
    numbered.or_else(|| streams.iter().find(|stream| stream.name.as_str() == answer))
}

fn tell(output: &Output, streams: &[StreamInfo]) -> Result<(), Error> {
    let fields = serde_json::json!({ "streams": streams });
    output.event("streams", &fields, &listed(streams))
}

/// Their names: a link would lack its token, which is a secret and is not shown.
fn listed(streams: &[StreamInfo]) -> String {
    if streams.is_empty() {
        return "there is no stream at the moment".to_owned();
    }
    let lines = streams
        .iter()
        .map(|stream| format!("{}{}", stream.name.as_str(), made_of(stream)));
    lines.collect::<Vec<_>>().join("\n")
}

const fn made_of(stream: &StreamInfo) -> &'static str {
    match (stream.video, stream.audio) {
        (true, true) => "",
        (true, false) => " (no sound)",
        (false, _) => " (sound only)",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_listed_and_no_link_that_would_not_do() {
        let stream = |name: &str, video, audio| StreamInfo {
            name: name.parse().unwrap(),
            video,
            audio,
        };
        let streams = [
            stream("attic", true, true),
            stream("door", true, false),
            stream("hall", false, true),
        ];
        let words = "attic\ndoor (no sound)\nhall (sound only)";
        assert_eq!(listed(&streams), words);
        assert_eq!(listed(&[]), "there is no stream at the moment");
    }

    #[test]
    fn a_stream_is_chosen_by_its_number_or_its_name() {
        let stream = |name: &str| StreamInfo {
            name: name.parse().unwrap(),
            video: true,
            audio: true,
        };
        let streams = [stream("attic"), stream("7"), stream("door")];
        let name = |answer| pick(&streams, answer).map(|stream| stream.name.as_str());
        assert_eq!(name("1"), Some("attic"));
        assert_eq!(name("3"), Some("door"));
        assert_eq!(name("door"), Some("door"));
        assert_eq!(name("7"), Some("7"));
        for none in ["0", "4", "", "attic2", "-1"] {
            assert_eq!(name(none), None, "{none}");
        }
    }
}
