//! Pictures on standard input: YUV4MPEG2 or a stream of JPEGs, told apart by the first bytes.
//!
//! One thread reads it from the start to the end of the process (or of the [`Keeper`](super::Keeper)), so that whoever
//! writes there is not held up and the first viewer does not see old pictures.

use std::io;
use std::time::{Duration, Instant};

use super::input::{Got, Input, SILENCE};
use super::jpeg::{MAX_BROKEN, admit};
use super::kept::{Kept, Tap};
use super::pump::{Leave, Pump, Stop};
use super::{CaptureError, Outlet};
use crate::codec::JpegError;
use crate::container::{mjpeg, y4m};
use crate::media::{Image, VideoFrame};

/// Why there is nothing more to come through a pipe.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PipeError {
    /// Nobody pipes anything.
    #[error(
        "standard input is a terminal; pipe pictures into it, as in `ffmpeg ... -f yuv4mpegpipe - | tunnelcast serve --video pipe:-`"
    )]
    Terminal,
    /// Neither of the two.
    #[error(
        "standard input is neither YUV4MPEG2 nor a stream of JPEGs (it begins with '{0}'); try `ffmpeg ... -f yuv4mpegpipe -`"
    )]
    Unknown(String),
    /// An end before anything.
    #[error("standard input ended before the first picture")]
    Nothing,
    /// Nothing that a viewer could show.
    #[error("no picture on standard input can be shown: {0}; try `ffmpeg ... -f yuv4mpegpipe -`")]
    Jpeg(#[source] JpegError),
    /// Bad YUV4MPEG2.
    #[error("standard input: {0}")]
    Y4m(#[from] y4m::Y4mError),
    /// The system's word.
    #[error("cannot read standard input: {0}")]
    Io(#[from] io::Error),
}

/// How standard input came to its end.
#[derive(Debug)]
pub enum PipeEnd {
    /// There was never a picture that could be shown, and there will be none.
    Failed(CaptureError),
    /// Pictures came, and then no more; viewers are told the same words.
    Over {
        /// For a person.
        why: String,
    },
}

/// Who wants to know how standard input came to its end.
pub(super) type OnEnd = Box<dyn FnOnce(PipeEnd) + Send>;

/// Reads standard input for the life of the process.
#[derive(Debug)]
pub(super) struct Pipe {
    kept: Kept,
    _pump: Pump,
}

impl Pipe {
    pub(super) fn start(input: Input, on_end: OnEnd) -> io::Result<Self> {
        // A picture of 720p fits, so a writer is not held up in the middle of one.
        input.resize(PIPE);
        let kept = Kept::default();
        let mut intake = Intake::new(kept.clone());
        // Where a read cannot be waited for with a time-out, it may never come.
        let leave = if cfg!(unix) {
            Leave::Join
        } else {
            Leave::After(Duration::ZERO)
        };
        let pump = Pump::start("pipe", leave, move |stop| {
            let read = read(input, &mut intake, stop);
            if stop.is_set() {
                return;
            }
            let error = match (read, intake.refused.take()) {
                (Err(error), _) => Some(error),
                (Ok(()), _) if intake.shown => None,
                (Ok(()), Some(error)) => Some(PipeError::Jpeg(error)),
                (Ok(()), None) => Some(PipeError::Nothing),
            };
            let why = match &error {
                Some(error) => error.to_string(),
                None => "standard input ended".to_owned(),
            };
            intake.kept.ended(why.clone());
            on_end(match error {
                Some(error) if !intake.shown => PipeEnd::Failed(error.into()),
                Some(_) | None => PipeEnd::Over { why },
            });
        })?;
        Ok(Self { kept, _pump: pump })
    }

    /// From now on pictures go to `outlet`.
    pub(super) fn tap(&self, outlet: Outlet) -> Tap {
        self.kept.tap(outlet)
    }
}

/// What was read so far.
struct Intake {
    kept: Kept,
    /// There was a picture.
    shown: bool,
    /// When, or when reading began.
    last: Instant,
    /// Pictures that were left out since, and in all.
    broken: u32,
    dropped: u64,
    /// Why the last of them was.
    refused: Option<JpegError>,
}

impl Intake {
    #[expect(clippy::disallowed_methods, reason = "a device thread")]
    fn new(kept: Kept) -> Self {
        Self {
            kept,
            shown: false,
            last: Instant::now(),
            broken: 0,
            dropped: 0,
            refused: None,
        }
    }

    fn picture(&mut self, image: Image, captured: Instant) {
        (self.shown, self.last, self.broken) = (true, captured, 0);
        self.kept
            .deliver(|outlet| outlet.video(VideoFrame { image, captured }));
    }

    /// A picture that nobody could show; an error if there was never another and there have been enough.
    fn refuse(&mut self, error: JpegError) -> Result<(), PipeError> {
        self.broken += 1;
        self.dropped += 1;
        tracing::debug!(%error, dropped = self.dropped, "a JPEG is left out");
        if self.broken == MAX_BROKEN {
            let error = PipeError::Jpeg(error);
            if !self.shown {
                return Err(error);
            }
            self.kept.lost(error.to_string());
        } else {
            self.refused = Some(error);
        }
        Ok(())
    }

    /// Nothing came for a while.
    fn silence(&self) {
        let seconds = SILENCE.as_secs();
        self.kept
            .silent(|| format!("nothing has come through standard input for {seconds} s"));
    }

    /// Bytes came; are there pictures in them?
    fn bytes(&self, now: Instant) {
        if now.duration_since(self.last) >= SILENCE {
            let seconds = SILENCE.as_secs();
            self.kept.silent(|| {
                format!("no whole picture has come through standard input for {seconds} s")
            });
        }
    }
}

/// The largest size that Linux gives to anybody.
const PIPE: usize = 1 << 20;

/// For JPEGs, which are small.
const CHUNK: usize = 64 << 10;

/// Reads everything there is.
fn read(mut input: Input, intake: &mut Intake, stop: &Stop) -> Result<(), PipeError> {
    let mut start = Vec::new();
    loop {
        let mut byte = [0; y4m::MAGIC.len()];
        let room = &mut byte[start.len()..];
        match input.read(room, stop)? {
            Got::Stopped => return Ok(()),
            Got::End if start.is_empty() => return Err(PipeError::Nothing),
            Got::End => return Err(unknown(&start)),
            Got::Silence => intake.silence(),
            Got::Bytes(count) => start.extend_from_slice(&room[..count]),
        }
        if start.starts_with(mjpeg::MAGIC) {
            return read_jpegs(input, &start, intake, stop);
        }
        if start.starts_with(y4m::MAGIC) {
            return read_y4m(input, &start, intake, stop);
        }
        if !mjpeg::MAGIC.starts_with(&start) && !y4m::MAGIC.starts_with(&start) {
            return Err(unknown(&start));
        }
    }
}

fn unknown(start: &[u8]) -> PipeError {
    PipeError::Unknown(start.escape_ascii().to_string())
}

#[expect(clippy::disallowed_methods, reason = "a device thread")]
fn read_y4m(
    mut input: Input,
    start: &[u8],
    intake: &mut Intake,
    stop: &Stop,
) -> Result<(), PipeError> {
    let mut reader = y4m::Reader::default();
    reader.push(start, |_| ())?;
    loop {
        match input.read(reader.space(), stop)? {
            Got::Stopped => return Ok(()),
            Got::End => return Ok(reader.finish()?),
            Got::Silence => {
                intake.silence();
                continue;
            }
            Got::Bytes(count) => reader.filled(count),
        }
        let now = Instant::now();
        while let Some(picture) = reader.picture()? {
            intake.picture(Image::Raw(picture), now);
            reader.prepare();
        }
        intake.bytes(now);
    }
}

#[expect(clippy::disallowed_methods, reason = "a device thread")]
fn read_jpegs(
    mut input: Input,
    start: &[u8],
    intake: &mut Intake,
    stop: &Stop,
) -> Result<(), PipeError> {
    let mut splitter = mjpeg::Splitter::default();
    splitter.push(start);
    let mut chunk = vec![0; CHUNK];
    let mut broken = 0;
    loop {
        let count = match input.read(&mut chunk, stop)? {
            Got::Stopped => return Ok(()),
            Got::End if splitter.is_within() => return intake.refuse(JpegError::Truncated),
            Got::End => return Ok(()),
            Got::Silence => {
                intake.silence();
                continue;
            }
            Got::Bytes(count) => count,
        };
        let now = Instant::now();
        splitter.push(&chunk[..count]);
        while let Some(bytes) = splitter.picture() {
            match admit(bytes) {
                Ok(image) => intake.picture(image, now),
                Err(error) => intake.refuse(error)?,
            }
        }
        while broken < splitter.broken() {
            broken += 1;
            intake.refuse(JpegError::Truncated)?;
        }
        intake.bytes(now);
    }
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::io::{PipeWriter, Write};
    use std::os::fd::OwnedFd;
    use std::sync::mpsc;

    use super::*;
    use crate::capture::jpeg::tests::{bare, progressive, sample};
    use crate::capture::{Empty, Inlet, SourceState, Track, channel};
    use crate::codec::decode_jpeg;

    const SOON: Duration = Duration::from_secs(20);

    fn pipe() -> (PipeWriter, Pipe) {
        let (writer, pipe, _) = watched();
        (writer, pipe)
    }

    fn watched() -> (PipeWriter, Pipe, mpsc::Receiver<PipeEnd>) {
        let (reader, writer) = io::pipe().unwrap();
        let input = Input::of(OwnedFd::from(reader).into());
        let (tell, told) = mpsc::channel();
        let on_end = Box::new(move |end| {
            let _ = tell.send(end);
        });
        (writer, Pipe::start(input, on_end).unwrap(), told)
    }

    fn frame(luma: u8) -> Vec<u8> {
        let mut bytes = b"FRAME\n".to_vec();
        bytes.extend([luma; 256]);
        bytes.extend([128; 128]);
        bytes
    }

    fn luma(inlet: &Inlet) -> u8 {
        match inlet.video.recv(SOON).unwrap().image {
            Image::Raw(picture) => picture.y()[0],
            Image::Jpeg { .. } => panic!("a raw picture"),
        }
    }

    fn ended(inlet: &Inlet) -> String {
        loop {
            if let (Track::Video, SourceState::Ended { why }) = inlet.state.recv(SOON).unwrap() {
                return why;
            }
        }
    }

    const HEAD: &[u8] = b"YUV4MPEG2 W16 H16 XCOLORRANGE=FULL\n";

    #[test]
    fn pictures_go_to_whoever_listens_now() {
        let (mut writer, pipe) = pipe();
        writer.write_all(HEAD).unwrap();
        let (outlet, first) = channel();
        let tap = pipe.tap(outlet);
        writer.write_all(&frame(10)).unwrap();
        assert_eq!(luma(&first), 10);
        drop(tap);
        assert_eq!(first.video.recv(SOON).unwrap_err(), Empty::Closed);

        // Nobody listens: more than the pipe holds goes by, and in the middle of a picture somebody comes.
        for _ in 0..5000 {
            writer.write_all(&frame(20)).unwrap();
        }
        let (start, rest) = (&frame(30)[..100], &frame(30)[100..]);
        writer.write_all(start).unwrap();
        let (outlet, second) = channel();
        let _tap = pipe.tap(outlet);
        writer.write_all(rest).unwrap();
        while luma(&second) != 30 {}
        drop(writer);
        assert_eq!(ended(&second), "standard input ended");

        let (outlet, third) = channel();
        let _tap = pipe.tap(outlet);
        assert_eq!(ended(&third), "standard input ended");
    }

    #[test]
    fn jpegs_are_passed_through_whatever_their_size() {
        let jpeg = |width: u32| sample(width, 48);
        let (mut writer, pipe) = pipe();
        let (outlet, inlet) = channel();
        let _tap = pipe.tap(outlet);
        // The first bytes are a picture by themselves, cut short.
        writer.write_all(&jpeg(32)[..jpeg(32).len() - 9]).unwrap();
        for width in [64, 32] {
            writer.write_all(&jpeg(width)).unwrap();
            let Image::Jpeg { size, bytes } = inlet.video.recv(SOON).unwrap().image else {
                panic!("a JPEG");
            };
            assert_eq!(
                (size.width(), &bytes[..]),
                (usize::try_from(width).unwrap(), &jpeg(width)[..])
            );
        }
    }

    #[test]
    fn tables_that_a_webcam_leaves_out_are_put_in() {
        let (mut writer, pipe) = pipe();
        let (outlet, inlet) = channel();
        let _tap = pipe.tap(outlet);
        writer.write_all(&bare(&sample(64, 48))).unwrap();
        let Image::Jpeg { bytes, .. } = inlet.video.recv(SOON).unwrap().image else {
            panic!("a JPEG");
        };
        assert_eq!(decode_jpeg(&bytes), decode_jpeg(&sample(64, 48)));
    }

    #[test]
    fn a_few_bad_pictures_are_dropped_and_many_are_said() {
        let (good, bad) = (sample(64, 48), progressive(&sample(64, 48)));
        let (mut writer, pipe, told) = watched();
        let (outlet, inlet) = channel();
        let _tap = pipe.tap(outlet);
        writer.write_all(&[&bad[..], &bad, &good].concat()).unwrap();
        inlet.video.recv(SOON).unwrap();
        assert_eq!(inlet.state.latest(Track::Video), SourceState::Live);
        writer.write_all(&bad.repeat(30)).unwrap();
        let why = lost(&inlet);
        assert!(why.contains("not supported: progressive"), "{why}");
        writer.write_all(&good).unwrap();
        inlet.video.recv(SOON).unwrap();
        assert_eq!(inlet.state.latest(Track::Video), SourceState::Live);
        drop(writer);
        assert!(matches!(told.recv_timeout(SOON), Ok(PipeEnd::Over { .. })));
    }

    fn lost(inlet: &Inlet) -> String {
        loop {
            if let (Track::Video, SourceState::Lost { why }) = inlet.state.recv(SOON).unwrap() {
                return why;
            }
        }
    }

    #[test]
    fn silence_is_said_until_it_goes_on() {
        let (mut writer, pipe) = pipe();
        let (outlet, inlet) = channel();
        let _tap = pipe.tap(outlet);
        writer.write_all(HEAD).unwrap();
        writer.write_all(&frame(10)).unwrap();
        assert_eq!(luma(&inlet), 10);
        let why = lost(&inlet);
        assert_eq!(why, "nothing has come through standard input for 3 s");
        writer.write_all(&frame(20)).unwrap();
        assert_eq!(luma(&inlet), 20);
        assert_eq!(inlet.state.latest(Track::Video), SourceState::Live);
    }

    #[test]
    fn what_is_neither_says_so_before_anybody_listens() {
        let mut many = progressive(&sample(64, 48)).repeat(30);
        many.extend(sample(64, 48));
        for (bytes, part) in [
            (&b"GIF89a"[..], "begins with 'GIF89a'"),
            (b"\xFF\x00", "begins with '\\xff\\x00'"),
            (b"YUV", "neither"),
            (b"", "before the first picture"),
            (b"YUV4MPEG2 W16 H16\n", "before the first picture"),
            (b"YUV4MPEG2 W99999 H99999\n", "99999x99999 is out of bounds"),
            (b"YUV4MPEG2 W16 H16\nFRAME\nabc", "ends within a picture"),
            (&sample(64, 48)[..400], "cut short"),
            (&progressive(&sample(64, 48)), "not supported: progressive"),
            (&many, "not supported: progressive"),
        ] {
            let (mut writer, pipe, told) = watched();
            let _ = writer.write_all(bytes); // it may have been closed by then
            drop(writer);
            let Ok(PipeEnd::Failed(error)) = told.recv_timeout(SOON) else {
                panic!("{part}");
            };
            let error = error.to_string();
            assert!(error.contains(part) && !error.contains('\n'), "{error}");
            let (outlet, inlet) = channel();
            let _tap = pipe.tap(outlet);
            assert_eq!(ended(&inlet), error);
        }
    }

    #[test]
    fn an_end_after_pictures_is_no_failure() {
        for (rest, why) in [
            (&b""[..], "standard input ended"),
            (b"FRAME\nabc", "ends within a picture"),
        ] {
            let (mut writer, _pipe, told) = watched();
            for part in [HEAD, &frame(1), rest] {
                writer.write_all(part).unwrap();
            }
            drop(writer);
            let Ok(PipeEnd::Over { why: told }) = told.recv_timeout(SOON) else {
                panic!("{why}");
            };
            assert!(told.contains(why), "{told}");
        }
    }

    #[test]
    fn a_silent_pipe_can_be_dropped() {
        let (_writer, pipe) = pipe();
        drop(pipe);
    }
}
