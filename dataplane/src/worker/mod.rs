//! A worker: the journey of a packet.
//!
//! ```text
//!  rx queues ─┐                 ┌─ ESP for us ──► open ─┬─ decide ─┐
//!  handoff ───┼─► admit ────────┤                                  ├──► seal ──► send ──► tx queues
//!  agent ─────┤  (parse,decide) ├─ inner packet ───────────────────┤              ▲
//!  early ─────┘                 ├─ in clear, as it is ─────────────┼──────────────┘
//!                               └─ exception ──► agent, held, handed over or dropped
//! ```
//!
//! Most packets are plain ones of flows that were decided about before: the express lane takes
//! them from the receive queues to `open` and `seal` past the decision, which it remembers.
//!
//! A burst of up to [`BURST`] packets walks through these stages over arrays of fixed size. Nothing here
//! allocates, locks, logs or calls the kernel (but to sleep, or to wake a worker that sleeps in interrupt
//! mode). Every packet that comes in is forwarded, left to the agent or dropped under one reason; [`Balance`]
//! checks the sum.
//!
//! The stages take any [`Buffer`], so that all of them run in tests without DPDK.

mod admit;
mod balance;
pub mod buffer;
mod burst;
pub mod counters;
mod early;
mod express;
mod flows;
mod fragment;
mod identification;
mod idle;
mod inbound;
mod outbound;
mod overload;
mod parse;
mod pipeline;
mod probe;
mod reassemble;
mod recent;
mod run;
mod scribe;
pub mod stopwatch;
mod transmit;

pub use balance::Balance;
pub use buffer::{Buffer, HeapBuffer};
pub use burst::{Arrival, BURST};
pub use early::EarlyPacket;
pub use overload::HOLD;
pub use pipeline::{Pipeline, PipelineParts};
pub use run::{Worker, WorkerQueues};
pub use transmit::Transmit;
