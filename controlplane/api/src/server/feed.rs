//! Events, from the one who tells them to those who follow.
//!
//! There is one ring of the last events for all. A follower that is slower than what happens loses its place in it, is
//! told how many it missed, and goes on with the oldest that is left: nobody waits for it, and nothing is kept for it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::body::Bytes;
use tokio::sync::watch;

use super::manage;
use crate::{Event, EventFilter, Occurrence, Problem};

/// Events that are kept for those who come back: of a thousand tunnels that come up.
const KEPT: usize = 4096;
/// Events that a follower gets at once.
const BATCH: usize = 64;

/// Tells events; with it its feeds end.
#[derive(Debug)]
pub struct Publisher {
    ring: Arc<Mutex<Ring>>,
    /// How many events there were.
    told: watch::Sender<u64>,
}

/// Where events can be followed.
#[derive(Debug, Clone)]
pub struct Feed {
    ring: Arc<Mutex<Ring>>,
    told: watch::Receiver<u64>,
}

/// The last events, of which the newest has the number `told`.
#[derive(Debug)]
struct Ring {
    /// Milliseconds since 1970 of the start: the first part of every ID.
    start: u128,
    told: u64,
    kept: VecDeque<Kept>,
}

/// An event, and how it is told.
#[derive(Debug)]
struct Kept {
    event: Event,
    text: Bytes,
}

impl Default for Publisher {
    fn default() -> Self {
        let start = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        let ring = Ring { start, told: 0, kept: VecDeque::new() };
        Self { ring: Arc::new(Mutex::new(ring)), told: watch::Sender::new(0) }
    }
}

impl Publisher {
    /// Tells what happened now, to a tunnel (its connection and its index) or to the whole gateway.
    pub fn publish(&self, of: Option<(String, u8)>, what: Occurrence) {
        let told = lock(&self.ring).add(of, what);
        self.told.send_replace(told);
    }

    /// A feed of what it tells.
    #[must_use]
    pub fn feed(&self) -> Feed {
        Feed { ring: Arc::clone(&self.ring), told: self.told.subscribe() }
    }
}

impl Ring {
    fn add(&mut self, of: Option<(String, u8)>, what: Occurrence) -> u64 {
        self.told += 1;
        let (connection, tunnel) = of.unzip();
        let event = Event { id: self.id(self.told), time: manage::now(), connection, tunnel, what };
        if self.kept.len() >= KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(Kept { text: text(&event), event });
        self.told
    }

    fn id(&self, number: u64) -> String {
        format!("{:x}-{number}", self.start)
    }

    /// The number of the oldest event that is left, or of the next one.
    fn oldest(&self) -> u64 {
        self.told + 1 - self.kept.len() as u64
    }

    /// What stands for the events from `next` to the oldest that is left.
    fn missed(&self, count: Option<u64>) -> Event {
        let id = self.id(self.oldest() - 1);
        let what = Occurrence::Missed { count };
        Event { id, time: manage::now(), connection: None, tunnel: None, what }
    }
}

/// An event as `text/event-stream` has it.
fn text(event: &Event) -> Bytes {
    // Its fields are numbers and texts: there is nothing that JSON could not say, and JSON has no line ends.
    let data = serde_json::to_string(event).unwrap_or_default();
    format!("id: {}\nevent: {}\ndata: {data}\n\n", event.id, event.what.kind()).into()
}

/// One who follows a feed.
#[derive(Debug)]
pub struct Follower {
    feed: Feed,
    filter: EventFilter,
    /// The number of the first event that was not looked at.
    next: u64,
    /// The last one was of another start of the daemon.
    is_stranger: bool,
}

impl Feed {
    /// Follows from now on, or from the event after `last`.
    ///
    /// # Errors
    /// The filter asks for a kind that is none, or `last` is the ID of no event.
    pub fn follow(self, filter: EventFilter, last: Option<&str>) -> Result<Follower, Problem> {
        filter.check()?;
        let ring = lock(&self.ring);
        let (next, is_stranger) =
            match last.map(|last| read(last).ok_or_else(|| unknown(last))).transpose()? {
                None => (ring.told + 1, false),
                Some((start, _)) if start != ring.start => (ring.oldest(), true),
                Some((_, number)) if number > ring.told => return Err(unknown(&ring.id(number))),
                Some((_, number)) => (number + 1, false),
            };
        drop(ring);
        Ok(Follower { feed: self, filter, next, is_stranger })
    }
}

impl Follower {
    /// The ID of the event before the next one.
    pub(super) fn place(&self) -> String {
        lock(&self.feed.ring).id(self.next - 1)
    }

    /// The next events that pass the filter, when there are any; `None` when there will be none.
    pub async fn read(&mut self) -> Option<Bytes> {
        loop {
            let (bytes, is_end) = self.look();
            if !bytes.is_empty() {
                return Some(bytes.into());
            }
            if is_end {
                let seen = self.next;
                self.feed.told.wait_for(|told| *told >= seen).await.ok()?;
            }
        }
    }

    /// Some of what is there, and whether that was all.
    fn look(&mut self) -> (Vec<u8>, bool) {
        let ring = lock(&self.feed.ring);
        let mut bytes = Vec::new();
        let lost = ring.oldest().saturating_sub(self.next);
        if self.is_stranger || lost > 0 {
            let count = (!self.is_stranger).then_some(lost);
            bytes.extend_from_slice(&text(&ring.missed(count)));
            (self.next, self.is_stranger) = (ring.oldest(), false);
        }
        let begin = usize::try_from(self.next - ring.oldest()).unwrap_or(usize::MAX);
        let batch = ring.kept.iter().skip(begin).take(BATCH);
        for kept in batch {
            self.next += 1;
            if self.filter.takes(&kept.event) {
                bytes.extend_from_slice(&kept.text);
            }
        }
        (bytes, self.next > ring.told)
    }
}

fn lock(ring: &Mutex<Ring>) -> MutexGuard<'_, Ring> {
    ring.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The two parts of an ID.
fn read(id: &str) -> Option<(u128, u64)> {
    let (start, number) = id.split_once('-')?;
    Some((u128::from_str_radix(start, 16).ok()?, number.parse().ok()?))
}

fn unknown(id: &str) -> Problem {
    let detail = format!("{id:?} is the ID of no event");
    let problem = Problem::new(400, "UnknownEvent", "No such event", detail);
    problem.fix("send the ID of the last event as it was read, or no Last-Event-ID at all")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn happened(publisher: &Publisher, times: usize) {
        for _ in 0..times {
            publisher.publish(Some(("hq".into(), 1)), Occurrence::TunnelUp);
        }
    }

    fn follow(publisher: &Publisher, last: Option<&str>) -> Follower {
        publisher.feed().follow(EventFilter::default(), last).expect("followed")
    }

    /// The events of what was read, and whether that was all.
    fn events(follower: &mut Follower) -> (Vec<Event>, bool) {
        let (bytes, is_end) = follower.look();
        let text = String::from_utf8(bytes).expect("text");
        let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
        (data.map(|data| serde_json::from_str(data).expect("an event")).collect(), is_end)
    }

    #[test]
    fn who_comes_back_gets_what_it_has_not_read() {
        let publisher = Publisher::default();
        let mut follower = follow(&publisher, None);
        happened(&publisher, 3);
        let (read, is_end) = events(&mut follower);
        assert_eq!((read.len(), is_end), (3, true));
        let mut again = follow(&publisher, Some(&read[0].id));
        assert_eq!(events(&mut again).0, read[1..]);
        assert_eq!(events(&mut follow(&publisher, None)).0, [], "from now on");
        assert_eq!(events(&mut follow(&publisher, Some(&read[2].id))).0, []);
    }

    #[test]
    fn who_is_too_slow_is_told_how_many_it_missed() {
        let publisher = Publisher::default();
        let mut follower = follow(&publisher, None);
        happened(&publisher, KEPT + 5);
        let (read, is_end) = events(&mut follower);
        assert_eq!((&read[0].what, is_end), (&Occurrence::Missed { count: Some(5) }, false));
        assert_eq!(read.len(), 1 + BATCH, "bounded");
        assert!(read[0].id.ends_with("-5") && read[1].id.ends_with("-6"), "{read:?}");
        let mut again = follow(&publisher, Some(&read[0].id));
        assert!(events(&mut again).0[0].id.ends_with("-6"), "told once");
    }

    #[test]
    fn the_events_of_another_start_are_missed_without_a_number() {
        let publisher = Publisher::default();
        happened(&publisher, 2);
        let read = events(&mut follow(&publisher, Some("1f-9"))).0;
        assert_eq!((&read[0].what, read.len()), (&Occurrence::Missed { count: None }, 3));
        let fresh = Publisher::default();
        let mut follower = follow(&fresh, Some("1f-9"));
        assert_eq!(events(&mut follower).0.len(), 1);
        happened(&fresh, 1);
        assert_eq!(events(&mut follower).0.len(), 1);
    }

    #[test]
    fn what_is_no_id_is_refused() {
        let publisher = Publisher::default();
        happened(&publisher, 1);
        let ahead = format!("{:x}-2", lock(&publisher.ring).start);
        for id in ["", "7", "x-1", "1-", "1--1", "1-99999999999999999999", &ahead] {
            let refused = publisher.feed().follow(EventFilter::default(), Some(id)).expect_err(id);
            assert_eq!((refused.status, &*refused.code), (400, "UnknownEvent"), "{id}");
        }
    }

    #[tokio::test]
    async fn a_feed_ends_with_its_publisher() {
        let publisher = Publisher::default();
        let filter = EventFilter { kind: Some("config".into()), ..EventFilter::default() };
        let mut follower = publisher.feed().follow(filter, None).expect("followed");
        happened(&publisher, 3 * BATCH);
        publisher.publish(None, Occurrence::ConfigReloaded { changed: 0 });
        let read = follower.read().await.expect("an event");
        assert!(read.ends_with(b"\"kind\":\"config-reloaded\",\"changed\":0}\n\n"), "{read:?}");
        drop(publisher);
        assert_eq!(follower.read().await, None);
    }
}
