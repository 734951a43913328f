//! How a packet comes to the worker that owns its SA.
//!
//! A device chooses the queue, and with it the worker, before anybody knows the SA. What it can do is found out when
//! it starts, in the order of worth of [`Path`]; the best is used. Whatever it chooses is only a matter of speed: a
//! worker that gets a packet of another one hands it over.
//!
//! [`plan`] decides of what was found, [`probe`] finds it, [`rules`] keeps a rule for each SA while it lives,
//! [`hash`] foretells queues.

pub mod hash;
pub mod plan;
pub mod probe;
pub mod rules;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod text;

pub use plan::{Form, Path, Pattern, RuleForms, Steering};
pub use rules::{Peer, Rules, Steer};
