//! Writes packets' journeys down while somebody watches. See [`crate::journey`].
//!
//! A journey lies here while its packet is at this worker; the packet carries its number ([`Buffer::mark`]), so
//! that stages need not pass it on. While nobody watches, each call is one test of a flag.

use std::sync::Arc;

use packet::InterfaceId;
use packet::flow::Flow;
use packet::tables::{Interface, Role};

use super::buffer::Buffer;
use crate::journey::{Heading, Journey, Lenses, MAX_JOURNEYS, Noted, Point, Step, Stock};

/// What one worker writes down.
#[derive(Debug)]
pub(super) struct Scribe {
    /// Somebody watches, or did when a packet that is still here came in.
    awake: bool,
    worker: u16,
    /// Time of the burst at hand, ticks.
    now: u64,
    lenses: Lenses,
    stock: Arc<Stock>,
    /// By mark, less one.
    open: Vec<Option<Box<Journey>>>,
    /// Marks that no packet carries.
    free: Vec<u32>,
    started: u64,
}

/// The mark of a packet that no journey is written for.
const UNMARKED: u32 = 0;

impl Scribe {
    pub(super) fn new(worker: u16, stock: Arc<Stock>) -> Self {
        let marks = u32::try_from(MAX_JOURNEYS).unwrap_or(u32::MAX);
        Self {
            awake: false,
            worker,
            now: 0,
            lenses: Lenses::new(),
            stock,
            open: (0..marks).map(|_| None).collect(),
            free: (1..=marks).rev().collect(),
            started: 0,
        }
    }

    /// From now on these are looked through.
    #[cold]
    pub(super) fn look_through(&mut self, lenses: Lenses) {
        self.lenses = lenses;
        self.doze();
    }

    /// A burst begins.
    #[inline]
    pub(super) fn begin_burst(&mut self, now: u64) {
        self.now = now;
    }

    #[inline]
    pub(super) fn is_awake(&self) -> bool {
        self.awake
    }

    /// A packet came in.
    #[inline]
    pub(super) fn begin(&mut self, packet: &mut impl Buffer, step: impl FnOnce() -> Step) {
        if self.awake {
            self.open_journey(packet, step());
        }
    }

    /// A stage did something.
    #[inline]
    pub(super) fn note(&mut self, packet: &impl Buffer, step: impl FnOnce() -> Step) {
        if self.awake && packet.mark() != UNMARKED {
            self.write(packet.mark(), step());
        }
    }

    /// The packet starts with an IP header that was not there before.
    #[inline]
    pub(super) fn note_header(&mut self, packet: &impl Buffer) {
        if self.awake && packet.mark() != UNMARKED {
            // An encrypted packet parses like any other; what does not is dropped by somebody else.
            let Ok(flow) = Flow::parse(packet.data()) else { return };
            self.write(packet.mark(), Step::Header(flow));
        }
    }

    /// Keeps the packet's bytes as they are now.
    #[inline]
    pub(super) fn shoot(
        &mut self,
        packet: &impl Buffer,
        point: Point,
        heading: Heading,
        interface: Option<InterfaceId>,
    ) {
        if self.awake && packet.mark() != UNMARKED {
            self.keep(packet.mark(), packet.data(), point, heading, interface);
        }
    }

    /// Keeps a frame of an interface.
    #[inline]
    pub(super) fn shoot_frame(&mut self, frame: &impl Buffer, heading: Heading, interface: &Interface) {
        let point = match interface.role {
            Role::Outside => Point::Outside,
            Role::Inside => Point::Inside,
        };
        self.shoot(frame, point, heading, Some(interface.id));
    }

    /// The packet's way ends here.
    #[inline]
    pub(super) fn end(&mut self, packet: &mut impl Buffer, step: impl FnOnce() -> Step) {
        let mark = self.depart(packet);
        self.end_departed(mark, step);
    }

    /// The buffer goes where its mark means nothing; tell [`Scribe::end_departed`] what becomes of it.
    #[inline]
    pub(super) fn depart(&mut self, packet: &mut impl Buffer) -> u32 {
        if !self.awake {
            return UNMARKED;
        }
        let mark = packet.mark();
        packet.set_mark(UNMARKED);
        mark
    }

    /// The way of a departed packet ends.
    #[inline]
    pub(super) fn end_departed(&mut self, mark: u32, step: impl FnOnce() -> Step) {
        if mark != UNMARKED {
            self.close(mark, step());
        }
    }

    /// The packet goes to another worker, and its journey with it.
    #[inline]
    pub(super) fn detach(&mut self, packet: &mut impl Buffer, to: u16) -> Option<Box<Journey>> {
        self.note(packet, || Step::HandedOver { to });
        let mark = self.depart(packet);
        if mark == UNMARKED { None } else { self.take(mark) }
    }

    /// The packet came from another worker, or could not go there.
    #[inline]
    pub(super) fn attach(&mut self, packet: &mut impl Buffer, journey: Option<Box<Journey>>) {
        if let Some(journey) = journey {
            self.put(packet, journey);
        }
    }

    /// `piece` is part of `whole`, and goes its own way from here.
    pub(super) fn fork(&mut self, whole: &impl Buffer, piece: &mut impl Buffer, number: usize) {
        if !self.awake {
            return;
        }
        piece.set_mark(UNMARKED);
        let Some(Some(of_whole)) = slot(whole.mark()).and_then(|slot| self.open.get(slot)) else { return };
        let Some(mut journey) = self.stock.journey() else { return };
        journey.id = of_whole.id;
        journey.piece = u16::try_from(number).unwrap_or(u16::MAX);
        journey.steps.clone_from(&of_whole.steps);
        journey.untold = of_whole.untold;
        self.put(piece, journey);
    }

    #[cold]
    fn open_journey(&mut self, packet: &mut impl Buffer, step: Step) {
        packet.set_mark(UNMARKED);
        if self.lenses.is_empty() {
            return;
        }
        let Some(mut journey) = self.stock.journey() else { return };
        self.started += 1;
        journey.id = u64::from(self.worker) << 48 | self.started;
        journey.piece = 0;
        self.put(packet, journey);
        self.write(packet.mark(), step);
    }

    #[cold]
    fn write(&mut self, mark: u32, step: Step) {
        let (at, worker) = (self.now, self.worker);
        if let Some(Some(journey)) = slot(mark).and_then(|slot| self.open.get_mut(slot)) {
            journey.note(Noted { at, worker, step });
        }
    }

    #[cold]
    fn keep(
        &mut self,
        mark: u32,
        packet: &[u8],
        point: Point,
        heading: Heading,
        interface: Option<InterfaceId>,
    ) {
        let photos = self.lenses.iter().filter_map(|lens| lens.photo).filter(|photo| photo.point == point);
        let Some(snap_len) = photos.map(|photo| photo.snap_len).max() else { return };
        let Some(Some(journey)) = slot(mark).and_then(|slot| self.open.get_mut(slot)) else { return };
        if journey.shots.is_full() {
            return self.stock.lose();
        }
        let Some(mut shot) = self.stock.shot() else { return };
        (shot.at, shot.point, shot.heading, shot.interface) = (self.now, point, heading, interface);
        shot.keep(packet, snap_len);
        journey.shots.push(shot);
    }

    #[cold]
    fn close(&mut self, mark: u32, step: Step) {
        self.write(mark, step);
        let Some(journey) = self.take(mark) else { return };
        if self.lenses.iter().any(|lens| lens.shows(&journey)) {
            self.stock.finish(journey);
        } else {
            self.stock.give_back(journey);
        }
    }

    /// Gives the journey a mark; there are as many as journeys.
    #[cold]
    fn put(&mut self, packet: &mut impl Buffer, journey: Box<Journey>) {
        let Some(mark) = self.free.pop() else { return self.stock.give_back(journey) };
        packet.set_mark(mark);
        if let Some(place) = slot(mark).and_then(|slot| self.open.get_mut(slot)) {
            *place = Some(journey);
        }
        self.awake = true;
    }

    #[cold]
    fn take(&mut self, mark: u32) -> Option<Box<Journey>> {
        let journey = self.open.get_mut(slot(mark)?)?.take()?;
        self.free.push(mark);
        self.doze();
        Some(journey)
    }

    /// Sleeps if nobody watches and no packet here has a journey.
    fn doze(&mut self) {
        self.awake = !self.lenses.is_empty() || self.free.len() < self.open.len();
    }
}

/// Where the journey of a mark lies.
fn slot(mark: u32) -> Option<usize> {
    usize::try_from(mark).ok()?.checked_sub(1)
}
