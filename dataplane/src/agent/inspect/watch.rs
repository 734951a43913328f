//! `esplanade trace` and `esplanade capture`: what the workers look at, and what of it whom is told.

use packet::{DropReason, Prefix};
use shm::inspect::{self as contract, Packet, Record};

use super::super::Agent;
use super::super::environment::Environment;
use super::Inspector;
use super::tell::Teller;
use crate::journey::{Filter, Heading, Journey, Lens, Lenses, Photo, Point};

/// Journeys that one turn tells.
const JOURNEYS_PER_TURN: usize = 256;

/// What a question asks to see. The error is for people.
pub(super) fn lens(filter: &contract::Filter, photo: Option<Photo>) -> Result<Lens, String> {
    let contract::Filter { spi, src, dst, protocol, src_port, dst_port, drop_reason } = filter;
    let prefix = |network: &Option<contract::Network>| {
        network.map(|n| Prefix::containing(n.address, n.len)).transpose().map_err(|error| error.to_string())
    };
    let reason = drop_reason.as_deref().map(|name| {
        let known = DropReason::ALL.iter().find(|reason| reason.name() == name);
        known
            .copied()
            .ok_or(format!("there is no drop reason {name}: see them all with `esplanade show errors --all`"))
    });
    let (src, dst, reason) = (prefix(src)?, prefix(dst)?, reason.transpose()?);
    let (spi, protocol, src_port, dst_port) = (*spi, *protocol, *src_port, *dst_port);
    Ok(Lens { filter: Filter { spi, src, dst, protocol, src_port, dst_port, reason }, photo })
}

/// What a capture keeps.
pub(super) fn photo(capture: &contract::Capture) -> Photo {
    let point = match capture.point {
        contract::Point::Outside => Point::Outside,
        contract::Point::Inside => Point::Inside,
        contract::Point::PreCrypto => Point::PreCrypto,
        contract::Point::PostCrypto => Point::PostCrypto,
    };
    Photo { point, snap_len: capture.snap_len.into() }
}

impl<E: Environment> Agent<E> {
    /// Shows the workers what changed, and gives them what they need for it.
    pub(super) fn publish_lenses(&mut self) {
        let lenses: Lenses = self.inspectors.ends.iter().filter_map(|inspector| inspector.lens).collect();
        let stock = &self.shared.stock;
        if lenses.is_empty() && !stock.is_empty() {
            stock.empty();
        }
        if lenses == self.inspectors.published {
            return;
        }
        if !lenses.is_empty() {
            if self.inspectors.published.is_empty() {
                // What was lost before concerns nobody who is here now.
                self.inspectors.lost_since(stock.lost());
            }
            stock.fill(lenses.iter().any(|lens| lens.photo.is_some()));
        }
        for mailbox in &self.shared.mailboxes {
            mailbox.lenses.force_push(lenses.clone());
        }
        self.inspectors.published = lenses;
    }

    /// Tells the inspectors of journeys that have ended; returns how many.
    pub(super) fn tell_journeys(&mut self) -> usize {
        if self.inspectors.published.is_empty() {
            return 0;
        }
        let teller = Teller {
            described: &self.described,
            ticks: self.ticks(),
            unix_nanos: u64::try_from(self.environment.unix_time().as_nanos()).unwrap_or(u64::MAX),
        };
        let stock = &self.shared.stock;
        let mut told = 0;
        while told < JOURNEYS_PER_TURN
            && let Some(journey) = stock.next_finished()
        {
            told += 1;
            self.inspectors.ends.retain(|inspector| inspector.tell(&journey, &teller));
            stock.give_back(journey);
        }
        let lost = self.inspectors.lost_since(stock.lost());
        for inspector in self.inspectors.ends.iter_mut().filter(|inspector| inspector.lens.is_some()) {
            inspector.lost += lost;
            self.inspectors.lost += inspector.tell_losses();
        }
        told
    }
}

impl Inspector {
    /// False if it must go.
    fn tell(&mut self, journey: &Journey, teller: &Teller<'_>) -> bool {
        let Some(lens) = self.lens.filter(|lens| lens.shows(journey)) else { return true };
        let Some(photo) = lens.photo else { return self.send(&Record::Journey(teller.journey(journey))) };
        journey.shots.iter().filter(|shot| shot.point == photo.point).all(|shot| {
            let kept = &shot.bytes[..shot.bytes.len().min(photo.snap_len)];
            self.send(&Record::Packet(Packet {
                id: journey.id,
                at: teller.unix_nanos(shot.at),
                inbound: shot.heading == Heading::In,
                interface: shot.interface.map(|id| teller.interface(id)).unwrap_or_default(),
                len: u32::try_from(shot.len).unwrap_or(u32::MAX),
                bytes: kept.to_vec(),
                spis: journey.wire_spis().collect(),
                drop_reason: journey.drop_reason().map(|reason| reason.name().to_owned()),
            }))
        })
    }

    /// Tells what was lost as soon as there is room; returns how much was told.
    fn tell_losses(&mut self) -> u64 {
        if self.lost == 0 || !matches!(self.end.send(&Record::Lost { records: self.lost }), Ok(true)) {
            return 0;
        }
        std::mem::take(&mut self.lost)
    }
}
