//! Rule 8: every packet in is forwarded, delivered or dropped, and the sums say so.

use packet::DropReason;
use shm::counters::CountersReader;

use super::counters::Figure;

/// The workers' counters, summed up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Balance {
    /// Received by workers.
    pub received: u64,
    /// Given to workers by the agent.
    pub from_agent: u64,
    /// Additional packets made by fragmentation.
    pub fragments: u64,
    /// Fragments gone into a packet made of several, less those packets.
    pub merged: u64,
    /// Transmitted by workers.
    pub sent: u64,
    /// Left to the agent.
    pub to_agent: u64,
    /// Dropped by workers, under any reason.
    pub dropped: u64,
    /// On their way from worker to worker.
    pub in_handoff: u64,
}

impl Balance {
    /// Reads the lines of the first `workers` writers of a counters page; the one after them is the agent's.
    #[must_use]
    pub fn read(page: &CountersReader, workers: usize) -> Self {
        let mut sum = Self::default();
        let mut taken_over = 0;
        for worker in 0..workers {
            let figure = |figure: Figure| page.worker_figure(worker, figure as usize);
            sum.from_agent += figure(Figure::FromAgent);
            sum.fragments += figure(Figure::Fragments);
            sum.merged += figure(Figure::Merged);
            sum.to_agent += figure(Figure::ToAgent);
            sum.in_handoff += figure(Figure::HandedOver);
            taken_over += figure(Figure::TakenOver);
            for slot in 0..page.interface_slots() {
                let line = page.interface_by_worker(worker, slot);
                sum.received += line.rx_packets;
                sum.sent += line.tx_packets;
                sum.dropped += line.drops.iter().take(DropReason::COUNT).sum::<u64>();
            }
        }
        sum.in_handoff -= taken_over;
        sum
    }

    /// Packets that came in and are not accounted for: exactly those that workers hold back.
    #[must_use]
    pub fn missing(&self) -> i128 {
        let came = i128::from(self.received) + i128::from(self.from_agent) + i128::from(self.fragments);
        let went = [self.merged, self.sent, self.to_agent, self.dropped, self.in_handoff];
        came - went.into_iter().map(i128::from).sum::<i128>()
    }
}
