//! A real window on a virtual X display: what playback shows is what a screenshot holds, bit for bit.
//!
//! Needs `Xvfb` and `xwd`, the keys `xdotool`; a test says so and passes where they are missing. The window lives in a
//! child process (this program again), which obeys lines on its standard input.
#![cfg(feature = "window")]
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    reason = "helpers of a test fail as it does, and its child speaks on standard output"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use tunnelcast::media::{Pixels, Rect, Size};
use tunnelcast::present::window::{self, Painting, WindowOptions};
use tunnelcast::present::{ScreenWriter, screen};

#[test]
fn a_picture_is_on_the_display_bit_for_bit_whoever_paints_it() {
    for painting in ["direct", "window"] {
        let Some(display) = Display::start(800, 600) else {
            return;
        };
        let mut child = Viewer::start(&display, painting);
        child.tell("show 1 320 200");
        display.wait_for("the first picture", |shot| {
            shot.shows(&pattern(1, 320, 200), 320, 0, 0)
        });
        // Only the changed part is handed over, and only it changes.
        child.tell("change 2 320 200 100 50 64 48");
        display.wait_for("the changed part", |shot| {
            let mut wanted = pattern(1, 320, 200);
            repaint(
                &mut wanted,
                &pattern(2, 320, 200),
                320,
                Rect::new(100, 50, 64, 48),
            );
            shot.shows(&wanted, 320, 0, 0)
        });
        let shot = display.shot();
        assert_eq!(
            shot.at(320, 100),
            0,
            "the window is exactly as large as the picture"
        );
        assert_eq!(shot.at(100, 200), 0);
        // Another size later does not resize the window: that is the person's business by then.
        child.tell("show 3 160 100");
        display.wait_for("the smaller picture, doubled", |shot| {
            let corner = pattern(3, 160, 100);
            shot.at(0, 0) == corner[0]
                && shot.at(319, 199) == corner[160 * 100 - 1]
                && shot.at(320, 100) == 0
        });
        assert_eq!(
            child.end(),
            ["presented 1", "presented 2", "presented 3", "closed"],
            "{painting}"
        );
    }
}

#[test]
fn a_picture_larger_than_the_display_is_scaled_into_it() {
    let Some(display) = Display::start(400, 400) else {
        return;
    };
    let mut child = Viewer::start(&display, "direct");
    child.tell("plain 1 1280 720 00a0ff");
    display.wait_for("the scaled picture", |shot| {
        shot.at(0, 0) == 0xa0ff && shot.at(399, 224) == 0xa0ff && shot.at(0, 226) == 0
    });
    child.end();
}

#[test]
fn before_the_first_picture_a_dark_window_has_words() {
    let Some(display) = Display::start(800, 600) else {
        return;
    };
    let mut child = Viewer::start(&display, "direct");
    child.tell("words connecting to example.org");
    let ink = |shot: &Shot| shot.count(0xf0_f0f0);
    display.wait_for("words", |shot| {
        shot.at(0, 0) == 0x18_1a1e && ink(shot) > 500
    });
    let shot = display.shot();
    assert_eq!((shot.at(639, 359), shot.at(640, 359)), (0x18_1a1e, 0));
    // Over a picture, words leave the top left alone, and go when they are told to.
    child.tell("show 1 640 360");
    display.wait_for("words over the picture", |shot| {
        ink(shot) > 500 && shot.part(448, 32) == part(&pattern(1, 640, 360), 640, 448, 32)
    });
    child.tell("words");
    display.wait_for("the bare picture", |shot| {
        shot.shows(&pattern(1, 640, 360), 640, 0, 0)
    });
    // A message goes by itself.
    child.tell("message volume 80 %");
    display.wait_for("the message", |shot| {
        !shot.shows(&pattern(1, 640, 360), 640, 0, 0)
    });
    display.wait_for("the message's end", |shot| {
        shot.shows(&pattern(1, 640, 360), 640, 0, 0)
    });
    child.end();
}

#[test]
fn keys_reach_playback_and_q_closes() {
    let Some(display) = Display::start(800, 600) else {
        return;
    };
    if missing("xdotool") {
        return;
    }
    let mut child = Viewer::start(&display, "direct");
    child.tell("show 1 640 360");
    display.wait_for("the picture", |shot| {
        shot.shows(&pattern(1, 640, 360), 640, 0, 0)
    });
    // There is no window manager to do it.
    display.xdotool(&[
        "search",
        "--onlyvisible",
        "--name",
        "tunnelcast",
        "windowfocus",
        "--sync",
    ]);
    display.xdotool(&["key", "m", "9", "0", "s"]);
    display.xdotool(&["key", "i"]);
    display.wait_for("statistics", |shot| shot.count(0xf0_f0f0) > 200);
    child.tell("show 2 640 360");
    display.wait_for("a new picture under statistics", |shot| {
        shot.part(300, 300) == part(&pattern(2, 640, 360), 640, 300, 300)
            && shot.count(0xf0_f0f0) > 200
    });
    display.xdotool(&["key", "i"]);
    display.wait_for("no statistics", |shot| {
        shot.shows(&pattern(2, 640, 360), 640, 0, 0)
    });
    display.xdotool(&["key", "q"]);
    let lines = child.lines_until_exit();
    let commands: Vec<_> = lines
        .iter()
        .filter(|line| line.starts_with("command"))
        .collect();
    assert_eq!(
        commands,
        [
            "command ToggleMute",
            "command Volume(-5)",
            "command Volume(5)",
            "command Snapshot",
            "command Quit"
        ]
    );
    assert!(lines.contains(&"closed".to_owned()));
}

#[test]
fn no_display_is_an_error_that_says_what_to_do() {
    let mut child = Viewer::spawn(None, "direct");
    let lines = child.lines_until_exit();
    let [line] = &lines[..] else {
        panic!("{lines:?}")
    };
    assert!(
        line.starts_with("failed no display can be opened: set DISPLAY or WAYLAND_DISPLAY"),
        "{line}"
    );
}

/// `show` to the display having it; run with `cargo test --test window -- --ignored --nocapture how_long`.
#[test]
#[ignore = "a measurement"]
fn how_long_from_show_to_the_display() {
    for painting in ["direct", "window"] {
        let Some(display) = Display::start(1280, 720) else {
            return;
        };
        let mut child = Viewer::start(&display, painting);
        child.tell("show 1 1280 720");
        display.wait_for("the picture", |shot| {
            shot.shows(&pattern(1, 1280, 720), 1280, 0, 0)
        });
        child.tell("measure");
        for line in child
            .end()
            .iter()
            .filter(|line| line.starts_with("measured"))
        {
            println!("{painting}: {line}");
        }
    }
}

/// Not a test: the process that has the window.
#[test]
#[ignore = "the tests above start it"]
fn child_with_the_window() {
    let Ok(painting) = std::env::var(CHILD) else {
        return;
    };
    let (writer, screen) = screen();
    let (commands, received) = mpsc::channel();
    let obedient = {
        let writer = writer.clone();
        std::thread::Builder::new()
            .spawn(move || obey(&writer))
            .unwrap()
    };
    let listener = std::thread::Builder::new()
        .spawn(move || {
            received
                .iter()
                .for_each(|command| println!("\ncommand {command:?}"))
        })
        .unwrap();
    let painting = if painting == "direct" {
        Painting::Direct
    } else {
        Painting::Window
    };
    let options = WindowOptions {
        painting,
        ..WindowOptions::default()
    };
    match window::run(screen, options, commands) {
        Ok(()) => {
            listener.join().unwrap();
            println!("\nclosed");
        }
        Err(error) => println!("\nfailed {error}"),
    }
    drop(obedient);
}

/// Does what the lines on standard input say, until they end.
fn obey(writer: &ScreenWriter) {
    let mut shown = Vec::new();
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        let number = |n: usize| words[n].parse::<usize>().unwrap();
        match words[0] {
            "words" => writer.words(line.strip_prefix("words ").map(str::to_owned)),
            "message" => writer.message(line["message ".len()..].to_owned()),
            "measure" => measure(writer),
            _ => {
                let (frame, width, height) = (number(1), number(2), number(3));
                let picture = pattern(frame, width, height);
                let mut dirty = Rect::whole(width, height);
                match words[0] {
                    "show" => shown = picture,
                    "plain" => {
                        shown = vec![u32::from_str_radix(words[4], 16).unwrap(); width * height]
                    }
                    _ => {
                        dirty = Rect::new(number(4), number(5), number(6), number(7));
                        repaint(&mut shown, &picture, width, dirty);
                    }
                }
                let size = size(width, height);
                writer.show(frame as u64, &mut of(&shown, size), &[dirty]);
                wait_until_presented(writer, frame as u64);
                writer.keep(&mut of(&shown, size));
                println!("\npresented {frame}");
            }
        }
    }
    writer.close();
}

fn of(pixels: &[u32], size: Size) -> Pixels<'_> {
    Pixels::new(pixels, size).unwrap()
}

/// Shows many pictures, first with everything moving, then with a tenth, and says how long each took to be handed over.
fn measure(writer: &ScreenWriter) {
    let size = size(1280, 720);
    let pictures = [pattern(1, 1280, 720), pattern(2, 1280, 720)];
    let tenth: Vec<_> = (0..36)
        .map(|n| Rect::new(n % 8 * 160, n / 8 * 16 + n * 16, 160, 16))
        .collect();
    let mut frame = 1000;
    for (name, dirty) in [
        ("everything moving", &[Rect::whole(1280, 720)][..]),
        ("a tenth moving", &tenth),
    ] {
        let mut took = Vec::new();
        let mut returned = Vec::new();
        for n in 0..600 {
            frame += 1;
            let start = clock();
            writer.show(frame, &mut of(&pictures[n % 2], size), dirty);
            returned.push(start.elapsed());
            wait_until_presented(writer, frame);
            took.push(writer.presented().unwrap().at - start);
            writer.keep(&mut of(&pictures[n % 2], size));
            std::thread::sleep(Duration::from_millis(10));
        }
        took.sort();
        returned.sort();
        let ms = |v: &[Duration], percent: usize| v[v.len() * percent / 100].as_secs_f64() * 1e3;
        println!(
            "\nmeasured {name}: presented p50 {:.3} ms, p99 {:.3} ms; show returns p50 {:.3} ms, p99 {:.3} ms",
            ms(&took, 50),
            ms(&took, 99),
            ms(&returned, 50),
            ms(&returned, 99)
        );
    }
}

fn wait_until_presented(writer: &ScreenWriter, frame: u64) {
    let start = clock();
    while writer
        .presented()
        .is_none_or(|presented| presented.frame != frame)
    {
        assert!(
            start.elapsed() < PATIENCE,
            "picture {frame} is never presented"
        );
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// A viewer's window in a process of its own.
struct Viewer {
    process: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Viewer {
    fn start(display: &Display, painting: &str) -> Self {
        Self::spawn(Some(&display.name), painting)
    }

    fn spawn(display: Option<&str>, painting: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args([
                "--ignored",
                "--exact",
                "--nocapture",
                "child_with_the_window",
            ])
            .env(CHILD, painting)
            .env_remove("DISPLAY")
            .env_remove("WAYLAND_DISPLAY")
            .env_remove("WAYLAND_SOCKET")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        if let Some(display) = display {
            command.env("DISPLAY", display);
        }
        let mut process = command.spawn().unwrap();
        let input = process.stdin.take();
        let output = BufReader::new(process.stdout.take().unwrap());
        Self {
            process,
            input,
            output,
        }
    }

    fn tell(&mut self, line: &str) {
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Closes the window from playback's side and gives what was said.
    fn end(&mut self) -> Vec<String> {
        self.input = None;
        self.lines_until_exit()
    }

    fn lines_until_exit(&mut self) -> Vec<String> {
        let said = ["presented", "command", "closed", "failed", "measured"];
        let lines = self.output.by_ref().lines().map(Result::unwrap);
        let lines: Vec<String> = lines
            .filter(|line| said.iter().any(|word| line.starts_with(word)))
            .collect();
        assert!(self.process.wait().unwrap().success());
        lines
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        // It has ended already where the test went well.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A virtual X display without window manager.
struct Display {
    server: Child,
    name: String,
}

impl Display {
    /// `None`, with a word, where there is no Xvfb.
    fn start(width: u32, height: u32) -> Option<Self> {
        if missing("Xvfb") || missing("xwd") {
            return None;
        }
        let mut server = Command::new("Xvfb")
            .args(["-displayfd", "1", "-nolisten", "tcp", "-screen", "0"])
            .arg(format!("{width}x{height}x24"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut number = String::new();
        BufReader::new(server.stdout.take().unwrap())
            .read_line(&mut number)
            .unwrap();
        let name = format!(":{}", number.trim());
        Some(Self { server, name })
    }

    fn shot(&self) -> Shot {
        let dump = Command::new("xwd")
            .args(["-root", "-silent"])
            .env("DISPLAY", &self.name)
            .output()
            .unwrap();
        assert!(dump.status.success());
        Shot::parse(&dump.stdout)
    }

    fn wait_for(&self, what: &str, is_there: impl Fn(&Shot) -> bool) {
        let start = clock();
        while !is_there(&self.shot()) {
            assert!(start.elapsed() < PATIENCE, "{what} never came");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn xdotool(&self, args: &[&str]) {
        let status = Command::new("xdotool")
            .args(args)
            .env("DISPLAY", &self.name)
            .status()
            .unwrap();
        assert!(status.success());
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
    }
}

/// A screenshot.
struct Shot {
    width: usize,
    pixels: Vec<u32>,
}

impl Shot {
    /// The X window dump format: a header of 32-bit big-endian words, colour entries of 12 bytes, rows.
    fn parse(dump: &[u8]) -> Self {
        let word = |n: usize| u32::from_be_bytes(dump[n * 4..][..4].try_into().unwrap()) as usize;
        let (width, height, stride) = (word(4), word(5), word(12));
        assert_eq!(
            (word(7), word(11)),
            (0, 32),
            "little-endian pixels of 32 bits"
        );
        let rows = dump[word(0) + word(19) * 12..]
            .chunks_exact(stride)
            .take(height);
        let pixel = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().unwrap()) & 0xff_ffff;
        let pixels = rows
            .flat_map(|row| row[..width * 4].chunks_exact(4).map(pixel))
            .collect();
        Self { width, pixels }
    }

    fn at(&self, x: usize, y: usize) -> u32 {
        self.pixels[y * self.width + x]
    }

    fn shows(&self, picture: &[u32], width: usize, x: usize, y: usize) -> bool {
        let rows = self.pixels.chunks_exact(self.width).skip(y);
        picture
            .chunks_exact(width)
            .zip(rows)
            .all(|(wanted, row)| row[x..x + width] == *wanted)
    }

    fn part(&self, width: usize, height: usize) -> Vec<u32> {
        part(&self.pixels, self.width, width, height)
    }

    fn count(&self, colour: u32) -> usize {
        self.pixels.iter().filter(|pixel| **pixel == colour).count()
    }
}

/// The top left of a picture.
fn part(pixels: &[u32], stride: usize, width: usize, height: usize) -> Vec<u32> {
    pixels
        .chunks_exact(stride)
        .take(height)
        .flat_map(|row| row[..width].to_vec())
        .collect()
}

/// A picture in which no two neighbours are alike, dark enough to be told from words.
fn pattern(seed: usize, width: usize, height: usize) -> Vec<u32> {
    (0..width * height)
        .map(|n| (n + seed * 7919).wrapping_mul(2_654_435_761) as u32 & 0x7f_7f7f)
        .collect()
}

fn repaint(target: &mut [u32], source: &[u32], width: usize, rect: Rect) {
    for y in rect.y..rect.bottom() {
        target[y * width..][rect.x..rect.right()]
            .copy_from_slice(&source[y * width..][rect.x..rect.right()]);
    }
}

fn size(width: usize, height: usize) -> Size {
    Size::new(
        u32::try_from(width).unwrap(),
        u32::try_from(height).unwrap(),
    )
    .unwrap()
}

fn missing(program: &str) -> bool {
    let found = std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
    });
    if !found {
        println!("skipped: {program} is not installed");
    }
    !found
}

#[expect(
    clippy::disallowed_methods,
    reason = "a real display runs on real time"
)]
fn clock() -> Instant {
    Instant::now()
}

/// Names the child, and says who paints in it.
const CHILD: &str = "TUNNELCAST_WINDOW_TEST";

/// Far longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
