//! The protocol on one thread, step by step, and the arena; `tests/model.rs` has the interleavings.
