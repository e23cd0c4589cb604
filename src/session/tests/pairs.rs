//! A film whose pictures come in twos and threes, milliseconds behind each other, over a line that loses datagrams, in
//! virtual time: both ends of a session, what the viewer holds of the picture, and when it is shown.

use super::*;
use crate::jitter::Video;
use crate::media::{Cell, CellIndex, Extent, Frame};
use crate::timeline::Cursor;

/// Microseconds from one capture to the next.
const EVERY: u64 = 40_000;

/// One way, in microseconds.
const WAY: u64 = 5_000;

/// Of 50 Mbit/s, how long a byte takes, in nanoseconds.
const BYTE: u64 = 160;

/// Bytes of a datagram.
const ROOM: usize = 1200;

/// How it goes.
struct Case {
    seed: u64,
    /// Of 1000 datagrams, either way.
    loss: u64,
    /// Of 1000 datagrams, which come 7 ms behind their turn.
    overtaken: u64,
    /// How late after their captures pictures come, in turn, in microseconds.
    late: &'static [u64],
    /// So long after its capture a picture is shown.
    hold: u64,
}

const TWOS: Case = Case {
    seed: 0x2545_f491_4f6c_dd1d,
    loss: 0,
    overtaken: 0,
    late: &[32_000, 0],
    hold: 110_000,
};

const THREES: Case = Case {
    late: &[64_000, 32_000, 0],
    hold: 150_000,
    ..TWOS
};

/// A small generator of numbers (Marsaglia's xorshift64), so that every run is the same.
struct Random(u64);

impl Random {
    const fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// What one viewer is fed with.
#[derive(Default)]
struct Film {
    cursor: Cursor,
    newest: Option<Arc<Frame>>,
    sounds: VecDeque<Arc<AudioPacket>>,
    /// Of each cell that was sent, how many frames were begun since.
    amended: Vec<u64>,
}

impl Feed for Film {
    fn next_audio(&mut self) -> Option<Arc<AudioPacket>> {
        self.sounds.pop_front()
    }

    fn next_video(&mut self) -> Option<VideoStep> {
        if self.cursor.is_free()
            && !self.cursor.is_lacking()
            && let Some(newest) = self.newest.take()
        {
            self.cursor.aim(Extent::whole(newest));
        }
        let step = self.cursor.step()?;
        if let (VideoStep::Cell { frame, .. }, Some(last)) = (&step, self.cursor.last()) {
            self.amended.push(last - frame);
        }
        Some(step)
    }

    fn lost(&mut self, rung: RungId, frame: u64, index: CellIndex) {
        self.cursor.lost(rung, frame, index);
    }

    fn forget(&mut self, before: MediaTime) {
        self.cursor.forget(before);
    }
}

/// One direction of a line.
#[derive(Default)]
struct Pipe {
    stream: VecDeque<(u64, Bytes)>,
    datagrams: VecDeque<(u64, Bytes)>,
    free: u64,
}

impl Pipe {
    fn send(&mut self, datagram: Bytes, at: u64, case: &Case, random: &mut Random) {
        if random.below(1000) < case.loss {
            return;
        }
        self.free = self.free.max(at) + datagram.len() as u64 * BYTE / 1000;
        let late = if random.below(1000) < case.overtaken {
            7_000
        } else {
            0
        };
        let due = self.free + WAY + late;
        let place = self.datagrams.partition_point(|(other, _)| *other <= due);
        self.datagrams.insert(place, (due, datagram));
    }

    fn arrived(pipe: &mut VecDeque<(u64, Bytes)>, at: u64) -> Option<Bytes> {
        let (due, _) = pipe.front()?;
        (*due <= at)
            .then(|| pipe.pop_front())?
            .map(|(_, bytes)| bytes)
    }
}

/// What was shown.
struct Seen {
    /// Frames, each by itself and whole.
    shown: Vec<u64>,
    filmed: u64,
    amended: Vec<u64>,
}

impl Seen {
    #[expect(clippy::cast_precision_loss, reason = "frames are few")]
    fn share(&self) -> f64 {
        self.shown.len() as f64 / self.filmed as f64
    }
}

/// A frame: of its cells a tenth are as they were before.
fn frame(number: u64, before: Option<&Frame>, rung: &Arc<Rung>, random: &mut Random) -> Frame {
    let cells = (0..rung.cells()).map(|at| match before {
        Some(before) if random.below(10) == 0 => before.cells[at].clone(),
        _ => {
            let mut bytes = vec![0; 200 + usize::try_from(random.below(140)).unwrap()];
            bytes[..8].copy_from_slice(&number.to_be_bytes());
            Cell {
                version: number,
                bytes: bytes.into(),
            }
        }
    });
    Frame {
        number,
        capture: MediaTime::from_micros(number * EVERY),
        rung: Arc::clone(rung),
        cells: cells.collect(),
    }
}

/// Watches for 20 s.
fn watch(case: &Case) -> Seen {
    let epoch = start();
    let mut random = Random(case.seed);
    let mut server = server::Session::new(offer(), epoch, epoch).with_datagrams(epoch);
    let mut client = client::Session::new(want(Some("cam")), epoch);
    client.with_datagrams();
    client.linked(epoch);
    let rung = rung(RungKind::Cells {
        grid: Grid::for_size(Size::new(1280, 720).unwrap()),
        header: Bytes::from_static(b"\xff\xd8 header"),
    });
    let (mut film, mut filmed) = (Film::default(), Vec::<Arc<Frame>>::new());
    let (mut up, mut down) = (Pipe::default(), Pipe::default());
    let (mut pending, mut out) = (BytesMut::new(), BytesMut::new());
    let (mut video, mut canvas) = (Video::new(), vec![Bytes::new(); rung.cells()]);
    let mut shown = Vec::new();
    for ms in 0..20_000 {
        let (at, now) = (ms * 1000, epoch + Duration::from_millis(ms));
        let number = filmed.len() as u64 + 1;
        let late = case.late[filmed.len() % case.late.len()];
        if at >= number * EVERY + late {
            let before = filmed.last().map(|frame| &**frame);
            let next = Arc::new(frame(number, before, &rung, &mut random));
            filmed.push(Arc::clone(&next));
            film.newest = Some(next);
        }
        if ms.is_multiple_of(20) && server.is_streaming() {
            film.sounds.push_back(sound(ms / 20));
        }
        while let Some(bytes) = Pipe::arrived(&mut up.stream, at) {
            server.handle(&mut BytesMut::from(&bytes[..]), now).unwrap();
        }
        while let Some(bytes) = Pipe::arrived(&mut up.datagrams, at) {
            server.handle_datagram(bytes, now).unwrap();
        }
        loop {
            match server.poll(now, &mut film, &mut pending) {
                Output::Send => down.stream.push_back((at + WAY, pending.split().freeze())),
                Output::Event(server::Event::Closed(reason)) => panic!("{reason:?}"),
                Output::Event(_) => {}
                Output::Idle(_) => {
                    while server.datagram(now, &mut film, ROOM, &mut out) {
                        let datagram = out.split().freeze();
                        down.send(datagram, at, case, &mut random);
                    }
                    if !server.has_words() {
                        break;
                    }
                }
            }
        }
        while let Some(bytes) = Pipe::arrived(&mut down.stream, at) {
            client.handle(&mut BytesMut::from(&bytes[..]), now).unwrap();
        }
        while let Some(bytes) = Pipe::arrived(&mut down.datagrams, at) {
            client.handle_datagram(bytes, now).unwrap();
        }
        loop {
            match client.poll(now, &mut pending) {
                Output::Send => up.stream.push_back((at + WAY, pending.split().freeze())),
                Output::Event(client::Event::Cells {
                    rung,
                    frame,
                    capture,
                    cells,
                }) => video.push(rung, frame, capture, cells, now),
                Output::Event(
                    client::Event::FrameEnd {
                        rung,
                        frame,
                        capture,
                    }
                    | client::Event::LateEnd {
                        rung,
                        frame,
                        capture,
                    },
                ) => video.end(rung, frame, capture, now),
                Output::Event(client::Event::Closed(reason)) => panic!("{reason:?}"),
                Output::Event(_) => {}
                Output::Idle(_) => break,
            }
        }
        while client.datagram(now, &mut out) {
            let datagram = out.split().freeze();
            up.send(datagram, at, case, &mut random);
        }
        let playout = MediaTime::from_micros(at.saturating_sub(case.hold));
        if let Some(update) = video.due(Some(playout), now) {
            for (index, bytes) in update.cells {
                canvas[index as usize] = bytes;
            }
            if !update.partial {
                let frame = &filmed[usize::try_from(update.frame - 1).unwrap()];
                let right = canvas.iter().eq(frame.cells.iter().map(|cell| &cell.bytes));
                assert!(right, "{} is shown with cells of others", update.frame);
                shown.push(update.frame);
            }
        }
    }
    // Of the last ones some are still under way.
    let filmed = filmed.len() as u64 - 6;
    shown.retain(|frame| *frame <= filmed);
    Seen {
        shown,
        filmed,
        amended: film.amended,
    }
}

#[test]
fn of_pictures_that_come_in_twos_or_threes_each_is_shown_by_itself() {
    for of in [TWOS, THREES] {
        for (loss, asked) in [(0, 0.995), (10, 0.99), (20, 0.98), (50, 0.95)] {
            let seen = watch(&Case { loss, ..of });
            let (share, late) = (seen.share(), of.late.len());
            println!("{loss} of 1000 lost, {late} at a time: {share} shown");
            assert!(
                share >= asked,
                "{loss} of 1000 lost, {late} at a time: {share} shown"
            );
        }
    }
}

#[test]
fn whatever_is_lost_or_late_no_picture_is_shown_with_cells_of_another() {
    for seed in 1..12 {
        for of in [TWOS, THREES] {
            let seen = watch(&Case {
                seed,
                loss: 100,
                overtaken: 50,
                ..of
            });
            assert!(seen.shown.is_sorted_by(|before, next| before < next));
            assert!(seen.amended.iter().all(|behind| *behind < 3));
            assert!(seen.share() > 0.5, "{}", seen.share());
        }
    }
}
