//! A line that is too slow, a picture that changes everywhere: each one that is shown is of one moment, whatever rung it
//! came on. Its number stands at its head and at its foot.

use std::{collections::HashMap, io::Write as _, process::Stdio, time::Duration};

use tunnelcast::{codec::Canvas, media::Raster, session::client::Event};

use crate::support::{Program, Raw, Relay};

const WIDTH: usize = 640;
const HEIGHT: usize = 368;
/// Of head and foot: at a quarter of the size still half a macroblock.
const MARK: usize = 32;
const BITS: usize = 16;
const BLOCK: usize = WIDTH / BITS;

/// A picture of noise between two marks.
fn picture(number: usize, noise: &mut u32) -> Vec<u8> {
    let mut bytes = b"FRAME\n".to_vec();
    for line in 0..HEIGHT {
        let marked = !(MARK..HEIGHT - MARK).contains(&line);
        bytes.extend((0..WIDTH).map(|x| {
            *noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            match (marked, number >> (x / BLOCK) & 1) {
                (true, 0) => 20,
                (true, _) => 235,
                (false, _) => (*noise >> 24) as u8 / 2 + 64,
            }
        }));
    }
    bytes.resize(bytes.len() + WIDTH * HEIGHT / 2, 128);
    bytes
}

/// The number at the head, or at the foot, of a picture of any size.
fn mark(canvas: &mut Canvas, foot: bool) -> usize {
    let size = canvas.size();
    let middle = MARK / 2 * size.height() / HEIGHT;
    let line = if foot {
        size.height() - 1 - middle
    } else {
        middle
    };
    (0..BITS)
        .map(|bit| {
            let x = (2 * bit + 1) * size.width() / (2 * BITS);
            let green = canvas.pixels()[line * size.width() + x] >> 8 & 0xFF;
            usize::from(green > 128) << bit
        })
        .sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn head_and_foot_of_every_picture_are_of_one_moment_on_a_line_that_is_too_slow() {
    let dir = tempfile::tempdir().unwrap();
    let (mut server, link) = Program::serve_with(dir.path(), 0, "--video pipe:-", |command| {
        command.stdin(Stdio::piped());
    });
    let mut stdin = server.stdin();
    let writer = std::thread::spawn(move || {
        let head = format!("YUV4MPEG2 W{WIDTH} H{HEIGHT} F25:1 C420jpeg XCOLORRANGE=FULL\n");
        stdin.write_all(head.as_bytes()).unwrap();
        let mut noise = 1;
        for number in 0.. {
            // Until nobody reads it any more.
            if stdin.write_all(&picture(number, &mut noise)).is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(40));
        }
    });
    // A tenth of what the full picture takes.
    let relay = Relay::start(&link, 150_000).await;
    let mut viewer = Raw::connect(&relay.link(&link)).await;
    let mut canvases = HashMap::new();
    let mut shown = Vec::new();
    let mut coarser = 0;
    while shown.len() < 60 || coarser < 20 {
        match viewer.event().await {
            Event::Rung(rung) => {
                canvases.insert(rung.id, Canvas::new(rung).unwrap());
            }
            Event::Cells { rung, cells, .. } => {
                assert_eq!(canvases.get_mut(&rung).unwrap().apply(&cells).bad, 0);
            }
            Event::FrameEnd { rung, frame, .. } => {
                let canvas = canvases.get_mut(&rung).unwrap();
                assert!(canvas.is_complete(), "frame {frame}");
                let (head, foot) = (mark(canvas, false), mark(canvas, true));
                assert_eq!(head, foot, "frame {frame}, {}", canvas.size());
                coarser += usize::from(canvas.size().width() < WIDTH);
                shown.push(head);
            }
            Event::Closed(reason) => panic!("closed: {reason:?}"),
            Event::Welcome(_)
            | Event::Subscribed { .. }
            | Event::Unsubscribed
            | Event::Refused { .. }
            | Event::Audio(_)
            | Event::Source { .. }
            | Event::LateEnd { .. }
            | Event::Answer(_) => {}
        }
    }
    assert!(shown.is_sorted(), "{shown:?}");
    drop(viewer);
    server.interrupt();
    assert_eq!(server.end().status, Some(0));
    writer.join().unwrap();
}
