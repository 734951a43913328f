//! `esplanade version`.

use super::Format;
use anyhow::Result;
use serde::Serialize;
use std::process::ExitCode;

#[derive(Debug, Serialize)]
struct Version {
    version: &'static str,
    revision: &'static str,
    /// The DPDK that the data plane was built with.
    dpdk: &'static str,
}

pub(super) fn run(format: Format) -> Result<ExitCode> {
    let version = Version {
        version: env!("CARGO_PKG_VERSION"),
        revision: env!("ESPLANADE_REVISION"),
        dpdk: env!("ESPLANADE_DPDK"),
    };
    format
        .print(&version, |v| format!("esplanade {} (revision {}), DPDK {}\n", v.version, v.revision, v.dpdk))
}
