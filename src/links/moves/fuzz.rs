//! Any sequence of what may happen to links, for the fuzzer.

use std::time::{Duration, Instant};

use super::{Event, Moves, Output};
use crate::transport::Carrier;

/// Two bytes are an event and some time. Whatever the sequence: it comes to rest, at a time to come; what is dialled is
/// neither there nor on its way; and what is seen comes over a link that stands, as long as one does.
///
/// # Panics
/// Where that is not so.
#[expect(clippy::disallowed_methods, reason = "any instant to count from")]
pub fn fuzz_moves(data: &[u8]) {
    let [first, events @ ..] = data else {
        return;
    };
    let start = Carrier::ALL[usize::from(first & 1)];
    let mut world = World {
        now: Instant::now(),
        links: [false; 2],
        dialling: [false; 2],
    };
    world.links[place(start)] = true;
    let mut moves = Moves::new(start, first & 2 != 0, world.now);
    world.obey(&mut moves);
    for event in events.chunks_exact(2) {
        let (what, time) = (event[0], u64::from(event[1]));
        let carrier = Carrier::ALL[usize::from(what & 1)];
        let stands = world.links[place(carrier)];
        let event = match what >> 1 & 7 {
            0 => stands.then_some(Event::Heard(carrier)),
            1 => stands.then_some(Event::Frame(carrier, Duration::from_millis(time))),
            2 => stands.then_some(Event::Ready(carrier)),
            3 => std::mem::take(&mut world.links[place(carrier)]).then_some(Event::Gone(carrier)),
            4 => std::mem::take(&mut world.dialling[place(carrier)]).then(|| {
                world.links[place(carrier)] = true;
                Event::Stands(carrier)
            }),
            5 => std::mem::take(&mut world.dialling[place(carrier)])
                .then_some(Event::Failed(carrier)),
            6 => Some(if what & 1 == 0 {
                Event::Unheard
            } else {
                Event::Network
            }),
            _ => None,
        };
        // Mostly milliseconds, sometimes minutes.
        world.now += match what >> 4 {
            15 => Duration::from_secs(time),
            scale => Duration::from_millis(time * u64::from(scale)),
        };
        if let Some(event) = event {
            moves.handle(event, world.now);
        }
        world.obey(&mut moves);
        if world.links == [false; 2] {
            // The session is dialled anew.
            return;
        }
        assert!(world.links[place(moves.active())], "{moves:?}");
    }
}

struct World {
    now: Instant,
    links: [bool; 2],
    dialling: [bool; 2],
}

impl World {
    fn obey(&mut self, moves: &mut Moves) {
        for _ in 0..64 {
            match moves.poll(self.now) {
                Output::Wait(until) => {
                    assert!(until.is_none_or(|until| until > self.now), "{moves:?}");
                    return;
                }
                Output::Dial(carrier) => {
                    let place = place(carrier);
                    assert!(!self.links[place] && !self.dialling[place], "{moves:?}");
                    self.dialling[place] = true;
                }
                Output::Drop(carrier) | Output::Cut(carrier) => {
                    if std::mem::take(&mut self.links[place(carrier)]) {
                        moves.handle(Event::Gone(carrier), self.now);
                    }
                }
                Output::Ask(_)
                | Output::Try(_)
                | Output::Fetch(_)
                | Output::Move(..)
                | Output::Rebind(_) => {}
            }
        }
        panic!("it never rests: {moves:?}");
    }
}

const fn place(carrier: Carrier) -> usize {
    match carrier {
        Carrier::Udp => 0,
        Carrier::Tcp => 1,
    }
}
