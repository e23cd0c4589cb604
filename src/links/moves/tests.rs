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
    dials: Vec<(Carrier, Instant)>,
    video: [bool; 2],
    fetched: Option<(Carrier, Instant)>,
    asked: Option<Instant>,
    moved: Vec<(u64, Carrier, Reason)>,
    /// The longest time in which no picture was seen.
    dark: Duration,
    seen: Instant,
    rebound: usize,
    /// The TCP connection belongs to an address that is gone.
    stale: bool,
}

impl World {
    fn new(active: Carrier) -> Self {
        let t0 = start();
        let mut links = [false; 2];
        links[usize::from(active == Carrier::Tcp)] = true;
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
            stale: false,
        }
    }

    fn passes(&self, carrier: Carrier) -> bool {
        match carrier {
            Carrier::Udp => self.udp && self.allowance.is_none_or(|most| self.carried < most),
            Carrier::Tcp => self.tcp && !self.stale,
        }
    }

    /// Another network, where a TCP connection lives on or not.
    fn change_network(&mut self, stale: bool) {
        self.stale = stale;
        self.moves.handle(Event::Network, self.now);
        self.obey();
    }

    /// A link ends, if it is there.
    fn end(&mut self, carrier: Carrier) {
        if std::mem::take(&mut self.links[usize::from(carrier == Carrier::Tcp)]) {
            self.video[usize::from(carrier == Carrier::Tcp)] = false;
            self.moves.handle(Event::Gone(carrier), self.now);
            self.obey();
        }
    }

    fn is_linked(&self, carrier: Carrier) -> bool {
        self.links[usize::from(carrier == Carrier::Tcp)]
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
        self.dials.retain(|(carrier, at)| {
            if self.now < *at {
                return true;
            }
            let passes = match carrier {
                Carrier::Udp => self.udp,
                Carrier::Tcp => self.tcp,
            };
            let event = if passes {
                self.links[usize::from(*carrier == Carrier::Tcp)] = true;
                match carrier {
                    Carrier::Udp => self.carried = 0,
                    Carrier::Tcp => self.stale = false,
                }
                Event::Stands(*carrier)
            } else {
                Event::Failed(*carrier)
            };
            self.moves.handle(event, self.now);
            false
        });
        for carrier in Carrier::ALL {
            if !self.is_linked(carrier) || !self.passes(carrier) {
                continue;
            }
            let picture =
                self.video[usize::from(carrier == Carrier::Tcp)] && tick.is_multiple_of(3);
            let answer =
                carrier == Carrier::Tcp && self.asked.take_if(|at| *at <= self.now).is_some();
            if tick.is_multiple_of(2) || picture || answer {
                self.moves.handle(Event::Heard(carrier), self.now);
            }
            if picture {
                if carrier == Carrier::Udp {
                    self.carried += 10_000;
                }
                self.moves.handle(Event::Frame(carrier, ms(10)), self.now);
                if self
                    .fetched
                    .is_some_and(|(over, at)| over == carrier && at <= self.now)
                {
                    self.fetched = None;
                    self.moves.handle(Event::Ready(carrier), self.now);
                }
                if carrier == self.moves.active() {
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
                Output::Dial(carrier) => {
                    assert!(!self.is_linked(carrier));
                    assert!(!self.dials.iter().any(|(other, _)| *other == carrier));
                    let takes = if carrier == Carrier::Udp && !self.udp {
                        ms(5000)
                    } else {
                        ms(40)
                    };
                    self.dials.push((carrier, self.now + takes));
                }
                Output::Rebind(_) => self.rebound += 1,
                Output::Ask(_) => self.asked = Some(self.now + ms(20)),
                Output::Try(carrier) => self.video[usize::from(carrier == Carrier::Tcp)] = true,
                Output::Fetch(carrier) => {
                    self.video[usize::from(carrier == Carrier::Tcp)] = true;
                    self.fetched = Some((carrier, self.now + ms(40)));
                }
                Output::Move(carrier, reason) => {
                    self.video[usize::from(carrier != Carrier::Tcp)] = false;
                    let at = u64::try_from((self.now - self.t0).as_millis()).unwrap();
                    self.moved.push((at, carrier, reason));
                }
                Output::Drop(carrier) | Output::Cut(carrier) => {
                    self.links[usize::from(carrier == Carrier::Tcp)] = false;
                    self.video[usize::from(carrier == Carrier::Tcp)] = false;
                    self.moves.handle(Event::Gone(carrier), self.now);
                }
            }
        }
        panic!("it never waits: {:?}", self.moves);
    }
}

#[test]
fn tls_stands_by_after_a_second() {
    let mut world = World::new(Carrier::Udp);
    world.run(ms(900));
    assert!(!world.is_linked(Carrier::Tcp));
    world.run(ms(300));
    assert!(world.is_linked(Carrier::Tcp));
    world.run(ms(60_000));
    assert_eq!(world.moved, []);
}

#[test]
fn silent_udp_is_left_within_300_ms_and_taken_again_when_it_is_back() {
    let mut world = World::new(Carrier::Udp);
    world.run(ms(5000));
    world.udp = false;
    world.run(ms(300));
    assert_eq!(world.moves.active(), Carrier::Tcp);
    assert!(world.dark <= ms(350), "{:?}", world.dark);
    world.run(ms(10_000));
    world.udp = true;
    world.run(ms(20_000));
    let kinds: Vec<Carrier> = world.moved.iter().map(|(_, carrier, _)| *carrier).collect();
    assert_eq!(kinds, [Carrier::Tcp, Carrier::Udp]);
}

#[test]
fn a_network_that_is_dead_altogether_is_no_reason_to_move() {
    let mut world = World::new(Carrier::Udp);
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
    let mut world = World::new(Carrier::Udp);
    world.run(ms(300));
    world.udp = false;
    world.run(ms(500));
    assert_eq!(world.moves.active(), Carrier::Tcp);
}

/// A box that lets the first 200 kB pass: the trial finds that out, and the person sees one move.
#[test]
fn udp_that_passes_200_kb_and_no_more_makes_at_most_two_moves_in_five_minutes() {
    let mut world = World::new(Carrier::Udp);
    world.allowance = Some(200_000);
    world.run(ms(300_000));
    assert!(world.moved.len() <= 2, "{:?}", world.moved);
    assert_eq!(world.moves.active(), Carrier::Tcp);
}

#[test]
fn a_second_move_away_within_a_minute_bars_quic_for_five() {
    let mut world = World::new(Carrier::Udp);
    world.run(ms(2000));
    for _ in 0..2 {
        world.udp = false;
        world.run(ms(1000));
        world.udp = true;
        world.run(ms(12_000));
    }
    assert_eq!(world.moved.len(), 3, "{:?}", world.moved);
    assert_eq!(world.moves.active(), Carrier::Tcp);
    world.run(ms(280_000));
    assert_eq!(world.moves.active(), Carrier::Tcp);
    world.run(ms(30_000));
    assert_eq!(world.moves.active(), Carrier::Udp);
}

#[test]
fn quic_on_which_nothing_is_answered_is_left_for_tls_on_which_it_is() {
    let mut world = World::new(Carrier::Udp);
    world.run(ms(5000));
    world.moves.handle(Event::Unheard, world.now);
    world.obey();
    assert_eq!(world.moves.active(), Carrier::Tcp);
    assert_eq!(
        world.moved.last().map(|moved| moved.2),
        Some(Reason::Unheard)
    );
    // Where nothing stands by there is nowhere to go.
    let mut world = World::new(Carrier::Udp);
    world.run(ms(500));
    world.moves.handle(Event::Unheard, world.now);
    world.obey();
    assert_eq!(world.moves.active(), Carrier::Udp);
}

#[test]
fn on_another_network_quic_goes_on_at_once_and_a_dead_tcp_connection_is_replaced() {
    let mut world = World::new(Carrier::Udp);
    world.run(ms(5000));
    world.change_network(true);
    assert_eq!(world.rebound, 1);
    world.run(ms(600));
    assert!(!world.is_linked(Carrier::Tcp));
    world.run(ms(1100));
    assert!(world.is_linked(Carrier::Tcp));
    assert_eq!(world.moved, []);
}

#[test]
fn on_another_network_quic_is_tried_at_once_however_often_it_failed_on_the_old_one() {
    let mut world = World::new(Carrier::Tcp);
    world.udp = false;
    world.run(ms(100_000));
    world.udp = true;
    world.change_network(false);
    world.run(ms(10_000));
    assert_eq!(world.moves.active(), Carrier::Udp);
    // TCP has lived on.
    assert!(world.dark < ms(200), "{:?}", world.dark);
}

#[test]
fn a_link_that_is_closed_is_left_at_once() {
    let mut world = World::new(Carrier::Udp);
    world.run(ms(3000));
    world.end(Carrier::Udp);
    assert_eq!(world.moves.active(), Carrier::Tcp);
}

#[test]
fn where_only_one_way_is_allowed_nothing_moves_and_nothing_is_dialled() {
    let t0 = start();
    let mut moves = Moves::new(Carrier::Udp, true, t0);
    assert_eq!(moves.poll(t0 + ms(60_000)), Output::Wait(None));
}

#[test]
fn quic_that_brings_older_pictures_than_tls_is_not_taken() {
    let t0 = start();
    let mut moves = Moves::new(Carrier::Tcp, false, t0);
    assert_eq!(moves.poll(t0 + ms(5000)), Output::Dial(Carrier::Udp));
    moves.handle(Event::Stands(Carrier::Udp), t0 + ms(5000));
    assert_eq!(moves.poll(t0 + ms(5000)), Output::Try(Carrier::Udp));
    for at in (5000..7000).step_by(20) {
        for (carrier, age) in [(Carrier::Udp, ms(30)), (Carrier::Tcp, ms(12))] {
            moves.handle(Event::Heard(carrier), t0 + ms(at));
            moves.handle(Event::Frame(carrier, age), t0 + ms(at));
        }
    }
    assert_eq!(moves.poll(t0 + ms(7000)), Output::Drop(Carrier::Udp));
}

proptest! {
    /// Whatever dies when, and comes back, and whatever network it is on: there is a picture again within seconds of a way being there.
    #[test]
    fn a_picture_is_seen_soon_after_a_way_is_there(
        script in proptest::collection::vec((any::<bool>(), any::<bool>(), 0..8, 100_u64..20_000), 1..12),
        quic_first: bool,
    ) {
        let mut world = World::new(if quic_first { Carrier::Udp } else { Carrier::Tcp });
        world.run(ms(2000));
        for (udp, tcp, event, time) in script {
            (world.udp, world.tcp) = (udp, tcp);
            match event {
                0 => world.change_network(true),
                1 => world.change_network(false),
                2 => world.end(Carrier::Udp),
                3 => world.end(Carrier::Tcp),
                _ => {}
            }
            world.run(ms(time));
            if world.links == [false; 2] {
                // Then the whole session is dialled anew.
                let carrier = if udp { Carrier::Udp } else { Carrier::Tcp };
                world = World { udp, tcp, ..World::new(carrier) };
            }
        }
        (world.udp, world.tcp) = (true, true);
        world.run(ms(8000));
        prop_assert!(world.now - world.seen < ms(200), "{:?}", world.moves);
        world.run(ms(3_700_000));
        prop_assert_eq!(world.moves.active(), Carrier::Udp);
        let late = world.moved.iter().filter(|(at, ..)| *at > 600_000).count();
        prop_assert!(late <= 1, "{:?}", world.moved);
    }
}
