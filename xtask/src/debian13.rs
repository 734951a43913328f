//! `cargo xtask debian13`: the DPDK crates against the next Debian's DPDK, in a root of its own.

use anyhow::Result;

pub(crate) fn check() -> Result<bool> {
    Ok(false)
}
