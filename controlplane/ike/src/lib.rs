//! Sans-io IKEv2 (and later IKEv1).

#![forbid(unsafe_code)]

pub mod wire;
