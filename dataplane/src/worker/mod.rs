mod admit;
pub mod buffer;
mod burst;
pub mod counters;
mod early;
mod fragment;
mod inbound;
mod outbound;
mod parse;
mod pipeline;
mod recent;
mod transmit;

pub use buffer::{Buffer, HeapBuffer};
pub use burst::{Arrival, BURST};
pub use early::EarlyPacket;
pub use pipeline::{Pipeline, PipelineParts};
pub use transmit::Transmit;
