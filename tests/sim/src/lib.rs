//! Two IKE endpoints on a virtual clock, with a network between them that loses, repeats and reorders.
//!
//! [`World`] owns everything: the clock, two [`Gateway`]s (an [`ike::IkeManager`] each, with a data plane and
//! a journal that are models), and the datagrams in flight. Nothing in it reads a clock or a random source:
//! the same seed replays the same run, so a failing test prints all that is needed to see it again.
//!
//! Beside what a test asks, every run checks what must always hold:
//! * a packet sealed with an outbound SA opens with the inbound SA its SPI names: same keys, same suite;
//! * no AEAD IV is used for two messages, restarts included (RFC 5282 section 3.1);
//! * a repeated request is the same bytes (RFC 7296 section 2.1);
//! * the data plane is never told something that its state forbids.

mod audit;
mod certificates;
mod data_plane;
mod gateway;
mod link;
mod nat;
mod random;
mod scenario;
mod world;

pub use certificates::{Certificates, EPOCH};
pub use data_plane::{DataPlane, EspPacket, InstalledSa};
pub use gateway::Gateway;
pub use link::Link;
pub use random::Random;
pub use scenario::Scenario;
pub use world::{Side, World};
