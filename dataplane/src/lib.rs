//! The data plane process: workers and agent.
pub mod config;
