//! What coding a picture costs: a 720p photograph whole, by all its 360 cells, and by 36 of them.
//!
//! `cargo bench --bench codec`. The ratios printed at the end are of medians taken in this run, cells to whole.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark's result is what it prints, and it fails by panicking"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use tunnelcast::codec::{Canvas, Encoder, Quality, decode_jpeg, join};
use tunnelcast::media::{CellIndex, Frame, MediaTime, Picture, Rung, RungKind};

type Cells = Vec<(CellIndex, Bytes)>;

/// Two moments of a moving picture, and one in which 36 cells of the first have changed.
struct Material {
    moments: [Picture; 2],
    part: Picture,
    frames: [Frame; 2],
}

impl Material {
    fn new() -> Self {
        let first = decode_jpeg(include_bytes!("../data/motorcycle.jpg")).unwrap();
        let second = scrolled(&first, 16);
        let part = with_cells_changed(&first);
        let frames = [&first, &second].map(|picture| {
            let mut encoder = encoder(picture);
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

fn encoder(picture: &Picture) -> Encoder {
    Encoder::new(1, picture.size(), Quality::DEFAULT).unwrap()
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
    let [y, ..] = changed.planes_mut();
    for (index, sample) in y.iter_mut().enumerate() {
        let cell = index / 1280 / 16 * 8 + index % 1280 / 160;
        if cell % 10 == 5 {
            *sample = sample.wrapping_add(30);
        }
    }
    changed
}

/// Encodes two pictures in turn, whatever the detector finds between them.
fn encoding<'a>(pictures: [&'a Picture; 2]) -> impl FnMut() -> Frame + 'a {
    let mut encoder = encoder(pictures[0]);
    let mut number = 0;
    move || {
        number += 1;
        let picture = pictures[usize::from(number % 2 == 0)];
        // Time stands still, so that nothing is refreshed.
        encoder.encode(picture, number, MediaTime::ZERO).unwrap()
    }
}

/// Applies two sets of cells in turn.
fn applying(frame: &Frame, sets: [Cells; 2]) -> impl FnMut() {
    let mut canvas = Canvas::new(Arc::clone(&frame.rung)).unwrap();
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
    let mut canvas = Canvas::new(Arc::new(Rung { id: 2, kind })).unwrap();
    let jpegs = frames.each_ref().map(join);
    let mut turn = 0;
    move || {
        turn += 1;
        assert_eq!(canvas.apply(&[(0, jpegs[turn % 2].clone())]).bad, 0);
    }
}

fn codec(criterion: &mut Criterion) {
    let material = Material::new();
    let [first, second] = &material.moments;
    let frame = &material.frames[0];

    let mut group = criterion.benchmark_group("encode 720p");
    group.bench_function("all moving", |b| b.iter(encoding([first, second])));
    group.bench_function("36 cells changed", |b| {
        b.iter(encoding([first, &material.part]))
    });
    group.bench_function("nothing changed", |b| b.iter(encoding([first, first])));
    group.bench_function("first picture, with split", |b| {
        b.iter_batched_ref(
            || encoder(first),
            |encoder| encoder.encode(first, 1, MediaTime::ZERO),
            BatchSize::LargeInput,
        );
    });
    group.finish();

    let mut group = criterion.benchmark_group("decode 720p");
    group.bench_function("whole JPEG", |b| b.iter(whole(&material.frames)));
    group.bench_function("360 cells", |b| b.iter(applying(frame, material.cells(1))));
    group.bench_function("36 scattered cells", |b| {
        b.iter(applying(frame, material.cells(10)))
    });
    group.finish();

    criterion.bench_function("join 720p", |b| b.iter(|| join(frame)));

    ratios(&material);
}

fn ratios(material: &Material) {
    let [first, second] = &material.moments;
    let frame = &material.frames[0];
    let all = median(encoding([first, second]));
    let part = median(encoding([first, &material.part]));
    println!("ratio encode: 36 cells / all = {:.2}", part / all);
    let whole = median(whole(&material.frames));
    let cells = median(applying(frame, material.cells(1)));
    let few = median(applying(frame, material.cells(10)));
    println!(
        "ratio decode: 360 cells / whole JPEG = {:.2}",
        cells / whole
    );
    println!(
        "ratio decode: 36 scattered cells / whole JPEG = {:.2}",
        few / whole
    );
    println!("coded: {} bytes joined", join(frame).len());
}

/// Milliseconds of a call, the median of 60.
#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn median<T>(mut work: impl FnMut() -> T) -> f64 {
    let mut times: Vec<Duration> = (0..60)
        .map(|_| {
            let start = Instant::now();
            std::hint::black_box(work());
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e3
}

criterion_group!(benches, codec);
criterion_main!(benches);
