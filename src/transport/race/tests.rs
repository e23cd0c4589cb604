use std::fmt::Debug;

use proptest::prelude::*;

use super::Carrier::{Tcp as Tls, Udp as Quic};
use super::Event::{Failed, Heard, Progress, Rejected, UdpRefused, Welcome};
use super::*;

type Told = &'static str;

/// A race in virtual time: milliseconds from its start.
struct Run {
    race: Race<Told>,
    start: Instant,
    now: u64,
    started: Vec<(u64, Carrier)>,
    end: Option<Output<Told>>,
    wait: Option<u64>,
}

impl Run {
    #[expect(clippy::disallowed_methods, reason = "any instant to count from")]
    fn new(plan: Plan) -> Self {
        let start = Instant::now();
        let mut run = Self {
            race: Race::new(plan, start),
            start,
            now: 0,
            started: Vec::new(),
            end: None,
            wait: None,
        };
        run.drain();
        run
    }

    fn usual() -> Self {
        Self::new(Plan::default())
    }

    fn instant(&self) -> Instant {
        self.start + Duration::from_millis(self.now)
    }

    fn drain(&mut self) {
        self.wait = None;
        loop {
            match self.race.poll(self.instant()) {
                Output::Start(carrier) => {
                    assert_eq!(self.end, None, "{carrier} is started after the end");
                    self.started.push((self.now, carrier));
                }
                end @ (Output::Won(_) | Output::Failed(_)) => {
                    assert_eq!(self.end, None, "there are two ends: {end:?}");
                    self.end = Some(end);
                }
                Output::Wait(until) => {
                    assert_eq!(self.end, None, "it waits after the end");
                    assert!(until > self.instant(), "it waits for what has been");
                    let until = u64::try_from((until - self.start).as_millis()).unwrap();
                    self.wait = Some(until);
                    return;
                }
                Output::Over => {
                    assert!(self.end.is_some(), "it is over without an end");
                    return;
                }
            }
        }
    }

    /// Lets time pass until `to`, waking up when the race asks for it.
    fn until(&mut self, to: u64) {
        while let Some(wait) = self.wait.filter(|wait| *wait <= to) {
            self.now = wait;
            self.drain();
        }
        self.now = to;
    }

    fn at(&mut self, ms: u64, event: Event<Told>) -> &mut Self {
        self.until(ms);
        self.race.handle(event, self.instant());
        self.drain();
        self
    }

    fn started(&mut self, by: u64) -> &[(u64, Carrier)] {
        self.until(by);
        &self.started
    }

    fn won(&self) -> Report<Told> {
        match self.end.clone() {
            Some(Output::Won(report)) => report,
            other => panic!("nobody has won: {other:?}"),
        }
    }

    fn lost(&self) -> Failure<Told> {
        match self.end.clone() {
            Some(Output::Failed(failure)) => failure,
            other => panic!("it has not failed: {other:?}"),
        }
    }
}

fn same<T: Debug + PartialEq>(seen: &[T], wanted: &[T]) {
    assert_eq!(seen, wanted);
}

#[test]
fn where_udp_is_silent_tls_starts_after_100_ms() {
    let mut run = Run::usual();
    same(run.started(99), &[(0, Quic)]);
    same(run.started(100), &[(0, Quic), (100, Tls)]);
    let report = run.at(140, Welcome(Tls)).won();
    assert_eq!(report.winner, Tls);
    assert_eq!(report.took, Duration::from_millis(140));
    assert_eq!(report.beside, Beside::GoesOn(Quic));
    assert_eq!(report.why.unwrap().to_string(), "UDP is not answered here");
}

#[test]
fn where_udp_is_refused_tls_starts_at_once() {
    let mut run = Run::usual();
    same(run.at(3, UdpRefused).started(3), &[(0, Quic), (3, Tls)]);
    run.at(4, Failed(Quic, "no"));
    let report = run.at(30, Welcome(Tls)).won();
    assert_eq!(report.beside, Beside::Nothing);
    assert_eq!(report.why.unwrap().to_string(), "UDP is refused here");
}

#[test]
fn quic_may_go_on_after_a_refusal_and_win() {
    let mut run = Run::usual();
    run.at(3, UdpRefused).at(20, Heard);
    let report = run.at(40, Welcome(Quic)).won();
    assert_eq!((report.winner, report.why), (Quic, None));
}

#[test]
fn where_udp_answers_but_does_not_finish_tls_starts_after_250_ms() {
    let mut run = Run::usual();
    run.at(40, Heard);
    same(run.started(249), &[(0, Quic)]);
    same(run.started(250), &[(0, Quic), (250, Tls)]);
    let report = run.at(300, Welcome(Tls)).won();
    assert_eq!(
        report.why.unwrap().to_string(),
        "QUIC answered but was slower"
    );
}

#[test]
fn progress_puts_tls_off_but_not_beyond_two_seconds() {
    let mut run = Run::usual();
    run.at(40, Heard).at(200, Progress);
    same(run.started(449), &[(0, Quic)]);
    for ms in (449..=1999).step_by(50) {
        run.at(ms, Progress);
    }
    same(run.started(1999), &[(0, Quic)]);
    same(run.started(2000), &[(0, Quic), (2000, Tls)]);
}

#[test]
fn what_comes_back_late_does_not_hold_up_tls() {
    let mut run = Run::usual();
    // Nobody has polled since the start.
    run.now = 120;
    run.race.handle(Heard, run.instant());
    run.drain();
    same(&run.started, &[(0, Quic), (120, Tls)]);
}

#[test]
fn on_a_network_known_as_broken_tls_goes_alone() {
    let broken = Plan {
        udp: Udp::Broken {
            ago: Duration::from_secs(200),
        },
        ..Plan::default()
    };
    let mut run = Run::new(broken);
    same(run.started(5000), &[(0, Tls)]);
    let report = run.at(5000, Welcome(Tls)).won();
    assert_eq!(report.beside, Beside::Untried(Quic));
    assert_eq!(
        report.why.unwrap().to_string(),
        "UDP was found broken on this network 3 minutes ago"
    );

    let mut run = Run::new(broken);
    run.at(50, Failed(Tls, "reset"));
    same(run.started(50), &[(0, Tls), (50, Quic)]);
    assert_eq!(run.at(90, Welcome(Quic)).won().beside, Beside::Nothing);
}

#[test]
fn with_a_proxy_both_start_at_once() {
    let mut run = Run::new(Plan {
        proxied: true,
        ..Plan::default()
    });
    same(run.started(0), &[(0, Quic), (0, Tls)]);
}

#[test]
fn an_error_of_quic_only_lets_tls_start() {
    for ms in [0, 60, 99, 180] {
        let mut run = Run::usual();
        if ms > 0 {
            run.at(ms / 2, Heard);
        }
        run.at(ms, Failed(Quic, "TLS alert"));
        same(&run.started, &[(0, Quic), (ms, Tls)]);
        let report = run.at(400, Welcome(Tls)).won();
        assert_eq!(report.beside, Beside::Nothing);
        assert_eq!(report.why.unwrap().to_string(), "QUIC failed: TLS alert");
    }
}

#[test]
fn when_both_fail_each_reason_is_told() {
    let mut run = Run::usual();
    run.at(10, Failed(Quic, "version"));
    let failure = run.at(20, Failed(Tls, "reset")).lost();
    assert_eq!(failure.to_string(), "TCP: reset; UDP: version");
    assert_eq!(failure.told(), Some((Tls, &"reset")));
    assert_eq!(failure.took, Duration::from_millis(20));
}

#[test]
fn an_error_of_tls_leaves_quic_its_time() {
    let mut run = Run::usual();
    run.at(150, Failed(Tls, "reset"));
    assert_eq!(run.end, None);
    assert_eq!(run.at(9000, Welcome(Quic)).won().winner, Quic);
}

#[test]
fn quic_wins_even_after_tls_has_started() {
    let mut run = Run::usual();
    let report = run.at(110, Welcome(Quic)).won();
    assert_eq!(report.winner, Quic);
    assert_eq!(report.beside, Beside::GoesOn(Tls));
    assert_eq!(report.why, None);
}

#[test]
fn where_quic_is_quick_tls_is_left_to_stand_by() {
    let mut run = Run::usual();
    let report = run.at(20, Heard).at(40, Welcome(Quic)).won();
    assert_eq!(report.beside, Beside::Untried(Tls));
    same(run.started(10_000), &[(0, Quic)]);
}

#[test]
fn a_second_welcome_changes_nothing() {
    let mut run = Run::usual();
    run.at(130, Welcome(Tls)).at(131, Welcome(Quic));
    run.at(132, Failed(Tls, "cut"));
    assert_eq!(run.won().winner, Tls);
}

#[test]
fn a_wrong_key_on_tls_ends_the_race() {
    let mut run = Run::usual();
    let failure = run.at(150, Rejected(Tls, "changed")).lost();
    assert_eq!(failure.quic, Fate::Unfinished);
    assert_eq!(failure.to_string(), "changed");
    assert!(failure.is_rejection());
}

#[test]
fn a_wrong_key_on_quic_is_told_only_if_tls_fails_too() {
    let mut run = Run::usual();
    run.at(30, Rejected(Quic, "changed"));
    same(&run.started, &[(0, Quic), (30, Tls)]);
    let failure = run.at(60, Failed(Tls, "reset")).lost();
    assert_eq!(failure.into_told(), Some((Quic, "changed")));

    let mut run = Run::usual();
    run.at(30, Rejected(Quic, "changed"));
    let report = run.at(60, Welcome(Tls)).won();
    assert_eq!(report.why, Some(Why::Rejected("changed")));
}

#[test]
fn what_a_person_asked_for_is_all_that_is_tried() {
    for carrier in Carrier::ALL {
        let mut run = Run::new(Plan {
            ways: Ways::Over(carrier),
            udp: Udp::Broken {
                ago: Duration::ZERO,
            },
            ..Plan::default()
        });
        same(run.started(9999), &[(0, carrier)]);
        let failure = run.at(9999, Failed(carrier, "no")).lost();
        assert_eq!(failure.to_string(), format!("{carrier}: no"));
    }
    let mut run = Run::new(Plan {
        ways: Ways::Over(Tls),
        ..Plan::default()
    });
    let report = run.at(20, Welcome(Tls)).won();
    assert_eq!(report.beside, Beside::Nothing);
    assert_eq!(report.why, Some(Why::NotAllowed));
}

#[test]
fn after_ten_seconds_it_has_failed() {
    let mut run = Run::usual();
    run.at(500, Failed(Quic, "no"));
    run.until(9_999);
    assert_eq!(run.end, None);
    run.until(10_000);
    let failure = run.lost();
    assert_eq!(failure.to_string(), "TCP: not ready after 10 s; UDP: no");
    assert_eq!(failure.told(), Some((Quic, &"no")));
}

#[test]
fn what_was_not_started_cannot_win_or_fail() {
    let mut run = Run::usual();
    run.at(1, Welcome(Tls)).at(2, Failed(Tls, "no"));
    run.at(3, Rejected(Tls, "changed"));
    assert_eq!(run.end, None);
    same(run.started(100), &[(0, Quic), (100, Tls)]);
}

fn events() -> impl Strategy<Value = Vec<(u64, Event<Told>)>> {
    let carrier = || prop_oneof![Just(Quic), Just(Tls)];
    let event = prop_oneof![
        4 => Just(Heard),
        8 => Just(Progress),
        1 => Just(UdpRefused),
        1 => carrier().prop_map(Welcome),
        1 => carrier().prop_map(|carrier| Failed(carrier, "failed")),
        1 => carrier().prop_map(|carrier| Rejected(carrier, "rejected")),
    ];
    let pause = prop_oneof![0..20_u64, 0..300_u64, 0..4000_u64];
    proptest::collection::vec((pause, event), 0..40)
}

fn plans() -> impl Strategy<Value = Plan> {
    let ways = prop_oneof![
        4 => Just(Ways::All),
        1 => Just(Ways::Over(Quic)),
        1 => Just(Ways::Over(Tls)),
    ];
    let ago = Duration::from_secs(90);
    let udp = prop_oneof![Just(Udp::Unknown), Just(Udp::Broken { ago })];
    (ways, udp, any::<bool>()).prop_map(|(ways, udp, proxied)| Plan {
        ways,
        udp,
        proxied,
        ..Plan::default()
    })
}

proptest! {
    /// `Run` itself sees that there are never two ends, nothing starts after one, and a race that goes on waits for
    /// what is still to come.
    #[test]
    fn whatever_happens_it_ends_in_time_with_at_most_one_winner(
        plan in plans(),
        events in events(),
    ) {
        let mut run = Run::new(plan);
        let mut ms = 0;
        for (pause, event) in events {
            ms += pause;
            run.at(ms, event);
        }
        run.until(ms.max(10_000));
        prop_assert!(run.end.is_some());
        for carrier in Carrier::ALL {
            let starts = run.started.iter().filter(|(_, started)| *started == carrier).count();
            prop_assert!(starts <= usize::from(plan.ways.allow(carrier)), "{carrier} {starts} times");
        }
        if let Some(Output::Won(report)) = &run.end {
            prop_assert!(run.started.iter().any(|(_, carrier)| *carrier == report.winner));
            prop_assert!(report.took <= Duration::from_secs(10));
        }
        let tls = run.started.iter().find(|(_, carrier)| *carrier == Tls);
        let quic_won = matches!(&run.end, Some(Output::Won(report)) if report.winner == Quic);
        if plan.ways.allow(Tls) && !quic_won {
            prop_assert!(tls.is_some_and(|(at, _)| *at <= 2000), "tls {tls:?}");
        }
    }
}
