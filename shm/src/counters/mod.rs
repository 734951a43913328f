//! The counters page: written by the data plane only, read by control, the CLI and whoever else may.
//!
//! It describes itself: names and help texts of drop reasons and other figures travel in it, so that a reader
//! of another release shows what it finds.
//!
//! ```text
//! header      magic, version, dimensions
//! texts       name and help of each drop reason, process figure, worker figure
//! interfaces  what interface a slot is; slot 0 stands for "no interface"
//! figures     one word per process figure; per worker one word per worker figure
//! lines       per worker and interface slot: rx, tx packets and bytes, then a word per drop reason
//! SAs         per SA slot: SPI, then its totals
//! ```
//!
//! Every counter is a 64-bit word with one writer. A reader may see one counter newer than another.

mod layout;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

pub use layout::{CountersSpec, Text};
pub use reader::{CountersReader, InterfaceTotals};
pub use writer::{CountersWriter, InterfaceCounters, WorkerFigures};

use crate::memory::MemoryError;
use crate::message::{InterfaceId, Label, PortId, VlanId, VrfId};

/// Why there is no counters page.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CountersError {
    #[error("counters page has the format {found}, this program reads {expected}")]
    Format { expected: u64, found: u64 },
    #[error("counters page is not one: its magic is {0:#x}")]
    Magic(u64),
    #[error("dimensions of the counters page do not fit its size")]
    Dimensions,
    #[error(transparent)]
    Memory(#[from] MemoryError),
}

/// What an interface slot of the page stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InterfaceDescription {
    pub id: InterfaceId,
    pub port: PortId,
    pub vlan: Option<VlanId>,
    pub vrf: VrfId,
    pub name: Label,
}
