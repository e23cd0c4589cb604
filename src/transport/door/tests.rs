//! Who is let in, and who gives way.

use std::future::{pending, ready};

use super::*;

fn door(connections: usize, from_one: usize, handshakes: usize, half_from_one: usize) -> Door {
    let bounds = Bounds {
        connections,
        connections_per_address: from_one,
        handshakes,
        handshakes_per_address: half_from_one,
    };
    let proxies = ["10.0.0.0/8".parse().unwrap()];
    Door::new(bounds, proxies.into_iter().collect())
}

fn ip(text: &str) -> Option<IpAddr> {
    Some(text.parse().unwrap())
}

fn is_empty(door: &Door) -> bool {
    let state = door.state();
    state.connections == 0
        && state.turned_away == 0
        && state.waiting.is_empty()
        && state.addresses.is_empty()
}

async fn is_given_up(place: &Place) -> bool {
    tokio::select! {
        biased;
        held = place.hold(pending::<()>()) => matches!(held, Err(AcceptError::Crowded)),
        () = ready(()) => false,
    }
}

#[tokio::test]
async fn one_handshake_too_many_makes_the_oldest_leave() {
    let door = door(1000, 1000, 8, 1000);
    let mut places: Vec<Place> = (0..8).map(|_| door.enter(None).unwrap()).collect();
    drop(places.remove(0));
    places.push(door.enter(None).unwrap());
    assert!(!is_given_up(&places[0]).await);
    places.push(door.enter(None).unwrap());
    assert!(is_given_up(&places[0]).await);
    assert!(!is_given_up(&places[1]).await);
    // Work that is done is done.
    assert!(places[1].hold(ready(())).await.is_ok());
    drop(places);
    assert!(is_empty(&door));
}

#[tokio::test]
async fn one_address_s_handshakes_push_out_its_own_alone() {
    let door = door(1000, 1000, 100, 3);
    let honest = door.enter(ip("192.0.2.1")).unwrap();
    let theirs: Vec<Place> = (0..10)
        .map(|n| door.enter(ip(&format!("2001:db8::{n}"))).unwrap())
        .collect();
    for place in &theirs[..7] {
        assert!(is_given_up(place).await);
    }
    for place in &theirs[7..] {
        assert!(!is_given_up(place).await);
    }
    assert!(!is_given_up(&honest).await);
    let next_network = door.enter(ip("2001:db8:0:1::1")).unwrap();
    assert!(!is_given_up(&theirs[7]).await);
    drop((honest, theirs, next_network));
    assert!(is_empty(&door));
}

#[test]
fn whoever_is_one_too_many_may_be_told_so_and_the_next_hears_nothing() {
    let door = door(3, 2, 1000, 1000);
    let seats = |place: Place| place.seat();
    let first = seats(door.enter(ip("192.0.2.1")).unwrap());
    let second = seats(door.enter(ip("::ffff:192.0.2.1")).unwrap());
    assert_eq!((first.over(), second.over()), (None, None));
    let third = seats(door.enter(ip("192.0.2.1")).unwrap());
    assert_eq!(third.over(), Some(Over::FromAddress));
    // Others are unharmed.
    let other = seats(door.enter(ip("192.0.2.2")).unwrap());
    assert_eq!(other.over(), None);
    let late = seats(door.enter(ip("192.0.2.3")).unwrap());
    assert_eq!(late.over(), Some(Over::Connections));
    let told: Vec<_> = std::iter::from_fn(|| door.enter(ip("192.0.2.1")).ok())
        .take(1000)
        .collect();
    assert_eq!(told.len(), COURTESY - 2);
    drop(second);
    assert!(door.enter(ip("192.0.2.4")).unwrap().seat().over().is_none());
    drop((first, third, other, late, told));
    assert!(is_empty(&door));
}

#[test]
fn behind_a_proxy_each_counts_where_it_comes_from_once_that_is_known() {
    let door = door(100, 2, 100, 100);
    let mut places: Vec<Place> = (0..10)
        .map(|_| door.enter(ip("10.0.0.1")).unwrap())
        .collect();
    for place in &places {
        assert_eq!(place.seat.over(), None);
    }
    for (n, place) in places.iter().enumerate() {
        for said in ["10.0.0.2", "198.51.100.7", "198.51.100.7"] {
            place.comes_from(ip(said).unwrap()).unwrap();
        }
        assert_eq!(place.seat.over().is_some(), n >= 2, "{n}");
    }
    let elsewhere = ip("198.51.100.8").unwrap();
    places[9].comes_from(elsewhere).unwrap();
    assert_eq!(door.state().turned_away, 8);
    assert!(door.session(ip("198.51.100.7").unwrap()).is_none());
    assert!(door.session(ip("198.51.100.8").unwrap()).is_some());
    places.clear();
    assert!(is_empty(&door));
}
#[tokio::test]
async fn behind_a_proxy_one_address_s_handshakes_push_out_its_own_alone() {
    let door = door(1000, 1000, 100, 3);
    let come = |from| {
        let place = door.enter(ip("10.0.0.1")).unwrap();
        place.comes_from(ip(from).unwrap()).unwrap();
        place
    };
    let honest = come("192.0.2.1");
    let theirs: Vec<Place> = (0..10).map(|_| come("192.0.2.2")).collect();
    for (n, place) in theirs.iter().enumerate() {
        assert_eq!(is_given_up(place).await, n < 7, "{n}");
    }
    assert!(!is_given_up(&honest).await);
    // Who has given way counts nowhere, whatever is found out of him.
    theirs[0].comes_from(ip("192.0.2.1").unwrap()).unwrap();
    drop((honest, theirs));
    assert!(is_empty(&door));
}

#[test]
fn behind_a_proxy_as_few_as_elsewhere_are_told_that_they_are_too_many() {
    let door = door(1000, 2, 1000, 1000);
    let places: Vec<Place> = (0..100)
        .map(|_| door.enter(ip("10.0.0.1")).unwrap())
        .collect();
    let told = places
        .iter()
        .map(|place| place.comes_from(ip("192.0.2.1").unwrap()));
    let dropped = told.filter(|told| *told == Err(Over::FromAddress)).count();
    assert_eq!(dropped, 100 - 2 - COURTESY);
    assert_eq!(door.state().turned_away, COURTESY);
    drop(places);
    assert!(is_empty(&door));
}
