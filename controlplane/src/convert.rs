//! Between the words of the document, of IKE, and of the contract.

mod config;
mod ike_config;
mod sa;

pub use config::{ActiveTunnels, UnknownPort, configuration, next_hop, tunnel_groups};
pub use ike_config::{connection, identity, key};
pub use sa::{Unrepresentable, delete, install, owner, spi, update_outer};
