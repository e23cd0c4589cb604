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
        let waiting = Waiting {
            from: None,
            leave: Arc::clone(&leave),
        };
        state.waiting.insert(number, waiting);
        if let Some(from) = from {
            state.waits(number, from, self.0.bounds.handshakes_per_address);
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

    /// He of this number, if he still waits, is from there, whose oldest gives way if there are `most` such already.
    fn waits(&mut self, number: u64, from: Address, most: usize) {
        let before = match self.waiting.get(&number) {
            Some(waiting) if waiting.from != Some(from) => waiting.from,
            Some(_) | None => return,
        };
        let there = self.addresses.get(&from).map_or(0, |count| count.waiting);
        if there >= most {
            let oldest = self.waiting.iter().find(|(_, one)| one.from == Some(from));
            let oldest = oldest.map(|(number, _)| *number);
            self.give_up(oldest);
        }
        self.forget(before, |count| count.waiting -= 1);
        self.addresses.entry(from).or_default().waiting += 1;
        if let Some(waiting) = self.waiting.get_mut(&number) {
            waiting.from = Some(from);
        }
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

    /// Counts where it comes from, as [`Seat::comes_from`]. What it has not said yet does not count elsewhere any more.
    pub(super) fn comes_from(&self, ip: IpAddr) -> Result<(), Over> {
        let door = &self.seat.door;
        if let Some(from) = door.address(ip) {
            let most = door.0.bounds.handshakes_per_address;
            door.state().waits(self.number, from, most);
        }
        self.seat.comes_from(ip)
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
    /// so. It may be one too many then; an error if it is one of so many that it is not even told.
    pub(super) fn comes_from(&self, ip: IpAddr) -> Result<(), Over> {
        let Some(from) = self.door.address(ip) else {
            return Ok(());
        };
        let mut sits = self.sits();
        if sits.from == Some(from) {
            return Ok(());
        }
        let mut state = self.door.state();
        state.forget(sits.from, |count| count.connections -= 1);
        let count = state.addresses.entry(from).or_default();
        let there = count.connections;
        count.connections += 1;
        sits.from = Some(from);
        if sits.over.is_none() && there >= self.door.0.bounds.connections_per_address {
            if state.turned_away >= COURTESY {
                return Err(Over::FromAddress);
            }
            sits.over = Some(Over::FromAddress);
            state.turned_away += 1;
        }
        Ok(())
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
mod tests;
