//! Packet-rate and micro-benchmarks.
