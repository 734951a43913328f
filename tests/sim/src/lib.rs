//! IKE gateways on a virtual clock, with a network between them that loses, repeats and reorders.
//!
//! [`World`] owns everything: the clock, the [`Gateway`]s (an [`ike::IkeManager`] each, with a data plane and a
//! journal that are models), and the datagrams in flight. Nothing in it reads a clock or a random source: the
//! same seed replays the same run, so a failing test prints all that is needed to see it again.
//!
//! Tests script a [`Scenario`] of two ends. [`Plan`] draws a whole run from a seed instead: gateways, network,
//! faults and commands; [`run`] carries it out, and the program `sim` does so for thousands of seeds
//! (`cargo xtask sim`). What no run may break is listed in [`Invariant`].

mod audit;
mod certificates;
mod data_plane;
mod gateway;
mod invariant;
mod link;
mod nat;
mod network;
mod plan;
mod random;
mod run;
mod scenario;
mod topology;
mod world;

pub use certificates::{Certificates, EPOCH};
pub use data_plane::{DataPlane, EspPacket, InstalledSa};
pub use gateway::Gateway;
pub use invariant::{Invariant, Tally};
pub use link::Link;
pub use plan::{Action, Plan, Temper};
pub use random::Random;
pub use run::run;
pub use scenario::Scenario;
pub use topology::{Side, Topology, Tunnel};
pub use world::World;
