//! What coding a picture costs: a photograph whole, by all its cells, and by every tenth of them.
//!
//! `cargo bench --bench codec`; before it `taskset -c 0` for one thread. What is printed at the end are medians of
//! calls that took turns in this run, so that a machine that is busy with other things is so for all of them.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark's result is what it prints, and it fails by panicking"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use tunnelcast::codec::{Canvas, Encoder, JpegLibrary, Quality, decode_jpeg, join};
use tunnelcast::media::{CellIndex, Frame, MediaTime, Picture, Rung, RungKind, Size};

type Cells = Vec<(CellIndex, Bytes)>;

/// Two moments of a moving picture, and one in which every tenth cell of the first has changed.
struct Material {
    moments: [Picture; 2],
    part: Picture,
    frames: [Frame; 2],
}

impl Material {
    /// The photograph, repeated where it is too small.
    fn new(width: u32, height: u32) -> Self {
        let photo = decode_jpeg(include_bytes!("../data/motorcycle.jpg")).unwrap();
        let mut first = Picture::filled(Size::new(width, height).unwrap(), [0; 3]);
        let (from, to) = (photo.size(), first.size());
        let widths = [
            (from.width(), to.width()),
            (from.chroma_width(), to.chroma_width()),
            (from.chroma_width(), to.chroma_width()),
        ];
        let sources = [photo.y(), photo.cb(), photo.cr()];
        for ((plane, source), (from, to)) in first.planes_mut().into_iter().zip(sources).zip(widths)
        {
            for (line, source) in plane.chunks_mut(to).zip(source.chunks(from).cycle()) {
                let source = source.iter().cycle();
                line.iter_mut()
                    .zip(source)
                    .for_each(|(to, from)| *to = *from);
            }
        }
        let second = scrolled(&first, 16);
        let part = with_cells_changed(&first);
        let frames = [&first, &second].map(|picture| {
            let mut encoder = encoder(picture, JpegLibrary::default());
            encoder.encode(picture, 1, MediaTime::ZERO).unwrap()
        });
        Self {
            moments: [first, second],
            part,
            frames,
        }
    }

    /// Both frames' cells, every `step`th.
    fn cells(&self, step: usize) -> [Cells; 2] {
        self.frames.each_ref().map(|frame| {
            let cells = frame.cells.iter().map(|cell| cell.bytes.clone());
            (0..).zip(cells).skip(step / 2).step_by(step).collect()
        })
    }
}

fn encoder(picture: &Picture, library: JpegLibrary) -> Encoder {
    Encoder::with_library(1, picture.size(), Quality::DEFAULT, library).unwrap()
}

fn scrolled(picture: &Picture, rows: usize) -> Picture {
    let size = picture.size();
    let mut moved = picture.clone();
    let [y, cb, cr] = moved.planes_mut();
    y.rotate_left(rows * size.width());
    cb.rotate_left(rows / 2 * size.chroma_width());
    cr.rotate_left(rows / 2 * size.chroma_width());
    moved
}

fn with_cells_changed(picture: &Picture) -> Picture {
    let mut changed = picture.clone();
    let width = picture.size().width();
    let [y, ..] = changed.planes_mut();
    for (index, sample) in y.iter_mut().enumerate() {
        let cell = index / width / 16 * (width / 160) + index % width / 160;
        if cell % 10 == 5 {
            *sample = sample.wrapping_add(30);
        }
    }
    changed
}

/// Encodes two pictures in turn, whatever the detector finds between them.
fn encoding<'a>(pictures: [&'a Picture; 2], library: JpegLibrary) -> impl FnMut() -> Frame + 'a {
    let mut encoder = encoder(pictures[0], library);
    let mut number = 0;
    move || {
        number += 1;
        let picture = pictures[usize::from(number % 2 == 0)];
        // Time stands still, so that nothing is refreshed.
        encoder.encode(picture, number, MediaTime::ZERO).unwrap()
    }
}

/// Applies two sets of cells in turn.
fn applying(frame: &Frame, sets: [Cells; 2], library: JpegLibrary) -> impl FnMut() + use<> {
    let mut canvas = Canvas::with_library(Arc::clone(&frame.rung), library).unwrap();
    let all = frame.cells.iter().map(|cell| cell.bytes.clone());
    canvas.apply(&(0..).zip(all).collect::<Vec<_>>());
    let mut turn = 0;
    move || {
        turn += 1;
        assert_eq!(canvas.apply(&sets[turn % 2]).bad, 0);
    }
}

/// Decodes the frames' joined pictures in turn, as pictures that are passed through whole are.
fn whole(frames: &[Frame; 2]) -> impl FnMut() + use<> {
    let size = frames[0].rung.size();
    let kind = RungKind::Whole { size };
    let mut canvas = Canvas::new(Arc::new(Rung {
        id: 2,
        kind,
        source: None,
    }))
    .unwrap();
    let jpegs = frames.each_ref().map(join);
    let mut turn = 0;
    move || {
        turn += 1;
        assert_eq!(canvas.apply(&[(0, jpegs[turn % 2].clone())]).bad, 0);
    }
}

fn codec(criterion: &mut Criterion) {
    let material = Material::new(1280, 720);
    let [first, second] = &material.moments;
    let frame = &material.frames[0];
    let library = JpegLibrary::default();

    let mut group = criterion.benchmark_group("encode 720p");
    group.bench_function("all moving", |b| b.iter(encoding([first, second], library)));
    group.bench_function("36 cells changed", |b| {
        b.iter(encoding([first, &material.part], library))
    });
    group.bench_function("nothing changed", |b| {
        b.iter(encoding([first, first], library))
    });
    group.bench_function("first picture, with split", |b| {
        b.iter_batched_ref(
            || encoder(first, library),
            |encoder| encoder.encode(first, 1, MediaTime::ZERO),
            BatchSize::LargeInput,
        );
    });
    group.finish();

    let mut group = criterion.benchmark_group("decode 720p");
    group.bench_function("whole JPEG", |b| b.iter(whole(&material.frames)));
    group.bench_function("360 cells", |b| {
        b.iter(applying(frame, material.cells(1), library))
    });
    group.bench_function("36 scattered cells", |b| {
        b.iter(applying(frame, material.cells(10), library))
    });
    group.finish();

    criterion.bench_function("join 720p", |b| b.iter(|| join(frame)));

    compare("720p", &material);
    compare("1080p", &Material::new(1920, 1080));
}

/// Prints medians of both libraries and of whole pictures, taken in turns.
fn compare(name: &str, material: &Material) {
    let [first, second] = &material.moments;
    let frame = &material.frames[0];
    let mut work: Vec<(String, Box<dyn FnMut() + '_>)> = Vec::new();
    for library in JpegLibrary::ALL {
        let pairs = [
            ("encode all", [first, second]),
            ("encode every tenth", [first, &material.part]),
            ("encode, nothing changed", [first, first]),
        ];
        for (what, pictures) in pairs {
            let mut encode = encoding(pictures, library);
            work.push((
                format!("{what}, {library:?}"),
                Box::new(move || drop(encode())),
            ));
        }
        for (what, step) in [("decode all", 1), ("decode every tenth", 10)] {
            let apply = applying(frame, material.cells(step), library);
            work.push((format!("{what}, {library:?}"), Box::new(apply)));
        }
    }
    let whole = whole(&material.frames);
    work.push(("decode whole JPEG".to_owned(), Box::new(whole)));
    let mut times = vec![Vec::new(); work.len()];
    for _ in 0..200 {
        for ((_, work), times) in work.iter_mut().zip(&mut times) {
            times.push(time(work));
        }
    }
    for ((what, _), mut times) in work.iter().zip(times) {
        times.sort_unstable();
        let ms = |place: usize| times[place].as_secs_f64() * 1e3;
        let (tenth, half) = (ms(times.len() / 10), ms(times.len() / 2));
        println!("{name} {what}: median {half:.3} ms, fastest tenth {tenth:.3} ms");
    }
    println!("{name} coded: {} bytes joined", join(frame).len());
}

#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn time(work: &mut dyn FnMut()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

criterion_group!(benches, codec);
criterion_main!(benches);
