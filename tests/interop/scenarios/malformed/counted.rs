//! What the data plane has counted, and what became of one frame.

use shm::counters::CountersReader;
use std::collections::BTreeMap;

/// The counters of all workers at one moment.
#[derive(Debug, Clone, Default)]
pub(super) struct Counted {
    /// Packets by drop reason.
    drops: BTreeMap<String, u64>,
    /// Figures of the workers, and those of the agent.
    figures: BTreeMap<String, u64>,
    received: u64,
    sent: u64,
}

impl Counted {
    pub(super) fn read(page: &CountersReader) -> Self {
        let mut counted = Self::default();
        // Slot 0 counts what came for no interface.
        let slots =
            || (0..page.interface_slots()).filter(|slot| *slot == 0 || page.interface(*slot).is_some());
        // The last line is the agent's: its drops were left to it by a worker before.
        for worker in 0..page.workers() - 1 {
            for (index, figure) in page.worker_figures().iter().enumerate() {
                *counted.figures.entry(figure.name.clone()).or_default() += page.worker_figure(worker, index);
            }
            for slot in slots() {
                let line = page.interface_by_worker(worker, slot);
                counted.received += line.rx_packets;
                counted.sent += line.tx_packets;
                for (reason, packets) in page.reasons().iter().zip(line.drops) {
                    *counted.drops.entry(reason.name.clone()).or_default() += packets;
                }
            }
        }
        for (index, figure) in page.figures().iter().enumerate() {
            counted.figures.insert(figure.name.clone(), page.figure(index));
        }
        counted
    }

    pub(super) fn figure(&self, name: &str) -> u64 {
        self.figures.get(name).copied().unwrap_or_default()
    }

    /// Packets that came in and are neither sent, left to the agent, dropped nor held.
    pub(super) fn missing(&self) -> i128 {
        let came = [self.received, self.figure("from_agent"), self.figure("fragments")];
        let dropped = self.drops.values().sum();
        let went = ["to_agent", "merged", "held", "fragments_held"].map(|name| self.figure(name));
        let sum = |packets: &[u64]| packets.iter().copied().map(i128::from).sum::<i128>();
        sum(&came) - sum(&went) - sum(&[self.sent, dropped])
    }

    /// What has been dropped since `before`, by reason.
    fn dropped_since(&self, before: &Self) -> BTreeMap<&str, u64> {
        let before = |reason: &String| before.drops.get(reason).copied().unwrap_or_default();
        let since = self.drops.iter().map(|(reason, packets)| (&**reason, packets - before(reason)));
        since.filter(|(_, packets)| *packets > 0).collect()
    }

    /// Whether what was expected of a frame, and nothing else, has happened since `before`.
    pub(super) fn shows(&self, expected: &str, before: &Self) -> bool {
        let dropped = self.dropped_since(before);
        let grew = |name| self.figure(name) > before.figure(name);
        match expected {
            "agent" => dropped.is_empty() && grew("to_agent"),
            "held" => dropped.is_empty() && grew("fragments_held"),
            // The request goes on inside and the reply outside.
            "echo" => dropped.is_empty() && self.sent >= before.sent + 2,
            _ => {
                let (reason, packets) = expected.split_once('*').unwrap_or((expected, "1"));
                dropped.len() == 1 && dropped.get(reason).is_some_and(|n| n.to_string() == packets)
            }
        }
    }

    /// What has happened since `before`, for a failure's message.
    pub(super) fn since(&self, before: &Self) -> String {
        let changed = self.figures.iter().filter(|(name, value)| **value > before.figure(name));
        let figures: Vec<&str> = changed.map(|(name, _)| &**name).collect();
        format!("dropped {:?}, grown {figures:?}", self.dropped_since(before))
    }
}
