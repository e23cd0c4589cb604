//! How noisy a source is, from its own pictures.
//!
//! Macroblocks spread over the picture, others each time, are compared with themselves one picture later and, again,
//! [`LATER`]. In one that is at rest both differences are alike, for noise does not grow with time; what moves goes on
//! growing, and is left out. Of the others the median of each brightness counts, since a sensor's noise depends on it:
//! once for the absolute differences, once for how far the sums over whole blocks scatter, which is more than
//! independent samples would explain once a camera has filtered or compressed its picture. A change of brightness that
//! all have in common is no noise and is taken off first.

use std::time::Duration;

use crate::media::{Picture, Size};

/// What noise may come to, by brightness.
#[derive(Debug)]
pub(super) struct Limits {
    /// Of luma, Cb, Cr.
    planes: [[Limit; LEVELS]; 3],
}

impl Limits {
    /// Of one plane (luma 0, Cb 1, Cr 2), by the brightness of luma, in quarters.
    pub(super) const fn of(&self, plane: usize) -> &[Limit; LEVELS] {
        &self.planes[plane]
    }
}

/// What the 64 differences of an 8x8 block may come to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Limit {
    /// The greatest one, for a change not to be clear ...
    pub(super) peak: u8,
    /// ... the sum of their amounts ...
    pub(super) clear_absolute: i32,
    /// ... and the amount of their sum.
    pub(super) clear_signed: i32,
    /// The same sums, for there to be no change at all.
    pub(super) faint_absolute: i32,
    pub(super) faint_signed: i32,
    /// Four of these are the limit for the sum over 16x16 samples.
    pub(super) wide: i32,
    /// The variance of the sum.
    pub(super) variance: i32,
}

impl From<Level> for Limit {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a level is bounded, so all of these are far below the integers' bounds"
    )]
    fn from(level: Level) -> Self {
        let Level { mean, scatter } = level;
        let int = |v: f32| v as i32;
        // Five deviations: of normal noise, or of noise so faint that a few samples are off by one.
        let stray = (31.0 * mean).max(40.0 * mean.sqrt());
        Self {
            // 7 deviations, each 1.25 times the mean amount: a picture has millions of samples.
            peak: int(20.0 + 8.75 * mean) as u8,
            clear_absolute: int(64.0 * (2.0 + mean) + stray * 1.2),
            clear_signed: int(64.0 * 2.0 + 6.0 * scatter),
            faint_absolute: int(4.0 + 64.0 * mean + stray),
            faint_signed: int(4.0 + 5.5 * scatter),
            wide: int(4.0 + 5.5 * scatter / 2.0),
            variance: int(scatter * scatter),
        }
    }
}

/// The noise of what is equally bright.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Level {
    /// Mean amount of the difference between two pictures of the same thing, of a sample.
    mean: f32,
    /// Standard deviation of the sum over 64 such differences.
    scatter: f32,
}

impl Level {
    const START: Self = Self {
        mean: 1.0,
        scatter: WHITE,
    };

    /// Within bounds: what scatters more than [`CORRELATED`] moves.
    fn bounded(mean: f32, scatter: f32) -> Self {
        let mean = mean.min(LOUDEST);
        let least = (mean * WHITE).max(8.0 * mean.min(0.6).sqrt());
        Self {
            mean,
            scatter: scatter.clamp(least, mean * CORRELATED + 8.0),
        }
    }

    fn towards(self, other: Self, share: f32) -> Self {
        Self {
            mean: self.mean + (other.mean - self.mean) * share,
            scatter: self.scatter + (other.scatter - self.scatter) * share,
        }
    }
}

/// Estimates the noise.
#[derive(Debug)]
pub(super) struct Noise {
    size: Size,
    /// Macroblocks that are looked at, at a time.
    count: usize,
    /// How often others were taken.
    round: usize,
    /// Where they are: the upper left sample of luma.
    at: Vec<(usize, usize)>,
    held: Vec<Patch>,
    /// How much the blocks of each differ one picture later.
    first: Vec<[Measure; BLOCKS]>,
    phase: Phase,
    /// Since they were taken.
    age: Duration,
    /// Of luma, Cb, Cr.
    planes: [Tones; 3],
    limits: Limits,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing was taken yet.
    Empty,
    /// So many pictures came since, each the same to the last bit.
    Still(u8),
    /// `first` is known.
    Moved,
}

impl Noise {
    pub(super) fn new(size: Size) -> Self {
        let (across, down) = (size.width() / 16, size.height() / 16);
        let count = (across * down).min(MOST);
        let mut noise = Self {
            size,
            count,
            round: 0,
            at: Vec::with_capacity(count),
            held: Vec::with_capacity(count),
            first: Vec::with_capacity(count),
            phase: Phase::Empty,
            age: Duration::ZERO,
            planes: [4, 1, 1].map(|blocks| Tones::new(count * blocks)),
            limits: Limits {
                planes: [[Limit::default(); LEVELS]; 3],
            },
        };
        noise.set_limits();
        noise
    }

    pub(super) const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Learns from the next picture, `elapsed` after the one before.
    pub(super) fn observe(&mut self, picture: &Picture, elapsed: Duration) {
        self.age += elapsed;
        match self.phase {
            Phase::Empty => self.hold(picture),
            Phase::Still(pictures) => {
                self.first.clear();
                let held = self.held.iter().zip(&self.at);
                self.first
                    .extend(held.map(|(held, at)| held.measures(picture, *at)));
                let same = |blocks: &[Measure; BLOCKS]| blocks.iter().all(Measure::is_nothing);
                self.phase = if !self.first.iter().all(same) {
                    Phase::Moved
                } else if pictures < PATIENCE {
                    // A picture that was shown twice says nothing.
                    Phase::Still(pictures + 1)
                } else {
                    self.conclude(picture);
                    return;
                };
                self.age = Duration::ZERO;
                if self.round == 1 {
                    self.guess();
                }
            }
            // The first difference took one picture's time; this one has taken at least three times that.
            Phase::Moved if self.age >= LATER && self.age >= elapsed * 2 => self.conclude(picture),
            Phase::Moved => {}
        }
    }

    /// Takes other macroblocks.
    fn hold(&mut self, picture: &Picture) {
        let across = self.size.width() / 16;
        let total = across * (self.size.height() / 16);
        let step = total / self.count;
        self.at.clear();
        self.held.clear();
        for place in 0..self.count {
            // Spread evenly, somewhere else each time, and not in columns.
            let within = (self.round * 7 + place * 5) % step;
            let macroblock = place * total / self.count + within;
            let at = (macroblock % across * 16, macroblock / across * 16);
            self.at.push(at);
            self.held.push(Patch::of(picture, at));
        }
        self.round += 1;
        self.phase = Phase::Still(0);
        self.age = Duration::ZERO;
    }

    /// Until more is known, all that differs between the first two pictures is noise: better a few cells that are coded
    /// late than a camera's first pictures coded whole.
    fn guess(&mut self) {
        for (held, blocks) in self.held.iter().zip(&self.first) {
            for (block, measure) in blocks.iter().enumerate() {
                let (plane, brightness) = held.tone(block);
                self.planes[plane].add(brightness, *measure);
            }
        }
        self.planes
            .iter_mut()
            .for_each(|tones| tones.learn(Duration::ZERO));
        self.set_limits();
        self.planes
            .iter_mut()
            .for_each(|tones| tones.levels = [None; TONES]);
    }

    /// Compares for the second time, and takes other macroblocks.
    fn conclude(&mut self, picture: &Picture) {
        for ((held, at), first) in self.held.iter().zip(&self.at).zip(&self.first) {
            let second = held.measures(picture, *at);
            for (block, (first, second)) in first.iter().zip(second).enumerate() {
                // Noise gives the same amount twice, give or take; filtering over time makes the first smaller.
                if second.absolute * 4 > first.absolute * 7 + 64 {
                    continue;
                }
                let (plane, brightness) = held.tone(block);
                self.planes[plane].add(brightness, second);
            }
        }
        let age = self.age;
        self.planes.iter_mut().for_each(|tones| tones.learn(age));
        self.set_limits();
        self.hold(picture);
    }

    fn set_limits(&mut self) {
        for (limits, tones) in self.limits.planes.iter_mut().zip(&self.planes) {
            for (level, limit) in limits.iter_mut().enumerate() {
                *limit = tones.at(level).into();
            }
        }
    }
}

/// The blocks of a macroblock: four of luma, then Cb, Cr.
const BLOCKS: usize = 6;

/// A macroblock's samples.
#[derive(Debug)]
struct Patch {
    blocks: [[u8; 64]; BLOCKS],
    /// Of its blocks of luma.
    brightness: [u8; 4],
}

impl Patch {
    fn of(picture: &Picture, at: (usize, usize)) -> Self {
        let blocks = block_starts(picture, at).map(|(plane, stride, start)| {
            let mut block = [0; 64];
            for (row, samples) in block.as_chunks_mut::<8>().0.iter_mut().enumerate() {
                let start = start + row * stride;
                samples.copy_from_slice(&plane[start..start + 8]);
            }
            block
        });
        let brightness = [0, 1, 2, 3].map(|block: usize| {
            let sum: u16 = blocks[block].iter().map(|y| u16::from(*y)).sum();
            u8::try_from(sum / 64).unwrap_or(u8::MAX)
        });
        Self { blocks, brightness }
    }

    /// Of a block: its plane, and how bright luma is there.
    fn tone(&self, block: usize) -> (usize, u8) {
        if let Some(brightness) = self.brightness.get(block) {
            return (0, *brightness);
        }
        let sum: u16 = self.brightness.iter().map(|y| u16::from(*y)).sum();
        (block - 3, u8::try_from(sum / 4).unwrap_or(u8::MAX))
    }

    fn measures(&self, picture: &Picture, at: (usize, usize)) -> [Measure; BLOCKS] {
        let starts = block_starts(picture, at);
        std::array::from_fn(|block| {
            let (plane, stride, start) = starts[block];
            let mut differences = [0i16; 64];
            for row in 0..8 {
                let now = &plane[start + row * stride..][..8];
                for column in 0..8 {
                    let held = self.blocks[block][row * 8 + column];
                    differences[row * 8 + column] = i16::from(now[column]) - i16::from(held);
                }
            }
            Measure::of(&differences)
        })
    }
}

/// Of a macroblock's blocks: their plane, its stride, and where in it they begin.
fn block_starts(picture: &Picture, (x, y): (usize, usize)) -> [(&[u8], usize, usize); BLOCKS] {
    let size = picture.size();
    let luma = |dx: usize, dy: usize| {
        let start = (y + dy) * size.width() + x + dx;
        (picture.y(), size.width(), start)
    };
    let half = size.chroma_width();
    let start = y / 2 * half + x / 2;
    [
        luma(0, 0),
        luma(8, 0),
        luma(0, 8),
        luma(8, 8),
        (picture.cb(), half, start),
        (picture.cr(), half, start),
    ]
}

/// How much a block differs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Measure {
    /// Sum of the amounts, the mean taken off.
    absolute: i32,
    /// Sum.
    signed: i32,
}

impl Measure {
    fn of(differences: &[i16; 64]) -> Self {
        let signed: i16 = differences.iter().sum();
        let mean = (signed + 32).div_euclid(64);
        let absolute: i16 = differences.iter().map(|d| (d - mean).abs()).sum();
        Self {
            absolute: i32::from(absolute),
            signed: i32::from(signed),
        }
    }

    const fn is_nothing(&self) -> bool {
        self.absolute == 0 && self.signed == 0
    }
}

/// The noise of each brightness.
#[derive(Debug)]
struct Tones {
    /// From dark to bright, `None` until there was any.
    levels: [Option<Level>; TONES],
    /// By brightness, of blocks at rest.
    found: [Vec<Measure>; TONES],
}

impl Tones {
    fn new(most: usize) -> Self {
        Self {
            levels: [None; TONES],
            found: std::array::from_fn(|_| Vec::with_capacity(most)),
        }
    }

    fn add(&mut self, brightness: u8, measure: Measure) {
        // What is clipped has no noise and says nothing of its neighbours.
        if (4..252).contains(&brightness) {
            self.found[usize::from(brightness) * TONES / 256].push(measure);
        }
    }

    /// Draws on what was found in `passed`.
    fn learn(&mut self, passed: Duration) {
        let passed = passed.as_secs_f32();
        for (level, found) in self.levels.iter_mut().zip(&mut self.found) {
            if let Some(new) = estimate(found) {
                let old = level.unwrap_or(new);
                let lag = if new.mean < old.mean { FALL } else { RISE };
                *level = Some(old.towards(new, passed / (passed + lag)));
            }
            found.clear();
        }
    }

    /// At one of [`LEVELS`] levels, between those that are known.
    fn at(&self, level: usize) -> Level {
        let place = (level as f32 + 0.5) * TONES as f32 / LEVELS as f32 - 0.5;
        let known = |tone: usize| self.levels[tone].map(|level| (tone as f32, level));
        let below = (0..TONES)
            .rev()
            .filter_map(known)
            .find(|(tone, _)| *tone <= place);
        let above = (0..TONES).filter_map(known).find(|(tone, _)| *tone > place);
        match (below, above) {
            (Some((from, a)), Some((to, b))) => a.towards(b, (place - from) / (to - from)),
            (Some((_, level)), None) | (None, Some((_, level))) => level,
            (None, None) => Level::START,
        }
    }
}

/// The noise of blocks that seem to be at rest; `None` if they are too few, or move after all.
fn estimate(found: &mut [Measure]) -> Option<Level> {
    if found.len() < FEWEST {
        return None;
    }
    let middle = found.len() / 2;
    let (_, median, _) = found.select_nth_unstable_by_key(middle, |measure| measure.absolute);
    let most = median.absolute * 4 / 3 + 8;
    let alike = || found.iter().filter(|measure| measure.absolute <= most);
    let count = alike().count() as f32;
    let mean = |of: &dyn Fn(&Measure) -> i32| alike().map(of).sum::<i32>() as f32 / count;
    let absolute = mean(&|measure| measure.absolute) / 64.0;
    let signed = mean(&|measure| measure.signed);
    let square = alike().map(|measure| (measure.signed as f32 - signed).powi(2));
    let scatter = (square.sum::<f32>() / count).sqrt();
    // Things that move quickly differ no less at first than later, but as wholes.
    (scatter <= absolute * CORRELATED + 16.0).then(|| Level::bounded(absolute, scatter))
}

/// Steps of brightness that have limits of their own.
pub(super) const LEVELS: usize = 64;

/// Steps of brightness whose noise is estimated.
const TONES: usize = 8;

/// The most macroblocks that are looked at, at a time.
const MOST: usize = 128;

/// Of fewer blocks nothing is concluded.
const FEWEST: usize = 8;

/// When what was taken is compared for the second time.
const LATER: Duration = Duration::from_millis(100);

/// So many pictures that are all the same, and the source has no noise.
const PATIENCE: u8 = 4;

/// Scatter of a sum of 64 independent normal samples, for a mean amount of 1.
const WHITE: f32 = 10.0;

/// The same for noise that is no longer independent, at most.
const CORRELATED: f32 = 35.0;

/// The greatest mean amount that is taken for noise, between two pictures.
const LOUDEST: f32 = 10.0;

/// Seconds in which two thirds of a rise in noise, or so, are followed, and of a fall.
const RISE: f32 = 0.2;
const FALL: f32 = 0.15;
