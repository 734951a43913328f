//! What a store keeps.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// A revision as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// From 1, without gaps.
    pub number: u64,
    /// When it was committed, seconds since the Unix epoch.
    pub at: u64,
    /// Who committed it, as the API knows them.
    pub author: String,
    /// Why, in their words.
    pub comment: String,
    /// Where files that the text names by a relative path are looked for.
    pub folder: PathBuf,
    /// What the client sent to make a repeated request the same one.
    pub token: Option<String>,
}

/// A revision with its text.
#[derive(Clone, PartialEq, Eq)]
pub struct Revision {
    pub entry: Entry,
    pub text: Zeroizing<String>,
}

impl fmt::Debug for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Revision({:?}, {} bytes)", self.entry, self.text.len())
    }
}

/// A revision to be.
#[derive(Clone)]
pub struct Draft {
    pub text: Zeroizing<String>,
    pub at: u64,
    pub author: String,
    pub comment: String,
    pub folder: PathBuf,
    pub token: Option<String>,
}

impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Draft({} by {}, {} bytes)", self.comment, self.author, self.text.len())
    }
}

/// What a commit does about confirmations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// For good. Refused while another revision waits for its confirmation.
    Final,
    /// The revision before returns unless this one is confirmed within so many seconds.
    Confirm { secs: u64 },
    /// For good, and instead of a revision that waits for its confirmation.
    Return,
}

/// A revision that waits for its confirmation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    pub revision: u64,
    /// The revision that returns.
    pub fallback: u64,
    /// When, seconds since the Unix epoch.
    pub deadline: u64,
    /// How long it was given, seconds: a clock that was set back gives no more than that.
    pub secs: u64,
}

impl Pending {
    /// How many seconds are left at `now`.
    #[must_use]
    pub fn left(&self, now: u64) -> u64 {
        self.deadline.saturating_sub(now).min(self.secs)
    }
}
