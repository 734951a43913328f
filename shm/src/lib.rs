//! The contract between the two processes: layout, rings, messages, counters.
//!
//! The data plane listens ([`session::Listener`]), control connects ([`session::ControlEnd`]); they exchange
//! the messages of [`message`] over rings in one sealed memfd. Beside a session live two more memories: the
//! [`counters`] page, which anybody may read, and the [`journal`], in which control's IKE SAs outlive control. An operator may
//! [`inspect`] the data plane at the same socket, without control.
//!
//! Neither side trusts the other: whatever is read is copied out first and validated as a copy, and anything
//! wrong with it ends the session with a [`SessionError`] that names it.

mod channel;
pub mod counters;
mod error;
pub mod fuzz;
pub mod inspect;
pub mod journal;
mod layout;
mod memory;
pub mod message;
mod ring;
pub mod session;

pub use error::{ConnectError, SendError, SessionError};
pub use layout::{CONTRACT_VERSION, REGION_LEN, RingName};
pub use memory::MemoryError;
pub use ring::IndexError;
