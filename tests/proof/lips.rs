//! Lip-sync: the flash on the display and the beep behind the speaker, on one clock.

use std::io::Read as _;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use tunnelcast::capture::testcard;
use tunnelcast::media::Size;

use crate::rig::{
    Display, HEARING, Program, Pulse, Recorder, SEEING, Serving, at_last, clock_micros, turn,
};

/// Looks a second at the display.
const LOOKS: usize = 100;

/// Far from what anybody notices is 45 ms; what the recorder and the looks add is left room for.
const TOGETHER: f64 = 0.08;

#[test]
fn the_flash_is_seen_when_the_beep_is_heard() {
    let needs = [&SEEING[..], &HEARING, &["ffmpeg"]].concat();
    let Some(_turn) = turn("flash and beep", &needs) else {
        return;
    };
    let (display, pulse) = (Display::start(), Pulse::start());
    let serving = Serving::start(None, &["--video", "testcard:640x360@50", "--audio", "tone"]);
    let mut watch = Program::watch(Some(&display), Some(&pulse), &serving.link, &[]);
    watch.named("connected");
    std::thread::sleep(Duration::from_secs(3));
    let centre = testcard::flash_centre(Size::new(640, 360).unwrap());
    at_last(|| {
        let (looker, recorder) = (Looker::start(&display, centre), Recorder::start(&pulse));
        std::thread::sleep(Duration::from_secs(8));
        let (tape, flashes) = (recorder.stop(), looker.stop());
        let beeps: Vec<f64> = tape.beeps().iter().map(|at| tape.clock(*at)).collect();
        let mut apart: Vec<f64> = flashes
            .iter()
            .filter_map(|flash| {
                let apart = beeps.iter().map(|beep| flash - beep);
                apart.min_by(|a, b| a.abs().total_cmp(&b.abs()))
            })
            .filter(|apart| apart.abs() < 0.5)
            .collect();
        apart.sort_by(f64::total_cmp);
        println!("flashes are {apart:.3?} s after the beeps");
        let Some(middle) = apart.get(apart.len() / 2).filter(|_| apart.len() > 4) else {
            return Err(format!("flashes {flashes:?}, beeps {beeps:?}"));
        };
        if middle.abs() < TOGETHER {
            Ok(())
        } else {
            Err(format!("{middle} s apart"))
        }
    });
    let stats = watch.named("stats");
    println!("the viewer itself says {} ms", stats["av_skew_ms"]);
}

/// Watches a few pixels of the display.
struct Looker {
    child: Child,
    flashes: Option<JoinHandle<Vec<f64>>>,
}

impl Looker {
    fn start(display: &Display, (x, y): (usize, usize)) -> Self {
        const SIDE: usize = 8;
        let place = format!("{}.0+{},{}", display.name, x - SIDE / 2, y - SIDE / 2);
        let mut child = Command::new("ffmpeg")
            .args(["-loglevel", "error", "-fflags", "nobuffer"])
            .args(["-f", "x11grab", "-draw_mouse", "0"])
            .args(["-framerate", &LOOKS.to_string()])
            .args(["-video_size", &format!("{SIDE}x{SIDE}"), "-i", &place])
            .args([
                "-f",
                "rawvideo",
                "-pix_fmt",
                "gray",
                "-fps_mode",
                "passthrough",
                "-flush_packets",
                "1",
                "pipe:1",
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = child.stdout.take().unwrap();
        let look = move || {
            let (mut flashes, mut was_lit) = (Vec::new(), true);
            let mut look = [0; SIDE * SIDE];
            while output.read_exact(&mut look).is_ok() {
                let is_lit = look[SIDE * SIDE / 2] > 128;
                if is_lit && !was_lit {
                    flashes.push(clock_micros() as f64 / 1e6);
                }
                was_lit = is_lit;
            }
            flashes
        };
        let flashes = std::thread::Builder::new().name("looker".to_owned());
        Self {
            child,
            flashes: Some(flashes.spawn(look).unwrap()),
        }
    }

    /// When the box turned white, in seconds of the clock.
    fn stop(mut self) -> Vec<f64> {
        self.end();
        self.flashes.take().unwrap().join().unwrap()
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Looker {
    fn drop(&mut self) {
        self.end();
    }
}
