//! Hugepage reservation, NIC binding and the checks behind doctor.
//!
//! Everything is read from `/proc`, `/sys` and `/dev` below a [`System`]'s root, which tests replace by a
//! directory of their own.
#![forbid(unsafe_code)]

mod cpu;
mod doctor;
mod limits;
mod memory;
mod nic;
mod system;

pub use cpu::{Cpus, CryptoFeatures};
pub use doctor::{Check, Needs, Status, checks, doctor};
pub use limits::MemoryLock;
pub use memory::{MemInfo, Pool, Reservation, ReserveError};
pub use nic::{Binding, Nic};
pub use system::System;
