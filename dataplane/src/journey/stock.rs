//! The bounded stock of journeys and shots, and the way of finished ones to the agent.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crossbeam_queue::ArrayQueue;

use super::{Journey, Shot};

/// Journeys at a time, of all workers and on their way to the agent.
pub const MAX_JOURNEYS: usize = 1024;
/// Shots at a time.
pub const MAX_SHOTS: usize = 1024;
/// The most bytes of a shot: the largest frame.
pub const SHOT_LEN: usize = shm::message::MAX_PACKET_LEN + 18;

/// Shared by all workers and the agent. Nothing in it waits; only the agent allocates.
#[derive(Debug)]
pub struct Stock {
    journeys: ArrayQueue<Box<Journey>>,
    shots: ArrayQueue<Box<Shot>>,
    finished: ArrayQueue<Box<Journey>>,
    lost: AtomicU64,
    /// How many exist, wherever they are; the agent's.
    made: [AtomicUsize; 2],
}

impl Stock {
    /// An empty stock: nothing is written down.
    #[must_use]
    pub(crate) fn new() -> Self {
        Self {
            journeys: ArrayQueue::new(MAX_JOURNEYS),
            shots: ArrayQueue::new(MAX_SHOTS),
            finished: ArrayQueue::new(MAX_JOURNEYS),
            lost: AtomicU64::new(0),
            made: [AtomicUsize::new(0), AtomicUsize::new(0)],
        }
    }

    /// Fills the stock, with shots where a capture needs them. The agent's.
    pub fn fill(&self, with_shots: bool) {
        let [journeys, shots] = &self.made;
        fill(&self.journeys, journeys, Box::default);
        if with_shots {
            fill(&self.shots, shots, || Box::new(Shot::with_room(SHOT_LEN)));
        }
    }

    /// Frees what is here; what workers have comes back, and is freed by a later call. The agent's.
    pub fn empty(&self) {
        while let Some(journey) = self.finished.pop() {
            self.give_back(journey);
        }
        let [journeys, shots] = &self.made;
        while self.journeys.pop().is_some() {
            journeys.fetch_sub(1, Ordering::Relaxed);
        }
        while self.shots.pop().is_some() {
            shots.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// True if nothing exists.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.made.iter().all(|made| made.load(Ordering::Relaxed) == 0)
    }

    /// The next journey that has ended. The agent's.
    #[must_use]
    pub fn next_finished(&self) -> Option<Box<Journey>> {
        self.finished.pop()
    }

    /// Journeys and shots that found no room since the process started.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Counts a loss.
    #[cold]
    pub(crate) fn lose(&self) {
        self.lost.fetch_add(1, Ordering::Relaxed);
    }

    /// An empty journey; `None` is a loss.
    pub(crate) fn journey(&self) -> Option<Box<Journey>> {
        let journey = self.journeys.pop();
        if journey.is_none() {
            self.lose();
        }
        journey
    }

    /// A shot with whatever was in it; `None` is a loss.
    pub(crate) fn shot(&self) -> Option<Box<Shot>> {
        let shot = self.shots.pop();
        if shot.is_none() {
            self.lose();
        }
        shot
    }

    /// Takes a shot back. There is always room: no more were made.
    pub(crate) fn give_back_shot(&self, shot: Box<Shot>) {
        let kept = self.shots.push(shot);
        debug_assert!(kept.is_ok(), "more shots than were made");
    }

    /// Takes a journey and its shots back. There is always room: no more were made.
    pub fn give_back(&self, mut journey: Box<Journey>) {
        journey.shots.drain(..).for_each(|shot| self.give_back_shot(shot));
        journey.steps.clear();
        journey.untold = 0;
        let kept = self.journeys.push(journey);
        debug_assert!(kept.is_ok(), "more journeys than were made");
    }

    /// Gives a journey that has ended to the agent.
    pub(crate) fn finish(&self, journey: Box<Journey>) {
        if let Err(journey) = self.finished.push(journey) {
            self.lose();
            self.give_back(journey);
        }
    }
}

fn fill<T>(queue: &ArrayQueue<Box<T>>, made: &AtomicUsize, make: impl Fn() -> Box<T>) {
    for _ in made.load(Ordering::Relaxed)..queue.capacity() {
        if queue.push(make()).is_ok() {
            made.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Shot {
    fn with_room(len: usize) -> Self {
        let (point, heading, interface) = (super::Point::Outside, super::Heading::In, None);
        Self { at: 0, point, heading, interface, len: 0, bytes: Vec::with_capacity(len) }
    }

    /// Keeps the first `snap_len` bytes of a packet.
    pub(crate) fn keep(&mut self, packet: &[u8], snap_len: usize) {
        let kept = packet.len().min(snap_len).min(self.bytes.capacity());
        self.len = packet.len();
        self.bytes.clear();
        self.bytes.extend_from_slice(&packet[..kept]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_comes_back_and_what_finds_no_room_is_counted() {
        let stock = Stock::new();
        assert!(stock.journey().is_none() && stock.lost() == 1, "nobody watches");
        stock.fill(true);
        stock.fill(true);
        let mut journeys: Vec<_> = std::iter::from_fn(|| stock.journey()).collect();
        assert_eq!((journeys.len(), stock.lost()), (MAX_JOURNEYS, 2));
        let mut last = journeys.pop().expect("many");
        last.shots.push(stock.shot().expect("one"));
        journeys.into_iter().for_each(|journey| stock.finish(journey));
        stock.empty();
        assert!(!stock.is_empty(), "a worker has one");
        stock.give_back(last);
        stock.empty();
        assert!(stock.is_empty());
    }

    #[test]
    fn a_shot_is_never_longer_than_its_room() {
        let mut shot = Shot::with_room(100);
        let room = shot.bytes.capacity();
        shot.keep(&[7; 10_000], usize::MAX);
        assert_eq!((shot.len, shot.bytes.len(), shot.bytes.capacity()), (10_000, room, room));
        shot.keep(&[7; 60], 20);
        assert_eq!((shot.len, shot.bytes.len()), (60, 20));
    }
}
