//! Pictures on standard input: what is none ends the source with a word, what is damaged is left out, what changes its
//! size goes on.

use std::{
    io::Write as _,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tunnelcast::{
    codec::{Encoder, Quality, join},
    media::{MediaTime, Picture, Size},
};

use crate::support::{Program, Raw, TestViewer, watch};

/// Writes this to a server's standard input and ends it; gives the server's last word, with which it ends by itself.
fn refused(input: &[u8]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let (mut server, _) = Program::serve_with(dir.path(), 0, "--video pipe:-", |command| {
        command.stdin(Stdio::piped());
    });
    // It may end before all is written.
    let _closed = server.stdin().write_all(input);
    let server = server.end();
    assert_eq!(server.status, Some(5), "{server:?}");
    server.words
}

#[test]
fn standard_input_that_holds_no_pictures_ends_serve_with_its_reason() {
    let unknown = "neither YUV4MPEG2 nor a stream of JPEGs (it begins with";
    for (input, words) in [
        (&b""[..], "ended before the first picture"),
        (b"hello, world\n", unknown),
        (&[0; 4096], unknown),
        (b"YUV4MPEG2 W100000 H100000 F25:1\n", "100000"),
        (b"YUV4MPEG2 W0 H0 F25:1\n", "0x0"),
        (
            b"YUV4MPEG2 W99999999999999999999 H16\n",
            "width (W) is no number",
        ),
        (b"YUV4MPEG2 H16 F25:1\n", "has no width (W)"),
        (
            b"YUV4MPEG2 W16 H16 F25:1 C420p10\n",
            "'420p10' is not supported",
        ),
        (
            b"YUV4MPEG2 W16 H16 F25:1\nFRANK\n",
            "does not begin with FRAME",
        ),
        (
            b"YUV4MPEG2 W16 H16 F25:1\nFRAME\nshort",
            "ends within a picture",
        ),
    ] {
        let why = refused(input);
        assert!(
            why.contains(words),
            "{:?}: {why}",
            input.escape_ascii().to_string()
        );
    }
}

/// A standard JPEG of one colour.
pub(crate) fn jpeg(width: u32, height: u32, luma: u8) -> Bytes {
    let size = Size::new(width, height).unwrap();
    let mut encoder = Encoder::new(1, size, Quality::DEFAULT).unwrap();
    let picture = Picture::filled(size, [luma, 128, 128]);
    join(&encoder.encode(&picture, 1, MediaTime::ZERO).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jpegs_cut_short_are_left_out_and_a_new_size_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (mut server, link) = Program::serve_with(dir.path(), 0, "--video pipe:-", |command| {
        command.stdin(Stdio::piped());
    });
    let (small, large) = (jpeg(320, 192, 60), jpeg(640, 368, 180));
    let what = Arc::new(AtomicU8::new(0));
    let mut stdin = server.stdin();
    let writer = std::thread::spawn({
        let (what, small, large) = (Arc::clone(&what), small.clone(), large.clone());
        move || {
            // As a camera would, until the other end is gone.
            loop {
                let picture = match what.load(Ordering::Relaxed) {
                    0 => small.to_vec(),
                    1 => [&small[..small.len() / 2], &small].concat(),
                    _ => [&large[..large.len() / 2], b"\xff\xd8rubbish", &large].concat(),
                };
                if stdin.write_all(&picture).is_err() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    });
    let mut viewer = TestViewer::start(watch(&link));
    let mut raw = Raw::connect(&link).await;
    let mut sizes = Vec::new();
    for phase in 0..3 {
        what.store(phase, Ordering::Relaxed);
        let wanted = if phase < 2 { "320x192" } else { "640x368" };
        let mut whole = 0;
        while whole < 8 {
            let frame = raw.frame().await;
            let size = frame.rung.size().to_string();
            assert!(frame.complete, "{frame:?}");
            whole += u32::from(size == wanted);
            if sizes.last() != Some(&(frame.rung.id, size.clone())) {
                sizes.push((frame.rung.id, size));
            }
        }
        viewer.frames(4).await;
    }
    assert_eq!(sizes.len(), 2, "one rung for each size: {sizes:?}");
    let summary = viewer.stop().await;
    assert!(summary.frames_shown >= 12, "{summary:?}");
    drop(raw);
    server.interrupt();
    assert_eq!(server.end().status, Some(0));
    writer.join().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pictures_of_yuv4mpeg2_are_shown_and_the_end_of_the_pipe_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (mut server, link) = Program::serve_with(dir.path(), 0, "--video pipe:-", |command| {
        command.stdin(Stdio::piped());
    });
    let go_on = Arc::new(AtomicU8::new(1));
    let mut stdin = server.stdin();
    let writer = std::thread::spawn({
        let go_on = Arc::clone(&go_on);
        move || {
            let mut frame = b"FRAME\n".to_vec();
            frame.resize(6 + 320 * 192 * 3 / 2, 100);
            stdin
                .write_all(b"YUV4MPEG2 W320 H192 F25:1 C420jpeg\n")
                .unwrap();
            while go_on.load(Ordering::Relaxed) > 0 {
                stdin.write_all(&frame).unwrap();
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    });
    let mut raw = Raw::connect(&link).await;
    let mut numbers = Vec::new();
    for _ in 0..5 {
        let seen = raw.frame().await;
        assert!(seen.complete, "{seen:?}");
        assert_eq!(seen.rung.size().to_string(), "320x192");
        numbers.push(seen.number);
    }
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    go_on.store(0, Ordering::Relaxed);
    writer.join().unwrap();
    let ended = server
        .event_where(|event| event["state"] == "ended")
        .unwrap();
    assert_eq!(ended["why"], "standard input ended");
}
