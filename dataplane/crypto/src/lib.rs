//! Batch ESP cryptography behind one trait.
//!
//! A worker collects the [`Job`]s of a burst and calls [`Context::seal`] or [`Context::open`] once;
//! when the call returns every job is complete, each with its own [`Status`]. Engines that interleave
//! several packets ("multi-buffer") need this shape, and the portable ones do not mind it.
//!
//! * [`select`] chooses a [`Backend`] at start, after each has passed known-answer tests, and says
//!   which and why.
//! * [`Backend::expand`] turns a [`Suite`] and its key material into a [`Key`], off the hot path and
//!   in memory of the caller's choice (the huge-page arena). A key zeroizes itself.
//! * [`Backend::context`] makes the state of one worker.
//!
//! All back-ends agree byte for byte. An AEAD opens in one pass; nothing may trust the content of a
//! buffer before its job is [`Status::Ok`], and the buffer of a failed job holds no plaintext.
//!
//! # ESP
//!
//! [`Job::encap`] and [`Job::decap`] take the bytes from the ESP header to the end of the integrity
//! check value and know everything else from the key's suite:
//!
//! ```text
//!  0          8          8 + iv_len                  len - icv_len      len
//!  │ SPI, seq │ IV       │ payload, padding, trailer │ ICV              │
//!             ╰── AEAD: as written by the caller; CBC: filled in by `seal`
//! ```

#![allow(unsafe_code, reason = "calls ipsec-mb, and places keys in memory that the caller provides")]

mod backend;
#[cfg(ipsec_mb)]
mod ipsec_mb;
mod job;
mod key;
mod memory;
mod portable;
mod select;
mod selftest;
mod suite;

pub use backend::{Backend, BackendError, Context};
#[cfg(ipsec_mb)]
pub use ipsec_mb::IpsecMb;
pub use job::{Job, Layout, MAX_LEN, Status};
pub use key::{Key, KeyError, KeyMaterial};
pub use memory::{KeyMemory, heap};
pub use portable::Portable;
pub use select::{Preference, SelectError, Selection, select};
pub use selftest::SelfTestError;
pub use suite::{Cipher, Integrity, Suite, UnsupportedSuite};
