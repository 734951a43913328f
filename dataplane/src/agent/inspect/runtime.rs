//! `esplanade show runtime`: what a worker counts of itself, and what is known of it.

use shm::inspect::{Bucket, PortQueue, Runtime, Seat, Silent, StageTime};

use crate::agent::Agent;
use crate::agent::environment::Environment;
use crate::worker::counters::{Figure, Row};
use crate::worker::stopwatch::{GAPS, Stage, burst_limit, gap_limit};

impl<E: Environment> Agent<E> {
    /// The error is for people.
    pub(super) fn runtime(&self, worker: u16) -> Result<Runtime, String> {
        let workers = self.shared.mailboxes.len();
        let mailbox = self.shared.mailboxes.get(usize::from(worker));
        let mailbox = mailbox.ok_or_else(|| format!("there are {workers} workers, numbered from 0"))?;
        let figure = |figure: Figure| self.page.worker_figure(worker.into(), figure as usize);
        let (inbound_sas, outbound_sas) = self.owned_sas(worker);
        Ok(Runtime {
            worker,
            workers: u16::try_from(workers).unwrap_or(u16::MAX),
            seat: mailbox.seat.get().map(|seat| Seat { lcore: seat.lcore, thread: seat.thread }),
            queues: self.queues(worker),
            crypto: self.expander.backend.describe(),
            inbound_sas,
            outbound_sas,
            ticks_per_second: self.shared.ticks_per_second,
            busy_ticks: figure(Figure::BusyTicks),
            idle_ticks: figure(Figure::IdleTicks),
            bursts: figure(Figure::Bursts),
            empty_polls: figure(Figure::EmptyPolls),
            packets: figure(Figure::Packets),
            timed_packets: figure(Figure::TimedPackets),
            stages: self.stages(worker),
            burst_sizes: self.histogram(worker, Row::BurstSizes, |place| Some(burst_limit(place))),
            gaps: self.histogram(worker, Row::Gaps, |place| self.gap_limit(place)),
            handed_over: figure(Figure::HandedOver),
            taken_over: figure(Figure::TakenOver),
            overloaded: figure(Figure::Overloaded),
            sleeps: figure(Figure::Sleeps),
            silent: self.watchdog.silence_of(worker.into()).map(|(time, why)| Silent {
                millis: u64::try_from(time.as_millis()).unwrap_or(u64::MAX),
                why: why.to_string(),
            }),
        })
    }

    /// Inbound and outbound SAs of a worker.
    fn owned_sas(&self, worker: u16) -> (u64, u64) {
        self.tables.sad().iter().fold((0, 0), |(inbound, outbound), entry| {
            let receives = entry.inbound.as_ref().is_some_and(|sa| sa.owner() == worker);
            let sends = entry.outbound.as_ref().is_some_and(|sa| sa.owner() == worker);
            (inbound + u64::from(receives), outbound + u64::from(sends))
        })
    }

    /// A worker polls the queue with its number, of every port that has so many.
    fn queues(&self, worker: u16) -> Vec<PortQueue> {
        let ports = self.shared.ports.iter().filter(|port| worker < port.queues);
        ports.map(|port| PortQueue { port: port.name.clone(), queue: worker }).collect()
    }

    fn stages(&self, worker: u16) -> Vec<StageTime> {
        let time = |stage: &Stage| StageTime {
            stage: stage.name().to_owned(),
            ticks: self.page.worker_figure(worker.into(), Row::StageTicks.index(*stage as usize)),
        };
        Stage::ALL.iter().map(time).collect()
    }

    /// A row of figures of which each counts values up to a limit.
    fn histogram(&self, worker: u16, row: Row, limit: impl Fn(usize) -> Option<u64>) -> Vec<Bucket> {
        let bucket = |place| Bucket {
            up_to: limit(place),
            count: self.page.worker_figure(worker.into(), row.index(place)),
        };
        (0..row.places()).map(bucket).collect()
    }

    /// In nanoseconds; the last place has none.
    fn gap_limit(&self, place: usize) -> Option<u64> {
        if place + 1 == GAPS {
            return None;
        }
        let nanoseconds =
            u128::from(gap_limit(place)) * 1_000_000_000 / u128::from(self.shared.ticks_per_second);
        Some(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }
}
