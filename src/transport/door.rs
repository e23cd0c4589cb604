//! How many may come in: in all and from one address, and of those how many that have not said yet what they want.
//!
//! An address is one of IPv4, or a network of 64 bits of IPv6, since anybody who has one of these has all of it.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::AcceptError;
use super::forwarded::Proxies;

/// The most of each. Without a word on it, as [`Default`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Connections at once: of viewers, of those who look at pages, of those who are on their way to either.
    pub connections: usize,
    /// The same from one address.
    pub connections_per_address: usize,
    /// Connections at once of which it is not known yet what they want.
    pub handshakes: usize,
    /// The same from one address.
    pub handshakes_per_address: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections: 4096,
            // A whole office may be behind one, with two connections for each viewer.
            connections_per_address: 512,
            handshakes: 512,
            handshakes_per_address: 128,
        }
    }
}

/// Why somebody is one too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Over {
    /// There are enough, wherever they come from.
    #[error("as many connections as --max-connections allows")]
    Connections,
    /// There are enough from there.
    #[error("as many connections from one address as --max-connections-per-address allows")]
    FromAddress,
}

/// What everybody comes through. A handle: clones are the same door, and all ports of a server have one.
#[derive(Clone, Debug, Default)]
pub struct Door(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    bounds: Bounds,
    proxies: Proxies,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    connections: usize,
    /// Of these, those who are only told that they are too many.
    turned_away: usize,
    /// The oldest first.
    waiting: BTreeMap<u64, Waiting>,
    /// Only of those who are there.
    addresses: HashMap<Address, Count>,
}

#[derive(Debug)]
struct Waiting {
    from: Option<Address>,
    leave: Arc<Notify>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    connections: usize,
    waiting: usize,
}

/// As far as one belongs to whoever is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Address {
    V4(u32),
    V6(u64),
}

impl From<IpAddr> for Address {
    fn from(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Self::V4(ip.to_bits()),
            IpAddr::V6(ip) => {
                let [a, b, c, d, ..] = ip.segments();
                let network = [a, b, c, d].map(u64::from);
                Self::V6(network.iter().fold(0, |bits, part| bits << 16 | part))
            }
        }
    }
}

impl Door {
    /// For no more than these. Behind one of the proxies there are many, so their own addresses do not count.
    pub fn new(bounds: Bounds, proxies: Proxies) -> Self {
        Self(Arc::new(Shared {
            bounds,
            proxies,
            state: Mutex::default(),
        }))
    }

    /// One more connection, of which it is not known yet what it wants. `from` is left out where it may not be believed.
    ///
    /// When there are too many such, the oldest of them gives way: of those from there, or of all. To keep others out
    /// that way takes as many connections in the time that an honest viewer needs for a handshake.
    ///
    /// A place may be for somebody who is only told that there is none ([`Seat::over`]), as far as a few are.
    pub fn enter(&self, from: Option<IpAddr>) -> Result<Place, Over> {
        let from = from.and_then(|from| self.address(from));
        let seat = self.seat(from)?;
        let leave = Arc::new(Notify::new());
        let mut state = self.state();
        let number = state.next;
        state.next += 1;
        if let Some(from) = from
            && state.addresses.get(&from).map_or(0, |count| count.waiting)
                >= self.0.bounds.handshakes_per_address
        {
            let oldest = state.waiting.iter().find(|(_, one)| one.from == Some(from));
            let oldest = oldest.map(|(number, _)| *number);
            state.give_up(oldest);
        }
        let waiting = Waiting {
            from,
            leave: Arc::clone(&leave),
        };
        state.waiting.insert(number, waiting);
        if let Some(from) = from {
            state.addresses.entry(from).or_default().waiting += 1;
        }
        if state.waiting.len() > self.0.bounds.handshakes {
            let oldest = state.waiting.keys().next().copied();
            state.give_up(oldest);
        }
        drop(state);
        Ok(Place {
            number,
            leave,
            seat: Arc::new(seat),
        })
    }

    /// One more connection that consists of others, and counts from where it is said to come.
    pub(super) fn session(&self, from: IpAddr) -> Option<Seat> {
        let seat = self.seat(self.address(from)).ok()?;
        seat.over().is_none().then_some(seat)
    }

    /// How many are there of which it is not known yet what they want.
    pub(super) fn waiting(&self) -> usize {
        self.state().waiting.len()
    }

    fn address(&self, ip: IpAddr) -> Option<Address> {
        (!self.0.proxies.trusts(ip)).then(|| ip.into())
    }

    fn seat(&self, from: Option<Address>) -> Result<Seat, Over> {
        let mut state = self.state();
        let over = state.over(&self.0.bounds, from);
        if let Some(over) = over {
            if state.turned_away >= COURTESY {
                return Err(over);
            }
            state.turned_away += 1;
        }
        state.connections += 1;
        if let Some(from) = from {
            state.addresses.entry(from).or_default().connections += 1;
        }
        Ok(Seat {
            door: self.clone(),
            sits: Mutex::new(Sits { from, over }),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Why one more from there is too many.
    fn over(&self, bounds: &Bounds, from: Option<Address>) -> Option<Over> {
        // Whoever is told that he is too many shall not make the next too many.
        if self.connections - self.turned_away >= bounds.connections {
            return Some(Over::Connections);
        }
        let there = from.and_then(|from| self.addresses.get(&from));
        let there = there.map_or(0, |count| count.connections);
        (there >= bounds.connections_per_address).then_some(Over::FromAddress)
    }

    /// He of this number waits no longer.
    fn leave(&mut self, number: u64) -> Option<Waiting> {
        let gone = self.waiting.remove(&number)?;
        self.forget(gone.from, |count| count.waiting -= 1);
        Some(gone)
    }

    fn give_up(&mut self, number: Option<u64>) {
        if let Some(gone) = number.and_then(|number| self.leave(number)) {
            gone.leave.notify_one();
        }
    }

    /// Counts one less from there, and keeps nothing of an address from which nobody is there.
    fn forget(&mut self, from: Option<Address>, less: impl FnOnce(&mut Count)) {
        let Some(from) = from else {
            return;
        };
        if let Some(count) = self.addresses.get_mut(&from) {
            less(count);
            if count.connections == 0 && count.waiting == 0 {
                self.addresses.remove(&from);
            }
        }
    }
}

/// A place among those who have not said yet what they want, given back when dropped.
#[derive(Debug)]
pub struct Place {
    number: u64,
    leave: Arc<Notify>,
    seat: Arc<Seat>,
}

impl Place {
    /// Runs `work` for as long as the place is ours.
    pub(super) async fn hold<T>(&self, work: impl Future<Output = T>) -> Result<T, AcceptError> {
        tokio::select! {
            biased;
            done = work => Ok(done),
            () = self.leave.notified() => Err(AcceptError::Crowded),
        }
    }

    /// The connection itself, to be kept for as long as it lasts.
    pub fn seat(&self) -> Arc<Seat> {
        Arc::clone(&self.seat)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.seat.door.state().leave(self.number);
    }
}

/// One connection, counted until this is dropped.
#[derive(Debug)]
pub struct Seat {
    door: Door,
    sits: Mutex<Sits>,
}

#[derive(Clone, Copy, Debug)]
struct Sits {
    from: Option<Address>,
    over: Option<Over>,
}

impl Seat {
    /// Why it is one too many: whoever is there is to be told so, and nothing else.
    pub fn over(&self) -> Option<Over> {
        self.sits().over
    }

    /// Counts where it comes from, once that is known: behind a proxy, or when an address has shown to be his who says
    /// so. It may be one too many then.
    pub(super) fn comes_from(&self, ip: IpAddr) {
        let Some(from) = self.door.address(ip) else {
            return;
        };
        let mut sits = self.sits();
        if sits.from == Some(from) {
            return;
        }
        let mut state = self.door.state();
        state.forget(sits.from, |count| count.connections -= 1);
        let count = state.addresses.entry(from).or_default();
        let there = count.connections;
        count.connections += 1;
        sits.from = Some(from);
        if sits.over.is_none() && there >= self.door.0.bounds.connections_per_address {
            sits.over = Some(Over::FromAddress);
            state.turned_away += 1;
        }
    }

    fn sits(&self) -> MutexGuard<'_, Sits> {
        self.sits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let sits = *self.sits();
        let mut state = self.door.state();
        state.connections -= 1;
        if sits.over.is_some() {
            state.turned_away -= 1;
        }
        state.forget(sits.from, |count| count.connections -= 1);
    }
}

/// How many may be there at once only to be told that they are too many; the next hear nothing.
const COURTESY: usize = 32;

#[cfg(test)]
mod tests {
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
                place.seat.comes_from(ip(said).unwrap());
            }
            assert_eq!(place.seat.over().is_some(), n >= 2, "{n}");
        }
        places[9].seat.comes_from(ip("198.51.100.8").unwrap());
        assert_eq!(door.state().turned_away, 8);
        assert!(door.session(ip("198.51.100.7").unwrap()).is_none());
        assert!(door.session(ip("198.51.100.8").unwrap()).is_some());
        places.clear();
        assert!(is_empty(&door));
    }
}
