//! The contract between the two processes: layout, rings, messages, counters.

pub mod message;
