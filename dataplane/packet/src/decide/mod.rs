//! The one forwarding decision (rule 2 of the design), as pure functions.
//!
//! Every inner packet: VRF → discard entries → policy routes → longest prefix → next hop → CHILD_SA by selector.
//! What arrives on an outside interface is ESP, IKE or ICMP for us, a bypass, or dropped.

mod discovery;
pub mod explain;
mod inner;
mod outside;

pub use discovery::{is_link_local_echo, is_neighbour_discovery, own_addresses};
pub use explain::{Explanation, Verdict, explain_inner, explain_outside};
pub use inner::{FragmentTo, Ingress, Outcome, decide_inner, never_sends};
pub(crate) use outside::{IKE_PORT, NAT_T_PORT};
pub use outside::{IkeStanding, Outside, classify_outside, esp_for_us};
