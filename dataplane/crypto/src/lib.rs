//! Batch ESP cryptography behind one trait.
