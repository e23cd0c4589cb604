//! Cameras without hardware: a small guest under emulation has the kernel's test camera and a loopback camera that is
//! fed with JPEGs. What is captured, and what happens when a camera is missing, busy, unplugged or silent.

#![cfg(all(target_os = "linux", feature = "camera"))]
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test's helpers are tests too"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tunnelcast::capture::{self, AudioSpec, Keeper, Track, VideoSpec};
use tunnelcast::media::Image;

#[test]
fn a_camera_delivers_and_survives_what_happens_to_cameras() {
    let Some(rig) = Rig::find() else {
        return;
    };
    let probe = std::env::current_exe().unwrap();
    let console = rig.boot("capture.sh", &[&probe, &example("camfeed")]);
    let case = |name: &str| Case::of(&console, name);

    let missing = case("missing").error();
    assert!(
        missing.contains("there is no camera 7; there is 0 (vivid"),
        "{missing}"
    );
    let forbidden = case("forbidden").error();
    assert!(forbidden.contains("no permission"), "{forbidden}");
    let busy = case("busy").error();
    assert!(busy.contains("in use by another program"), "{busy}");

    let fractional = case("fractional");
    assert!(fractional.number("frames") >= 20, "{fractional:?}");
    assert_eq!(fractional.last()["image"], "640x480 pixels");
    // the colour bars, full range: the mean of each plane
    for (plane, mean) in ["y", "cb", "cr"].into_iter().zip([82, 130, 129]) {
        let got = fractional.number(plane);
        assert!(got.abs_diff(mean) <= 12, "{plane} is {got}");
    }

    let unplugged = case("unplugged");
    assert_eq!(unplugged.states(), ["live", "lost", "live"]);
    assert!(
        unplugged.why("lost").contains("is unplugged"),
        "{unplugged:?}"
    );
    assert!(unplugged.number("frames") >= 100, "{unplugged:?}");

    let jpeg = case("jpeg");
    assert!(jpeg.number("frames") >= 50, "{jpeg:?}");
    assert_eq!(jpeg.last()["image"], "1280x720 JPEG");
    assert_eq!(jpeg.last()["whole"], true, "every JPEG ends where it ends");
    let sizes = jpeg.number("least")..=jpeg.number("most");
    assert!(
        *sizes.start() < 20_000 && *sizes.end() < 80_000,
        "old bytes: {sizes:?}"
    );

    let stalled = case("stalled");
    let states = stalled.states();
    assert!(
        states.len() >= 3 && states.ends_with(&["live".to_owned()]),
        "{states:?}"
    );
    assert!(
        stalled.why("lost").contains("delivered nothing for 3 s"),
        "{stalled:?}"
    );
}

#[test]
fn pictures_of_a_camera_arrive_at_a_headless_viewer() {
    let Some(rig) = Rig::find() else {
        return;
    };
    let program = PathBuf::from(env!("CARGO_BIN_EXE_tunnelcast"));
    let console = rig.boot("serve.sh", &[&program, &example("camfeed")]);
    for (name, frames) in [("vivid", 20), ("jpeg", 10)] {
        let case = Case::of(&console, name);
        let summary = case.event("summary");
        let shown = summary["frames_shown"].as_u64().unwrap_or(0);
        assert!(shown >= frames, "{name}: {summary}");
        println!(
            "{name}: {shown} frames shown in 10 s, latency {}",
            summary["latency_ms"]
        );
    }
    let case = Case::of(&console, "unplugged");
    let states = case.source_states();
    println!("unplugged: the source was {states:?}");
    let lost = states.iter().position(|state| state == "lost");
    assert!(
        lost.is_some_and(|at| states[at..].iter().any(|state| state == "live")),
        "{states:?}"
    );
    assert!(case.event("summary")["frames_shown"].as_u64() >= Some(40));
}

/// Runs in the guest: opens the camera of the environment, and says what comes.
#[test]
#[ignore = "runs inside the guest"]
fn inside_probe() {
    let number = |name: &str| std::env::var(name).unwrap().parse::<u32>().unwrap();
    let spec = VideoSpec::Camera(number("CAMERA"));
    if let Err(err) = capture::check(&spec, &AudioSpec::None) {
        println!("PROBE {}", json!({"error": err.to_string()}));
        return;
    }
    let (outlet, inlet) = capture::channel();
    let running = capture::open(&spec, &AudioSpec::None, outlet, &Keeper::default()).unwrap();
    let end = now() + Duration::from_secs(number("SECONDS_TO_RUN").into());
    let (mut frames, mut least, mut most, mut whole) = (0, usize::MAX, 0, true);
    let mut means = [0; 3];
    let mut image = String::new();
    while now() < end {
        while let Ok((Track::Video, state)) = inlet.state.recv(Duration::ZERO) {
            println!("PROBE {}", json!({"state": format!("{state:?}")}));
        }
        let Ok(frame) = inlet.video.recv(Duration::from_millis(50)) else {
            continue;
        };
        frames += 1;
        image = match &frame.image {
            Image::Jpeg { size, bytes } => {
                least = least.min(bytes.len());
                most = most.max(bytes.len());
                whole &= bytes.starts_with(&[0xFF, 0xD8]) && bytes.ends_with(&[0xFF, 0xD9]);
                whole &= bytes
                    .windows(2)
                    .filter(|pair| pair == &[0xFF, 0xD9])
                    .count()
                    == 1;
                format!("{size} JPEG")
            }
            Image::Raw(picture) => {
                let planes = [picture.y(), picture.cb(), picture.cr()];
                means = planes.map(|plane| {
                    plane.iter().map(|v| usize::from(*v)).sum::<usize>() / plane.len()
                });
                format!("{} pixels", picture.size())
            }
        };
    }
    let [y, cb, cr] = means;
    println!(
        "PROBE {}",
        json!({
            "frames": frames, "image": image, "least": least, "most": most, "whole": whole, "y": y, "cb": cb, "cr": cr
        })
    );
    let before = now();
    drop(running);
    assert!(now() - before < Duration::from_secs(3), "closing took long");
}

/// What one case of a script wrote.
#[derive(Debug)]
struct Case(Vec<String>);

impl Case {
    fn of(console: &str, name: &str) -> Self {
        let head = format!("CASE {name}");
        let lines = console.lines().map(str::trim_end);
        let lines = lines.skip_while(|line| *line != head).skip(1);
        Self(
            lines
                .take_while(|line| !line.starts_with("CASE "))
                .map(ToOwned::to_owned)
                .collect(),
        )
    }

    fn values(&self, prefix: &str) -> Vec<Value> {
        let texts = self
            .0
            .iter()
            .filter_map(|line| Some(line.split_once(prefix)?.1));
        texts
            .filter_map(|text| serde_json::from_str(text).ok())
            .collect()
    }

    fn error(&self) -> String {
        let values = self.values("PROBE ");
        let error = values.iter().find_map(|value| value["error"].as_str());
        error
            .unwrap_or_else(|| panic!("no error: {self:?}"))
            .to_owned()
    }

    fn last(&self) -> Value {
        self.values("PROBE ")
            .pop()
            .unwrap_or_else(|| panic!("nothing: {self:?}"))
    }

    fn number(&self, field: &str) -> u64 {
        self.last()[field]
            .as_u64()
            .unwrap_or_else(|| panic!("no {field}: {self:?}"))
    }

    fn said(&self) -> Vec<String> {
        let values = self.values("PROBE ");
        values
            .iter()
            .filter_map(|value| Some(value["state"].as_str()?.to_lowercase()))
            .collect()
    }

    fn states(&self) -> Vec<String> {
        let word = |text: &String| text.split(' ').next().unwrap_or_default().to_owned();
        self.said().iter().map(word).collect()
    }

    fn why(&self, state: &str) -> String {
        self.said()
            .into_iter()
            .find(|said| said.starts_with(state))
            .unwrap_or_default()
    }

    /// The viewer's event of that name.
    fn event(&self, name: &str) -> Value {
        let mut values = self.values("WATCH ").into_iter();
        values
            .find(|value| value["event"] == name)
            .unwrap_or_else(|| panic!("no {name}: {self:?}"))
    }

    /// How the server's source was doing, one after the other.
    fn source_states(&self) -> Vec<String> {
        let values = self
            .values("SERVE ")
            .into_iter()
            .filter(|value| value["event"] == "source");
        values
            .filter_map(|value| Some(value["state"].as_str()?.to_owned()))
            .collect()
    }
}

/// The scripts, and where the guest's parts are kept from one run to the next.
struct Rig {
    scripts: PathBuf,
    parts: PathBuf,
}

impl Rig {
    /// `None`, and a word about it, where the tools are missing.
    fn find() -> Option<Self> {
        const TOOLS: [&str; 9] = [
            "qemu-system-x86_64",
            "busybox",
            "cpio",
            "depmod",
            "apt-get",
            "dpkg-deb",
            "v4l2-ctl",
            "make",
            "gcc",
        ];
        let missing: Vec<_> = TOOLS.into_iter().filter(|tool| !is_there(tool)).collect();
        if !missing.is_empty() {
            println!("SKIPPED: camera_guest: needs {}", missing.join(", "));
            return None;
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let rig = Self {
            scripts: root.join("tests/rigs/camera"),
            parts: root.join("target/rigs/camera"),
        };
        // one after the other, in whichever process: both tests need the parts, and the machine is small
        fs::create_dir_all(&rig.parts).unwrap();
        let lock = rig.parts.join("lock");
        let prepare = Command::new("flock")
            .arg(lock)
            .arg(rig.scripts.join("prepare.sh"))
            .arg(&rig.parts)
            .output()
            .unwrap();
        if !prepare.status.success() {
            let said = String::from_utf8_lossy(&prepare.stderr);
            println!(
                "SKIPPED: camera_guest: needs a kernel for the guest: {}",
                said.lines().last().unwrap_or_default()
            );
            return None;
        }
        Some(rig)
    }

    /// Boots the guest and gives what it wrote on its console.
    fn boot(&self, script: &str, programs: &[&Path]) -> String {
        let mut boot = Command::new("flock");
        boot.arg(self.parts.join("lock"))
            .arg(self.scripts.join("boot.sh"));
        let output = boot
            .arg(&self.parts)
            .arg(self.scripts.join(script))
            .args(programs)
            .output()
            .unwrap();
        let console = String::from_utf8_lossy(&output.stdout).into_owned();
        let kept = self.parts.join(script).with_extension("console");
        fs::write(&kept, &console).unwrap();
        assert!(
            console.contains("GUEST done"),
            "the guest did not come to its end, see {}: {}",
            kept.display(),
            String::from_utf8_lossy(&output.stderr)
        );
        console
    }
}

/// An example beside the program under test, built if need be: `cargo test --examples` builds only its tests.
fn example(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_tunnelcast"))
        .with_file_name("examples")
        .join(name);
    if !path.exists() {
        let build = ["build", "--quiet", "--example", name];
        let built = Command::new(env!("CARGO"))
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .args(build)
            .status();
        assert!(built.unwrap().success(), "cannot build {name}");
    }
    path
}

fn is_there(tool: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = [PathBuf::from("/sbin"), PathBuf::from("/usr/sbin")];
    std::env::split_paths(&path)
        .chain(system)
        .any(|dir| dir.join(tool).is_file())
}

#[expect(clippy::disallowed_methods, reason = "cameras live in real time")]
fn now() -> Instant {
    Instant::now()
}
