//! `esplanade doctor`.

use super::Format;
use anyhow::Result;
use hugepages::{Check, Status};
use std::process::ExitCode;

/// Prints every check; exit code 1 if one fails.
pub(super) fn run(format: Format) -> Result<ExitCode> {
    let checks = hugepages::doctor();
    format.print(&checks, |checks| checks.iter().map(line).collect())?;
    let failed = checks.iter().any(|check| check.status == Status::Fail);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn line(check: &Check) -> String {
    let mark = match check.status {
        Status::Ok => "ok  ",
        Status::Warn => "warn",
        Status::Fail => "FAIL",
    };
    let fix = check.fix.as_ref().map(|fix| format!("{:>6}fix: {fix}\n", "")).unwrap_or_default();
    format!("{mark}  {}: {}\n{fix}", check.name, check.found)
}
