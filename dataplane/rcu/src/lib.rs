//! Quiescent-state reclamation, and the huge-page [`arena`] for key schedules.
//!
//! One thread, the agent, replaces whole immutable values; the workers read them without a lock,
//! a reference count or a write to shared memory. This is the only primitive of its kind in
//! Esplanade, and this page is its protocol.
//!
//! # Roles
//!
//! * The **publisher** builds a new value beside the old one, then swaps one pointer with
//!   [`RcuCell::publish`]. It alone frees memory, in [`Domain::reclaim`]. It never blocks on a
//!   worker: no call in this crate waits for a grace period.
//! * A **worker** takes what it needs with [`RcuCell::load`] at the start of a burst and keeps the
//!   reference until the burst is over. Then, holding nothing, it calls [`Worker::quiescent`]: "what
//!   I saw before this point I shall not touch again". "Nothing" includes crypto jobs in flight,
//!   held packets, and packets handed to another worker that would lead to a table or an SA by
//!   pointer; those must carry an identifier (an SPI, an interface) and be looked up again.
//! * Before it sleeps a worker goes **offline** ([`Worker::offline`]), so that it holds up nobody.
//!
//! # Protocol
//!
//! There is one global epoch, and one slot per worker with the newest epoch that this worker has
//! reported, or `OFFLINE`, or `VACANT`.
//!
//! ```text
//! publisher                                worker
//! 1 swap the cell's pointer                a load the epoch (acquire)
//! 2 epoch += 1; ticket = epoch (release)   b store it in the own slot (release)
//! 3 queue (old value, ticket)              c load cells, use the values
//! 4 fence; read every slot (acquire)
//! 5 free what every online slot has passed: slot >= ticket
//! ```
//!
//! A slot that shows `ticket` or more was written by a worker that had read an epoch of at least
//! `ticket`, so it will load the new pointer (1 before 2 before a before c), and it had finished
//! with everything older when it wrote the slot (b releases, 4 acquires).
//!
//! A worker that comes online stores its slot and then passes a sequentially consistent fence
//! before its first load; the publisher passes one between 1 and 4. Of these two fences one is
//! first: either the publisher sees the slot and waits for it, or the worker sees the new pointer.
//!
//! Reporting costs one load of a line that rarely changes; the slot is written only when the epoch
//! has moved. An epoch is 64 bits wide and does not wrap.
//!
//! # What the compiler checks
//!
//! A loaded reference borrows the [`Worker`]; `quiescent` and `offline` want it mutably. Keeping a
//! reference over a quiescent point is a compile error:
//!
//! ```compile_fail,E0502
//! let domain = rcu::Domain::new(1);
//! let cell = rcu::RcuCell::new(&domain, 7);
//! let mut worker = domain.register().unwrap();
//! let seen = cell.load(&worker);
//! worker.quiescent();
//! assert_eq!(*seen, 7);
//! ```
//!
//! # A worker that is stuck
//!
//! It keeps its slot, and with it every value retired since: memory grows, none in use is freed.
//! [`Domain::laggards`] names such workers; the agent reports them, and aborts the process.
//!
//! # Model
//!
//! `tests/model.rs` runs this code under loom:
//! `RUSTFLAGS="--cfg loom" cargo test -p rcu --test model --target-dir target/loom`.

#![allow(unsafe_code, reason = "owns the only pointers that are shared without a lock or a count")]

pub mod arena;
mod cell;
mod domain;
mod sync;
mod watch;
mod worker;

pub use arena::{Arena, ArenaBox, ArenaError, Pages};
pub use cell::RcuCell;
pub use domain::{Domain, RegisterError, Ticket};
pub use watch::Laggard;
pub use worker::Worker;

#[cfg(all(test, not(loom)))]
mod tests;
