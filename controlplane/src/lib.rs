//! The control plane process: the document, IKE, and the data plane, brought together.
//!
//! ```text
//!             Loaded document
//!                   │ plan
//! API ── calls ──▶ ┌▼───────┐ ── commands, injected packets ──▶
//!                  │ engine │                                    daemon (sockets, clock, signals)
//! timers ────────▶ └────────┘ ◀── completions, events, punts ──
//!                   │      ▲
//!                   ▼      │
//!                  IkeManager
//! ```
//!
//! The [`engine`] knows no socket and no clock; the [`daemon`] has both and no decisions.
#![forbid(unsafe_code)]

mod clock;
pub mod convert;
pub mod credentials;
pub mod daemon;
pub mod document;
pub mod engine;
mod notify;
mod random;
mod session;
mod sockets;
pub mod state;
mod transactions;
pub mod udp;
