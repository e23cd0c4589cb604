//! Whether a cell differs from what was coded by more than noise explains.

use super::noise::{LEVELS, Limit, Limits};
use super::place::{Place, PlaneRect};
use crate::media::Picture;

/// How much a cell differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Finding {
    /// Not in a single sample.
    Same,
    /// As noise would have it.
    Noise,
    /// By more than noise explains, but hardly to be seen.
    Faint,
    /// To be seen.
    Clear,
}

impl Place {
    /// Compares the cell as it is with the cell as it was coded, only until the answer is certain. `levels` is how
    /// bright its 8x8 blocks are.
    pub(super) fn compare(
        &self,
        now: &Picture,
        coded: &Picture,
        levels: &[u8],
        limits: &Limits,
    ) -> Finding {
        let planes = [
            (&self.luma, now.y(), coded.y()),
            (&self.chroma, now.cb(), coded.cb()),
            (&self.chroma, now.cr(), coded.cr()),
        ];
        // Most cells of a source without noise are the same to the last bit, and this is by far the cheapest test.
        let [luma, cb, cr] = planes
            .map(|(rect, now, coded)| rect.lines().all(|line| now[line.clone()] == coded[line]));
        if luma && cb && cr {
            return Finding::Same;
        }
        let [y, u, v] = planes;
        let mut found = Finding::Noise;
        if !luma {
            found = found.max(luma_differs(y, levels, limits.of(0)));
        }
        for (same, plane, limits) in [(cb, u, limits.of(1)), (cr, v, limits.of(2))] {
            if !same && found < Finding::Clear {
                found = found.max(chroma_differs(plane, levels, limits));
            }
        }
        found
    }
}

type Plane<'a> = (&'a PlaneRect, &'a [u8], &'a [u8]);

fn luma_differs(plane: Plane<'_>, levels: &[u8], limits: &[Limit; LEVELS]) -> Finding {
    let mut found = Finding::Noise;
    let mut whole = Whole::default();
    for (macroblock, levels) in levels.as_chunks::<4>().0.iter().enumerate() {
        let mut wide = 0;
        let mut wide_limit = 0;
        for (half, levels) in levels.as_chunks::<2>().0.iter().enumerate() {
            let sums = Sums::of(plane, macroblock * 16, half * 8);
            for (block, level) in levels.iter().enumerate() {
                let limit = &limits[usize::from(*level) % LEVELS];
                let (absolute, signed) = sums.block(block);
                found = found.max(limit.judge(absolute, signed, sums.peak));
                wide += signed;
                wide_limit += limit.wide;
                whole.add(signed, limit);
            }
            if found == Finding::Clear {
                return found;
            }
        }
        if wide.abs() > wide_limit {
            found = Finding::Faint;
        }
    }
    found.max(whole.judge())
}

fn chroma_differs(plane: Plane<'_>, levels: &[u8], limits: &[Limit; LEVELS]) -> Finding {
    let mut found = Finding::Noise;
    let mut whole = Whole::default();
    // Two macroblocks side by side are 16 samples of chroma.
    for (pair, levels) in levels.chunks(8).enumerate() {
        let sums = Sums::of(plane, pair * 16, 0);
        for (block, levels) in levels.as_chunks::<4>().0.iter().enumerate() {
            let level = levels.iter().map(|level| u16::from(*level)).sum::<u16>() / 4;
            let limit = &limits[usize::from(level) % LEVELS];
            let (absolute, signed) = sums.block(block);
            found = found.max(limit.judge(absolute, signed, sums.peak));
            whole.add(signed, limit);
        }
        if found == Finding::Clear {
            return found;
        }
    }
    found.max(whole.judge())
}

/// How much 16x8 samples differ, by columns.
struct Sums {
    above: [u16; 16],
    below: [u16; 16],
    peak: u8,
}

impl Sums {
    /// Of the samples at `x` and `y` of the plane's rectangle; what lies outside does not differ.
    #[inline]
    fn of((rect, now, coded): Plane<'_>, x: usize, y: usize) -> Self {
        let left = rect.left + x;
        let top = rect.top + y;
        let rows = (top..rect.bottom).take(8).map(|y| y * rect.stride + left);
        let mut sums = Self {
            above: [0; 16],
            below: [0; 16],
            peak: 0,
        };
        let mut peaks = [0; 16];
        let width = rect.right.saturating_sub(left).min(16);
        if width == 16 {
            for start in rows {
                let row = now[start..].first_chunk().zip(coded[start..].first_chunk());
                if let Some((now, coded)) = row {
                    sums.add(now, coded, &mut peaks);
                }
            }
        } else {
            for start in rows {
                let (mut a, mut b) = ([0; 16], [0; 16]);
                a[..width].copy_from_slice(&now[start..start + width]);
                b[..width].copy_from_slice(&coded[start..start + width]);
                sums.add(&a, &b, &mut peaks);
            }
        }
        sums.peak = peaks.into_iter().fold(0, u8::max);
        sums
    }

    #[inline]
    fn add(&mut self, now: &[u8; 16], coded: &[u8; 16], peaks: &mut [u8; 16]) {
        for place in 0..16 {
            let above = now[place].saturating_sub(coded[place]);
            let below = coded[place].saturating_sub(now[place]);
            self.above[place] += u16::from(above);
            self.below[place] += u16::from(below);
            peaks[place] = peaks[place].max(above | below);
        }
    }

    /// The sums of the left (0) or right (1) 8x8 block: of absolute and of signed differences.
    #[inline]
    fn block(&self, block: usize) -> (i32, i32) {
        let sum = |columns: &[u16; 16]| -> i32 {
            let columns = &columns.as_chunks::<8>().0[block];
            i32::from(columns.iter().sum::<u16>())
        };
        let (above, below) = (sum(&self.above), sum(&self.below));
        (above + below, above - below)
    }
}

impl Limit {
    #[inline]
    fn judge(&self, absolute: i32, signed: i32, peak: u8) -> Finding {
        let signed = signed.abs();
        if absolute > self.clear_absolute || signed > self.clear_signed || peak > self.peak {
            Finding::Clear
        } else if absolute > self.faint_absolute || signed > self.faint_signed {
            Finding::Faint
        } else {
            Finding::Noise
        }
    }
}

/// The signed differences of a whole cell in one plane.
#[derive(Default)]
struct Whole {
    sum: i32,
    blocks: i32,
    variance: i32,
}

impl Whole {
    #[inline]
    fn add(&mut self, signed: i32, limit: &Limit) {
        self.sum += signed;
        self.blocks += 1;
        self.variance += limit.variance;
    }

    fn judge(&self) -> Finding {
        // 0.4 levels, and six deviations of what noise makes of it.
        let floor = f64::from(self.blocks * 64) * 0.4;
        let noise = f64::from(self.variance).sqrt() * 6.0;
        if f64::from(self.sum.abs()) > floor + noise {
            Finding::Faint
        } else {
            Finding::Noise
        }
    }
}
