//! A time painted as blocks that survive coding and a screen grab: 48 bits of microseconds and 8 check bits.
//!
//! Two rows of 28 blocks of 16 x 16 px at the top left of a picture, least significant bit first, row by row; luma 220
//! is one, luma 20 is zero.

use crate::media::Size;

/// Width of the code in pixels.
pub const WIDTH: usize = BLOCK * COLUMNS;
/// Height of the code in pixels.
pub const HEIGHT: usize = BLOCK * ROWS;

const BLOCK: usize = 16;
const COLUMNS: usize = 28;
const ROWS: usize = 2;
const TIME_BITS: u32 = 48;
const ZERO: u8 = 20;
const ONE: u8 = 220;
/// Above this a block is a one.
const MIDDLE: usize = 120;
/// The part of a block that is looked at: its rim suffers from coding.
const CORE: std::ops::Range<usize> = 5..11;

/// Whether a picture is large enough for the code.
pub const fn fits(size: Size) -> bool {
    size.width() >= WIDTH && size.height() >= HEIGHT
}

/// Paints the low 48 bits of `micros` into a luma plane; does nothing where the code does not fit.
pub fn paint(luma: &mut [u8], size: Size, micros: u64) {
    if !fits(size) {
        return;
    }
    let time = micros & ((1 << TIME_BITS) - 1);
    let bits = time | u64::from(check(time)) << TIME_BITS;
    for (y, row) in luma.chunks_exact_mut(size.width()).take(HEIGHT).enumerate() {
        for (x, block) in row[..WIDTH].chunks_exact_mut(BLOCK).enumerate() {
            let bit = bits >> (y / BLOCK * COLUMNS + x) & 1;
            block.fill(if bit == 1 { ONE } else { ZERO });
        }
    }
}

/// The microseconds painted into a luma plane, unless the blocks hold no valid code.
pub fn read(luma: &[u8], size: Size) -> Option<u64> {
    if !fits(size) || luma.len() < size.width() * HEIGHT {
        return None;
    }
    let mut bits = 0_u64;
    for index in 0..ROWS * COLUMNS {
        let (left, top) = (index % COLUMNS * BLOCK, index / COLUMNS * BLOCK);
        let sum: usize = CORE
            .flat_map(|y| &luma[(top + y) * size.width() + left..][CORE])
            .map(|sample| usize::from(*sample))
            .sum();
        bits |= u64::from(sum > MIDDLE * CORE.len() * CORE.len()) << index;
    }
    let time = bits & ((1 << TIME_BITS) - 1);
    (u64::from(check(time)) == bits >> TIME_BITS && time != 0).then_some(time)
}

fn check(time: u64) -> u8 {
    time.to_le_bytes()[..6]
        .iter()
        .fold(0x5A, |sum: u8, byte| sum.rotate_left(1) ^ byte)
}

/// Microseconds on the clock that [`std::time::Instant`] also reads, for [`paint`].
///
/// On Unix this is CLOCK_MONOTONIC, which any program on the machine can read to compare; elsewhere the wall clock.
#[cfg(unix)]
pub(super) fn clock_micros() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let whole = u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000;
    whole + u64::try_from(now.tv_nsec).unwrap_or(0) / 1000
}

#[cfg(not(unix))]
#[expect(
    clippy::disallowed_methods,
    reason = "there is no other clock that other programs share"
)]
pub(super) fn clock_micros() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_micros()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use proptest::prelude::*;

    use super::*;
    use crate::media::Picture;

    fn size() -> Size {
        Size::new(640, 48).unwrap()
    }

    proptest! {
        #[test]
        fn what_was_painted_is_read(time in 1_u64..1 << 48, noise in proptest::collection::vec(-60_i16..60, 97)) {
            let mut picture = Picture::filled(size(), [128; 3]);
            paint(picture.planes_mut()[0], size(), time);
            let noisy: Vec<u8> = picture.y().iter().zip(noise.iter().cycle())
                .map(|(sample, noise)| u8::try_from((i16::from(*sample) + noise).clamp(0, 255)).unwrap())
                .collect();
            prop_assert_eq!(read(&noisy, size()), Some(time));
        }
    }

    #[test]
    fn what_is_no_code_is_not_read() {
        for luma in [0, 128, 255] {
            assert_eq!(read(Picture::filled(size(), [luma; 3]).y(), size()), None);
        }
        let small = Size::new(447, 48).unwrap();
        let mut picture = Picture::filled(small, [128; 3]);
        paint(picture.planes_mut()[0], small, 1);
        assert_eq!(picture, Picture::filled(small, [128; 3]));
        assert_eq!(read(picture.y(), small), None);
        assert_eq!(read(&[], size()), None);
    }

    /// The reader of the glass-to-glass laboratory, in its own language, on 16 bytes of raw luma a sample.
    const LABORATORY: &str = r#"
import sys
import numpy as np
BLOCK, COLS, ROWS = 16, 28, 2
W, H = BLOCK * COLS, BLOCK * ROWS
def check(v):
    c = 0x5A
    for i in range(6):
        c = ((c << 1 | c >> 7) & 0xFF) ^ ((v >> (8 * i)) & 0xFF)
    return c
gray = np.frombuffer(sys.stdin.buffer.read(), dtype=np.uint8).reshape(48, 640)
mid = gray[:H, :W].reshape(ROWS, BLOCK, COLS, BLOCK)[:, 5:11, :, 5:11].mean(axis=(1, 3))
bits = 0
for i, b in enumerate((mid > 120).reshape(-1)):
    bits |= int(b) << i
v, c = bits & (1 << 48) - 1, bits >> 48
print(v if check(v) == c and v else None)
"#;

    /// The one that has numpy, where several are installed (`scripts/test.sh` looks).
    fn python() -> String {
        std::env::var("TUNNELCAST_PYTHON").unwrap_or_else(|_| "python3".to_owned())
    }

    #[test]
    fn the_laboratory_reads_it_where_numpy_is_installed() {
        let numpy = Command::new(python()).args(["-c", "import numpy"]).output();
        if !numpy.is_ok_and(|run| run.status.success()) {
            println!("skipped: python3 with numpy is not installed");
            return;
        }
        for time in [1, 0xFFFF_FFFF_FFFF, 0x0123_4567_89AB, 86_400_000_000] {
            let mut picture = Picture::filled(size(), [128; 3]);
            paint(picture.planes_mut()[0], size(), time);
            let mut python = Command::new(python())
                .args(["-c", LABORATORY])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            python.stdin.take().unwrap().write_all(picture.y()).unwrap();
            let said = python.wait_with_output().unwrap().stdout;
            assert_eq!(String::from_utf8(said).unwrap().trim(), time.to_string());
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_clock_is_the_one_that_python_calls_monotonic() {
        let python = Command::new("python3")
            .args(["-c", "import time; print(time.monotonic_ns() // 1000)"])
            .output();
        let Ok(run) = python else {
            println!("skipped: python3 is not installed");
            return;
        };
        let said: u64 = String::from_utf8(run.stdout)
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        let now = clock_micros();
        assert!(said <= now && now - said < 60_000_000, "{said} {now}");
    }
}
