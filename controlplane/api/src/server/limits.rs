//! What clients may take: seats for connections, and requests a second.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The bounds of everything that a client can make the daemon hold or do.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Open connections of one listener, and of one client on it.
    pub connections: usize,
    pub connections_each: usize,
    /// The same of one address (IPv6: one /64) over TLS.
    pub remote_each: usize,
    /// TLS handshakes at a time, of all addresses and of one; a second, of all; and how long one may take.
    pub handshakes: usize,
    pub handshakes_each: usize,
    pub handshakes_per_sec: u32,
    pub handshake_time: Duration,
    /// How often events may be followed, by all and by one client.
    pub followers: usize,
    pub followers_each: usize,
    /// Requests a second of one client in the long run, and at once after a pause.
    pub requests_per_sec: u32,
    pub burst: u32,
    /// Until the header of a request is there; also how long a connection may stay open between requests.
    pub header_time: Duration,
    /// Until its body is there.
    pub body_time: Duration,
    /// For how long a client may take nothing of its answer.
    pub stall_time: Duration,
    /// Bytes of a request's target, of its header fields, and their number.
    pub target: usize,
    pub header: usize,
    pub fields: usize,
    /// Bytes of a request's body: a document of some thousand connections.
    pub body: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 128,
            connections_each: 64,
            remote_each: 16,
            handshakes: 32,
            handshakes_each: 8,
            handshakes_per_sec: 200,
            handshake_time: Duration::from_secs(5),
            followers: 32,
            followers_each: 16,
            requests_per_sec: 100,
            burst: 400,
            header_time: Duration::from_secs(10),
            body_time: Duration::from_secs(20),
            stall_time: Duration::from_secs(30),
            target: 4 << 10,
            header: 16 << 10,
            fields: 64,
            body: 4 << 20,
        }
    }
}

/// Connections that may be open.
#[derive(Debug)]
pub(super) struct Seats<K> {
    all: usize,
    each: usize,
    taken: Mutex<HashMap<K, usize>>,
}

/// Why there is no seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// The client has as many as it may have.
    Yours,
    All,
}

impl<K: Eq + Hash + Copy> Seats<K> {
    pub(super) fn new(all: usize, each: usize) -> Arc<Self> {
        Arc::new(Self { all, each, taken: Mutex::default() })
    }

    /// A seat for a client, until it is dropped.
    pub(super) fn take(self: &Arc<Self>, client: K) -> Result<Seat<K>, Full> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.values().sum::<usize>() >= self.all {
            return Err(Full::All);
        }
        let own = taken.entry(client).or_default();
        if *own >= self.each {
            return Err(Full::Yours);
        }
        *own += 1;
        Ok(Seat { seats: Arc::clone(self), client })
    }
}

/// The right to have a connection open.
#[derive(Debug)]
pub(super) struct Seat<K: Eq + Hash + Copy> {
    seats: Arc<Seats<K>>,
    client: K,
}

impl<K: Eq + Hash + Copy> Seat<K> {
    /// Whose it is.
    pub(super) fn client(&self) -> K {
        self.client
    }
}

impl<K: Eq + Hash + Copy> Drop for Seat<K> {
    fn drop(&mut self) {
        let mut taken = self.seats.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = taken.get_mut(&self.client) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.client);
            }
        }
    }
}

/// A token bucket for each client, kept as the time at which it is full again (GCRA).
#[derive(Debug)]
pub(super) struct Buckets<K> {
    /// Between two tokens.
    interval: Duration,
    /// How long an empty bucket takes to have one token less than it can have.
    slack: Duration,
    full_at: Mutex<HashMap<K, Instant>>,
}

/// Clients that a [`Buckets`] remembers.
const CLIENTS: usize = 1024;

impl<K: Eq + Hash + Copy> Buckets<K> {
    /// Buckets of `burst` tokens that get `per_sec` of them a second.
    pub(super) fn new(per_sec: u32, burst: u32) -> Self {
        let interval = Duration::from_secs(1) / per_sec.max(1);
        Self { interval, slack: interval * burst.saturating_sub(1), full_at: Mutex::default() }
    }

    /// Takes a token of a client's bucket, or says how long until there is one.
    pub(super) fn take(&self, client: K, now: Instant) -> Result<(), Duration> {
        let mut all = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let full_at = all.get(&client).copied().unwrap_or(now).max(now);
        let missing = full_at - now;
        if missing > self.slack {
            return Err(missing - self.slack);
        }
        if all.len() >= CLIENTS && !all.contains_key(&client) {
            make_room(&mut all, now);
        }
        all.insert(client, full_at + self.interval);
        Ok(())
    }
}

/// Forgets the buckets that are full, or else the one that is so first.
fn make_room<K: Eq + Hash + Copy>(all: &mut HashMap<K, Instant>, now: Instant) {
    all.retain(|_, full_at| *full_at > now);
    if all.len() >= CLIENTS
        && let Some(first) = all.iter().min_by_key(|(_, full_at)| **full_at).map(|(client, _)| *client)
    {
        all.remove(&first);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_empties_and_fills() {
        let buckets = Buckets::new(10, 3);
        let start = Instant::now();
        for _ in 0..3 {
            assert_eq!(buckets.take(1, start), Ok(()));
        }
        assert_eq!(buckets.take(1, start), Err(Duration::from_millis(100)));
        assert_eq!(buckets.take(2, start), Ok(()), "another client has its own");
        let later = start + Duration::from_millis(100);
        assert_eq!(buckets.take(1, later), Ok(()));
        assert!(buckets.take(1, later).is_err());
    }

    #[test]
    fn clients_without_number_are_forgotten() {
        let buckets = Buckets::new(1, 1);
        let now = Instant::now();
        for client in 0..10 * CLIENTS {
            assert_eq!(buckets.take(client, now), Ok(()));
        }
        assert!(buckets.full_at.lock().expect("unpoisoned").len() <= CLIENTS);
    }

    #[test]
    fn seats_are_given_back() {
        let seats = Seats::new(3, 2);
        let first = seats.take('a').expect("a seat");
        let _second = seats.take('a').expect("a seat");
        assert_eq!(seats.take('a').expect_err("none"), Full::Yours);
        let _third = seats.take('b').expect("a seat");
        assert_eq!(seats.take('c').expect_err("none"), Full::All);
        drop(first);
        assert!(seats.take('c').is_ok());
    }
}
