//! The data plane process: workers and agent.
//!
//! [`config`] is what an operator says, [`shared`] what agent and workers have in common, [`worker`] the
//! journey of a packet.

pub mod agent;
pub mod config;
pub mod heap;
pub mod journey;
pub mod ports;
pub mod process;
pub mod shared;
pub mod steering;
pub mod worker;
