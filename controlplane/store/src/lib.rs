//! The revisions of the configuration document: crash-safe and encrypted at rest.
//!
//! ```text
//! FOLDER/master.key   32 random bytes, mode 0600: made once, needed for ever
//! FOLDER/store.redb   a redb database
//!   revisions   number → when, by whom, why, and the sealed text
//!   state       the confirmation that is awaited
//! ```
//!
//! Each change is one durable transaction: a process that is killed leaves the revision before or the revision
//! after, whole. The newest revision is the current one: to go back is to commit the text of an older one again,
//! so that the history only grows and tells what was in force when.
//!
//! A text is sealed as a whole, for keys stand anywhere in it: AES-256-GCM with a random nonce, its number as
//! associated data, so that no text passes for that of another revision. When, by whom and why are in clear.
//!
//! The crate reads no clock; times are arguments, in seconds since the Unix epoch.
#![forbid(unsafe_code)]

mod error;
mod key;
mod record;
mod store;

pub use error::StoreError;
pub use record::{Draft, Entry, Mode, Pending, Revision};
pub use store::{HISTORY, Store};
