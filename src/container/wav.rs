//! WAV: uncompressed sound behind a short header, from a file or from a program that does not know its length yet.

use super::scratch::Scratch;

/// Reads a stream: [`push`](Self::push) bytes, get samples.
#[derive(Debug)]
pub struct Reader {
    scratch: Scratch,
    state: State,
    format: Option<Format>,
    /// Bytes of the header seen so far, which are bounded.
    header: u64,
}

/// What the header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// Samples a second in each channel, 8,000 to 192,000.
    pub rate: u32,
    channels: Channels,
    sample: Sample,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Channels {
    Mono,
    Stereo,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sample {
    Int16,
    Int24,
    Int32,
    Float32,
}

#[derive(Debug)]
enum State {
    /// `RIFF`, a length, `WAVE`.
    Riff,
    /// A chunk's name and length.
    Chunk,
    /// The chunk that describes the samples, this long.
    Describe(usize),
    /// A chunk of no interest, this much of it still to come.
    Skip(u64),
    /// Samples, this many bytes to come; `None` until the stream ends.
    Samples(Option<u64>),
    /// All samples were there.
    Over,
    /// What is wrong does not get better.
    Failed(WavError),
}

/// What a stream begins with.
pub const MAGIC: &[u8] = b"RIFF";

const SCRATCH: usize = 4096;
const RIFF_LENGTH: usize = 12;
const CHUNK_LENGTH: usize = 8;
const MAX_HEADER: u64 = 1 << 20;
const DESCRIBE: std::ops::RangeInclusive<usize> = 16..=1024;
/// Writers that do not know the length write one of these.
const UNKNOWN: [u32; 3] = [0, 0xFFFF_FFFF, 0x7FFF_FFFF];

impl Default for Reader {
    fn default() -> Self {
        Self {
            scratch: Scratch::new(SCRATCH),
            state: State::Riff,
            format: None,
            header: 0,
        }
    }
}

impl Reader {
    /// Takes the next bytes of the stream and appends what samples they hold to `out`: left and right interleaved, at
    /// the stream's own rate. After an error always that error.
    pub fn push(&mut self, mut bytes: &[u8], out: &mut Vec<f32>) -> Result<(), WavError> {
        while !bytes.is_empty() {
            let space = self.scratch.space();
            let count = space.len().min(bytes.len());
            space[..count].copy_from_slice(&bytes[..count]);
            self.scratch.filled(count);
            bytes = &bytes[count..];
            if let Err(error) = self.parse(out) {
                self.state = State::Failed(error.clone());
                return Err(error);
            }
        }
        Ok(())
    }

    /// What the header says, once it is there.
    pub const fn format(&self) -> Option<Format> {
        match self.state {
            State::Samples(_) | State::Over => self.format,
            State::Riff | State::Chunk | State::Describe(_) | State::Skip(_) | State::Failed(_) => {
                None
            }
        }
    }

    /// Whether the header promised no more samples.
    pub const fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// Whether the stream may end here: with its header whole.
    pub fn finish(&self) -> Result<(), WavError> {
        match &self.state {
            State::Samples(_) | State::Over => Ok(()),
            State::Failed(error) => Err(error.clone()),
            State::Riff | State::Chunk | State::Describe(_) | State::Skip(_) => {
                Err(WavError::CutShort)
            }
        }
    }

    /// Goes on until nothing more can be made of what is there; then less than a sample or a header's part is left.
    fn parse(&mut self, out: &mut Vec<f32>) -> Result<(), WavError> {
        loop {
            let data = self.scratch.data();
            let took = match &mut self.state {
                State::Failed(error) => return Err(error.clone()),
                State::Riff => {
                    let known = data.len().min(MAGIC.len());
                    if data[..known] != MAGIC[..known] {
                        return Err(WavError::NotWav);
                    }
                    let Some(riff) = data.get(..RIFF_LENGTH) else {
                        return Ok(());
                    };
                    if &riff[8..] != b"WAVE" {
                        return Err(WavError::NotWav);
                    }
                    self.state = State::Chunk;
                    RIFF_LENGTH
                }
                State::Chunk => {
                    let Some(&[a, b, c, d, ref length @ ..]) = data.first_chunk::<CHUNK_LENGTH>()
                    else {
                        return Ok(());
                    };
                    let length = u32::from_le_bytes(*length);
                    self.state = chunk([a, b, c, d], length, self.format.is_some())?;
                    CHUNK_LENGTH
                }
                State::Describe(length) => {
                    let Some(describe) = data.get(..*length) else {
                        return Ok(());
                    };
                    let took = *length;
                    self.format = Some(Format::parse(describe)?);
                    self.state = State::Skip(u64::from(took % 2 == 1));
                    took
                }
                State::Skip(left) => {
                    let took = data.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= took as u64;
                    if *left > 0 {
                        self.header += took as u64;
                        self.scratch.consume(took);
                        return self.bounded();
                    }
                    self.state = State::Chunk;
                    took
                }
                State::Samples(left) => {
                    let Some(format) = self.format else {
                        return Err(WavError::Undescribed);
                    };
                    let took = format.convert(data, *left, out);
                    self.scratch.consume(took);
                    if let Some(left) = left {
                        *left -= took as u64;
                        if *left < format.frame() as u64 {
                            self.state = State::Over;
                            continue;
                        }
                    }
                    return Ok(());
                }
                State::Over => {
                    let all = data.len();
                    self.scratch.consume(all);
                    return Ok(());
                }
            };
            self.scratch.consume(took);
            self.header += took as u64;
            self.bounded()?;
        }
    }

    fn bounded(&self) -> Result<(), WavError> {
        let within = !matches!(self.state, State::Samples(_) | State::Over);
        if within && self.header > MAX_HEADER {
            return Err(WavError::HeaderTooLong);
        }
        Ok(())
    }
}

/// What a chunk is read as.
fn chunk(name: [u8; 4], length: u32, described: bool) -> Result<State, WavError> {
    let known = usize::try_from(length).unwrap_or(usize::MAX);
    match &name {
        b"fmt " if DESCRIBE.contains(&known) => Ok(State::Describe(known)),
        b"fmt " => Err(WavError::Undescribed),
        b"data" if !described => Err(WavError::Undescribed),
        b"data" if UNKNOWN.contains(&length) => Ok(State::Samples(None)),
        b"data" => Ok(State::Samples(Some(u64::from(length)))),
        _ => Ok(State::Skip(u64::from(length) + u64::from(length % 2))),
    }
}

impl Format {
    fn parse(chunk: &[u8]) -> Result<Self, WavError> {
        let short = |at: usize| {
            let bytes = chunk.get(at..at + 2).and_then(|two| two.try_into().ok());
            bytes.map_or(0, u16::from_le_bytes)
        };
        let (tag, channels, bits) = (short(0), short(2), short(14));
        let rate = u32::from(short(4)) | u32::from(short(6)) << 16;
        // The extensible form has the true tag at the start of a GUID.
        let tag = if tag == 0xFFFE { short(24) } else { tag };
        let sample = match (tag, bits) {
            (1, 16) => Sample::Int16,
            (1, 24) => Sample::Int24,
            (1, 32) => Sample::Int32,
            (3, 32) => Sample::Float32,
            _ => return Err(WavError::Samples { tag, bits }),
        };
        let channels = match channels {
            1 => Channels::Mono,
            2 => Channels::Stereo,
            _ => return Err(WavError::Channels(channels)),
        };
        if !RATES.contains(&rate) {
            return Err(WavError::Rate(rate));
        }
        Ok(Self {
            rate,
            channels,
            sample,
        })
    }

    /// Bytes of one sample in all channels.
    const fn frame(self) -> usize {
        let sample = match self.sample {
            Sample::Int16 => 2,
            Sample::Int24 => 3,
            Sample::Int32 | Sample::Float32 => 4,
        };
        match self.channels {
            Channels::Mono => sample,
            Channels::Stereo => 2 * sample,
        }
    }

    /// Converts whole samples of `data`, at most `left` bytes; how many bytes those were.
    fn convert(self, data: &[u8], left: Option<u64>, out: &mut Vec<f32>) -> usize {
        let left = left.map_or(usize::MAX, |left| {
            usize::try_from(left).unwrap_or(usize::MAX)
        });
        let usable = data.len().min(left) / self.frame() * self.frame();
        let data = &data[..usable];
        match self.sample {
            Sample::Int16 => {
                self.each::<2>(data, out, |b| f32::from(i16::from_le_bytes(b)) / 32_768.0)
            }
            Sample::Int24 => self.each::<3>(data, out, |[a, b, c]| scaled([0, a, b, c])),
            Sample::Int32 => self.each::<4>(data, out, scaled),
            Sample::Float32 => self.each::<4>(data, out, |b| tame(f32::from_le_bytes(b))),
        }
        usable
    }

    fn each<const N: usize>(self, data: &[u8], out: &mut Vec<f32>, value: impl Fn([u8; N]) -> f32) {
        let (samples, _) = data.as_chunks::<N>();
        match self.channels {
            Channels::Mono => out.extend(samples.iter().flat_map(|sample| [value(*sample); 2])),
            Channels::Stereo => out.extend(samples.iter().map(|sample| value(*sample))),
        }
    }
}

const RATES: std::ops::RangeInclusive<u32> = 8000..=192_000;

#[expect(
    clippy::cast_precision_loss,
    reason = "single precision holds 24 bits, which is all one hears"
)]
fn scaled(bytes: [u8; 4]) -> f32 {
    i32::from_le_bytes(bytes) as f32 / 2_147_483_648.0
}

/// Floating point from outside: what is no number is silence, what is too loud is clipped.
pub(super) fn tame(sample: f32) -> f32 {
    if sample.is_nan() {
        0.0
    } else {
        sample.clamp(-1.0, 1.0)
    }
}

/// A stream that cannot be read on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WavError {
    /// Other first bytes.
    #[error("this is no WAV: it does not begin with RIFF and WAVE")]
    NotWav,
    /// More than 1 MiB before the first sample.
    #[error("the WAV header does not end within 1 MiB")]
    HeaderTooLong,
    /// No `fmt ` chunk of a sane length before the samples.
    #[error("the WAV header does not describe its samples")]
    Undescribed,
    /// Compressed, or of another width.
    #[error(
        "WAV samples of kind {tag} with {bits} bits are not supported; try 16, 24 or 32 bits, or 32-bit floating point"
    )]
    Samples {
        /// The format tag.
        tag: u16,
        /// Bits a sample.
        bits: u16,
    },
    /// Neither mono nor stereo.
    #[error(
        "WAV with {0} channels is not supported; try mono or stereo, or file:PATH, which mixes them down"
    )]
    Channels(u16),
    /// Too low or too high.
    #[error("a WAV rate of {0} Hz is out of bounds (8,000 to 192,000)")]
    Rate(u32),
    /// An end within the header.
    #[error("the WAV ends within its header")]
    CutShort,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wav(tag: u16, channels: u16, rate: u32, bits: u16, data: &[u8], length: u32) -> Vec<u8> {
        let mut bytes = b"RIFF\xFF\xFF\xFF\xFFWAVELIST\x03\0\0\0abc\0fmt \x10\0\0\0".to_vec();
        bytes.extend(tag.to_le_bytes());
        bytes.extend(channels.to_le_bytes());
        bytes.extend(rate.to_le_bytes());
        bytes.extend([0; 6]);
        bytes.extend(bits.to_le_bytes());
        bytes.extend(b"data");
        bytes.extend(length.to_le_bytes());
        bytes.extend(data);
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Vec<f32>, WavError> {
        let mut reader = Reader::default();
        let mut out = Vec::new();
        reader.push(bytes, &mut out)?;
        reader.finish()?;
        Ok(out)
    }

    #[test]
    fn every_kind_of_sample_is_read() {
        let half = [0.5; 4];
        assert_eq!(
            read(&wav(
                1,
                2,
                48_000,
                16,
                &[0, 0x40, 0, 0x40, 0, 0x40, 0, 0x40],
                8
            ))
            .unwrap(),
            half
        );
        assert_eq!(
            read(&wav(1, 1, 44_100, 16, &[0, 0x40, 0, 0x40], 0)).unwrap(),
            half
        );
        assert_eq!(
            read(&wav(1, 1, 8000, 24, &[0, 0, 0x40, 0, 0, 0x40], u32::MAX)).unwrap(),
            half
        );
        assert_eq!(
            read(&wav(1, 1, 8000, 32, &[0, 0, 0, 0x40, 0, 0, 0, 0x40], 8)).unwrap(),
            half
        );
        let float: Vec<u8> = [0.5_f32, f32::NAN, f32::INFINITY]
            .iter()
            .flat_map(|f| f.to_le_bytes())
            .collect();
        assert_eq!(
            read(&wav(3, 1, 192_000, 32, &float, 12)).unwrap(),
            [0.5, 0.5, 0.0, 0.0, 1.0, 1.0]
        );
    }

    #[test]
    fn what_follows_the_samples_is_ignored() {
        let bytes = wav(1, 1, 48_000, 16, &[0, 0x40, 9, 9, 9, 9, 9], 2);
        let mut reader = Reader::default();
        let mut out = Vec::new();
        reader.push(&bytes, &mut out).unwrap();
        assert_eq!(out, [0.5, 0.5]);
        assert!(reader.is_over());
        assert_eq!(reader.format().unwrap().rate, 48_000);
    }

    #[test]
    fn every_wrong_header_says_what_is_wrong() {
        let error = |bytes: &[u8]| read(bytes).unwrap_err();
        assert_eq!(error(b"fLaC"), WavError::NotWav);
        assert_eq!(error(b"RIFF\0\0\0\0AVI LIST"), WavError::NotWav);
        assert_eq!(error(b"RIFF"), WavError::CutShort);
        assert_eq!(
            error(b"RIFF\0\0\0\0WAVEdata\0\0\0\0"),
            WavError::Undescribed
        );
        assert_eq!(
            error(b"RIFF\0\0\0\0WAVEfmt \xFF\xFF\xFF\xFF"),
            WavError::Undescribed
        );
        assert_eq!(
            error(&wav(2, 2, 48_000, 4, &[], 0)),
            WavError::Samples { tag: 2, bits: 4 }
        );
        assert_eq!(error(&wav(1, 0, 48_000, 16, &[], 0)), WavError::Channels(0));
        assert_eq!(error(&wav(1, 6, 48_000, 16, &[], 0)), WavError::Channels(6));
        assert_eq!(error(&wav(1, 2, 0, 16, &[], 0)), WavError::Rate(0));
        assert_eq!(
            error(&wav(1, 2, u32::MAX, 16, &[], 0)),
            WavError::Rate(u32::MAX)
        );
        let mut endless = b"RIFF\0\0\0\0WAVELIST\xFF\xFF\xFF\xFF".to_vec();
        endless.extend(vec![0; 2 << 20]);
        assert_eq!(error(&endless), WavError::HeaderTooLong);
        let many = [
            b"RIFF\0\0\0\0WAVE".to_vec(),
            b"junk\0\0\0\0".repeat(200_000),
        ]
        .concat();
        assert_eq!(error(&many), WavError::HeaderTooLong);
    }

    proptest! {
        #[test]
        fn a_stream_may_be_cut_anywhere(cuts in proptest::collection::vec(1_usize..90, 1..40), bits in 0_usize..3) {
            let data: Vec<u8> = (0..=255).cycle().take(9000).collect();
            let bytes = wav(1, 2, 48_000, [16, 24, 32][bits], &data, 8999);
            let whole = read(&bytes).unwrap();
            let mut reader = Reader::default();
            let mut out = Vec::new();
            let (mut rest, mut cuts) = (bytes.as_slice(), cuts.iter().cycle());
            while !rest.is_empty() {
                let (now, later) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
                reader.push(now, &mut out).unwrap();
                rest = later;
            }
            prop_assert_eq!(out, whole);
        }

        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
            let _ = read(&[b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0", &bytes[..]].concat());
        }
    }
}
