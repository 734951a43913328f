//! Headers, ESP, SAD, policies, routes and the forwarding decision: pure.
//!
//! Nothing here knows DPDK, a cipher, a thread or a clock: packets are byte slices, keys are an opaque
//! type `K`, time is an argument. What a worker needs for one burst is one [`tables::Tables`] snapshot:
//!
//! ```text
//! rx ─ headers::ethernet ─ flow::Flow ─┬ inside ── decide::decide_inner ─┬ Encapsulate ─ esp::encap
//!                                      │                  ▲              └ Forward, Local, ICMP, Drop
//!                                      │             esp::decap
//!                                      │                  │ Esp
//!                                      └ outside ─ decide::classify_outside ─ Ike, Icmp, Bypass, Drop
//! ```
//!
//! The configuration is immutable inside a snapshot and shared between snapshots ([`persist`]); what a
//! worker writes per packet (sequence numbers, replay windows, counters) lives in [`sad`] objects beside
//! it as relaxed atomics with a single writer, the owner of the SA.
#![forbid(unsafe_code)]

pub mod decide;
pub mod drop_reason;
pub mod esp;
pub mod fair;
pub mod flow;
pub mod fragmentation;
pub mod headers;
pub mod ids;
pub mod neighbour;
pub mod path_mtu;
pub mod persist;
pub mod plain;
pub mod policer;
pub mod policy;
pub mod prefix;
pub mod reassembly;
pub mod route;
pub mod sad;
pub mod selectors;
pub mod spd;
pub mod tables;
pub mod unfinished;

#[cfg(test)]
mod testing;

pub use drop_reason::DropReason;
pub use ids::{InterfaceId, MacAddr, NextHopId, OwnerTag, PortId, Spi, Station, TunnelId, VlanId, VrfId};
pub use prefix::Prefix;
pub use tables::Tables;
