//! From routes of several sources to the entries that are forwarded by.
//!
//! The order of RT-01 is: the more specific prefix, then system, static, dynamic. The first of these is the data
//! plane's longest-prefix match; the [`Rib`] decides the others, prefix by prefix.
#![forbid(unsafe_code)]

mod rib;

pub use rib::{Change, Entry, Rib, Source};
