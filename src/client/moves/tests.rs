//! Moves in virtual time: a network of which UDP and TCP each pass or do not, as a script says.

use proptest::prelude::*;

use super::*;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[expect(clippy::disallowed_methods, reason = "any instant to count from")]
fn start() -> Instant {
    Instant::now()
}

/// A server, the network before it, and what becomes of links.
struct World {
    t0: Instant,
    now: Instant,
    moves: Moves,
    udp: bool,
    tcp: bool,
    /// QUIC carries only so many bytes of media each time that it is linked.
    allowance: Option<u64>,
    carried: u64,
    links: [bool; 2],
    /// Links under way, and when they stand if the network lets them.
    dials: Vec<(Kind, Instant)>,
    video: [bool; 2],
    fetched: Option<(Kind, Instant)>,
    asked: Option<Instant>,
    moved: Vec<(u64, Kind, Reason)>,
    /// The longest time in which no picture was seen.
    dark: Duration,
    seen: Instant,
    rebound: usize,
}

impl World {
    fn new(active: Kind) -> Self {
        let t0 = start();
        let mut links = [false; 2];
        links[usize::from(active == Kind::Tls)] = true;
        Self {
            t0,
            now: t0,
            moves: Moves::new(active, false, t0),
            udp: true,
            tcp: true,
            allowance: None,
            carried: 0,
            links,
            dials: Vec::new(),
            video: links,
            fetched: None,
            asked: None,
            moved: Vec::new(),
            dark: Duration::ZERO,
            seen: t0,
            rebound: 0,
        }
    }

    fn passes(&self, kind: Kind) -> bool {
        match kind {
            Kind::Quic => self.udp && self.allowance.is_none_or(|most| self.carried < most),
            Kind::Tls | Kind::WebSocket | Kind::Http => self.tcp,
        }
    }

    fn is_linked(&self, kind: Kind) -> bool {
        self.links[usize::from(kind == Kind::Tls)]
    }

    fn run(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            self.step();
            self.now += ms(10);
        }
    }

    /// 10 ms: sound comes over each link every 20 ms, pictures over those that bring them every 30 ms.
    fn step(&mut self) {
        let tick = (self.now - self.t0).as_millis() / 10;
        self.dials.retain(|(kind, at)| {
            if self.now < *at {
                return true;
            }
            let passes = match kind {
                Kind::Quic => self.udp,
                Kind::Tls | Kind::WebSocket | Kind::Http => self.tcp,
            };
            let event = if passes {
                self.links[usize::from(*kind == Kind::Tls)] = true;
                if *kind == Kind::Quic {
                    self.carried = 0;
                }
                Event::Stands(*kind)
            } else {
                Event::Failed(*kind)
            };
            self.moves.handle(event, self.now);
            false
        });
        for kind in Kind::ALL {
            if !self.is_linked(kind) || !self.passes(kind) {
                continue;
            }
            let picture = self.video[usize::from(kind == Kind::Tls)] && tick.is_multiple_of(3);
            let answer = kind == Kind::Tls && self.asked.take_if(|at| *at <= self.now).is_some();
            if tick.is_multiple_of(2) || picture || answer {
                self.moves.handle(Event::Heard(kind), self.now);
            }
            if picture {
                if kind == Kind::Quic {
                    self.carried += 10_000;
                }
                self.moves.handle(Event::Frame(kind, ms(10)), self.now);
                if self
                    .fetched
                    .is_some_and(|(over, at)| over == kind && at <= self.now)
                {
                    self.fetched = None;
                    self.moves.handle(Event::Ready(kind), self.now);
                }
                if kind == self.moves.active() {
                    self.dark = self.dark.max(self.now - self.seen);
                    self.seen = self.now;
                }
            }
        }
        self.obey();
    }

    fn obey(&mut self) {
        for _ in 0..100 {
            match self.moves.poll(self.now) {
                Output::Wait(until) => {
                    assert!(
                        until.is_none_or(|until| until > self.now),
                        "{:?}",
                        self.moves
                    );
                    return;
                }
                Output::Dial(kind) => {
                    assert!(!self.is_linked(kind));
                    assert!(!self.dials.iter().any(|(other, _)| *other == kind));
                    let takes = if kind == Kind::Quic && !self.udp {
                        ms(5000)
                    } else {
                        ms(40)
                    };
                    self.dials.push((kind, self.now + takes));
                }
                Output::Rebind(_) => self.rebound += 1,
                Output::Ask(_) => self.asked = Some(self.now + ms(20)),
                Output::Try(kind) => self.video[usize::from(kind == Kind::Tls)] = true,
                Output::Fetch(kind) => {
                    self.video[usize::from(kind == Kind::Tls)] = true;
                    self.fetched = Some((kind, self.now + ms(40)));
                }
                Output::Move(kind, reason) => {
                    self.video[usize::from(kind != Kind::Tls)] = false;
                    let at = u64::try_from((self.now - self.t0).as_millis()).unwrap();
                    self.moved.push((at, kind, reason));
                }
                Output::Drop(kind) => {
                    self.links[usize::from(kind == Kind::Tls)] = false;
                    self.video[usize::from(kind == Kind::Tls)] = false;
                    self.moves.handle(Event::Gone(kind), self.now);
                }
            }
        }
        panic!("it never waits: {:?}", self.moves);
    }
}

#[test]
fn tls_stands_by_after_a_second() {
    let mut world = World::new(Kind::Quic);
    world.run(ms(900));
    assert!(!world.is_linked(Kind::Tls));
    world.run(ms(300));
    assert!(world.is_linked(Kind::Tls));
    world.run(ms(60_000));
    assert_eq!(world.moved, []);
}

#[test]
fn silent_udp_is_left_within_300_ms_and_taken_again_when_it_is_back() {
    let mut world = World::new(Kind::Quic);
    world.run(ms(5000));
    world.udp = false;
    world.run(ms(300));
    assert_eq!(world.moves.active(), Kind::Tls);
    assert!(world.dark <= ms(350), "{:?}", world.dark);
    world.run(ms(10_000));
    world.udp = true;
    world.run(ms(20_000));
    let kinds: Vec<Kind> = world.moved.iter().map(|(_, kind, _)| *kind).collect();
    assert_eq!(kinds, [Kind::Tls, Kind::Quic]);
}

#[test]
fn a_network_that_is_dead_altogether_is_no_reason_to_move() {
    let mut world = World::new(Kind::Quic);
    world.run(ms(5000));
    (world.udp, world.tcp) = (false, false);
    world.run(ms(3000));
    // The machine may have another address.
    assert_eq!(world.rebound, 1);
    (world.udp, world.tcp) = (true, true);
    world.run(ms(10_000));
    assert_eq!(world.moved, []);
}

#[test]
fn udp_that_dies_before_tls_stands_by_is_left_as_soon_as_tls_stands() {
    let mut world = World::new(Kind::Quic);
    world.run(ms(300));
    world.udp = false;
    world.run(ms(500));
    assert_eq!(world.moves.active(), Kind::Tls);
}

/// A box that lets the first 200 kB pass: the trial finds that out, and the person sees one move.
#[test]
fn udp_that_passes_200_kb_and_no_more_makes_at_most_two_moves_in_five_minutes() {
    let mut world = World::new(Kind::Quic);
    world.allowance = Some(200_000);
    world.run(ms(300_000));
    assert!(world.moved.len() <= 2, "{:?}", world.moved);
    assert_eq!(world.moves.active(), Kind::Tls);
}

#[test]
fn a_second_move_away_within_a_minute_bars_quic_for_five() {
    let mut world = World::new(Kind::Quic);
    world.run(ms(2000));
    for _ in 0..2 {
        world.udp = false;
        world.run(ms(1000));
        world.udp = true;
        world.run(ms(12_000));
    }
    assert_eq!(world.moved.len(), 3, "{:?}", world.moved);
    assert_eq!(world.moves.active(), Kind::Tls);
    world.run(ms(280_000));
    assert_eq!(world.moves.active(), Kind::Tls);
    world.run(ms(30_000));
    assert_eq!(world.moves.active(), Kind::Quic);
}

#[test]
fn a_link_that_is_closed_is_left_at_once() {
    let mut world = World::new(Kind::Quic);
    world.run(ms(3000));
    world.links[0] = false;
    world.moves.handle(Event::Gone(Kind::Quic), world.now);
    world.obey();
    assert_eq!(world.moves.active(), Kind::Tls);
}

#[test]
fn where_only_one_way_is_allowed_nothing_moves_and_nothing_is_dialled() {
    let t0 = start();
    let mut moves = Moves::new(Kind::Quic, true, t0);
    assert_eq!(moves.poll(t0 + ms(60_000)), Output::Wait(None));
}

#[test]
fn quic_that_brings_older_pictures_than_tls_is_not_taken() {
    let t0 = start();
    let mut moves = Moves::new(Kind::Tls, false, t0);
    assert_eq!(moves.poll(t0 + ms(5000)), Output::Dial(Kind::Quic));
    moves.handle(Event::Stands(Kind::Quic), t0 + ms(5000));
    assert_eq!(moves.poll(t0 + ms(5000)), Output::Try(Kind::Quic));
    for at in (5000..7000).step_by(20) {
        for (kind, age) in [(Kind::Quic, ms(30)), (Kind::Tls, ms(12))] {
            moves.handle(Event::Heard(kind), t0 + ms(at));
            moves.handle(Event::Frame(kind, age), t0 + ms(at));
        }
    }
    assert_eq!(moves.poll(t0 + ms(7000)), Output::Drop(Kind::Quic));
}

proptest! {
    /// Whatever dies when, and comes back: there is a picture again within seconds of a way being there.
    #[test]
    fn a_picture_is_seen_soon_after_a_way_is_there(
        script in proptest::collection::vec((any::<bool>(), any::<bool>(), 100_u64..20_000), 1..12),
        quic_first: bool,
    ) {
        let mut world = World::new(if quic_first { Kind::Quic } else { Kind::Tls });
        world.run(ms(2000));
        for (udp, tcp, time) in script {
            (world.udp, world.tcp) = (udp, tcp);
            world.run(ms(time));
        }
        (world.udp, world.tcp) = (true, true);
        world.run(ms(8000));
        prop_assert!(world.now - world.seen < ms(200), "{:?}", world.moves);
        world.run(ms(3_700_000));
        prop_assert_eq!(world.moves.active(), Kind::Quic);
        let late = world.moved.iter().filter(|(at, ..)| *at > 600_000).count();
        prop_assert!(late <= 1, "{:?}", world.moved);
    }
}
