//! A joined picture is a standard JPEG: Pillow and ffmpeg read it as they read any other, and as we do.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says aloud when it did not run"
)]

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use bytes::Bytes;
use tunnelcast::codec::{Canvas, Encoder, Quality, decode_jpeg, join, normalise};
use tunnelcast::media::{CellIndex, Frame, MediaTime, Picture, Raster, Size};

/// Tells that a test did not run; a pass alone would not.
fn skipped(test: &str, needs: &str) {
    eprintln!("SKIPPED: {test}: needs {needs}");
}

/// The one that has Pillow, where several are installed (`scripts/test.sh` looks).
fn python() -> String {
    std::env::var("TUNNELCAST_PYTHON").unwrap_or_else(|_| "python3".to_owned())
}

fn runs(program: &str, arguments: &[&str]) -> bool {
    let status = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

/// The photograph's upper left part.
fn photo(width: u32, height: u32) -> Picture {
    let jpeg = Bytes::from_static(include_bytes!("data/motorcycle.jpg"));
    let full = decode_jpeg(&normalise(jpeg).unwrap()).unwrap();
    let size = Size::new(width, height).unwrap();
    let mut part = Picture::filled(size, [0; 3]);
    let [y, cb, cr] = part.planes_mut();
    crop(full.y(), full.size().width(), y, size.width());
    crop(
        full.cb(),
        full.size().chroma_width(),
        cb,
        size.chroma_width(),
    );
    crop(
        full.cr(),
        full.size().chroma_width(),
        cr,
        size.chroma_width(),
    );
    part
}

fn crop(from: &[u8], from_width: usize, to: &mut [u8], to_width: usize) {
    for (to, from) in to.chunks_mut(to_width).zip(from.chunks(from_width).cycle()) {
        to.iter_mut()
            .zip(from.iter().cycle())
            .for_each(|(to, from)| *to = *from);
    }
}

/// Sizes with and without padding in their last macroblocks.
const SIZES: [(u32, u32); 5] = [(1280, 720), (1366, 768), (16, 16), (321, 97), (640, 360)];

fn frame(width: u32, height: u32) -> Frame {
    let picture = photo(width, height);
    Encoder::new(1, picture.size(), Quality::DEFAULT)
        .unwrap()
        .encode(&picture, 1, MediaTime::ZERO)
        .unwrap()
}

fn canvas(frame: &Frame) -> Canvas {
    let mut canvas = Canvas::new(frame.rung.clone()).unwrap();
    let cells: Vec<(CellIndex, Bytes)> = (0..)
        .zip(frame.cells.iter().map(|cell| cell.bytes.clone()))
        .collect();
    assert_eq!(canvas.apply(&cells).bad, 0);
    canvas
}

/// Our pixels as bytes: red, green, blue.
fn rgb(canvas: &mut Canvas) -> Vec<u8> {
    let bytes = canvas.pixels().iter().map(|pixel| pixel.to_be_bytes());
    bytes.flat_map(|[_, r, g, b]| [r, g, b]).collect()
}

/// Two decoders round differently, by a level or two; a seam or a shifted cell would show.
fn alike(ours: &[u8], theirs: &[u8], most: u8, mean: f64, what: &str) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    let differences = || ours.iter().zip(theirs).map(|(a, b)| a.abs_diff(*b));
    let sum: u64 = differences().map(u64::from).sum();
    let found = sum as f64 / ours.len() as f64;
    let peak = differences().max().unwrap_or_default();
    assert!(
        peak <= most && found <= mean,
        "{what}: peak {peak}, mean {found}"
    );
}

fn output(program: &str, arguments: &[&str], input: &Path) -> Vec<u8> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(std::fs::File::open(input).unwrap())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.success() && errors.is_empty(),
        "{program}: {errors}"
    );
    output.stdout
}

fn saved(jpeg: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(jpeg).unwrap();
    file
}

#[test]
fn pillow_reads_joined_pictures_as_we_do() {
    if !runs(&python(), &["-c", "import PIL"]) {
        return skipped(
            "pillow_reads_joined_pictures_as_we_do",
            "python3 with Pillow",
        );
    }
    const READ: &str = "import sys\nfrom PIL import Image\nimage = Image.open(sys.stdin.buffer)\n\
        sys.stdout.buffer.write(image.convert('RGB').tobytes())";
    for (width, height) in SIZES {
        let frame = frame(width, height);
        let file = saved(&join(&frame));
        let theirs = output(&python(), &["-W", "error", "-c", READ], file.path());
        let what = format!("{width}x{height}");
        alike(&rgb(&mut canvas(&frame)), &theirs, 8, 0.6, &what);
    }
}

#[test]
fn ffmpeg_reads_joined_pictures_as_we_do() {
    if !runs("ffmpeg", &["-version"]) {
        return skipped("ffmpeg_reads_joined_pictures_as_we_do", "ffmpeg");
    }
    for (width, height) in SIZES {
        let frame = frame(width, height);
        let file = saved(&join(&frame));
        // Errors alone: ffmpeg warns of every very small JPEG, Pillow's own too, that its end marker were missing.
        // Full range in and out: luma as coded, without a colour conversion to differ in.
        let read = "-v error -f jpeg_pipe -i - -vf extractplanes=y -f rawvideo -pix_fmt gray -";
        let read: Vec<&str> = read.split(' ').collect();
        let theirs = output("ffmpeg", &read, file.path());
        let ours = decode_jpeg(&join(&frame)).unwrap();
        alike(ours.y(), &theirs, 3, 0.1, &format!("{width}x{height}"));
    }
}
