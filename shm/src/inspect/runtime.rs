//! How a worker is doing, as it counts itself.

use serde::{Deserialize, Serialize};

/// One worker of the data plane. All counts go on from its start: the difference of two records is what happened in
/// between.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runtime {
    /// Which worker.
    pub worker: u16,
    /// How many there are.
    pub workers: u16,
    /// Where it runs; `None` before it does.
    pub seat: Option<Seat>,
    /// The ports it polls, each with its own queue.
    pub queues: Vec<PortQueue>,
    /// The crypto back-end in one line.
    pub crypto: String,
    /// Inbound SAs that it owns.
    pub inbound_sas: u64,
    /// Outbound SAs that it owns.
    pub outbound_sas: u64,
    /// Ticks in a second.
    pub ticks_per_second: u64,
    /// Ticks of rounds that brought packets.
    pub busy_ticks: u64,
    /// Ticks of rounds that brought nothing, and asleep.
    pub idle_ticks: u64,
    /// Rounds that brought packets.
    pub bursts: u64,
    /// Rounds that brought nothing.
    pub empty_polls: u64,
    /// Packets of all bursts: received, taken over, from the agent, and early ones whose keys came.
    pub packets: u64,
    /// Packets of the bursts of which `stages` were timed.
    pub timed_packets: u64,
    /// In the order of a burst.
    pub stages: Vec<StageTime>,
    /// Bursts by packets.
    pub burst_sizes: Vec<Bucket>,
    /// Rounds by nanoseconds from the start of each to the start of the next one, without those before a sleep.
    pub gaps: Vec<Bucket>,
    /// Packets given to the owners of their SAs.
    pub handed_over: u64,
    /// Packets taken from other workers.
    pub taken_over: u64,
    /// Rounds in which more came than could be handled or held.
    pub overloaded: u64,
    /// Times it slept for want of packets.
    pub sleeps: u64,
    /// It does not come round now.
    pub silent: Option<Silent>,
}

/// A worker that does not come round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silent {
    /// For so long at least, milliseconds.
    pub millis: u64,
    /// What it does, for people.
    pub why: String,
}

/// Where a worker runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seat {
    /// EAL's lcore; `None` for a thread that is not EAL's.
    pub lcore: Option<u32>,
    /// The kernel's thread, as `ps -L`, `taskset` and `perf` name it.
    pub thread: i32,
}

/// A receive and a transmit queue of a port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortQueue {
    /// The port's name.
    pub port: String,
    /// The number of both queues.
    pub queue: u16,
}

/// Time spent in one stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageTime {
    /// One word.
    pub stage: String,
    /// Ticks.
    pub ticks: u64,
}

/// A place of a histogram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    /// The largest value that counts here, and not in the place before; `None`: there is none larger.
    pub up_to: Option<u64>,
    /// How many.
    pub count: u64,
}
